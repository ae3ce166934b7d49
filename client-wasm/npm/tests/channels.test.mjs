// Subscriptions that share a channel, their gaps, and the other requests about channels.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, nested, number, REQUEST, text } from './fake-websocket.mjs';
import { accept, Client, Codes, confirm, connected, event, nextSocket, rejectsWith, url, wasm } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const publication = (channel, data, ...more) => [...text(1, channel), ...text(3, JSON.stringify(data)), ...more.flat()];

test('subscriptions to one channel share one on the server, and each has its own queue', async () => {
  const { client, socket } = await connected();
  const [first, second] = [client.subscribe('c'), client.subscribe('c')];
  assert.equal(await confirm(socket, 'c'), REQUEST.subscribe);
  await Promise.all([first.ready, second.ready]);
  const third = client.subscribe('c');
  await third.ready;
  assert.equal(third.state, 'subscribed');
  assert.deepEqual(await socket.commands(), [], 'the server is asked once');

  socket.receive(frame(0, ANSWER.publication, publication('c', 1)));
  await second.unsubscribe();
  socket.receive(frame(0, ANSWER.publication, publication('c', 2)));
  await first.unsubscribe();
  assert.deepEqual(await socket.commands(), [], 'somebody is still there');
  await third.unsubscribe();
  const [leave] = await socket.commands();
  assert.equal(leave.request, REQUEST.unsubscribe);
  assert.deepEqual(await Promise.all([first, second, third].map(heard)), [[1, 2], [1], [1, 2]]);

  client.subscribe('c');
  assert.equal(await confirm(socket, 'c'), REQUEST.subscribe);
  await client.close();
});

test('every subscription to a refused channel is notified', async () => {
  const { client, socket } = await connected();
  const both = [client.subscribe('c'), client.subscribe('c')];
  const [{ id }] = await socket.commands();
  socket.receive(frame(id, ANSWER.error, number(1, Codes.PERMISSION_DENIED)));
  for (const { ready } of both) await rejectsWith(ready, Codes.PERMISSION_DENIED);
  assert.deepEqual(both.map(({ state }) => state), ['unsubscribed', 'unsubscribed']);
  await client.close();
});

test('after a reconnect a subscription hears whether messages are missing', async () => {
  const { client, socket } = await connected();
  const subscription = client.subscribe('c');
  const told = [];
  subscription.addEventListener('subscribed', ({ recovered }) => told.push(['subscribed', recovered]));
  subscription.addEventListener('gap', ({ reason }) => told.push(['gap', reason]));
  subscription.addEventListener('publication', ({ publication: { data, offset } }) => told.push([data, offset]));
  const [{ id }] = await socket.commands();
  const position = (offset) => nested(3, [...number(1, offset), ...text(2, 'e')]);
  socket.receive(frame(id, ANSWER.subscribed, [...text(1, 'c'), ...number(2, id), ...position(1)]));
  socket.end(1006);
  assert.equal(subscription.state, 'subscribing');

  // The number of a restored subscription is in `connect`, behind the channel's name.
  const restore = async (result) => {
    const next = await nextSocket();
    next.accept();
    const [connect] = await next.commands();
    const at = connect.text.indexOf('\n\u0001c\u0010');
    const restored = connect.text.charCodeAt(at + 4);
    const subscribed = [...text(1, 'c'), ...number(2, restored), ...result];
    const outcome = [...text(1, 'c'), ...number(2, restored), ...nested(3, subscribed)];
    next.receive(frame(connect.id, ANSWER.connected, [...text(1, 'session-2'), ...nested(5, outcome)]));
    return next;
  };
  const second = await restore([...position(1), ...number(4, 1)]);
  second.receive(frame(0, ANSWER.publication, publication('c', 'missed', number(6, 2))));
  second.end(1006);
  const third = await restore([...position(9)]);
  third.end(1006);
  await restore([]);
  assert.deepEqual(told, [
    ['subscribed', false],
    ['subscribed', true],
    ['missed', 2],
    ['subscribed', false],
    ['gap', 'lost'],
    ['subscribed', false],
    ['gap', 'no-history'],
  ]);
  await client.close();
});

