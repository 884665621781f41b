// The dashboard as it is provisioned.
import { readFileSync } from 'node:fs';

export const DASHBOARD_FILE = new URL('../../../deploy/grafana/parlant.json', import.meta.url);

export const dashboard = JSON.parse(readFileSync(DASHBOARD_FILE, 'utf8'));

export const panels = dashboard.panels.filter(({ type }) => type !== 'row');

/** What Grafana puts in the place of its variables for one who has just opened the dashboard. */
const values = {
  job: 'parlant-server',
  instance: '.*',
  ...Object.fromEntries(
    dashboard.templating.list.filter(({ type }) => type === 'constant').map(({ name, query }) => [name, query]),
  ),
};

export const interpolate = (expr, { rateInterval, range }) =>
  expr.replace(/\$(\w+)/g, (_, name) => ({ ...values, __rate_interval: rateInterval, __range: range })[name]);

/** Every query of every panel and annotation: `{title, expr}`. */
export const queries = (times) =>
  [
    ...panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr }))),
    ...dashboard.annotations.list.map(({ name, expr }) => ({ title: `annotation ${name}`, expr })),
  ].map(({ title, expr }) => ({ title, expr: interpolate(expr, times) }));
