// The committed files: do the tools' own schemas take them, and do they agree with the product and with each other?
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { ROOT, at, instructions, objects, pods, seconds, text, yaml } from '../lib/manifests.mjs';

const run = promisify(execFile);

const compose = yaml('deploy/compose.yaml');
const deployment = objects.get('Deployment/parlant-server').spec.template.spec;
const [server] = deployment.containers;

/** What is configured there: the bridge's own, not other people's programs. */
const OURS = /^parlant-(bridge|backup):/;
const environment = {
  ...Object.fromEntries(
    Object.entries(compose.services)
      .filter(([, { image }]) => OURS.test(image))
      .map(([name, { environment = {} }]) => [`compose: ${name}`, environment]),
  ),
  ...Object.fromEntries(
    [...pods].flatMap(([name, { containers }]) =>
      containers
        .filter(({ image }) => OURS.test(image))
        .map(({ env = [] }) => [`Kubernetes: ${name}`, Object.fromEntries(env.map(({ name, value }) => [name, value]))]),
    ),
  ),
};
const SERVERS = { compose: environment['compose: server'], Kubernetes: environment['Kubernetes: parlant-server'] };

/** `NAME`, and `NAME_FILE` of a secret, of every variable that docs/reference/environment.md lists. */
const known = new Set(
  [...text('docs/reference/environment.md').matchAll(/^\| ((?:`\w+`(?: or )?)+)( \*secret\*)? \|/gm)].flatMap(([, names, secret]) =>
    [...names.matchAll(/`(\w+)`/g)].flatMap(([, name]) => (secret ? [name, `${name}_FILE`] : [name])),
  ),
);
const secret = (name) => known.has(`${name}_FILE`);