test('a broadcast is an event of the client', async () => {
  const { client, socket } = await connected();
  const heard = event(client, 'broadcast');
  socket.receive(frame(0, ANSWER.publication, publication('@all', { text: 'maintenance' }, number(4, 7))));
  const { publication: broadcast } = await heard;
  assert.deepEqual([broadcast.channel, broadcast.data, broadcast.time.getTime()], ['@all', { text: 'maintenance' }, 7]);
  await client.close();
});

test('history is requested with the options of the caller, and comes with its position', async () => {
  const { client, socket } = await connected();
  const reading = client.history('c', { since: { offset: 5, epoch: 'e' }, limit: 2, reverse: true });
  const [{ id, request, body }] = await socket.commands();
  assert.equal(request, REQUEST.history);
  assert.deepEqual([...body], [...text(1, 'c'), ...nested(2, [...number(1, 5), ...text(2, 'e')]), ...number(3, 2), ...number(4, 1)]);
  const entries = [publication('c', 'b', number(6, 4)), publication('c', 'a', number(6, 3))].flatMap((entry) => nested(2, entry));
  socket.receive(frame(id, ANSWER.history, [...nested(1, [...number(1, 9), ...text(2, 'e')]), ...entries]));
  const { publications, position, last, unreadable } = await reading;
  assert.deepEqual(publications.map(({ channel, data, offset }) => [channel, data, offset]), [['c', 'b', 4], ['c', 'a', 3]]);
  assert.deepEqual([position, last, unreadable], [{ offset: 9, epoch: 'e' }, { offset: 3, epoch: 'e' }, []]);

  const gone = client.history('c');
  const [whole] = await socket.commands();
  assert.deepEqual([...whole.body], [...text(1, 'c'), ...number(3, 100)], 'from the beginning');
  socket.receive(frame(whole.id, ANSWER.error, number(1, Codes.UNRECOVERABLE)));
  await rejectsWith(gone, Codes.UNRECOVERABLE);
  await client.close();
});

test('a history continues past an unreadable message, and lists it', async () => {
  const { client, socket } = await connected();
  const reading = client.history('c');
  const [{ id }] = await socket.commands();
  const broken = (offset) => [...text(1, 'c'), ...text(3, '{'), ...number(6, offset)];
  const entries = [publication('c', 'a', number(6, 3)), broken(4), publication('c', 'b', number(6, 5)), broken(6)];
  const page = [...nested(1, [...number(1, 9), ...text(2, 'e')]), ...entries.flatMap((entry) => nested(2, entry)), ...number(3, 1)];
  socket.receive(frame(id, ANSWER.history, page));
  const { publications, unreadable, last, more } = await reading;
  assert.deepEqual(publications.map(({ data, offset }) => [data, offset]), [['a', 3], ['b', 5]]);
  assert.deepEqual(unreadable.map(({ offset, error }) => [offset, error.code]), [4, 6].map((offset) => [offset, Codes.PAYLOAD_MISMATCH]));
  assert.deepEqual([last, more], [{ offset: 6, epoch: 'e' }, true], 'where the next page begins');
  await client.close();
});

test('presence lists the members', async () => {
  const { client, socket } = await connected();
  const asking = client.presence('c');
  const [{ id, request }] = await socket.commands();
  assert.equal(request, REQUEST.presence);
  const members = [[...text(1, 's1'), ...text(2, 'ann')], text(1, 's2')].flatMap((member) => nested(1, member));
  socket.receive(frame(id, ANSWER.presence, members));
  assert.deepEqual(await asking, [{ session: 's1', user: 'ann' }, { session: 's2', user: '' }]);
  await client.close();
});

