// Rooms in a real browser against the real server. The environment variables are described in support/stage.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { atEnd, fitsPhone, noViolations, sayMany, shownTwice, tabTo } from './support/checks.mjs';
import { DemoServer } from './support/demo-server.mjs';
import { LOST_CONNECTION, PHONE, SIGHTS } from './support/people.mjs';
import { freshRoom, leave, openStage } from './support/stage.mjs';

const stage = openStage();

// --- Messages ---

test('two people see each other’s messages, with sender and time', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room, { name: 'Ada' }), await stage.enter(room, { name: 'Grace' })];
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
  await leave(ada, grace);
});

test('a person who comes later sees the earlier messages and reactions, each once', async () => {
  const room = freshRoom();
  const ada = await stage.enter(room, { name: 'Ada' });
  for (const text of ['first', 'second', 'third']) await ada.say(text);
  await ada.react('second', 'Love');
  const grace = await stage.enter(room);
  await grace.hears('third');
  assert.deepEqual(await grace.texts(), ['first', 'second', 'third']);
  await grace.page.waitForSelector('.message:has-text("second") .reaction[aria-label="Love, 1: Ada"]');
  assert.equal(await grace.page.locator(`#room-list a[data-room="${room}"] .count:not(.quiet)`).count(), 0, 'earlier messages are not news');
  await leave(ada, grace);
});

test('a message of one’s own is shown once, first as being sent and then as said', async () => {
  const ada = await stage.enter(freshRoom());
  const twice = await shownTwice(ada);
  for (const text of ['one', 'two', 'two']) await ada.say(text);
  await ada.page.waitForSelector('#outbox li', { state: 'detached' });
  assert.deepEqual(await ada.texts(), ['one', 'two', 'two']);
  assert.deepEqual(await twice(), []);
  await leave(ada);
});

test('consecutive messages of one person stand under one name', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room), await stage.enter(room)];
  await ada.say('first');
  await ada.say('second');
  await grace.say('third');
  await ada.hears('third');
  const continued = await ada.page.locator('#messages > .message').evaluateAll((items) => items.map((item) => item.classList.contains('continued')));
  assert.deepEqual(continued, [false, true, false]);
  await leave(ada, grace);
});

test('markup in a message or a name is shown as it was typed', async () => {
  const room = freshRoom();
  const [mallory, ada] = [await stage.enter(room, { name: '<b>Mallory</b>' }), await stage.enter(room)];
  const markup = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script><b>bold</b> &amp; {{x}}';
  await mallory.say(markup);
  const item = await ada.hears(markup);
  assert.equal(await item.locator('.nick').textContent(), '<b>Mallory</b>');
  assert.equal(await ada.page.locator('#log :is(img, script, b)').count(), 0);
  assert.equal(await ada.page.evaluate(() => globalThis.attacked), undefined);
  await leave(mallory, ada);
});

test('addresses in a message are links, and nothing else is', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room), await stage.enter(room)];
  const text = 'see https://example.org/a_(b)?c=1#d, (or http://example.com/). javascript:alert(1) data:text/html,x https://';
  await ada.say(text);
  const links = (await grace.hears(text)).locator('.text a');
  assert.deepEqual(await links.allTextContents(), ['https://example.org/a_(b)?c=1#d', 'http://example.com/']);
  assert.deepEqual(await links.evaluateAll((all) => all.map(({ protocol, target, rel }) => [protocol, target, rel])), [
    ['https:', '_blank', 'noopener noreferrer nofollow'],
    ['http:', '_blank', 'noopener noreferrer nofollow'],
  ]);
  await leave(ada, grace);
});

