// Whether everything that was taken is answered or marked failed, exactly once, whatever dies meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { until } from '../../lib/until.mjs';
import { agent, ask, messages, post, replies, session } from '../lib/talk.mjs';
import { World } from '../lib/world.mjs';

const SESSION_COUNT = 30;
const MESSAGES_EACH = 8;

let parlant;
/** Two replicas. */
const bridges = [];
const world = World.around(async () => {
  parlant = await world.parlant();
  for (let index = 0; index < 2; index += 1) {
    bridges.push(await world.bridge(parlant, { PARLANT_TURN_TIMEOUT: '60s' }));
  }
});

const any = () => bridges[Math.floor(Math.random() * bridges.length)];

/** The message was answered or failed, once, and with the answer to it. */
function judge(all, message) {
  const ends = replies(all, message).filter(({ metadata }) => !metadata.preamble);
  assert.equal(ends.length, 1, `${ends.length} ends of message ${message.offset}: ${JSON.stringify(all)}`);
  const [end] = ends;
  if (end.message_type === 'system') return { failed: end.metadata.error };
  assert.equal(end.message_type, 'agent');
  assert.equal(end.content, `Stub reply to: ${message.content}`);
  return {};
}

let made;
const agentSession = () => session(bridges[0], world, made);

test('Parlant restarted with nothing in its memory', async (t) => {
  made = await agent(bridges[0], world, { guidelines: ['Be kind', { condition: 'c', action: 'a' }] });
  const id = await agentSession();
  await ask(any(), world, id, 'one');
  await parlant.kill();
  const message = await post(any, world, id, 'two');
  await pause(1_500);
  await parlant.again();
  const began = Date.now();
  const all = await until('it is answered', async () => {
    const all = await messages(any(), world, id);
    return replies(all, message).length > 0 && all;
  }, { deadline: 60_000 });
  t.diagnostic(`answered ${Date.now() - began} ms after Parlant was back`);
  assert.deepEqual(judge(all, message), {});
  // It was told what had been said before.
  const [twin] = (await parlant.get('/sessions')).json;
  const events = (await parlant.get(`/sessions/${twin.id}/events?wait_for_data=0&kinds=message`)).json;
  assert.deepEqual(events.map(({ data }) => data.message), ['one', 'Stub reply to: one', 'two', 'Stub reply to: two']);
});

test('Parlant frozen for longer than anybody waits', async (t) => {
  const ids = await Promise.all(Array.from({ length: 20 }, agentSession));
  const posted = await Promise.all(ids.map((id, index) => post(any, world, id, `before ${index}`)));
  // Some have been asked by then, and some not.
  await pause(500);
  parlant.freeze();
  await pause(20_000);
  parlant.thaw();
  const began = Date.now();
  const read = async (id) => messages(any(), world, id);
  await Promise.all(ids.map((id, index) => until(
    'it is answered', async () => replies(await read(id), posted[index]).length > 0, { deadline: 60_000 })));
  t.diagnostic(`all ${ids.length} had their end ${Date.now() - began} ms after the thaw`);
  await pause(3_000);
  for (const [index, id] of ids.entries()) assert.deepEqual(judge(await read(id), posted[index]), {});
});

test('hundreds of messages while everything dies', async (t) => {
  const faults = {
    'a bridge killed': async () => {
      const index = Math.floor(Math.random() * bridges.length);
      await bridges[index].kill();
      bridges[index] = await bridges[index].again();
    },
    'Parlant restarted empty': async () => {
      await parlant.kill();
      await pause(Math.random() * 1_000);
      await parlant.again();
    },
    'Parlant frozen': async () => {
      parlant.freeze();
      await pause(1_000 + Math.random() * 3_000);
      parlant.thaw();
    },
    'PostgreSQL crashed': () => world.crashPostgres(),
  };
  let talking = true;
  const counts = {};
  const monkey = (async () => {
    for (let turn = 0; talking; turn += 1) {
      const names = Object.keys(faults);
      const name = names[turn % names.length];
      await faults[name]();
      counts[name] = (counts[name] ?? 0) + 1;
      await pause(500 + Math.random() * 2_000);
    }
  })();

  const began = Date.now();
  const conversations = await Promise.all(Array.from({ length: SESSION_COUNT }, async (_, number) => {
    const id = await until('a session is started', agentSession);
    const posted = [];
    for (let turn = 0; turn < MESSAGES_EACH; turn += 1) {
      posted.push(await post(any, world, id, `session ${number}, message ${turn}`));
      await pause(Math.random() * 5_000);
    }
    return { id, posted };
  }));
  talking = false;
  await monkey;
  const calm = Date.now();
  const failed = {};
  for (const { id, posted } of conversations) {
    const all = await until('every message has its end', async () => {
      const all = await messages(any(), world, id);
      return posted.every((message) => replies(all, message).length > 0) && all;
    }, { deadline: 240_000 });
    // Nothing was taken twice.
    assert.deepEqual(all.filter(({ message_type }) => message_type === 'user').map((message) => message.id), posted.map((message) => message.id));
    for (const message of posted) {
      const { failed: reason } = judge(all, message);
      if (reason) failed[reason] = (failed[reason] ?? 0) + 1;
    }
    // In the order of the questions.
    const answered = all.map(({ metadata }) => metadata?.in_reply_to).filter(Boolean);
    assert.deepEqual(answered, posted.map((message) => message.id));
  }
  t.diagnostic(`${SESSION_COUNT * MESSAGES_EACH} messages in ${calm - began} ms, with ${JSON.stringify(counts)}`);
  t.diagnostic(`all had their end ${Date.now() - calm} ms after the last fault; failed: ${JSON.stringify(failed)}`);
  const [open] = await world.sql("select count(*) from parlant_outbox where state = 'open'");
  assert.equal(open, '0');
  const failures = Object.values(failed).reduce((sum, count) => sum + count, 0);
  assert.ok(failures <= SESSION_COUNT * MESSAGES_EACH / 20, `too many failed: ${JSON.stringify(failed)}`);
  // Late doubles would be here by now.
  await pause(3_000);
  for (const { id, posted } of conversations) {
    const all = await messages(any(), world, id);
    for (const message of posted) judge(all, message);
  }
});
