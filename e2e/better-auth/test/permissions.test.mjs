// What those who are let in may do: Sim's rule, and the wall between workspaces, in both sources.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { assertAdmitted, assertDenied, assertError, assertWorkspaces } from '../lib/expect.mjs';
import { bearer } from '../lib/sim.mjs';
import { SOURCES, World } from '../lib/world.mjs';

let sim;
let bridges;
const world = World.around(async () => {
  sim = await world.sim();
  bridges = await world.bridges(sim);
});

/** An organization made by its owner through Better Auth's own routes. */
async function organization(owner) {
  const { browser } = owner;
  const created = await browser.post('/api/auth/organization/create', { name: 'Org', slug: crypto.randomUUID() });
  assert.equal(created.status, 200, created.text);
  const organizationId = created.json.id;
  return {
    id: organizationId,
    async invite(person, role) {
      const invited = await browser.post('/api/auth/organization/invite-member', {
        email: person.email,
        role,
        organizationId,
      });
      assert.equal(invited.status, 200, invited.text);
      const accepted = await person.browser.post('/api/auth/organization/accept-invitation', {
        invitationId: invited.json.id,
      });
      assert.equal(accepted.status, 200, accepted.text);
      return accepted.json.member.id;
    },
    async setRole(memberId, role) {
      const changed = await browser.post('/api/auth/organization/update-member-role', {
        memberId,
        role,
        organizationId,
      });
      assert.equal(changed.status, 200, changed.text);
    },
    async remove(memberId) {
      const removed = await browser.post('/api/auth/organization/remove-member', {
        memberIdOrEmail: memberId,
        organizationId,
      });
      assert.equal(removed.status, 200, removed.text);
    },
  };
}

