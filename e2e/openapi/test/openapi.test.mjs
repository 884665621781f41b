// Is the description of the interface valid, and does the server keep to it whatever it is sent?
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Child, stopAll } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';
import { dev } from '../../lib/product.mjs';

const SECONDS = Number(process.env.SECONDS_EACH ?? 40);
/** The same each time, but for what the time allows. */
const SEED = process.env.SEED ?? '1';
const here = fileURLToPath(new URL('..', import.meta.url));

let directory;
let facts;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
  // The cluster may run as another user, who has to get through.
  await chmod(directory, 0o755);
  const limits = { MAX_AGENTS_PER_WORKSPACE: '1000000', MAX_SESSIONS_PER_USER: '1000000', RATE_LIMIT_PER_MINUTE: '0' };
  ({ facts } = await dev(directory, { ...limits, LOG_FORMAT: 'json' }));
});

after(async () => {
  await stopAll();
  await rm(directory, { recursive: true, force: true });
});

const get = (pathname) => request(facts.base_url, 'GET', pathname);

async function run(program, args, env) {
  const child = new Child(program, program, args, { cwd: directory, env });
  const { code } = await child.ended;
  assert.equal(code, 0, child.output);
  return child.output;
}

test('the document is valid OpenAPI 3.1', async () => {
  const { text } = await get('/openapi.json');
  const file = path.join(directory, 'openapi.json');
  await writeFile(file, text);
  await run('openapi-spec-validator', ['--schema', '3.1', file]);
});

describe('whatever is sent, the answer is one that the document describes', () => {
  for (const [whose, token] of [
    ['a valid credential', () => facts.token],
    ['no credential', () => null],
    ['a worthless credential', () => 'fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv'],
  ]) {
    test(`with ${whose}`, async () => {
      const credential = token() ? ['--header', `Authorization: Bearer ${token()}`] : [];
      const writable = facts.workspaces.find(({ permission }) => permission !== 'read');
      const output = await run(
        'schemathesis',
        [
          ...['--no-color', '--config-file', path.join(here, 'schemathesis.toml'), 'run', `${facts.base_url}/openapi.json`],
          ...['--max-time', String(SECONDS), '--seed', SEED, ...credential],
        ],
        {
          SCHEMATHESIS_HOOKS: 'hooks',
          PYTHONPATH: here,
          PYTHONDONTWRITEBYTECODE: '1',
          PARLANT_URL: facts.base_url,
          PARLANT_TOKEN: facts.token,
          PARLANT_WORKSPACE: writable.id,
        },
      );
      console.log(output.split('\n').filter((line) => /^ *(Test cases|Tested|Operations|Seed|.*passed|.*generated)/.test(line)).join('\n'));
      assert.equal((await get('/health')).json.status, 'healthy');
    });
  }
});
