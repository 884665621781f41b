// The pages and their blocks of commands.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Why a block may not be run, each with what is missing where the suite runs. */
const REASONS = [
  'needs systemd',
  'needs root',
  'needs a cluster',
  'needs a container engine',
  'needs a bucket',
  'needs Sim',
  'needs the network',
  'is what the tests do',
];

/** Every page whose commands are executed, in the order in which somebody would read them. */
export function pages() {
  const under = (folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true })
      .filter((file) => file.endsWith('.md'))
      .sort()
      .map((file) => path.join(folder, file));
  const crates = readdirSync(path.join(ROOT, 'crates')).map((crate) => `crates/${crate}`);
  const readmes = crates.flatMap((crate) => under(crate).filter((file) => path.basename(file) === 'README.md'));
  return ['README.md', ...under('docs'), ...readmes].map((file) => ({ file, ...read(readFileSync(path.join(ROOT, file), 'utf8'), file) }));
}

/** The blocks of a page: `sh`, whose commands are run, and `console`, whose commands are run and whose output is compared. */
export function read(text, file) {
  const blocks = [];
  const lines = text.split('\n');
  let marks = [];
  for (let at = 0; at < lines.length; at += 1) {
    const mark = lines[at].match(/^\s*<!-- (.*) -->$/);
    if (mark) marks.push(mark[1]);
    const fence = lines[at].match(/^(\s*)(```+)(\w*)\s*$/);
    if (!fence) {
      if (!mark && lines[at].trim() !== '') marks = [];
      continue;
    }
    const [, indent, ticks, language] = fence;
    const line = at + 1;
    const end = lines.findIndex((text, index) => index > at && text.trim() === ticks);
    if (end < 0) throw new Error(`${file}:${line}: a block without an end`);
    const code = lines.slice(at + 1, end).map((text) => (text.startsWith(indent) ? text.slice(indent.length) : text));
    if (['shell', 'bash', 'zsh'].includes(language)) throw new Error(`${file}:${line}: write sh, or console with its output`);
    if (['sh', 'console'].includes(language)) {
      const excuse = marks.find((mark) => mark.startsWith('not run: '))?.slice('not run: '.length);
      if (excuse !== undefined && !REASONS.includes(excuse)) throw new Error(`${file}:${line}: "${excuse}" is none of: ${REASONS.join(', ')}`);
      blocks.push({ line, language, code, excuse, background: marks.includes('in the background') });
    }
    at = end;
    marks = [];
  }
  const [, own] = text.match(/^<!-- (new|own) database -->$/m) ?? [];
  return { blocks, own };
}

/** A console block's commands, each with a pattern of what it prints: `…` stands for anything, a number for any number. */
export function transcript(code) {
  const steps = [];
  for (const line of code) {
    if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: [] });
    else if (line.startsWith('> ')) steps.at(-1).command += `\n${line.slice(2)}`;
    else steps.at(-1).output.push(line);
  }
  const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return steps.map(({ command, output }) => ({
    command,
    expected: new RegExp(`^${escape(output.join('\n').trim()).replace(/\d+/g, '\\d+').replace(/[KMG]iB/g, '[KMG]?i?B').replace(/…/g, '[^]*?')}\\s*$`),
  }));
}
