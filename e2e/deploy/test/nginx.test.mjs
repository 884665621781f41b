// deploy/nginx/parlant.conf in a real nginx, in front of the real server, over TLS.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

import { Child, stopAll } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';
import { dev } from '../../lib/product.mjs';
import { connect, listen } from '../../lib/streams.mjs';
import { until } from '../../lib/until.mjs';
import { Nginx } from '../lib/nginx.mjs';

const run = promisify(execFile);

describe('nginx in front of the server', { concurrency: true }, () => {
  const world = {};
  let directory;
  let nginx;
  let bridge;

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
    // nginx' workers and the cluster may run as other users, who have to get through.
    await chmod(directory, 0o755);
    const secret = randomBytes(24).toString('hex');
    bridge = await dev(directory, {
      BETTER_AUTH_SECRET: secret,
      TRUSTED_PROXIES: '127.0.0.1',
      RATE_LIMIT_PER_MINUTE: '0',
      LOG_FORMAT: 'json',
    });
    nginx = await Nginx.start(directory, bridge.facts.base_url);
    const { token } = bridge.facts;
    world.credential = { Authorization: `Bearer ${token}` };
    // As Better Auth signs it.
    const signature = createHmac('sha256', secret).update(token).digest('base64');
    world.cookie = { Cookie: `better-auth.session_token=${encodeURIComponent(`${token}.${signature}`)}` };
  });
  after(async () => {
    nginx?.child.assertRunning();
    await nginx?.child.stop();
    await bridge?.child.stop();
    await stopAll();
    await rm(directory, { recursive: true, force: true });
  });

  const call = (method, pathname, options = {}) =>
    request(nginx.url, method, pathname, { ...options, headers: { ...world.credential, ...options.headers } });

  /** A session with the demo agent, and what is posted to it. */
  async function session() {
    const [agent] = (await call('GET', '/api/v1/agents')).json;
    const { status, json } = await call('POST', '/api/v1/agents/sessions', { json: { agent_id: agent.id, workspace_id: agent.workspace_id } });
    assert.equal(status, 201);
    const base = `/api/v1/agents/sessions/${json.session_id}`;
    const post = async (content) => {
      const posted = await call('POST', `${base}/messages`, { json: { content } });
      assert.equal(posted.status, 201, posted.text);
    };
    return { base, post, id: json.session_id };
  }

  test('the configuration passes its own check', async () => {
    const { stderr } = await run('nginx', ['-t', '-c', nginx.file]);
    assert.match(stderr, /test is successful/);
  });

  test('requests go over TLS and HTTP/2, and nothing else', async () => {
    const me = await call('GET', '/api/v1/auth/me');
    assert.equal(me.status, 200, me.text);
    assert.match(me.headers['strict-transport-security'], /max-age=\d+/);
    const format = ['--silent', '--output', '/dev/null', '--cacert', `${process.env.TLS}/fullchain.pem`, '--write-out', '%{http_version} %{response_code}'];
    assert.equal((await run('curl', [...format, `${nginx.url}/livez`])).stdout, '2 200');
    await assert.rejects(run('curl', [...format, '--tls-max', '1.1', `${nginx.url}/livez`]));
    const plain = await request(nginx.plain, 'GET', '/api/v1/auth/me?x=1');
    assert.equal(plain.status, 308);
    assert.equal(plain.headers.location, 'https://localhost/api/v1/auth/me?x=1');
  });

  test('server-sent events arrive one by one, as they happen', async () => {
    const { base, post } = await session();
    const stream = await listen(nginx, world, `${base}/events`);
    assert.equal(stream.status, 200);
    for (const content of ['one', 'two', 'three']) {
      await post(content);
      await until(`"${content}" is told`, () => stream.events.some(({ event, data }) => event === 'message' && data.content === content), {
        deadline: 5_000,
      });
    }
    stream.close();
  });

  test('they do so over HTTP/2 as well, which browsers speak', async () => {
    const { base, post } = await session();
    const ca = path.join(process.env.TLS, 'fullchain.pem');
    const authorization = `Authorization: Bearer ${bridge.facts.token}`;
    const curl = new Child('curl', 'curl', ['--http2', '--no-buffer', '--silent', '--include', '--cacert', ca, '--header', authorization, `${nginx.url}${base}/events`]);
    await until('the stream has begun', () => curl.output.startsWith('HTTP/2 200'));
    await post('by HTTP/2');
    await until('it is told', () => curl.output.includes('"by HTTP/2"'));
    assert.ok(curl.running);
    await curl.stop();
  });

  test('a stream stays, though nothing happens for longer than nginx waits for answers', async () => {
    const { base, post } = await session();
    const stream = await listen(nginx, world, `${base}/events`);
    await pause(25_000);
    await post('still there?');
    await until('it is told', () => stream.events.some(({ data }) => data.content === 'still there?'));
    stream.close();
  });

  test('a WebSocket works, from a page of this host and from no other', async () => {
    const { id, post } = await session();
    const socket = await connect(nginx, { credential: { ...world.cookie, Origin: 'https://localhost' } }, '/api/v1/agents/ws');
    await post('by socket');
    await until('it is told', () => socket.events.some(({ type, session_id }) => type === 'message:new' && session_id === id));
    socket.close();
    const foreign = { credential: { ...world.cookie, Origin: 'https://elsewhere.example.com' } };
    await assert.rejects(connect(nginx, foreign, '/api/v1/agents/ws'), /403/);
  });

  test('metrics are for nobody outside, however they ask', async () => {
    assert.match((await request(bridge.facts.base_url, 'GET', '/metrics')).text, /^parlant_build_info/m);
    for (const pathname of ['/metrics', '/metrics/', '/metrics?x=1', '/%6detrics', '//metrics', '/x/../metrics', '/./metrics', '/metrics%2f']) {
      const { status, text } = await run('curl', ['--silent', '--path-as-is', '--cacert', `${process.env.TLS}/fullchain.pem`, '--write-out', '\n%{response_code}', nginx.url + pathname]).then(
        ({ stdout }) => ({ status: stdout.split('\n').at(-1), text: stdout }),
      );
      assert.equal(status, '404', pathname);
      assert.doesNotMatch(text, /parlant_/, pathname);
    }
  });

  test('a body that is too large is refused in the words of the bridge, and a huge one by nginx', async () => {
    const { base } = await session();
    const large = await call('POST', `${base}/messages`, { json: { content: 'x'.repeat(300 * 1024) } });
    assert.equal(large.status, 413);
    assert.equal(large.json.error.code, 'PAYLOAD_TOO_LARGE');
    const huge = await call('POST', `${base}/messages`, { json: { content: 'x'.repeat(2 * 1024 * 1024) } });
    assert.equal(huge.status, 413);
    assert.match(huge.text, /nginx/);
  });

  test('an upload that is slower than the bridge would wait for arrives whole', async () => {
    const { base } = await session();
    const content = 'slow '.repeat(2_000);
    const body = JSON.stringify({ content });
    const answer = await new Promise((resolve, reject) => {
      const sent = https.request(new URL(`${base}/messages`, nginx.url), {
        method: 'POST',
        agent: false,
        headers: { ...world.credential, 'Content-Type': 'application/json', 'Content-Length': body.length },
      });
      sent.once('error', reject).once('response', resolve);
      const piece = Math.ceil(body.length / 35);
      const send = (from) => {
        if (from >= body.length) return sent.end();
        sent.write(body.slice(from, from + piece));
        setTimeout(send, 1_000, from + piece);
      };
      send(0);
    });
    assert.equal(answer.statusCode, 201);
    answer.resume();
    const { json } = await call('GET', `${base}/messages`);
    assert.equal(json.messages[0].content, content);
  });

  test("the client's address and request id reach both logs, whatever the client claims to be", async () => {
    const id = randomUUID();
    const { headers } = await call('GET', '/api/v1/auth/me?token=in-the-query', {
      headers: { 'X-Request-ID': id, 'X-Forwarded-For': '203.0.113.9' },
      localAddress: '127.0.0.2',
    });
    assert.equal(headers['x-request-id'], id);
    const line = await until('the bridge tells of it', () =>
      bridge.child.output
        .split('\n')
        .filter((line) => line.includes(id) && line.includes('Request completed'))
        .map((line) => JSON.parse(line))
        .at(0),
    );
    assert.equal(line.client, '127.0.0.2');
    const [logged] = await until('nginx tells of it', async () => {
      const lines = await nginx.logged(id);
      return lines.length > 0 && lines;
    });
    assert.equal(logged.client, '127.0.0.2');
    assert.equal(logged.path, '/api/v1/auth/me');
    assert.doesNotMatch(JSON.stringify(logged), /in-the-query/);
    // Without one of its own, a request gets one that is the same everywhere.
    const other = await call('GET', '/api/v1/auth/me');
    await until('nginx tells of that, too', async () => (await nginx.logged(other.headers['x-request-id'])).length === 1);
  });
});
