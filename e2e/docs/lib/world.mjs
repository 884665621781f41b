// What the documentation takes for granted: a server that is in use, its database, Prometheus and Alertmanager; and another
// server of PostgreSQL for what changes things.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { readFileSync } from 'node:fs';

import { Child, stopAll } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';
import { PARLANT_SERVER, dev, freePort } from '../../lib/product.mjs';
import { until } from '../../lib/until.mjs';
import { ROOT } from './pages.mjs';

const run = promisify(execFile);
const committed = (file) => parse(readFileSync(path.join(ROOT, 'deploy', file), 'utf8'));

export class World {
  pages = 0;

  static async start() {
    const world = new World();
    world.directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
    // The cluster may run as another user, who has to get through.
    await chmod(world.directory, 0o755);
    try {
      await Promise.all([world.#startLive(), world.#startSpare(), world.#startMonitoring()]);
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  #folder = async (name) => {
    const folder = path.join(this.directory, name);
    await mkdir(folder);
    return folder;
  };

  async #startLive() {
    const folder = await this.#folder('live');
    this.logFile = path.join(folder, 'server.log');
    this.secret = randomBytes(24).toString('hex');
    this.live = await dev(folder, { BETTER_AUTH_SECRET: this.secret, LOG_FILE: this.logFile, LOG_FORMAT: 'json' });
    const { facts } = this.live;
    this.liveUrl = await this.#login(facts.database_url, 'docs_app', 'parlant_app');
    await this.#use(facts);
  }

  /** Somebody works with it, so that there is something to see: an agent that is made, talked to, and a failure. */
  async #use({ base_url, token, workspaces }) {
    const call = async (method, pathname, json) => (await request(base_url, method, pathname, { json, headers: { Authorization: `Bearer ${token}` } })).json;
    const agent = await call('POST', '/api/v1/agents', { name: 'Concierge', workspace_id: workspaces[0].id });
    const { session_id } = await call('POST', '/api/v1/agents/sessions', { agent_id: agent.id, workspace_id: workspaces[0].id });
    await call('POST', `/api/v1/agents/sessions/${session_id}/messages`, { content: 'Hello!' });
    await request(base_url, 'GET', '/api/v1/auth/me', { headers: { Authorization: `Bearer ${randomBytes(16).toString('hex')}` } });
    this.agent = agent.id;
  }

  async #startSpare() {
    this.spare = await dev(await this.#folder('spare'), { LOG_FORMAT: 'json' });
    this.simTables = path.join(this.directory, 'sim.sql');
    await run('pg_dump', ['--exclude-table=public.parlant_*', '--file', this.simTables, this.spare.facts.database_url]);
  }

  /** A database `sim` that has Sim's tables and, unless it is to be new, the bridge's, and the roles' passwords. */
  async #own({ fresh }) {
    const admin = new URL(this.spare.facts.database_url);
    admin.pathname = '/postgres';
    const databases = await this.#sql(admin.href, "select quote_ident(datname) from pg_database where datname ~ '^sim(?!_dev)' or datname ~ '^parlant'");
    for (const name of databases) await this.#sql(admin.href, `drop database ${name} with (force)`);
    await this.#sql(admin.href, 'create database sim');
    admin.pathname = '/sim';
    await run('psql', ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', `--file=${this.simTables}`, admin.href]);
    const as = async (role) => {
      const url = new URL(admin);
      [url.username, url.password] = [role, randomBytes(16).toString('hex')];
      await this.#sql(admin.href, `alter role ${role} login password '${url.password}'`);
      return url.href;
    };
    const PORT = String(await freePort());
    this.pages += 1;
    const LOG_FILE = path.join(this.directory, `page-${this.pages}.log`);
    await writeFile(LOG_FILE, '');
    const MIGRATOR_URL = await as('parlant_migrator');
    if (!fresh) {
      await run(path.join(path.dirname(PARLANT_SERVER), 'parlant-migrate'), ['apply'], { cwd: this.directory, env: { DATABASE_URL: MIGRATOR_URL } });
    }
    return {
      LOG_FILE,
      BACKUP_DIR: path.join(this.directory, `backups-${this.pages}`),
      PARLANT_BASE_URL: '',
      ADMIN_URL: admin.href,
      MIGRATOR_URL,
      DATABASE_URL: await as('parlant_app'),
      BACKUP_URL: await as('parlant_backup'),
      HOST: '127.0.0.1',
      PORT,
      BRIDGE: `http://127.0.0.1:${PORT}`,
    };
  }

  async #login(url, name, role) {
    const login = new URL(url);
    [login.username, login.password] = [name, randomBytes(16).toString('hex')];
    await this.#sql(url, `create role ${name} login password '${login.password}' in role ${role}`);
    return login.href;
  }

