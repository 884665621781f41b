// What the pages say of files, of each other and of the programs' arguments is so.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { PARLANT_SERVER } from '../../lib/product.mjs';
import { ROOT, pages } from '../lib/pages.mjs';

const PROGRAMS = ['parlant-server', 'parlant-migrate', 'parlant-backup', 'parlant-ops'];
const text = (file) => readFileSync(path.join(ROOT, file), 'utf8');
const all = pages().map(({ file }) => ({ file, text: text(file) }));

/** The names that GitHub gives a page's headings, and its own. */
function anchors(text) {
  const slug = (heading) => heading.trim().toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-');
  const headings = [...text.replace(/^```[^]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)].map(([, heading]) => slug(heading));
  return new Set([...headings, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id)]);
}

test('every link leads somewhere', () => {
  const dead = [];
  for (const page of all) {
    for (const [, target] of page.text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file, anchor] = target.split('#');
      const there = file === '' ? page.file : path.join(path.dirname(page.file), file);
      if (!existsSync(path.join(ROOT, there))) dead.push(`${page.file}: ${target}`);
      else if (anchor && statSync(path.join(ROOT, there)).isFile() && !anchors(text(there)).has(anchor)) dead.push(`${page.file}: ${target}`);
    }
  }
  assert.deepEqual(dead, []);
});

test('every file that is named is there', () => {
  const named = all.flatMap(({ file, text }) => [...text.matchAll(/(?<![\w./-])((?:deploy|docs|crates|bins|e2e|migrations)\/[\w./-]*\w)/g)].map(([, name]) => [file, name]));
  // Made by whoever deploys.
  const missing = named.filter(([, name]) => !name.startsWith('deploy/secrets') && !existsSync(path.join(ROOT, name)));
  assert.deepEqual(missing, []);
  assert.ok(named.length > 30);
});

test('what is not run could be: the shell understands it', () => {
  for (const { blocks } of pages()) {
    for (const { code } of blocks.filter(({ excuse }) => excuse)) {
      execFileSync('bash', ['-n'], { input: code.join('\n') });
    }
  }
});

test('every finding of doctor has its place in the page on troubleshooting', () => {
  const ids = [...text('docs/reference/doctor.md').matchAll(/^\| `(\w+\.\w+)` \|/gm)].map(([, id]) => id.replaceAll(/[._]/g, '-'));
  const there = anchors(text('docs/operations/troubleshooting.md'));
  assert.ok(ids.length > 30);
  assert.deepEqual(ids.filter((id) => !there.has(id)), []);
});

describe('programs', () => {
  const helps = new Map();
  const help = (...words) => {
    const key = words.join(' ');
    if (!helps.has(key)) helps.set(key, execFileSync(path.join(path.dirname(PARLANT_SERVER), words[0]), [...words.slice(1), '--help'], { encoding: 'utf8' }));
    return helps.get(key);
  };
  const commands = (...words) => {
    const [, section] = help(...words).match(/^Commands:\n((?: {2}.*\n)+)/m) ?? [];
    return section ? [...section.matchAll(/^ {2}(\S+)/gm)].map(([, name]) => name).filter((name) => name !== 'help') : [];
  };

  test('have the commands and exit codes of their page, and no others', () => {
    let program;
    const told = {};
    for (const [, name, listed, codes] of text('docs/reference/programs.md').matchAll(/^\| (?:`(parlant-\w+)` )?\| (`[^|]*`) \|[^|]*\| ([\d, ]+) \|/gm)) {
      program = name ?? program;
      told[program] ??= { commands: [], codes: new Set() };
      told[program].commands.push(...[...listed.matchAll(/`([\w-]+)`/g)].map(([, command]) => command));
      for (const code of codes.split(', ')) told[program].codes.add(code.trim());
    }
    for (const name of PROGRAMS) {
      assert.deepEqual(told[name]?.commands.toSorted(), commands(name).toSorted(), name);
      const helps = [help(name), ...commands(name).map((command) => help(name, command))];
      const sentences = helps.flatMap((text) => text.match(/Exit codes: ([^]*?)\.\s*$/m)?.[1] ?? []);
      const codes = sentences.flatMap((sentence) => [...sentence.matchAll(/(?:^|[,;]\s+)(\d+)\s/g)].map(([, code]) => code));
      assert.deepEqual([...told[name].codes].toSorted(), [...new Set(codes)].toSorted(), name);
    }
  });

  test('take the commands and options that are written anywhere', () => {
    const wrong = [];
    let checked = 0;
    for (const { file, text } of all) {
      for (const [line] of text.matchAll(new RegExp(`(?<![\\w/.-])(${PROGRAMS.join('|')}) [a-z][^\\n\`|;&>)]*`, 'g'))) {
        const words = line.trim().split(/\s+/);
        const path = [words.shift()];
        if (!commands(...path).includes(words[0])) {
          // Prose such as "parlant-server and …".
          if (text.includes(`\`${line}`)) wrong.push(`${file}: ${line}`);
          continue;
        }
        while (commands(...path).includes(words[0])) path.push(words.shift());
        if (commands(...path).length > 0 && /^[a-z]/.test(words[0] ?? '')) wrong.push(`${file}: ${path.join(' ')} has no ${words[0]}`);
        for (const [option] of words.join(' ').split(' #')[0].matchAll(/(?<=^|\s)--[a-z][\w-]*/g)) {
          if (!new RegExp(`(?<![\\w-])${option}(?![\\w-])`).test(help(...path))) wrong.push(`${file}: ${path.join(' ')} has no ${option}`);
        }
        checked += 1;
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(checked > 50, `${checked} found`);
  });
});
