// A page that stays open for weeks: its memory is the same after 1,000 connections and 1,000,000 messages.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { ANSWER, frame, REQUEST, text } from '../protocol.mjs';
import { launch } from './browser.mjs';
import { encodeMessage, Hub, welcome } from './hub.mjs';

const RECONNECTS = 1_000;
const MESSAGES = 1_000_000;
/**
 * The fraction of each that comes before the first measurement. Memory that is allocated only once, and compiled code,
 * is there then.
 */
const WARM_UP = 0.1;
/** The tolerance in bytes: the browser's own bookkeeping varies. */
const HEAP_TOLERANCE = 200_000;

const BATCH = 64;
const batch = encodeMessage(
  new Uint8Array(Array.from({ length: BATCH }, (_, index) => frame(0, ANSWER.publication, [...text(1, 'news'), ...text(3, `{"index":${index}}`)])).flat()),
);

let browser;
let hub;
let newest;

before(async () => {
  hub = await Hub.start((connection) => {
    newest = connection;
    welcome(connection, ({ id, request }) => {
      if (request === REQUEST.publish) connection.send(frame(id, ANSWER.published, []));
    });
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await hub?.stop();
});

test('connections and messages leave nothing behind', async () => {
  const page = await browser.newPage();
  const devtools = await page.context().newCDPSession(page);
  await page.exposeFunction('push', push);
  await page.exposeFunction('breakConnection', () => newest.end());
  await page.goto(hub.origin);
  await page.evaluate(begin);
  await page.evaluate(reconnect, RECONNECTS * WARM_UP);
  await page.evaluate(receive, MESSAGES * WARM_UP);
  const first = await look(page, devtools);
  await page.evaluate(reconnect, RECONNECTS * (1 - WARM_UP));
  await page.evaluate(receive, MESSAGES * (1 - WARM_UP));
  const last = await look(page, devtools);
  const growth = last.heap - first.heap;
  console.log(`# module ${last.module / 1024} KiB, heap ${Math.round(last.heap / 1024)} KiB (${growth} bytes more), ${last.listeners} listeners, ${last.timers} timers`);
  assert.equal(last.module, first.module, "the module's memory has grown");
  assert.equal(last.listeners, first.listeners);
  assert.equal(last.timers, first.timers);
  assert.ok(growth < HEAP_TOLERANCE, `the heap has grown by ${growth} bytes`);
  assert.equal(hub.connections, 1);
  await page.close();
});

async function push(messages) {
  for (let sent = 0; sent < messages; sent += BATCH) {
    newest.write(batch);
    await newest.drained();
  }
}

/** The memory of the page after garbage collection. */
async function look(page, devtools) {
  // Objects released by a finaliser are collected in the second round.
  for (let round = 0; round < 2; round++) await devtools.send('HeapProfiler.collectGarbage');
  const { usedSize: heap } = await devtools.send('Runtime.getHeapUsage');
  const { jsEventListeners: listeners } = await devtools.send('Memory.getDOMCounters');
  const { module, timers } = await page.evaluate(() => ({ module: globalThis.module.byteLength, timers: globalThis.timers.size }));
  return { heap, listeners, module, timers };
}

// --- In the page ---

async function begin() {
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (...given) => {
    const instance = await instantiate.apply(WebAssembly, given);
    const { memory } = instance.exports;
    globalThis.module = { get byteLength() { return memory.buffer.byteLength; } };
    return instance;
  };
  const timers = (globalThis.timers = new Set());
  const { setTimeout, clearTimeout } = globalThis;
  globalThis.setTimeout = (handler, delay) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      handler();
    }, delay);
    timers.add(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => {
    timers.delete(timer);
    clearTimeout(timer);
  };
  const { connect } = await import('/dist/index.js');
  globalThis.client = await connect('/ws');
  globalThis.news = globalThis.client.subscribe('news');
  await globalThis.news.ready;
  globalThis.heard = 0;
  globalThis.news.addEventListener('publication', () => globalThis.heard++);
}

/** Loses the connection `times` times, each time with commands in flight. */
async function reconnect(times) {
  const { client, news } = globalThis;
  const { signal } = (globalThis.abort ??= new AbortController());
  for (let round = 0; round < times; round++) {
    const lost = new Promise((resolve) => client.addEventListener('statechange', resolve, { once: true }));
    const other = client.subscribe(`other-${round}`, { signal });
    await other.ready;
    await client.publish('news', { round }, { signal });
    await globalThis.breakConnection();
    await lost;
    const again = new Promise((resolve) => news.addEventListener('subscribed', resolve, { once: true }));
    // The network is back: the next attempt is made at once.
    globalThis.dispatchEvent(new Event('online'));
    await again;
    await other.unsubscribe();
  }
}

async function receive(messages) {
  const { news } = globalThis;
  const wanted = globalThis.heard + messages;
  const all = new Promise((resolve) => {
    const listener = () => {
      if (globalThis.heard < wanted) return;
      news.removeEventListener('publication', listener);
      resolve();
    };
    news.addEventListener('publication', listener);
  });
  await globalThis.push(messages);
  await all;
}