  async #sql(url, statement) {
    const { stdout } = await run('psql', ['--no-psqlrc', '--quiet', '--tuples-only', '--no-align', '--set=ON_ERROR_STOP=1', `--command=${statement}`, url]);
    return stdout.trim().split('\n').filter(Boolean);
  }

  /** The committed configurations, with the addresses that hold here. */
  async #startMonitoring() {
    const folder = await this.#folder('monitoring');
    const write = async (name, text) => {
      await writeFile(path.join(folder, name), text);
      return path.join(folder, name);
    };
    const alertmanager = committed('alertmanager/alertmanager.yml');
    // A port that nobody listens to: nothing of this is to be told to anybody.
    const nobody = `http://127.0.0.1:${await freePort()}/`;
    alertmanager.global.slack_api_url_file = await write('slack_webhook_url', nobody);
    alertmanager.receivers.find(({ name }) => name === 'heartbeat').webhook_configs[0].url = nobody;
    this.alertmanager = await this.#program('prometheus-alertmanager', folder, (address) => [
      `--config.file=${path.join(folder, 'alertmanager.yml')}`, `--storage.path=${folder}/alertmanager`, `--web.listen-address=${address}`, '--cluster.listen-address=',
    ], write('alertmanager.yml', stringify(alertmanager)));

    const prometheus = committed('prometheus/prometheus.yml');
    await write('parlant_alerts.yml', readFileSync(path.join(ROOT, 'deploy/prometheus/parlant_alerts.yml'), 'utf8'));
    prometheus.global = { scrape_interval: '1s', evaluation_interval: '1s' };
    prometheus.alerting.alertmanagers[0].static_configs[0].targets = [new URL(this.alertmanager).host];
    const target = await until('the server is there', () => this.live?.facts.base_url, { deadline: 60_000 });
    prometheus.scrape_configs = prometheus.scrape_configs.filter(({ job_name }) => job_name === 'parlant-server');
    prometheus.scrape_configs[0].static_configs[0].targets = [new URL(target).host];
    this.prometheus = await this.#program('prometheus', folder, (address) => [
      `--config.file=${path.join(folder, 'prometheus.yml')}`, `--storage.tsdb.path=${folder}/prometheus`, `--web.listen-address=${address}`,
    ], write('prometheus.yml', stringify(prometheus)));
  }

  async #program(command, cwd, args, ready) {
    await ready;
    const address = `127.0.0.1:${await freePort()}`;
    const child = new Child(command, command, args(address), { cwd });
    await until(`${command} is ready`, async () => !child.running || (await request(`http://${address}`, 'GET', '/-/ready')).status === 200, { deadline: 30_000 });
    child.assertRunning();
    return `http://${address}`;
  }

  /** The variables of a page: everything of the live system, or of a database of its own (`own`, `new`). */
  async environment(own) {
    const { facts } = this.live;
    return {
      PATH: [path.dirname(PARLANT_SERVER), process.env.PATH, '/usr/sbin'].join(':'),
      ...(process.env.PG_BIN_DIR ? { PG_BIN_DIR: process.env.PG_BIN_DIR } : {}),
      BRIDGE: facts.base_url,
      TOKEN: facts.token,
      WORKSPACE: facts.workspaces[0].id,
      AGENT: this.agent,
      USER_ID: facts.user_id,
      DATABASE_URL: this.liveUrl,
      ADMIN_URL: facts.database_url,
      BETTER_AUTH_SECRET: this.secret,
      LOG_FILE: this.logFile,
      PARLANT_BASE_URL: facts.engine_url,
      PROMETHEUS: this.prometheus,
      ALERTMANAGER: this.alertmanager,
      BACKUP_DIR: path.join(this.directory, 'backups'),
      ...(own ? await this.#own({ fresh: own === 'new' }) : {}),
    };
  }

  async stop() {
    await stopAll();
    await rm(this.directory, { recursive: true, force: true });
  }
}