test('a message can be answered and gets reactions, which can be taken back', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room, { name: 'Ada' }), await stage.enter(room, { name: 'Grace' })];
  await ada.say('tea or coffee?');
  const question = await grace.hears('tea or coffee?');
  await question.hover();
  await question.getByRole('button', { name: 'Reply' }).click();
  await grace.reads('#tray', /Replying to Ada: tea or coffee\?/);
  await grace.say('tea');
  const answer = await ada.hears('tea');
  assert.equal(await answer.locator('.quote').textContent(), 'Ada tea or coffee?');

  await ada.react('tea', 'Like');
  await grace.page.waitForSelector('.reaction[aria-label="Like, 1: Ada"][aria-pressed="false"]');
  await grace.page.click('.reaction');
  await ada.page.waitForSelector('.reaction[aria-label="Like, 2: you and Grace"][aria-pressed="true"]');
  await ada.page.click('.reaction');
  await grace.page.waitForSelector('.reaction[aria-label="Like, 1: you"][aria-pressed="true"]');
  await leave(ada, grace);
});

test('the list of messages is bounded, and readers above its end are left in peace', async () => {
  const room = freshRoom();
  const [ada, grace] = [await stage.enter(room), await stage.enter(room)];
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
  await ada.say('more news');
  await grace.reads('#new-messages', '2 new messages');
  assert.ok(!(await atEnd(grace)), 'the log jumped away from what was being read');
  await grace.page.click('#new-messages');
  await grace.waitFor(() => document.getElementById('new-messages').hidden);
  assert.ok(await atEnd(grace));
  await leave(ada, grace);
});

test('a message that is too long stays in the box, with the remedy', async () => {
  const ada = await stage.enter(freshRoom());
  const long = 'x'.repeat(2001);
  await ada.page.fill('#message', long);
  await ada.reads('#composer-hint', /^1 character too many$/);
  await ada.page.click('#send');
  await ada.reads('#message-error', /at most 2000 characters; this one has 2001\. Shorten it by 1 character\./);
  assert.equal(await ada.page.inputValue('#message'), long);
  assert.equal(await ada.page.getAttribute('#message', 'aria-invalid'), 'true');
  await ada.say('x'.repeat(2000));
  await ada.page.fill('#message', '   ');
  await ada.page.press('#message', 'Enter');
  await ada.reads('#message-error', 'Type a message first.');
  assert.equal((await ada.texts()).length, 1);
  await leave(ada);
});

// --- People ---

test('people who come, write and go are shown at once', async () => {
  const room = freshRoom();
  const ada = await stage.enter(room, { name: 'Ada' });
  await ada.reads('#room-note', 'Only you are here');
  const grace = await stage.enter(room, { name: 'Grace' });
  await ada.reads('#room-note', '2 people here');
  await ada.reads('#messages', /Grace came in/);
  await ada.reads('#member-list', /Grace/);
  await grace.page.locator('#message').pressSequentially('half a th');
  await ada.reads('#typing', 'Grace is writing');
  await grace.page.fill('#message', '');
  await ada.reads('#typing', /^$/);
  await grace.page.locator('#message').pressSequentially('a thought');
  await ada.reads('#typing', 'Grace is writing');
  await grace.page.press('#message', 'Enter');
  await ada.hears('a thought');
  await ada.reads('#typing', /^$/);
  await leave(grace);
  // After the time within which a reload is no leaving.
  await ada.reads('#messages', /Grace left/);
  await ada.reads('#room-note', 'Only you are here');
  await leave(ada);
});

test('a person alone finds how to be two', async () => {
  const own = await DemoServer.start();
  try {
    const ada = await stage.enter('lobby', { name: 'Ada' }, own.origin);
    await ada.reads('#alone', /another browser or a private window/);
    await ada.screenshot('alone');
    const grace = await stage.enter('lobby', { name: 'Grace' }, own.origin);
    await ada.page.waitForSelector('#alone', { state: 'hidden' });
    await ada.reads('#people-title', 'People · 1 online');
    await leave(ada, grace);
  } finally {
    await own.stop();
  }
});

// --- Rooms ---

test('a person who is here for the first time finds what else can be tried', async () => {
  const ada = await stage.enter(freshRoom());
  await ada.reads('#empty', /Everything on this page is live/);
  await ada.page.getByRole('link', { name: 'Watch this machine live' }).click();
  await ada.waitFor(() => location.hash === '#charts');
  await leave(ada);
});

