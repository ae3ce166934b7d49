// The page for operators, in the hands of an operator.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';
import { API_KEY, Client, start } from './server.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ARTEFACTS = fileURLToPath(new URL('../../target/artefacts/', import.meta.url));
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

let server;
let browser;

before(async () => {
  mkdirSync(ARTEFACTS, { recursive: true });
  server = await start();
  // Without a sandbox, because CI runs as root, where Chromium's sandbox can't start.
  browser = await chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The page in a context of its own; its errors are in `problems`. */
async function visit(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  // Axe itself needs eval, which the page's policy rightly forbids.
  await page.goto(`http://${server.host}/admin`);
  return { page, problems, leave: () => context.close() };
}

async function signIn(page, key = API_KEY) {
  await page.fill('#key', key);
  await page.keyboard.press('Enter');
}

async function signedIn(options) {
  const visitor = await visit(options);
  await signIn(visitor.page);
  await visitor.page.waitForSelector('#state[data-state=live]');
  return visitor;
}

/** Waits until a session's or channel's row is there, and returns it. */
async function row(page, table, text) {
  const found = page.locator(`#${table} tbody tr`, { hasText: text });
  await found.waitFor();
  return found;
}

async function noViolations(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('\n')}`), []);
}

test('nothing is shown without a key, and the key stays in the tab', async () => {
  const { page, problems, leave } = await visit();
  await page.waitForSelector('#sign-in');
  await signIn(page, 'ffffffffffffffffffffffffffffffff');
  await page.waitForFunction(() => document.getElementById('key-problem').textContent.includes('not valid'));
  assert.equal(await page.isVisible('#board'), false);
  assert.ok(problems.every((problem) => problem.includes('401')), problems.join('\n'));

  await signIn(page);
  await page.waitForSelector('#board');
  assert.equal(await page.inputValue('#key'), '');
  await page.reload();
  await page.waitForSelector('#board');
  const kept = await page.evaluate(() => [document.cookie, localStorage.length, location.href, sessionStorage.length]);
  assert.deepEqual(kept, ['', 0, `http://${server.host}/admin`, 1]);
  await page.click('#sign-out');
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.reload();
  await page.waitForSelector('#sign-in');
  await leave();
});

test('sessions and channels are shown as they are, whatever they are called', async () => {
  const name = '<img src=x onerror=alert(1)>';
  const client = await Client.connect(server, name, ['kept:shown', 'plain']);
  const { page, problems, leave } = await signedIn();
  const session = await row(page, 'sessions', name);
  assert.match(await session.innerText(), /127\.0\.0\.1[\s\S]*json[\s\S]*2[\s\S]*0/);
  assert.match(await (await row(page, 'channels', 'kept:shown')).innerText(), /1[\s\S]*kept/);
  assert.equal(await page.locator('img').count(), 0);

  await page.fill('#sessions-user', 'nobody');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#sessions').textContent.includes('None.'));
  await page.fill('#channels-prefix', 'kept:');
  await page.keyboard.press('Enter');
  await page.locator('#channels tbody tr', { hasText: 'plain' }).waitFor({ state: 'detached' });
  await row(page, 'channels', 'kept:shown');

  client.close();
  await page.fill('#sessions-user', '');
  await page.keyboard.press('Enter');
  await page.locator('#sessions tbody tr', { hasText: name }).waitFor({ state: 'detached' });
  assert.deepEqual(problems, []);
  await leave();
});

test('the rates of messages and bytes are shown', async () => {
  const client = await Client.connect(server, 'rate', ['busy']);
  const { page, problems, leave } = await signedIn();
  const busy = setInterval(() => void client.ask({ publish: { channel: 'busy', data: 'x'.repeat(5_000) } }), 50);
  for (const name of ['Received per second', 'Sent per second']) {
    await page.locator('#figures li', { hasText: name }).locator('strong', { hasText: /^\d+\.\d KiB$/ }).waitFor();
  }
  await page.locator('#figures li', { hasText: 'Publications per second' }).locator('strong', { hasText: /^[1-9]/ }).waitFor();
  clearInterval(busy);
  client.close();
  assert.deepEqual(problems, []);
  await leave();
});

test('why clients were refused is shown', async () => {
  const { page, problems, leave } = await signedIn();
  const refused = new WebSocket(`ws://${server.host}/ws`, { origin: 'https://other.example' });
  const [error] = await once(refused, 'error');
  assert.match(error.message, /403/);
  await page.locator('#refused', { hasText: /origin \d/ }).waitFor();
  assert.deepEqual(problems, []);
  await leave();
});

