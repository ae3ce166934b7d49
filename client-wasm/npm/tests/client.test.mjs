// The facade over the real module, in Node, with a WebSocket whose other end is played by the test.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, number, REQUEST, sockets, text } from './fake-websocket.mjs';

const before = new Set(Object.getOwnPropertyNames(globalThis));
const { Client, CloseCodes, Codes, connect, connected, event, nextSocket, rejectsWith, url, wasm, WirehubError } = await import('./support.mjs');
const after = Object.getOwnPropertyNames(globalThis).filter((name) => !before.has(name));

globalThis.WebSocket = FakeWebSocket;

test('importing has no side effects', () => {
  assert.deepEqual(after, []);
});

test('an address that is none is refused at once', () => {
  for (const bad of ['ftp://server.test', 'nonsense', '']) {
    assert.throws(() => new Client(bad), (error) => error instanceof WirehubError && /ws:/.test(error.message), bad);
  }
  assert.equal(new Client('https://server.test/ws#x').url, 'wss://server.test/ws');
});

test('a module that can not be loaded rejects, and the next attempt may succeed', async () => {
  const client = new Client(url, { wasm: new Uint8Array([1, 2, 3]) });
  await rejectsWith(client.connect(), Codes.DEAD);
  assert.equal(client.state, 'disconnected');
  await connected().then(({ client }) => client.close());
});

test('connecting reports its states, offers the subprotocol, and sets the session', async () => {
  const client = new Client(url, { wasm, token: 'secret', name: 'a page' });
  const states = [];
  client.addEventListener('statechange', (event) => states.push([event.state, event.previous, client.session]));
  const connecting = client.connect();
  const socket = await nextSocket();
  assert.deepEqual(socket.offered, ['wirehub.v1.protobuf']);
  assert.equal(socket.url, url, 'no token in the address');
  socket.accept();
  const [command] = await socket.commands();
  assert.equal(command.request, REQUEST.connect);
  assert.match(command.text, /secret.*a page/s);
  socket.receive(frame(command.id, ANSWER.connected, text(1, 'session-1')));
  await connecting;
  assert.deepEqual(states, [['connecting', 'disconnected', undefined], ['connected', 'connecting', 'session-1']]);
  await client.close(4001, 'bye');
  assert.deepEqual(socket.closedWith, { code: 4001, reason: 'bye' });
  assert.equal(client.state, 'closed');
  await rejectsWith(client.publish('c', 1), Codes.CLOSED);
});

test('a signal ends the waiting', async () => {
  const abort = new AbortController();
  const connecting = connect(url, { wasm, signal: abort.signal });
  await nextSocket();
  abort.abort(new Error('enough'));
  await assert.rejects(connecting, (error) => error.code === Codes.ABORTED && error.cause.message === 'enough');
});

test('messages come to listeners and to iterators, also those from before the loop', async () => {
  const { client, socket } = await connected();
  const subscription = client.subscribe('chat:a');
  const [{ id, request }] = await socket.commands();
  assert.equal(request, REQUEST.subscribe);
  socket.receive(frame(id, ANSWER.subscribed, [...text(1, 'chat:a'), 0x10, id]));
  await subscription.ready;
  assert.equal(subscription.state, 'subscribed');
  const publication = (value) => frame(0, ANSWER.publication, [...text(1, 'chat:a'), ...text(3, JSON.stringify({ value })), 0x20, 1]);
  socket.receive(publication(1), publication(2));
  const heard = [];
  for await (const { data, time } of subscription) {
    heard.push(data.value);
    assert.equal(time.getTime(), 1);
    if (heard.length === 2) break;
  }
  assert.deepEqual(heard, [1, 2]);
  await client.close();
});

test('bytes go and come as bytes', async () => {
  const { client, socket } = await connected();
  const calling = client.call('bytes', new Uint8Array([0, 255, 7]));
  const [{ id, body }] = await socket.commands();
  // Name, content 1, data; behind them is the call's key.
  const sent = [...text(1, 'bytes'), 0x10, 1, (3 << 3) | 2, 3, 0, 255, 7];
  assert.deepEqual([...body.subarray(0, sent.length)], sent);
  socket.receive(frame(id, ANSWER.called, [0x08, 1, (2 << 3) | 2, 2, 9, 8]));
  assert.deepEqual(await calling, new Uint8Array([9, 8]));
  await client.close();
});

