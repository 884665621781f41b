// What a real Prometheus makes of the real server: does everything exist that a rule or a panel asks for?
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parse } from 'yaml';

import { until } from '../../lib/until.mjs';
import { dashboard, queries } from '../lib/dashboard.mjs';
import { selectors } from '../lib/promql.mjs';
import { Stack, committed } from '../lib/stack.mjs';

const TIMES = { rateInterval: '10s', range: '10m' };
const rules = parse(committed('prometheus/parlant_alerts.yml')).groups.flatMap((group) => group.rules);
const everyQuery = queries(TIMES);

/** Queries with an empty answer on a healthy service: it has no alerts. */
const QUIET = new Set(['Alerts', 'annotation Alerts']);

/** A little of everything that a service does, so that every series has something to tell. */
const stack = Stack.around(async (stack) => {
  await stack.backup();
  const { server, credential, workspace } = stack;
  const { json: agent } = await server.post('/api/v1/agents', credential, { name: 'Ada', workspace_id: workspace });
  const { json: session } = await server.post('/api/v1/agents/sessions', credential, {
    agent_id: agent.id,
    workspace_id: workspace,
  });
  await server.post(`/api/v1/agents/sessions/${session.session_id}/messages`, credential, { content: 'Hello!' });
  const stop = stack.load(2, async () => {
    await stack.list();
    await stack.stranger();
    await server.get('/no/such/page');
  });
  await until('the traffic is in the rates', async () => {
    const [answer] = await stack.query('sum(rate(parlant_auth_denials_total[5s])) > 0');
    const [counted] = await stack.query('parlant_agents >= 1');
    return answer && counted;
  }, { deadline: 90_000 });
  await stop();
});

test('Prometheus comes in with the token, and nobody without', async () => {
  const [target] = (await stack.ask('targets')).activeTargets.filter(({ labels }) => labels.job === 'parlant-server');
  assert.equal(target.health, 'up', target.lastError);
  assert.equal((await stack.server.get('/metrics')).status, 401);
  assert.equal((await stack.server.get('/metrics', { Authorization: 'Bearer wrong' })).status, 401);
});

describe('every metric and label exists that is asked for by', () => {
  const assertExists = async (expr) => {
    for (const { metric, labels } of selectors(expr)) {
      const series = await stack.ask('series', { 'match[]': metric });
      assert.ok(series.length > 0, `there is no ${metric}`);
      for (const label of labels) {
        assert.ok(series.some((names) => label in names), `${metric} has no label ${label}`);
      }
    }
  };

  for (const { alert, labels, expr } of rules) {
    test(`${alert} (${labels.severity})`, () => assertExists(expr));
  }
  for (const { title, expr } of everyQuery) test(`${title}: ${expr.slice(0, 60)}`, () => assertExists(expr));

  test("the dashboard's variables", async () => {
    for (const { query } of dashboard.templating.list.filter(({ type }) => type === 'query')) {
      const [, selector, label] = query.query.match(/^label_values\((.*), (\w+)\)$/);
      const series = await stack.ask('series', { 'match[]': selector.replace('$job', 'parlant-server') });
      assert.ok(series.length > 0 && series.every((names) => label in names), query.query);
    }
  });
});

test('the rules are evaluated without an error, and a healthy service fires the watchdog alone', async () => {
  const { groups } = await stack.ask('rules', { type: 'alert' });
  const evaluated = groups.flatMap((group) => group.rules);
  assert.equal(evaluated.length, rules.length);
  for (const { name, health, lastError, state } of evaluated) {
    assert.equal(health, 'ok', `${name}: ${lastError}`);
    // The machine's disks are its own affair.
    if (state === 'firing') assert.match(name, /^Parlant(Watchdog|DiskSpaceLow)$/);
  }
});

test("the dashboard's queries are evaluated without an error, and have something to show", async () => {
  for (const { title, expr } of everyQuery) {
    const result = await stack.query(expr);
    assert.ok(result.length > 0 || QUIET.has(title), `${title} is empty: ${expr}`);
  }
});

test('a panel that splits by a label has a name for each line', async () => {
  for (const { title, targets } of dashboard.panels.filter(({ type }) => type !== 'row')) {
    for (const { expr, legendFormat } of targets) {
      const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
      const grouped = expr.match(/^(?:topk\(10, )?(?:\w+\(0\.\d+, )?(?:sum|min|max) by \(([^)]*)\)/)?.[1].split(', ') ?? [];
      const lines = grouped.filter((label) => label !== 'le');
      if (lines.length > 0) assert.deepEqual(new Set(named), new Set(lines), `${title}: ${expr}`);
    }
  }
});
