// Chat, alarms and images between Chromium and each other browser. The environment variables are described in
// support/stage.mjs and in tests/support/webdriver.mjs.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Firefox, WebKit } from '../../tests/support/webdriver.mjs';
import { DemoServer } from './support/demo-server.mjs';
import { ARTEFACTS } from './support/people.mjs';
import { freshRoom, leave, openStage } from './support/stage.mjs';

// A system without WebKit runs none of its tests.
const BROWSERS = { Firefox, ...(process.env['WEBKIT_DRIVER'] !== undefined && { WebKit }) };

const stage = openStage();

for (const [name, Browser] of Object.entries(BROWSERS)) {
  describe(name, () => {
    let browser;
    let server;

    before(async () => {
      // Alarms reach everybody, so these tests have a server of their own.
      server = await DemoServer.start();
      browser = await Browser.start();
    });

    after(async () => {
      await browser?.stop();
      await server?.stop();
    });

    test(`${name} and Chromium chat, with the people in the room`, async () => {
      const room = freshRoom();
      const ada = await stage.enter(room, { name: 'Ada' }, server.origin);
      await visit(`chat/${room}`);
      await reads('#room-note', '2 people here');
      await ada.say('hello from Chromium');
      await reads('#messages .message:not(.own) .text', 'hello from Chromium');
      await browser.type('#message', `hello from ${name}`);
      await ada.reads('#typing', /is writing$/);
      await browser.click('#send');
      await reads('#messages .message.own .text', `hello from ${name}`);
      await ada.hears(`hello from ${name}`);
      await browser.waitFor(() => document.querySelectorAll('#outbox li').length === 0);
      await leave(ada);
    });

    test(`an image goes from ${name} to Chromium, and the other way`, async () => {
      const room = freshRoom();
      const ada = await stage.enter(room, { name: 'Ada' }, server.origin);
      await visit(`chat/${room}`);
      const folder = mkdtempSync(join(tmpdir(), 'wirehub-page-'));
      const file = join(folder, 'photo.png');
      writeFileSync(file, await ada.page.screenshot());
      await browser.type('#file', file);
      await browser.waitFor(() => document.querySelector('.tray-image img') !== null);
      await browser.click('#send');
      await ada.page.waitForSelector('.message:not(.own) .shot.loaded img[alt="photo.png"]');

      await ada.page.setInputFiles('#file', file);
      await ada.page.waitForSelector('.tray-image img');
      await ada.page.click('#send');
      await browser.waitFor(() => document.querySelector('.message:not(.own) .shot.loaded img')?.naturalWidth === 1280);
      await browser.click('.message:not(.own) .shot.loaded');
      await reads('.lightbox[open] figcaption', 'photo.png');
      rmSync(folder, { recursive: true });
      await leave(ada);
    });

    test(`an alarm reaches ${name}, lies over every panel, and is acknowledged there`, async () => {
      const ada = await stage.visit('alarms', { name: 'Ada' }, server.origin);
      await ada.connected();
      await visit('charts');
      await ada.page.fill('#alarm-text', 'The cellar is under water');
      await ada.page.click('#alarm-send');
      await reads('#alarm-stack .alarm-card', 'The cellar is under water');
      await browser.waitFor(() => document.querySelector('#alarm-stack').offsetHeight < innerHeight / 4);
      writeFileSync(`${ARTEFACTS}page-${name.toLowerCase()}.png`, await browser.screenshot());
      await browser.click('#alarm-stack .alarm-card button');
      await browser.waitFor(() => !document.getElementById('alarm-stack').checkVisibility());
      await ada.reads('.alarm-progress', '1 of 2 recipients acknowledged, 2 received');

      await visit('alarms');
      await browser.type('#alarm-text', `Back from ${name}`);
      await browser.click('#alarm-send');
      await ada.reads('#alarm-stack', new RegExp(`Back from ${name}`));
      await leave(ada);
    });

    async function visit(place) {
      // Another address with the same path would only change the place of the page that is open.
      await browser.open('about:blank');
      await browser.open(`${server.origin}/#${place}`);
      await browser.waitFor(() => document.querySelector('#connection[data-link="connected"]') !== null);
    }

    /** Waits until an element that matches has this text in it. */
    async function reads(selector, text) {
      const found = await browser.waitFor(([wanted, part]) => [...document.querySelectorAll(wanted)].some(({ textContent }) => textContent.includes(part)), [selector, text]);
      assert.ok(found);
    }
  });
}
