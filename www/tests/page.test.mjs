// The demo page in a real browser against the real server.
//
//   WIREHUB_TEST_PAGE  address of a running demo server's page; without it one is started
//   WIREHUB_DEMO_BIN   the demo server's program, for tests that stop and start it (default: the one in ../../target)
//   CHROMIUM           the browser (default: /usr/bin/chromium)
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { atEnd, fitsPhone, noViolations, sayMany, shownTwice } from './support/checks.mjs';
import { DemoServer, DIST } from './support/demo-server.mjs';
import { launch, Person, PHONE } from './support/people.mjs';
import { RefusingServer } from './support/refusing-server.mjs';

const LOST_CONNECTION = /^console: WebSocket connection to .* failed/;

let browser;
let server;
let origin;
let rooms = 0;

before(async () => {
  const given = process.env['WIREHUB_TEST_PAGE'];
  if (given === undefined) server = await DemoServer.start();
  origin = given === undefined ? server.origin : new URL(given).origin;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.kill();
});

// --- Chatting ---

test('two people see each other’s messages, with sender and time', async () => {
  const room = freshRoom();
  const [ada, grace] = [await enter(room), await enter(room)];
  await ada.rename('Ada');
  await grace.rename('Grace');

  await ada.say('hello from Ada');
  const atGrace = await grace.hears('hello from Ada');
  assert.equal(await atGrace.locator('.nick').textContent(), 'Ada');
  const when = await atGrace.locator('time').getAttribute('datetime');
  assert.ok(Math.abs(Date.parse(when) - Date.now()) < 60_000, `the message's time is ${when}`);

  await grace.say('hello from Grace');
  const atAda = await ada.hears('hello from Grace');
  assert.equal(await atAda.locator('.nick').textContent(), 'Grace');
  assert.equal(await (await ada.hears('hello from Ada', { own: true })).locator('.nick').textContent(), 'You');

  assert.deepEqual(await ada.texts(), ['hello from Ada', 'hello from Grace']);
  assert.deepEqual(await grace.texts(), ['hello from Ada', 'hello from Grace']);
  await ada.reads('#room-note', '2 people here');
  await ada.screenshot('desktop-light');
  await leave(ada, grace);
});

test('the sender of a message is counted at once', async () => {
  const room = freshRoom();
  const ada = await enter(room);
  await ada.reads('#room-note', 'Only you are here');
  // The list of rooms is also requested at intervals. Without them only the message itself can correct the number.
  await ada.page.evaluate(() => {
    const last = setTimeout(() => undefined);
    for (let timer = 1; timer <= last; timer += 1) clearTimeout(timer);
  });
  const grace = await enter(room);
  await grace.say('here I am');
  await ada.hears('here I am');
  await ada.reads('#room-note', '2 people here');
  await leave(ada, grace);
});

test('a message of one’s own is shown once, first as being sent and then as said', async () => {
  const ada = await enter(freshRoom());
  const twice = await shownTwice(ada);
  for (const text of ['one', 'two', 'two']) await ada.say(text);
  await ada.page.waitForSelector('#outbox li', { state: 'detached' });
  assert.deepEqual(await ada.texts(), ['one', 'two', 'two']);
  assert.deepEqual(await twice(), []);
  await leave(ada);
});

test('consecutive messages of one person stand under one name', async () => {
  const room = freshRoom();
  const [ada, grace] = [await enter(room), await enter(room)];
  await ada.say('first');
  await ada.say('second');
  await grace.say('third');
  await ada.hears('third');
  const continued = await ada.page
    .locator('#messages > .message')
    .evaluateAll((items) => items.map((item) => item.classList.contains('continued')));
  assert.deepEqual(continued, [false, true, false]);
  await leave(ada, grace);
});

test('a message stays in its room, and a room that was left is heard no more', async () => {
  const [first, second] = [freshRoom(), freshRoom()];
  const [ada, grace, linus] = [await enter(first), await enter(first), await enter(second)];
  await ada.say('only for the first room');
  await grace.hears('only for the first room');
  await linus.say('only for the second room');
  assert.deepEqual(await linus.texts(), ['only for the second room']);

  await switchTo(grace, second);
  assert.deepEqual(await grace.texts(), []);
  await ada.say('still for the first room');
  // Linus' message comes after Ada's. If Grace were still in the first room, she would have received Ada's by now.
  await linus.say('welcome, Grace');
  await grace.hears('welcome, Grace');
  assert.deepEqual(await grace.texts(), ['welcome, Grace']);
  await leave(ada, grace, linus);
});

