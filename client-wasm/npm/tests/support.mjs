// Clients whose server is played by the test. Importing this puts FakeWebSocket into the global scope.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { Client, WirehubError } from '../dist/index.js';
import { ANSWER, frame, nested, number, sockets, text } from './fake-websocket.mjs';

export * from '../dist/index.js';

export const wasm = await readFile(new URL('../dist/wasm/wirehub_bg.wasm', import.meta.url));
export const url = 'ws://server.test/ws';

/** A connected client and its socket. The server sends the size limit of commands, if one is given. */
export async function connected(options = {}, messageBytes = 0) {
  const client = new Client(url, { wasm, ...options });
  const connecting = client.connect();
  const socket = await nextSocket();
  await accept(socket, messageBytes > 0 ? nested(3, number(1, messageBytes)) : []);
  await connecting;
  return { client, socket };
}

/** The server accepts the client; returns the client's `connect`. */
export async function accept(socket, ...subscriptions) {
  socket.accept();
  const [connect] = await socket.commands();
  socket.receive(frame(connect.id, ANSWER.connected, [...text(1, 'session-1'), ...subscriptions.flat()]));
  return connect;
}

export async function nextSocket() {
  while (sockets.length === 0) await new Promise((resolve) => setImmediate(resolve));
  return sockets.shift();
}

/** The server confirms the last subscription that the client requested. */
export async function confirm(socket, channel) {
  const { id, request } = (await socket.commands()).pop();
  socket.receive(frame(id, ANSWER.subscribed, [...text(1, channel), 0x10, id]));
  return request;
}

export const event = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));

export const rejectsWith = (promise, code) => assert.rejects(promise, (error) => error instanceof WirehubError && error.code === code);
