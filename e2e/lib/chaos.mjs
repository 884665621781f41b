// A TCP proxy that breaks on demand.
import net from 'node:net';
import { Transform } from 'node:stream';

export class ChaosProxy {
  #pairs = new Set();
  #mode = 'open';
  #delay = 0;
  #server;

  static async start(target) {
    const proxy = new ChaosProxy();
    proxy.target = target;
    proxy.#server = net.createServer((client) => proxy.#accept(client));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.port = proxy.#server.address().port;
    return proxy;
  }

  #accept(client) {
    // The port stays ours while nobody may come in: another program could take it otherwise.
    if (this.#mode === 'refuse') return client.resetAndDestroy();
    const pair = { client, upstream: null };
    this.#pairs.add(pair);
    const close = () => {
      client.destroy();
      pair.upstream?.destroy();
      this.#pairs.delete(pair);
    };
    client.on('error', close).on('close', close);
    if (this.#mode === 'hang') return client.pause();
    pair.upstream = net.connect(this.target.port, this.target.host);
    pair.upstream.on('error', close).on('close', close);
    client.pipe(pair.upstream).pipe(this.#slowly()).pipe(client);
  }

  /** What the target says arrives late: by the delay of that moment. */
  #slowly() {
    const proxy = this;
    return new Transform({
      transform(chunk, _encoding, done) {
        if (proxy.#delay === 0) done(null, chunk);
        else setTimeout(() => done(null, chunk), proxy.#delay);
      },
    });
  }

  #cut() {
    for (const { client, upstream } of this.#pairs) {
      upstream?.destroy();
      client.resetAndDestroy();
    }
  }

  /** Breaks every connection and resets each new one. */
  refuse() {
    this.#mode = 'refuse';
    this.#cut();
  }

  /** Takes connections and everything sent over them, and never answers; the present ones freeze. */
  hang() {
    this.#mode = 'hang';
    for (const { client, upstream } of this.#pairs) {
      client.unpipe().pause();
      upstream?.unpipe().pause();
    }
  }

  /** Every answer of the target takes this many milliseconds longer. */
  delay(milliseconds) {
    this.#delay = milliseconds;
  }

  /** Works again. What was frozen is cut, as by a network that comes back too late. */
  restore() {
    if (this.#mode === 'hang') this.#cut();
    this.#mode = 'open';
    this.#delay = 0;
  }

  async stop() {
    this.#cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