test('an operator ends a subscription, then a session, and others notice nothing', async () => {
  const [ann, bob] = [await Client.connect(server, 'ann', ['room']), await Client.connect(server, 'bob', ['room'])];
  const { page, problems, leave } = await signedIn();
  await (await row(page, 'sessions', 'ann')).getByRole('button', { name: 'Session of ann: details' }).click();
  await page.getByRole('button', { name: 'Unsubscribe from room' }).click();
  const told = await ann.next((frame) => frame.push?.unsubscribed !== undefined || frame.unsubscribed !== undefined);
  assert.equal((told.push ?? told).unsubscribed.channel, 'room');
  await page.getByRole('button', { name: 'Disconnect…', exact: true }).click();
  await page.fill('#ending-reason', 'that is enough');
  await page.getByRole('button', { name: 'Disconnect', exact: true }).click();
  const { closed } = await ann.next((frame) => frame.closed !== undefined);
  assert.deepEqual(closed, { code: 3506, reason: 'that is enough' });
  await page.locator('#sessions tbody tr', { hasText: 'ann' }).waitFor({ state: 'detached' });
  await page.waitForSelector('dialog', { state: 'detached' });

  await page.fill('#publish-target', 'room');
  await page.fill('#publish-message', '{"n":1}');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  const publication = await bob.next((frame) => JSON.stringify(frame).includes('"n":1'));
  assert.ok(publication);
  assert.deepEqual(problems, []);
  bob.close();
  await leave();
});

test('an alarm is raised, acknowledged and withdrawn', async () => {
  const [dora, eve] = [await Client.connect(server, 'dora'), await Client.connect(server, 'eve')];
  const { page, problems, leave } = await signedIn();
  await page.getByLabel('everybody, as an alarm').check();
  await page.fill('#publish-target', 'alarm:fire');
  await page.fill('#publish-message', '{"floor":3}');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  const { alarm } = await dora.next((frame) => frame.alarm !== undefined);
  assert.deepEqual([alarm.channel, alarm.data], ['alarm:fire', { floor: 3 }]);
  await eve.next((frame) => frame.alarm !== undefined);
  await dora.ask({ acknowledge: { alarm: alarm.id } });

  const shown = await row(page, 'alarms', 'alarm:fire');
  await page.waitForFunction(() => /active[\s\S]*1[\s\S]*1/.test(document.querySelector('#alarms tbody').innerText));
  await shown.getByRole('button', { name: 'Alarm alarm:fire: details' }).click();
  const dialog = page.locator('dialog');
  await dialog.waitFor();
  assert.match(await dialog.innerText(), /Sent: 1[\s\S]*eve[\s\S]*Acknowledged: 1[\s\S]*dora/);
  await noViolations(page);
  await page.screenshot({ path: `${ARTEFACTS}admin-alarm.png` });
  await page.getByRole('button', { name: 'Withdraw', exact: true }).click();
  assert.equal((await eve.next((frame) => frame.alarm?.withdrawn === true)).alarm.id, alarm.id);
  await page.locator('#alarms tbody tr', { hasText: 'withdrawn' }).waitFor();
  assert.deepEqual(problems, []);
  dora.close();
  eve.close();
  await leave();
});

test('messages go out as they were typed, to a channel, a user or everybody', async () => {
  const client = await Client.connect(server, 'carol', ['kept:exact', '@carol']);
  const { page, problems, leave } = await signedIn();
  const result = (words) =>
    page.waitForFunction((text) => document.getElementById('publish-result').textContent.includes(text), words);
  await (await row(page, 'channels', 'kept:exact')).getByRole('button').click();
  await page.getByRole('button', { name: 'Publish here' }).click();
  assert.equal(await page.inputValue('#publish-target'), 'kept:exact');
  await page.fill('#publish-message', '{"exact":12345678901234567890}');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await result('offset is 1');
  const history = await fetch(`http://${server.host}/api/v1/channels/kept:exact/history`, { headers: { Authorization: `Bearer ${API_KEY}` } });
  assert.ok((await history.text()).includes('12345678901234567890'));
  await client.next((frame) => JSON.stringify(frame).includes('exact'));

  await page.getByLabel('a user').check();
  await page.fill('#publish-target', 'carol');
  await page.fill('#publish-message', '"for you"');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await client.next((frame) => JSON.stringify(frame).includes('for you'));
  await page.getByLabel('everybody', { exact: true }).check();
  assert.equal(await page.isVisible('#publish-target'), false);
  await page.fill('#publish-message', '"for all"');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await client.next((frame) => JSON.stringify(frame).includes('for all'));

  await page.fill('#publish-message', '{');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await result('Invalid JSON');
  assert.deepEqual(problems, []);
  await page.getByLabel('a channel').check();
  await page.fill('#publish-target', 'two words');
  await page.fill('#publish-message', '1');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.waitForFunction(() => /channel/.test(document.getElementById('publish-result').textContent));
  client.close();
  await leave();
});

