// Commands and frames that are larger than a WebSocket message may be, and messages that are missing.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, nested, number, parts, REQUEST, text, whole } from './fake-websocket.mjs';
import { Codes, confirm, connected } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const LARGE = 200_000;

const turn = () => new Promise((resolve) => setImmediate(resolve));

function publication(channel, json, offset) {
  return frame(0, ANSWER.publication, [...text(1, channel), ...text(3, json), ...number(6, offset)]);
}

test('a large message from the server comes in parts, with others between them', async () => {
  const { client, socket } = await connected();
  const news = client.subscribe('news');
  await confirm(socket, 'news');
  await news.ready;
  const got = [];
  news.addEventListener('publication', ({ publication: { data } }) => got.push(data));
  // From the next turn on the listener is called at once.
  await turn();
  const [first, ...rest] = parts(publication('news', JSON.stringify('x'.repeat(LARGE)), 1), 64_000);
  socket.receive(first, publication('news', '"small"', 0));
  for (const part of rest) socket.receive(part);
  assert.deepEqual(got.map((data) => data.length), ['small'.length, LARGE]);
  await client.close();
});

test('a large answer does not time out while its parts come', async () => {
  const { client, socket } = await connected();
  const answer = client.call('slow', 1, { timeout: 1000 });
  const [{ id }] = await socket.commands();
  const payload = nested(2, new TextEncoder().encode(JSON.stringify('x'.repeat(LARGE))));
  for (const part of parts(frame(id, ANSWER.called, payload), 30_000)) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    socket.receive(part);
  }
  assert.equal((await answer).length, LARGE);
  await client.close();
});

test('a large message goes out in parts at the speed of the browser, with urgent ones between', async () => {
  const { client, socket } = await connected();
  const send = socket.send;
  socket.send = function (data) {
    assert.ok(data.byteLength <= 16 * 1024, `${data.byteLength}`);
    this.bufferedAmount += data.byteLength;
    send.call(this, data);
  };
  const published = client.publish('news', new Uint8Array(LARGE));
  await turn();
  assert.ok(socket.bufferedAmount <= 80 * 1024, `${socket.bufferedAmount} bytes given to the browser`);
  const subscription = client.subscribe('other');
  const commands = [];
  while (commands.at(-1)?.request !== REQUEST.cancel) {
    socket.bufferedAmount = 0;
    await new Promise((resolve) => setTimeout(resolve, 25));
    commands.push(...(await socket.commands()));
  }
  const kinds = commands.map(({ request }) => request);
  const between = kinds.indexOf(REQUEST.subscribe);
  assert.ok(between > 0 && between < kinds.lastIndexOf(REQUEST.part), `${kinds}`);
  const [publish] = whole(commands).filter(({ request }) => request === REQUEST.publish);
  socket.receive(frame(publish.id, ANSWER.published, []));
  assert.equal(await published, undefined);
  await subscription.unsubscribe();
  await client.close();
});

test('a message over the limit of the server fails at once and for good', async () => {
  const { client } = await connected({}, 1_000_000);
  const refused = client.publish('news', new Uint8Array(1_000_001));
  await assert.rejects(refused, ({ code, temporary }) => code === Codes.BAD_REQUEST && temporary === false);
  await client.close();
});

test('missing messages are reported once, with the reason, and nothing is requested', async () => {
  const { client, socket } = await connected();
  const news = client.subscribe('news');
  const subscribing = (await socket.commands()).pop();
  const position = (offset, epoch) => nested(3, [...number(1, offset), ...text(2, epoch)]);
  const subscribed = (offset) => [...text(1, 'news'), ...number(2, subscribing.id), ...position(offset, 'e')];
  socket.receive(frame(subscribing.id, ANSWER.subscribed, subscribed(3)));
  await news.ready;
  const told = [];
  for (const type of ['publication', 'gap', 'subscribed']) {
    news.addEventListener(type, (event) => told.push(event.reason ?? event.publication?.offset ?? type));
  }
  await turn();
  socket.receive(publication('news', '1', 4), publication('news', '1', 9), publication('news', '1', 10));
  socket.receive(frame(0, ANSWER.subscribed, subscribed(20)), publication('news', '1', 21));
  assert.deepEqual(told, [4, 'dropped', 9, 10, 'lost', 21]);
  assert.deepEqual(await socket.commands(), []);
  await client.close();
});

test('a page of history shows whether there is more', async () => {
  const { client, socket } = await connected();
  for (const more of [true, false]) {
    const page = client.history('news');
    const [{ id }] = await socket.commands();
    socket.receive(frame(id, ANSWER.history, [...nested(1, number(1, 7)), ...(more ? number(3, 1) : [])]));
    assert.equal((await page).more, more);
  }
  await client.close();
});
