// The server for the tests of operators' tools, and clients of it that are plain WebSockets.
import { once } from 'node:events';
import WebSocket from 'ws';

import { Server } from '../support/server.mjs';

export { API_KEY } from '../support/server.mjs';

/** The time limit for the server, in ms. */
const PATIENCE = 20_000;

const CONFIG = `
[server]
anonymous = true
[limits]
reconnect_window = "0s"
[admin]
enabled = true
[namespace.kept]
history_size = 100
history_ttl = "1h"
`;

export const start = () => Server.start(CONFIG);

/** A connected session. */
export class Client {
  session;
  #socket;
  #frames = [];
  #wake = () => undefined;
  #nextId = 1;

  static async connect(server, user = '', channels = []) {
    const client = new Client();
    client.#socket = new WebSocket(`ws://${server.host}/ws`);
    client.#socket.on('message', (data) => {
      // An empty message is the server's ping.
      if (data.length === 0) client.#socket.send('');
      const lines = data.toString().split('\n').filter((line) => line !== '');
      client.#frames.push(...lines.map((line) => JSON.parse(line)));
      client.#wake();
    });
    client.#socket.on('close', (code, reason) => {
      client.#frames.push({ closed: { code, reason: reason.toString() } });
      client.#wake();
    });
    await once(client.#socket, 'open', { signal: AbortSignal.timeout(PATIENCE) });
    const answer = await client.ask({ connect: user === '' ? {} : { token: server.token(user) } });
    client.session = answer.connected.session;
    for (const channel of channels) await client.ask({ subscribe: { channel, number: 1 } });
    return client;
  }

  /** Sends a command and returns its reply. */
  async ask(command) {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#socket.send(JSON.stringify({ id, ...command }));
    return this.next((frame) => frame.id === id);
  }

  /** The next frame that matches; `{ closed: { code, reason } }` when there are no more. */
  async next(matches) {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const index = this.#frames.findIndex(matches);
      if (index >= 0) return this.#frames.splice(index, 1)[0];
      if (Date.now() > deadline) throw new Error(`nothing of that kind came, but ${JSON.stringify(this.#frames)}`);
      await Promise.race([
        new Promise((resolve) => {
          this.#wake = resolve;
        }),
        new Promise((resolve) => setTimeout(resolve, 1000).unref()),
      ]);
    }
  }

  close() {
    this.#socket.close();
  }
}
