// The committed rules and configurations, with every length of time divided by one factor, so that an alert that takes
// minutes to fire takes seconds. Thresholds, selectors, routes and inhibitions stay what they are.

export const FACTOR = 40;

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `5m` becomes `5000ms`. */
export function faster(duration) {
  const parts = [...duration.matchAll(/(\d+)(ms|s|m|h|d)/g)];
  if (parts.map(([part]) => part).join('') !== duration) throw new Error(`not a duration: ${duration}`);
  const milliseconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit], 0);
  return `${Math.round(milliseconds / FACTOR)}ms`;
}

/** The windows of an expression. */
const windows = (expr) => expr.replace(/\[([^\]]+)\]/g, (_, window) => `[${faster(window)}]`);

const TIMES = new Set([
  'for',
  'interval',
  'keep_firing_for',
  'scrape_interval',
  'evaluation_interval',
  'group_wait',
  'group_interval',
  'repeat_interval',
]);

/** A parsed rule file or configuration, faster throughout. */
export function fasterAll(value, key) {
  if (Array.isArray(value)) return value.map((item) => fasterAll(item));
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, fasterAll(inner, name)]));
  }
  if (key === 'expr') return windows(value);
  return TIMES.has(key) ? faster(value) : value;
}
