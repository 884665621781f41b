// Whether a Parlant answers through the bridge, and to whom.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { until } from '../../lib/until.mjs';
import { connect, listen } from '../../lib/streams.mjs';
import { SESSIONS, agent, ask, messages, post, replies, session } from '../lib/talk.mjs';
import { World } from '../lib/world.mjs';

const GUIDELINES = ['Be kind', { condition: 'the customer greets', action: 'greet back' }];

let parlant;
let bridge;
const world = World.around(async () => {
  parlant = await world.parlant();
  bridge = await world.bridge(parlant);
});

const known = async (path) => (await parlant.get(path)).json;
const guidelines = ({ id }) => known(`/guidelines?tag_id=agent:${id}`);

test('an agent with guidelines answers, and says it by every way', async () => {
  const made = await agent(bridge, world, { name: 'Concierge', guidelines: GUIDELINES });
  const id = await session(bridge, world, made);
  const stream = await listen(bridge, world, `${SESSIONS}/${id}/events`);
  assert.equal(stream.status, 200);
  const socket = await connect(bridge, world, `/api/v1/agents/ws?workspace_id=${made.workspace_id}`);
  const message = await post(() => bridge, world, id, 'Guten Tag 👋');
  const expected = 'Stub reply to: Guten Tag 👋';

  const answer = await until('polling finds it', async () => replies(await messages(bridge, world, id), message)[0], {
    deadline: 30_000,
  });
  assert.equal(answer.content, expected);
  assert.equal(answer.message_type, 'agent');
  assert.equal(answer.session_id, id);
  assert.ok(answer.metadata.processing_time_ms > 0, JSON.stringify(answer.metadata));
  const followed = (await guidelines(made)).map((guideline) => guideline.id);
  assert.equal(followed.length, 2);
  assert.deepEqual([...answer.metadata.matched_guidelines].sort(), followed.sort());

  const said = await until('the stream tells it', async () =>
    stream.events.find(({ event, data }) => event === 'message' && data.id === answer.id));
  assert.deepEqual(said.data, answer);
  const statuses = stream.events.filter(({ event }) => event === 'status').map(({ data }) => data.status);
  assert.ok(statuses.includes('typing'), statuses.join());

  const frame = await until('the socket tells it', async () =>
    socket.events.find(({ type, message }) => type === 'message:new' && message?.id === answer.id));
  assert.equal(frame.session_id, id);
  assert.ok(socket.events.some(({ type }) => type === 'agent:status'));

  // Who comes back is told what it missed and nothing else.
  stream.close();
  socket.close();
  const back = await listen(bridge, world, `${SESSIONS}/${id}/events`, { 'Last-Event-ID': '0' });
  await until('the stream goes on', async () => back.events.length > 0);
  assert.deepEqual(back.events.map(({ data }) => data.id), [answer.id]);
  back.close();
});

test('a changed agent is another one from its next answer on, and a deleted one is gone', async () => {
  const made = await agent(bridge, world, { guidelines: GUIDELINES });
  const id = await session(bridge, world, made);
  await ask(bridge, world, id, 'before');
  const patch = { name: `Changed ${made.id}`, guidelines: ['Be brief'] };
  const path = `/api/v1/agents/${made.id}`;
  assert.equal((await bridge.request('PATCH', path, { credential: world.credential, json: patch })).status, 200);
  await ask(bridge, world, id, 'after');
  assert.equal((await known(`/agents/${made.id}`)).name, patch.name);
  assert.deepEqual((await guidelines(made)).map(({ action }) => action), ['Be brief']);
});

test('a failed turn is told as such, without what Parlant says about it', async () => {
  const id = await session(bridge, world, await agent(bridge, world));
  const failure = await ask(bridge, world, id, 'please STUB_FAIL now');
  assert.equal(failure.message_type, 'system');
  assert.equal(failure.metadata.error, 'engine_error');
  assert.doesNotMatch(JSON.stringify(failure), /Traceback|\.py|STUB/);
  const answer = await ask(bridge, world, id, 'and now?');
  assert.equal(answer.content, 'Stub reply to: and now?');
});

