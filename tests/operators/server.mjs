// The server under test, as a process of its own, and clients of it that are nothing but WebSockets.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';

export const KEY = '0123456789abcdef0123456789abcdef';
const PROGRAM = process.env['WIREHUB'] ?? fileURLToPath(new URL('../../target/debug/wirehub', import.meta.url));
/** How long the server may take for anything, in ms. */
const PATIENCE = 20_000;

const CONFIG = `
[server]
anonymous = true
[limits]
reconnect_window = "0s"
[admin]
enabled = true
[[api.keys]]
file = "api.key"
[tokens]
[[tokens.keys]]
algorithm = "HS256"
file = "token.key"
[namespace.kept]
history_size = 100
history_ttl = "1h"
`;

export class Server {
  /** `127.0.0.1:PORT` */
  host;
  #folder = mkdtempSync(join(tmpdir(), 'wirehub-operators-'));
  #process;

  static async start() {
    const server = new Server();
    writeFileSync(server.#path('api.key'), KEY);
    writeFileSync(server.#path('token.key'), 'fedcba9876543210fedcba9876543210');
    writeFileSync(server.#path('wirehub.toml'), CONFIG);
    await server.restart('127.0.0.1:0');
    return server;
  }

  /** Begins where it was, or at another address. */
  async restart(address = this.host) {
    this.#process = spawn(PROGRAM, ['serve', '--config', this.#path('wirehub.toml'), '--listen', address], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, WIREHUB_LOG: 'error' },
    });
    const [line] = await once(createInterface({ input: this.#process.stdout }), 'line', { signal: AbortSignal.timeout(PATIENCE) });
    this.host = /^listening on http:\/\/(\S+)$/.exec(line)[1];
  }

  /** Ends it at once, as a crash would. */
  async kill() {
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exit;
  }

  async end() {
    await this.kill();
    rmSync(this.#folder, { recursive: true });
  }

  /** A token for a user. */
  token(user) {
    const made = spawnSync(PROGRAM, ['token', '--config', this.#path('wirehub.toml'), '--user', user], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(made.stderr);
    return made.stdout.trim();
  }

  #path(name) {
    return join(this.#folder, name);
  }
}

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

  /** Sends a command and gives its reply. */
  async ask(command) {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#socket.send(JSON.stringify({ id, ...command }));
    return this.next((frame) => frame.id === id);
  }

  /** The next frame of some kind; `{ closed: { code, reason } }` when there are no more. */
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
