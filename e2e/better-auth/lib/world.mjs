// What a test file needs: a private PostgreSQL with Sim's tables, Sims, bridges, and their end.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import pg from 'pg';

import { ChaosProxy } from '../../lib/chaos.mjs';
import { stopAll } from '../../lib/children.mjs';
import { dev, serve } from '../../lib/product.mjs';
import { Rows } from './rows.mjs';
import { Sim } from './sim.mjs';

const TABLES = new URL('../sim/tables.sql', import.meta.url);

export const SOURCES = ['database', 'http'];

const password = () => randomBytes(24).toString('hex');

export class World {
  #sims = [];
  #bridges = [];
  #proxies = [];
  #confidential = new Map();

  secret = password();

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
    this.dev = await dev(this.directory, {
      BETTER_AUTH_SECRET: this.secret,
      RATE_LIMIT_PER_MINUTE: '0',
      LOG_FORMAT: 'json',
    });
    this.databaseUrl = this.dev.facts.database_url;
    this.database = new pg.Pool({ connectionString: this.databaseUrl, max: 4 });
    this.database.on('error', () => {});
    this.rows = new Rows(this.database);
    await this.#prepare();
  }

  /** Better Auth's own tables, and a login for the bridge that may do what a deployment's may and no more. */
  async #prepare() {
    await this.database.query(await readFile(TABLES, 'utf8'));
    const bridgePassword = password();
    await this.database.query(`create role e2e_bridge login password '${bridgePassword}' in role parlant_app`);
    const url = new URL(this.databaseUrl);
    url.username = 'e2e_bridge';
    url.password = bridgePassword;
    this.bridgeDatabaseUrl = url.href;
    this.confide('the secret', this.secret);
    this.confide("the bridge's password", bridgePassword);
  }

  /** From now on this text may not be in any log. */
  confide(what, text) {
    this.#confidential.set(text, what);
  }

  /** A proxy in front of the database; `through` gives a URL that goes that way. */
  async databaseProxy() {
    const { hostname, port } = new URL(this.databaseUrl);
    const proxy = await ChaosProxy.start({ host: hostname, port: Number(port) });
    this.#proxies.push(proxy);
    const through = (databaseUrl) => {
      const url = new URL(databaseUrl);
      url.hostname = '127.0.0.1';
      url.port = String(proxy.port);
      return url.href;
    };
    return { proxy, through };
  }

  async sim(options = {}) {
    const sim = await Sim.start({ database: this.databaseUrl, secret: this.secret, ...options });
    this.#sims.push(sim);
    return sim;
  }

  async signUp(sim, name) {
    const person = await sim.signUp(name);
    this.confide('a session token', person.token);
    this.confide('an e-mail address', person.email);
    return person;
  }

  /** A bridge that asks at every request. Give it a Sim even where it should not need one. */
  async bridge(source, sim, env = {}) {
    const bridge = await serve(this.directory, `bridge (${source})`, {
      DATABASE_URL: this.bridgeDatabaseUrl,
      DATABASE_POOL_SIZE: '2',
      DATABASE_POOL_MAX_OVERFLOW: '2',
      DATABASE_POOL_TIMEOUT: '2',
      DATABASE_CONNECTION_TIMEOUT: '2',
      DATABASE_COMMAND_TIMEOUT: '2',
      SIM_BASE_URL: sim.url,
      AUTH_SOURCE: source,
      BETTER_AUTH_SECRET: this.secret,
      ENABLE_CACHING: 'false',
      RATE_LIMIT_PER_MINUTE: '0',
      WORKERS: '1',
      LOG_FORMAT: 'json',
      LOG_LEVEL: 'DEBUG',
      ...env,
    });
    this.#bridges.push(bridge);
    return bridge;
  }

  /** A bridge for each source. */
  async bridges(sim, env) {
    const [database, http] = await Promise.all(SOURCES.map((source) => this.bridge(source, sim, env)));
    return { database, http };
  }

  async #stop() {
    const crashed = this.#sims.find((sim) => !sim.child.running && !sim.stopped);
    const ends = await Promise.all(this.#bridges.map(({ child }) => end(child)));
    await Promise.all(this.#sims.map((sim) => sim.stop()));
    await this.database?.end();
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()));
    if (this.dev) ends.push(await end(this.dev.child));
    await stopAll();
    if (this.directory) await rm(this.directory, { recursive: true, force: true });

    if (crashed) assert.fail(`a Sim ended by itself:\n${crashed.child.output.slice(-4000)}`);
    for (const { child, asked, code, signal } of ends) {
      assert.ok(asked, `${child.name} ended by itself:\n${child.output.slice(-4000)}`);
      assert.equal(code, 0, `${child.name} did not stop cleanly (signal ${signal}):\n${child.output.slice(-4000)}`);
      for (const [text, what] of this.#confidential) {
        assert.ok(!child.output.includes(text), `${what} is in the log of ${child.name}`);
      }
    }
  }
}

/** Stops a server as its supervisor does, and tells how it took that. */
async function end(child) {
  const asked = child.running;
  return { child, asked, ...(await child.stop({ deadline: 20_000 })) };
}