test('markup in a message or a name is shown as it was typed', async () => {
  const room = freshRoom();
  const [mallory, ada] = [await enter(room), await enter(room)];
  const markup = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script><b>bold</b> &amp; {{x}}';
  await mallory.rename('<b>Mallory</b>');
  await mallory.say(markup);
  const item = await ada.hears(markup);
  assert.equal(await item.locator('.nick').textContent(), '<b>Mallory</b>');
  assert.equal(await ada.page.locator('#log :is(img, script, b)').count(), 0);
  assert.equal(await ada.page.evaluate(() => globalThis.attacked), undefined);
  await leave(mallory, ada);
});

test('the list of messages is bounded, and readers above its end are left in peace', async () => {
  const room = freshRoom();
  const [ada, grace] = [await enter(room), await enter(room)];
  await sayMany(ada, 510);
  await grace.hears('message 510');
  for (const person of [ada, grace]) {
    const texts = await person.texts();
    assert.equal(texts.length, 500);
    assert.equal(texts[0], 'message 11');
    assert.equal(texts.at(-1), 'message 510');
    assert.ok(await atEnd(person), 'the log follows what is said');
  }
  await grace.page.evaluate(() => {
    document.getElementById('log').scrollTop = 200;
  });
  await grace.waitFor(() => document.getElementById('log').scrollTop === 200);
  await ada.say('news');
  await grace.reads('#new-messages', '1 new message');
  assert.ok(!(await atEnd(grace)), 'the log jumped away from what was being read');
  await grace.page.click('#new-messages');
  await grace.waitFor(() => document.getElementById('new-messages').hidden);
  assert.ok(await atEnd(grace));
  await leave(ada, grace);
});

test('a message that is too long stays in the box, with the remedy', async () => {
  const ada = await enter(freshRoom());
  const long = 'x'.repeat(2001);
  await ada.page.fill('#message', long);
  await ada.reads('#composer-hint', '1 characters too many');
  await ada.page.click('#send');
  await ada.reads('#message-error', /at most 2000 characters; this one has 2001/);
  assert.equal(await ada.page.inputValue('#message'), long);
  assert.equal(await ada.page.getAttribute('#message', 'aria-invalid'), 'true');
  await ada.say('x'.repeat(2000));
  await ada.page.fill('#message', '   ');
  await ada.page.press('#message', 'Enter');
  await ada.reads('#message-error', 'Type a message first.');
  assert.equal((await ada.texts()).length, 1);
  await leave(ada);
});

// --- Rooms and names ---

test('the address names the room: links, Back, leaving', async () => {
  const [room, other] = [freshRoom(), freshRoom()];
  const [ada, grace] = [await enter(room), await enter(other)];
  assert.equal(await ada.page.title(), `${room} · Wirehub chat`);
  const link = ada.page.locator(`#room-list a[data-room="${other}"]`);
  await link.click();
  await ada.inRoom(other);
  assert.equal(new URL(ada.page.url()).hash, `#/${other}`);
  assert.equal(await link.getAttribute('aria-current'), 'page');
  await ada.reads(`#room-list a[data-room="${other}"] .count`, '2');

  await ada.page.goBack();
  await ada.inRoom(room);
  await ada.page.goForward();
  await ada.inRoom(other);

  await ada.page.click('#leave');
  await ada.reads('#room-note', 'You are in no room');
  assert.equal(new URL(ada.page.url()).hash, '#/');
  assert.ok(await ada.page.isDisabled('#message'));
  await grace.reads('#room-note', 'Only you are here');

  await ada.page.evaluate(() => {
    location.hash = '#/Not%20a%20room!';
  });
  await ada.reads('#notices', /The address names no room/);
  await ada.page.click('.notice button');
  assert.equal(await ada.page.locator('.notice').count(), 0);
  await leave(ada, grace);

  const visitor = await Person.open(browser, `${origin}/`);
  await visitor.inRoom('lobby');
  assert.equal(new URL(visitor.page.url()).hash, '#/lobby');
  await leave(visitor);
});

test('a room is opened by name, and a name that breaks the rules is refused with the rule', async () => {
  const ada = await enter(freshRoom());
  const before = ada.page.url();
  for (const [typed, complaint] of [
    ['', 'Type the name of a room.'],
    ['Tea Room', /small letters a–z/],
    ['<b>', /small letters a–z/],
    ['a'.repeat(65), /at most 64 characters; this one has 65/],
  ]) {
    await ada.page.fill('#join-name', typed);
    await ada.page.press('#join-name', 'Enter');
    await ada.reads('#join-error', complaint);
    assert.equal(ada.page.url(), before);
    assert.equal(await ada.page.inputValue('#join-name'), typed);
  }
  const longest = `${freshRoom()}-${'a'.repeat(64)}`.slice(0, 64);
  await ada.page.fill('#join-name', longest);
  await ada.page.press('#join-name', 'Enter');
  await ada.inRoom(longest);
  assert.equal(await ada.focus(), 'message');
  await leave(ada);
});

