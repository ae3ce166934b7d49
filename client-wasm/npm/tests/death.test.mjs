// The WebAssembly module of a client fails. That is final, and affects no other client.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, text } from './fake-websocket.mjs';
import { CloseCodes, Codes, confirm, connected, WirehubError } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const isDead = (error) => error instanceof WirehubError && error.code === Codes.DEAD && !error.temporary;

/** Makes the client's next call into the module fail. A failure of the module's own code is a trap as well. */
function fail(socket) {
  const trap = new WebAssembly.RuntimeError('unreachable');
  Object.defineProperty(socket, 'bufferedAmount', {
    get() {
      throw trap;
    },
  });
  return trap;
}

test('after a failure of the module its client is dead', async () => {
  const { client, socket } = await connected();
  const events = [];
  client.addEventListener('error', (event) => events.push(event.error));
  client.addEventListener('statechange', (event) => events.push([event.state, event.code]));
  const subscription = client.subscribe('chat:lobby');
  const call = client.call('slow', {});
  const trap = fail(socket);
  await assert.rejects(client.publish('chat:lobby', 'hi'), isDead);

  await assert.rejects(call, isDead);
  await assert.rejects(subscription.ready, isDead);
  assert.equal(subscription.state, 'unsubscribed');
  const [error, change, ...rest] = events;
  assert.ok(isDead(error) && error.cause === trap);
  assert.deepEqual(change, ['closed', CloseCodes.CLIENT_FAILED]);
  assert.deepEqual(rest, []);
  assert.equal(client.state, 'closed');
  assert.equal(socket.closedWith.code, CloseCodes.CLIENT_FAILED);
  socket.receive(frame(0, ANSWER.publication, [...text(1, 'chat:lobby'), ...text(3, '1')]));
  await client.close();
  await assert.rejects(client.connect(), isDead);
});

test('the other clients continue, and so do new ones', async () => {
  const [failing, bystander] = [await connected(), await connected()];
  fail(failing.socket);
  await assert.rejects(failing.client.publish('chat:lobby', 'hi'), isDead);
  assert.equal(failing.client.state, 'closed');

  for (const { client, socket } of [bystander, await connected()]) {
    const call = client.publish('chat:lobby', 'hi');
    const [{ id }] = await socket.commands();
    socket.receive(frame(id, ANSWER.published, []));
    assert.equal(await call, undefined);
    assert.equal(client.state, 'connected');
    await client.close();
  }
});

test('a failure in the middle of an event ends the client once', async () => {
  const { client, socket } = await connected();
  const dead = [];
  client.addEventListener('error', ({ error }) => dead.push(error));
  const subscription = client.subscribe('chat:lobby');
  await confirm(socket, 'chat:lobby');
  await subscription.ready;
  const publishing = new Promise((resolve) => {
    subscription.addEventListener('publication', () => {
      fail(socket);
      resolve(assert.rejects(client.publish('chat:lobby', 'hi'), isDead));
    });
  });
  socket.receive(frame(0, ANSWER.publication, [...text(1, 'chat:lobby'), ...text(3, '1')]));
  await publishing;
  assert.equal(dead.length, 1);
  assert.equal(client.state, 'closed');
});
