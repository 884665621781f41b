// Settings, secrets, times and what may be written: do the files agree with the programs?
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { at, compose, environment, instructions, objects, pods, seconds, text } from '../lib/manifests.mjs';

/** `NAME`, and `NAME_FILE` of a secret, of every variable that the reference lists. */
const known = new Set(
  [...text('docs/reference/environment.md').matchAll(/^\| ((?:`\w+`(?: or )?)+)( \*secret\*)? \|/gm)].flatMap(([, names, secret]) =>
    [...names.matchAll(/`(\w+)`/g)].flatMap(([, name]) => (secret ? [name, `${name}_FILE`] : [name])),
  ),
);
const isSecret = (name) => known.has(`${name}_FILE`);

test('every setting is one that the programs know', () => {
  assert.ok(known.size > 60);
  assert.ok(Object.keys(environment).length >= 6);
  const set = { ...environment };
  for (const file of readdirSync(at('deploy/systemd')).filter((file) => file.endsWith('.service'))) {
    set[file] = Object.fromEntries([...text(`deploy/systemd/${file}`).matchAll(/^Environment="?(\w+)=(.*?)"?$/gm)].map(([, ...pair]) => pair));
  }
  const constants = instructions('deploy/container/Dockerfile').filter(([name]) => name === 'ENV');
  set.Dockerfile = Object.fromEntries(constants.flatMap(([, rest]) => [...rest.matchAll(/(\w+)=(\S+)/g)].map(([, ...pair]) => pair)));
  for (const [where, variables] of Object.entries(set)) {
    for (const name of Object.keys(variables)) assert.ok(known.has(name), `${where}: ${name} is no setting`);
  }
});

describe('secrets', () => {
  test('come from files', () => {
    for (const [where, variables] of Object.entries(environment)) {
      for (const [name, value] of Object.entries(variables)) {
        assert.ok(!isSecret(name), `${where}: ${name} is a secret in plain sight`);
        if (isSecret(name.replace(/_FILE$/, ''))) assert.match(value, /^\/run\/secrets\//, `${where}: ${name}`);
      }
    }
  });

  test('are mounted where they are read, and have no default', () => {
    for (const [name, { environment = {}, secrets = [] }] of Object.entries(compose.services)) {
      const mounted = secrets.map((entry) => (typeof entry === 'string' ? entry : entry.source));
      for (const [variable, value] of Object.entries(environment)) {
        if (`${value}`.startsWith('/run/secrets/')) assert.ok(mounted.includes(path.basename(value)), `${name} has no ${value}`);
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
});

test('a server may end before it is killed', () => {
  const { terminationGracePeriodSeconds, containers } = pods.get('parlant-server');
  const preStop = Number(containers[0].lifecycle.preStop.exec.command[1]);
  assert.ok(terminationGracePeriodSeconds > preStop + seconds(environment['Kubernetes: parlant-server'].SHUTDOWN_GRACE));
  assert.ok(seconds(compose.services.server.stop_grace_period) > seconds(environment['compose: server'].SHUTDOWN_GRACE));
});

test('a database of 100 connections has some for others, with every server there may be', () => {
  const { maxReplicas, minReplicas } = objects.get('HorizontalPodAutoscaler/parlant-server').spec;
  const { maxSurge } = objects.get('Deployment/parlant-server').spec.strategy.rollingUpdate;
  const { DATABASE_POOL_SIZE, DATABASE_POOL_MAX_OVERFLOW } = environment['Kubernetes: parlant-server'];
  // docs/operations/scaling.md: three beside the pool, and three that PostgreSQL keeps for superusers.
  const each = Number(DATABASE_POOL_SIZE) + Number(DATABASE_POOL_MAX_OVERFLOW) + 3;
  assert.ok(minReplicas >= 2);
  assert.ok((maxReplicas + maxSurge) * each < 100 - 3, `${maxReplicas + maxSurge} × ${each}`);
});

describe('the root file system', () => {
  test('is read-only everywhere, for programs without rights', () => {
    for (const [name, { read_only, cap_drop, security_opt }] of Object.entries(compose.services)) {
      const given = { read_only, cap_drop, security_opt };
      assert.deepEqual(given, { read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] }, name);
    }
    for (const [name, { containers, securityContext, automountServiceAccountToken }] of pods) {
      assert.equal(automountServiceAccountToken, false, name);
      assert.equal(securityContext.runAsNonRoot, true, name);
      for (const { securityContext: own, resources } of containers) {
        const wanted = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } };
        assert.deepEqual(own, wanted, name);
        assert.ok(resources.limits.memory && resources.requests.cpu, name);
      }
    }
  });

  test('has room where the programs write', () => {
    const writable = {
      compose(name) {
        const { volumes = [], tmpfs = [] } = compose.services[name];
        return [...volumes.filter((volume) => !volume.endsWith(':ro')).map((volume) => volume.split(':')[1]), ...tmpfs.map((mount) => mount.split(':')[0])];
      },
      Kubernetes: (name) => pods.get(name).containers[0].volumeMounts.filter(({ readOnly }) => !readOnly).map(({ mountPath }) => mountPath),
    };
    let backups = 0;
    for (const [where, { BACKUP_DIR, ALERT_STATE_DIR, LOG_FILE }] of Object.entries(environment)) {
      const [kind, name] = where.split(': ');
      // The trial restore of a backup happens in /tmp.
      const written = [BACKUP_DIR, BACKUP_DIR && '/tmp', ALERT_STATE_DIR, LOG_FILE && path.dirname(LOG_FILE)].filter(Boolean);
      for (const directory of written) assert.ok(writable[kind](name).includes(directory), `${where}: ${directory} is read-only`);
      if (BACKUP_DIR) backups += 1;
    }
    assert.equal(backups, 2);
  });
});
