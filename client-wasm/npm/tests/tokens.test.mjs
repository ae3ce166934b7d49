// Tokens: the questions to the provider, their times, and the effect of the answers.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, number, REQUEST, sockets, text } from './fake-websocket.mjs';
import { accept, Client, CloseCodes, Codes, connect, connected, event, nextSocket, rejectsWith, url, wasm } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

test('a provider is asked before the first connect, and again when the server demands a token', async () => {
  const signals = [];
  const token = async ({ signal }) => `token-${signals.push(signal)}`;
  const client = new Client(url, { wasm, token });
  const connecting = client.connect();
  const socket = await nextSocket();
  assert.match((await accept(socket)).text, /token-1/);
  await connecting;
  socket.receive(frame(0, ANSWER.refreshDue, []));
  const [refresh] = await socket.commands();
  assert.deepEqual([refresh.request, refresh.text.slice(-7)], [REQUEST.refresh, 'token-2']);
  assert.deepEqual(signals.map((signal) => signal.aborted), [false, false]);
  await client.close();
});

test('null is signing out: the client closes, and connect rejects with the reason', async () => {
  const client = new Client(url, { wasm, token: () => null });
  await rejectsWith(client.connect(), Codes.UNAUTHORIZED);
  assert.equal(client.state, 'closed');
  assert.deepEqual(sockets, [], 'without a token nothing is opened');
});

test('a provider that throws is asked again, and its error is the cause', async () => {
  const failures = [new Error('the network is down'), { not: 'a token' }];
  const token = () => {
    const failure = failures.shift();
    if (failure instanceof Error) throw failure;
    return failure ?? 'token';
  };
  const client = new Client(url, { wasm, token });
  const errors = [];
  client.addEventListener('error', ({ error }) => errors.push(error));
  const connecting = client.connect();
  const socket = await nextSocket();
  await accept(socket);
  await connecting;
  assert.deepEqual(errors.map(({ code, temporary }) => [code, temporary]), Array(2).fill([Codes.TOKEN_UNAVAILABLE, true]));
  assert.equal(errors[0].cause.message, 'the network is down');
  assert.ok(errors[1].cause instanceof TypeError);
  await client.close();
});

test('a question that needs no answer any more is aborted, and a late answer dropped', async () => {
  const questions = [];
  const token = ({ signal }) => new Promise((resolve) => questions.push({ signal, resolve }));
  const client = new Client(url, { wasm, token });
  const connecting = client.connect();
  while (questions.length === 0) await new Promise((resolve) => setImmediate(resolve));
  client.setToken('from elsewhere');
  assert.ok(questions[0].signal.aborted);
  questions[0].resolve('too late');
  const socket = await nextSocket();
  assert.match((await accept(socket)).text, /from elsewhere/);
  await connecting;
  socket.receive(frame(0, ANSWER.refreshDue, []));
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(!questions[1].signal.aborted);
  await client.close();
  assert.ok(questions[1].signal.aborted);
});