test("the server's errors have its words, our own have those of the table", async () => {
  const { client, socket } = await connected();
  const publishing = client.publish('c', { text: 'hi' });
  const [{ id }] = await socket.commands();
  socket.receive(frame(id, ANSWER.error, [0x08, 103, ...text(2, 'not you')]));
  await assert.rejects(publishing, (error) => error.code === Codes.PERMISSION_DENIED && error.message === 'not you' && !error.temporary);

  const lost = client.publish('c', 1);
  await socket.commands();
  socket.end(1006);
  await assert.rejects(lost, (error) => error.code === Codes.CONNECTION_LOST && error.temporary && error.message.length > 20);
  await client.close();
});

test('without a message from the server there is the name of the code', async () => {
  const { client, socket } = await connected();
  for (const [code, words] of [
    [Codes.NOT_AVAILABLE, 'not available'],
    [Codes.UNSUPPORTED, 'the server does not know the command: use a version that both ends know'],
    [1234, 'application code 1234'],
  ]) {
    const reading = client.history('c');
    const [{ id }] = await socket.commands();
    socket.receive(frame(id, ANSWER.error, number(1, code)));
    await assert.rejects(reading, (error) => error.code === code && error.message === words);
  }
  const changed = event(client, 'statechange');
  socket.end(CloseCodes.TOO_LARGE);
  assert.equal((await changed).reason, 'too large');
});

test('a call whose signal aborts is cancelled on the server', async () => {
  const { client, socket } = await connected();
  const abort = new AbortController();
  const calling = client.call('slow', {}, { signal: abort.signal });
  const [{ id }] = await socket.commands();
  abort.abort();
  await rejectsWith(calling, Codes.ABORTED);
  const [cancel] = await socket.commands();
  assert.deepEqual([cancel.request, ...cancel.body], [REQUEST.cancel, 0x08, id]);
  await client.close();
});

test('a value without a JSON form is refused before it is sent', async () => {
  const { client, socket } = await connected();
  const circular = {};
  circular.self = circular;
  for (const bad of [undefined, () => 1, circular, 1n]) await rejectsWith(client.publish('c', bad), Codes.PAYLOAD_MISMATCH);
  assert.deepEqual(await socket.commands(), []);
  await client.close();
});

test('an invalid channel name is reported by the subscription', async () => {
  const { client } = await connected();
  await rejectsWith(client.subscribe('white space').ready, Codes.BAD_REQUEST);
  await client.close();
});

test('garbage from the server is an error event, and another attempt', async () => {
  const { client, socket } = await connected();
  const error = new Promise((resolve) => client.addEventListener('error', (event) => resolve(event.error)));
  socket.receive(Array(20).fill(0xff));
  assert.equal((await error).code, Codes.BAD_FRAME);
  assert.equal(client.state, 'reconnecting');
  assert.equal(socket.closedWith.code, CloseCodes.BAD_FRAME);
  await client.close();
});

test('a final code ends the client for good, with the reason', async () => {
  const { client, socket } = await connected();
  const subscription = client.subscribe('c');
  const ended = new Promise((resolve) => subscription.addEventListener('unsubscribed', resolve));
  const changed = new Promise((resolve) => client.addEventListener('statechange', resolve));
  socket.end(3506, 'spam');
  const { state, code, reason } = await changed;
  assert.deepEqual([state, code, reason], ['closed', 3506, 'spam']);
  await ended;
  await assert.rejects(client.connect(), (error) => error.code === Codes.CLOSED && /spam/.test(error.message));
  assert.deepEqual(sockets, [], 'no further attempt');
});

test('the answer to a ping is an empty message', async () => {
  const { client, socket } = await connected();
  await socket.commands();
  socket.receive([]);
  assert.deepEqual(socket.sent.map((message) => message.length), [0]);
  await client.close();
});
