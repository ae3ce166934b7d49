// The back/forward cache of a real browser: the page is put aside with its client in it, and comes back as it was.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { CloseCodes } from '../../dist/index.js';
import { launch } from './browser.mjs';
import { Hub, welcome } from './hub.mjs';

let browser;
let hub;

before(async () => {
  hub = await Hub.start((connection) => welcome(connection));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await hub?.stop();
});

test('a page with a client is kept, and its client connects anew when the user goes back', async () => {
  const page = await browser.newPage();
  await page.goto(`${hub.origin}/first`);
  const before = await page.evaluate(async () => {
    const { connect } = await import('/dist/index.js');
    const client = await connect('/ws');
    globalThis.client = client;
    globalThis.told = [];
    client.addEventListener('statechange', ({ state, code }) => globalThis.told.push([state, code]));
    globalThis.addEventListener('pageshow', ({ persisted }) => globalThis.told.push(['pageshow', persisted]));
    globalThis.subscription = client.subscribe('c');
    await globalThis.subscription.ready;
    return client.session;
  });
  assert.equal(hub.connections, 1);
  await page.goto(`${hub.origin}/second`);
  // A page that is kept does not load again.
  await page.goBack({ waitUntil: 'commit' });
  const { told, session } = await page.evaluate(async () => {
    const { client, subscription, told } = globalThis;
    await client.connect();
    if (subscription.state !== 'subscribed') await new Promise((resolve) => subscription.addEventListener('subscribed', resolve));
    return { told, session: client.session };
  });
  assert.deepEqual(told, [['reconnecting', CloseCodes.GOING_AWAY], ['pageshow', true], ['connected', undefined]]);
  assert.notEqual(session, before);
  await page.close();
});
