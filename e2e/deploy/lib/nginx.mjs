// A real nginx with the committed configuration: addresses, names and paths are of this machine, and it is less patient.
import { readFile, writeFile, mkdir } from 'node:fs/promises';
import path from 'node:path';

import { Child } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';
import { freePort } from '../../lib/product.mjs';
import { until } from '../../lib/until.mjs';
import { text } from './manifests.mjs';

export class Nginx {
  /** In front of the server at this address. Every replacement must be found, so that the committed file is what runs. */
  static async start(directory, upstream) {
    const nginx = new Nginx();
    const home = path.join(directory, 'nginx');
    await mkdir(home);
    const [plain, tls] = [await freePort(), await freePort()];
    nginx.log = path.join(home, 'parlant.log');
    nginx.plain = `http://localhost:${plain}`;
    nginx.url = `https://localhost:${tls}`;
    let configuration = text('deploy/nginx/parlant.conf');
    for (const [from, to] of [
      ['server 127.0.0.1:8001;', `server ${new URL(upstream).host};`],
      ['listen 80;', `listen 127.0.0.1:${plain};`],
      ['listen [::]:80;', ''],
      ['listen 443 ssl http2;', `listen 127.0.0.1:${tls} ssl http2;`],
      ['listen [::]:443 ssl http2;', ''],
      ['server_name parlant.example.com;', 'server_name localhost;'],
      ['server_name parlant.example.com;', 'server_name localhost;'],
      ['/etc/ssl/parlant/fullchain.pem', path.join(process.env.TLS, 'fullchain.pem')],
      ['/etc/ssl/parlant/privkey.pem', path.join(process.env.TLS, 'privkey.pem')],
      ['/var/log/nginx/parlant.log', nginx.log],
      // The bridge is heard of each 15 s.
      ['proxy_read_timeout 60s;', 'proxy_read_timeout 20s;'],
    ]) {
      if (!configuration.includes(from)) throw new Error(`deploy/nginx/parlant.conf has no ${from}`);
      configuration = configuration.replace(from, to);
    }
    const file = path.join(home, 'nginx.conf');
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${home}/${name};`);
    await writeFile(
      file,
      `worker_processes 2; daemon off; pid ${home}/pid; error_log ${home}/error.log;
events { worker_connections 256; }
http { ${temporary.join(' ')}
${configuration} }`,
    );
    nginx.child = new Child('nginx', 'nginx', ['-p', home, '-e', `${home}/error.log`, '-c', file]);
    await until('nginx answers', async () => !nginx.child.running || (await request(nginx.url, 'GET', '/livez')).status === 200);
    nginx.child.assertRunning();
    nginx.file = file;
    return nginx;
  }

  /** Its lines about the request with this id. */
  async logged(id) {
    const lines = (await readFile(this.log, 'utf8')).split('\n').filter(Boolean).map((line) => JSON.parse(line));
    return lines.filter(({ request_id }) => request_id === id);
  }
}
