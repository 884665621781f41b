// The Dockerfiles and what is made of them: does the tree have what they build and copy, and is everything that runs the same image?
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { PARLANT_SERVER } from '../../lib/product.mjs';
import { at, compose, instructions, pods, text, yaml } from '../lib/manifests.mjs';

const run = promisify(execFile);
const FILES = { 'deploy/container/Dockerfile': '.', 'deploy/container/parlant.Dockerfile': 'deploy/container' };
const bridge = instructions('deploy/container/Dockerfile');
const binaries = readdirSync(at('bins')).filter((name) => existsSync(at('bins', name, 'Cargo.toml')));

test('the build is the one of CI, with the Rust of the workspace', () => {
  const [, build] = bridge.find(([, rest]) => rest.includes('cargo build'));
  assert.match(build, /cargo build --release --locked --bins/);
  assert.match(text('justfile'), /cargo build --release --bins/);
  assert.match(text('Cargo.toml'), new RegExp(`rust-version = "${bridge[1][1].match(/^rust:([\d.]+)-/)[1]}`));
});

test('every program of the workspace is shipped, by the command that stands there', async () => {
  const [, build] = bridge.find(([, rest]) => rest.includes('cargo build'));
  const directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
  try {
    const command = build.split('&&')[1].replace('/programs', `${directory}/programs`).replaceAll('target/release', path.dirname(PARLANT_SERVER));
    await run('sh', ['-euc', command]);
    assert.deepEqual(readdirSync(path.join(directory, 'programs')).sort(), binaries.sort());
    for (const program of binaries) await run(path.join(directory, 'programs', program), ['--version']);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const commands = bridge.filter(([name]) => ['CMD', 'ENTRYPOINT'].includes(name)).flatMap(([, rest]) => JSON.parse(rest));
  assert.deepEqual(commands.filter((word) => word.startsWith('parlant-')), ['parlant-backup', 'parlant-server']);
});

test('nothing is copied that is not there', () => {
  for (const [file, context] of Object.entries(FILES)) {
    const copied = instructions(file).filter(([name, rest]) => name === 'COPY' && !rest.startsWith('--from='));
    assert.ok(copied.length > 0);
    for (const source of copied.flatMap(([, rest]) => rest.split(' ').slice(0, -1))) assert.ok(existsSync(at(context, source)), `${file}: ${source}`);
  }
});

test('every image runs as a user without a name', () => {
  for (const file of Object.keys(FILES)) {
    const users = instructions(file).filter(([name]) => name === 'USER').map(([, user]) => user);
    // The stage that builds is no image.
    const images = instructions(file).filter(([name, rest]) => name === 'FROM' && !rest.endsWith('AS build')).length;
    assert.deepEqual(users, Array(images).fill('10001:10001'), file);
  }
});

test('the kustomization has every manifest but the job that comes first', () => {
  const files = readdirSync(at('deploy/kubernetes')).filter((file) => !['kustomization.yaml', 'migration-job.yaml'].includes(file));
  assert.deepEqual([...yaml('deploy/kubernetes/kustomization.yaml').resources].sort(), files.sort());
});

test('images have the same names and versions wherever they are named', () => {
  const tags = Object.fromEntries(yaml('deploy/kubernetes/kustomization.yaml').images.map(({ name, newTag }) => [name, newTag]));
  const containers = [...pods.values()].flatMap(({ containers }) => containers);
  for (const { image } of [...containers, ...Object.values(compose.services)].filter(({ image }) => image.startsWith('parlant-'))) {
    const [name, tag] = image.split(':');
    assert.equal(tags[name], tag, image);
  }
  assert.match(text('Cargo.toml'), new RegExp(`^version = "${tags['parlant-bridge']}"`, 'm'));
  const files = Object.keys(FILES).map(text).join('');
  for (const [name, tag] of Object.entries(tags)) assert.ok(files.includes(`-t ${name}:${tag}`), name);
});
