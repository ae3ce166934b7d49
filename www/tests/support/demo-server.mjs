// The demo's server, for tests that stop and start one of their own.
//
//   WIREHUB  the program `wirehub` (default: the one in target/)

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { built, Program } from '../../../tests/support/program.mjs';

export const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

export class DemoServer {
  #program;
  #folder;

  /** Starts the server; port 0 picks a free one. `durable`: messages outlive a restart by {@link restart}. */
  static async start({ port = 0, durable = false } = {}) {
    const server = new DemoServer();
    if (durable) server.#folder = mkdtempSync(join(tmpdir(), 'wirehub-page-'));
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

  /** Ends the server for good. */
  async stop() {
    await this.kill();
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start(port) {
    const engine = this.#folder === undefined ? ['--engine', 'memory'] : ['--engine', 'disk', '--data', this.#folder];
    const args = ['serve', '--demo', '--listen', `127.0.0.1:${port}`, '--static', DIST, ...engine];
    this.#program = await Program.start(built('wirehub', 'WIREHUB'), args);
  }
}
