// The end of a client by the application, while it connects.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { FakeWebSocket } from './fake-websocket.mjs';
import { Client, Codes, nextSocket, rejectsWith, url, wasm } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const run = promisify(execFile);

const unhandled = [];
process.on('unhandledRejection', (error) => unhandled.push(error));

test('a connect that is dropped and closed is no unhandled rejection, at any time', async () => {
  const client = new Client(url, { wasm });
  void client.connect();
  void client.close();
  const later = new Client(url, { wasm });
  void later.connect();
  later.subscribe('a');
  await nextSocket();
  await later.close();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(unhandled, []);
});

test('a connect that is awaited rejects all the same', async () => {
  const client = new Client(url, { wasm });
  const connecting = client.connect();
  await client.close();
  await rejectsWith(connecting, Codes.CLOSED);
  await rejectsWith(client.connect(), Codes.CLOSED);
});

test('every other failure of a dropped connect ends a process of Node.js, as usual', async () => {
  const script = `
    import { Client } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)};
    void new Client('ws://server.test/ws', { wasm: Uint8Array.of(1), webSocket: class {} }).connect();
  `;
  await assert.rejects(run(process.execPath, ['--input-type=module', '--eval', script]), /WirehubError.*could not be loaded/);
});
