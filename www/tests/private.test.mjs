// Private messages in a real browser against the real server. The environment variables are described in support/stage.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { noViolations, shownTwice } from './support/checks.mjs';
import { DemoServer } from './support/demo-server.mjs';
import { LOST_CONNECTION, SIGHTS } from './support/people.mjs';
import { freshRoom, leave, openStage } from './support/stage.mjs';

const stage = openStage();

test('a private message reaches one person, on every panel, and nobody else', async () => {
  const room = freshRoom();
  const [ada, grace, linus] = [await named('Ada', room), await named('Grace', room), await named('Linus', room)];
  await grace.go('charts');
  await writeTo(ada, grace);
  const twice = await shownTwice(ada);
  await ada.say('only for Grace');
  assert.deepEqual(await twice(), []);
  await grace.reads('#nav a[href^="#chat"] .count', '1 unread message');
  await grace.go(`chat/${room}`);
  await grace.reads('#people-list a.has-unread', /Ada.*1 unread message/);
  await grace.page.click('#people-list a.has-unread');
  await grace.hears('only for Grace');
  await grace.reads('#room-title', /^Ada/);
  await grace.page.waitForSelector('#people-list a.has-unread', { state: 'detached' });

  // The writer sees that it was read.
  await ada.page.waitForSelector('.message:has-text("only for Grace") .seen');
  await grace.say('and one back');
  await ada.hears('and one back');
  assert.deepEqual(await linus.texts(), []);
  assert.equal(await linus.page.locator('#nav .count:visible').count(), 0);
  await leave(ada, grace, linus);
});

test('unread marks are the same in all tabs of a person', async () => {
  const room = freshRoom();
  const [ada, grace] = [await named('Ada', room), await named('Grace', room)];
  const second = await grace.tab(`${stage.origin}/#alarms`);
  await second.connected();
  await writeTo(ada, grace);
  await ada.say('hello twice');
  await second.reads('#nav a[href^="#chat"] .count', '1 unread message');
  await grace.page.click('#people-list a.has-unread');
  await grace.hears('hello twice');
  await second.page.waitForSelector('#nav a[href^="#chat"] .count', { state: 'hidden' });
  await leave(ada, grace);
});

test('a reader at the end of a room is there again after a private conversation', async () => {
  const room = freshRoom();
  const [ada, grace] = [await named('Ada', room), await named('Grace', room)];
  // Beside the list of members there is less room: these messages have more lines there.
  for (let number = 1; number <= 8; number += 1) await ada.say(`${number} ${'A longer paragraph to see how a bubble wraps over several lines in this page. '.repeat(4)}`.trim());
  await grace.waitFor(() => document.querySelectorAll('#messages .message').length === 8);
  await writeTo(grace, ada);
  // The browser reports the scrolling of the way there with the next picture.
  const pictures = () => grace.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  await pictures();
  await grace.page.click(`#room-list a[data-room="${room}"]`);
  await grace.inRoom(room);
  await pictures();
  await ada.say('in view');
  await grace.hears('in view');
  await grace.waitFor(() => {
    const log = document.getElementById('log');
    return log.scrollHeight - log.scrollTop - log.clientHeight < 2;
  });
  await grace.page.waitForSelector('#nav a[href^="#chat"] .count', { state: 'hidden' });
  assert.ok(await grace.page.locator('#new-messages').isHidden());
  await leave(ada, grace);
});

test('a private message waits for a person who is away, and stays after a reload', async () => {
  const room = freshRoom();
  const [ada, grace] = [await named('Ada', room), await named('Grace', room)];
  await writeTo(ada, grace);
  await ada.say('before you go');
  await grace.page.goto('about:blank');
  await ada.reads('#room-note', /^Away/);
  await ada.say('for later');
  await grace.page.goto(`${stage.origin}/#chat/${room}`);
  await grace.reads('#people-list a.has-unread', /Ada.*2 unread messages/);
  await grace.page.click('#people-list a.has-unread');
  await grace.hears('for later');
  await grace.page.reload();
  await grace.hears('for later');
  assert.deepEqual(await grace.texts(), ['before you go', 'for later']);
  assert.equal(await grace.page.locator('#people-list a.has-unread').count(), 0, 'they were read before the reload');
  await leave(ada, grace);
});

test('private messages survive a restart of the server, each once', async () => {
  const own = await DemoServer.start({ durable: true });
  try {
    const [ada, grace] = [await named('Ada', 'lobby', own.origin), await named('Grace', 'lobby', own.origin)];
    await writeTo(ada, grace);
    await writeTo(grace, ada);
    await ada.say('before');
    await grace.hears('before');
    await own.kill();
    await ada.page.waitForSelector('#connection[data-link="reconnecting"]');
    await ada.page.fill('#message', 'meanwhile');
    await ada.page.press('#message', 'Enter');
    await ada.reads('#outbox .pending', /meanwhile.*Waiting for the connection/s);
    await own.restart();
    await grace.hears('meanwhile');
    await grace.say('after');
    await ada.hears('after');
    for (const person of [ada, grace]) assert.deepEqual(await person.texts(), ['before', 'meanwhile', 'after']);
    await leave({ expected: LOST_CONNECTION }, ada, grace);
  } finally {
    await own.stop();
  }
});

test('an address of a person who has never been here explains itself when a message is sent', async () => {
  const ada = await stage.visit('chat/@nobody-like-this');
  await ada.connected();
  await ada.page.fill('#message', 'hello?');
  await ada.page.press('#message', 'Enter');
  await ada.reads('#outbox .failed', /Not sent: ./);
  await ada.page.locator('#outbox .failed').getByText('Discard').click();
  await ada.page.waitForSelector('#outbox .failed', { state: 'detached' });
  await leave(ada);
});

for (const [name, options] of Object.entries(SIGHTS)) {
  test(`a private conversation without an accessibility violation: ${name}`, async () => {
    const room = freshRoom();
    const [ada, grace] = [await named('Ada Lovelace', room, stage.origin, options), await named('Grace Hopper', room)];
    await writeTo(ada, grace);
    await ada.reads('#empty', /Only you and Grace Hopper/);
    await noViolations(ada);
    await ada.say('Lunch at one?');
    await grace.page.click('#people-list a.has-unread');
    await grace.say('Gladly. The usual place?');
    await ada.hears('Gladly. The usual place?');
    await ada.say('Yes. I bring the punched cards.');
    await ada.page.waitForSelector('.seen');
    await noViolations(ada);
    await ada.screenshot(`private-${name}`);
    await leave(ada, grace);
  });
}

/** Names are looked up in lists of everybody, so they are unique. */
let number = 0;

async function named(name, room, at = stage.origin, options = {}) {
  number += 1;
  const person = await stage.enter(room, { name: `${name} ${number}`, ...options }, at);
  return person;
}

/** Opens the private conversation with that person. */
async function writeTo(person, other) {
  const user = await other.userAt(person);
  await person.go(`chat/@${user}`);
  await person.reads('#room-title', await other.name());
}