test('a message stays in its room, and a room that was left is heard no more', async () => {
  const [first, second] = [freshRoom(), freshRoom()];
  const [ada, grace, linus] = [await stage.enter(first), await stage.enter(first), await stage.enter(second)];
  await ada.say('only for the first room');
  await grace.hears('only for the first room');
  await linus.say('only for the second room');
  assert.deepEqual(await linus.texts(), ['only for the second room']);

  await grace.page.click('#leave');
  await switchTo(grace, second);
  assert.deepEqual(await grace.texts(), ['only for the second room']);
  await ada.say('still for the first room');
  await linus.say('welcome, Grace');
  await grace.hears('welcome, Grace');
  assert.deepEqual(await grace.texts(), ['only for the second room', 'welcome, Grace']);
  await leave(ada, grace, linus);
});

test('messages in another room are counted, in the list and in the navigation, until they are seen', async () => {
  const [first, second] = [freshRoom(), freshRoom()];
  const [ada, grace] = [await stage.enter(first), await stage.enter(first)];
  await ada.say('seen');
  await grace.hears('seen');
  await switchTo(grace, second);
  await ada.say('one');
  await ada.say('two');
  await grace.reads(`#room-list a[data-room="${first}"] .count`, '2 unread messages');
  await grace.go('alarms');
  await grace.reads('#nav a[href^="#chat"] .count', '2 unread messages');
  await ada.say('three');
  await grace.reads('#nav a[href^="#chat"] .count', '3 unread messages');

  await grace.go(`chat/${first}`);
  await grace.hears('three');
  await grace.page.waitForSelector('#nav a[href^="#chat"] .count', { state: 'hidden' });
  const below = grace.page.locator('.divider.unread + .message');
  assert.equal(await below.locator('.text').textContent(), 'one');
  assert.ok(await below.locator('.message-head').isVisible(), 'the first message below the mark names its writer');
  assert.equal(await grace.page.title(), `${first} · Wirehub`);

  // A visit later knows what the earlier one has seen.
  await grace.go('alarms');
  await grace.page.goto('about:blank');
  await ada.say('while away');
  await grace.page.goto(`${stage.origin}/#alarms`);
  await grace.reads('#nav a[href^="#chat"] .count', '1 unread message');
  await leave(ada, grace);
});

test('a room that is read in one tab is read in every tab, and a first visit begins without unread messages', async () => {
  const room = freshRoom();
  const ada = await stage.enter(room);
  await ada.say('one');
  await ada.say('two');
  const grace = await stage.enter(room);
  await grace.hears('two');
  // Opened while the first tab is still there.
  const second = await grace.tab(`${stage.origin}/#alarms`);
  await second.connected();
  const badge = '#nav a[href^="#chat"] .count';
  await grace.go('alarms');
  await ada.say('three');
  await second.reads(badge, /^1 unread message$/);
  await grace.reads(badge, /^1 unread message$/);
  await grace.go(`chat/${room}`);
  await grace.hears('three');
  await second.page.waitForSelector(badge, { state: 'hidden' });
  await leave(ada, grace);
});

test('messages in a room that was never open in view are old on the first visit', async () => {
  const room = freshRoom();
  const ada = await stage.enter(room);
  await ada.say('earlier');
  await ada.say('and earlier');
  const grace = await stage.visit('alarms', {}, stage.origin, (page) => page.addInitScript((name) => localStorage.setItem('wirehub-demo.rooms', JSON.stringify([name])), room));
  // The page knows how far the room was when it came.
  await grace.waitFor((name) => localStorage.getItem(`wirehub-demo.seen.${name}`) !== null, room);
  await ada.say('news');
  await grace.reads('#nav a[href^="#chat"] .count', /^1 unread message$/);
  await leave(ada, grace);
});

