// Agents, sessions and messages over HTTP, as a client uses them.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { until } from '../../lib/until.mjs';

export const SESSIONS = '/api/v1/agents/sessions';

export async function agent(bridge, world, fields = {}) {
  const answer = await bridge.post('/api/v1/agents', world.credential, {
    name: `Agent ${randomUUID()}`,
    workspace_id: world.workspaces[0],
    ...fields,
  });
  assert.equal(answer.status, 201, answer.text);
  return answer.json;
}

export async function session(bridge, world, { id, workspace_id }) {
  const answer = await bridge.post(SESSIONS, world.credential, { agent_id: id, workspace_id });
  assert.equal(answer.status, 201, answer.text);
  return answer.json.session_id;
}

/** Posts as a careful client does: again, with the same key, until somebody says that it was taken. */
export function post(bridge, world, sessionId, content, { deadline = 60_000 } = {}) {
  const headers = { 'Idempotency-Key': randomUUID() };
  return until(
    `a message is taken`,
    async () => {
      const answer = await bridge().post(`${SESSIONS}/${sessionId}/messages`, world.credential, { content }, {
        headers,
        deadline: 10_000,
      });
      assert.ok([201, 200].includes(answer.status), `${answer.status} ${answer.text}`);
      return answer.json;
    },
    { deadline },
  );
}

/** Everything that was said, in its order. */
export async function messages(bridge, world, sessionId) {
  const all = [];
  for (;;) {
    const path = `${SESSIONS}/${sessionId}/messages?limit=100&offset=${all.length}`;
    const answer = await bridge.get(path, world.credential);
    assert.equal(answer.status, 200, answer.text);
    all.push(...answer.json.messages);
    if (all.length >= answer.json.total) break;
  }
  assert.deepEqual(all.map(({ offset }) => offset), all.map((_, index) => index), 'a gap between messages');
  return all;
}

/** What was said in reply to a message. */
export const replies = (all, { id }) => all.filter(({ metadata }) => metadata?.in_reply_to === id);

/** Posts a message and waits for its answer. */
export async function ask(bridge, world, sessionId, content, { deadline = 30_000 } = {}) {
  const message = await post(() => bridge, world, sessionId, content);
  return until(
    'the message is answered',
    async () => replies(await messages(bridge, world, sessionId), message).find((reply) => !reply.metadata.preamble),
    { deadline },
  );
}
