// The demo's server, for tests that stop and start one of their own.
//
//   WIREHUB  the program `wirehub` (default: the one in target/)

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { built, Program } from '../../../tests/support/program.mjs';
import { API_KEY } from '../../../tests/support/server.mjs';

export const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

export class DemoServer {
  #program;
  #folder;
  #inside;

  #durable = false;
  /** The rest of the command line. */
  #options = [];

  /**
   * Starts the server; port 0 picks a free one. `durable`: messages outlive a restart by {@link restart}. `inside`: the page
   * is the one in the program. `operated`: it has an operator, for {@link disconnect}.
   */
  static async start({ port = 0, durable = false, inside = false, operated = false } = {}) {
    const server = new DemoServer();
    server.#durable = durable;
    server.#inside = inside;
    if (durable || operated) server.#folder = mkdtempSync(join(tmpdir(), 'wirehub-page-'));
    if (operated) server.#configure();
    await server.#start(port);
    return server;
  }

  /** `http://127.0.0.1:PORT` */
  get origin() {
    return this.#program.origin;
  }

  get port() {
    return Number(new URL(this.origin).port);
  }

  /** Ends the server at once, as a crash would. */
  async kill() {
    await this.#program.end('SIGKILL');
  }

  /** Starts it again at the same address. */
  async restart() {
    await this.#start(this.port);
  }

  /** Lets it stand still, with its connections open, until {@link resume}. */
  pause() {
    this.#program.pause();
  }

  resume() {
    this.#program.resume();
  }

  /** Ends every session of a user for good, as an operator does. */
  async disconnect(user, reason) {
    const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
    const response = await fetch(`${this.origin}/api/v1/users/${user}/disconnect`, { method: 'POST', headers, body: JSON.stringify({ code: 4500, reason }) });
    assert.ok(response.ok, await response.text());
  }

  /** Ends the server for good. */
  async stop() {
    await this.kill();
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  #configure() {
    const file = join(this.#folder, 'wirehub.toml');
    writeFileSync(join(this.#folder, 'api.key'), API_KEY);
    writeFileSync(file, '[[api.keys]]\nfile = "api.key"\n');
    this.#options = ['--config', file];
  }

  async #start(port) {
    const engine = this.#durable ? ['--engine', 'disk', '--data', this.#folder] : ['--engine', 'memory'];
    const page = this.#inside ? [] : ['--static', DIST];
    const args = ['serve', '--demo', '--listen', `127.0.0.1:${port}`, ...page, ...engine, ...this.#options];
    this.#program = await Program.start(built('wirehub', 'WIREHUB'), args);
  }
}