test('unfinished text waits in its room', async () => {
  const [room, other] = [freshRoom(), freshRoom()];
  const ada = await enter(room);
  await ada.page.fill('#message', 'half a thought');
  await switchTo(ada, other);
  assert.equal(await ada.page.inputValue('#message'), '');
  await switchTo(ada, room);
  assert.equal(await ada.page.inputValue('#message'), 'half a thought');
  await leave(ada);
});

test('the name has a default, is checked, and outlives a reload', async () => {
  const ada = await enter(freshRoom());
  assert.match(await ada.page.inputValue('#nick'), /^guest-\d{4}$/);
  await ada.rename('Ada Lovelace');
  await ada.page.reload();
  await ada.connected();
  assert.equal(await ada.page.inputValue('#nick'), 'Ada Lovelace');

  await ada.rename('n'.repeat(25));
  await ada.page.press('#nick', 'Enter');
  await ada.reads('#nick-error', /at most 24 characters; this one has 25.*“Ada Lovelace”/);
  await ada.say('who am I');
  await ada.page.reload();
  assert.equal(await ada.page.inputValue('#nick'), 'Ada Lovelace');
  await leave(ada);
});

// --- Echo ---

for (const mode of ['text', 'binary', 'call']) {
  test(`the echo box measures round trips: ${mode}`, async () => {
    const ada = await enter(freshRoom());
    await ada.page.locator(`input[name="echo-mode"][value="${mode}"]`).check();
    assert.equal(await ada.page.textContent('#echo-last'), '–');
    await ada.page.fill('#echo-text', `ünïcode ✓ over ${mode}`);
    await ada.page.click('#echo-once');
    await ada.reads('#echo-last', /^\d+\.\d ms$/);
    await ada.reads('#echo-spoken', /^Back after \d+\.\d ms\.$/);
    assert.equal(await ada.page.locator('#echo-results li').count(), 1);

    await ada.page.click('#echo-ten');
    await ada.waitFor(() => document.querySelectorAll('#echo-results li').length === 10);
    await ada.page.waitForSelector('#echo-once[aria-disabled="false"]');
    const trips = (await ada.page.locator('.trip-ms').allTextContents()).map(Number.parseFloat).sort((a, b) => a - b);
    assert.equal(trips.length, 10);
    assert.equal(Number.parseFloat(await ada.page.textContent('#echo-min')), trips[0]);
    const median = Number.parseFloat(await ada.page.textContent('#echo-median'));
    // Half the rounding of the two middle values, and the rounding of the median itself.
    assert.ok(Math.abs(median - (trips[4] + trips[5]) / 2) < 0.11, `median ${median} of ${trips}`);
    assert.ok(trips[9] < 5000);
    await leave(ada);
  });
}

test('the echo box sends no empty message', async () => {
  const ada = await enter(freshRoom());
  await ada.page.fill('#echo-text', '');
  await ada.page.press('#echo-text', 'Enter');
  await ada.reads('#echo-error', 'Type a message first.');
  assert.equal(await ada.page.locator('#echo-results li').count(), 0);
  await leave(ada);
});

// --- For everyone ---

