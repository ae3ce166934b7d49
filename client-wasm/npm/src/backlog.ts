import { Codes, WirehubError } from './errors.js';
import type { Machine } from './machine.js';

type Send = (machine: Machine, timeout: number) => number;

interface Waiting<T> {
  readonly command: T;
  readonly send: Send;
  readonly bytes: number;
  readonly deadline: number;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** As many bytes as the module itself would queue. */
const BOUND = 1024 * 1024;

/** Commands given to a client whose module is not loaded yet. Their time runs already. */
export class Backlog<T extends { reject(error: WirehubError): void; stop(): void }> {
  readonly #waiting = new Map<T, Waiting<T>>();
  #bytes = 0;

  /** @throws {WirehubError} the bound is reached. */
  add(command: T, timeout: number, bytes: number, send: Send): void {
    if (this.#bytes + bytes > BOUND) {
      command.stop();
      throw new WirehubError(Codes.QUEUE_FULL);
    }
    const timer = setTimeout(() => {
      this.remove(command);
      command.stop();
      command.reject(new WirehubError(Codes.TIMEOUT));
    }, timeout);
    this.#bytes += bytes;
    this.#waiting.set(command, { command, send, bytes, deadline: performance.now() + timeout, timer });
  }

  remove(command: T): void {
    const waiting = this.#waiting.get(command);
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    this.#bytes -= waiting.bytes;
    this.#waiting.delete(command);
  }

  /** All of them, in order, with the time that they have left. */
  take(): { command: T; timeout: number; send: Send }[] {
    const now = performance.now();
    const taken = [...this.#waiting.values()].map(({ command, deadline, send }) => ({ command, timeout: Math.max(0, deadline - now), send }));
    for (const { command } of taken) this.remove(command);
    return taken;
  }
}
