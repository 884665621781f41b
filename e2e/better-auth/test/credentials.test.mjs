// Who is let in, and who no longer, in both sources. The bridges here ask at every request, so that the end of a
// session has to be seen at once.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { before, describe, test } from 'node:test';

import { assertAdmitted, assertError, assertRefused } from '../lib/expect.mjs';
import { PRESENT, bearer } from '../lib/sim.mjs';
import { SOURCES, World } from '../lib/world.mjs';

const SECURE = 'https://sim.example.test';

let sims;
let bridges;
const world = World.around(async () => {
  const [plain, secure] = await Promise.all([world.sim(), world.sim({ appUrl: SECURE })]);
  sims = { http: plain, https: secure };
  const [overHttp, overHttps] = await Promise.all([world.bridges(plain), world.bridges(secure)]);
  bridges = { http: overHttp, https: overHttps };
});

/** A platform administrator, signed in. */
async function platformAdmin() {
  const admin = await world.signUp(sims.http, 'Root');
  await world.rows.makePlatformAdmin(admin);
  return admin;
}

const administer = async (admin, route, body) => {
  const answer = await admin.browser.post(`/api/auth/admin/${route}`, body);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
};

for (const scheme of ['http', 'https']) {
  for (const source of SOURCES) {
    describe(`source ${source}, app on ${scheme}`, () => {
      let bridge;
      let person;
      before(async () => {
        bridge = bridges[scheme][source];
        person = await world.signUp(sims[scheme]);
      });

      for (const [form, present] of Object.entries(PRESENT)) {
        test(`lets a session in as ${form}`, async () => {
          const body = assertAdmitted(await bridge.status(present(person)), person);
          const row = await world.rows.session(person);
          assert.equal(body.session.id, row.id);
          assert.match(body.session.expires_at, /Z$/);
          assert.ok(Math.abs(Date.parse(body.session.expires_at) - row.expires_at) < 1000);
          assert.equal(body.session.active_organization_id, null);
          assert.deepEqual(body.workspaces, []);
        });
      }

      test('lets a second sign-in of the same user in, as another session', async () => {
        const again = await person.signIn();
        const [first, second] = await Promise.all([bridge.status(bearer(person)), bridge.status(bearer(again))]);
        assertAdmitted(first, person);
        assertAdmitted(second, person);
        assert.notEqual(first.json.session.id, second.json.session.id);
      });
    });
  }
}

