// A real Parlant with a stub in the place of the model.
import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';

import { Child } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';
import { freePort } from '../../lib/product.mjs';
import { until } from '../../lib/until.mjs';

const { PARLANT_PYTHON, PARLANT_STUB } = process.env;

export class Parlant {
  static async start(directory, env = {}) {
    const parlant = new Parlant();
    parlant.home = await mkdtemp(path.join(directory, 'parlant-'));
    parlant.env = env;
    [parlant.port, parlant.toolPort] = [await freePort(), await freePort()];
    parlant.url = `http://127.0.0.1:${parlant.port}`;
    process.once('exit', () => parlant.thaw());
    await parlant.again();
    return parlant;
  }

  /** Starts it where it was, with nothing in its memory. */
  async again() {
    this.child = new Child('parlant', PARLANT_PYTHON, [PARLANT_STUB], {
      cwd: this.home,
      env: {
        PARLANT_HOME: this.home,
        PARLANT_PORT: String(this.port),
        PARLANT_TOOL_PORT: String(this.toolPort),
        STUB_FAST: '1',
        ...this.env,
      },
    });
    await until('Parlant answers', async () => !this.child.running || (await this.get('/healthz')).status === 200, {
      deadline: 60_000,
    });
    this.child.assertRunning();
  }

  get(pathname) {
    return request(this.url, 'GET', pathname, { deadline: 2_000 });
  }

  /** Ends it without a word. */
  async kill() {
    await this.child.stop({ signal: 'SIGKILL' });
  }

  /** It takes connections and answers nothing. */
  freeze() {
    this.child.signal('SIGSTOP');
  }

  thaw() {
    this.child.signal('SIGCONT');
  }
}
