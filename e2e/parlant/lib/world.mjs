// What a test file needs: a private PostgreSQL with the demo user, a Parlant, bridges, and their end.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import { promisify } from 'node:util';

import { stopAll } from '../../lib/children.mjs';
import { dev, freePort, serve } from '../../lib/product.mjs';
import { Parlant } from './parlant.mjs';

const run = promisify(execFile);

export class World {
  #bridges = new Set();
  #parlants = [];
  #secret = randomBytes(24).toString('hex');

  /** A world that lasts as long as the tests of this file; `build` adds to it. Call it outside of tests. */
  static around(build) {
    const world = new World();
    before(async () => {
      await world.#start();
      await build(world);
    });
    after(() => world.#stop());
    return world;
  }

  async #start() {
    this.directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
    // The cluster may run as another user, who has to get through.
    await chmod(this.directory, 0o755);
    this.dev = await dev(this.directory, { BETTER_AUTH_SECRET: this.#secret, LOG_FORMAT: 'json' });
    const { facts } = this.dev;
    this.workspaces = facts.workspaces.map(({ id }) => id);
    this.credential = { Authorization: `Bearer ${facts.token}` };
    // It answers too, by an echo. Frozen, it leaves that to the bridges.
    this.dev.child.signal('SIGSTOP');
    // What is frozen cannot be asked to stop.
    process.once('exit', () => this.dev.child.signal('SIGCONT'));
    await this.sql(`update permissions set permission_type = 'admin' where user_id = '${facts.user_id}'`);
    const password = randomBytes(24).toString('hex');
    await this.sql(`create role e2e_bridge login password '${password}' in role parlant_app`);
    const url = new URL(facts.database_url);
    url.username = 'e2e_bridge';
    url.password = password;
    this.databaseUrl = url.href;
  }

  /** What the superuser's statement gives, a line for each row. */
  async sql(statement) {
    const { stdout } = await run('psql', ['--no-psqlrc', '--quiet', '--tuples-only', '--no-align'].concat(
      '--set=ON_ERROR_STOP=1', `--command=${statement}`, this.dev.facts.database_url));
    return stdout.trim().split('\n').filter(Boolean);
  }

  async parlant(env) {
    const parlant = await Parlant.start(this.directory, env);
    this.#parlants.push(parlant);
    return parlant;
  }

  /** A bridge in front of the engine, on a port that it has again after a restart. */
  async bridge(parlant, env = {}) {
    const PORT = env.PORT ?? String(await freePort());
    const bridge = await serve(this.directory, `bridge ${PORT}`, {
      DATABASE_URL: this.databaseUrl,
      BETTER_AUTH_SECRET: this.#secret,
      PARLANT_BASE_URL: parlant.url,
      RATE_LIMIT_PER_MINUTE: '0',
      MAX_SESSIONS_PER_USER: '10000',
      WORKERS: '1',
      LOG_FORMAT: 'json',
      LOG_LEVEL: 'INFO',
      ...env,
      PORT,
    });
    bridge.again = () => this.bridge(parlant, { ...env, PORT });
    bridge.kill = async () => {
      this.#bridges.delete(bridge);
      await bridge.child.stop({ signal: 'SIGKILL' });
      this.#check(bridge.child);
    };
    this.#bridges.add(bridge);
    return bridge;
  }

  /** Ends a process of PostgreSQL in the middle, for which the server starts over: every connection is lost. */
  async crashPostgres() {
    const [pid] = await this.sql('select pid from pg_stat_activity where usename = \'e2e_bridge\' limit 1');
    if (pid) process.kill(Number(pid), 'SIGKILL');
  }

  #check({ name, output }) {
    for (const secret of [this.#secret, this.dev.facts.token, 'Traceback', 'STUB_FAIL']) {
      assert.ok(!output.includes(secret), `${secret} is in the log of ${name}`);
    }
  }

  async #end(child) {
    const asked = child.running;
    const { code, signal } = await child.stop({ deadline: 20_000 });
    assert.ok(asked, `${child.name} ended by itself:\n${child.output.slice(-4000)}`);
    assert.equal(code, 0, `${child.name} did not stop cleanly (signal ${signal}):\n${child.output.slice(-4000)}`);
  }

  async #stop() {
    for (const parlant of this.#parlants) {
      parlant.thaw();
      await parlant.kill();
    }
    for (const { child } of this.#bridges) {
      await this.#end(child);
      this.#check(child);
    }
    this.dev?.child.signal('SIGCONT');
    if (this.dev) await this.#end(this.dev.child);
    await stopAll();
    if (this.directory) await rm(this.directory, { recursive: true, force: true });
  }
}