describe('schemas', () => {
  test('the Compose Specification takes the compose file, and refuses a broken one', async () => {
    const judge = fileURLToPath(new URL('../compose.py', import.meta.url));
    const verdict = (file) => execFileSync('python3', [judge], { input: JSON.stringify(file), stdio: ['pipe', 'pipe', 'pipe'] });
    verdict(compose);
    for (const broken of [{ mem_limitt: '1g' }, { networks: ['nowhere'] }, { secrets: ['nothing'] }, { depends_on: { postgres: { condition: 'well' } } }]) {
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

  test('hadolint has nothing against the Dockerfiles', async () => {
    await run('hadolint', [at('deploy/container/Dockerfile'), at('deploy/container/parlant.Dockerfile')]);
  });

  test('promtool takes the Prometheus of the compose file', async () => {
    const { stdout } = await run('promtool', ['check', 'config', '--syntax-only', at('deploy/prometheus/compose.yml')]);
    assert.match(stdout, /SUCCESS/);
  });
});

describe('the Dockerfiles', () => {
  const bridge = instructions('deploy/container/Dockerfile');
  const binaries = readdirSync(at('bins')).filter((name) => existsSync(at('bins', name, 'Cargo.toml')));

  test('build and ship every program of the workspace', () => {
    const [build] = bridge.filter(([, rest]) => rest.includes('cargo build')).map(([, rest]) => rest);
    assert.match(build, /cargo build --release --locked --bins/);
    assert.deepEqual([...build.matchAll(/target\/release\/([\w-]+)/g)].map(([, name]) => name).sort(), binaries.sort());
    const commands = bridge.filter(([name]) => ['CMD', 'ENTRYPOINT'].includes(name)).map(([, rest]) => JSON.parse(rest));
    assert.ok(commands.some((command) => binaries.includes(command[0])));
    assert.match(text('Cargo.toml'), new RegExp(`rust-version = "${bridge[1][1].match(/^rust:([\d.]+)-/)[1]}`));
  });

  test('copy nothing that is not there', () => {
    const context = { 'deploy/container/Dockerfile': '.', 'deploy/container/parlant.Dockerfile': 'deploy/container' };
    for (const [file, folder] of Object.entries(context)) {
      const copied = instructions(file).filter(([name, rest]) => name === 'COPY' && !rest.startsWith('--from='));
      assert.ok(copied.length > 0);
      for (const [, rest] of copied) for (const source of rest.split(' ').slice(0, -1)) assert.ok(existsSync(at(folder, source)), `${file}: ${source}`);
    }
  });

  test('run as nobody in particular', () => {
    for (const file of ['deploy/container/Dockerfile', 'deploy/container/parlant.Dockerfile']) {
      const stages = instructions(file).filter(([name]) => name === 'FROM').length;
      const users = instructions(file).filter(([name]) => name === 'USER');
      assert.equal(users.length, Math.max(1, stages - 1), file);
      for (const [, user] of users) assert.equal(user, '10001:10001');
    }
  });
});

describe('the kustomization', () => {
  const kustomization = yaml('deploy/kubernetes/kustomization.yaml');

  test('has every manifest but the job that comes first', () => {
    const files = readdirSync(at('deploy/kubernetes')).filter((file) => !['kustomization.yaml', 'migration-job.yaml'].includes(file));
    assert.deepEqual([...kustomization.resources].sort(), files.sort());
  });

  test('names the images that the manifests, the compose file and the Dockerfiles have', () => {
    const tags = Object.fromEntries(kustomization.images.map(({ name, newTag }) => [name, newTag]));
    const used = [...pods.values()].flatMap(({ containers }) => containers).concat(Object.values(compose.services)).map(({ image }) => image);
    for (const image of used.filter((image) => image.startsWith('parlant-'))) {
      const [name, tag] = image.split(':');
      assert.equal(tags[name], tag, image);
    }
    assert.match(text('Cargo.toml'), new RegExp(`^version = "${tags['parlant-bridge']}"`, 'm'));
    for (const [name, tag] of Object.entries(tags)) assert.match(text('deploy/container/Dockerfile') + text('deploy/container/parlant.Dockerfile'), new RegExp(`-t ${name}:${tag}`));
  });
});

describe('settings', () => {
  test('are all known to the programs', () => {
    assert.ok(known.size > 60);
    const units = readdirSync(at('deploy/systemd')).filter((file) => file.endsWith('.service'));
    const set = {
      ...environment,
      ...Object.fromEntries(
        units.map((file) => [file, Object.fromEntries([...text(`deploy/systemd/${file}`).matchAll(/^Environment="?(\w+)=(.*?)"?$/gm)].map(([, name, value]) => [name, value]))]),
      ),
      Dockerfile: Object.fromEntries(
        instructions('deploy/container/Dockerfile').filter(([name]) => name === 'ENV').flatMap(([, rest]) => [...rest.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value])),
      ),
    };
    assert.ok(Object.keys(environment).length >= 6);
    for (const [where, variables] of Object.entries(set)) for (const name of Object.keys(variables)) assert.ok(known.has(name), `${where}: ${name} is no setting`);
  });

  test('hold no secret: each comes from a file that is mounted', () => {
    for (const [where, variables] of Object.entries(environment)) {
      for (const [name, value] of Object.entries(variables)) {
        assert.ok(!secret(name), `${where}: ${name} is a secret in plain sight`);
        if (secret(name.replace(/_FILE$/, ''))) assert.match(value, /^\/run\/secrets\//, `${where}: ${name}`);
      }
    }
    for (const [name, { environment = {}, secrets = [] }] of Object.entries(compose.services)) {
      const mounted = secrets.map((entry) => (typeof entry === 'string' ? entry : entry.source));
      for (const value of Object.values(environment).filter((value) => `${value}`.startsWith('/run/secrets/'))) {
        assert.ok(mounted.includes(path.basename(value)), `${name} has no ${value}`);
      }
      for (const [variable, value] of Object.entries(environment)) {
        assert.doesNotMatch(`${value}`, /\$\{\w*(PASSWORD|SECRET|TOKEN|KEY)\w*:?-./, `${name}: ${variable} has a default`);
      }
    }
    for (const [name, { containers, volumes = [] }] of pods) {
      for (const { env = [], volumeMounts = [] } of containers) {
        for (const { name: variable, value } of env.filter(({ name }) => name.endsWith('_FILE'))) {
          const mount = volumeMounts.find(({ mountPath }) => value.startsWith(`${mountPath}/`));
          assert.ok(volumes.find((volume) => volume.name === mount?.name)?.secret, `${name}: ${variable} is not mounted`);
        }
      }
    }
  });

  test('let the server end before it is killed', () => {
    const preStop = Number(server.lifecycle.preStop.exec.command[1]);
    assert.ok(deployment.terminationGracePeriodSeconds > preStop + seconds(SERVERS.Kubernetes.SHUTDOWN_GRACE));
    assert.ok(seconds(compose.services.server.stop_grace_period) > seconds(SERVERS.compose.SHUTDOWN_GRACE));
  });

  test('leave a database of 100 connections some for others, with every replica there may be', () => {
    const { maxReplicas, minReplicas } = objects.get('HorizontalPodAutoscaler/parlant-server').spec;
    const { maxSurge } = objects.get('Deployment/parlant-server').spec.strategy.rollingUpdate;
    // One listens, one checks the health, one says that alerts are told by this replica.
    const each = Number(SERVERS.Kubernetes.DATABASE_POOL_SIZE) + Number(SERVERS.Kubernetes.DATABASE_POOL_MAX_OVERFLOW) + 3;
    const RESERVED = 3;
    assert.ok(minReplicas >= 2);
    assert.ok((maxReplicas + maxSurge) * each < 100 - RESERVED, `${maxReplicas + maxSurge} × ${each}`);
  });
});

describe('read-only file systems', () => {
  const writable = {
    compose: ([name]) => {
      const { volumes = [], tmpfs = [] } = compose.services[name];
      return [...volumes.filter((volume) => !volume.endsWith(':ro')).map((volume) => volume.split(':')[1]), ...tmpfs.map((mount) => mount.split(':')[0])];
    },
  };

  test('hold everywhere, without rights', () => {
    for (const [name, { read_only, cap_drop, security_opt }] of Object.entries(compose.services)) {
      assert.deepEqual({ read_only, cap_drop, security_opt }, { read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] }, name);
    }
    for (const [name, { containers, securityContext, automountServiceAccountToken }] of pods) {
      assert.equal(automountServiceAccountToken, false, name);
      assert.equal(securityContext.runAsNonRoot, true, name);
      for (const { securityContext: own, resources } of containers) {
        assert.deepEqual(own, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } }, name);
        assert.ok(resources.limits.memory && resources.requests.cpu, name);
      }
    }
  });

  test('leave room for what the programs write', () => {
    const written = ({ BACKUP_DIR, ALERT_STATE_DIR, LOG_FILE }) => [BACKUP_DIR, ALERT_STATE_DIR, LOG_FILE && path.dirname(LOG_FILE)].filter(Boolean);
    let checked = 0;
    for (const [where, variables] of Object.entries(environment)) {
      const [kind, name] = where.split(': ');
      const mounts = kind === 'compose' ? writable.compose([name]) : pods.get(name).containers[0].volumeMounts.filter(({ readOnly }) => !readOnly).map(({ mountPath }) => mountPath);
      for (const directory of written(variables)) {
        assert.ok(mounts.includes(directory), `${where}: ${directory} is read-only`);
        checked += 1;
      }
      if (variables.BACKUP_DIR) assert.ok(mounts.includes('/tmp'), `${where}: the trial restore has no room`);
    }
    assert.ok(checked >= 2);
  });
});

describe('ports, probes and names', () => {
  test('are those of the server', () => {
    const [port] = server.ports;
    assert.equal(port.containerPort, 8001);
    assert.match(text('docs/reference/environment.md'), /^\| `PORT` \| `8001` \|/m);
    assert.match(text('deploy/nginx/parlant.conf'), /server 127\.0\.0\.1:8001;/);
    assert.deepEqual(instructions('deploy/container/Dockerfile').find(([name]) => name === 'EXPOSE'), ['EXPOSE', '8001']);
    assert.deepEqual(compose.services.server.ports, ['127.0.0.1:8001:8001']);
    for (const name of ['parlant-server', 'parlant-engine']) {
      const { spec } = objects.get(`Service/${name}`);
      const [container] = pods.get(name).containers;
      assert.deepEqual(objects.get(`Deployment/${name}`).spec.template.metadata.labels['app.kubernetes.io/name'], spec.selector['app.kubernetes.io/name']);
      assert.equal(spec.ports[0].targetPort, container.ports[0].name);
      const [rule] = objects.get(`NetworkPolicy/${name}`).spec.ingress;
      assert.equal(rule.ports[0].port, container.ports[0].containerPort);
    }
    assert.equal(new URL(SERVERS.Kubernetes.PARLANT_BASE_URL).host, 'parlant-engine:8800');
    assert.equal(new URL(SERVERS.compose.PARLANT_BASE_URL).host, 'parlant:8800');
  });

  test('are published to this machine alone', () => {
    for (const { ports = [] } of Object.values(compose.services)) for (const port of ports) assert.match(port, /^127\.0\.0\.1:/);
  });

  test('ask whether it lives where restarts follow, and whether it is ready where requests do', () => {
    const { livenessProbe, startupProbe, readinessProbe } = server;
    assert.equal(livenessProbe.httpGet.path, '/livez');
    assert.equal(startupProbe.httpGet.path, '/livez');
    assert.equal(readinessProbe.httpGet.path, '/readyz');
    const check = instructions('deploy/container/Dockerfile').find(([name]) => name === 'HEALTHCHECK')[1];
    assert.match(check, /\/livez/);
    for (const route of ['/livez', '/readyz', '/metrics']) assert.match(text('docs/reference/http.md'), new RegExp(`^\\| \`GET ${route}\``, 'm'));
  });

  test('let Prometheus know the servers by the job that rules and dashboard ask for', () => {
    const { spec, metadata } = objects.get('ServiceMonitor/parlant-server');
    const service = objects.get('Service/parlant-server');
    assert.equal(service.metadata.labels[spec.jobLabel], 'parlant-server');
    for (const [name, value] of Object.entries(spec.selector.matchLabels)) assert.equal(service.metadata.labels[name], value);
    const [endpoint] = spec.endpoints;
    assert.equal(endpoint.port, service.spec.ports[0].name);
    assert.equal(endpoint.path, '/metrics');
    assert.equal(endpoint.authorization.credentials.name, deployment.volumes[0].secret.secretName);
    assert.ok(SERVERS.Kubernetes.METRICS_TOKEN_FILE.endsWith(`/${endpoint.authorization.credentials.key}`));
    assert.equal(metadata.name, 'parlant-server');

    const here = yaml('deploy/prometheus/compose.yml');
    const there = yaml('deploy/prometheus/prometheus.yml');
    assert.deepEqual(here.global, there.global);
    assert.deepEqual(here.rule_files, there.rule_files);
    assert.equal(here.scrape_configs[0].job_name, there.scrape_configs[0].job_name);
    const [datasource] = yaml('deploy/grafana/compose.yml').datasources;
    const [other] = yaml('deploy/grafana/provisioning/datasources/parlant.yml').datasources;
    assert.deepEqual({ ...datasource, url: '' }, { ...other, url: '' });
    for (const url of [datasource.url, `http://${here.alerting.alertmanagers[0].static_configs[0].targets[0]}`, `http://${here.scrape_configs[0].static_configs[0].targets[0]}`]) {
      assert.ok(compose.services[new URL(url).hostname], url);
    }
  });

  test('mount files that are there', () => {
    for (const { volumes = [] } of Object.values(compose.services)) {
      for (const [source] of volumes.map((volume) => volume.split(':')).filter(([source]) => source.startsWith('.'))) {
        assert.ok(existsSync(path.join(ROOT, 'deploy', source)), source);
      }
    }
  });
});
