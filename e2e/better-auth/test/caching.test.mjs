// How soon a bridge that remembers sees a change: within the time that it was configured to remember for.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { assertAdmitted, assertRefused, assertWorkspaces } from '../lib/expect.mjs';
import { bearer } from '../lib/sim.mjs';
import { until } from '../../lib/until.mjs';
import { SOURCES, World } from '../lib/world.mjs';

const TTL = 2;
const NEGATIVE_TTL = 1;
/** What a loaded machine may add. */
const SLACK = 2;

let sim;
let bridges;
const world = World.around(async () => {
  sim = await world.sim();
  bridges = await world.bridges(sim, {
    ENABLE_CACHING: 'true',
    AUTH_CACHE_TTL: String(TTL),
    AUTH_NEGATIVE_TTL: String(NEGATIVE_TTL),
  });
});

for (const source of SOURCES) {
  describe(`source ${source}`, { concurrency: true }, () => {
    let bridge;
    before(() => {
      bridge = bridges[source];
    });

    /** The change is seen within the time to live, by somebody who keeps asking. */
    const seenWithin = async (what, seconds, check) => {
      await until(what, async () => (await check(), true), { deadline: (seconds + SLACK) * 1000 });
    };
    const asks = async (person, check) => check(await bridge.status(bearer(person)), person);

    test('a sign-out', async () => {
      const person = await world.signUp(sim);
      await asks(person, assertAdmitted);
      await person.signOut();
      await seenWithin('the sign-out', TTL, () => asks(person, assertRefused));
    });

    test('a ban and its end', async () => {
      const person = await world.signUp(sim);
      await asks(person, assertAdmitted);
      await world.rows.ban(person);
      await seenWithin('the ban', TTL, () => asks(person, assertRefused));
      await world.rows.ban(person, '-1 second');
      await seenWithin('the end of the ban', NEGATIVE_TTL, () => asks(person, assertAdmitted));
    });

    test('a permission and its withdrawal', async () => {
      const [owner, person] = [await world.signUp(sim, 'Owner'), await world.signUp(sim)];
      const workspace = await world.rows.workspace(owner);
      const has = (expected) => asks(person, (answer) => assertWorkspaces(answer, expected));
      await has({});
      await world.rows.permit(person, workspace, 'write');
      await seenWithin('the permission', TTL, () => has({ [workspace]: 'write' }));
      await world.rows.forbid(person, workspace);
      await seenWithin('the withdrawal', TTL, () => has({}));
    });

    test('one sign-in is not taken for another while both are remembered', async () => {
      const people = await Promise.all(['One', 'Two', 'Three'].map((name) => world.signUp(sim, name)));
      for (let round = 0; round < 5; round += 1) {
        const answers = await Promise.all(people.map((person) => bridge.status(bearer(person))));
        answers.forEach((answer, index) => assertAdmitted(answer, people[index]));
      }
    });
  });
}

describe('the default settings, source database', { concurrency: true }, () => {
  const BOUND = 2000;
  let bridge;
  before(async () => {
    bridge = await world.bridge('database', sim, { ENABLE_CACHING: 'true' });
  });

  const admin = async () => {
    const person = await world.signUp(sim, 'Admin');
    await world.rows.makePlatformAdmin(person);
    return person;
  };
  const administer = async (person, what, body) => {
    const answer = await person.browser.post(`/api/auth/admin/${what}`, body);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  };
  const post = async (person, route, body) => {
    const answer = await person.browser.post(`/api/auth/${route}`, body);
    assert.equal(answer.status, 200, answer.text);
  };

  /** Ways in which a session ends. Each gets the session, and another one of the same user. */
  const ends = {
    'a sign-out': (person) => person.signOut(),
    'revoked by its user': (person, other) => post(other, 'revoke-session', { token: person.token }),
    'revoked with the others': (person, other) => post(other, 'revoke-other-sessions'),
    'revoked with all': (person, other) => post(other, 'revoke-sessions'),
    'a changed password': (person, other) =>
      post(other, 'change-password', {
        currentPassword: person.password,
        newPassword: `new-${person.password}`,
        revokeOtherSessions: true,
      }),
    'revoked by an administrator': async (person) =>
      administer(await admin(), 'revoke-user-session', { sessionToken: person.token }),
    'revoked with all by an administrator': async (person) =>
      administer(await admin(), 'revoke-user-sessions', { userId: person.id }),
    'a ban': async (person) => administer(await admin(), 'ban-user', { userId: person.id }),
    'a ban that leaves the session': (person) => world.rows.ban(person),
    'a ban for an hour': (person) => world.rows.ban(person, '1 hour'),
    'a removed user': async (person) => administer(await admin(), 'remove-user', { userId: person.id }),
    'an end brought forward': (person) => world.rows.endSessionIn(person, '0 seconds'),
    'its own end': (person) => world.rows.endSessionIn(person, '1 second'),
  };
  for (const [what, finish] of Object.entries(ends)) {
    test(`${what} is seen within 2 s`, async () => {
      const person = await world.signUp(sim);
      const other = await person.signIn();
      assertAdmitted(await bridge.status(bearer(person)), person);
      await finish(person, other);
      const start = Date.now();
      // The clock runs from the end of the session: the last way announces it a second ahead.
      await until(what, async () => (assertRefused(await bridge.status(bearer(person))), true));
      const took = Date.now() - start;
      assert.ok(took < BOUND, `${took} ms`);
    });
  }

  test('an impersonation that was stopped is seen within 2 s', async () => {
    const [administrator, person] = [await admin(), await world.signUp(sim)];
    const { session } = await administer(administrator, 'impersonate-user', { userId: person.id });
    world.confide('an impersonated token', session.token);
    const acting = { Authorization: `Bearer ${session.token}` };
    assertAdmitted(await bridge.status(acting), person);
    await administer(administrator, 'stop-impersonating', {});
    const start = Date.now();
    await until('the end', async () => (assertRefused(await bridge.status(acting)), true));
    assert.ok(Date.now() - start < BOUND);
  });

  test('a session that nobody ended is never refused meanwhile', async () => {
    const person = await world.signUp(sim);
    const end = Date.now() + 5000;
    while (Date.now() < end) assertAdmitted(await bridge.status(bearer(person)), person);
  });
});

describe('remembering for long', () => {
  const LONG = 300;
  let remembering;
  before(async () => {
    remembering = await world.bridges(sim, { ENABLE_CACHING: 'true', AUTH_CACHE_TTL: String(LONG) });
  });

  for (const source of SOURCES) {
    test(`source ${source} is not asked again`, async () => {
      const bridge = remembering[source];
      const person = await world.signUp(sim);
      const statistics = async () => (await bridge.get('/api/v1/auth/cache/stats', bearer(person))).json;
      const first = await statistics();
      for (let time = 0; time < 5; time += 1) assertAdmitted(await bridge.status(bearer(person)), person);
      const last = await statistics();
      assert.equal(last.misses, first.misses);
      assert.ok(last.hits >= first.hits + 5, JSON.stringify({ first, last }));
      assert.equal(last.ttl_seconds, LONG);
    });
  }

  // Not with source http: whoever asks Sim for workspaces prolongs a session that is about to end.
  test('source database sees the end of a session nevertheless', async () => {
    const person = await world.signUp(sim);
    await world.rows.endSessionIn(person, '3 seconds');
    const ask = () => remembering.database.status(bearer(person));
    assertAdmitted(await ask(), person);
    await until('the end', async () => (assertRefused(await ask()), true));
  });
});
