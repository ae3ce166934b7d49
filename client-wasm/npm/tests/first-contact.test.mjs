// The first minutes with the package: what fails says so, and a switch shows what happens.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, REQUEST, text } from './fake-websocket.mjs';
import { Client, Codes, confirm, connect, connected, event, nextSocket, preload, rejectsWith, Socket, url, wasm, WirehubError } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

// Not within the time of an attempt: a busy machine takes long to compile it.
before(() => preload(wasm));

test('connect gives up after the time of an attempt, with the error of the last one as the cause', async () => {
  const connecting = connect('ws://server.test/wrong?token=secret', { wasm, connectTimeout: 300 });
  const socket = await nextSocket();
  socket.end(1006);
  const error = await connecting.catch((error) => error);
  assert.ok(error instanceof WirehubError);
  assert.equal(error.code, Codes.TIMEOUT);
  assert.equal(error.cause.code, Codes.CONNECT_FAILED);
  assert.match(error.message, /ws:\/\/server\.test\/wrong:.*origin/);
  assert.doesNotMatch(error.message, /secret/);
});

test('a client reports each attempt that fails, and tries on', async () => {
  const client = new Client(url, { wasm, minDelay: 1, maxDelay: 2 });
  const errors = [];
  client.addEventListener('error', ({ error }) => errors.push(error));
  const connecting = client.connect();
  (await nextSocket()).end(1006);
  (await nextSocket()).end(1006);
  const socket = await nextSocket();
  socket.accept();
  const [{ id }] = await socket.commands();
  socket.receive(frame(id, ANSWER.connected, text(1, 'session-1')));
  await connecting;
  assert.deepEqual(errors.map(({ code, temporary }) => [code, temporary]), [[Codes.CONNECT_FAILED, true], [Codes.CONNECT_FAILED, true]]);
  // A connection that is lost is no failed attempt.
  socket.end(1006);
  assert.equal(client.state, 'reconnecting');
  assert.equal(errors.length, 2);
  await client.close();
});

test('a wait for the connection has a time limit of its own, and the client goes on', async () => {
  const client = new Client(url, { wasm });
  await rejectsWith(client.connect({ timeout: 20 }), Codes.TIMEOUT);
  assert.equal(client.state, 'connecting');
  await nextSocket();
  await client.close();
});

test('a log shows requests, states and rows, and without it nothing is written', async () => {
  const lines = [];
  const { client, socket } = await connected({ log: (what, ...details) => lines.push([what, ...details]) });
  const subscription = client.subscribe('chat:a');
  await confirm(socket, 'chat:a');
  await subscription.ready;
  assert.deepEqual(
    ['> Connect', '< State', '> Subscribe', '< Subscribed'].filter((what) => !lines.some((line) => line[0] === what)),
    [],
  );
  await client.close();
});

test('the round trip is measured, and a drain awaits the answers before it closes', async () => {
  const { client, socket } = await connected();
  const measuring = client.rtt();
  const [asked] = await socket.commands();
  assert.equal(asked.request, REQUEST.cancel);
  socket.receive(frame(asked.id, ANSWER.cancelled, []));
  assert.ok((await measuring) >= 0);

  const publishing = client.publish('chat:a', 1);
  const draining = client.drain();
  await rejectsWith(client.publish('chat:a', 2), Codes.CLOSED);
  const [publish] = await socket.commands();
  assert.equal(client.state, 'connected');
  socket.receive(frame(publish.id, ANSWER.published, []));
  await publishing;
  await draining;
  assert.equal(client.state, 'closed');
});

test('a drain that takes too long closes all the same, and says so', async () => {
  const { client } = await connected();
  const publishing = client.publish('chat:a', 1);
  await rejectsWith(client.drain({ timeout: 20 }), Codes.TIMEOUT);
  await assert.rejects(publishing);
  assert.equal(client.state, 'closed');
});

test('a close by the application ends subscriptions without an error', async () => {
  const { client, socket } = await connected();
  const subscription = client.subscribe('chat:a');
  await confirm(socket, 'chat:a');
  await subscription.ready;
  const ended = event(subscription, 'unsubscribed');
  const waiting = subscription[Symbol.asyncIterator]().next();
  await client.close();
  assert.equal((await ended).code, undefined);
  assert.equal((await waiting).done, true);
});

test('an offer that is accepted after an own subscription to its channel leaves both alive', async () => {
  const { client, socket } = await connected();
  let own;
  let accepted;
  client.addEventListener('offer', (offer) => {
    own = client.subscribe(offer.channel);
    accepted = offer.accept();
  });
  socket.receive(frame(0, ANSWER.subscribed, [...text(1, 'chat:a')]));
  const heard = [];
  for (const subscription of [own, accepted]) subscription.addEventListener('publication', ({ publication }) => heard.push(publication.data));
  await Promise.all([own.ready, accepted.ready]);
  socket.receive(frame(0, ANSWER.publication, [...text(1, 'chat:a'), ...text(3, '1')]));
  assert.deepEqual(heard, [1, 1]);
  assert.deepEqual(await socket.commands(), []);
  await client.close();
});

test('a socket is made like the browser\'s: its handlers hear everything, and its messages are typed', async () => {
  const socket = new Socket('ws://server.test/lines', { wasm, json: true, protocols: ['lines'] });
  const heard = [];
  socket.onopen = () => heard.push('open');
  socket.onmessage = ({ data }) => heard.push(data);
  socket.onerror = () => heard.push('error');
  socket.onclose = ({ code }) => heard.push(code);
  const sent = socket.send({ text: 'before it is open' });
  const wire = await nextSocket();
  assert.equal(socket.readyState, 0);
  wire.accept('lines');
  await sent;
  assert.deepEqual(wire.texts, ['{"text":"before it is open"}']);
  assert.equal(socket.protocol, 'lines');
  wire.onmessage(new MessageEvent('message', { data: '{"text":"hi"}' }));
  wire.onmessage(new MessageEvent('message', { data: 'no JSON' }));
  wire.end(4000, 'bye');
  assert.deepEqual(heard, ['open', { text: 'hi' }, 'error', 4000]);
  await rejectsWith(socket.send({ text: 'too late' }), Codes.CLOSED);
});

test('a send waits while the browser has too much that it has not sent', async () => {
  const socket = new Socket('ws://server.test/lines', { wasm });
  const wire = await nextSocket();
  wire.accept();
  await event(socket, 'open');
  wire.bufferedAmount = 1024 * 1024;
  let isSent = false;
  const sending = socket.send('x').then(() => (isSent = true));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isSent, false);
  wire.bufferedAmount = 0;
  await sending;
  wire.end(1000);
});

test('a socket whose reader is too slow is closed, and the reader learns why', async () => {
  const socket = new Socket('ws://server.test/lines', { wasm, queue: { bytes: 1000 } });
  const wire = await nextSocket();
  wire.accept();
  for (let count = 0; count < 10; count += 1) wire.onmessage(new MessageEvent('message', { data: 'x'.repeat(300) }));
  assert.equal(wire.closedWith.code, 3008);
  const loop = socket[Symbol.asyncIterator]();
  assert.equal((await loop.next()).done, false);
  await assert.rejects(
    async () => {
      for (let count = 0; count < 10; count += 1) await loop.next();
    },
    (error) => error.code === Codes.OVERFLOW,
  );
});
