// Listeners of publications are called without the platform's dispatchEvent, by its rules.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PublicationEvent } from '../dist/index.js';
import { confirm, connected } from './support.mjs';
import { ANSWER, FakeWebSocket, frame, number, text } from './fake-websocket.mjs';

globalThis.WebSocket = FakeWebSocket;

async function subscribed() {
  const { client, socket } = await connected();
  const subscription = client.subscribe('c');
  await confirm(socket, 'c');
  await subscription.ready;
  let count = 0;
  const receive = () => socket.receive(frame(0, ANSWER.publication, [...text(1, 'c'), ...text(3, String(++count)), ...number(4, 1_700_000_000_000)]));
  const listen = async (...listeners) => {
    for (const listener of listeners) subscription.addEventListener('publication', ...[listener].flat());
    await Promise.resolve();
  };
  return { client, subscription, receive, listen };
}

test('a listener is called as by the platform', async () => {
  const { client, subscription, receive, listen } = await subscribed();
  const heard = [];
  const twice = function (event) {
    heard.push(['twice', this === subscription, event.target === subscription, event.currentTarget === subscription]);
  };
  const object = { handleEvent: (event) => heard.push(['object', event instanceof PublicationEvent && event.type === 'publication']) };
  let last;
  await listen(twice, twice, null, object, [() => heard.push(['first']), true], [(event) => ((last = event), heard.push(['once'])), { once: true }]);
  receive();
  assert.deepEqual(heard, [['first'], ['twice', true, true, true], ['object', true], ['once']]);
  assert.equal(last.target, subscription);
  heard.length = 0;
  subscription.removeEventListener('publication', twice);
  receive();
  assert.deepEqual(heard, [['first'], ['object', true]]);
  await client.close();
});

test('listeners come and go while they are called', async () => {
  const { client, subscription, receive, listen } = await subscribed();
  const heard = [];
  const late = () => heard.push('late');
  const removed = () => heard.push('removed');
  const abort = new AbortController();
  await listen(() => {
    heard.push('first');
    subscription.removeEventListener('publication', removed);
    subscription.addEventListener('publication', late);
    abort.abort();
  }, removed, [() => heard.push('aborted'), { signal: abort.signal }]);
  receive();
  assert.deepEqual(heard, ['first']);
  receive();
  assert.deepEqual(heard, ['first', 'first', 'late']);
  await client.close();
});

test('a listener that stops the event is the last one, and one that throws is not', async () => {
  const { client, receive, listen } = await subscribed();
  const heard = [];
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  await listen(
    () => {
      throw new Error('mine');
    },
    (event) => {
      heard.push('stops');
      event.stopImmediatePropagation();
    },
    () => heard.push('never'),
  );
  receive();
  assert.deepEqual(heard, ['stops']);
  assert.deepEqual(reported, ['mine']);
  await client.close();
});