test('after keys that are wrong and signing out and in again, a message still goes out once', async () => {
  const client = await Client.connect(server, '', ['kept:once']);
  const { page, leave } = await visit();
  await signIn(page, 'ffffffffffffffffffffffffffffffff');
  await page.waitForFunction(() => document.getElementById('key-problem').textContent.includes('not valid'));
  for (let offset = 1; offset <= 2; offset += 1) {
    await signIn(page);
    await page.waitForSelector('#state[data-state=live]');
    await page.fill('#publish-target', 'kept:once');
    await page.fill('#publish-message', String(offset));
    await page.getByRole('button', { name: 'Publish', exact: true }).click();
    await page.waitForFunction((words) => document.getElementById('publish-result').textContent.includes(words), `offset is ${offset}.`);
    await page.click('#sign-out');
    await page.waitForSelector('#sign-in');
  }
  const kept = await client.ask({ history: { channel: 'kept:once', limit: 10 } });
  assert.equal(JSON.stringify(kept).match(/"offset":/g).length, 3, 'two messages, and the position');
  client.close();
  await leave();
});

test('long lists have pages', async () => {
  const channels = Array.from({ length: 60 }, (_, index) => `many:${String(index).padStart(2, '0')}`);
  const client = await Client.connect(server, '', channels);
  const { page, problems, leave } = await signedIn();
  await page.fill('#channels-prefix', 'many:');
  await page.keyboard.press('Enter');
  await row(page, 'channels', 'many:49');
  assert.equal(await page.locator('#channels tbody tr').count(), 50);
  await page.locator('#channels').getByRole('button', { name: 'Next page' }).click();
  await row(page, 'channels', 'many:59');
  assert.equal(await page.locator('#channels tbody tr').count(), 10);
  await page.locator('#channels').getByRole('button', { name: 'First page' }).click();
  await row(page, 'channels', 'many:00');
  assert.deepEqual(problems, []);
  client.close();
  await leave();
});

test('the keyboard does for everything, and the focus comes back', async () => {
  const client = await Client.connect(server, 'dora', ['room']);
  const { page, problems, leave } = await signedIn();
  await row(page, 'sessions', 'dora');
  const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'sessions-user', 'signing in leads to the board');
  const reach = async (name) => {
    for (let pressed = 0; (await focused()) !== name; pressed += 1) {
      assert.ok(pressed < 30, `${name} is not reached`);
      await page.keyboard.press('Tab');
    }
  };
  await reach('Session of dora: details');
  const samples = () => page.evaluate(() => Number(document.getElementById('figures').dataset.samples));
  const seen = await samples();
  await page.waitForFunction((count) => Number(document.getElementById('figures').dataset.samples) > count, seen);
  assert.equal(await focused(), 'Session of dora: details', 'a look at the server does not take the focus');
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog[open]');
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog', { state: 'detached' });
  assert.equal(await focused(), 'Session of dora: details');
  assert.deepEqual(problems, []);
  client.close();
  await leave();
});

test('a lost server is reported, and used again when it is back', async () => {
  const { page, leave } = await signedIn();
  await server.kill();
  await page.waitForSelector('#state[data-state=trouble]');
  assert.equal(await page.isVisible('#board'), true, 'what was last known stays');
  await server.begin();
  await page.waitForSelector('#state[data-state=live]');
  await leave();
});

for (const [name, options] of Object.entries({
  light: {},
  dark: { colorScheme: 'dark' },
  phone: PHONE,
  'phone-dark': { ...PHONE, colorScheme: 'dark' },
})) {
  test(`axe finds nothing, and everything fits: ${name}`, async () => {
    const clients = [];
    for (const user of ['ann', 'bob', '']) clients.push(await Client.connect(server, user, ['kept:news', 'chat:lobby']));
    const { page, problems, leave } = await visit(options);
    const check = async (part) => {
      await noViolations(page);
      const { wide, outside } = await page.evaluate(() => ({
        wide: document.documentElement.scrollWidth - window.innerWidth,
        outside: [...document.querySelectorAll('button, input, td')]
          .filter((node) => node.checkVisibility() && (node.getBoundingClientRect().right > window.innerWidth || node.getBoundingClientRect().left < 0))
          .map((node) => node.textContent),
      }));
      assert.deepEqual([wide <= 0, outside], [true, []], part);
      await page.screenshot({ path: `${ARTEFACTS}admin-${name}-${part}.png`, fullPage: part !== 'dialog' });
    };
    await page.waitForSelector('#sign-in');
    await check('sign-in');
    await signIn(page);
    await row(page, 'sessions', 'bob');
    for (let sent = 0; sent < 5; sent += 1) {
      await clients[0].ask({ publish: { channel: 'kept:news', data: { headline: `number ${sent}` } } });
      const samples = await page.evaluate(() => Number(document.getElementById('figures').dataset.samples));
      await page.waitForFunction((count) => Number(document.getElementById('figures').dataset.samples) > count, samples);
    }
    await check('board');
    await (await row(page, 'channels', 'kept:news')).getByRole('button').click();
    await page.waitForSelector('dialog[open]');
    await check('channel');
    await page.keyboard.press('Escape');
    await (await row(page, 'sessions', 'bob')).getByRole('button', { name: 'Disconnect bob…' }).click();
    await page.waitForSelector('dialog[open]');
    await check('dialog');
    assert.deepEqual(problems, []);
    for (const client of clients) client.close();
    await leave();
  });
}
