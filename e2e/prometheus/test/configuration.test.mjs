// The committed files by themselves: do the real tools take them, and do they say what they are meant to?
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { parse } from 'yaml';

import { DASHBOARD_FILE, dashboard, panels, queries } from '../lib/dashboard.mjs';
import { selectors } from '../lib/promql.mjs';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const deploy = (file) => path.join(ROOT, 'deploy', file);
const read = (file) => parse(readFileSync(deploy(file), 'utf8'));

const rules = read('prometheus/parlant_alerts.yml').groups.flatMap((group) => group.rules);

test('promtool takes the configuration of Prometheus together with its rules', async () => {
  const { stdout, stderr } = await run('promtool', ['check', 'config', deploy('prometheus/prometheus.yml')]);
  assert.match(stdout + stderr, new RegExp(`${rules.length} rules found`));
});

describe('Alertmanager', () => {
  const file = deploy('alertmanager/alertmanager.yml');
  const configuration = read('alertmanager/alertmanager.yml');

  test('amtool takes its configuration', () => run('amtool', ['check-config', file]));

  test('every alert finds its receiver', async () => {
    const RECEIVERS = { critical: 'slack-critical', warning: 'slack-warning', info: 'slack-info' };
    for (const { alert, labels } of rules) {
      const receiver = alert === 'ParlantWatchdog' ? 'heartbeat' : RECEIVERS[labels.severity];
      assert.ok(receiver, `${alert} has the severity ${labels.severity}`);
      const given = Object.entries({ alertname: alert, ...labels }).map(([name, value]) => `${name}=${value}`);
      await run('amtool', ['config', 'routes', 'test', `--config.file=${file}`, `--verify.receivers=${receiver}`, ...given]);
    }
  });

  test('a severity that nobody has routed is heard all the same', () =>
    run('amtool', ['config', 'routes', 'test', `--config.file=${file}`, '--verify.receivers=slack-warning', 'severity=odd']));

  test('inhibition names alerts that there are', () => {
    const alerts = new Set(rules.map(({ alert }) => alert));
    const named = configuration.inhibit_rules
      .flatMap((rule) => [...rule.source_matchers, ...rule.target_matchers])
      .flatMap((matcher) => matcher.match(/Parlant\w+(\.\*)?/g) ?? []);
    assert.ok(named.length > 0);
    for (const name of named) {
      const there = name.endsWith('.*') ? [...alerts].some((alert) => alert.startsWith(name.slice(0, -2))) : alerts.has(name);
      assert.ok(there, `${name} is not an alert`);
    }
  });
});

describe('the dashboard', () => {
  const constant = (name) => dashboard.templating.list.find((variable) => variable.name === name).query;

  test("is what Grafana's own types describe", () => {
    const program = ROOT + 'e2e/prometheus/dashboard.check.ts';
    const source = `import type { Dashboard } from './dashboard.types';
export const dashboard: Dashboard = ${readFileSync(DASHBOARD_FILE, 'utf8')};`;
    const options = {
      noEmit: true,
      strict: true,
      skipLibCheck: true,
      types: [],
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
    };
    const host = ts.createCompilerHost(options);
    const { fileExists, readFile, getSourceFile } = host;
    host.fileExists = (name) => name === program || fileExists(name);
    host.readFile = (name) => (name === program ? source : readFile(name));
    host.getSourceFile = (name, language, ...rest) =>
      name === program ? ts.createSourceFile(name, source, language) : getSourceFile(name, language, ...rest);
    const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([program], options, host));
    assert.equal(ts.formatDiagnostics(diagnostics, host), '');
  });

  test('has panels that neither share an id nor a place', () => {
    const ids = dashboard.panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    const taken = new Map();
    for (const { title, gridPos } of dashboard.panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, `${title} is too wide`);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          const place = `${x},${y}`;
          assert.ok(!taken.has(place), `${title} lies on ${taken.get(place)}`);
          taken.set(place, title);
        }
      }
    }
  });

  test('leaves the data source, job and instances to its reader', () => {
    for (const { title, datasource } of panels) assert.equal(datasource.uid, '${datasource}', title);
    const everywhere = /^(ALERTS|parlant_backup_)/;
    for (const { title, expr } of queries({ rateInterval: '1m', range: '1h' })) {
      for (const { metric, labels } of selectors(expr)) {
        if (everywhere.test(metric)) continue;
        assert.ok(labels.includes('job') && labels.includes('instance'), `${title}: ${metric} of any job or instance`);
      }
    }
  });

  test('adds up before it divides, and by bucket before it takes a quantile', () => {
    for (const { title, expr } of queries({ rateInterval: '1m', range: '1h' })) {
      for (const [, before] of expr.matchAll(/(.{0,40})\brate\(/g)) {
        assert.match(before, /\bsum( by \([^)]*\))? \($|\bsum\($/, `${title}: a rate that is not summed`);
      }
      for (const [, grouping] of expr.matchAll(/histogram_quantile\([^,]+, sum by \(([^)]*)\)/g)) {
        assert.ok(grouping.split(', ').includes('le'), title);
      }
      assert.equal(expr.split('histogram_quantile').length, expr.split('histogram_quantile(0.').length, title);
    }
  });

  test('leads from an alert to its runbook', () => {
    const properties = panels
      .flatMap(({ fieldConfig }) => fieldConfig.overrides)
      .find(({ matcher }) => matcher.options === 'Alert').properties;
    const { value: links } = properties.find(({ id }) => id === 'links');
    const { value: mappings } = properties.find(({ id }) => id === 'mappings');
    for (const { alert, annotations } of rules.filter((rule) => rule.alert !== 'ParlantWatchdog')) {
      const page = mappings[0].options[alert]?.text;
      assert.equal(links[0].url.replace('${runbooks}', constant('runbooks')).replace('${__value.text}', page), annotations.runbook_url);
      assert.ok(existsSync(path.join(ROOT, 'docs/runbooks', `${page}.md`)), `${alert} has no runbook`);
    }
  });

  test('leaves out the same routes as the alerts', () => {
    const excluded = (alert) => rules.find((rule) => rule.alert === alert).expr.match(/endpoint!~"([^"]*)"/)[1];
    assert.equal(constant('not_work'), excluded('ParlantHighErrorRate'));
    assert.equal(constant('not_timed'), excluded('ParlantHighLatency'));
  });
});

test('Grafana is pointed at the data source and the dashboard', () => {
  const [datasource] = read('grafana/provisioning/datasources/parlant.yml').datasources;
  assert.equal(datasource.type, 'prometheus');
  assert.equal(datasource.jsonData.timeInterval, read('prometheus/prometheus.yml').global.scrape_interval);
  const [provider] = read('grafana/provisioning/dashboards/parlant.yml').providers;
  assert.equal(provider.type, 'file');
});
