// Every block of commands in the documentation does what it is there for.
import { after, before, describe, test } from 'node:test';

import { request } from '../../lib/http.mjs';
import { until } from '../../lib/until.mjs';
import { pages } from '../lib/pages.mjs';
import { Shell } from '../lib/shell.mjs';
import { World } from '../lib/world.mjs';

/** What every page may use is defined in the first block of this one. */
const ASSUMED = 'docs/runbooks/README.md';

const all = pages();
const [assumed] = all.find(({ file }) => file === ASSUMED).blocks;
const blocks = all.flatMap((page) => page.blocks);
const excused = blocks.filter(({ excuse }) => excuse);
let executed = 0;

describe('the documentation', () => {
  let world;
  before(async () => {
    world = await World.start();
  });
  after(async () => {
    await world?.stop();
    console.log(`${executed} blocks executed, ${excused.length} of ${blocks.length} not run`);
  });

  for (const { file, blocks, own } of all.filter(({ blocks }) => blocks.length > 0)) {
    describe(file, () => {
      let shell;
      before(async () => {
        shell = new Shell(world.directory, await world.environment(own));
        await shell.run(assumed);
      });
      after(() => shell?.end());

      for (const block of blocks) {
        const first = block.code.find((line) => line.trim() && !line.startsWith('#'))?.slice(0, 90);
        test(`${file}:${block.line}  ${first}`, { skip: block.excuse }, async () => {
          if (block.background) {
            const run = shell.begin(block);
            await until('it is ready', async () => (await request(shell.env.BRIDGE, 'GET', '/readyz')).status === 200, { deadline: 30_000 }).catch((error) => {
              throw new Error(`${error.message}\n${run.output.slice(-4_000)}`);
            });
          } else {
            await shell.run(block);
          }
          executed += 1;
        });
      }
    });
  }
});
