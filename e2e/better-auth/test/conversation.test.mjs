// The whole conversation, and what works without a token.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { assertError } from '../lib/expect.mjs';
import { PRESENT, bearer } from '../lib/sim.mjs';
import { SOURCES, World } from '../lib/world.mjs';

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let sim;
let bridges;
const world = World.around(async () => {
  sim = await world.sim();
  bridges = await world.bridges(sim);
});

for (const source of SOURCES) {
  describe(`source ${source}`, () => {
    let bridge;
    before(() => {
      bridge = bridges[source];
    });

    test('an agent is made, talked to, read back and archived', async () => {
      const person = await world.signUp(sim);
      const workspace = await world.rows.workspace(person);
      const credential = PRESENT.cookie(person);

      const created = await bridge.post('/api/v1/agents', credential, {
        name: 'Concierge',
        description: 'Knows the house',
        workspace_id: workspace,
      });
      assert.equal(created.status, 201, created.text);
      const agent = created.json;
      assert.match(agent.id, UUID_V7);
      assert.equal(agent.workspace_id, workspace);
      assert.equal(agent.user_id, person.id);
      assert.equal(agent.status, 'active');
      assert.ok(created.headers.location.endsWith(`/api/v1/agents/${agent.id}`), created.headers.location);
      assert.deepEqual((await bridge.get(created.headers.location, credential)).json, agent);

      const started = await bridge.post('/api/v1/agents/sessions', credential, {
        agent_id: agent.id,
        workspace_id: workspace,
        context: { page: 'home' },
      });
      assert.equal(started.status, 201, started.text);
      const session = started.json;
      assert.match(session.session_id, UUID_V7);
      assert.equal(session.agent_id, agent.id);
      assert.equal(session.user_id, person.id);
      assert.equal(session.status, 'active');
      const path = `/api/v1/agents/sessions/${session.session_id}`;

      const texts = ['Guten Tag', 'Привет 👋', 'x'.repeat(32_000)];
      for (const [offset, content] of texts.entries()) {
        world.confide('a message', content);
        const posted = await bridge.post(`${path}/messages`, credential, { content });
        assert.equal(posted.status, 201, posted.text);
        assert.equal(posted.json.content, content);
        assert.equal(posted.json.offset, offset);
      }
      const listed = await bridge.get(`${path}/messages`, credential);
      assert.equal(listed.status, 200, listed.text);
      assert.equal(listed.json.total, texts.length);
      assert.deepEqual(listed.json.messages.map(({ content }) => content), texts);
      assert.ok(listed.json.messages.every(({ id }) => UUID_V7.test(id)));
      const page = await bridge.get(`${path}/messages?limit=1&offset=1`, credential);
      assert.deepEqual(page.json.messages.map(({ content }) => content), [texts[1]]);

      const mine = await bridge.get(`/api/v1/agents/sessions?workspace_id=${workspace}`, credential);
      assert.deepEqual(mine.json.map(({ session_id }) => session_id), [session.session_id]);

      for (let time = 0; time < 2; time += 1) {
        const ended = await bridge.request('DELETE', path, { credential });
        assert.equal(ended.status, 200, ended.text);
        assert.equal(typeof ended.json.message, 'string');
      }
      const late = await bridge.post(`${path}/messages`, credential, { content: 'Too late' });
      assertError(late, 409, 'SESSION_ENDED');
      assert.equal((await bridge.get(`${path}/messages`, credential)).json.total, texts.length);

      const archived = await bridge.request('DELETE', `/api/v1/agents/${agent.id}`, { credential });
      assert.ok(archived.status < 300, archived.text);
      assert.deepEqual((await bridge.get('/api/v1/agents', credential)).json, []);
    });

    test('a message that is sent again with its key is there once', async () => {
      const person = await world.signUp(sim);
      const workspace_id = await world.rows.workspace(person);
      const agent = await bridge.post('/api/v1/agents', bearer(person), { name: 'A', workspace_id });
      const session = await bridge.post('/api/v1/agents/sessions', bearer(person), {
        agent_id: agent.json.id,
        workspace_id,
      });
      const path = `/api/v1/agents/sessions/${session.json.session_id}/messages`;
      const headers = { 'Idempotency-Key': crypto.randomUUID() };
      const post = () => bridge.post(path, bearer(person), { content: 'Once' }, { headers });
      const [first, second] = [await post(), await post()];
      assert.equal(first.status, 201, first.text);
      assert.ok(second.status === 200 || second.status === 201, second.text);
      assert.equal(second.json.id, first.json.id);
      assert.equal((await bridge.get(path, bearer(person))).json.total, 1);
    });

    test('a change that somebody else has overtaken is refused', async () => {
      const person = await world.signUp(sim);
      const workspace_id = await world.rows.workspace(person);
      const { json: agent } = await bridge.post('/api/v1/agents', bearer(person), { name: 'A', workspace_id });
      const path = `/api/v1/agents/${agent.id}`;
      const { etag } = (await bridge.get(path, bearer(person))).headers;
      const rename = (name) =>
        bridge.request('PATCH', path, { credential: bearer(person), headers: { 'If-Match': etag }, json: { name } });
      assert.equal((await rename('B')).status, 200);
      assertError(await rename('C'), 412, 'VERSION_CONFLICT');
      assert.equal((await bridge.get(path, bearer(person))).json.name, 'B');
    });

    test('the administrator of a workspace reads a conversation in it, and a colleague does not', async () => {
      const [owner, writer, colleague] = await Promise.all(
        ['Owner', 'Writer', 'Colleague'].map((name) => world.signUp(sim, name)),
      );
      const workspace_id = await world.rows.workspace(owner);
      await world.rows.permit(writer, workspace_id, 'write');
      await world.rows.permit(colleague, workspace_id, 'write');
      const agent = await bridge.post('/api/v1/agents', bearer(writer), { name: 'A', workspace_id });
      const session = await bridge.post('/api/v1/agents/sessions', bearer(writer), {
        agent_id: agent.json.id,
        workspace_id,
      });
      const path = `/api/v1/agents/sessions/${session.json.session_id}`;
      assert.equal((await bridge.post(`${path}/messages`, bearer(writer), { content: 'Hello' })).status, 201);
      const read = await bridge.get(`${path}/messages`, bearer(owner));
      assert.deepEqual(read.json.messages.map(({ content }) => content), ['Hello']);
      const refused = await bridge.get(`${path}/messages`, bearer(colleague));
      assert.ok([403, 404].includes(refused.status), refused.text);
      const added = await bridge.post(`${path}/messages`, bearer(colleague), { content: 'Me too' });
      assert.ok([403, 404].includes(added.status), added.text);
      assert.equal((await bridge.get(`${path}/messages`, bearer(writer))).json.total, 1);
    });
  });
}

