// A Sim process and the people who use it.
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { Child } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';

const SERVER = fileURLToPath(new URL('../sim/server.mjs', import.meta.url));

export class Sim {
  #next = 0;

  /** `appUrl` is what users type; without one it is the address that Sim listens on. */
  static async start({ database, secret, appUrl, production = false }) {
    const sim = new Sim();
    sim.child = new Child('sim', process.execPath, [SERVER], {
      ipc: true,
      env: {
        SIM_DATABASE: database,
        SIM_SECRET: secret,
        SIM_APP_URL: appUrl ?? '',
        NODE_ENV: production ? 'production' : 'development',
        BETTER_AUTH_TELEMETRY: '0',
      },
    });
    const [first] = await Promise.race([
      once(sim.child.channel, 'message'),
      sim.child.ended.then(() => sim.child.assertRunning()),
    ]);
    sim.url = first.url;
    sim.appUrl = appUrl ?? first.url;
    return sim;
  }

  /** The cookie that carries a session under this Sim's scheme. */
  get cookieName() {
    const prefix = this.appUrl.startsWith('https:') ? '__Secure-' : '';
    return `${prefix}better-auth.session_token`;
  }

  #command(command, value = null) {
    this.child.assertRunning();
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const { channel } = this.child;
      const listen = (message) => {
        if (message.id !== id) return;
        channel.off('message', listen);
        resolve(message.result);
      };
      channel.on('message', listen);
      channel.send({ id, command, value }, (error) => error && reject(error));
    });
  }

  /** From now on every request meets this: `{status, headers, body}`, `'hang'`, `'stall'`, `'cut'`, or null. */
  fault(value) {
    return this.#command('fault', value);
  }

  /** The requests since the last call: `{method, path, query, headers}`. */
  seen() {
    return this.#command('seen');
  }

  browser() {
    return new Browser(this);
  }

  /** Somebody new, signed in by signing up. */
  async signUp(name = 'Ada') {
    const email = `${name.toLowerCase()}.${crypto.randomUUID()}@example.test`;
    const password = `pw-${crypto.randomUUID()}`;
    const browser = this.browser();
    const answer = await browser.post('/api/auth/sign-up/email', { name, email, password });
    if (answer.status !== 200) throw new Error(`sign-up: ${answer.status} ${answer.text}`);
    return new Person({ sim: this, browser, id: answer.json.user.id, name, email, password });
  }

  stop() {
    this.stopped = true;
    return this.child.stop({ signal: 'SIGKILL' });
  }
}

/** Keeps cookies and sends the Origin, as a browser on Sim's own pages does. */
export class Browser {
  cookies = new Map();

  constructor(sim) {
    this.sim = sim;
  }

  async request(method, path, options = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await request(this.sim.url, method, path, {
      ...options,
      headers: { ...(cookie ? { Cookie: cookie } : {}), Origin: this.sim.appUrl, ...options.headers },
    });
    for (const line of answer.headers['set-cookie'] ?? []) this.#keep(line);
    return answer;
  }

  #keep(line) {
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    const equals = pair.indexOf('=');
    const name = pair.slice(0, equals);
    const gone = attributes.some((attribute) => /^max-age=0$/i.test(attribute));
    if (gone) this.cookies.delete(name);
    else this.cookies.set(name, pair.slice(equals + 1));
  }

  get(path, options) {
    return this.request('GET', path, options);
  }

  post(path, json = {}, options = {}) {
    return this.request('POST', path, { json, ...options });
  }

  /** The session cookie's value as it came, percent-encoded; undefined when signed out. */
  get session() {
    return this.cookies.get(this.sim.cookieName);
  }
}

export class Person {
  constructor(fields) {
    Object.assign(this, fields);
    /** The session of the sign-up, kept when the browser loses it. */
    this.session = this.browser.session;
  }

  /** `token.signature`. */
  get signed() {
    return decodeURIComponent(this.session);
  }

  get token() {
    return this.signed.split('.')[0];
  }

  /** Signs in again in a browser of its own: a second session of the same user. */
  async signIn() {
    const { sim, email, password } = this;
    const browser = sim.browser();
    const answer = await browser.post('/api/auth/sign-in/email', { email, password });
    if (answer.status !== 200) throw new Error(`sign-in: ${answer.status} ${answer.text}`);
    return new Person({ ...this, browser });
  }

  signOut() {
    return this.browser.post('/api/auth/sign-out');
  }
}

/** The ways to present a session, as request headers. */
export const PRESENT = {
  cookie: ({ sim, session }) => ({ Cookie: `${sim.cookieName}=${session}` }),
  'signed bearer': ({ signed }) => ({ Authorization: `Bearer ${signed}` }),
  'raw bearer': ({ token }) => ({ Authorization: `Bearer ${token}` }),
};

export const bearer = PRESENT['signed bearer'];
