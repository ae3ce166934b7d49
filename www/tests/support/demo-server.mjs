// The demo's server, for tests that stop and start one of their own.
//
//   WIREHUB_DEMO_BIN  the program (default: the one in target/)

import { fileURLToPath } from 'node:url';

import { built, Program } from '../../../tests/support/program.mjs';

export const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

export class DemoServer {
  #program;

  /** Starts the server; port 0 picks a free one. */
  static async start(port = 0) {
    const server = new DemoServer();
    const args = ['serve', '--demo', '--engine', 'memory', '--listen', `127.0.0.1:${port}`, '--static', DIST];
    server.#program = await Program.start(built('wirehub', 'WIREHUB_DEMO_BIN'), args);
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
  kill() {
    return this.#program.end('SIGKILL');
  }
}
