// The frame around the panels in a real browser against the real server: addresses, the connection, the person, and the
// rules that hold for the whole page. The environment variables are described in support/stage.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

import { fitsPhone, noViolations, tabTo } from './support/checks.mjs';
import { DemoServer, DIST } from './support/demo-server.mjs';
import { LOST_CONNECTION, Person, PHONE, SIGHTS } from './support/people.mjs';
import { RefusingServer } from './support/refusing-server.mjs';
import { freshRoom, leave, openStage } from './support/stage.mjs';

/** The largest first view in bytes, compressed: the page, its styles, its font, its script, the client. */
const FIRST_VIEW = 100_000;

const PANELS = { chat: 'Chat', charts: 'Charts', alarms: 'Alarms', lab: 'Echo & lab', cursors: 'Cursors', rust: 'Rust' };

const stage = openStage();

// --- Panels ---

test('each panel has an address, and the navigation, Back and Forward lead there', async () => {
  const ada = await stage.visit('');
  await ada.inRoom('lobby');
  assert.equal(new URL(ada.page.url()).hash, '#chat/lobby');
  for (const [id, title] of Object.entries(PANELS)) {
    await ada.page.locator('#nav a', { hasText: title }).click();
    await ada.page.waitForSelector(`.panel-${id}:not([data-loading])`, { state: 'visible' });
    assert.equal(new URL(ada.page.url()).hash.split('/')[0], `#${id}`);
    assert.equal(await ada.page.locator('#nav a[aria-current="page"] .nav-title').textContent(), title);
    assert.match(await ada.page.title(), /Wirehub$/);
  }
  await ada.page.goBack();
  await ada.page.waitForSelector('.panel-cursors', { state: 'visible' });
  await ada.page.goForward();
  await ada.page.waitForSelector('.panel-rust', { state: 'visible' });
  await leave(ada);
});

test('each panel has a link to its source', async () => {
  const ada = await stage.visit('chat/lobby');
  for (const id of Object.keys(PANELS)) {
    await ada.go(id);
    await ada.page.waitForSelector(`.panel-${id}`, { state: 'visible' });
    assert.match(await ada.page.getAttribute('#source', 'href'), /^https:\/\/github\.com\/wirehub\/wirehub\/tree\/main\/www\//);
  }
  await leave(ada);
});

test('an address of no panel is reported, and the page stays where it is', async () => {
  const ada = await stage.visit('chat/lobby');
  await ada.inRoom('lobby');
  await ada.go('nowhere');
  await ada.reads('#notices', /names no part of this page: “nowhere”/);
  assert.ok(await ada.page.isVisible('.panel-chat'));
  await ada.page.click('.notice button');
  assert.equal(await ada.page.locator('.notice').count(), 0);
  await leave(ada);
});

test('a panel whose file can’t be loaded offers another attempt', async () => {
  const ada = await stage.visit('chat/lobby');
  await ada.inRoom('lobby');
  await ada.page.route('**/assets/alarms-*.js', (route) => route.abort());
  await ada.go('alarms');
  await ada.reads('.panel-alarms', /Alarms could not be loaded/);
  assert.equal(await ada.page.locator('.panel-alarms[data-loading]').count(), 0);
  await leave({ expected: LOST_CONNECTION }, ada);
});

test('the first view is small', async () => {
  const sizes = new Map();
  const ada = await stage.visit('', {}, stage.origin, (page) => {
    page.on('response', async (response) => {
      const { pathname, origin } = new URL(response.url());
      if (origin !== stage.origin || pathname.startsWith('/demo/')) return;
      sizes.set(pathname, response.body().then((body) => (pathname.endsWith('.woff2') ? body.length : gzipSync(body, { level: 9 }).length)));
    });
  });
  await ada.inRoom('lobby');
  await ada.page.waitForLoadState('networkidle');
  const parts = await Promise.all([...sizes].map(async ([name, size]) => [name, await size]));
  const total = parts.reduce((sum, [, size]) => sum + size, 0);
  const table = parts.map(([name, size]) => `${String(size).padStart(7)} ${name}`).join('\n');
  console.log(`first view: ${total} bytes compressed\n${table}`);
  assert.ok(total < FIRST_VIEW, `the first view has ${total} bytes, at most ${FIRST_VIEW} are allowed:\n${table}`);
  await leave(ada);
});

// --- The person ---

test('a person has a name from the beginning, can change it, and keeps it after a reload', async () => {
  const [ada, grace] = [await stage.visit('chat/lobby'), await stage.visit('chat/lobby')];
  await ada.inRoom('lobby');
  await grace.inRoom('lobby');
  assert.match(await ada.name(), /^[A-Z][a-z]+ [A-Z][a-z]+$/);
  await ada.rename('Ada Lovelace');
  // The others see it, although she has not written.
  await grace.reads('#people-list', /Ada Lovelace/);
  const user = await ada.userAt(grace);
  // No name from the beginning begins with this letter.
  assert.equal(await grace.page.locator(`#people-list a[data-user="${user}"] .avatar`).textContent(), 'A');
  await ada.page.reload();
  await ada.connected();
  assert.equal(await ada.name(), 'Ada Lovelace');
  assert.equal(await ada.userAt(grace), user);

  await ada.page.click('#me');
  for (const [typed, complaint] of [['', 'Type a name'], ['n'.repeat(25), /at most 24 characters; this one has 25/]]) {
    await ada.page.fill('#name', typed);
    await ada.page.press('#name', 'Enter');
    await ada.reads('#name-error', complaint);
  }
  await ada.page.keyboard.press('Escape');
  assert.equal(await ada.name(), 'Ada Lovelace');
  await leave(ada, grace);
});

test('everybody’s colour can be read, in light and dark', async () => {
  const ada = await stage.visit('chat/lobby');
  await ada.page.waitForSelector('#me .avatar');
  for (const colorScheme of ['light', 'dark']) {
    await ada.page.emulateMedia({ colorScheme });
    const contrasts = await ada.page.evaluate(contrastsOfPeople);
    assert.ok(Math.min(...contrasts) >= 4.5, `${colorScheme}: ${contrasts}`);
  }
  await leave(ada);
});

/** The contrast of a person's initial, and of the name beside the pointer, in steps through all hues. Runs in the page. */
function contrastsOfPeople() {
  const element = document.querySelector('#me .avatar');
  const probe = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const luminance = (colour) => {
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    const [red, green, blue] = [...probe.getImageData(0, 0, 1, 1).data].map((part) => (part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
  };
  const contrast = (one, other) => Math.max(one, other) / Math.min(one, other);
  const surface = luminance(getComputedStyle(document.documentElement).getPropertyValue('--surface').trim());
  return Array.from({ length: 36 }, (_, step) => {
    element.style.setProperty('--hue', `oklch(var(--person) ${step * 10}deg)`);
    const { color, backgroundColor } = getComputedStyle(element);
    return [contrast(luminance(color), luminance(backgroundColor)), contrast(luminance(color), surface)];
  }).flat();
}

test('all tabs of a browser are one person', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room, { name: 'Ada' }), await stage.enter(room, { name: 'Grace' })];
  await ada.reads('#room-note', '2 people here');
  const second = await ada.tab(`${stage.origin}/#chat/${room}`);
  await second.inRoom(room);
  await second.reads('#room-note', '2 people here');
  await second.rename('Countess');
  await ada.reads('.me-name', 'Countess');
  await second.say('from another tab');
  await ada.hears('from another tab', { own: true });
  const heard = await grace.hears('from another tab');
  assert.equal(await heard.locator('.nick').textContent(), 'Countess');
  await leave(ada, grace);
});

