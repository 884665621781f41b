// Everything that a deployment has, on loopback: the server with its database, node-exporter, Prometheus, Alertmanager,
// an echo in the place of Parlant, and a receiver in the place of Slack.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';

import { ChaosProxy } from '../../lib/chaos.mjs';
import { Child, stopAll } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';
import { PARLANT_BACKUP, dev, freePort, serve } from '../../lib/product.mjs';
import { Receiver } from '../../lib/receiver.mjs';
import { until } from '../../lib/until.mjs';
import { faster, fasterAll } from './faster.mjs';

const DEPLOY = fileURLToPath(new URL('../../../deploy/', import.meta.url));
const PSQL = process.env.PG_BIN_DIR ? path.join(process.env.PG_BIN_DIR, 'psql') : 'psql';
const random = () => randomBytes(24).toString('hex');
const run = promisify(execFile);

export const committed = (file) => readFileSync(path.join(DEPLOY, file), 'utf8');

export class Stack {
  secret = random();
  metricsToken = random();
  simStatus = 200;

  /** A stack that lasts as long as the tests of this file; `prepare` makes it ready for them. Call it outside of tests. */
  static around(prepare = async () => {}) {
    const stack = new Stack();
    before(async () => {
      await stack.start();
      await prepare(stack);
    });
    after(() => stack.stop());
    return stack;
  }

  async start() {
    this.directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
    // The cluster may run as another user, who has to get through.
    await chmod(this.directory, 0o755);
    this.receiver = await Receiver.start();
    await this.startSim();
    await this.#startEngine();
    await this.#startDatabase();
    await this.startServer();
    await this.#startNodeExporter();
    await this.#startAlertmanager();
    await this.#startPrometheus();
  }

  /** A Sim that is as well as `simStatus` says; the server asks it for nothing else here. */
  async startSim() {
    this.sim = http.createServer((_, response) => response.writeHead(this.simStatus).end('{}'));
    await new Promise((resolve) => this.sim.listen(this.simPort ?? 0, '127.0.0.1', resolve));
    this.simPort = this.sim.address().port;
  }

  async stopSim() {
    this.sim.closeAllConnections();
    await new Promise((resolve) => this.sim.close(resolve));
  }

