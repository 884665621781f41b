// From a fault to Slack without anything but the server itself: each fault is told once, soon after the time that its
// rule gives it, and so is its end.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

import { holdMemory } from '../../lib/memory.mjs';
import { FACTOR, INTERVAL, Scene, World, timeOf } from '../lib/scene.mjs';

const run = promisify(execFile);
const world = World.around();
// Servers of one database agree on who tells what: those of different stories that tell the same must not share one.
const worlds = { pair: World.around(), killed: World.around(), away: World.around() };
const MINUTE = 60;

/** What a health check needs to notice, and a message to arrive: two seconds of ours. */
const SLACK = 2 * FACTOR;

/**
 * Breaks something, waits for the one message about it, mends it and waits for the other. `hold` is the rule's, `after`
 * how long the rule's window remembers what is over. `breakage` gives what mends, which may give a server that took over.
 */
async function tell(scene, server, { page, color, hold, after = 0, says, breakage }) {
  const whole = await timeOf(server);
  const mend = await breakage();
  // Some things take their time to break.
  const broken = await timeOf(server);
  try {
    const firing = await scene.tells(page, 'firing', { within: 3 * (hold + after + 2 * INTERVAL + SLACK) });
    assert.equal(firing.color, color);
    assert.match(firing.text, says);
    const took = firing.at - broken;
    assert.ok(firing.at - whole >= hold - 1, `told before the ${hold} s of the rule`);
    assert.ok(took <= hold + after + 2 * INTERVAL + SLACK, `told after ${took} s, for a rule of ${hold} s`);
  } catch (error) {
    await mend();
    throw error;
  }
  const mended = await timeOf((await mend()) ?? server);
  const resolved = await scene.tells(page, 'resolved', { within: 3 * (after + 2 * INTERVAL + SLACK) });
  assert.equal(resolved.color, 'good');
  const took = resolved.at - mended;
  assert.ok(took <= after + 2 * INTERVAL + SLACK, `its end was told ${took} s after it`);
  // Whatever else there might be to say about it.
  await pause((3 * INTERVAL * 1000) / FACTOR);
  assert.deepEqual(scene.told(page).map(({ status }) => status), ['firing', 'resolved']);
}

/** Nobody was told of anything but this. */
function only(scene, ...pages) {
  for (const { link, text } of scene.slack.messages) {
    assert.ok(pages.includes(link.split('/').pop()), `Slack was told of ${link}: ${text}`);
  }
}

describe('a fault is told once, and its end', { concurrency: true }, () => {
  test('the database is gone', async () => {
    const scene = await Scene.in(world);
    const server = await scene.server();
    await tell(scene, server, {
      page: 'parlant-database-down',
      color: 'danger',
      hold: MINUTE,
      says: /PostgreSQL does not answer/,
      breakage: async () => {
        scene.database.refuse();
        return () => scene.database.restore();
      },
    });
    only(scene, 'parlant-database-down');
    await server.child.stop();
  });

  test('Sim is gone', async () => {
    const scene = await Scene.in(world);
    const server = await scene.server();
    await tell(scene, server, {
      page: 'parlant-health-check-failing',
      color: 'warning',
      hold: 5 * MINUTE,
      says: /sim_api/,
      breakage: async () => {
        await scene.stopSim();
        return () => scene.startSim();
      },
    });
    only(scene, 'parlant-health-check-failing');
  });

  test('requests fail', async () => {
    const scene = await Scene.in(world);
    const server = await scene.server();
    let going = true;
    const load = (async () => {
      while (going) {
        await server.get('/api/v1/agents', world.credential).catch(() => {});
        await pause(50);
      }
    })();
    await tell(scene, server, {
      page: 'parlant-high-error-rate',
      color: 'warning',
      hold: 2 * MINUTE,
      after: 5 * MINUTE,
      says: /\d+% of the requests/,
      breakage: async () => {
        await world.sql(`revoke select on parlant_agent from ${scene.role}`);
        return () => world.sql(`grant select on parlant_agent to ${scene.role}`);
      },
    });
    going = false;
    await load;
    // A rate of errors this high burns the budget as well.
    only(scene, 'parlant-high-error-rate', 'parlant-error-budget-burn');
  });

  test('memory is short', async () => {
    const scene = await Scene.in(world);
    const server = await scene.server({ MAX_SESSIONS_PER_USER: '1000' });
    await tell(scene, server, {
      page: 'parlant-high-memory-usage',
      color: 'warning',
      hold: 5 * MINUTE,
      says: /2\.\d+GiB of memory/,
      breakage: async () => {
        const agent = await server.post('/api/v1/agents', world.credential, { name: 'Large', workspace_id: world.workspace });
        assert.equal(agent.status, 201, agent.text);
        const session = await server.post('/api/v1/agents/sessions', world.credential, {
          agent_id: agent.json.id,
          workspace_id: world.workspace,
        });
        assert.equal(session.status, 201, session.text);
        const held = async () => {
          const { text } = await server.get('/metrics');
          return Number(text.match(/^process_resident_memory_bytes (\S+)$/m)[1]) / 2 ** 31;
        };
        const release = await holdMemory(server, world.credential, session.json.session_id, held, { deadline: 60_000 });
        return async () => {
          await release();
          // An allocator need not give back what is free. Whoever is on call restarts the server.
          await server.child.stop();
          return scene.server();
        };
      },
    });
  });

  test('a disk is full', async () => {
    const scene = await Scene.in(world);
    const disk = path.join(world.directory, 'disk');
    await mkdir(disk);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'parlant-e2e', disk]);
    try {
      const server = await scene.server({ BACKUP_DIR: disk });
      await tell(scene, server, {
        page: 'parlant-disk-space-low',
        color: 'warning',
        hold: 10 * MINUTE,
        says: /9\d(\.\d+)?% full/,
        breakage: async () => {
          const file = path.join(disk, 'backup');
          await writeFile(file, Buffer.alloc(3_800_000));
          return () => rm(file);
        },
      });
    } finally {
      await run('umount', [disk]);
    }
  });
});

