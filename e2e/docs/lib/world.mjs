// What the documentation takes for granted: a server that is in use, with its database and with those who watch it; and
// another PostgreSQL for what changes things.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { stopAll } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';
import { PARLANT_SERVER, dev, freePort } from '../../lib/product.mjs';
import { monitor } from './monitoring.mjs';

const PROGRAMS = path.dirname(PARLANT_SERVER);
const PSQL = ['--no-psqlrc', '--quiet', '--tuples-only', '--no-align', '--set=ON_ERROR_STOP=1'];
/** What our programs need to find PostgreSQL's. */
const SURROUNDINGS = Object.fromEntries(['PATH', 'PG_BIN_DIR'].filter((name) => process.env[name]).map((name) => [name, process.env[name]]));
const run = promisify(execFile);
const random = () => randomBytes(16).toString('hex');

export class World {
  #pages = 0;

  static async start() {
    const world = new World();
    world.directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
    // The cluster may run as another user, who has to get through.
    await chmod(world.directory, 0o755);
    try {
      await Promise.all([world.#startLive(), world.#startSpare()]);
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  async #dev(name, env) {
    const folder = path.join(this.directory, name);
    await mkdir(folder);
    return (await dev(folder, { LOG_FORMAT: 'json', ...env })).facts;
  }

  async #startLive() {
    const env = {
      BETTER_AUTH_SECRET: random() + random(),
      LOG_FILE: path.join(this.directory, 'server.log'),
      // There, and in nobody's way.
      RATE_LIMIT_PER_MINUTE: '1000000',
      RATE_LIMIT_BURST: '1000000',
    };
    const { base_url, token, workspaces, user_id, database_url, engine_url } = await this.#dev('live', env);
    const password = random();
    await this.#sql(database_url, `create role docs_app login password '${password}' in role parlant_app`);
    const BACKUP_DIR = path.join(this.directory, 'backups');
    const [{ alertmanager, prometheus }] = await Promise.all([
      monitor(base_url, path.join(this.directory, 'monitoring')),
      run(path.join(PROGRAMS, 'parlant-backup'), ['run'], { cwd: this.directory, env: { ...SURROUNDINGS, DATABASE_URL: database_url, BACKUP_DIR } }),
    ]);
    const { hostname: HOST, port: PORT } = new URL(base_url);
    this.live = {
      ...env,
      HOST,
      PORT,
      BRIDGE: base_url,
      TOKEN: token,
      WORKSPACE: workspaces[0].id,
      USER_ID: user_id,
      AGENT: await use(base_url, token, workspaces[0].id),
      DATABASE_URL: as(database_url, 'docs_app', password),
      ADMIN_URL: database_url,
      PARLANT_BASE_URL: engine_url,
      PROMETHEUS: prometheus,
      ALERTMANAGER: alertmanager,
      BACKUP_DIR,
    };
  }

  async #startSpare() {
    const { database_url } = await this.#dev('spare');
    this.spare = new URL(database_url);
    this.simTables = path.join(this.directory, 'sim.sql');
    await run('pg_dump', ['--exclude-table=public.parlant_*', `--file=${this.simTables}`, database_url]);
  }

  /** The variables of a page: those of the live system, and for a page that changes things those of a database of its own. */
  async environment(own) {
    return {
      ...SURROUNDINGS,
      PATH: [PROGRAMS, process.env.PATH, '/usr/sbin'].join(':'),
      ...this.live,
      ...(own ? await this.#own({ migrated: own === 'own' }) : {}),
    };
  }

  /** A database `sim` with Sim's tables and perhaps the bridge's, whatever other pages left, and a port for a server. */
  async #own({ migrated }) {
    const admin = new URL(this.spare);
    admin.pathname = '/postgres';
    const left = "select quote_ident(datname) from pg_database where datname ~ '^(sim(?!_dev)|parlant)'";
    for (const name of await this.#sql(admin.href, left)) await this.#sql(admin.href, `drop database ${name} with (force)`);
    await this.#sql(admin.href, 'create database sim');
    admin.pathname = '/sim';
    await run('psql', [...PSQL, `--file=${this.simTables}`, admin.href]);

    const urls = { ADMIN_URL: admin.href };
    for (const [variable, role] of [['MIGRATOR_URL', 'migrator'], ['DATABASE_URL', 'app'], ['BACKUP_URL', 'backup']]) {
      const password = random();
      await this.#sql(admin.href, `alter role parlant_${role} login password '${password}'`);
      urls[variable] = as(admin.href, `parlant_${role}`, password);
    }
    if (migrated) {
      await run(path.join(PROGRAMS, 'parlant-migrate'), ['apply'], { cwd: this.directory, env: { DATABASE_URL: urls.MIGRATOR_URL } });
    }
    const PORT = String(await freePort());
    this.#pages += 1;
    const LOG_FILE = path.join(this.directory, `page-${this.#pages}.log`);
    await writeFile(LOG_FILE, '');
    return {
      ...urls,
      HOST: '127.0.0.1',
      PORT,
      BRIDGE: `http://127.0.0.1:${PORT}`,
      PARLANT_BASE_URL: '',
      LOG_FILE,
      BACKUP_DIR: path.join(this.directory, `backups-${this.#pages}`),
    };
  }

  async #sql(url, statement) {
    const { stdout } = await run('psql', [...PSQL, `--command=${statement}`, url]);
    return stdout.trim().split('\n').filter(Boolean);
  }

  async stop() {
    await stopAll();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function as(url, username, password) {
  return Object.assign(new URL(url), { username, password }).href;
}

/** Somebody works with the server, so that there is something to see: an agent that is made and spoken to, and a refusal. */
async function use(base, token, workspace_id) {
  const post = async (pathname, json) => (await request(base, 'POST', pathname, { json, headers: { Authorization: `Bearer ${token}` } })).json;
  const { id } = await post('/api/v1/agents', { name: 'Concierge', workspace_id });
  const { session_id } = await post('/api/v1/agents/sessions', { agent_id: id, workspace_id });
  await post(`/api/v1/agents/sessions/${session_id}/messages`, { content: 'Hello!' });
  await request(base, 'GET', '/api/v1/auth/me', { headers: { Authorization: `Bearer ${random()}` } });
  return id;
}
