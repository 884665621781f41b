// The compose file's one-shot jobs, run as Docker would: the roles get the passwords of the programs' URLs, and migrations follow.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { stopAll } from '../../lib/children.mjs';
import { PARLANT_SERVER, dev } from '../../lib/product.mjs';
import { at, yaml } from '../lib/manifests.mjs';

const run = promisify(execFile);
const { roles, migrate } = yaml('deploy/compose.yaml').services;

let directory;
let server;
before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
  await chmod(directory, 0o755);
  server = new URL((await dev(directory, {})).facts.database_url);
  await run('psql', ['--command=create database parlant', server.href]);
});
after(async () => {
  await stopAll();
  await rm(directory, { recursive: true, force: true });
});

test('the roles have their passwords, at each start anew, and the migrations go through', async () => {
  const secret = (name) => path.join(directory, name);
  await writeFile(secret('postgres_password'), `${decodeURIComponent(server.password)}\n`);
  const script = roles.command[0]
    .replaceAll('$$', '$')
    .replaceAll('/run/secrets', directory)
    .replace('/roles.sql', at('deploy/sql/roles.sql'))
    .replace('PGHOST=postgres', `PGHOST=${server.hostname} PGPORT=${server.port}`);
  const [shell, flags] = roles.entrypoint;
  for (const start of ['first', 'second']) {
    for (const role of ['migrator', 'app', 'backup']) {
      const url = `postgres://parlant_${role}:${start}of${role}@${server.host}/parlant`;
      await writeFile(secret(`${role}_database_url`), `${url}\n`);
    }
    await run(shell, [flags, script]);
    for (const role of ['migrator', 'app', 'backup']) {
      const { stdout } = await run('psql', ['--tuples-only', '--no-align', '--command=select current_user', `postgres://parlant_${role}:${start}of${role}@${server.host}/parlant`]);
      assert.equal(stdout.trim(), `parlant_${role}`);
    }
    const [program, ...args] = migrate.command;
    const env = { DATABASE_URL_FILE: migrate.environment.DATABASE_URL_FILE.replace('/run/secrets', directory) };
    await run(path.join(path.dirname(PARLANT_SERVER), program), args, { env, cwd: directory });
  }
});
