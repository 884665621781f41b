// Servers that alert by themselves, in fast time: libfaketime makes their clock and all that waits by it run so many
// times faster, so that an alert which takes minutes to fire takes seconds. They are the real programs with the real rules.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { after, before } from 'node:test';
import { promisify } from 'node:util';

import { ChaosProxy } from '../../lib/chaos.mjs';
import { stopAll } from '../../lib/children.mjs';
import { PARLANT_SERVER, dev, serve } from '../../lib/product.mjs';
import { Receiver } from '../../lib/receiver.mjs';
import { until } from '../../lib/until.mjs';

export const FACTOR = 10;

/** How often the servers look, in seconds of their time. */
export const INTERVAL = 30;

const FAKETIME = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib']
  .map((directory) => path.join(directory, 'faketime/libfaketime.so.1'))
  .find(existsSync);
const PSQL = process.env.PG_BIN_DIR ? path.join(process.env.PG_BIN_DIR, 'psql') : 'psql';
const PARLANT_OPS = path.join(path.dirname(PARLANT_SERVER), 'parlant-ops');
const run = promisify(execFile);
const random = () => randomBytes(24).toString('hex');

/** A PostgreSQL for all scenes of a file. */
export class World {
  scenes = [];
  #sql = Promise.resolve();

  static around() {
    const world = new World();
    before(() => world.#start());
    after(() => world.#stop());
    return world;
  }

  async #start() {
    if (!FAKETIME) throw new Error('libfaketime is missing: apt-get install faketime');
    this.directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
    // The cluster may run as another user, who has to get through.
    await chmod(this.directory, 0o755);
    this.secret = random();
    this.dev = await dev(this.directory, { BETTER_AUTH_SECRET: this.secret });
    const { token, workspaces } = this.dev.facts;
    this.credential = { Authorization: `Bearer ${token}` };
    this.workspace = workspaces[0].id;
  }

  /** Runs SQL as the database's owner; one after the other, for two that grant at once disturb each other. */
  sql(statements) {
    const done = this.#sql.then(() => this.#psql(statements));
    this.#sql = done.catch(() => {});
    return done;
  }

  async #psql(statements) {
    await run(PSQL, ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', this.dev.facts.database_url, '-c', statements]);
  }

  /** `parlant-ops`, with nothing else in its environment. */
  async ops(args, env) {
    const { stdout, stderr } = await run(PARLANT_OPS, args, { cwd: this.directory, env: { PATH: process.env.PATH, ...env } });
    return { stdout, stderr };
  }

  async #stop() {
    await stopAll();
    await Promise.all(this.scenes.map((scene) => scene.end()));
    if (this.directory) await rm(this.directory, { recursive: true, force: true });
  }
}

/** What a server depends on and tells, all its own but the database's contents. */
export class Scene {
  #servers = 0;

  static async in(world) {
    const scene = new Scene();
    world.scenes.push(scene);
    scene.world = world;
    scene.slack = await Receiver.start();
    await scene.startSim();
    const { hostname, port } = new URL(world.dev.facts.database_url);
    scene.database = await ChaosProxy.start({ host: hostname, port: Number(port) });
    scene.role = `e2e_${random()}`;
    scene.password = random();
    await world.sql(
      `create role ${scene.role} login password '${scene.password}'; grant usage on schema public to ${scene.role}; ` +
        `grant select, insert, update on all tables in schema public to ${scene.role}`,
    );
    scene.state = await mkdtemp(path.join(world.directory, 'alerts-'));
    return scene;
  }

  async startSim() {
    this.sim = http.createServer((_, response) => response.end('{"status":"ok"}'));
    await new Promise((resolve) => this.sim.listen(this.simPort ?? 0, '127.0.0.1', resolve));
    this.simPort = this.sim.address().port;
  }

  async stopSim() {
    this.sim.closeAllConnections();
    await new Promise((resolve) => this.sim.close(resolve));
  }

  get alerting() {
    return { SLACK_WEBHOOK_URL: `${this.slack.url}/services/secret`, ALERT_STATE_DIR: this.state };
  }

  /** A server in fast time. */
  server(env = {}) {
    this.#servers += 1;
    const url = new URL(this.world.dev.facts.database_url);
    Object.assign(url, { username: this.role, password: this.password, hostname: '127.0.0.1', port: String(this.database.port) });
    return serve(this.world.directory, `server ${this.#servers}`, {
      LD_PRELOAD: FAKETIME,
      FAKETIME: `+0 x${FACTOR}`,
      DATABASE_URL: url.href,
      SIM_BASE_URL: `http://127.0.0.1:${this.simPort}`,
      BETTER_AUTH_SECRET: this.world.secret,
      RATE_LIMIT_PER_MINUTE: '0',
      HEALTH_CHECK_INTERVAL: '5s',
      // Ten seconds of theirs are one of ours.
      DATABASE_CONNECTION_TIMEOUT: '60s',
      DATABASE_POOL_TIMEOUT: '60s',
      ALERT_INTERVAL: `${INTERVAL}s`,
      LOG_FORMAT: 'json',
      ...this.alerting,
      ...env,
    });
  }

  /** What Slack was told about the alert with this runbook page. */
  told(page) {
    return this.slack.messages.filter(({ link }) => link?.endsWith(`/${page}`));
  }

  /** Waits until Slack was told so often about an alert, in seconds of the servers' time. */
  tells(page, status, { times = 1, within }) {
    const said = () => this.told(page).filter((message) => message.status === status);
    return until(`Slack is told that ${page} is ${status}`, async () => said().length >= times && said().at(-1), {
      deadline: (within / FACTOR) * 1000,
    });
  }

  async end() {
    await this.database?.stop();
    await this.stopSim().catch(() => {});
    await this.slack.stop();
  }
}

/** What time it is for this server, in seconds since 1970. */
export async function timeOf(server) {
  const { json } = await server.get('/api/v1/health/detailed');
  return Date.parse(json.timestamp) / 1000;
}
