// Prometheus and Alertmanager with the committed configurations, and the addresses that hold here.
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parse, stringify } from 'yaml';

import { Child } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';
import { freePort } from '../../lib/product.mjs';
import { until } from '../../lib/until.mjs';
import { ROOT } from './pages.mjs';

const committed = (file) => readFileSync(path.join(ROOT, 'deploy', file), 'utf8');

/** Watches the server at this address; gives the addresses of both. */
export async function monitor(server, folder) {
  await mkdir(folder);
  const write = async (name, text) => {
    await writeFile(path.join(folder, name), text);
    return path.join(folder, name);
  };

  const routes = parse(committed('alertmanager/alertmanager.yml'));
  // A port that nobody listens to: nothing of this is to be told to anybody.
  const nobody = `http://127.0.0.1:${await freePort()}/`;
  routes.global.slack_api_url_file = await write('slack_webhook_url', nobody);
  routes.receivers.find(({ name }) => name === 'heartbeat').webhook_configs[0].url = nobody;
  const alertmanager = await start(folder, 'prometheus-alertmanager', [
    `--config.file=${await write('alertmanager.yml', stringify(routes))}`,
    `--storage.path=${path.join(folder, 'alertmanager')}`,
    '--cluster.listen-address=',
  ]);

  await write('parlant_alerts.yml', committed('prometheus/parlant_alerts.yml'));
  const scrapes = parse(committed('prometheus/prometheus.yml'));
  scrapes.global = { scrape_interval: '1s', evaluation_interval: '1s' };
  scrapes.alerting.alertmanagers[0].static_configs[0].targets = [new URL(alertmanager).host];
  scrapes.scrape_configs = scrapes.scrape_configs.filter(({ job_name }) => job_name === 'parlant-server');
  scrapes.scrape_configs[0].static_configs[0].targets = [new URL(server).host];
  const prometheus = await start(folder, 'prometheus', [
    `--config.file=${await write('prometheus.yml', stringify(scrapes))}`,
    `--storage.tsdb.path=${path.join(folder, 'prometheus')}`,
  ]);
  return { alertmanager, prometheus };
}

/** Starts it on a free port, and waits until it is ready. */
async function start(cwd, command, args) {
  const address = `127.0.0.1:${await freePort()}`;
  const child = new Child(command, command, [...args, `--web.listen-address=${address}`], { cwd });
  const ready = async () => !child.running || (await request(`http://${address}`, 'GET', '/-/ready')).status === 200;
  await until(`${command} is ready`, ready, { deadline: 30_000 });
  child.assertRunning();
  return `http://${address}`;
}