test('presence reads every page, and a page shows that there are more', async () => {
  const { client, socket } = await connected();
  const page = (sessions, more) => [...sessions.flatMap((session) => nested(1, text(1, session))), ...number(2, 3), ...number(3, 3), ...(more ? number(4, 1) : [])];
  const all = client.presence('c');
  const [first] = await socket.commands();
  assert.deepEqual([...first.body], text(1, 'c'));
  socket.receive(frame(first.id, ANSWER.presence, page(['s1', 's2'], true)));
  const [second] = await socket.commands();
  assert.deepEqual([...second.body], [...text(1, 'c'), ...text(3, 's2')]);
  socket.receive(frame(second.id, ANSWER.presence, page(['s3'], false)));
  assert.deepEqual((await all).map(({ session }) => session), ['s1', 's2', 's3']);

  const one = client.presencePage('c', { after: 's0' });
  const [asked] = await socket.commands();
  assert.deepEqual([...asked.body], [...text(1, 'c'), ...text(3, 's0')]);
  socket.receive(frame(asked.id, ANSWER.presence, page(['s1', 's2'], true)));
  const members = [{ session: 's1', user: '' }, { session: 's2', user: '' }];
  assert.deepEqual(await one, { members, sessions: 3, users: 3, more: true });
  await client.close();
});

test('a volatile message goes out now or never', async () => {
  const client = new Client(url, { wasm });
  assert.equal(await client.publish('c', 1, { volatile: true }), false, 'no module');
  const connecting = client.connect();
  const socket = await nextSocket();
  assert.equal(await client.publish('c', 2, { volatile: true }), false, 'no connection');
  await accept(socket);
  await connecting;
  const sent = await Promise.all([3, 4].map((data) => client.publish('c', data, { volatile: true })));
  assert.deepEqual(sent, [true, true]);
  assert.deepEqual((await socket.commands()).map(({ id, request, text: said }) => [id, request, said.at(-1)]), [
    [0, REQUEST.publish, '3'],
    [0, REQUEST.publish, '4'],
  ]);
  socket.send = () => (socket.bufferedAmount = 1024 * 1024);
  assert.equal(await client.publish('c', 5, { volatile: true }), true);
  await socket.commands();
  assert.equal(await client.publish('c', 6, { volatile: true }), false, 'the connection is full');
  await client.close();
  await rejectsWith(client.publish('c', 7, { volatile: true }), Codes.CLOSED);
});

test('a command with failFast does not wait for a connection', async () => {
  const client = new Client(url, { wasm });
  await rejectsWith(client.publish('c', 1, { failFast: true }), Codes.NOT_CONNECTED);
  const connecting = client.connect();
  const socket = await nextSocket();
  for (const asking of [client.publish('c', 1, { failFast: true }), client.call('f', 1, { failFast: true }), client.presence('c', { failFast: true })]) {
    await rejectsWith(asking, Codes.NOT_CONNECTED);
  }
  await accept(socket);
  await connecting;
  const publishing = client.publish('c', 1, { failFast: true });
  const [{ id }] = await socket.commands();
  socket.receive(frame(id, ANSWER.published, []));
  assert.equal(await publishing, undefined);
  await client.close();
});

/** Every event of a subscription, once it has ended. */
async function heard(subscription) {
  const all = [];
  for await (const { data } of subscription) all.push(data);
  return all;
}

test('a loop that comes late gets as much as the queue holds', async () => {
  const { client, socket } = await connected();
  const subscription = client.subscribe('c', { queue: { bytes: 1000 } });
  await confirm(socket, 'c');
  await subscription.ready;
  for (let count = 1; count <= 10; count++) socket.receive(frame(0, ANSWER.publication, publication('c', count)));
  const loop = subscription[Symbol.asyncIterator]();
  for (const expected of [4, 5, 6, 7, 8, 9, 10]) assert.equal((await loop.next()).value.data, expected);
  const waiting = loop.next();
  await client.close();
  assert.equal((await waiting).done, true, 'the application itself closed it');
});
