// The committed files by themselves: what do the tools that will read them say?
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { at, compose, objects } from '../lib/manifests.mjs';

const run = promisify(execFile);

test('the Compose Specification takes the compose file, and refuses a broken one', () => {
  const judge = fileURLToPath(new URL('../compose.py', import.meta.url));
  const verdict = (file) => execFileSync('python3', [judge], { input: JSON.stringify(file), stdio: ['pipe', 'pipe', 'pipe'] });
  verdict(compose);
  for (const broken of [
    { mem_limitt: '1g' },
    { networks: ['nowhere'] },
    { secrets: ['nothing'] },
    { depends_on: { postgres: { condition: 'well' } } },
  ]) {
    const services = { ...compose.services, server: { ...compose.services.server, ...broken } };
    assert.throws(() => verdict({ ...compose, services }), JSON.stringify(broken));
  }
});

for (const version of ['1.30', '1.37']) {
  test(`Kubernetes ${version} takes the manifests, and none has a field that it does not know`, async () => {
    const files = readdirSync(at('deploy/kubernetes')).map((file) => at('deploy/kubernetes', file));
    const { stdout, stderr } = await run('kubernetes-validate', ['--strict', '--kubernetes-version', version, ...files]);
    const judged = (stdout + stderr).match(/passed for resource/g).length;
    const custom = [...objects.values()].filter(({ apiVersion }) => apiVersion.startsWith('monitoring.coreos.com/')).length;
    assert.equal(judged, objects.size - custom, stdout + stderr);
  });
}

test('hadolint has nothing against the Dockerfiles', () =>
  run('hadolint', [at('deploy/container/Dockerfile'), at('deploy/container/parlant.Dockerfile')]));

test('promtool takes the Prometheus of the compose file', async () => {
  const { stdout } = await run('promtool', ['check', 'config', '--syntax-only', at('deploy/prometheus/compose.yml')]);
  assert.match(stdout, /SUCCESS/);
});
