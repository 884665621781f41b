// A conversation on the page that `dev` serves, in a real browser.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

import { stopAll } from '../../lib/children.mjs';
import { request } from '../../lib/http.mjs';
import { dev } from '../../lib/product.mjs';
import { until } from '../../lib/until.mjs';

const executablePath = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
  .filter(Boolean)
  .find(existsSync);
const psql = (...statements) =>
  promisify(execFile)('psql', [facts.database_url, '-XqAt', ...statements.flatMap((text) => ['-c', text])]);

let directory;
let facts;
let browser;
let context;
let page;
let complaints;
let number = 0;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'parlant-e2e-'));
  // The cluster may run as another user, who has to get through.
  await chmod(directory, 0o755);
  ({ facts } = await dev(directory, { RATE_LIMIT_PER_MINUTE: '0', LOG_FORMAT: 'json' }));
  // As root the browser has no sandbox to put itself into.
  const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
  browser = await chromium.launch({ executablePath, args });
});

after(async () => {
  await browser?.close();
  await stopAll();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 900, height: 680 }, locale: 'en-GB' });
  page = await context.newPage();
  complaints = [];
  // What the content security policy forbids is complained about here, too.
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  // Nothing may come from elsewhere.
  page.on('request', (asked) => asked.url().startsWith(facts.base_url) || complaints.push(asked.url()));
  await page.addInitScript(() => {
    addEventListener('DOMContentLoaded', () => {
      const status = document.getElementById('status');
      globalThis.statuses = [];
      if (status) new MutationObserver(() => statuses.push(status.textContent)).observe(status, { childList: true });
    });
  });
});

afterEach(() => context.close());

/** No complaint but of the failures that were made. */
function calm(expected = /^$/) {
  assert.deepEqual(complaints.filter((text) => !expected.test(text)), []);
}

const log = () => page.getByRole('log');
const message = () => page.getByLabel('Message', { exact: true });
const trouble = () => page.getByRole('alert');

/** Makes an agent and starts to talk to it, with the keyboard alone. */
async function begin() {
  await page.goto(facts.base_url);
  await page.getByLabel('Agent').waitFor();
  await page.waitForFunction(() => document.querySelector('[name=agent]').options.length > 0);
  await page.getByLabel('Agent').focus();
  await page.keyboard.press('End');
  await page.keyboard.press('Tab');
  await page.keyboard.press('ControlOrMeta+A');
  number += 1;
  const name = number === 1 ? 'Concierge' : `Concierge ${number}`;
  await page.keyboard.type(name);
  await page.keyboard.press('Tab');
  await page.keyboard.type('Knows the house');
  await page.keyboard.press('Tab');
  await page.keyboard.type('Greet everybody by name');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name }).waitFor();
  await page.waitForFunction(() => document.activeElement?.name === 'content');
}

async function say(text) {
  const answers = await log().locator('li.agent').count();
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
  await log().locator('li.user', { hasText: text }).waitFor();
  await log().locator('li.agent').nth(answers).waitFor();
}

const texts = () => log().locator('li p').allTextContents();
const types = () => log().locator('li').evaluateAll((items) => items.map((item) => item.className));

/** Posts as another window of the same person would. */
function post(content) {
  const session = new URL(page.url()).hash.slice(1);
  return request(facts.base_url, 'POST', `/api/v1/agents/sessions/${session}/messages`, {
    headers: { Authorization: `Bearer ${facts.token}` },
    json: { content },
  });
}

test('an agent is made and answers while one looks', async () => {
  await begin();
  await say('Hello! Is anybody there?');
  await say('Good. What do you know about the house?');
  assert.deepEqual(await types(), ['user', 'agent', 'user', 'agent']);
  const [, answer] = await texts();
  assert.match(answer, /echo/);
  await page.waitForFunction(() => document.getElementById('status').textContent === '');
  assert.ok((await page.evaluate(() => statuses)).some((text) => /typing/.test(text)));
  if (process.env.PICTURE) {
    await page.keyboard.type('And when is breakfast?');
    await page.keyboard.press('Enter');
    await page.getByText('is typing').waitFor();
    await page.screenshot({ path: process.env.PICTURE });
  }
  calm();
});

test('what is said is text and never markup', async () => {
  await begin();
  const text = '<img src=x onerror=alert(1)> **bold** </p><script>alert(2)</script>';
  await say(text);
  const [said, answer] = await texts();
  assert.equal(said, text);
  assert.ok(answer.includes('<img src=x'), answer);
  assert.equal(await log().locator('img, script').count(), 0);
  calm();
});

test('a reload resumes the conversation, and each message is there once', async () => {
  await begin();
  await say('Before');
  const before = await texts();
  const url = page.url();
  await page.reload();
  await page.waitForFunction((count) => document.querySelectorAll('#log li').length === count, before.length);
  assert.equal(page.url(), url);
  assert.deepEqual(await texts(), before);
  await page.waitForFunction(() => document.activeElement?.name === 'content');
  await say('After');
  assert.deepEqual(await types(), ['user', 'agent', 'user', 'agent']);
  calm();
});