test('a provider that hangs is given up and asked anew', async (context) => {
  // The client's timers are controlled by the test.
  const timers = [];
  context.mock.method(globalThis, 'setTimeout', (handler, delay) => void timers.push({ handler, delay }));
  const questions = [];
  const token = ({ signal }) => new Promise((resolve) => questions.push({ signal, resolve }));
  const client = new Client(url, { wasm, token });
  const failed = event(client, 'error');
  const connecting = client.connect();
  while (questions.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const began = performance.now();
  const pass = (milliseconds) => {
    context.mock.method(performance, 'now', () => began + milliseconds);
    timers.pop().handler();
  };
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(timers.map(({ delay }) => Math.ceil(delay / 1000)), [10]);
  pass(9_000);
  assert.ok(!questions[0].signal.aborted);
  pass(11_000);
  assert.equal((await failed).error.code, Codes.TOKEN_UNAVAILABLE);
  assert.ok(questions[0].signal.aborted);
  questions[0].resolve('too late');
  pass(40_000);
  assert.equal(questions.length, 2);
  questions[1].resolve('in time');
  const socket = await nextSocket();
  assert.match((await accept(socket)).text, /in time/);
  await connecting;
  await client.close();
});

test('a token set before the module is there is the one to connect with, and a new one goes out at once', async () => {
  const client = new Client(url, { wasm, token: 'first' });
  client.setToken('second');
  const connecting = client.connect();
  const socket = await nextSocket();
  const { text: said } = await accept(socket);
  assert.match(said, /second/);
  assert.doesNotMatch(said, /first/);
  await connecting;
  client.setToken('third');
  const [refresh] = await socket.commands();
  assert.deepEqual([refresh.request, refresh.text.slice(-5)], [REQUEST.refresh, 'third']);
  await client.close();
  assert.throws(() => client.setToken('fourth'), (error) => error.code === Codes.CLOSED);
});

test("a refused connect rejects with the server's own error", async () => {
  const client = new Client(url, { wasm, token: 'wrong' });
  const [changed, connecting] = [event(client, 'statechange'), client.connect()];
  const refused = assert.rejects(connecting, (error) => error.code === Codes.UNAUTHORIZED && error.message === 'who are you?');
  assert.equal((await changed).state, 'connecting');
  const socket = await nextSocket();
  socket.accept();
  const [{ id }] = await socket.commands();
  socket.receive(frame(id, ANSWER.error, [...number(1, Codes.UNAUTHORIZED), ...text(2, 'who are you?')]));
  await refused;
  assert.equal(client.state, 'closed');
  await rejectsWith(client.connect(), Codes.UNAUTHORIZED);
});

test('a fixed token that is refused is not asked for', async () => {
  const { client, socket } = await connected({ token: 'fixed' });
  socket.receive(frame(0, ANSWER.refreshDue, []));
  assert.deepEqual(await socket.commands(), []);
  await client.close();
});

/** The server refuses `connect`, because the token has expired. */
async function refuse(socket) {
  socket.accept();
  const [{ id }] = await socket.commands();
  socket.receive(frame(id, ANSWER.error, [...number(1, Codes.TOKEN_EXPIRED), ...number(3, 1)]));
}

test('a client with an expired fixed token waits for a new one and keeps its state', async () => {
  const client = new Client(url, { wasm, token: 'old' });
  const subscription = client.subscribe('c');
  const [changes, errors] = [[], []];
  client.addEventListener('statechange', ({ state, code, retryIn }) => changes.push([state, code, retryIn]));
  client.addEventListener('error', ({ error }) => errors.push(error.code));
  const connecting = client.connect();
  await refuse(await nextSocket());
  await rejectsWith(connecting, Codes.TOKEN_EXPIRED);
  assert.deepEqual([changes.at(-1), errors], [['connecting', CloseCodes.TOKEN_EXPIRED, undefined], [Codes.TOKEN_EXPIRED]]);
  assert.ok(client.needsToken);
  assert.equal(subscription.state, 'subscribing');
  await rejectsWith(client.connect(), Codes.TOKEN_EXPIRED);
  client.setToken('new');
  assert.ok(!client.needsToken);
  const again = client.connect();
  const { text: said } = await accept(await nextSocket());
  assert.match(said, /new/);
  await again;
  await client.close();
});

test('a token set on demand completes connect, and without it connect rejects', async () => {
  const client = new Client(url, { wasm, token: 'old' });
  client.addEventListener('statechange', ({ code }) => {
    if (code === CloseCodes.TOKEN_EXPIRED) client.setToken('new');
  });
  const connecting = client.connect();
  await refuse(await nextSocket());
  await accept(await nextSocket());
  await connecting;
  await client.close();

  const alone = connect(url, { wasm, token: 'old' });
  await refuse(await nextSocket());
  await rejectsWith(alone, Codes.TOKEN_EXPIRED);
});

test('a token set while connect is on its way is the one that holds', async () => {
  const client = new Client(url, { wasm, token: 'first' });
  const connecting = client.connect();
  const socket = await nextSocket();
  socket.accept();
  assert.match((await socket.commands())[0].text, /first/);
  client.setToken('second');
  const next = await nextSocket();
  assert.ok(socket.closedWith);
  assert.match((await accept(next)).text, /second/);
  await connecting;
  assert.deepEqual(await next.commands(), []);
  await client.close();
});

test("another user's token has the client come back as that user", async () => {
  const { client, socket } = await connected({ token: 'ann' });
  client.setToken('bob');
  const [{ id }] = await socket.commands();
  socket.receive(frame(id, ANSWER.error, number(1, Codes.UNAUTHORIZED)));
  const next = await nextSocket();
  assert.equal(client.state, 'reconnecting');
  assert.match((await accept(next, text(2, 'bob'))).text, /bob/);
  assert.deepEqual([client.state, client.user], ['connected', 'bob']);
  await client.close();
});
