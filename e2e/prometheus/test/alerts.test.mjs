// From a fault to somebody's telephone: what breaks the live server makes the real rule fire in a real Prometheus, a
// real Alertmanager delivers it, and delivers the all-clear when the fault is gone.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { before, describe, test } from 'node:test';

import { holdMemory } from '../../lib/memory.mjs';
import { until } from '../../lib/until.mjs';
import { Stack } from '../lib/stack.mjs';

const stack = Stack.around((stack) => stack.backup());

/** How long each half of a story may take, in milliseconds. */
const DEADLINE = 120_000;

/** An error budget remembers by design, and the machine's disks are its own affair. */
const LASTING = new Set(['ParlantWatchdog', 'ParlantErrorBudgetBurn', 'ParlantDiskSpaceLow']);

/** Nothing that a story before has left is pending, firing or untold. */
const quiet = () =>
  until(
    'all is quiet',
    async () => {
      const pending = (await stack.query('ALERTS')).map(({ metric }) => metric.alertname);
      const held = (await stack.alerts()).map(({ labels }) => labels.alertname);
      return [...pending, ...held].every((alert) => LASTING.has(alert));
    },
    { deadline: DEADLINE },
  );

const kebab = (alert) => alert.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).slice(1);

/**
 * Breaks something, waits for the alert in Slack, does what only holds meanwhile, mends it, and waits for the all-clear.
 * `breakage` returns how to mend.
 */