describe('several servers, and their ends', { concurrency: true }, () => {
  test('of two servers one tells; when it dies, the other knows how it ends', async () => {
    const scene = await Scene.in(worlds.pair);
    const states = await Promise.all(['a', 'b'].map(async (name) => {
      const state = path.join(scene.state, name);
      await mkdir(state);
      return state;
    }));
    const servers = await Promise.all(states.map((state) => scene.server({ ALERT_STATE_DIR: state })));
    await scene.stopSim();
    const page = 'parlant-health-check-failing';
    await scene.tells(page, 'firing', { within: 8 * MINUTE });
    await pause((4 * INTERVAL * 1000) / FACTOR);
    assert.deepEqual(scene.told(page).slice(1), [], 'told once');
    // The one that told is the one whose session holds the lock.
    const [first, second] = servers;
    first.child.signal('SIGKILL');
    await first.child.ended;
    await pause((5 * INTERVAL * 1000) / FACTOR);
    const told = scene.told(page).length;
    assert.ok(told <= 2, 'at most once more');
    await scene.startSim();
    await scene.tells(page, 'resolved', { within: 4 * MINUTE });
    await pause((4 * INTERVAL * 1000) / FACTOR);
    assert.deepEqual(scene.told(page).slice(told).map(({ status }) => status), ['resolved']);
  });

  test('a server that is killed tells nothing twice and forgets no end', async () => {
    const scene = await Scene.in(worlds.killed);
    let server = await scene.server();
    await scene.stopSim();
    const page = 'parlant-health-check-failing';
    await scene.tells(page, 'firing', { within: 8 * MINUTE });
    server.child.signal('SIGKILL');
    await server.child.ended;
    server = await scene.server();
    await pause((12 * INTERVAL * 1000) / FACTOR);
    assert.deepEqual(scene.told(page).map(({ text, at, fields }) => ({ text, at, fields })).slice(1), [], 'not told again');
    server.child.signal('SIGKILL');
    await server.child.ended;
    await scene.startSim();
    server = await scene.server();
    await scene.tells(page, 'resolved', { within: 4 * MINUTE });
    assert.deepEqual(scene.told(page).map(({ status }) => status), ['firing', 'resolved']);
  });

  test('while Slack is away nothing is lost', async () => {
    const scene = await Scene.in(worlds.away);
    let server = await scene.server();
    const page = 'parlant-health-check-failing';
    scene.slack.status = 503;
    await scene.stopSim();
    await pause((8 * MINUTE * 1000) / FACTOR);
    // Not even by a stop in the meantime.
    await server.child.stop();
    server = await scene.server();
    await scene.startSim();
    await pause((2 * MINUTE * 1000) / FACTOR);
    assert.deepEqual(scene.told(page), []);
    scene.slack.status = 200;
    // The longest pause between two tries is five minutes.
    await scene.tells(page, 'resolved', { within: 8 * MINUTE });
    assert.deepEqual(scene.told(page).map(({ status }) => status), ['firing', 'resolved']);
  });
});
