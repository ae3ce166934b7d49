// A server of this project, as a program that tests start and end.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The time limit until it prints its address, in ms. */
const PATIENCE = 20_000;
/** The folders of target/ with cargo's programs. */
const PROFILES = ['demo', 'release', 'debug'];

export class Program {
  /** Its address: `http://127.0.0.1:PORT`. */
  origin;
  #process;

  /** Starts it, and waits until it prints its address; `options` are those of `spawn`. */
  static async start(path, args, options) {
    const program = new Program();
    program.#process = spawn(path, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let complaints = '';
    program.#process.stderr.setEncoding('utf8').on('data', (text) => {
      complaints = (complaints + text).slice(-4000);
    });
    try {
      program.origin = await program.#listeningAt();
    } catch (error) {
      await program.end('SIGKILL');
      throw new Error(`${path} does not listen: ${error.message}\n${complaints}`);
    }
    // Its later output is read and dropped, so that a full pipe never stops it.
    program.#process.stdout.resume();
    return program;
  }

  /** Ends it: in order by `SIGTERM`, like a crash by `SIGKILL`. */
  async end(signal) {
    if (this.#hasEnded()) return;
    const exit = once(this.#process, 'exit');
    this.#process.kill(signal);
    await exit;
  }

  /** Lets it stand still, with its connections open, until {@link resume}. */
  pause() {
    this.#process.kill('SIGSTOP');
  }

  resume() {
    this.#process.kill('SIGCONT');
  }

  async #listeningAt() {
    for await (const line of createInterface({ input: this.#process.stdout, signal: AbortSignal.timeout(PATIENCE) })) {
      const [, origin] = /listening on (https?:\/\/[^\s/]+)/.exec(line) ?? [];
      if (origin !== undefined) return origin;
    }
    throw new Error(this.#hasEnded() ? 'it has ended' : `it did not print "listening on http://…" within ${PATIENCE} ms`);
  }

  #hasEnded() {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }
}

/** The path of a program of the workspace: the value of `variable`, or cargo's newest output. */
export function built(name, variable) {
  const paths = PROFILES.map((profile) => fileURLToPath(new URL(`../../target/${profile}/${name}`, import.meta.url)));
  const builds = paths.map((path) => ({ path, time: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }));
  const [newest] = builds.filter(({ time }) => time > 0).sort((one, other) => other.time - one.time);
  const found = process.env[variable] ?? newest?.path;
  if (found === undefined) throw new Error(`${name} is missing: run \`cargo build\`, or set ${variable} to the program`);
  return found;
}