describe('what the development server prepared', () => {
  test('works: its token, its user, its workspaces', async () => {
    const { base_url, token, user_id, workspaces } = world.dev.facts;
    const permissions = { read: ['read'], write: ['read', 'write'], admin: ['read', 'write', 'admin'] };
    const { stdout } = await promisify(execFile)('curl', [
      ...['-fsS', '-H', `Authorization: Bearer ${token}`],
      `${base_url}/api/v1/auth/status`,
    ]);
    const status = JSON.parse(stdout);
    assert.equal(status.user.id, user_id);
    const expected = workspaces.map(({ id, permission }) => [id, permissions[permission]]);
    assert.deepEqual(status.workspaces.map(({ id, permissions }) => [id, permissions]).sort(), expected.sort());
  });
});

describe('without a token', () => {
  for (const path of ['/health', '/api/v1/auth/status']) {
    test(`curl -f ${path} succeeds`, async () => {
      for (const url of [world.dev.facts.base_url, ...SOURCES.map((source) => bridges[source].url)]) {
        const { stdout } = await promisify(execFile)('curl', ['-fsS', `${url}${path}`]);
        const body = JSON.parse(stdout);
        if (path === '/health') assert.match(body.status, /^(healthy|degraded)$/);
        else assert.deepEqual(body, { authenticated: false });
      }
    });
  }
});
