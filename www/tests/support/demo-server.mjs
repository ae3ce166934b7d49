// The demo's server, for tests that need one of their own to stop and start.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

/** How long the server may take to say where it listens, in ms. */
const START_TIMEOUT = 20_000;
/** Where `cargo build -p wirehub-demo` leaves the program, the profile of `cargo xtask demo` first. */
const BUILT = ['demo', 'release', 'debug'].map((profile) =>
  fileURLToPath(new URL(`../../../target/${profile}/wirehub-demo`, import.meta.url)),
);

export class DemoServer {
  /** `http://127.0.0.1:PORT` */
  origin;
  #process;

  /** Starts the server; port 0 takes a free one. */
  static async start(port = 0) {
    const server = new DemoServer();
    server.#process = spawn(program(), ['--listen', `127.0.0.1:${port}`, '--static', DIST], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let complaints = '';
    server.#process.stderr.setEncoding('utf8').on('data', (text) => {
      complaints = (complaints + text).slice(-4000);
    });
    server.origin = await server.#listeningAt(() => complaints);
    return server;
  }

  get port() {
    return Number(new URL(this.origin).port);
  }

  /** Ends the server at once, as a crash would. */
  async kill() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exit;
  }

  async #listeningAt(complaints) {
    const gaveUp = AbortSignal.timeout(START_TIMEOUT);
    const exited = once(this.#process, 'exit', { signal: gaveUp }).then(([code, signal]) => {
      throw new Error(`the demo server ended (${signal ?? `status ${code}`}) before it listened:\n${complaints()}`);
    });
    const said = (async () => {
      for await (const line of createInterface({ input: this.#process.stdout, signal: gaveUp })) {
        const [, origin] = /listening on (http:\/\/\S+)/.exec(line) ?? [];
        if (origin === undefined) continue;
        // What it prints later is read and dropped, so that a full pipe never stops it.
        this.#process.stdout.resume();
        return origin.replace(/\/$/, '');
      }
      throw new Error(`the demo server did not say "listening on http://…" within ${START_TIMEOUT} ms:\n${complaints()}`);
    })();
    // Whichever loses the race may still fail later; that no longer matters.
    exited.catch(() => undefined);
    said.catch(() => undefined);
    try {
      return await Promise.race([said, exited]);
    } catch (error) {
      await this.kill();
      throw error;
    }
  }
}

function program() {
  const named = process.env['WIREHUB_DEMO_BIN'];
  if (named !== undefined) return named;
  const built = BUILT.find((path) => existsSync(path));
  if (built === undefined) {
    throw new Error('no demo server found: run `cargo build -p wirehub-demo`, or name the program in WIREHUB_DEMO_BIN');
  }
  return built;
}