for (const source of SOURCES) {
  describe(`source ${source}`, () => {
    let bridge;
    let sim;
    before(() => {
      bridge = bridges.http[source];
      sim = sims.http;
    });

    const admits = async (person, present = bearer) => assertAdmitted(await bridge.status(present(person)), person);
    const refuses = async (person) => {
      for (const present of Object.values(PRESENT)) assertRefused(await bridge.status(present(person)));
    };

    test('tells somebody without a credential so', async () => {
      const status = await bridge.status({});
      assert.equal(status.status, 200);
      assert.deepEqual(status.json, { authenticated: false });
      for (const path of ['/api/v1/auth/me', '/api/v1/auth/workspaces', '/api/v1/agents']) {
        const answer = await bridge.get(path, {});
        assertError(answer, 401, 'AUTHENTICATION_REQUIRED');
        assert.match(answer.headers['www-authenticate'], /^Bearer/);
      }
    });

    test('refuses forged signatures', async () => {
      const person = await world.signUp(sim);
      const signature = (key) => createHmac('sha256', key).update(person.token).digest('base64');
      const forgeries = [
        signature('x'.repeat(32)),
        signature(''),
        `${'A'.repeat(43)}=`,
        signature(world.secret).replace(/^./, (first) => (first === 'A' ? 'B' : 'A')),
      ];
      for (const forged of forgeries) {
        const session = encodeURIComponent(`${person.token}.${forged}`);
        assertRefused(await bridge.status(PRESENT.cookie({ sim, session })));
        assertRefused(await bridge.status(bearer({ signed: `${person.token}.${forged}` })));
      }
      const other = await world.signUp(sim);
      const borrowed = `${other.token}.${person.signed.split('.')[1]}`;
      assertRefused(await bridge.status(bearer({ signed: borrowed })));
      await admits(person);
    });

    test('reads a cookie header as Better Auth does', async () => {
      const [person, other] = [await world.signUp(sim, 'One'), await world.signUp(sim, 'Other')];
      const name = sim.cookieName;
      const [token, signature] = person.signed.split('.');
      const shapes = {
        plain: `${name}=${person.session}`,
        'among others': `a=b; ${name}=${person.session}; c=d`,
        'without spaces': `a=b;${name}=${person.session};c=d`,
        'with many spaces': `a=b;   ${name}=${person.session}   ;c=d`,
        'spaces around the equals sign': `${name} = ${person.session}`,
        quoted: `${name}="${person.session}"`,
        'quoted at one end': `${name}="${person.session}`,
        'quoted twice': `${name}=""${person.session}""`,
        'not encoded': `${name}=${person.signed}`,
        'encoded as a whole': `${name}=${Buffer.from(person.signed).toString('hex').replace(/../g, '%$&')}`,
        'encoded twice': `${name}=${encodeURIComponent(person.session)}`,
        'encoded in lower case': `${name}=${person.session.replace(/%../g, (code) => code.toLowerCase())}`,
        'with a broken escape': `${name}=${person.session}%`,
        'good, then another': `${name}=${person.session}; ${name}=${other.session}`,
        'another, then good': `${name}=${other.session}; ${name}=${person.session}`,
        'garbage, then good': `${name}=garbage; ${name}=${person.session}`,
        'empty, then good': `${name}=; ${name}=${person.session}`,
        'name in capitals': `${name.toUpperCase()}=${person.session}`,
        'name with a suffix': `${name}s=${person.session}`,
        'name with a prefix': `x-${name}=${person.session}`,
        'no name': person.session,
        'a part without a name': `lonely; ${name}=${person.session}`,
        'without the padding': `${name}=${token}.${signature.slice(0, -1)}`,
        'with more padding': `${name}=${person.signed}=`,
        'in the URL alphabet': `${name}=${token}.${signature.replace(/\+/g, '-').replace(/\//g, '_')}`,
        'without the token': `${name}=.${signature}`,
        'without the signature': `${name}=${token}.`,
        'with another separator': `${name}=${token}:${signature}`,
        'with a dot in front': `${name}=.${person.session}`,
        'with a longer token': `${name}=${token}x.${encodeURIComponent(signature)}`,
      };
      for (const [what, header] of Object.entries(shapes)) {
        const asked = await sim.browser().get('/api/auth/get-session', { headers: { Cookie: header } });
        assert.equal(asked.status, 200, what);
        const { status, json } = await bridge.status({ Cookie: header });
        const seen = status === 200 ? (json.user?.id ?? null) : status === 401 ? null : `status ${status}`;
        assert.equal(seen, asked.json?.user.id ?? null, what);
      }
    });

    test('refuses a cookie without a signature', async () => {
      const person = await world.signUp(sim);
      assertRefused(await bridge.status(PRESENT.cookie({ sim, session: person.token })));
    });

    test('refuses garbage', async () => {
      const garbage = [
        'x',
        'null',
        '.',
        '....',
        'a.b',
        'a.b.c',
        `${'a'.repeat(32)}`,
        `${'a'.repeat(7000)}`,
        '%',
        '%00',
        '%ff%fe',
        `' or 1=1 --`,
        'eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.',
        `${'a'.repeat(32)}.${'A'.repeat(43)}=`,
      ];
      for (const value of garbage) {
        assertRefused(await bridge.status({ Authorization: `Bearer ${value}` }));
        assertRefused(await bridge.status({ Cookie: `${sim.cookieName}=${value}` }));
      }
      assertRefused(await bridge.status({ Authorization: 'Bearer' }));
    });

    test('goes by the header when there is a cookie too', async () => {
      const [one, other] = [await world.signUp(sim, 'One'), await world.signUp(sim, 'Other')];
      const both = { ...bearer(one), ...PRESENT.cookie(other) };
      assertAdmitted(await bridge.status(both), one);
      assertRefused(await bridge.status({ ...both, Authorization: 'Bearer garbage' }));
      assertAdmitted(await bridge.status({ ...both, Authorization: 'Basic dXNlcjpwYXNz' }), other);
    });

    test('takes no word of the client about who it is', async () => {
      const [person, other] = [await world.signUp(sim), await world.signUp(sim)];
      const workspace = await world.rows.workspace(other);
      const headers = {
        'X-User-Id': other.id,
        'X-Workspace-Id': workspace,
        'X-Workspaces': JSON.stringify([{ id: workspace, permissions: ['admin'] }]),
        'X-Forwarded-User': other.email,
      };
      const status = await bridge.status({ ...bearer(person), ...headers });
      assert.deepEqual(assertAdmitted(status, person).workspaces, []);
      assert.deepEqual((await bridge.status(headers)).json, { authenticated: false });
    });

    test('refuses a session whose row is past its end', async () => {
      const person = await world.signUp(sim);
      await admits(person);
      await world.rows.endSessionIn(person, '-1 second');
      await refuses(person);
    });

    test('refuses a session that signed out, and no other of that user', async () => {
      const person = await world.signUp(sim);
      const again = await person.signIn();
      await admits(person);
      assert.equal((await person.signOut()).status, 200);
      await refuses(person);
      await admits(again);
    });

    test('refuses the sessions that the user revoked', async () => {
      const person = await world.signUp(sim);
      const again = await person.signIn();
      await admits(again);
      assert.equal((await person.browser.post('/api/auth/revoke-other-sessions')).status, 200);
      await refuses(again);
      await admits(person);
    });

    test('refuses the session of a user who was removed', async () => {
      const admin = await platformAdmin();
      const person = await world.signUp(sim);
      await admits(person);
      await administer(admin, 'remove-user', { userId: person.id });
      await refuses(person);
    });

    test('refuses a banned user until the ban is lifted', async () => {
      const admin = await platformAdmin();
      const person = await world.signUp(sim);
      await admits(person);
      await administer(admin, 'ban-user', { userId: person.id, banReason: 'test' });
      await refuses(person);
      await assert.rejects(person.signIn(), /BANNED_USER/);
      await administer(admin, 'unban-user', { userId: person.id });
      await refuses(person);
      await admits(await person.signIn());
    });

    test('refuses a user whose row says banned although the session is still there', async () => {
      const person = await world.signUp(sim);
      await world.rows.ban(person, '1 hour');
      await refuses(person);
      await world.rows.ban(person);
      await refuses(person);
    });

    test('lets a user in whose ban has run out', async () => {
      const person = await world.signUp(sim);
      await world.rows.ban(person, '1 hour');
      await refuses(person);
      await world.rows.ban(person, '-1 second');
      await admits(person);
    });

    test('lets an impersonating administrator in as the user, while it lasts', async () => {
      const admin = await platformAdmin();
      const person = await world.signUp(sim);
      const { session } = await administer(admin, 'impersonate-user', { userId: person.id });
      world.confide('an impersonated token', session.token);
      const acting = { ...person, sim, session: admin.browser.session, token: session.token };
      acting.signed = decodeURIComponent(acting.session);
      assert.equal(acting.signed.split('.')[0], session.token);
      const workspace = await world.rows.workspace(person);
      for (const present of Object.values(PRESENT)) {
        const body = assertAdmitted(await bridge.status(present(acting)), person);
        assert.deepEqual(body.workspaces.map(({ id }) => id), [workspace]);
        assert.ok(!JSON.stringify(body).includes(admin.id), 'who acts is not shown');
      }
      await administer(admin, 'stop-impersonating', {});
      await refuses(acting);
      await admits(admin);
      await admits(person);
    });

    test('shows the organization that the session has chosen', async () => {
      const person = await world.signUp(sim);
      const slug = crypto.randomUUID();
      const created = await person.browser.post('/api/auth/organization/create', { name: 'Org', slug });
      assert.equal(created.status, 200, created.text);
      const { session } = await admits(person);
      assert.equal(session.active_organization_id, created.json.id);
    });

    test('validates a token for another service', async () => {
      const person = await world.signUp(sim);
      const validate = (token) => bridge.post('/api/v1/auth/validate', {}, { token });
      for (const token of [person.token, person.signed, person.session]) {
        const { status, json } = await validate(token);
        assert.equal(status, 200);
        assert.equal(json.valid, true);
        assert.equal(json.user.id, person.id);
        assert.ok(Date.parse(json.expires_at) > Date.now());
      }
      await person.signOut();
      for (const token of [person.token, person.signed, 'garbage']) {
        const { status, json } = await validate(token);
        assert.equal(status, 200);
        assert.equal(json.valid, false);
        assert.equal(json.user, undefined);
      }
    });
  });
}

