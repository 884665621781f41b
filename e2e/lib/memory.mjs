// Makes a server really use memory.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';

/**
 * Makes `server` hold more than 2 GiB until the returned function is called. `session` is one that nobody answers;
 * `held` asks what the server holds, in units of 2 GiB.
 *
 * A page of the longest messages is 13 MB; the server keeps each until its client has taken it, slowly.
 */
export async function holdMemory(server, credential, session, held, { deadline }) {
  const messages = `/api/v1/agents/sessions/${session}/messages`;
  const content = '🦜'.repeat(32_000);
  for (let count = 0; count < 100; count += 4) {
    const four = Array.from({ length: 4 }, () => server.post(messages, credential, { content, message_type: 'system' }));
    for (const answer of await Promise.all(four)) assert.equal(answer.status, 201, answer.text);
  }
  const { hostname, port } = new URL(server.url);
  const head = `GET ${messages}?limit=100 HTTP/1.1\r\nHost: e2e\r\nAuthorization: ${credential.Authorization}\r\n\r\n`;
  const clients = [];
  // Who reads nothing at all is cut off.
  const sips = setInterval(() => clients.forEach((client) => client.read()), 1_000);
  const mend = async () => {
    clearInterval(sips);
    clients.forEach((client) => client.destroy());
  };
  try {
    while (!((await held()) > 1.05)) {
      assert.ok(clients.length < 500, `${clients.length} unread pages are no 2 GiB`);
      const client = net.connect({ port: Number(port), host: hostname });
      clients.push(client);
      client.write(head);
      // The beginning of the answer; what follows is left where it is.
      await once(client, 'readable', { signal: AbortSignal.timeout(deadline) });
    }
  } catch (error) {
    await mend();
    throw error;
  }
  return mend;
}
