// The package in Node.js, with the WebSocket of the package ws, against the real server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';

import { connect, Socket } from '../../dist/node.js';
import { checkSteps } from './progress.mjs';
import { Link, start, token } from './server.mjs';

const CONFIG = `
[namespace.room]
presence = "everybody"
join_leave = "100ms"
`;

let server;
let link;

before(async () => {
  server = await start({ config: CONFIG });
  link = await Link.start(server);
});

after(async () => {
  await link?.stop();
  await server?.stop();
});

async function client(t, user, options = {}) {
  const made = await connect(link.url, { webSocket: WebSocket, token: token(60, user), ...options });
  t.after(() => made.close());
  return made;
}

/** The data of the next messages. */
async function take(subscription, count) {
  const all = [];
  for await (const { data } of subscription) {
    all.push(data);
    if (all.length === count) break;
  }
  return all;
}

test('earlier and new messages are one stream, for the first subscription and for a further one', async (t) => {
  const [ann, ben] = [await client(t, 'ann'), await client(t, 'ben')];
  for (let count = 1; count <= 10; count += 1) await ann.publish('chat:stream', count);
  const first = ben.subscribe('chat:stream', { history: 3 });
  const taking = take(first, 5);
  await first.ready;
  await ann.publish('chat:stream', 11);
  await ann.publish('chat:stream', 12);
  assert.deepEqual(await taking, [8, 9, 10, 11, 12]);

  const further = ben.subscribe('chat:stream', { history: 2 })[Symbol.asyncIterator]();
  const next = async () => (await further.next()).value.data;
  assert.deepEqual([await next(), await next()], [11, 12]);
  await ann.publish('chat:stream', 13);
  assert.equal(await next(), 13);
});

test('a publish returns its position, and a subscription continues behind one', async (t) => {
  const ann = await client(t, 'ann');
  const position = await ann.publish('chat:since', 'one');
  assert.equal(position.offset, 1);
  await ann.publish('chat:since', 'two');
  const subscription = ann.subscribe('chat:since', { since: position });
  for await (const { data, offset, epoch } of subscription) {
    assert.deepEqual([data, offset, epoch], ['two', 2, position.epoch]);
    break;
  }
  const lost = ann.subscribe('chat:other-epoch', { since: { offset: 7, epoch: 'another' } });
  await new Promise((resolve) => lost.addEventListener('gap', resolve));
});

test('a message that is published twice with a key of the application is there once', async (t) => {
  const ann = await client(t, 'ann');
  const [first, second] = [await ann.publish('chat:key', 1, { key: 'order-7' }), await ann.publish('chat:key', 1, { key: 'order-7' })];
  assert.deepEqual(second, first);
  assert.equal((await ann.history('chat:key')).publications.length, 1);
});

test('a list of members keeps itself over joins, leaves and a broken connection', async (t) => {
  const ann = await client(t, 'ann');
  const { members } = ann.subscribe('room:1');
  const users = () => members.list.map(({ user }) => user).sort();
  const shows = (...expected) =>
    new Promise((resolve) => {
      const look = () => {
        if (JSON.stringify(users()) === JSON.stringify(expected)) resolve();
      };
      members.addEventListener('change', look);
      look();
    });
  await shows('ann');
  const ben = await client(t, 'ben');
  await ben.subscribe('room:1').ready;
  await shows('ann', 'ben');
  link.cut();
  await shows('ann', 'ben');
  await ben.close();
  await shows('ann');
  assert.equal(members.size, 1);
});

test('a large message shows its progress, up to the whole before the answer', async (t) => {
  const ann = await client(t, 'ann');
  const [size, steps] = [900_000, []];
  const position = await ann.publish('chat:large', new Uint8Array(size), { onProgress: (sent, total) => steps.push([sent, total]) });
  assert.equal(position.offset, 1);
  checkSteps(steps, size);
});

test('a large message whose connection breaks in the middle starts over, and is there once', async (t) => {
  const ann = await client(t, 'ann');
  const [size, steps] = [900_000, []];
  let cuts = 0;
  const onProgress = (sent) => {
    steps.push(sent);
    if (sent > size / 2 && cuts === 0) {
      cuts += 1;
      link.cut();
    }
  };
  const position = await ann.publish('chat:cut', new Uint8Array(size), { onProgress });
  assert.equal(position.offset, 1);
  assert.equal(cuts, 1);
  const falls = steps.filter((sent, at) => at > 0 && sent <= steps[at - 1]).length;
  assert.equal(falls, 1, `${steps}`);
  assert.equal((await ann.history('chat:cut')).publications.length, 1);
});

test('a client that an operator has disconnected for good begins again', async (t) => {
  const ann = await client(t, 'ann');
  const before = ann.subscribe('chat:again', { history: 10 });
  await before.ready;
  await ann.publish('chat:again', 'before');
  const closed = new Promise((resolve) => ann.addEventListener('statechange', resolve, { once: true }));
  await server.api('POST', '/users/ann/disconnect', { code: 4500, reason: 'a break' });
  const { state, code, reason } = await closed;
  assert.deepEqual([state, code, reason], ['closed', 4500, 'a break']);
  await assert.rejects(ann.connect(), /a break.*reopen\(\) begins again/);
  await ann.reopen();
  assert.deepEqual([ann.state, ann.user, before.state], ['connected', 'ann', 'unsubscribed']);
  const taking = take(ann.subscribe('chat:again', { history: 10 }), 2);
  await ann.publish('chat:again', 'after');
  assert.deepEqual(await taking, ['before', 'after']);
});

test('a round trip is measured, and a drain sends what is queued', async (t) => {
  const ann = await client(t, 'ann');
  const time = await ann.rtt();
  assert.ok(time > 0 && time < 10_000, `${time}`);
  const publishing = [1, 2, 3].map((count) => ann.publish('chat:drain', count));
  await ann.drain();
  assert.deepEqual((await Promise.all(publishing)).map(({ offset }) => offset), [1, 2, 3]);
  assert.equal(ann.state, 'closed');
});

test('a socket is the WebSocket of the package, with its events', async () => {
  const socket = await Socket.open(link.url.replace('/ws', '/echo'), { webSocket: WebSocket });
  const opened = new Promise((resolve) => (socket.onopen = resolve));
  await opened;
  await socket.send('hi');
  for await (const data of socket) {
    assert.equal(data, 'hi');
    break;
  }
  const closed = new Promise((resolve) => (socket.onclose = resolve));
  socket.close(4000, 'enough');
  assert.equal((await closed).code, 4000);
});
