// Runs a page's blocks one after the other, as somebody would who pastes them into one shell.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT, transcript } from './pages.mjs';

/** What a block defines is there in the next one. A pipe into `head` must not fail what writes to it. */
const DRIVER = `
if [ -e "$PAGE_STATE" ]; then . "$PAGE_STATE"; fi
trap '{ export -p; declare -f; } >"$PAGE_STATE"' EXIT
head() { command head "$@"; cat >/dev/null; }
set -a
. "$0"
`;

export class Shell {
  #background = [];

  constructor(directory, env) {
    this.home = mkdtempSync(path.join(directory, 'page-'));
    // Paths in the documentation are those of the repository; the secrets of whoever works here are nobody's.
    const filter = (source) => path.basename(source) !== 'secrets';
    for (const name of ['deploy', '.env.example']) cpSync(path.join(ROOT, name), path.join(this.home, name), { recursive: true, filter });
    this.env = { ...env, HOME: this.home, TMPDIR: directory, LANG: 'C.UTF-8', PAGE_STATE: `${this.home}.state` };
  }

  #start(code) {
    const block = `${this.home}.block`;
    writeFileSync(block, code);
    // The first block gets the page's variables, the others what that left of them.
    const env = existsSync(this.env.PAGE_STATE) ? { PATH: this.env.PATH, PAGE_STATE: this.env.PAGE_STATE } : this.env;
    const child = spawn('bash', ['--noprofile', '--norc', '-euo', 'pipefail', '-c', DRIVER, block], {
      cwd: this.home,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, which ends as a whole.
      detached: true,
    });
    const run = { child, output: '', stdout: '' };
    child.stdout.setEncoding('utf8').on('data', (text) => ((run.output += text), (run.stdout += text)));
    child.stderr.setEncoding('utf8').on('data', (text) => (run.output += text));
    run.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)));
    run.kill = () => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    };
    return run;
  }

  /** Throws with the output when it fails, or takes longer than this many seconds. */
  async run({ code, language }, { seconds = 60 } = {}) {
    const steps = language === 'console' ? transcript(code) : [{ command: code.join('\n') }];
    for (const { command, expected } of steps) {
      const run = this.#start(command);
      let late = false;
      const timer = setTimeout(() => ((late = true), run.kill()), seconds * 1_000);
      const outcome = await run.ended;
      clearTimeout(timer);
      if (late) throw new Error(`not within ${seconds} s:\n${run.output.slice(-4_000)}`);
      if (outcome !== 0) throw new Error(`exit code ${outcome}:\n${run.output.slice(-4_000)}`);
      if (expected && !expected.test(run.stdout.trim())) throw new Error(`\`${command}\` prints something else:\n${run.stdout}`);
    }
  }

  /** Goes on while the rest of the page is read. */
  begin({ code }) {
    const run = this.#start(code.join('\n'));
    process.once('exit', run.kill);
    this.#background.push(run);
    return run;
  }

  async end() {
    for (const run of this.#background) {
      run.kill();
      await run.ended;
    }
    rmSync(this.home, { recursive: true, force: true });
  }
}
