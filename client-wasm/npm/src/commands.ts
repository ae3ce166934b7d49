import { Backlog } from './backlog.js';
import { aborted, Codes, WirehubError } from './errors.js';
import type { Position } from './history.js';
import { Input, type Machine, type Row } from './machine.js';
import type { SendOptions } from './options.js';

/** What the server says to a command. */
export interface Answer {
  readonly rows: readonly Row[];
  /** Of a history: its newest place. */
  readonly position: Position;
  /** Of a channel's members: how many users they are; the position's offset is how many sessions. */
  readonly count: number;
}

/** Whoever waits for a command. */
export interface Waiting {
  resolve(answer: Answer): void;
  reject(error: WirehubError): void;
  /** An answer that is not the last. */
  receive?(answer: Answer): void;
}

/** Begins a command; gives its number in the module. */
export type Send = (machine: Machine, timeout: number, failFast: boolean) => number;

/** A command that has not ended. */
export interface Command extends Waiting {
  /** Its number in the module, once that knows it. */
  number: number | undefined;
  /** Stops listening to the caller's signal. */
  stop(): void;
}

/** The commands of a client that have not ended. */
export class Commands {
  readonly #timeout: number;
  /** Calls into the module; what that queues goes out soon. */
  readonly #enter: <T>(call: (machine: Machine) => T) => T;
  readonly #pending = new Map<number, Command>();
  readonly #backlog = new Backlog<Command>();
  #started = false;

  constructor(timeout: number, enter: <T>(call: (machine: Machine) => T) => T) {
    this.#timeout = timeout;
    this.#enter = enter;
  }

  /** @throws {WirehubError} the signal has aborted; too much waits already; it may not wait, and would have to. */
  begin(bytes: number, { timeout = this.#timeout, signal, failFast = false }: SendOptions, send: Send, waiting: Waiting): Command {
    if (signal?.aborted) throw aborted(signal);
    if (failFast && !this.#started) throw new WirehubError(Codes.NOT_CONNECTED);
    const command: Command = { ...waiting, number: undefined, stop: () => undefined };
    command.stop = onAbort(signal, (error) => this.giveUp(command, error));
    if (this.#started) this.#send(command, (machine) => send(machine, timeout, failFast));
    else this.#backlog.add(command, timeout, bytes, (machine, left) => send(machine, left, false));
    return command;
  }

  /** The module is there. */
  start(): void {
    this.#started = true;
    for (const { command, timeout, send } of this.#backlog.take()) this.#send(command, (machine) => send(machine, timeout));
  }

  answer(number: number, more: boolean, answer: Answer): void {
    if (more) this.#pending.get(number)?.receive?.(answer);
    else this.#take(number)?.resolve(answer);
  }

  fail(number: number, error: WirehubError): void {
    this.#take(number)?.reject(error);
  }

  giveUp(command: Command, error: WirehubError): void {
    const { number } = command;
    command.stop();
    command.reject(error);
    if (number === undefined) this.#backlog.remove(command);
    else if (this.#pending.delete(number)) this.#enter((machine) => machine.input(Input.Cancel, number));
  }

  /** The client is over, and all of them are. */
  end(error: WirehubError): void {
    const commands = [...this.#pending.values(), ...this.#backlog.take().map((entry) => entry.command)];
    this.#pending.clear();
    for (const command of commands) {
      command.stop();
      command.reject(error);
    }
  }

  #send(command: Command, send: (machine: Machine) => number): void {
    try {
      command.number = this.#enter(send);
      this.#pending.set(command.number, command);
    } catch (error) {
      command.stop();
      command.reject(error as WirehubError);
    }
  }

  #take(number: number): Command | undefined {
    const command = this.#pending.get(number);
    this.#pending.delete(number);
    command?.stop();
    return command;
  }
}

/** Calls `give` when the signal aborts; gives a function that takes that back. */
export function onAbort(signal: AbortSignal | undefined, give: (error: WirehubError) => void): () => void {
  if (signal === undefined) return () => undefined;
  const listener = (): void => give(aborted(signal));
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}