  /** The echo of a `dev` that is there for nothing else, behind a network that fails. */
  async #startEngine() {
    const directory = path.join(this.directory, 'echo');
    await mkdir(directory, { mode: 0o755 });
    this.echo = await dev(directory, {});
    const { hostname, port } = new URL(this.echo.facts.engine_url);
    this.engine = await ChaosProxy.start({ host: hostname, port: Number(port) });
  }

  /** The same for every server: each answers what any of them has taken. */
  get #engineSettings() {
    return { PARLANT_BASE_URL: `http://127.0.0.1:${this.engine.port}`, PARLANT_TURN_TIMEOUT: '2' };
  }

  async #startDatabase() {
    const env = { BETTER_AUTH_SECRET: this.secret, RATE_LIMIT_PER_MINUTE: '0', ...this.#engineSettings };
    this.dev = await dev(this.directory, env);
    const { database_url: admin, token, workspaces } = this.dev.facts;
    this.credential = { Authorization: `Bearer ${token}` };
    this.workspace = workspaces[0].id;
    const password = random();
    await this.sql(`create role e2e_bridge login password '${password}' in role parlant_app`);
    const { hostname, port } = new URL(admin);
    const through = async () => {
      const proxy = await ChaosProxy.start({ host: hostname, port: Number(port) });
      const url = new URL(admin);
      Object.assign(url, { username: 'e2e_bridge', password, hostname: '127.0.0.1', port: String(proxy.port) });
      return { proxy, url: url.href };
    };
    this.database = await through();
    this.simDatabase = await through();
  }

  /** Runs SQL as the database's owner. */
  async sql(statements) {
    await run(PSQL, this.#psql(statements));
  }

  /** Keeps everybody out of this table until the returned function is called. */
  async lock(table) {
    const child = new Child('psql', PSQL, this.#psql(`begin; lock table ${table}; select pg_sleep(600)`));
    // psql cancels what it has under way; killed, it would leave that running in the server.
    return () => child.stop({ signal: 'SIGINT' });
  }

  #psql(statements) {
    return ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', this.dev.facts.database_url, '-c', statements];
  }

  async startServer() {
    this.server = await serve(this.directory, 'server', {
      DATABASE_URL: this.database.url,
      SIM_DATABASE_URL: this.simDatabase.url,
      SIM_BASE_URL: `http://127.0.0.1:${this.simPort}`,
      ...this.#engineSettings,
      DATABASE_POOL_SIZE: '2',
      DATABASE_POOL_MAX_OVERFLOW: '2',
      DATABASE_POOL_TIMEOUT: '5',
      DATABASE_CONNECTION_TIMEOUT: '2',
      DATABASE_COMMAND_TIMEOUT: '10',
      BETTER_AUTH_SECRET: this.secret,
      METRICS_TOKEN: this.metricsToken,
      HEALTH_CHECK_INTERVAL: '1',
      MAX_SESSIONS_PER_USER: '5000',
      RATE_LIMIT_PER_MINUTE: '0',
      SHUTDOWN_GRACE: '1',
      // One may be busy with a large answer: scrapes have little time here.
      WORKERS: '4',
      LOG_FORMAT: 'json',
      ...(this.serverPort ? { PORT: String(this.serverPort) } : {}),
    });
    this.serverPort = Number(new URL(this.server.url).port);
  }

  /** Starts a program that listens on a free port, and waits until it is ready. */
  async #program(name, command, args, ready) {
    const port = await freePort();
    const child = new Child(name, command, args(`127.0.0.1:${port}`), { cwd: this.directory });
    const url = `http://127.0.0.1:${port}`;
    await until(`${name} is ready`, async () => !child.running || (await request(url, 'GET', ready)).status === 200, {
      deadline: 30_000,
    });
    child.assertRunning();
    return { child, url, address: `127.0.0.1:${port}` };
  }

  async #write(name, text) {
    const file = path.join(this.directory, name);
    await writeFile(file, text);
    return file;
  }

  async #startNodeExporter() {
    this.textfiles = path.join(this.directory, 'textfiles');
    await mkdir(this.textfiles);
    this.nodeExporter = await this.#program(
      'node-exporter',
      'prometheus-node-exporter',
      (address) => [
        `--web.listen-address=${address}`,
        '--collector.disable-defaults',
        '--collector.textfile',
        `--collector.textfile.directory=${this.textfiles}`,
      ],
      '/metrics',
    );
  }

  /** Tonight's backup, whose numbers node-exporter serves. */
  async backup() {
    const env = {
      PATH: process.env.PATH,
      ...(process.env.PG_BIN_DIR ? { PG_BIN_DIR: process.env.PG_BIN_DIR } : {}),
      DATABASE_URL: this.dev.facts.database_url,
      BACKUP_DIR: path.join(this.directory, 'backups'),
      BACKUP_METRICS_FILE: this.backupMetrics,
    };
    await run(PARLANT_BACKUP, ['run'], { cwd: this.directory, env });
  }

  get backupMetrics() {
    return path.join(this.textfiles, 'parlant_backup.prom');
  }

  async #startAlertmanager() {
    const configuration = fasterAll(parse(committed('alertmanager/alertmanager.yml')));
    configuration.global.slack_api_url_file = await this.#write('slack_webhook_url', `${this.receiver.url}/slack`);
    configuration.receivers.find(({ name }) => name === 'heartbeat').webhook_configs[0].url =
      `${this.receiver.url}/heartbeat`;
    const file = await this.#write('alertmanager.yml', stringify(configuration));
    this.alertmanager = await this.#program(
      'alertmanager',
      'prometheus-alertmanager',
      (address) => [
        `--config.file=${file}`,
        `--storage.path=${path.join(this.directory, 'alertmanager')}`,
        `--web.listen-address=${address}`,
        '--cluster.listen-address=',
      ],
      '/-/ready',
    );
  }

  async #startPrometheus() {
    // As an operator does who has set METRICS_TOKEN.
    const text = committed('prometheus/prometheus.yml').replace(/^    # (authorization:|  credentials_file:)/gm, '    $1');
    const configuration = fasterAll(parse(text));
    const [server, node] = configuration.scrape_configs;
    assert.deepEqual([server.job_name, node.job_name], ['parlant-server', 'node']);
    server.authorization.credentials_file = await this.#write('metrics_token', this.metricsToken);
    server.static_configs[0].targets = [`127.0.0.1:${this.serverPort}`];
    node.static_configs[0].targets = [this.nodeExporter.address];
    configuration.alerting.alertmanagers[0].static_configs[0].targets = [this.alertmanager.address];
    // Prometheus takes its time to find its targets at the start, and in fast time that is an outage: rules come later.
    configuration.rule_files = [await this.#write('parlant_alerts.yml', 'groups: []')];
    const file = await this.#write('prometheus.yml', stringify(configuration));
    this.prometheus = await this.#program(
      'prometheus',
      'prometheus',
      (address) => [
        `--config.file=${file}`,
        `--storage.tsdb.path=${path.join(this.directory, 'prometheus')}`,
        `--web.listen-address=${address}`,
        // How often alerts are said again to Alertmanager: a minute, if it is not in fast time.
        `--rules.alert.resend-delay=${faster('1m')}`,
      ],
      '/-/ready',
    );
    await until(
      'Prometheus reaches everybody',
      async () => {
        const { activeTargets } = await this.ask('targets');
        const { activeAlertmanagers } = await this.ask('alertmanagers');
        return activeTargets.filter(({ health }) => health === 'up').length === 2 && activeAlertmanagers.length === 1;
      },
      { deadline: 30_000 },
    );
    await this.#write('parlant_alerts.yml', stringify(fasterAll(parse(committed('prometheus/parlant_alerts.yml')))));
    this.prometheus.child.signal('SIGHUP');
  }

  /** What Prometheus' interface answers. */
  async ask(pathname, parameters = {}) {
    const search = new URLSearchParams(parameters);
    const { status, json, text } = await request(this.prometheus.url, 'GET', `/api/v1/${pathname}?${search}`);
    assert.equal(status, 200, `${search}: ${text}`);
    return json.data;
  }

  /** An expression's value now. */
  async query(expr) {
    return (await this.ask('query', { query: expr })).result;
  }

  /** The alerts that Alertmanager holds, with what inhibits them. */
  async alerts() {
    return (await request(this.alertmanager.url, 'GET', '/api/v2/alerts')).json;
  }

  /** Alerts as Prometheus would send them, for so many milliseconds. */
  async pretend(alerts, milliseconds) {
    const endsAt = new Date(Date.now() + milliseconds).toISOString();
    const json = alerts.map((labels) => ({ labels: { service: 'parlant-server', ...labels }, endsAt }));
    const { status, text } = await request(this.alertmanager.url, 'POST', '/api/v2/alerts', { json });
    assert.equal(status, 200, text);
  }

  /** Sends requests in this many loops until the returned function is called; their failures are the point. */
  load(loops, send) {
    let going = true;
    const running = Array.from({ length: loops }, async () => {
      while (going) {
        await send().catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
    return async () => {
      going = false;
      await Promise.all(running);
    };
  }

  list() {
    return this.server.get('/api/v1/agents', this.credential);
  }

  /** A token of the right shape that nobody has. */
  stranger() {
    return this.server.get('/api/v1/auth/me', { Authorization: `Bearer ${randomBytes(16).toString('hex')}` });
  }

  async stop() {
    const servers = [this.prometheus, this.alertmanager, this.nodeExporter, this.server].filter(Boolean);
    const crashed = servers.filter(({ child }) => !child.running);
    await Promise.all(servers.map(({ child }) => child.stop()));
    await Promise.all([this.dev, this.echo].filter(Boolean).map(({ child }) => child.stop()));
    await Promise.all([this.database, this.simDatabase].filter(Boolean).map(({ proxy }) => proxy.stop()));
    await this.engine?.stop();
    await this.stopSim();
    await this.receiver?.stop();
    await stopAll();
    if (this.directory) await rm(this.directory, { recursive: true, force: true });
    for (const { child } of crashed) assert.fail(`${child.name} ended by itself:\n${child.output.slice(-4000)}`);
  }
}