test('everything can be done with the keyboard alone', async () => {
  const [room, other] = [freshRoom(), freshRoom()];
  const [ada, grace] = [await enter(room), await enter(other)];
  await ada.page.waitForSelector(`#room-list a[data-room="${other}"]`);
  const press = (key) => ada.page.keyboard.press(key);
  const tabTo = async (selector) => {
    for (let presses = 0; presses < 40; presses += 1) {
      await press('Tab');
      if (!(await ada.page.evaluate((wanted) => document.activeElement.matches(wanted), selector))) continue;
      const outline = await ada.page.evaluate(() => {
        // The radio buttons are invisible; the label's text beside one shows its focus.
        const shown = document.activeElement.matches('[type="radio"]')
          ? document.activeElement.nextElementSibling
          : document.activeElement;
        return getComputedStyle(shown).outlineStyle;
      });
      assert.notEqual(outline, 'none', `${selector} does not show that it has the focus`);
      return;
    }
    assert.fail(`Tab never came to ${selector}`);
  };

  await tabTo('#skip');
  await press('Enter');
  assert.equal(await ada.focus(), 'message');
  assert.equal(new URL(ada.page.url()).hash, `#/${room}`);
  await ada.page.keyboard.type('typed without a mouse');
  await press('Shift+Enter');
  await ada.page.keyboard.type('in two lines');
  await press('Enter');
  await ada.hears('typed without a mouse\nin two lines', { own: true });

  await tabTo('#echo-once');
  await press('Enter');
  await ada.reads('#echo-last', /ms/);
  await ada.page.focus('#skip');
  await tabTo('input[name="echo-mode"]');
  await press('ArrowRight');
  assert.ok(await ada.page.isChecked('input[value="binary"]'));

  await ada.page.focus('#skip');
  await tabTo(`a[data-room="${other}"]`);
  await press('Enter');
  await ada.inRoom(other);
  assert.equal(await ada.focus(), 'message');
  await ada.page.focus('#skip');
  await tabTo('#nick');
  await press('Control+a');
  await ada.page.keyboard.type('Keys');
  await tabTo('#leave');
  await press('Enter');
  await ada.reads('#room-note', 'You are in no room');
  await leave(ada, grace);
});

test('a phone of 360 pixels shows everything without scrolling sideways', async () => {
  const room = `${freshRoom()}-${'w'.repeat(64)}`.slice(0, 64);
  const phone = await enter(room, PHONE);
  await phone.say('a word without an end: ' + 'e'.repeat(200));
  await phone.say('short');
  assert.equal(await phone.page.textContent('#composer-hint'), '', 'a phone has no Shift+Enter to speak of');
  await fitsPhone(phone);
  await phone.page.fill('#message', 'w'.repeat(500));
  await fitsPhone(phone);
  await phone.page.fill('#message', '');
  await phone.screenshot('phone-light');

  await phone.page.tap('.for-rooms');
  await phone.page.waitForSelector('#rooms-panel:popover-open');
  await fitsPhone(phone);
  await phone.page.fill('#nick', 'Phone');
  await phone.screenshot('phone-rooms');
  await phone.page.tap('#room-list a[data-room="lobby"]');
  await phone.inRoom('lobby');
  await phone.page.waitForSelector('#rooms-panel:not(:popover-open)', { state: 'attached' });

  await phone.page.tap('.for-echo');
  await phone.page.waitForSelector('#echo-panel:popover-open');
  await phone.page.tap('#echo-once');
  await phone.reads('#echo-last', /ms/);
  await fitsPhone(phone);
  await phone.screenshot('phone-echo');
  await phone.page.keyboard.press('Escape');
  await phone.page.waitForSelector('#echo-panel:not(:popover-open)', { state: 'attached' });
  await leave(phone);
});

test('the page follows the system’s dark colours', async () => {
  const room = freshRoom();
  const [light, dark] = [await enter(room), await enter(room, { colorScheme: 'dark' })];
  await light.say('bright here');
  await dark.say('dark here');
  await light.hears('dark here');
  const background = (person) =>
    person.page.evaluate(() => {
      const [red, green, blue] = getComputedStyle(document.querySelector('.conversation')).backgroundColor.match(/\d+/g).map(Number);
      return (red + green + blue) / 3;
    });
  assert.ok((await background(light)) > 200);
  assert.ok((await background(dark)) < 60);
  await dark.screenshot('desktop-dark');
  await leave(light, dark);
});

for (const [name, options] of Object.entries({
  light: {},
  dark: { colorScheme: 'dark' },
  phone: PHONE,
  'phone, dark': { ...PHONE, colorScheme: 'dark' },
})) {
  test(`axe finds no accessibility violation: ${name}`, async () => {
    const room = freshRoom();
    const [ada, grace] = [await enter(room, options), await enter(room)];
    await grace.say('from another');
    await ada.hears('from another');
    await ada.say('from me');
    await ada.page.fill('#message', 'x'.repeat(2001));
    await ada.page.click('#send');
    await ada.page.evaluate(() => {
      location.hash = '#/Not%20a%20room!';
    });
    await ada.page.waitForSelector('.notice');
    await ada.page.evaluate((hash) => {
      location.hash = hash;
    }, `#/${room}`);
    await ada.inRoom(room);
    await noViolations(ada);
    for (const [button, panel] of [['.for-rooms', '#rooms-panel'], ['.for-echo', '#echo-panel']]) {
      if (!(await ada.page.isVisible(button))) continue;
      await ada.page.click(button);
      await ada.page.waitForSelector(`${panel}:popover-open`);
      await noViolations(ada);
      await ada.page.keyboard.press('Escape');
    }
    await leave(ada, grace);
  });
}