test('the address names the room: links, Back, leaving', async () => {
  const [room, other] = [freshRoom(), freshRoom()];
  const grace = await stage.enter(other);
  // A person counts once.
  await (await grace.tab(`${stage.origin}/#chat/${other}`)).inRoom(other);
  const ada = await stage.enter(room);
  assert.equal(await ada.page.title(), `${room} · Wirehub`);
  const link = ada.page.locator(`#room-list a[data-room="${other}"]`);
  await ada.reads(`#room-list a[data-room="${other}"] .count`, '1 person');
  await link.click();
  await ada.inRoom(other);
  assert.equal(new URL(ada.page.url()).hash, `#chat/${other}`);
  assert.equal(await link.getAttribute('aria-current'), 'page');
  await ada.reads(`#room-list a[data-room="${other}"] .count`, '2 people');
  await ada.page.goBack();
  await ada.inRoom(room);
  await ada.page.goForward();
  await ada.inRoom(other);

  // Everybody begins in the lobby.
  for (const next of ['lobby', room]) {
    await ada.page.click('#leave');
    await ada.inRoom(next);
  }
  await ada.page.click('#leave');
  await ada.reads('#room-note', 'You are in no room');
  await ada.reads('#empty', /No conversation is open/);
  assert.ok(await ada.page.isDisabled('#message'));
  await grace.reads('#room-note', 'Only you are here');
  await ada.go('chat/Not%20a%20room!');
  await ada.reads('#notices', /names no conversation.*small letters/);
  await leave(ada, grace);
});

test('a room is opened by name, and a name that breaks the rules is refused with the rule', async () => {
  const ada = await stage.enter(freshRoom());
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
  await switchTo(ada, longest);
  assert.equal(await ada.focus(), 'message');
  await leave(ada);
});

test('the rooms of a person are there again after a reload, and unfinished text waits in its room', async () => {
  const [room, other] = [freshRoom(), freshRoom()];
  const ada = await stage.enter(room);
  await ada.page.fill('#message', 'half a thought');
  await switchTo(ada, other);
  assert.equal(await ada.page.inputValue('#message'), '');
  await switchTo(ada, room);
  assert.equal(await ada.page.inputValue('#message'), 'half a thought');
  await ada.page.reload();
  await ada.inRoom(room);
  await ada.page.waitForSelector(`#room-list a[data-room="${other}"]`);
  await leave(ada);
});

// --- For everyone ---

test('the chat can be used with the keyboard alone', async () => {
  const [room, other] = [freshRoom(), freshRoom()];
  const [ada, grace] = [await stage.enter(room), await stage.enter(other)];
  await ada.page.waitForSelector(`#room-list a[data-room="${other}"]`);
  const press = (key) => ada.page.keyboard.press(key);
  await ada.page.focus('#skip');
  await press('Enter');
  await ada.page.keyboard.type('typed without a mouse');
  await press('Shift+Enter');
  await ada.page.keyboard.type('in two lines');
  await press('Enter');
  await ada.hears('typed without a mouse\nin two lines', { own: true });

  await ada.page.focus('#skip');
  await tabTo(ada, '#log');
  await press('ArrowUp');
  await press('Enter');
  await ada.page.waitForSelector('#picker:popover-open');
  await press('Enter');
  await ada.page.waitForSelector('.reaction[aria-pressed="true"]');

  await ada.page.focus('#skip');
  await tabTo(ada, `a[data-room="${other}"]`);
  await press('Enter');
  await ada.inRoom(other);
  assert.equal(await ada.focus(), 'message');
  await ada.page.focus('#skip');
  await tabTo(ada, '#leave');
  await press('Enter');
  await ada.inRoom('lobby');
  await leave(ada, grace);
});

