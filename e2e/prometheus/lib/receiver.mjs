// Where Alertmanager delivers: a Slack that keeps what it is sent, and a heartbeat that counts.
import http from 'node:http';

import { until } from '../../lib/until.mjs';

export class Receiver {
  /** What Slack was told, in order: `{alert, status, text, pretext, link}`. */
  messages = [];
  heartbeats = 0;
  #server;

  static async start() {
    const receiver = new Receiver();
    receiver.#server = http.createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      receiver.#take(request.url, JSON.parse(Buffer.concat(chunks).toString('utf8')));
      response.end('ok');
    });
    await new Promise((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    receiver.url = `http://127.0.0.1:${receiver.#server.address().port}`;
    return receiver;
  }

  #take(path, body) {
    if (path === '/heartbeat') {
      this.heartbeats += 1;
      return;
    }
    for (const { title, title_link: link, text, pretext = '', color } of body.attachments) {
      const [, resolved, alert] = title.match(/^(Resolved: )?(.*)$/);
      this.messages.push({ alert, status: resolved ? 'resolved' : 'firing', text, pretext, link, color });
    }
  }

  /** Waits for a message that came after the first `since`, and returns it. */
  message(alert, status, { since = 0, deadline }) {
    return until(
      `Slack is told that ${alert} is ${status}`,
      async () => this.messages.slice(since).find((message) => message.alert === alert && message.status === status),
      { deadline },
    );
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
