// Where alerts are delivered: a Slack that keeps what it is sent, and a heartbeat that counts.
import http from 'node:http';

import { until } from './until.mjs';

export class Receiver {
  /** What Slack was told, in order: `{alert, status, text, pretext, link, color, fields, at}`; `at` in seconds since 1970. */
  messages = [];
  heartbeats = 0;
  /** What else Slack answers than 200, while it is set. */
  status = 200;
  #server;

  static async start() {
    const receiver = new Receiver();
    receiver.#server = http.createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      if (request.url.startsWith('/heartbeat')) {
        receiver.heartbeats += 1;
      } else if (receiver.status === 200) {
        receiver.#take(JSON.parse(Buffer.concat(chunks).toString('utf8')));
      } else {
        response.statusCode = receiver.status;
      }
      response.end('ok');
    });
    await new Promise((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    receiver.url = `http://127.0.0.1:${receiver.#server.address().port}`;
    return receiver;
  }

  #take(body) {
    for (const { title, title_link: link, text, pretext = '', color, fields = [], ts: at } of body.attachments) {
      const [, resolved, alert] = title.match(/^(Resolved: )?(.*)$/);
      const status = resolved ? 'resolved' : 'firing';
      this.messages.push({ alert, status, text, pretext, link, color, fields, at });
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
