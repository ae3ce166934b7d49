// A client that was closed, and begins again.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, sockets, text } from './fake-websocket.mjs';
import { accept, Client, CloseCodes, Codes, confirm, connected, event, nextSocket, rejectsWith, url, wasm } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const unhandled = [];
process.on('unhandledRejection', (error) => unhandled.push(error));

/** The server has closed the client for good. */
const BANNED = 3506;

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a closed client begins again with its options, its listeners and its last token', async () => {
  const { client, socket } = await connected({ name: 'board', token: 'first' });
  client.setToken('second');
  const changes = [];
  client.addEventListener('statechange', ({ previous, state }) => changes.push(`${previous} ${state}`));
  socket.end(BANNED, 'enough');
  assert.equal(client.state, 'closed');
  const reopening = client.reopen();
  assert.equal(client.session, undefined);
  const again = await nextSocket();
  const connect = await accept(again);
  await reopening;
  assert.match(connect.text, /second/);
  assert.match(connect.text, /board/);
  assert.deepEqual(changes, ['connected closed', 'closed disconnected', 'disconnected connecting', 'connecting connected']);
  assert.equal(client.session, 'session-1');
  await client.close();
});

test('a provider of tokens is asked again', async () => {
  let asked = 0;
  const { client, socket } = await connected({ token: () => `token-${(asked += 1)}` });
  socket.end(BANNED);
  void client.reopen();
  assert.match((await accept(await nextSocket())).text, /token-2/);
  await client.close();
});

test('subscriptions and commands of before stay ended, and new ones work', async () => {
  const { client, socket } = await connected();
  const news = client.subscribe('news');
  await confirm(socket, 'news');
  await news.ready;
  const waiting = rejectsWith(client.call('slow', 1), Codes.CLOSED);
  await turn();
  socket.end(BANNED);
  await waiting;
  // In the event, so that it is part of connecting.
  let later;
  client.addEventListener('statechange', ({ previous }) => {
    if (previous === 'closed') later = client.subscribe('later');
  });
  const reopening = client.reopen();
  const again = await nextSocket();
  const connect = await accept(again);
  await reopening;
  assert.match(connect.text, /later/);
  assert.doesNotMatch(connect.text, /news/);
  assert.deepEqual([news.state, later.state], ['unsubscribed', 'subscribing']);
  await news.unsubscribe();
  const next = client.subscribe('news');
  await confirm(again, 'news');
  await next.ready;
  const heard = [];
  for (const [name, subscription] of [['before', news], ['now', next]]) subscription.addEventListener('publication', ({ publication }) => heard.push(`${name} ${publication.data}`));
  await turn();
  again.receive(frame(0, ANSWER.publication, [...text(1, 'news'), ...text(3, '1')]));
  assert.deepEqual(heard, ['now 1']);
  const called = client.call('quick', 1);
  const { id } = (await again.commands()).at(-1);
  again.receive(frame(id, ANSWER.called, text(2, '1')));
  await called;
  await client.close();
});

test('a client that is not closed refuses it with words', async () => {
  const client = new Client(url, { wasm });
  const refused = (state) => assert.rejects(client.reopen(), ({ code, message }) => code === Codes.BAD_REQUEST && message.includes(`the client is ${state}, not closed`));
  await refused('disconnected');
  const connecting = client.connect();
  await refused('connecting');
  const socket = await nextSocket();
  await accept(socket);
  await connecting;
  await refused('connected');
  socket.end();
  await refused('reconnecting');
  await client.close();
});

test('callers at the same time share one connection, and after that there is nothing to reopen', async () => {
  const { client, socket } = await connected();
  socket.end(BANNED);
  const all = Promise.all([client.reopen(), client.reopen(), client.connect()]);
  const again = await nextSocket();
  const late = client.reopen();
  await accept(again);
  await all;
  await late;
  assert.deepEqual(sockets, []);
  await rejectsWith(client.reopen(), Codes.BAD_REQUEST);
  await client.close();
});

test('a client that is closed while it begins again can begin once more', async () => {
  const { client, socket } = await connected();
  socket.end(BANNED);
  for (const close of ['server', 'application']) {
    const reopening = client.reopen();
    const again = await nextSocket();
    again.accept();
    if (close === 'server') {
      again.end(BANNED);
      await rejectsWith(reopening, Codes.CLOSED);
    } else {
      // Dropped, as by an effect of React.
      void client.close();
      void client.reopen();
      void client.close();
      await rejectsWith(reopening, Codes.CLOSED);
    }
    assert.equal(client.state, 'closed');
  }
  const reopening = client.reopen();
  await accept(await nextSocket());
  await reopening;
  await client.close();
  await turn();
  assert.deepEqual(unhandled, []);
});

test('it can be reopened in the event of its close, and its callers are not mixed up', async () => {
  const { client, socket } = await connected();
  const command = rejectsWith(client.call('slow', 1), Codes.CLOSED);
  await turn();
  let reopening;
  client.addEventListener('statechange', ({ state }) => {
    if (state === 'closed') reopening ??= client.reopen();
  });
  socket.end(BANNED);
  await command;
  assert.equal(client.state, 'connecting');
  await accept(await nextSocket());
  await reopening;
  assert.equal(client.state, 'connected');
  await client.close();
});

test('an aborted call ends the waiting alone', async () => {
  const { client, socket } = await connected();
  socket.end(BANNED);
  const abort = new AbortController();
  const aborted = rejectsWith(client.reopen({ signal: abort.signal }), Codes.ABORTED);
  const again = await nextSocket();
  abort.abort();
  await aborted;
  const connectedAgain = event(client, 'statechange');
  await accept(again);
  assert.equal((await connectedAgain).state, 'connected');
  await client.close();
});

test('connect on a closed client names the way back', async () => {
  const { client, socket } = await connected();
  socket.end(BANNED, 'spam');
  await assert.rejects(client.connect(), ({ code, message, cause }) => code === Codes.CLOSED && /spam .*: reopen\(\) begins again$/.test(message) && cause.code === Codes.CLOSED);
  await client.reopen({ signal: AbortSignal.abort() }).catch(() => undefined);
  assert.equal(client.state, 'disconnected');
  const reopening = client.reopen();
  await accept(await nextSocket());
  await reopening;
  await client.close(CloseCodes.NORMAL);
});
