// Data on its way to the server: bytes as bytes, everything else as JSON, and nothing lost without a word.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import vm from 'node:vm';

import { ANSWER, FakeWebSocket, frame, nested, number, text } from './fake-websocket.mjs';
import { Client, Codes, confirm, connected, event, url } from './support.mjs';

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

/** An attachment as it travels. */
const attached = (head, bytes) => {
  const json = [...Buffer.from(head)];
  return [json.length, 0, 0, 0, ...json, ...bytes];
};

test('an object of a head and bytes travels as an attachment: the bytes as they are, behind the head', async () => {
  for (const bytes of [Uint8Array.of(0, 255, 7), new DataView(Uint8Array.of(9, 0, 255, 7).buffer, 1), Uint8Array.of(0, 255, 7).buffer]) {
    const command = Buffer.from(await sent({ bytes, head: { name: 'räume.png' } }), 'latin1');
    assert.ok(command.includes(Buffer.from([0x10, 3, 0x1a, ...[28], ...attached('{"name":"räume.png"}', [0, 255, 7])])), command.toString('hex'));
  }
  assert.ok((await sent({ head: null, bytes: new Uint8Array() })).includes('\x04\0\0\0null'));
  assert.ok((await sent({ head: 1, bytes: [1] })).includes('{"head":1,"bytes":[1]}'), 'without bytes it is JSON');
});

test('an attachment arrives as its head and its bytes, also in an answer', async () => {
  const { client, socket } = await connected();
  const images = client.subscribe('images:1');
  await confirm(socket, 'images:1');
  const publication = (data) => frame(0, ANSWER.publication, [...text(1, 'images:1'), ...number(2, 3), ...nested(3, data), ...number(4, 7)]);
  const arrived = [];
  images.addEventListener('publication', ({ publication: { data } }) => arrived.push(data));
  await Promise.resolve();
  socket.receive(publication(attached('{"name":"räume.png"}', [0, 255])), publication(attached('1', [])), publication(attached('[]', [1, 2])));
  assert.deepEqual(arrived, [
    { head: { name: 'räume.png' }, bytes: Uint8Array.of(0, 255) },
    { head: 1, bytes: new Uint8Array() },
    { head: [], bytes: Uint8Array.of(1, 2) },
  ]);

  const unreadable = event(images, 'error');
  socket.receive(publication([9, 0, 0, 0, 1]));
  assert.equal((await unreadable).error.code, Codes.PAYLOAD_MISMATCH);

  const calling = client.call('photo', { head: 'which', bytes: Uint8Array.of(5) });
  const [{ id }] = await socket.commands();
  socket.receive(frame(id, ANSWER.called, [...number(1, 3), ...nested(2, attached('"this"', [6]))]));
  assert.deepEqual(await calling, { head: 'this', bytes: Uint8Array.of(6) });
  await client.close();
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
  [{ image: Buffer.from('x') }, /bytes alone, or { head, bytes }$/],
  [{ head: {}, bytes: Buffer.from('x'), more: 1 }, /^the data\.bytes is a Uint8Array beside other data/],
  [{ head: new Map(), bytes: Buffer.from('x') }, /^the head is a Map/],
  [{ head: undefined, bytes: Buffer.from('x') }, /^the head is undefined/],
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