for (const [name, options] of Object.entries(SIGHTS)) {
  test(`a conversation as people see it, without an accessibility violation: ${name}`, async () => {
    const room = 'team-tea';
    const own = await DemoServer.start();
    try {
      const at = own.origin;
      const ada = await stage.enter(room, { name: 'Ada Lovelace', ...options }, at);
      const [grace, linus] = [await stage.enter(room, { name: 'Grace Hopper' }, at), await stage.enter('lobby', { name: 'Linus' }, at)];
      await grace.say('Good morning! Did the deploy go through?');
      await ada.say('It did, at nine. Nobody noticed, which is the point.');
      await ada.say('Notes are at https://example.org/deploy');
      await grace.say('Lovely');
      await grace.react('It did, at nine. Nobody noticed, which is the point.', 'Love');
      await linus.page.locator('#people-list a', { hasText: 'Ada' }).click();
      await linus.say('psst');
      await ada.reads('#people-list', /1 unread message/);
      await grace.page.locator('#message').pressSequentially('I will');
      await ada.reads('#typing', /Grace Hopper is writing/);
      await ada.screenshot(`chat-${name}`);
      await noViolations(ada);
      await ada.page.fill('#message', 'x'.repeat(2001));
      await ada.page.click('#send');
      await noViolations(ada);
      if (name.startsWith('phone')) {
        await fitsPhone(ada);
        await ada.page.click('.back');
        await ada.page.waitForSelector('#room-list', { state: 'visible' });
        await noViolations(ada);
        await fitsPhone(ada);
        await ada.screenshot(`chat-list-${name}`);
      }
      await leave(ada, grace, linus);
    } finally {
      await own.stop();
    }
  });
}

test('on a phone a person chooses a conversation from the list, and comes back to it', async () => {
  const [room, other] = [`${freshRoom()}-${'w'.repeat(64)}`.slice(0, 64), freshRoom()];
  const phone = await stage.enter(room, PHONE);
  await phone.say('w'.repeat(200));
  await fitsPhone(phone);
  await phone.page.tap('.back');
  await phone.page.waitForSelector('#join-name', { state: 'visible' });
  await fitsPhone(phone);
  await phone.page.fill('#join-name', other);
  await phone.page.press('#join-name', 'Enter');
  await phone.inRoom(other);
  await phone.page.waitForSelector('#message', { state: 'visible' });
  await leave(phone);
});

// --- When things go wrong ---

test('the server goes away and comes back with its messages: everything arrives once, in order', async () => {
  const own = await DemoServer.start({ durable: true });
  try {
    const room = freshRoom();
    const [ada, grace] = [await stage.enter(room, {}, own.origin), await stage.enter(room, {}, own.origin)];
    await ada.say('before');
    await grace.hears('before');
    await own.kill();
    for (const person of [ada, grace]) await person.page.waitForSelector('#connection[data-link="reconnecting"]');
    await ada.reads('#composer-hint', /messages go out when it is back/);
    await ada.page.fill('#message', 'written without a connection');
    await ada.page.press('#message', 'Enter');
    await ada.reads('#outbox .pending', /written without a connection.*Waiting for the connection/s);
    assert.equal(await ada.page.inputValue('#message'), '');
    await ada.screenshot('reconnecting');

    await own.restart();
    for (const person of [ada, grace]) await person.connected();
    await ada.hears('written without a connection', { own: true });
    await ada.page.waitForSelector('#outbox li', { state: 'detached' });
    await ada.inRoom(room);
    await grace.inRoom(room);
    await ada.say('after');
    await grace.hears('after');
    for (const person of [ada, grace]) assert.deepEqual(await person.texts(), ['before', 'written without a connection', 'after']);
    assert.equal(await ada.page.locator('.remark.gap').count(), 0);
    await leave({ expected: LOST_CONNECTION }, ada, grace);
  } finally {
    await own.stop();
  }
});

test('messages that could not be recovered are a remark in the log', async () => {
  const own = await DemoServer.start();
  try {
    const room = freshRoom();
    const ada = await stage.enter(room, {}, own.origin);
    await ada.say('before');
    // This server keeps its messages in memory.
    await own.kill();
    await own.restart();
    await ada.inRoom(room);
    await ada.reads('.remark.gap', /Messages are missing here/);
    await ada.say('after');
    assert.deepEqual(await ada.texts(), ['before', 'after']);
    await leave({ expected: LOST_CONNECTION }, ada);
  } finally {
    await own.stop();
  }
});

// --- Help ---

async function switchTo(person, room) {
  await person.page.fill('#join-name', room);
  await person.page.press('#join-name', 'Enter');
  await person.inRoom(room);
}
