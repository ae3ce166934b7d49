// Pushes without a request: members, subscriptions that the server makes, alarms.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, nested, number, REQUEST, sockets, text } from './fake-websocket.mjs';
import { accept, Codes, confirm, connected, event, nextSocket, rejectsWith } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const subscribed = (channel) => frame(0, ANSWER.subscribed, text(1, channel));
const publication = (channel, data) => frame(0, ANSWER.publication, [...text(1, channel), ...text(3, JSON.stringify(data))]);
const movement = (what, user, info) =>
  frame(0, what, [...text(1, 'c'), ...nested(2, [...text(1, `session of ${user}`), ...text(2, user), ...text(3, info)])]);
const alarm = (id, ...more) => frame(0, ANSWER.alarm, [...text(1, id), ...text(2, 'alarm:fire'), ...more.flat()]);
const fire = (id) => alarm(id, text(4, '{"floor":3}'), number(5, 7), number(6, 60_000));

test('a subscription reports members that enter and leave', async () => {
  const { client, socket } = await connected();
  const both = [client.subscribe('c'), client.subscribe('c')];
  await confirm(socket, 'c');
  const told = [];
  for (const type of ['join', 'leave']) for (const each of both) each.addEventListener(type, (event) => told.push([event.type, event.member]));
  socket.receive(movement(ANSWER.join, 'ann', '{"name":"Ann"}'));
  socket.receive(movement(ANSWER.leave, 'bob', ''));
  const ann = ['join', { session: 'session of ann', user: 'ann', info: { name: 'Ann' } }];
  const bob = ['leave', { session: 'session of bob', user: 'bob' }];
  assert.deepEqual(told, [ann, ann, bob, bob]);
  await client.close();
});

test('the list in the README has each user once and each of those without a name', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const example = [...readme.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code]) => code).find((code) => code.includes("addEventListener('change'"));
  const { client, socket } = await connected();
  let shown = [];
  new Function('client', 'show', example)(client, (list) => (shown = list));
  const names = () => [...shown].sort();
  const moved = (what, session, user = '') => frame(0, what, [...text(1, 'chat:lobby'), ...nested(2, [...text(1, session), ...(user && text(2, user))])]);
  const answer = async (...members) => {
    const [{ id, request }] = await socket.commands();
    assert.equal(request, REQUEST.presence);
    socket.receive(frame(id, ANSWER.presence, members.flatMap(([session, user]) => nested(1, [...text(1, session), ...(user ? text(2, user) : [])]))));
    await new Promise((resolve) => setTimeout(resolve));
  };
  await confirm(socket, 'chat:lobby');
  await answer(['s1', 'ann'], ['s2', 'ann'], ['s3'], ['s4']);
  assert.deepEqual(names(), ['ann', 's3', 's4']);
  socket.receive([...moved(ANSWER.join, 's5'), ...moved(ANSWER.join, 's6', 'bob'), ...moved(ANSWER.leave, 's3')]);
  assert.deepEqual(names(), ['ann', 'bob', 's4', 's5']);
  socket.receive(moved(ANSWER.leave, ''));
  await answer(['s7']);
  assert.deepEqual(names(), ['s7'], 'more came and went than was told');
  await client.close();
});

test('presence has the info of each member, and their numbers', async () => {
  const { client, socket } = await connected();
  const asking = client.presence('c');
  const [{ id, body }] = await socket.commands();
  assert.deepEqual([...body], text(1, 'c'));
  const member = [...text(1, 's1'), ...text(2, 'ann'), ...text(3, '[1]')];
  socket.receive(frame(id, ANSWER.presence, [...nested(1, member), ...number(2, 1), ...number(3, 1)]));
  assert.deepEqual(await asking, [{ session: 's1', user: 'ann', info: [1] }]);

  const counting = client.presenceCounts('c');
  const [counts] = await socket.commands();
  assert.deepEqual([...counts.body], [...text(1, 'c'), ...number(2, 1)]);
  socket.receive(frame(counts.id, ANSWER.presence, [...number(2, 30_000), ...number(3, 20_000)]));
  assert.deepEqual(await counting, { sessions: 30_000, users: 20_000 });
  await client.close();
});

test('an accepted offer delivers every message from the first one on', async () => {
  const { client, socket } = await connected();
  let subscription;
  client.addEventListener('offer', (offer) => {
    assert.equal(offer.channel, 'news');
    subscription = offer.accept();
    assert.equal(offer.accept(), subscription);
  });
  socket.receive([...subscribed('news'), ...publication('news', 1)]);
  await subscription.ready;
  assert.deepEqual(await socket.commands(), [], 'the server made it, and need not be asked');
  const messages = subscription[Symbol.asyncIterator]();
  assert.equal((await messages.next()).value.data, 1);

  // Another subscription of the application's own shares it.
  const own = client.subscribe('news');
  await own.ready;
  socket.receive(publication('news', 2));
  assert.equal((await messages.next()).value.data, 2);
  assert.equal((await own[Symbol.asyncIterator]().next()).value.data, 2);
  await own.unsubscribe();
  await subscription.unsubscribe();
  const [{ request }] = await socket.commands();
  assert.equal(request, REQUEST.unsubscribe);
  await client.close();
});