// --- For everyone ---

for (const [name, options] of Object.entries(SIGHTS)) {
  test(`axe finds no accessibility violation in the frame: ${name}`, async () => {
    const ada = await stage.visit('alarms', options);
    await ada.connected();
    await ada.go('nowhere');
    await ada.page.waitForSelector('.notice');
    await noViolations(ada);
    await ada.page.click('#me');
    await ada.page.fill('#name', '');
    await ada.page.press('#name', 'Enter');
    await noViolations(ada);
    await ada.screenshot(`name-${name}`);
    await leave(ada);
  });
}

test('the keyboard reaches everything in the frame, and the first key skips it', async () => {
  const room = freshRoom();
  const ada = await stage.enter(room);
  await tabTo(ada, '#skip', 60);
  await ada.page.keyboard.press('Enter');
  assert.equal(await ada.focus(), 'message');
  assert.equal(new URL(ada.page.url()).hash, `#chat/${room}`);
  await ada.page.focus('#skip');
  await tabTo(ada, '#me');
  await ada.page.keyboard.press('Enter');
  await ada.page.waitForSelector('#identity[open]');
  assert.equal(await ada.focus(), 'name');
  await ada.page.keyboard.press('Escape');
  assert.equal(await ada.focus(), 'me');
  await tabTo(ada, '#nav a[href="#alarms"]');
  await ada.page.keyboard.press('Enter');
  await ada.page.waitForSelector('.panel-alarms', { state: 'visible' });
  await leave(ada);
});

test('a phone of 360 pixels shows every panel without scrolling sideways', async () => {
  const phone = await stage.visit('chat/lobby', PHONE);
  await phone.inRoom('lobby');
  for (const id of ['chat', 'chat/lobby', 'alarms']) {
    await phone.go(id);
    await phone.page.waitForSelector(`.panel-${id.split('/')[0]}:not([data-loading])`, { state: 'visible' });
    await fitsPhone(phone);
  }
  await leave(phone);
});

