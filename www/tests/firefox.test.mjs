// Chat, alarms and images between Firefox and Chromium. The environment variables are described in support/stage.mjs and
// in tests/support/webdriver.mjs.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { Firefox } from '../../tests/support/webdriver.mjs';
import { DemoServer } from './support/demo-server.mjs';
import { ARTEFACTS } from './support/people.mjs';
import { freshRoom, leave, openStage } from './support/stage.mjs';

const stage = openStage();
let firefox;
let server;

before(async () => {
  // Alarms reach everybody, so these tests have a server of their own.
  server = await DemoServer.start();
  firefox = await Firefox.start();
});

after(async () => {
  await firefox?.stop();
  await server?.stop();
});

test('Firefox and Chromium chat, with the people in the room', async () => {
  const room = freshRoom();
  const ada = await stage.enter(room, { name: 'Ada' }, server.origin);
  await visit(`chat/${room}`);
  await reads('#room-note', '2 people here');
  await ada.say('hello from Chromium');
  await reads('#messages .message:not(.own) .text', 'hello from Chromium');
  await firefox.type('#message', 'hello from Firefox');
  await ada.reads('#typing', /is writing$/);
  await firefox.click('#send');
  await reads('#messages .message.own .text', 'hello from Firefox');
  await ada.hears('hello from Firefox');
  await firefox.waitFor(() => document.querySelectorAll('#outbox li').length === 0);
  await leave(ada);
});

test('an image goes from Firefox to Chromium, and the other way', async () => {
  const room = freshRoom();
  const ada = await stage.enter(room, { name: 'Ada' }, server.origin);
  await visit(`chat/${room}`);
  const folder = mkdtempSync(join(tmpdir(), 'wirehub-page-'));
  const file = join(folder, 'photo.png');
  writeFileSync(file, await ada.page.screenshot());
  await firefox.type('#file', file);
  await firefox.waitFor(() => document.querySelector('.tray-image img') !== null);
  await firefox.click('#send');
  await ada.page.waitForSelector('.message:not(.own) .shot.loaded img[alt="photo.png"]');

  await ada.page.setInputFiles('#file', file);
  await ada.page.waitForSelector('.tray-image img');
  await ada.page.click('#send');
  await firefox.waitFor(() => document.querySelector('.message:not(.own) .shot.loaded img')?.naturalWidth === 1280);
  await firefox.click('.message:not(.own) .shot.loaded');
  await reads('.lightbox[open] figcaption', 'photo.png');
  rmSync(folder, { recursive: true });
  await leave(ada);
});

test('an alarm reaches Firefox, lies over every panel, and is acknowledged there', async () => {
  const ada = await stage.visit('alarms', { name: 'Ada' }, server.origin);
  await ada.connected();
  await visit('charts');
  await ada.page.fill('#alarm-text', 'The cellar is under water');
  await ada.page.click('#alarm-send');
  await reads('#alarm-stack .alarm-card', 'The cellar is under water');
  writeFileSync(`${ARTEFACTS}page-firefox.png`, await firefox.screenshot());
  await firefox.click('#alarm-stack .alarm-card button');
  await firefox.waitFor(() => !document.getElementById('alarm-stack').checkVisibility());
  await ada.reads('.alarm-progress', '1 of 2 recipients acknowledged, 2 received');

  await visit('alarms');
  await firefox.type('#alarm-text', 'Back from Firefox');
  await firefox.click('#alarm-send');
  await ada.reads('#alarm-stack', /Back from Firefox/);
  await leave(ada);
});

async function visit(place) {
  // Another address with the same path would only change the place of the page that is open.
  await firefox.open('about:blank');
  await firefox.open(`${server.origin}/#${place}`);
  await firefox.waitFor(() => document.querySelector('#connection[data-link="connected"]') !== null);
}

/** Waits until an element that matches has this text in it. */
async function reads(selector, text) {
  const found = await firefox.waitFor(([wanted, part]) => [...document.querySelectorAll(wanted)].some(({ textContent }) => textContent.includes(part)), [selector, text]);
  assert.ok(found);
}