test('what is said while the network is away arrives when it is back', async () => {
  await begin();
  await say('Here');
  await context.setOffline(true);
  // The open stream is cut as well only when the server ends it: post through another window, and reload nothing.
  await post('From elsewhere');
  await page.keyboard.type('Into the void');
  await page.keyboard.press('Enter');
  await trouble().getByText('cannot be reached').waitFor();
  assert.equal(await message().inputValue(), 'Into the void');
  await context.setOffline(false);
  await message().focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('#log li').length === 6);
  const said = await texts();
  assert.equal(said.filter((text) => text === 'Into the void').length, 1);
  assert.equal(said.filter((text) => text === 'From elsewhere').length, 1);
  calm(/ERR_INTERNET_DISCONNECTED/);
});

test('a session that is revoked shows at once, and a new sign-in goes on', async () => {
  await begin();
  await say('Hello');
  const columns = 'id, token, user_id, expires_at, created_at, updated_at';
  await psql(
    `create table if not exists revoked as select ${columns} from session where false`,
    `insert into revoked select ${columns} from session`,
    'delete from session',
  );
  const revoked = Date.now();
  await trouble().getByText('Your session has ended').waitFor({ timeout: 10_000 });
  assert.ok(Date.now() - revoked < 10_000);
  assert.equal((await post('Too late')).status, 401);
  assert.ok(await page.getByRole('button', { name: 'Send' }).isDisabled());
  assert.deepEqual(await types(), ['user', 'agent'], 'what was said stays');
  const again = page.getByRole('button', { name: 'Sign in again' });
  assert.ok(await again.evaluate((button) => button === document.activeElement));

  await psql(`insert into session (${columns}) select ${columns} from revoked`, 'drop table revoked');
  await until('the session counts again', async () => {
    const { status } = await request(facts.base_url, 'GET', '/api/v1/auth/me', {
      headers: { Authorization: `Bearer ${facts.token}` },
    });
    return status === 200;
  });
  await again.press('Enter');
  await page.waitForFunction(() => document.activeElement?.name === 'content');
  await say('Back again');
  assert.deepEqual(await types(), ['user', 'agent', 'user', 'agent']);
  calm(/401/);
});

test('a conversation that has ended or is not there is told so', async () => {
  await begin();
  await say('Hello');
  const session = new URL(page.url()).hash.slice(1);
  const headers = { Authorization: `Bearer ${facts.token}` };
  await request(facts.base_url, 'DELETE', `/api/v1/agents/sessions/${session}`, { headers });
  await trouble().getByText('has ended').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Send' }).isDisabled());
  await page.goto(`${facts.base_url}/#019ab7d2-9a77-7b02-8c55-90f3a1d2e4b6`);
  await trouble().getByText('Session not found').waitFor();
  await page.getByRole('button', { name: 'New conversation' }).click();
  await page.getByLabel('Agent').waitFor();
  calm(/404/);
});

test('everything has a name, in the light and in the dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await begin();
    await say('Can you read this?');
    for (const control of await page.locator('input:visible, select:visible, textarea:visible, button:visible').all()) {
      const name = await control.evaluate((element) => (element.labels?.[0] ?? element).textContent.trim());
      assert.ok(name, await control.evaluate((element) => element.outerHTML));
    }
    const contrast = await page.evaluate(() => {
      const channel = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
      const luminance = (color) => {
        const [r, g, b] = color.match(/[\d.]+/g).map(Number).map(channel);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = (element) => {
        const color = getComputedStyle(element).backgroundColor;
        return /, 0\)$/.test(color) && element.parentElement ? ground(element.parentElement) : color;
      };
      return [...document.querySelectorAll('h1, #who, #log b, #log time, #log p, button, label')]
        .filter((element) => element.checkVisibility())
        .map((element) => {
          const [a, b] = [getComputedStyle(element).color, ground(element)].map(luminance).sort((x, y) => y - x);
          return { text: element.textContent.slice(0, 20), ratio: (a + 0.05) / (b + 0.05) };
        })
        .filter(({ ratio }) => ratio < 4.5);
    });
    assert.deepEqual(contrast, [], colorScheme);
  }
  calm();
});

test('the documentation shows every operation, from this server alone', async () => {
  await page.goto(`${facts.base_url}/docs`);
  const { json } = await request(facts.base_url, 'GET', '/openapi.json');
  const operations = Object.values(json.paths).flatMap(Object.keys).length;
  await page.waitForFunction((count) => document.querySelectorAll('main section > details').length === count, operations);
  for (const summary of await page.locator('main section > details > summary').all()) await summary.click();
  // Each is drawn when it is opened, a moment later.
  const answers = page.getByRole('heading', { name: 'Answers' });
  await answers.nth(operations - 1).waitFor();
  assert.equal(await answers.count(), operations);
  assert.ok(!(await page.locator('body').innerText()).includes('undefined'));
  await page.getByLabel('Filter').fill('idempot');
  await page.getByLabel('Filter').fill('/messages');
  assert.equal(await page.locator('main section > details:visible').count(), 2);
  calm();
});