test('an offer without an acceptor is declined', async () => {
  const { client, socket } = await connected();
  const offered = event(client, 'offer');
  socket.receive(subscribed('news'));
  const [{ request, body }] = await socket.commands();
  assert.deepEqual([request, [...body]], [REQUEST.unsubscribe, text(1, 'news')]);
  const offer = await offered;
  assert.throws(() => offer.accept(), { code: Codes.CANCELLED });
  await client.close();
});

test('a subscription ended by the server reports the reason', async () => {
  const { client, socket } = await connected();
  let subscription;
  client.addEventListener('offer', (offer) => (subscription = offer.accept()));
  socket.receive(subscribed('news'));
  const ended = event(subscription, 'unsubscribed');
  const error = nested(3, [...number(1, Codes.PERMISSION_DENIED), ...text(2, 'you were thrown out')]);
  socket.receive(frame(0, ANSWER.unsubscribed, [...text(1, 'news'), ...error]));
  const { code, reason } = await ended;
  assert.deepEqual([code, reason], [Codes.PERMISSION_DENIED, 'you were thrown out']);
  await client.close();
});

test('an alarm is reported once, confirmed each time, and acknowledged on request', async () => {
  const { client, socket } = await connected();
  const told = [];
  for (const type of ['alarm', 'withdraw']) client.addEventListener(type, (event) => told.push(event));
  socket.receive(fire('a'));
  socket.receive(fire('a'));
  const receipts = await socket.commands();
  assert.deepEqual(
    receipts.map(({ id, request, body }) => [id, request, [...body]]),
    Array(2).fill([0, REQUEST.acknowledge, [...text(1, 'a'), ...number(2, 1)]]),
  );
  assert.equal(told.length, 1);
  const [{ id, channel, data, time, ttl }] = told;
  assert.deepEqual([id, channel, data, time.getTime(), ttl], ['a', 'alarm:fire', { floor: 3 }, 7, 60_000]);

  const acknowledging = told[0].acknowledge();
  const [command] = await socket.commands();
  assert.deepEqual([command.request, [...command.body]], [REQUEST.acknowledge, text(1, 'a')]);
  socket.receive(frame(command.id, ANSWER.acknowledged, []));
  assert.equal(await acknowledging, undefined);

  socket.receive(alarm('a', number(7, 1)));
  assert.equal(told.length, 1, 'who has acknowledged it need not hear of its end');
  socket.receive(fire('b'), alarm('b', number(7, 1)));
  await socket.commands();
  assert.deepEqual([told[2].type, told[2].id, told[2].data, told[2].ttl], ['withdraw', 'b', undefined, 0]);
  const late = client.acknowledge('a');
  const [last] = await socket.commands();
  socket.receive(frame(last.id, ANSWER.error, number(1, Codes.UNKNOWN_ALARM)));
  await rejectsWith(late, Codes.UNKNOWN_ALARM);
  await client.close();
});

test('an acknowledgement that is made offline goes out however late, and an alarm that the server does not know is over', async (context) => {
  const { client, socket } = await connected({ timeout: 5 });
  const over = [];
  client.addEventListener('withdraw', ({ id, channel }) => over.push([id, channel]));
  const told = [];
  client.addEventListener('alarm', (alarm) => told.push(alarm));
  socket.receive(fire('a'), fire('b'));
  await socket.commands();
  // The delay before the next attempt is controlled by the test.
  const timers = [];
  context.mock.method(globalThis, 'setTimeout', (handler) => void timers.push(handler));
  socket.end();
  const [first, second] = told.map((alarm) => alarm.acknowledge());
  const began = performance.now();
  context.mock.method(performance, 'now', () => began + 30_000);
  while (sockets.length === 0) {
    await new Promise((resolve) => setImmediate(resolve));
    timers.pop()?.();
  }
  const again = await nextSocket();
  await accept(again);
  const commands = await again.commands();
  assert.deepEqual(commands.map(({ request, body }) => [request, [...body]]), ['a', 'b'].map((id) => [REQUEST.acknowledge, text(1, id)]));
  again.receive(frame(commands[0].id, ANSWER.acknowledged, []));
  again.receive(frame(commands[1].id, ANSWER.error, number(1, Codes.UNKNOWN_ALARM)));
  assert.equal(await first, undefined);
  await rejectsWith(second, Codes.UNKNOWN_ALARM);
  assert.deepEqual(over, [['b', 'alarm:fire']]);
  await client.close();
});

test('an alarm whose data can not be read is an error of the client', async () => {
  const { client, socket } = await connected();
  const failed = event(client, 'error');
  socket.receive(alarm('a', text(4, '{')));
  assert.equal((await failed).error.code, Codes.PAYLOAD_MISMATCH);
  await client.close();
});
