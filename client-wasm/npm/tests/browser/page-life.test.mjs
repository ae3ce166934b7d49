// Clients in pages and workers, with the events of real browsers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { CloseCodes } from '../../dist/index.js';
import { ANSWER, frame, REQUEST } from '../protocol.mjs';
import { launch } from './browser.mjs';
import { Hub, welcome } from './hub.mjs';

let browser;
let hub;
let newest;
/** The requests that `welcome` does not answer. */
const asked = [];

before(async () => {
  hub = await Hub.start((connection) => {
    newest = connection;
    welcome(connection, ({ id, request }) => {
      asked.push(request);
      connection.send(frame(id, ANSWER.cancelled, []));
    });
  });
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
  // A page from the cache does not load again.
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

test('when the browser goes offline and online again, a connection that works is kept', async () => {
  const page = await browser.newPage();
  await page.goto(hub.origin);
  await page.evaluate(async () => {
    const { connect } = await import('/dist/index.js');
    globalThis.client = await connect('/ws');
    globalThis.changes = 0;
    globalThis.client.addEventListener('statechange', () => globalThis.changes++);
    globalThis.network = [];
    for (const type of ['offline', 'online']) globalThis.addEventListener(type, () => globalThis.network.push(type));
  });
  await page.context().setOffline(true);
  await page.waitForFunction(() => globalThis.network.includes('offline'));
  await page.context().setOffline(false);
  await page.waitForFunction(() => globalThis.network.includes('online'));
  while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(asked[0], REQUEST.cancel, 'the server was asked whether it is there');
  assert.equal(await page.evaluate(() => globalThis.changes), 0);
  await page.close();
});

test('a client in a worker connects at once when the network is back', async () => {
  const page = await browser.newPage();
  await page.goto(hub.origin);
  await page.exposeFunction('breakConnection', () => newest.end());
  const told = await page.evaluate(async (origin) => {
    const code = `
      import { connect } from '${origin}/dist/index.js';
      const client = await connect('${origin}/ws');
      client.addEventListener('statechange', ({ state }) => {
        postMessage(state);
        if (state === 'reconnecting') dispatchEvent(new Event('online'));
      });
      postMessage('ready');
    `;
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), { type: 'module' });
    const told = [];
    await new Promise((resolve, reject) => {
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.onmessage = ({ data }) => {
        told.push(data);
        if (data === 'ready') void globalThis.breakConnection();
        if (data === 'connected') resolve();
      };
    });
    worker.terminate();
    return told;
  }, hub.origin);
  assert.deepEqual(told, ['ready', 'reconnecting', 'connected']);
  await page.close();
});