describe('source database in another time zone', () => {
  // West and east of Greenwich: a comparison in the wrong zone errs to the one side in each.
  for (const zone of ['America/St_Johns', 'Asia/Kolkata']) {
    test(`counts as Sim does in ${zone}`, async () => {
      const { rows: [{ name }] } = await world.database.query('select current_database() as name');
      await world.database.query(`alter database "${name}" set timezone to '${zone}'`);
      const sim = sims.http;
      const bridge = await world.bridge('database', sim);
      const [lasting, ended, banned, forgiven] = await Promise.all(
        ['Lasting', 'Ended', 'Banned', 'Forgiven'].map((who) => world.signUp(sim, who)),
      );
      await world.rows.endSessionIn(lasting, '5 minutes');
      await world.rows.endSessionIn(ended, '-1 second');
      await world.rows.ban(banned, '5 minutes');
      await world.rows.ban(forgiven, '-1 second');
      const { session } = assertAdmitted(await bridge.status(bearer(lasting)), lasting);
      assert.ok(Math.abs(Date.parse(session.expires_at) - Date.now() - 5 * 60_000) < 60_000, session.expires_at);
      assertRefused(await bridge.status(bearer(ended)));
      assertRefused(await bridge.status(bearer(banned)));
      assertAdmitted(await bridge.status(bearer(forgiven)), forgiven);

      const workspace = await world.rows.workspace(lasting);
      const agent = await bridge.post('/api/v1/agents', bearer(lasting), { name: 'A', workspace_id: workspace });
      assert.equal(agent.status, 201, agent.text);
      assert.ok(Math.abs(Date.parse(agent.json.created_at) - Date.now()) < 60_000, agent.json.created_at);
      assert.match(agent.json.created_at, /Z$/);
    });
  }
});