test('two workspaces with equal agents share nothing', async () => {
  const [one, other] = world.workspaces;
  const twins = await Promise.all(
    [one, other].map((workspace_id) => agent(bridge, world, { name: 'Help desk', guidelines: GUIDELINES, workspace_id })),
  );
  const ids = await Promise.all(twins.map((made) => session(bridge, world, made)));
  const texts = ['only the first knows', 'only the second knows'];
  await Promise.all(ids.map((id, index) => ask(bridge, world, id, texts[index])));

  const sets = (await Promise.all(twins.map(guidelines))).map((list) => list.map(({ id }) => id));
  assert.deepEqual(sets.map((list) => list.length), [2, 2]);
  assert.equal(new Set(sets.flat()).size, 4);
  const sessions = (await known('/sessions')).filter(({ agent_id }) => twins.some(({ id }) => id === agent_id));
  assert.equal(sessions.length, 2);
  // The same person is two customers, and neither tells who it is.
  assert.equal(new Set(sessions.map(({ customer_id }) => customer_id)).size, 2);
  for (const { id, agent_id } of sessions) {
    const events = (await parlant.get(`/sessions/${id}/events?wait_for_data=0`)).text;
    const index = twins.findIndex((twin) => twin.id === agent_id);
    assert.ok(events.includes(texts[index]) && !events.includes(texts[1 - index]));
  }

  // The end of one is not the end of the other.
  const path = `/api/v1/agents/${twins[0].id}`;
  assert.equal((await bridge.request('DELETE', path, { credential: world.credential })).status, 200);
  assert.equal((await ask(bridge, world, ids[1], 'still there?')).content, 'Stub reply to: still there?');
  assert.deepEqual((await guidelines(twins[1])).map(({ id }) => id).sort(), sets[1].sort());
});

test('fifty sessions at once keep their order', async (t) => {
  const made = await agent(bridge, world, { guidelines: ['Be kind'] });
  const began = Date.now();
  const waits = [];
  await Promise.all(
    Array.from({ length: 50 }, async (_, number) => {
      const id = await session(bridge, world, made);
      const posted = [];
      // All at once: the next does not wait for the answer.
      for (let turn = 0; turn < 3; turn += 1) posted.push(await post(() => bridge, world, id, `session ${number}, ${turn}`));
      const all = await until('all are answered', async () => {
        const all = await messages(bridge, world, id);
        return all.length === 6 && all;
      }, { deadline: 120_000 });
      const answers = all.filter(({ message_type }) => message_type === 'agent');
      assert.deepEqual(answers.map(({ content }) => content), posted.map(({ content }) => `Stub reply to: ${content}`));
      assert.deepEqual(answers.map(({ metadata }) => metadata.in_reply_to), posted.map((message) => message.id));
      waits.push(...answers.map(({ metadata }) => metadata.processing_time_ms));
    }),
  );
  waits.sort((a, b) => a - b);
  t.diagnostic(`150 answers in ${Date.now() - began} ms; each took ${waits[75]} ms (median), ${waits[142]} ms (95 %)`);
});

test('one answer, nobody else asking', async (t) => {
  const id = await session(bridge, world, await agent(bridge, world));
  const waits = [];
  for (let turn = 0; turn < 10; turn += 1) {
    const stream = await listen(bridge, world, `${SESSIONS}/${id}/events?after=${2 * turn - 1 + (turn === 0)}`);
    const began = Date.now();
    await post(() => bridge, world, id, `turn ${turn}`);
    const answer = await until('it is told', async () =>
      stream.events.find(({ event, data }) => event === 'message' && data.content === `Stub reply to: turn ${turn}`));
    waits.push(answer.at - began);
    stream.close();
  }
  waits.sort((a, b) => a - b);
  t.diagnostic(`from the post to the stream: ${waits[5]} ms (median), ${waits.at(-1)} ms (longest)`);
});