for (const source of SOURCES) {
  describe(`source ${source}`, () => {
    let bridge;
    before(() => {
      bridge = bridges[source];
    });

    const status = (person) => bridge.status(bearer(person));
    const createAgent = (person, workspace, name = 'Agent') =>
      bridge.post('/api/v1/agents', bearer(person), { name, workspace_id: workspace });
    const listAgents = (person, workspace) =>
      bridge.get(`/api/v1/agents/workspaces/${workspace}/agents`, bearer(person));
    const made = async (answer) => {
      const { status, json, text } = await answer;
      assert.equal(status, 201, text);
      return json;
    };

    test('an explicit permission is what it says', async () => {
      const [owner, person] = [await world.signUp(sim, 'Owner'), await world.signUp(sim)];
      const workspace = await world.rows.workspace(owner);
      assertWorkspaces(await status(owner), { [workspace]: 'admin' });
      assertWorkspaces(await status(person), {});
      for (const permission of ['read', 'write', 'admin']) {
        await world.rows.permit(person, workspace, permission);
        assertWorkspaces(await status(person), { [workspace]: permission });
        const listed = await bridge.get('/api/v1/auth/workspaces', bearer(person));
        assert.equal(listed.status, 200, listed.text);
        const access = await bridge.get(`/api/v1/auth/workspaces/${workspace}/access`, bearer(person));
        assert.equal(access.status, 200, access.text);
        assert.equal(access.json.has_access, true);
        assert.equal(access.json.workspace.id, workspace);
      }
      await world.rows.forbid(person, workspace);
      assertWorkspaces(await status(person), {});
    });

    test('to own a workspace is no permission', async () => {
      const person = await world.signUp(sim);
      const workspace = await world.rows.workspace(person, { permission: null });
      assertWorkspaces(await status(person), {});
      assertDenied(await createAgent(person, workspace), { person, workspace, permission: 'write' });
    });

    test('a platform administrator has no workspace by that', async () => {
      const [owner, person] = [await world.signUp(sim, 'Owner'), await world.signUp(sim, 'Root')];
      await world.rows.workspace(owner);
      await world.rows.makePlatformAdmin(person);
      assertWorkspaces(await status(person), {});
    });

    test('an archived workspace is gone until it comes back', async () => {
      const person = await world.signUp(sim);
      const [kept, archived] = [await world.rows.workspace(person), await world.rows.workspace(person)];
      const agent = await made(createAgent(person, archived));
      await world.rows.archive(archived);
      assertWorkspaces(await status(person), { [kept]: 'admin' });
      assertDenied(await createAgent(person, archived), { person, workspace: archived, permission: 'write' });
      assertDenied(await listAgents(person, archived), { person, workspace: archived, permission: 'read' });
      assertError(await bridge.get(`/api/v1/agents/${agent.id}`, bearer(person)), 404, 'AGENT_NOT_FOUND');
      assert.deepEqual((await bridge.get('/api/v1/agents', bearer(person))).json, []);
      await world.rows.unarchive(archived);
      assertWorkspaces(await status(person), { [kept]: 'admin', [archived]: 'admin' });
      assert.equal((await bridge.get(`/api/v1/agents/${agent.id}`, bearer(person))).status, 200);
    });

    test("an organization's owner and administrators are admin on its workspaces, members are not", async () => {
      const [owner, admin, member] = await Promise.all(
        ['Owner', 'Admin', 'Member'].map((name) => world.signUp(sim, name)),
      );
      const org = await organization(owner);
      await org.invite(admin, 'admin');
      const memberId = await org.invite(member, 'member');
      const shared = await world.rows.workspace(owner, { organization: org.id, permission: null });
      const personal = await world.rows.workspace(owner);

      assertWorkspaces(await status(owner), { [shared]: 'admin', [personal]: 'admin' });
      assertWorkspaces(await status(admin), { [shared]: 'admin' });
      assertWorkspaces(await status(member), {});
      await made(createAgent(admin, shared));
      assertDenied(await listAgents(member, shared), { person: member, workspace: shared, permission: 'read' });

      await world.rows.permit(admin, shared, 'read');
      assertWorkspaces(await status(admin), { [shared]: 'admin' });
      await world.rows.permit(member, shared, 'read');
      assertWorkspaces(await status(member), { [shared]: 'read' });
      await org.setRole(memberId, 'admin');
      assertWorkspaces(await status(member), { [shared]: 'admin' });
      await org.setRole(memberId, 'member');
      assertWorkspaces(await status(member), { [shared]: 'read' });
    });

    test('a removed member keeps nothing of the organization', async () => {
      const [owner, admin] = [await world.signUp(sim, 'Owner'), await world.signUp(sim, 'Admin')];
      const org = await organization(owner);
      const memberId = await org.invite(admin, 'admin');
      const shared = await world.rows.workspace(owner, { organization: org.id });
      const agent = await made(createAgent(admin, shared));
      await org.remove(memberId);
      assertAdmitted(await status(admin), admin);
      assertWorkspaces(await status(admin), {});
      assertDenied(await createAgent(admin, shared), { person: admin, workspace: shared, permission: 'write' });
      assertError(await bridge.get(`/api/v1/agents/${agent.id}`, bearer(admin)), 404, 'AGENT_NOT_FOUND');
      assert.equal((await bridge.get(`/api/v1/agents/${agent.id}`, bearer(owner))).status, 200);
    });

    test('the organization of one workspace opens no other', async () => {
      const [one, other] = [await world.signUp(sim, 'One'), await world.signUp(sim, 'Other')];
      const [ones, others] = [await organization(one), await organization(other)];
      const [mine, theirs] = [
        await world.rows.workspace(one, { organization: ones.id, permission: null }),
        await world.rows.workspace(other, { organization: others.id, permission: null }),
      ];
      assertWorkspaces(await status(one), { [mine]: 'admin' });
      assertWorkspaces(await status(other), { [theirs]: 'admin' });
    });

    test('who may read looks and talks, and changes nothing', async () => {
      const [owner, reader] = [await world.signUp(sim, 'Owner'), await world.signUp(sim, 'Reader')];
      const workspace = await world.rows.workspace(owner);
      await world.rows.permit(reader, workspace, 'read');
      const agent = await made(createAgent(owner, workspace));
      const path = `/api/v1/agents/${agent.id}`;
      const denied = { person: reader, workspace, permission: 'write' };

      assert.deepEqual((await listAgents(reader, workspace)).json.map(({ id }) => id), [agent.id]);
      assert.equal((await bridge.get(path, bearer(reader))).status, 200);
      const session = { agent_id: agent.id, workspace_id: workspace };
      await made(bridge.post('/api/v1/agents/sessions', bearer(reader), session));

      assertDenied(await createAgent(reader, workspace, 'Mine'), denied);
      const credential = bearer(reader);
      assertDenied(await bridge.request('PATCH', path, { credential, json: { name: 'Mine' } }), denied);
      assertDenied(await bridge.request('DELETE', path, { credential }), denied);
      assert.equal((await bridge.get(path, bearer(owner))).json.name, agent.name);
    });

    test('who may write changes any agent, and archives only their own', async () => {
      const [owner, writer] = [await world.signUp(sim, 'Owner'), await world.signUp(sim, 'Writer')];
      const workspace = await world.rows.workspace(owner);
      await world.rows.permit(writer, workspace, 'write');
      const [owners, writers] = [
        await made(createAgent(owner, workspace, 'Of the owner')),
        await made(createAgent(writer, workspace, 'Of the writer')),
      ];
      const remove = (person, agent) =>
        bridge.request('DELETE', `/api/v1/agents/${agent.id}`, { credential: bearer(person) });
      const renamed = await bridge.request('PATCH', `/api/v1/agents/${owners.id}`, {
        credential: bearer(writer),
        json: { name: 'Renamed' },
      });
      assert.equal(renamed.status, 200, renamed.text);
      assertDenied(await remove(writer, owners), { person: writer, workspace, permission: 'admin' });
      assert.ok((await remove(writer, writers)).status < 300);
      assert.ok((await remove(owner, owners)).status < 300);
      assert.deepEqual((await listAgents(owner, workspace)).json, []);
    });

    test('nobody sees what belongs to another workspace', async () => {
      const [one, other] = [await world.signUp(sim, 'One'), await world.signUp(sim, 'Other')];
      const [mine, theirs] = [await world.rows.workspace(one), await world.rows.workspace(other)];
      const agent = await made(createAgent(one, mine));
      const session = await made(
        bridge.post('/api/v1/agents/sessions', bearer(one), { agent_id: agent.id, workspace_id: mine }),
      );
      const stranger = bearer(other);

      assert.deepEqual((await bridge.get('/api/v1/agents', stranger)).json, []);
      assert.deepEqual((await bridge.get('/api/v1/agents/sessions', stranger)).json, []);
      assertDenied(await bridge.get(`/api/v1/agents?workspace_id=${mine}`, stranger), {
        person: other,
        workspace: mine,
        permission: 'read',
      });
      assertDenied(await listAgents(other, mine), { person: other, workspace: mine, permission: 'read' });
      assertDenied(await createAgent(other, mine), { person: other, workspace: mine, permission: 'write' });
      const unknown = crypto.randomUUID();
      assertDenied(await listAgents(other, unknown), { person: other, workspace: unknown, permission: 'read' });

      for (const [method, json] of [['GET'], ['PATCH', { name: 'Taken' }], ['DELETE']]) {
        const answer = await bridge.request(method, `/api/v1/agents/${agent.id}`, { credential: stranger, json });
        assertError(answer, 404, 'AGENT_NOT_FOUND');
      }
      const start = (workspace) =>
        bridge.post('/api/v1/agents/sessions', stranger, { agent_id: agent.id, workspace_id: workspace });
      assertError(await start(theirs), 404, 'AGENT_NOT_FOUND');
      assertDenied(await start(mine), { person: other, workspace: mine, permission: 'read' });

      const path = `/api/v1/agents/sessions/${session.session_id}`;
      for (const answer of [
        await bridge.get(path, stranger),
        await bridge.request('DELETE', path, { credential: stranger }),
        await bridge.get(`${path}/messages`, stranger),
        await bridge.post(`${path}/messages`, stranger, { content: 'Hello' }),
      ]) {
        assertError(answer, 404, 'SESSION_NOT_FOUND');
      }
      assert.equal((await bridge.get(path, bearer(one))).json.status, 'active');
    });
  });
}
