// The contract in the handshake: its hash is sent, and the items that differ at the server are reported by name.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, nested, text } from './fake-websocket.mjs';
import { accept, Client, Codes, event, nextSocket, url, wasm } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

/** A hash on the wire: a field of eight bytes, the lowest first. */
const hash = (field, hex) => [(field << 3) | 1, ...Buffer.from(hex, 'hex').reverse()];
const item = (name, hex) => [...text(1, name), ...hash(2, hex)];

const OURS = '0123456789abcdef';
const contract = { name: 'demo', hash: OURS, items: { same: 'fedcba9876543210', changed: '0000000000000001', gone: '8000000000000000' } };

async function connect(...answer) {
  const client = new Client(url, { wasm, contract });
  const told = event(client, 'error');
  const connecting = client.connect();
  const { body } = await accept(await nextSocket(), ...answer);
  await connecting;
  return { client, told, body };
}

test('the server receives name and hash of the contract', async () => {
  const { client, body } = await connect();
  const expected = Buffer.from(nested(4, item('demo', OURS)));
  assert.ok(Buffer.from(body).includes(expected), `${Buffer.from(body).toString('hex')} has ${expected.toString('hex')}`);
  await client.close();
});

test('different items in the contract of the server are reported by name', async () => {
  const items = [item('changed', '0000000100000001'), item('new', '0000000000000002'), item('same', 'fedcba9876543210')];
  const theirs = [...nested(1, item('demo', '0000000000000003')), ...items.flatMap((each) => nested(2, each))];
  const { client, told } = await connect(nested(4, theirs));
  const { error } = await told;
  assert.equal(error.code, Codes.CONTRACT_MISMATCH);
  assert.match(error.message, /: different items: changed, gone, new$/);
  assert.equal(client.state, 'connected');
  await client.close();
});
