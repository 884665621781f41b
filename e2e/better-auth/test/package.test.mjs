// What the package itself does: each of the bridge's assumptions about Better Auth, held against the true one.
// When an upgrade of the package fails here, the bridge's rules have to be thought over.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { before, describe, test } from 'node:test';

import { request } from '../../lib/http.mjs';
import { PRESENT } from '../lib/sim.mjs';
import { until } from '../../lib/until.mjs';
import { World } from '../lib/world.mjs';

const AUTHORITATIVE = '/api/auth/get-session?disableCookieCache=true&disableRefresh=true';
const DAY = 24 * 60 * 60 * 1000;

let sim;
const world = World.around(async () => {
  sim = await world.sim();
});

const ask = (target, headers, path = AUTHORITATIVE) => request(target.url, 'GET', path, { headers });

function assertSignedOut(answer) {
  assert.equal(answer.status, 200);
  assert.equal(answer.text, 'null');
}

describe('a session', () => {
  test('is a cookie with the token and its HMAC, and a row with the bare token in UTC', async () => {
    const person = await world.signUp(sim);
    const [token, signature] = person.signed.split('.');
    assert.match(token, /^[A-Za-z0-9]{32}$/);
    assert.equal(signature, createHmac('sha256', world.secret).update(token).digest('base64'));
    const row = await world.rows.session(person);
    assert.equal(row.user_id, person.id);
    assert.ok(Math.abs(row.expires_at - Date.now() - 30 * DAY) < 60_000, `${new Date(row.expires_at)}`);
  });

  test('is shown by get-session with user and times in UTC, and no workspaces', async () => {
    const person = await world.signUp(sim);
    const { status, json } = await ask(sim, PRESENT.cookie(person));
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(json).sort(), ['session', 'user']);
    assert.equal(json.user.id, person.id);
    assert.equal(json.user.emailVerified, false);
    assert.equal(json.session.token, person.token);
    assert.match(json.session.expiresAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(Date.parse(json.session.expiresAt), (await world.rows.session(person)).expires_at);
  });

  test('is taken from the cookie alone, signed, under the name of its own scheme', async () => {
    const person = await world.signUp(sim);
    assertSignedOut(await ask(sim, {}));
    assertSignedOut(await ask(sim, PRESENT['raw bearer'](person)));
    assertSignedOut(await ask(sim, PRESENT['signed bearer'](person)));
    assertSignedOut(await ask(sim, { Cookie: `__Secure-better-auth.session_token=${person.session}` }));
    assertSignedOut(await ask(sim, { Cookie: `better-auth.session_token=${person.token}` }));
    const forged = createHmac('sha256', 'x'.repeat(32)).update(person.token).digest('base64');
    const value = encodeURIComponent(`${person.token}.${forged}`);
    assertSignedOut(await ask(sim, { Cookie: `better-auth.session_token=${value}` }));
    const literal = await ask(sim, { Cookie: `better-auth.session_token=${person.signed}` });
    assert.equal(literal.json?.user.id, person.id, 'the signature need not be percent-encoded');
  });

  test('has another cookie name when the app is on https', async () => {
    const secure = await world.sim({ appUrl: 'https://sim.example.test' });
    const person = await world.signUp(secure);
    assert.ok(person.browser.cookies.has('__Secure-better-auth.session_token'));
    assert.equal((await ask(secure, PRESENT.cookie(person))).json.user.id, person.id);
    assertSignedOut(await ask(secure, { Cookie: `better-auth.session_token=${person.session}` }));
    const both = `better-auth.session_token=${person.session}; ${PRESENT.cookie(person).Cookie}`;
    assert.equal((await ask(secure, { Cookie: both })).json.user.id, person.id, 'the other name does no harm');
    assert.equal((await ask(sim, { Cookie: both })).json.user.id, person.id);
  });

  test('when past its end is signed out, and its row goes with the question', async () => {
    const person = await world.signUp(sim);
    await world.rows.endSessionIn(person, '-1 second');
    assertSignedOut(await ask(sim, PRESENT.cookie(person)));
    assert.equal(await world.rows.session(person), undefined);
  });

  test('is prolonged by a read, unless that is disabled', async () => {
    const person = await world.signUp(sim);
    await world.rows.endSessionIn(person, '10 days');
    const { expires_at: short } = await world.rows.session(person);
    await ask(sim, PRESENT.cookie(person));
    assert.equal((await world.rows.session(person)).expires_at, short);
    for (const path of ['/api/auth/get-session', '/api/workspaces?scope=all']) {
      await world.rows.endSessionIn(person, '10 days');
      await ask(sim, PRESENT.cookie(person), path);
      assert.ok((await world.rows.session(person)).expires_at > short + 19 * DAY, path);
    }
  });

  test('outlives its sign-out in the cookie cache, unless that is disabled', async () => {
    const person = await world.signUp(sim);
    const cookies = [...person.browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    assert.match(cookies, /session_data=/);
    assert.equal((await person.signOut()).status, 200);
    assert.equal((await ask(sim, { Cookie: cookies }, '/api/auth/get-session')).json?.user.id, person.id);
    assertSignedOut(await ask(sim, { Cookie: cookies }));
    assertSignedOut(await ask(sim, PRESENT.cookie(person), '/api/auth/get-session'));
  });

  test('of a user whose row says banned is still a session, and says so', async () => {
    const person = await world.signUp(sim);
    await world.rows.ban(person, '1 hour');
    const { json } = await ask(sim, PRESENT.cookie(person));
    assert.equal(json.user.banned, true);
    assert.ok(Date.parse(json.user.banExpires) > Date.now());
  });
});

describe('routes', () => {
  test('that older bridges used do not exist', async () => {
    const person = await world.signUp(sim);
    const credential = PRESENT.cookie(person);
    for (const path of ['/api/auth/session', '/api/auth/jwks', '/api/auth/token']) {
      assert.equal((await ask(sim, credential, path)).status, 404, path);
    }
    const post = await request(sim.url, 'POST', '/api/auth/get-session', { headers: credential });
    assert.equal(post.status, 404);
  });

  test('redeem a one-time token once', async () => {
    const person = await world.signUp(sim);
    const { json } = await person.browser.get('/api/auth/one-time-token/generate');
    const redeem = () => request(sim.url, 'POST', '/api/auth/one-time-token/verify', { json });
    assert.equal((await redeem()).json.session.token, person.token);
    const again = await redeem();
    assert.equal(again.status, 400);
    assert.equal(again.json.message, 'Invalid token');
  });

  test('are limited in production to 100 requests in 10 seconds for an address and a path', async () => {
    const busy = await world.sim({ production: true });
    const headers = { 'X-Forwarded-For': '203.0.113.7' };
    let last;
    for (let count = 0; count <= 100; count += 1) last = await ask(busy, headers);
    assert.equal(last.status, 429);
    assert.match(last.headers['x-retry-after'], /^\d+$/);
    assert.equal(last.headers['retry-after'], undefined);
    assert.equal((await ask(busy, { 'X-Forwarded-For': '203.0.113.8' })).status, 200);
    assert.equal((await ask(busy, headers, '/api/auth/ok')).status, 200);
    const redeem = () =>
      request(busy.url, 'POST', '/api/auth/one-time-token/verify', { headers, json: { token: 'none' } });
    for (let count = 0; count < 100; count += 1) assert.equal((await redeem()).status, 400);
    assert.equal((await redeem()).status, 429);
  });
});

describe('while the database is out of reach', () => {
  let proxy;
  let cut;
  let person;

  /** A one-time token that was never issued: looking for it needs the database and no credential. */
  const redeemNothing = () =>
    request(cut.url, 'POST', '/api/auth/one-time-token/verify', { json: { token: 'none' } });
  const resetNothing = () => ask(cut, {}, '/api/auth/reset-password/none?callbackURL=/');

  before(async () => {
    const through = await world.databaseProxy();
    proxy = through.proxy;
    cut = await world.sim({ database: through.through(world.databaseUrl) });
    person = await world.signUp(cut);
  });

  test('get-session says what it says of somebody signed out', async () => {
    assert.equal((await ask(cut, PRESENT.cookie(person))).json.user.id, person.id);
    proxy.refuse();
    assertSignedOut(await ask(cut, PRESENT.cookie(person)));
    proxy.restore();
    await until('get-session finds the session again', async () => (await ask(cut, PRESENT.cookie(person))).json);
  });

  test('so do the routes that need a session', async () => {
    proxy.refuse();
    for (const path of ['/api/auth/list-sessions', '/api/auth/one-time-token/generate', '/api/workspaces?scope=all']) {
      assert.equal((await ask(cut, PRESENT.cookie(person), path)).status, 401, path);
    }
    assert.equal((await ask(cut, {}, '/api/auth/ok')).status, 200);
    proxy.restore();
  });

  test('routes that look something up without a session tell the difference', async () => {
    const works = async () => (await redeemNothing()).status === 400;
    await until('the database is back', works);
    assert.equal((await resetNothing()).status, 302);
    proxy.refuse();
    assert.equal((await redeemNothing()).status, 500);
    assert.equal((await resetNothing()).status, 500);
    proxy.restore();
    await until('the database is back', works);
  });
});
