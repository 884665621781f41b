// Starts programs and lets none of them outlive the tests.
import { spawn } from 'node:child_process';

const living = new Set();

process.once('exit', () => {
  for (const child of living) child.signal('SIGTERM');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

/** What a program gets of our environment: nothing that could configure it. */
const NEUTRAL = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'TMPDIR', 'PG_BIN_DIR'];

export class Child {
  /** Everything that it wrote, to stdout and stderr. */
  output = '';
  #process;

  constructor(name, command, args, { env = {}, ipc = false, cwd } = {}) {
    this.name = name;
    const neutral = NEUTRAL.filter((key) => process.env[key] !== undefined).map((key) => [key, process.env[key]]);
    this.#process = spawn(command, args, {
      cwd,
      env: { ...Object.fromEntries(neutral), ...env },
      stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? ['ipc'] : [])],
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.output += text));
    }
    living.add(this);
    /** `{code, signal}` once it has ended and all of its output is read. */
    this.ended = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.output += `${error}\n`;
        living.delete(this);
        resolve({ code: null, signal: null, error });
      });
      this.#process.once('close', (code, signal) => resolve({ code, signal }));
    });
    this.#process.once('exit', () => living.delete(this));
  }

  get pid() {
    return this.#process.pid;
  }

  get running() {
    return living.has(this);
  }

  get channel() {
    return this.#process;
  }

  /** Throws, with its last words, if it is no longer there. */
  assertRunning() {
    if (!this.running) throw new Error(`${this.name} has ended:\n${this.output.slice(-4000)}`);
  }

  signal(name) {
    this.#process.kill(name);
  }

  /** Asks it to stop, and after the deadline makes it. */
  async stop({ signal = 'SIGTERM', deadline = 10_000 } = {}) {
    if (this.running) this.signal(signal);
    const force = setTimeout(() => this.signal('SIGKILL'), deadline);
    try {
      return await this.ended;
    } finally {
      clearTimeout(force);
    }
  }
}

/** Whatever is left of an interrupted start. */
export async function stopAll() {
  await Promise.all([...living].map((child) => child.stop()));
}
