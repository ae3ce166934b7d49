// The memory of the module: it grows by what is in use at a time, and is given back when its client is closed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { ANSWER, FakeWebSocket, frame, nested, number, parts, text } from './fake-websocket.mjs';
import { confirm, connected, event } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;
setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc');

const MIB = 1024 * 1024;
/** The memory of each instance that is not collected. */
const memories = [];
const { instantiate } = WebAssembly;

before(() => {
  WebAssembly.instantiate = async (module, ...more) => {
    const instance = await instantiate.call(WebAssembly, module, ...more);
    // Node.js has modules of its own.
    const isOurs = module instanceof WebAssembly.Module && WebAssembly.Module.customSections(module, 'wirehub').length > 0;
    if (isOurs) memories.push(new WeakRef(instance.exports.memory));
    return instance;
  };
});

after(() => {
  WebAssembly.instantiate = instantiate;
});

/** The sizes of the memories that are still there. */
async function living() {
  // Objects that a finaliser releases are collected in a later round.
  for (let round = 0; round < 5; round += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    gc();
  }
  return memories.map((memory) => memory.deref()?.buffer.byteLength).filter((size) => size !== undefined);
}

/** A publication of so many bytes, in parts of 60 kB. */
const large = (channel, size) => parts(frame(0, ANSWER.publication, [...text(1, channel), ...number(2, 1), ...nested(3, new Array(size).fill(7))]), 60_000);

/** The size of a large message. */
const LARGE = MIB / 2;
const message = large('c', LARGE);

/** A client that has received large messages and sent one. */
async function used(messages) {
  const { client, socket } = await connected({}, 4 * MIB);
  const subscription = client.subscribe('c');
  await confirm(socket, 'c');
  for (let count = 0; count < messages; count += 1) {
    const heard = event(subscription, 'publication');
    for (const part of message) socket.receive(part);
    assert.equal((await heard).publication.data.length, LARGE);
  }
  const sent = client.publish('c', new Uint8Array(LARGE)).catch(() => undefined);
  await socket.commands();
  return { client, sent };
}

test('many large messages, one after the other, take the memory of one', async () => {
  const few = await used(2);
  const ofFew = (await living()).at(-1);
  const many = await used(20);
  const ofMany = (await living()).at(-1);
  assert.equal(ofMany, ofFew);
  assert.ok(ofMany <= 12 * LARGE, `${ofMany / MIB} MiB for messages of ${LARGE / MIB} MiB`);
  await few.client.close();
  await many.client.close();
});

test('a closed client gives its memory back', async () => {
  for (let count = 0; count < 10; count += 1) {
    const { client, sent } = await used(1);
    await client.close();
    await sent;
  }
  const sizes = await living();
  // The last one may still be on the stack.
  assert.ok(sizes.length <= 2, `${sizes.length} of ${memories.length} instances are still there`);
});