// --- When things go wrong ---

test('the server goes away and comes back: the page reports it, and messages written meanwhile arrive once', async () => {
  let own = await DemoServer.start();
  try {
    const room = freshRoom();
    const [ada, grace] = [await enter(room, {}, own.origin), await enter(room, {}, own.origin)];
    await ada.say('before');
    await grace.hears('before');

    await own.kill();
    for (const person of [ada, grace]) {
      await person.page.waitForSelector('#connection[data-link="reconnecting"]');
      await person.reads('#connection-text', /^Reconnecting in \d+ s$/);
      await person.reads('#announcer', 'The connection was lost. Reconnecting.');
    }
    await ada.reads('#composer-hint', /messages go out when it is back/);
    await ada.page.fill('#message', 'written without a connection');
    await ada.page.press('#message', 'Enter');
    await ada.reads('#outbox .pending', /written without a connection.*Waiting for the connection/s);
    assert.equal(await ada.page.inputValue('#message'), '');
    await ada.page.locator('input[value="call"]').check();
    await ada.page.click('#echo-once');
    await ada.reads('#echo-error', /connection is down/);
    await ada.screenshot('reconnecting');

    own = await DemoServer.start(own.port);
    for (const person of [ada, grace]) await person.connected();
    await ada.hears('written without a connection', { own: true });
    assert.equal(await ada.page.locator('#outbox li').count(), 0);
    await ada.inRoom(room);
    await grace.inRoom(room);
    await ada.say('after');
    await grace.hears('after');
    await grace.say('answer');
    await ada.hears('answer');
    const sent = (await ada.texts()).filter((text) => text === 'written without a connection');
    assert.equal(sent.length, 1);
    await leave({ expected: LOST_CONNECTION }, ada, grace);
  } finally {
    await own.kill();
  }
});

test('a connection closed for good shows the reason, keeps unsent messages, and can be renewed', async () => {
  const refusing = await RefusingServer.start(3501, 'the token has expired');
  try {
    const room = freshRoom();
    const ada = await Person.open(browser, `${origin}/?server=${encodeURIComponent(refusing.address)}#/${room}`);
    await ada.page.waitForSelector('#connection[data-link="closed"]');
    await ada.reads('#closed-text', /the token has expired.*3501/);
    assert.equal(refusing.refused, 1);

    await ada.page.fill('#message', 'nobody hears this');
    await ada.page.press('#message', 'Enter');
    await ada.reads('#outbox .failed', /nobody hears this.*Not sent: ./s);
    const [words, discard] = await ada.rightEdges('#outbox .failed :is(.text, button:last-of-type)');
    assert.ok(Math.abs(words - discard) < 10, `the message ends at ${words} and what to do about it at ${discard}`);
    await ada.screenshot('closed');

    await ada.page.click('#reconnect');
    await ada.waitFor(() => !document.getElementById('closed').hidden);
    await ada.reads('#closed-text', /the token has expired/);
    assert.equal(refusing.refused, 2);
    await ada.page.locator('#outbox .failed').getByText('Discard').click();
    await ada.page.waitForSelector('#outbox .failed', { state: 'detached' });
    await leave({ expected: LOST_CONNECTION }, ada);
  } finally {
    await refusing.stop();
  }
});

test('a page that was opened from disk explains how to open it', async () => {
  const context = await browser.newContext();
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
  const ada = await Person.open(browser, `${origin}/?server=http://example.invalid`);
  await ada.reads('#notices', /“http:\/\/example\.invalid” is no WebSocket address/);
  await leave(ada);
});

test('these tests notice console errors, exceptions and policy violations', async () => {
  const ada = await enter(freshRoom());
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

// --- Help ---

/** Opens the page in a room and waits until it has entered. */
async function enter(room, options = {}, at = origin) {
  const person = await Person.open(browser, `${at}/#/${room}`, options);
  await person.inRoom(room);
  return person;
}

/** Ends these visits. With `{ expected }` first, problems that match it are part of the test. */
async function leave(...people) {
  const settings = people[0] instanceof Person ? {} : people.shift();
  for (const person of people) await person.leave(settings);
}

/** A room that no other test, and no earlier run against the same server, has used. */
function freshRoom() {
  rooms += 1;
  return `t${Date.now().toString(36)}-${rooms}`;
}

async function switchTo(person, room) {
  await person.page.fill('#join-name', room);
  await person.page.press('#join-name', 'Enter');
  await person.inRoom(room);
}
