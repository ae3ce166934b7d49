// The events of the page's life, and the client's reactions. The page is simulated; real ones are in browser/.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ANSWER, FakeWebSocket, frame, REQUEST, sockets } from './fake-websocket.mjs';
import { accept, Client, CloseCodes, connected, event, nextSocket, url, wasm } from './support.mjs';

globalThis.WebSocket = FakeWebSocket;

const types = new Set();
/** Window and document in one. */
const page = Object.assign(new EventTarget(), { hidden: false });
globalThis.addEventListener = (type, listener, capture) => {
  types.add(type);
  page.addEventListener(type, listener, capture);
};
globalThis.removeEventListener = (type, listener, capture) => {
  types.delete(type);
  page.removeEventListener(type, listener, capture);
};
/** The types of events that have a listener. */
const heard = () => [...types].sort();

const happen = (type, more = {}) => page.dispatchEvent(Object.assign(new Event(type), more));

test('a page that is put aside has no connection, and a new one as soon as it is back', async () => {
  const { client, socket } = await connected();
  happen('pagehide', { persisted: false });
  assert.equal(client.state, 'connected', 'such a page does not come back');
  const left = event(client, 'statechange');
  happen('pagehide', { persisted: true });
  assert.equal(socket.closedWith.code, CloseCodes.NORMAL);
  const { state, code } = await left;
  assert.deepEqual([state, code], ['reconnecting', CloseCodes.GOING_AWAY]);
  happen('pageshow', { persisted: true });
  await accept(sockets.shift());
  assert.equal(client.state, 'connected');
  await client.close();
});

test('the next attempt is made at once when the page or the network is back', async () => {
  const { client, socket } = await connected();
  let lost = socket;
  for (const type of ['online', 'pageshow', 'resume', 'visibilitychange']) {
    page.hidden = true;
    lost.end(1006);
    happen('visibilitychange');
    happen('offline');
    assert.deepEqual(sockets, [], 'nobody looks, and there is no network');
    page.hidden = false;
    happen(type);
    assert.equal(sockets.length, 1, type);
    lost = sockets.shift();
    await accept(lost);
    assert.equal(client.state, 'connected');
  }
  await client.close();
});

test('where the network may have changed, the server is asked whether it is still there', async () => {
  const { client, socket } = await connected();
  for (const type of ['offline', 'online']) {
    happen(type);
    happen(type);
    const asked = await socket.commands();
    assert.deepEqual(asked.map(({ request }) => request), [REQUEST.cancel]);
    socket.receive(frame(asked[0].id, ANSWER.cancelled, []));
  }
  assert.equal(client.state, 'connected');
  await client.close();
});

test('a client that is closed listens to nothing', async () => {
  const { client } = await connected();
  assert.deepEqual(heard(), ['offline', 'online', 'pagehide', 'pageshow', 'resume', 'visibilitychange']);
  await client.close();
  assert.deepEqual(heard(), []);
  const other = new Client(url, { wasm });
  const connecting = other.connect().catch(() => undefined);
  await nextSocket();
  await other.close();
  await connecting;
  assert.deepEqual(heard(), []);
});
