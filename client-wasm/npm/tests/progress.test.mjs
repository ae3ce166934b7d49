// The progress of messages that travel in parts.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, REQUEST, text, whole } from './fake-websocket.mjs';
import { accept, Codes, connected, nextSocket, rejectsWith } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const LARGE = 200_000;
const PART = 16 * 1024;

const reported = [];
globalThis.reportError = (error) => reported.push(error.message);

/** Publishes a large message; `steps` are the sent bytes so far, `next` waits for more of them. */
function upload(client, options = {}) {
  const steps = [];
  let notify;
  const onProgress = (sent, total) => {
    assert.ok(total > LARGE && total < LARGE + 100, `${total}`);
    steps.push(sent);
    upload.total = total;
    notify?.();
  };
  const published = client.publish('news', new Uint8Array(LARGE), { onProgress, ...options });
  const next = () => new Promise((resolve) => (notify = resolve));
  return { steps, next, published, total: () => upload.total };
}

/** The server has all parts, and answers. */
function answer(socket, commands) {
  const { id } = whole(commands).find(({ request }) => request === REQUEST.publish);
  socket.receive(frame(id, ANSWER.published, []));
}

/** From now on the browser keeps what it is given, until the test empties its buffer. */
function buffering(socket) {
  const send = socket.send;
  socket.send = function (data) {
    this.bufferedAmount += data.byteLength;
    send.call(this, data);
  };
}

const increases = (steps) => steps.every((step, at) => at === 0 || step > steps[at - 1]);

test('each part is reported once, up to the whole, and nothing after the answer', async () => {
  const { client, socket } = await connected();
  const { steps, published, total } = upload(client);
  const commands = await socket.commands();
  const parts = commands.filter(({ request }) => request === REQUEST.part).length;
  assert.equal(parts, Math.ceil(LARGE / (PART - 32)));
  assert.equal(steps.length, parts);
  assert.ok(increases(steps), `${steps}`);
  assert.equal(steps.at(-1), total());
  answer(socket, commands);
  await published;
  assert.equal(steps.length, parts);
  await client.close();
});

test('bytes in the buffer of the browser are not sent', async () => {
  const { client, socket } = await connected();
  buffering(socket);
  const { steps, next, published, total } = upload(client);
  let commands = await socket.commands();
  assert.equal(commands.length, 5, 'more than the buffer takes');
  assert.deepEqual(steps, []);
  while (steps.at(-1) !== total()) {
    const step = next();
    const given = socket.bufferedAmount;
    socket.bufferedAmount = 0;
    await step;
    assert.ok(steps.at(-1) - (steps.at(-2) ?? 0) <= given, `${steps} after ${given}`);
    commands = [...commands, ...(await socket.commands())];
  }
  assert.ok(increases(steps), `${steps}`);
  answer(socket, commands);
  await published;
  await client.close();
});

test('the whole is reported before the answer, although the browser has not noticed', async () => {
  const { client, socket } = await connected();
  const { steps, published, total } = upload(client);
  // Full from the last part on.
  const send = socket.send;
  let passed = 0;
  socket.send = function (data) {
    passed += data.byteLength;
    if (passed > LARGE - PART) this.bufferedAmount = 50_000;
    send.call(this, data);
  };
  const commands = await socket.commands();
  assert.ok(steps.at(-1) < total());
  let seen;
  void published.then(() => (seen = steps.at(-1)));
  answer(socket, commands);
  await published;
  assert.equal(seen, total());
  await client.close();
});

test('after a lost connection the progress starts over', async () => {
  const { client, socket } = await connected({ minDelay: 1, maxDelay: 1 });
  buffering(socket);
  const { steps, next, published, total } = upload(client);
  await socket.commands();
  const step = next();
  socket.bufferedAmount = 0;
  await step;
  const [before] = steps.splice(0);
  assert.ok(before > 4 * (PART - 100), `${before}`);
  socket.end();
  const again = await nextSocket();
  await accept(again);
  const commands = await again.commands();
  assert.ok(steps[0] < before && increases(steps), `${before}, ${steps}`);
  assert.equal(steps.at(-1), total());
  answer(again, commands);
  await published;
  await client.close();
});

test('a message that is given up in the middle has no further progress', async () => {
  const { client, socket } = await connected();
  const abort = new AbortController();
  const { published, steps } = upload(client, {
    signal: abort.signal,
    onProgress: (sent) => {
      steps.push(sent);
      abort.abort();
    },
  });
  const refused = rejectsWith(published, Codes.ABORTED);
  await socket.commands();
  await refused;
  assert.equal(steps.length, 1);
  await client.close();
});

test('an exception is reported like that of a listener, and the message goes out', async () => {
  const { client, socket } = await connected();
  const onProgress = () => {
    throw new Error('mine');
  };
  const { published } = upload(client, { onProgress });
  const commands = await socket.commands();
  answer(socket, commands);
  await published;
  assert.deepEqual(new Set(reported), new Set(['mine']));
  assert.ok(reported.length > 1);
  await client.close();
});

test('a call has progress too; small messages and volatile ones have none', async () => {
  const { client, socket } = await connected();
  const steps = [];
  const onProgress = (sent) => steps.push(sent);
  const sent = client.publish('news', new Uint8Array(60_000), { onProgress });
  answer(socket, await socket.commands());
  await sent;
  await client.publish('news', new Uint8Array(LARGE), { volatile: true, onProgress });
  await socket.commands();
  assert.deepEqual(steps, []);
  const called = client.call('store', new Uint8Array(LARGE), { onProgress });
  const { id } = whole(await socket.commands()).find(({ request }) => request === REQUEST.call);
  assert.ok(steps.length > 1);
  socket.receive(frame(id, ANSWER.called, text(2, '1')));
  await called;
  await client.close();
});
