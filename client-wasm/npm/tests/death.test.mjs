// The WebAssembly module fails. That is for good and for all clients, so it has a process of its own.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FakeWebSocket } from './fake-websocket.mjs';
import { Client, CloseCodes, Codes, connected, wasm, WirehubError } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const isDead = (error) => error instanceof WirehubError && error.code === Codes.DEAD && !error.temporary;

test('after a failure of the module every client says that it is dead', async () => {
  const [failing, bystander] = [await connected(), await connected()];
  const events = [];
  for (const { client } of [failing, bystander]) {
    client.addEventListener('error', (event) => events.push(event.error));
    client.addEventListener('statechange', (event) => events.push([event.state, event.code]));
  }
  const subscription = bystander.client.subscribe('chat:lobby');
  const call = bystander.client.call('slow', {});
  const trap = new WebAssembly.RuntimeError('unreachable');
  // What the module asks for and is not prepared for: as a trap, this leaves it in the middle of something.
  Object.defineProperty(failing.socket, 'bufferedAmount', {
    get() {
      throw trap;
    },
  });
  await assert.rejects(failing.client.publish('chat:lobby', 'hi'), isDead);

  await assert.rejects(call, isDead);
  await assert.rejects(subscription.ready, isDead);
  assert.equal(subscription.state, 'unsubscribed');
  const [error] = events;
  assert.ok(isDead(error) && error.cause === trap);
  assert.deepEqual(
    events.filter((event) => Array.isArray(event)),
    Array(2).fill(['closed', CloseCodes.CLIENT_FAILED]),
  );
  for (const { client, socket } of [failing, bystander]) {
    assert.equal(client.state, 'closed');
    assert.equal(socket.closedWith.code, CloseCodes.CLIENT_FAILED);
    assert.equal(socket.onmessage, null);
    await client.close();
  }
  await assert.rejects(new Client('ws://server.test/ws', { wasm }).connect(), isDead);
});
