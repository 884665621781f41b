// Sim as far as the bridge can see it, in a process of its own. Started with an IPC channel: it reports its port,
// takes faults, and tells which requests it got. It ends when its parent does.
import { createServer } from 'node:http';
import { fromNodeHeaders, toNodeHandler } from 'better-auth/node';
import pg from 'pg';

import { simAuth } from './auth.mjs';
import { workspaces } from './workspaces.mjs';

// Sim's columns hold UTC without saying so. The driver reads and writes them in the process's zone.
process.env.TZ = 'UTC';

const { SIM_APP_URL, SIM_SECRET, SIM_DATABASE } = process.env;

const database = new pg.Pool({
  connectionString: SIM_DATABASE,
  application_name: 'sim',
  options: '-c TimeZone=UTC',
});
// A connection that breaks is replaced by the next request; without listeners it would end the process.
database.on('error', () => {});
database.on('connect', (client) => client.on('error', () => {}));

let auth;
let betterAuthHandler;
/** What is wrong with Sim at present: `{status, headers, body}`, `'hang'`, `'stall'`, `'cut'`, or nothing. */
let fault = null;
const seen = [];

function json(response, status, body) {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(body));
}

function misbehave(response) {
  if (fault === 'cut') response.socket.destroy();
  else if (fault === 'stall') response.writeHead(200, { 'Content-Type': 'application/json' }).write('{"session":');
  else if (fault !== 'hang') response.writeHead(fault.status, fault.headers).end(fault.body);
}

async function answer(request, response) {
  const url = new URL(request.url, 'http://sim');
  seen.push({ method: request.method, path: url.pathname, query: url.search, headers: request.headers });
  if (fault) return misbehave(response);
  if (url.pathname === '/api/health') {
    return json(response, 200, { status: 'ok', timestamp: new Date().toISOString() });
  }
  if (url.pathname === '/api/workspaces' && request.method === 'GET') {
    const headers = fromNodeHeaders(request.headers);
    const { status, body } = await workspaces({
      auth,
      database,
      headers,
      scope: url.searchParams.get('scope') ?? 'active',
    });
    return json(response, status, body);
  }
  if (url.pathname.startsWith('/api/auth/')) return betterAuthHandler(request, response);
  return json(response, 404, { error: 'Not found' });
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (response.headersSent) response.destroy();
    else json(response, 500, { error: 'Internal server error' });
  });
});

process.on('message', ({ id, command, value }) => {
  let result = null;
  if (command === 'fault') fault = value;
  else if (command === 'seen') result = seen.splice(0);
  process.send({ id, result });
});
process.on('disconnect', () => process.exit(0));

server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  auth = simAuth({ appUrl: SIM_APP_URL || url, secret: SIM_SECRET, database });
  betterAuthHandler = toNodeHandler(auth);
  process.send({ url });
});