test('the page follows the system’s dark colours', async () => {
  const [light, dark] = [await stage.visit('chat/lobby'), await stage.visit('chat/lobby', { colorScheme: 'dark' })];
  const background = (person) =>
    person.page.evaluate(() => {
      const [red, green, blue] = getComputedStyle(document.getElementById('content')).backgroundColor.match(/\d+/g).map(Number);
      return (red + green + blue) / 3;
    });
  assert.ok((await background(light)) > 200);
  assert.ok((await background(dark)) < 60);
  await leave(light, dark);
});

test('people who prefer reduced motion see none', async () => {
  const ada = await stage.visit('chat/lobby', { reducedMotion: 'reduce' });
  await ada.inRoom('lobby');
  await ada.page.click('#me');
  const longest = await ada.page.evaluate(() => Math.max(0, ...document.getAnimations().map(({ effect }) => Number(effect.getComputedTiming().duration))));
  assert.ok(longest <= 1, `an animation takes ${longest} ms`);
  await leave(ada);
});

// --- When things go wrong ---

test('the server goes away and comes back: the page reports it, with the time until the next attempt', async () => {
  const own = await DemoServer.start();
  try {
    const ada = await stage.enter('lobby', {}, own.origin);
    await ada.reads('#connection-text', /^Connected · (<1|\d+) ms$/);
    await own.kill();
    await ada.page.waitForSelector('#connection[data-link="reconnecting"]');
    await ada.reads('#connection-text', /^Reconnecting in \d+ s$/);
    await ada.reads('#announcer', 'The connection was lost. Reconnecting.');
    await own.restart();
    await ada.connected();
    await ada.reads('#announcer', 'Connected.');
    await leave({ expected: LOST_CONNECTION }, ada);
  } finally {
    await own.stop();
  }
});

test('a connection closed for good shows the reason, and can be renewed', async () => {
  const refusing = await RefusingServer.start(3501, 'the token has expired');
  try {
    const ada = await Person.open(stage.browser, `${stage.origin}/?server=${encodeURIComponent(refusing.address)}#chat/lobby`);
    await ada.page.waitForSelector('#connection[data-link="closed"]');
    await ada.reads('#closed-text', /the token has expired.*3501/);
    assert.equal(refusing.refused, 1);
    await ada.page.click('#reconnect');
    await ada.waitFor(() => !document.getElementById('closed').hidden);
    await ada.reads('#closed-text', /the token has expired/);
    assert.equal(refusing.refused, 2);
    await leave({ expected: LOST_CONNECTION }, ada);
  } finally {
    await refusing.stop();
  }
});

test('a person whom an operator has disconnected comes back to everything that was said meanwhile', async () => {
  const server = await DemoServer.start({ operated: true });
  try {
    const room = freshRoom();
    const [ada, grace] = [await stage.enter(room, { name: 'Ada' }, server.origin), await stage.enter(room, { name: 'Grace' }, server.origin)];
    await ada.say('before');
    await grace.hears('before');
    await server.disconnect(await ada.userAt(grace), 'a break');
    await ada.reads('#closed-text', /a break.*4500/);
    await grace.say('meanwhile');
    await ada.page.click('#reconnect');
    await ada.inRoom(room);
    await ada.hears('meanwhile');
    await ada.say('after');
    await grace.hears('after');
    assert.deepEqual(await ada.page.locator('#messages .text').allTextContents(), ['before', 'meanwhile', 'after']);
    await leave(ada, grace);
  } finally {
    await server.stop();
  }
});

test('a page that was opened from disk explains how to open it', async () => {
  const context = await stage.browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(pathToFileURL(`${DIST}index.html`).href);
    await page.getByText('file://').waitFor({ state: 'visible' });
    await page.getByText('cargo xtask demo').waitFor({ state: 'visible' });
    assert.ok(await page.locator('#app').isHidden());
  } finally {
    await context.close();
  }
});

test('an address of a server that makes no sense is refused by name', async () => {
  const ada = await Person.open(stage.browser, `${stage.origin}/?server=http://example.invalid`);
  await ada.reads('#notices', /“http:\/\/example\.invalid” is no WebSocket address/);
  await leave(ada);
});

test('these tests notice console errors, exceptions and policy violations', async () => {
  const ada = await stage.enter(freshRoom());
  await ada.page.evaluate(() => {
    console.error('a deliberate error');
    setTimeout(() => {
      throw new Error('a deliberate exception');
    });
    const picture = new Image();
    picture.src = 'https://example.invalid/picture.png';
  });
  const wanted = [/^console: a deliberate error/, /^uncaught: .*a deliberate exception/, /^policy violation: img-src/];
  await ada.reported(wanted);
  await assert.rejects(ada.leave(), /the page reported problems/);
});
