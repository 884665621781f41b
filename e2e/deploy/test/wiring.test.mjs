// Ports, probes, names and mounts: does everything find what it asks for?
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';

import { at, compose, environment, instructions, objects, pods, text, yaml } from '../lib/manifests.mjs';

const [server] = pods.get('parlant-server').containers;

test('the server listens where it is asked', () => {
  assert.match(text('docs/reference/environment.md'), /^\| `PORT` \| `8001` \|/m);
  assert.match(text('deploy/nginx/parlant.conf'), /server 127\.0\.0\.1:8001;/);
  assert.deepEqual(instructions('deploy/container/Dockerfile').find(([name]) => name === 'EXPOSE'), ['EXPOSE', '8001']);
  assert.deepEqual(compose.services.server.ports, ['127.0.0.1:8001:8001']);
  assert.equal(server.ports[0].containerPort, 8001);
  assert.equal(environment['compose: server'].PARLANT_BASE_URL, 'http://parlant:8800');
  assert.equal(environment['Kubernetes: parlant-server'].PARLANT_BASE_URL, 'http://parlant-engine:8800');
});

test('services and network policies lead to their pods', () => {
  for (const name of ['parlant-server', 'parlant-engine']) {
    const { selector, ports } = objects.get(`Service/${name}`).spec;
    const { labels } = objects.get(`Deployment/${name}`).spec.template.metadata;
    const [port] = pods.get(name).containers[0].ports;
    const policy = objects.get(`NetworkPolicy/${name}`).spec;
    for (const chosen of [selector, policy.podSelector.matchLabels, objects.get(`Deployment/${name}`).spec.selector.matchLabels]) {
      for (const [label, value] of Object.entries(chosen)) assert.equal(labels[label], value, name);
    }
    assert.equal(ports[0].targetPort, port.name);
    assert.equal(policy.ingress[0].ports[0].port, port.containerPort);
  }
  for (const kind of ['PodDisruptionBudget', 'HorizontalPodAutoscaler']) assert.ok(objects.has(`${kind}/parlant-server`));
});

test('ports are published to this machine alone', () => {
  for (const { ports = [] } of Object.values(compose.services)) for (const port of ports) assert.match(port, /^127\.0\.0\.1:/);
});

test('restarts follow whether it lives, and requests whether it is ready', () => {
  assert.equal(server.livenessProbe.httpGet.path, '/livez');
  assert.equal(server.startupProbe.httpGet.path, '/livez');
  assert.equal(server.readinessProbe.httpGet.path, '/readyz');
  assert.match(instructions('deploy/container/Dockerfile').find(([name]) => name === 'HEALTHCHECK')[1], /\/livez/);
  for (const route of ['/livez', '/readyz', '/metrics']) assert.match(text('docs/reference/http.md'), new RegExp(`^\\| \`GET ${route}\``, 'm'));
});

test('Prometheus knows the servers by the job that rules and dashboard ask for', () => {
  const { jobLabel, selector, endpoints } = objects.get('ServiceMonitor/parlant-server').spec;
  const service = objects.get('Service/parlant-server');
  assert.equal(service.metadata.labels[jobLabel], 'parlant-server');
  for (const [name, value] of Object.entries(selector.matchLabels)) assert.equal(service.metadata.labels[name], value);
  const [{ port, path, authorization }] = endpoints;
  assert.equal(port, service.spec.ports[0].name);
  assert.equal(path, '/metrics');
  assert.equal(authorization.credentials.name, pods.get('parlant-server').volumes[0].secret.secretName);
  assert.ok(environment['Kubernetes: parlant-server'].METRICS_TOKEN_FILE.endsWith(`/${authorization.credentials.key}`));
});

test('Prometheus and Grafana of the compose file differ from the others in addresses alone, and these are there', () => {
  const here = yaml('deploy/prometheus/compose.yml');
  const there = yaml('deploy/prometheus/prometheus.yml');
  assert.deepEqual(here.global, there.global);
  assert.deepEqual(here.rule_files, there.rule_files);
  assert.equal(here.scrape_configs[0].job_name, there.scrape_configs[0].job_name);
  const [datasource] = yaml('deploy/grafana/compose.yml').datasources;
  const [other] = yaml('deploy/grafana/provisioning/datasources/parlant.yml').datasources;
  assert.deepEqual({ ...datasource, url: '' }, { ...other, url: '' });
  const targets = [here.alerting.alertmanagers[0], here.scrape_configs[0]].map(({ static_configs }) => static_configs[0].targets[0]);
  for (const address of [...targets, new URL(datasource.url).host]) assert.ok(compose.services[address.split(':')[0]], address);
});

test('mounted files are there', () => {
  const mounted = Object.values(compose.services).flatMap(({ volumes = [] }) => volumes.map((volume) => volume.split(':')[0]));
  const files = mounted.filter((source) => source.startsWith('.'));
  assert.ok(files.length > 5);
  for (const file of files) assert.ok(existsSync(at('deploy', file)), file);
});
