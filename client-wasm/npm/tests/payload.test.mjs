// Data on its way to the server: bytes as bytes, everything else as JSON, and nothing lost without a word.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import vm from 'node:vm';

import { FakeWebSocket } from './fake-websocket.mjs';
import { Client, Codes, connected, url } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const realm = vm.createContext({});
const foreign = (code) => vm.runInContext(code, realm);

/** The bytes of the command that a publish sends. */
async function sent(data) {
  const { client, socket } = await connected();
  client.publish('x:a', data).catch(() => undefined);
  const [{ body }] = await socket.commands();
  await client.close();
  return Buffer.from(body).toString('latin1');
}

/** The message with which the data is refused. */
async function refusal(data) {
  const client = new Client(url);
  const error = await client.publish('x:a', data).then(assert.fail, (error) => error);
  assert.equal(error.code, Codes.PAYLOAD_MISMATCH, error.message);
  await client.close();
  return error.message;
}

const memory = Uint8Array.of(9, 1, 2, 3, 4, 9).buffer;
const VIEWS = {
  Uint8Array: new Uint8Array(memory, 1, 4),
  Uint8ClampedArray: new Uint8ClampedArray(memory, 1, 4),
  Int8Array: new Int8Array(memory, 1, 4),
  DataView: new DataView(memory, 1, 4),
  Uint16Array: new Uint16Array(Uint8Array.of(1, 2, 3, 4).buffer),
  Float32Array: new Float32Array(Uint8Array.of(1, 2, 3, 4).buffer),
  'Buffer of Node.js': Buffer.from([1, 2, 3, 4]),
  ArrayBuffer: Uint8Array.of(1, 2, 3, 4).buffer,
  SharedArrayBuffer: Object.assign(new SharedArrayBuffer(4)),
  'Uint8Array of another realm': foreign('Uint8Array.of(1, 2, 3, 4)'),
  'ArrayBuffer of another realm': foreign('Uint8Array.of(1, 2, 3, 4).buffer'),
};
new Uint8Array(VIEWS.SharedArrayBuffer).set([1, 2, 3, 4]);

for (const [name, data] of Object.entries(VIEWS)) {
  test(`a ${name} travels as its bytes`, async () => {
    assert.ok((await sent(data)).includes('\x01\x02\x03\x04'));
  });
}

test('objects, arrays, texts, numbers and objects with toJSON travel as JSON', async () => {
  const time = new Date(0);
  for (const data of [{ a: [1, 'b', null, true, { c: undefined }] }, [], 'text', 0, null, time, { time }, Object.create(null), foreign('({ a: [1] })')]) {
    assert.ok((await sent(data)).includes(JSON.stringify(data)), JSON.stringify(data));
  }
});

class Line {
  nick = 'ann';
}
const LOST = [
  [new Blob(['x']), /^the data is a Blob, which has no JSON/],
  [new Map(), /a Map/],
  [foreign('new Set()'), /a Set/],
  [new Line(), /a Line/],
  [new Error('x'), /an? Error/],
  [() => 1, /a function/],
  [Symbol('x'), /a symbol/],
  [undefined, /undefined/],
  [Number.NaN, /NaN/],
  [{ lines: [{ when: new Map() }] }, /^the data\.lines\[0\]\.when is a Map/],
  [{ image: Buffer.from('x') }, /^the data\.image is a Uint8Array beside other data/],
  [[1, undefined], /^the data\[1\] is undefined/],
  [{ each: () => 1 }, /each is a function/],
  [{ size: Infinity }, /size is Infinity/],
  [1n, /BigInt/],
];
for (const [data, words] of LOST) {
  test(`data that has no JSON is refused: ${words.source}`, async () => assert.match(await refusal(data), words));
}

test('an object that contains itself is refused', async () => {
  const data = {};
  data.self = data;
  assert.match(await refusal(data), /circular/i);
});
