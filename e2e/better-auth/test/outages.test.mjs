// What happens while something that the bridge depends on is gone, slow or wrong. An outage refuses nobody: it is a
// 503 that says when to come back, it is answered in bounded time, and its end needs no restart.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { assertAdmitted, assertRefused, assertUnavailable } from '../lib/expect.mjs';
import { PRESENT, bearer } from '../lib/sim.mjs';
import { until } from '../../lib/until.mjs';
import { SOURCES, World } from '../lib/world.mjs';

/** No answer may take longer than this, whatever hangs, in milliseconds. */
const PATIENCE = 12_000;

let proxy;
let through;
/** A healthy Sim, through which people sign up, and one whose database can be taken away. */
let sim;
let cut;
let bridges;
const world = World.around(async () => {
  ({ proxy, through } = await world.databaseProxy());
  [sim, cut] = await Promise.all([world.sim(), world.sim({ database: through(world.databaseUrl) })]);
  const [database, http] = await Promise.all([
    world.bridge('database', sim, { SIM_DATABASE_URL: through(world.bridgeDatabaseUrl) }),
    world.bridge('http', cut),
  ]);
  bridges = { database, http };
});

const present = (person) => Object.values(PRESENT).map((form) => form(person));

async function assertOutage(bridge, person) {
  const answers = await Promise.all(
    present(person).flatMap((credential) => [
      bridge.status(credential),
      bridge.get('/api/v1/agents', credential),
      bridge.get('/api/v1/auth/workspaces', credential),
    ]),
  );
  for (const answer of answers) {
    assertUnavailable(answer);
    assert.ok(answer.milliseconds < PATIENCE, `${answer.milliseconds} ms`);
  }
}

const assertRecovery = (bridge, person) =>
  until('the bridge admits again', async () => assertAdmitted(await bridge.status(bearer(person)), person), {
    deadline: 5_000,
  });

/** What has to go on working without any dependency. */
async function assertAlive(bridge, person) {
  assert.equal((await bridge.get('/livez')).status, 200);
  assert.deepEqual((await bridge.status({})).json, { authenticated: false });
  const forged = { signed: `${person.token}.${'A'.repeat(43)}=` };
  assertRefused(await bridge.status(bearer(forged)));
}

for (const source of SOURCES) {
  describe(`source ${source}, Sim's database`, () => {
    let bridge;
    let person;
    before(async () => {
      bridge = bridges[source];
      person = await world.signUp(sim);
    });

    /** The proxy is in order again afterwards, also when an assertion fails. */
    const during = async (breakage, check) => {
      proxy[breakage]();
      try {
        await check();
      } finally {
        proxy.restore();
      }
      await assertRecovery(bridge, person);
    };

    test('refuses connections', async () => {
      assertAdmitted(await bridge.status(bearer(person)), person);
      await during('refuse', async () => {
        await assertOutage(bridge, person);
        await assertAlive(bridge, person);
      });
    });

    test('takes connections and never answers', () =>
      during('hang', async () => {
        await assertOutage(bridge, person);
        await assertAlive(bridge, person);
      }));

    test('still tells a signed-out session from an outage afterwards', async () => {
      const gone = await world.signUp(sim);
      assertAdmitted(await bridge.status(bearer(gone)), gone);
      await gone.signOut();
      await during('refuse', () => assertOutage(bridge, gone));
      assertRefused(await bridge.status(bearer(gone)));
    });
  });
}

describe('one database for Sim and the bridge', () => {
  test('away and back: 503 for everything that needs it', async () => {
    const bridge = await world.bridge('database', sim, { DATABASE_URL: through(world.bridgeDatabaseUrl) });
    const person = await world.signUp(sim);
    const workspace_id = await world.rows.workspace(person);
    const create = (name) => bridge.post('/api/v1/agents', bearer(person), { name, workspace_id });
    assert.equal((await create('Before')).status, 201);
    proxy.refuse();
    try {
      await assertOutage(bridge, person);
      assertUnavailable(await create('Meanwhile'));
      await assertAlive(bridge, person);
    } finally {
      proxy.restore();
    }
    await assertRecovery(bridge, person);
    assert.equal((await create('After')).status, 201);
    const listed = await bridge.get('/api/v1/agents', bearer(person));
    assert.deepEqual(listed.json.map(({ name }) => name).sort(), ['After', 'Before']);
  });
});

describe('Sim', () => {
  let person;
  before(async () => {
    person = await world.signUp(sim);
  });

  const page = { 'Content-Type': 'text/html' };
  const faults = {
    'answers 500': { status: 500, headers: page, body: '<h1>Internal Server Error</h1>' },
    'answers 502 from its proxy': { status: 502, headers: page, body: '<h1>Bad Gateway</h1>' },
    'answers 429 with X-Retry-After': {
      status: 429,
      headers: { 'Content-Type': 'text/plain', 'X-Retry-After': '2' },
      body: '{"message":"Too many requests. Please try again later."}',
    },
    'answers a page that is no JSON': { status: 200, headers: page, body: '<h1>Welcome</h1>' },
    'answers JSON of another shape': {
      status: 200,
      headers: { 'Content-Type': 'application/json' },
      body: '{"user":{}}',
    },
    'redirects to a sign-in page': { status: 302, headers: { Location: '/login' }, body: '' },
    'cuts the connection': 'cut',
    'never answers': 'hang',
    'stops in the middle of an answer': 'stall',
  };
  for (const [what, fault] of Object.entries(faults)) {
    test(`${what}: source http says so, source database does not care`, async () => {
      await Promise.all([cut.fault(fault), sim.fault(fault)]);
      try {
        await assertOutage(bridges.http, person);
        await assertAlive(bridges.http, person);
        assertAdmitted(await bridges.database.status(bearer(person)), person);
      } finally {
        await Promise.all([cut.fault(null), sim.fault(null)]);
      }
      await assertRecovery(bridges.http, person);
    });
  }

  test('limits the rate: source http says so and when to come back', async () => {
    const busy = await world.sim({ production: true });
    const bridge = await world.bridge('http', busy);
    const admitted = await bridge.status(bearer(person));
    assertAdmitted(admitted, person);
    let answer = admitted;
    for (let count = 0; count < 120 && answer.status === 200; count += 1) answer = await bridge.status(bearer(person));
    assertUnavailable(answer);
    assert.ok(Number(answer.headers['retry-after']) <= 10, answer.headers['retry-after']);
    await busy.stop();
  });

  test('is not there at all: source http says so, source database does not care', async () => {
    const doomed = await world.sim();
    const [http, database] = await Promise.all([world.bridge('http', doomed), world.bridge('database', doomed)]);
    assertAdmitted(await http.status(bearer(person)), person);
    await doomed.stop();
    await assertOutage(http, person);
    await assertAlive(http, person);
    assertAdmitted(await database.status(bearer(person)), person);
    await person.signOut();
    await assertOutage(http, person);
    assertRefused(await database.status(bearer(person)));
  });
});