describe('without the secret', () => {
  test('source database goes by the token, source http leaves the signature to Sim', async () => {
    const sim = sims.http;
    const keyless = await world.bridges(sim, { BETTER_AUTH_SECRET: '' });
    const person = await world.signUp(sim);
    const forged = { sim, session: `${person.token}.${'A'.repeat(43)}=` };
    for (const source of SOURCES) {
      assertAdmitted(await keyless[source].status(PRESENT.cookie(person)), person);
      assertAdmitted(await keyless[source].status(bearer(person)), person);
    }
    assertAdmitted(await keyless.database.status(PRESENT['raw bearer'](person)), person);
    assertRefused(await keyless.http.status(PRESENT['raw bearer'](person)));
    assertRefused(await keyless.http.status(PRESENT.cookie(forged)));
    await person.signOut();
    for (const source of SOURCES) assertRefused(await keyless[source].status(bearer(person)));
  });
});

describe('what the bridge tells Sim', () => {
  test('is the session cookie and nothing else, in questions that change nothing', async () => {
    const person = await world.signUp(sims.http);
    const everything = [...person.browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    assert.match(everything, /session_data=/);
    await sims.http.seen();
    assertAdmitted(await bridges.http.http.status({ Cookie: `theme=dark; ${everything}` }), person);
    assertAdmitted(await bridges.http.http.status(bearer(person)), person);
    assertAdmitted(await bridges.http.http.status(PRESENT['raw bearer'](person)), person);
    assertRefused(await bridges.http.http.status(bearer({ signed: `${person.token}.${'A'.repeat(43)}=` })));
    const seen = await sims.http.seen();
    const sessions = seen.filter(({ path }) => path === '/api/auth/get-session');
    const workspaces = seen.filter(({ path }) => path === '/api/workspaces');
    assert.equal(sessions.length, 3, 'a forgery costs Sim nothing');
    for (const { method, query } of sessions) {
      const parameters = new URLSearchParams(query);
      assert.equal(method, 'GET');
      assert.ok(parameters.get('disableCookieCache') && parameters.get('disableRefresh'), query);
    }
    assert.ok(workspaces.length > 0);
    for (const { method, query } of workspaces) {
      assert.equal(method, 'GET');
      assert.equal(new URLSearchParams(query).get('scope'), 'all');
    }
    for (const { headers } of seen) {
      assert.equal(headers.authorization, undefined);
      assert.ok(!JSON.stringify(headers).includes(world.secret), 'the secret is never sent');
      for (const pair of (headers.cookie ?? '').split(/;\s*/).filter(Boolean)) {
        assert.match(pair, /^(__Secure-)?better-auth\.session_token=/);
      }
    }
    for (const { headers } of [...sessions, ...workspaces]) {
      assert.equal(headers['x-forwarded-for'], '127.0.0.1', "the client's address counts in Sim's rate limit");
    }
    const { rows } = await world.database.query('select id from workspace where owner_id = $1', [person.id]);
    assert.deepEqual(rows, [], 'nobody was given a workspace by a question');
  });
});
