import { report } from './direct.js';
import { Code, onAbort, WirehubError } from './errors.js';
import type { Position } from './history.js';
import { Request } from './generated/numbers.js';
import type { Details, Machine, Row } from './machine.js';
import type { UploadOptions } from './options.js';
import type { Runner } from './runner.js';

/** The server's answer to a command. */
export interface Answer {
  readonly rows: readonly Row[];
  /** For a history: its newest position. */
  readonly position: Position;
  /**
   * For members: the number of users; the position's offset is the number of sessions. For a history: 1 if there is
   * more.
   */
  readonly count: number;
}

/** The waiter for a command. */
export interface Waiting {
  resolve(answer: Answer): void;
  reject(error: WirehubError): void;
  /** Receives an answer that is not the last one. */
  receive?(answer: Answer): void;
}

/** A command that has not ended. */
export interface Command extends Waiting {
  readonly bytes: number;
  readonly onProgress: UploadOptions['onProgress'];
  /** Its number in the module; 0 before the module knows it. */
  number: number;
  /** The timeout while the module does not know it. */
  timer?: ReturnType<typeof setTimeout>;
  /** Begins it in the module; returns its number. */
  begin(machine: Machine): number;
  /** Stops listening to the caller's signal. */
  stop(): void;
}

/** @internal The longest delay of a timer. */
export const LONGEST = 2 ** 31 - 1;

/** The commands of a client that have not ended. */
export class Commands {
  readonly #timeout: number;
  /**
   * The limit in bytes for commands that wait for the module to be loaded. It is the size of the module's own queue.
   */
  readonly #bound: number;
  readonly #runner: Runner;
  readonly #pending = new Map<number, Command>();
  /** The commands that wait for the module to be loaded. Their timeouts are already running. */
  readonly #early = new Set<Command>();
  #earlyBytes = 0;
  #started = false;

  constructor(timeout: number, bound: number, runner: Runner) {
    this.#timeout = timeout;
    this.#bound = bound;
    this.#runner = runner;
  }

  /** @throws {WirehubError} the signal has aborted; the queue is full; the command may not wait, and would have to. */
  begin(kind: Request, name: string, limit: number, { timeout = this.#timeout, signal, failFast = false, onProgress }: UploadOptions, details: Details, waiting: Waiting): Command {
    const bytes = (details.data?.length ?? 0) + (details.head?.length ?? 0);
    if (!this.#started && failFast) throw new WirehubError(Code.NOT_CONNECTED);
    if (!this.#started && this.#earlyBytes + bytes > this.#bound) throw new WirehubError(Code.QUEUE_FULL);
    const end = performance.now() + timeout;
    const command: Command = {
      ...waiting,
      bytes,
      onProgress,
      number: 0,
      begin: (machine) => machine.input(kind, limit, name, { ...details, timeout: Math.max(0, end - performance.now()), failFast }),
      stop: onAbort(signal, (error) => this.giveUp(command, error)),
    };
    if (this.#started) this.#send(command);
    else {
      command.timer = setTimeout(() => this.giveUp(command, new WirehubError(Code.TIMEOUT)), Math.min(timeout, LONGEST));
      this.#early.add(command);
      this.#earlyBytes += bytes;
    }
    return command;
  }

  /** The module is loaded. */
  start(): void {
    this.#started = true;
    for (const command of this.#early) {
      clearTimeout(command.timer);
      this.#send(command);
    }
    this.#early.clear();
  }

  answer(number: number, more: boolean, answer: Answer): void {
    const command = this.#pending.get(number);
    if (more) command?.receive?.(answer);
    else {
      this.#pending.delete(number);
      command?.stop();
      command?.resolve(answer);
    }
  }

  progress(number: number, sent: number, total: number): void {
    const onProgress = this.#pending.get(number)?.onProgress;
    try {
      onProgress?.(sent, total);
    } catch (error) {
      report(error);
    }
  }

  fail(number: number, error: WirehubError): void {
    const command = this.#pending.get(number);
    if (command) this.#fail(command, error);
  }

  giveUp(command: Command, error: WirehubError): void {
    if (this.#fail(command, error)) this.#runner.tell(Request.Cancel, command.number);
  }

  /** The client ended, and so do its commands. */
  end(error: WirehubError): void {
    for (const command of [...this.#pending.values(), ...this.#early]) this.#fail(command, error);
  }

  #send(command: Command): void {
    try {
      command.number = this.#runner.enter(command.begin);
      this.#pending.set(command.number, command);
    } catch (error) {
      this.#fail(command, error as WirehubError);
    }
  }

  /** Returns whether the module has it. */
  #fail(command: Command, error: WirehubError): boolean {
    clearTimeout(command.timer);
    command.stop();
    command.reject(error);
    if (this.#early.delete(command)) this.#earlyBytes -= command.bytes;
    return this.#pending.delete(command.number);
  }
}
