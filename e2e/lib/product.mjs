// The program under test.
import { mkdtemp, readFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { Child } from './children.mjs';
import { request } from './http.mjs';
import { until } from './until.mjs';

export const PARLANT_SERVER = process.env.PARLANT_SERVER
  ? path.resolve(process.env.PARLANT_SERVER)
  : fileURLToPath(new URL('../../target/release/parlant-server', import.meta.url));

/** Built together with the server. */
export const PARLANT_BACKUP = path.join(path.dirname(PARLANT_SERVER), 'parlant-backup');

/** `parlant-server dev`: brings the private PostgreSQL that everything else here uses. */
export async function dev(directory, env) {
  const dataDir = path.join(directory, 'dev');
  const child = new Child('dev', PARLANT_SERVER, ['dev', '--port', '0', '--data-dir', dataDir], {
    cwd: directory,
    env,
  });
  const facts = await until(
    'dev answers',
    async () => {
      if (!child.running) return { ended: true };
      const facts = JSON.parse(await readFile(path.join(dataDir, 'dev.json'), 'utf8'));
      const { status } = await request(facts.base_url, 'GET', '/readyz');
      return status === 200 && facts;
    },
    { deadline: 60_000 },
  );
  child.assertRunning();
  return { child, facts };
}

export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** `parlant-server serve` on `PORT` or a free one, once it answers. Another program may take the port first: then again. */
export async function serve(directory, name, env) {
  const cwd = await mkdtemp(path.join(directory, 'serve-'));
  for (let attempt = 1; ; attempt += 1) {
    const port = env.PORT ?? (await freePort());
    const child = new Child(name, PARLANT_SERVER, ['serve'], {
      cwd,
      env: { HOST: '127.0.0.1', PORT: String(port), ...env },
    });
    const url = `http://127.0.0.1:${port}`;
    await until(
      `${name} answers`,
      async () => !child.running || (await request(url, 'GET', '/livez')).status === 200,
      { deadline: 30_000 },
    );
    if (child.running) return new Bridge(child, url);
    const { code } = await child.ended;
    if (code !== 1 || attempt === 5) child.assertRunning();
  }
}

/** A running bridge. Each call takes the headers that present a credential. */
export class Bridge {
  constructor(child, url) {
    this.child = child;
    this.url = url;
  }

  request(method, pathname, { credential = {}, headers = {}, ...options } = {}) {
    return request(this.url, method, pathname, { ...options, headers: { ...credential, ...headers } });
  }

  get(pathname, credential, options) {
    return this.request('GET', pathname, { credential, ...options });
  }

  post(pathname, credential, json, options) {
    return this.request('POST', pathname, { credential, json, ...options });
  }

  status(credential) {
    return this.get('/api/v1/auth/status', credential);
  }
}
