// What the bridge tells without being asked: server-sent events and frames of a WebSocket.
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

/** Server-sent events, collected as `{event, id, data, at}` until closed. */
export async function listen(bridge, world, pathname, headers = {}) {
  const { response, request } = await open(bridge, pathname, { ...world.credential, Accept: 'text/event-stream', ...headers });
  const events = [];
  let text = '';
  response.setEncoding('utf8').on('data', (chunk) => {
    const blocks = (text += chunk).split('\n\n');
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split('\n').filter((line) => !line.startsWith(':')).map((line) => line.split(/: ?(.*)/s, 2)),
      );
      if (fields.data !== undefined) events.push({ ...fields, data: JSON.parse(fields.data), at: Date.now() });
    }
  });
  response.on('error', () => {});
  return { status: response.statusCode, events, close: () => request.destroy() };
}

/** Text frames of a WebSocket, collected as `{...JSON, at}` until closed. */
export async function connect(bridge, world, pathname) {
  const { socket, head, response } = await open(bridge, pathname, {
    ...world.credential,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
  });
  if (!socket) throw new Error(`no WebSocket, but ${response.statusCode}`);
  const events = [];
  let bytes = head;
  const read = (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      // A server's frames are not masked.
      let [length, start] = [bytes[1], 2];
      if (length === 126 && bytes.length >= 4) [length, start] = [bytes.readUInt16BE(2), 4];
      else if (length === 127 && bytes.length >= 10) [length, start] = [Number(bytes.readBigUInt64BE(2)), 10];
      if (bytes.length < 2 || length > 125 && start === 2 || bytes.length < start + length) return;
      const [opcode, payload] = [bytes[0] & 15, bytes.subarray(start, start + length)];
      bytes = bytes.subarray(start + length);
      if (opcode === 1) events.push({ ...JSON.parse(payload.toString('utf8')), at: Date.now() });
    }
  };
  socket.on('data', read).on('error', () => {});
  read(Buffer.alloc(0));
  return { events, close: () => socket.destroy() };
}

function open(bridge, pathname, headers) {
  return new Promise((resolve, reject) => {
    const url = new URL(pathname, bridge.url);
    const request = (url.protocol === 'https:' ? https : http).get(url, { agent: false, headers });
    const late = setTimeout(() => request.destroy(new Error('no answer within 15 s')), 15_000);
    const answered = (answer) => {
      clearTimeout(late);
      resolve(answer);
    };
    request.once('error', reject);
    request.once('response', (response) => answered({ response, request }));
    request.once('upgrade', (_response, socket, head) => answered({ socket, head }));
  });
}
