// Before the module is loaded. It is loaded only once for all clients, so this has a process of its own.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FakeWebSocket, REQUEST, whole } from './fake-websocket.mjs';
import { accept, Client, Codes, nextSocket, rejectsWith, url, wasm } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

test('commands that wait for the module have a bound and their own timeouts, and go out once it is loaded', async () => {
  let load;
  const client = new Client(url, { wasm: new Promise((resolve) => (load = resolve)) });
  const connecting = client.connect();
  const large = client.publish('large', new Uint8Array(1_000_000));
  await rejectsWith(client.publish('c', new Uint8Array(100_000)), Codes.QUEUE_FULL);
  await rejectsWith(client.presence('c', { failFast: true }), Codes.NOT_CONNECTED);
  const abort = new AbortController();
  const given = client.presence('c', { signal: abort.signal });
  abort.abort();
  await rejectsWith(given, Codes.ABORTED);
  const forever = client.call('forever', 1, { timeout: Infinity }).catch((error) => error);
  await rejectsWith(client.presence('c', { timeout: 5 }), Codes.TIMEOUT);
  const late = client.history('late', { timeout: 60_000 }).catch((error) => error);

  // With a type that streaming compilation refuses.
  load(new Response(wasm, { headers: { 'content-type': 'application/wasm; charset=utf-8' } }));
  const socket = await nextSocket();
  await accept(socket);
  await connecting;
  const sent = whole(await socket.commands());
  // The last one asks whether all parts of the large command have arrived.
  assert.deepEqual(sent.map(({ request }) => request), [REQUEST.publish, REQUEST.call, REQUEST.history, REQUEST.cancel]);
  await client.close();
  await rejectsWith(large, Codes.CLOSED);
  assert.deepEqual([(await forever).code, (await late).code], [Codes.CLOSED, Codes.CLOSED]);
});

test('an aborted command makes room', async () => {
  const client = new Client(url, { wasm });
  const abort = new AbortController();
  const data = new Uint8Array(1_000_000);
  const first = client.publish('c', data, { signal: abort.signal });
  abort.abort();
  await rejectsWith(first, Codes.ABORTED);
  const second = client.publish('c', data);
  await client.close();
  await rejectsWith(second, Codes.CLOSED);
});

test('the send queue has the configured size, before the module is loaded and after', async () => {
  const client = new Client(url, { wasm, sendQueue: 1000 });
  const connecting = client.connect();
  await rejectsWith(client.publish('c', new Uint8Array(1001)), Codes.QUEUE_FULL);
  await accept(await nextSocket());
  await connecting;
  const sent = [client.publish('c', new Uint8Array(900)), client.publish('c', new Uint8Array(900))];
  await rejectsWith(sent[1], Codes.QUEUE_FULL);
  sent[0].catch(() => undefined);
  await client.close();
});