async function tell({ alert, severity, breakage, deadline = DEADLINE, meanwhile = async () => {} }, since) {
  const mend = await breakage();
  try {
    const message = await stack.receiver.message(alert, 'firing', { since, deadline });
    assert.ok(message.text.trim().length > 20, 'a message that says something');
    assert.doesNotMatch(message.text, /\{\{|no value|\d\.\d{6}/, 'a template or a raw number');
    assert.ok(message.link.endsWith(`/${kebab(alert)}`), message.link);
    assert.equal(message.pretext, severity === 'critical' ? '<!channel>' : '');
    const firing = await stack.query(`ALERTS{alertname="${alert}", alertstate="firing"}`);
    assert.ok(firing.length > 0 && firing.every(({ metric }) => metric.severity === severity), alert);
    await meanwhile(since);
  } finally {
    await mend();
  }
  await stack.receiver.message(alert, 'resolved', { since, deadline });
}

/** Tells these stories at once. Nobody hears of anything but their alerts and these consequences. */
function stories(name, faults, { consequences = [] } = {}) {
  test(name, async () => {
    await quiet();
    const since = stack.receiver.messages.length;
    const ends = await Promise.allSettled(faults.map((fault) => tell(fault, since)));
    const failed = ends.find(({ status }) => status === 'rejected');
    if (failed) throw failed.reason;
    const expected = [...faults.map(({ alert }) => alert), ...consequences, ...LASTING];
    const heard = stack.receiver.messages.slice(since).filter(({ status }) => status === 'firing');
    for (const { alert } of heard) assert.ok(expected.includes(alert), `Slack was told of ${alert}`);
  });
}

/** Alertmanager holds these alerts back, and Slack has not heard of them. */
async function assertInhibited(names, since) {
  for (const name of names) {
    await until(
      `${name} fires and is held back`,
      async () => {
        const alerts = (await stack.alerts()).filter(({ labels }) => labels.alertname === name);
        return alerts.length > 0 && alerts.every(({ status }) => status.inhibitedBy.length > 0);
      },
      { deadline: DEADLINE },
    );
  }
  const told = stack.receiver.messages.slice(since).filter(({ status }) => status === 'firing');
  for (const name of names) assert.ok(!told.some(({ alert }) => alert === name), `Slack was told of ${name}`);
}

test('the watchdog arrives again and again', () =>
  until('three heartbeats', async () => stack.receiver.heartbeats >= 3, { deadline: DEADLINE }));

/** What needs requests to be seen. */
const broken = {
  alert: 'ParlantHighErrorRate',
  severity: 'warning',
  breakage: async () => {
    await stack.sql('revoke select on parlant_agent from parlant_app');
    const stop = stack.load(2, () => stack.list());
    return async () => {
      await stop();
      await stack.sql('grant select on parlant_agent to parlant_app');
    };
  },
};
const slow = {
  alert: 'ParlantHighLatency',
  severity: 'warning',
  breakage: async () => {
    stack.database.proxy.delay(1_200);
    const stop = stack.load(2, () => stack.list());
    return async () => {
      stack.database.proxy.restore();
      await stop();
    };
  },
};
const busy = {
  alert: 'ParlantDatabaseConnectionsHigh',
  severity: 'warning',
  breakage: async () => {
    const unlock = await stack.lock('parlant_agent');
    const stop = stack.load(12, () => stack.list());
    return async () => {
      await unlock();
      await stop();
    };
  },
};
const strangers = {
  alert: 'ParlantAuthFailureRate',
  severity: 'warning',
  breakage: async () => {
    // A cache of no use is a check that is degraded, and that one looks back for five minutes, fast time or not.
    LASTING.add('ParlantServiceHealth');
    return stack.load(2, () => stack.stranger());
  },
  meanwhile: (since) => stack.receiver.message('ParlantAuthCacheMissRate', 'firing', { since, deadline: DEADLINE }),
};
const unknown = {
  alert: 'ParlantAuthUnavailable',
  severity: 'critical',
  breakage: async () => {
    stack.simDatabase.proxy.refuse();
    const stop = stack.load(2, () => stack.stranger());
    return async () => {
      await stop();
      stack.simDatabase.proxy.restore();
    };
  },
  meanwhile: (since) => assertInhibited(['ParlantHighErrorRate'], since),
};
const outage = {
  alert: 'ParlantDatabaseDown',
  severity: 'critical',
  breakage: async () => {
    stack.database.proxy.refuse();
    return async () => stack.database.proxy.restore();
  },
  meanwhile: async (since) => {
    // Now that the cause is known, its consequences are held back.
    const stop = stack.load(2, () => stack.list());
    await assertInhibited(['ParlantHighErrorRate', 'ParlantServiceHealth'], since);
    await stop();
    assert.equal((await stack.server.get('/livez')).status, 200);
  },
};
const down = {
  alert: 'ParlantServiceDown',
  severity: 'critical',
  breakage: async () => {
    await stack.server.child.stop();
    return () => stack.startServer();
  },
};

/** What is seen without a request. */
const noSim = {
  alert: 'ParlantHealthCheckFailing',
  severity: 'warning',
  breakage: async () => {
    await stack.stopSim();
    return () => stack.startSim();
  },
};
/** No alert of its own says that Sim answers with errors. */
const unwellSim = {
  alert: 'ParlantServiceHealth',
  severity: 'warning',
  breakage: async () => {
    stack.simStatus = 500;
    return async () => {
      stack.simStatus = 200;
    };
  },
  meanwhile: async (since) => {
    const { text } = await stack.receiver.message('ParlantServiceHealth', 'firing', { since, deadline: DEADLINE });
    assert.match(text, /sim_api/);
  },
};
const noEngine = {
  alert: 'ParlantEngineBacklog',
  severity: 'warning',
  breakage: async () => {
    stack.engine.refuse();
    await say(await newSession(await newAgent()), 'Is anybody there?');
    await stack.sql("update parlant_outbox set created_at = created_at - interval '130 s' where state = 'open'");
    return async () => stack.engine.restore();
  },
};
/** Each answer comes later than a turn may take. */
const slowEngine = {
  alert: 'ParlantEngineTurnsFailing',
  severity: 'warning',
  breakage: async () => {
    const agent = await newAgent();
    const sessions = await Promise.all(Array.from({ length: 4 }, () => newSession(agent)));
    stack.engine.delay(3_000);
    await Promise.all(sessions.flatMap((session) => [say(session, 'Hello?'), say(session, 'Hello!')]));
    return async () => {
      stack.engine.restore();
      await inTurn(20, async () => say(await newSession(agent), 'Hello again'));
    };
  },
};
const behind = {
  alert: 'ParlantMigrationsPending',
  severity: 'warning',
  // A schema that was seen to be up to date is not looked at again for a minute.
  deadline: DEADLINE + 60_000,
  breakage: async () => {
    const last = 'version = (select max(version) from parlant_migrations)';
    await stack.sql(`create table e2e_history as select * from parlant_migrations where ${last};
                     delete from parlant_migrations where ${last}`);
    return () => stack.sql('insert into parlant_migrations select * from e2e_history; drop table e2e_history');
  },
};
const crowded = {
  alert: 'ParlantTooManySessions',
  severity: 'warning',
  breakage: async () => {
    const agent = await newAgent();
    await inTurn(1_001, () => newSession(agent));
    return () => stack.sql(`update parlant_session set status = 'ended' where agent_id = '${agent}'`);
  },
};
const large = { alert: 'ParlantHighMemoryUsage', severity: 'warning', breakage: occupy };
const old = { alert: 'ParlantBackupTooOld', severity: 'warning', breakage: () => backdate('success') };
const unverified = { alert: 'ParlantBackupUnverified', severity: 'warning', breakage: () => backdate('verified') };

/** Rates look back further than an outage lasts here, and what it held back is told when it is over. */
const AFTERMATH = ['ParlantHighErrorRate', 'ParlantHighLatency', 'ParlantAuthFailureRate', 'ParlantServiceHealth'];

describe('an alert is delivered, and its end:', () => {
  stories('the database is gone', [outage], { consequences: AFTERMATH });
  stories('requests fail', [broken]);
  stories('a slow database makes requests slow', [slow], { consequences: ['ParlantServiceHealth'] });
  // Those who wait in vain for a connection are answered 503, the others late.
  stories('every connection is in use', [busy], { consequences: AFTERMATH });
  stories(
    'Sim and Parlant are gone, a migration is missing, sessions are many, no backup was made, memory is short',
    [noSim, noEngine, behind, crowded, old, large],
    // The large pages take their time.
    { consequences: ['ParlantHighLatency', 'ParlantServiceHealth'] },
  );
  stories('Sim answers with errors', [unwellSim]);
  stories('a slow Parlant', [slowEngine], { consequences: ['ParlantServiceHealth'] });
  stories('strangers try tokens, which no cache can know', [strangers], { consequences: ['ParlantAuthCacheMissRate'] });
  stories("Sim's database is gone", [unknown], { consequences: [...AFTERMATH, 'ParlantAuthCacheMissRate'] });
  stories('the server is gone, and backups are not verified', [down, unverified]);
  test('the errors of all this burn their budget', () =>
    stack.receiver.message('ParlantErrorBudgetBurn', 'firing', { deadline: DEADLINE }));
});

describe('of what an outage makes superfluous nobody hears:', () => {
  before(async () => {
    // The server was started anew, and so was its cache.
    LASTING.delete('ParlantServiceHealth');
    await quiet();
  });

  const critical = (alertname, labels) => ({ alertname, severity: 'critical', ...labels });
  const warning = (alertname, labels) => ({ alertname, severity: 'warning', ...labels });
  const a = { instance: 'a:8001' };
  const b = { instance: 'b:8001' };
  const cases = {
    'one server of two is gone': {
      cause: critical('ParlantServiceDown', a),
      held: [warning('ParlantHighMemoryUsage', a), warning('ParlantHealthCheckFailing', { ...a, check: 'sim_api' })],
      heard: [warning('ParlantHighMemoryUsage', b), warning('ParlantHighErrorRate'), warning('ParlantBackupTooOld', a)],
    },
    'there is no server at all': {
      cause: critical('ParlantServiceDown'),
      held: [warning('ParlantHighErrorRate'), critical('ParlantErrorBudgetBurn')],
      heard: [warning('ParlantBackupTooOld')],
    },
    'the database is gone': {
      cause: critical('ParlantDatabaseDown', a),
      held: [
        critical('ParlantAuthUnavailable', { source: 'database' }),
        warning('ParlantAuthFailureRate'),
        warning('ParlantDatabaseConnectionsHigh', b),
        warning('ParlantEngineBacklog'),
        warning('ParlantHighErrorRate'),
        warning('ParlantHighLatency'),
        critical('ParlantErrorBudgetBurn'),
        critical('ParlantServiceHealth', a),
      ],
      heard: [
        warning('ParlantHighMemoryUsage', a),
        warning('ParlantBackupTooOld'),
        critical('ParlantServiceDown', b),
        critical('ParlantServiceHealth', { instance: 'c:8001' }),
      ],
    },
    'a server cannot do its work': {
      cause: critical('ParlantServiceHealth', a),
      held: [
        warning('ParlantHealthCheckFailing', { ...a, check: 'sim_api' }),
        critical('ParlantAuthUnavailable', { source: 'http' }),
        warning('ParlantHighErrorRate'),
      ],
      heard: [warning('ParlantHealthCheckFailing', { ...b, check: 'disk_space' }), warning('ParlantDiskSpaceLow', a)],
    },
    'a disk of one server fills up': {
      cause: warning('ParlantDiskSpaceLow', a),
      held: [warning('ParlantServiceHealth', a)],
      heard: [warning('ParlantServiceHealth', b)],
    },
    'migrations are missing': {
      cause: warning('ParlantMigrationsPending'),
      held: [warning('ParlantServiceHealth', a)],
      heard: [critical('ParlantServiceHealth', b)],
    },
    'Sim cannot be asked': {
      cause: critical('ParlantAuthUnavailable', { source: 'http' }),
      held: [warning('ParlantAuthFailureRate'), warning('ParlantHighErrorRate')],
      heard: [warning('ParlantHighLatency')],
    },
    'errors burn the budget fast': {
      cause: critical('ParlantErrorBudgetBurn'),
      held: [warning('ParlantErrorBudgetBurn')],
      heard: [warning('ParlantHighErrorRate')],
    },
  };

  for (const [name, { cause, held, heard }] of Object.entries(cases)) {
    test(name, async () => {
      await stack.pretend([cause, ...held, ...heard], 1_500);
      const key = (labels) => JSON.stringify(Object.entries({ service: 'parlant-server', ...labels }).sort());
      const states = await until('Alertmanager has judged them', async () => {
        const alerts = (await stack.alerts()).filter(({ labels }) => labels.alertname !== 'ParlantWatchdog');
        return alerts.every(({ status }) => status.state !== 'unprocessed') &&
          new Map(alerts.map(({ labels, status }) => [key(labels), status.state]));
      });
      for (const labels of held) assert.equal(states.get(key(labels)), 'suppressed', key(labels));
      for (const labels of [cause, ...heard]) assert.equal(states.get(key(labels)), 'active', key(labels));
      await quiet();
    });
  }
});

/** The backup's numbers as they would be, had the last one of this kind been 27 hours ago. */
async function backdate(what) {
  const report = await readFile(stack.backupMetrics, 'utf8');
  const line = new RegExp(`^(parlant_backup_last_${what}_timestamp_seconds(\\{.*\\})? )(\\S+)$`, 'm');
  assert.match(report, line);
  const old = report.replace(line, (_, start, labels, time) => `${start}${Number(time) - 27 * 3600}`);
  await writeFile(stack.backupMetrics, old);
  return () => writeFile(stack.backupMetrics, report);
}

async function newAgent() {
  const name = `Agent ${crypto.randomUUID()}`;
  const answer = await stack.server.post('/api/v1/agents', stack.credential, { name, workspace_id: stack.workspace });
  assert.equal(answer.status, 201, answer.text);
  return answer.json.id;
}

async function newSession(agent) {
  const body = { agent_id: agent, workspace_id: stack.workspace };
  const answer = await stack.server.post('/api/v1/agents/sessions', stack.credential, body);
  assert.equal(answer.status, 201, answer.text);
  return answer.json.session_id;
}

async function say(session, content) {
  const path = `/api/v1/agents/sessions/${session}/messages`;
  const answer = await stack.server.post(path, stack.credential, { content });
  assert.equal(answer.status, 201, answer.text);
}

/** Does this so many times, a few at once. */
async function inTurn(times, act) {
  let left = times;
  const worker = async () => {
    for (; left > 0; ) {
      left -= 1;
      await act();
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker));
}

async function occupy() {
  const held = async () => {
    const [sample] = await stack.query('process_resident_memory_bytes{job="parlant-server"} / 2 ^ 31');
    return Number(sample?.value[1]);
  };
  return holdMemory(stack.server, stack.credential, await newSession(await newAgent()), held, { deadline: DEADLINE });
}
