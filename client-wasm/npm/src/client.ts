import { Client as Wasm } from '#wasm';
import { Backlog } from './backlog.js';
import { refuseUnsendable } from './close.js';
import type { AnyContract, CallOf, ChannelOf, Contract, ContractInfo, MessageOf, RequestOf, ResponseOf } from './contract.js';
import { aborted, CloseCodes, closedForGood, closeReason, Codes, toError, WirehubError } from './errors.js';
import { ClientErrorEvent, StateChangeEvent, type ClientEventMap } from './events.js';
import type { QueueOptions } from './feed.js';
import { decode, encode, readRows, type Encoded } from './payload.js';
import { watchPage } from './page.js';
import { enter, guarded, load, onDeath, type WasmSource } from './runtime.js';
import { Subscription, type SubscribeOptions } from './subscription.js';
import { websocketUrl } from './url.js';

/**
 * `connecting`: the first attempt, and those after it until one succeeds. `reconnecting`: the connection was lost.
 * `closed`: for good, by `close` or with a code that says not to come back.
 */
export type State = 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'closed';

export interface ClientOptions<C = AnyContract> {
  /** Says who this is; without one the client is anonymous. */
  token?: string;
  /** The program's name, for the server's log. */
  name?: string;
  /** The contract that the program was built with: where the server has another one, an `error` event says so. */
  contract?: ContractInfo<C>;
  /** Where the WebAssembly module comes from. By default it lies beside this package's own file. */
  wasm?: WasmSource;
  /** How long publishes and calls may take, in milliseconds, the time offline included. Default 10 000. */
  timeout?: number;
  /** The receive queue of each iterator. */
  queue?: QueueOptions;
}

export interface ConnectOptions {
  signal?: AbortSignal;
}

export interface PublishOptions {
  /** In milliseconds, in place of the client's. */
  timeout?: number;
  /** Gives up: what has not gone out is taken back. */
  signal?: AbortSignal;
}

export interface CallOptions {
  /** In milliseconds, in place of the client's. */
  timeout?: number;
  /** Gives up, and cancels the call on the server. */
  signal?: AbortSignal;
}

/**
 * Makes a client and waits until it is connected.
 *
 * ```ts
 * await using client = await connect('wss://example.org/ws');
 * for await (const { data } of client.subscribe('news')) console.log(data);
 * ```
 *
 * @throws {WirehubError} the server refuses the client for good, or `signal` aborts: the client is closed then.
 */
export async function connect<C extends Contract = AnyContract>(
  url: string | URL,
  options: ClientOptions<C> & { signal?: AbortSignal } = {},
): Promise<Client<C>> {
  const client = new Client<C>(url, options);
  try {
    await client.connect(options);
  } catch (error) {
    await client.close();
    throw error;
  }
  return client;
}

export interface Client<C extends Contract = AnyContract> {
  addEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: ((this: Client<C>, event: ClientEventMap[K]) => unknown) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

/** A client of one server. It does nothing until {@link connect}, and then stays connected until it is closed. */
export class Client<C extends Contract = AnyContract> extends EventTarget implements AsyncDisposable {
  readonly url: string;
  readonly #options: ClientOptions<C>;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #numbered = new Map<number, Subscription>();
  readonly #numbers = new Map<Subscription, number>();
  readonly #commands = new Map<number, Command>();
  readonly #waiting = new Set<Settle<void>>();
  readonly #backlog = new Backlog<Command>();
  #state: State = 'disconnected';
  #session: string | undefined;
  #user: string | undefined;
  #wasm: Wasm | undefined;
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #flushing = false;
  /** What the last error event said since the state changed: why the client closes, if it does. */
  #lastError: WirehubError | undefined;
  #end: WirehubError | undefined;
  #stopListening: () => void = () => undefined;

  /**
   * `url` is absolute, or relative to the page; `http:` and `https:` stand for `ws:` and `wss:`.
   *
   * @throws {WirehubError} the address can't be one of a server.
   */
  constructor(url: string | URL, options: ClientOptions<C> = {}) {
    super();
    this.url = websocketUrl(url);
    this.#options = options;
  }

  get state(): State {
    return this.#state;
  }

  /** The session's id; the last one's while reconnecting. */
  get session(): string | undefined {
    return this.#session;
  }

  /** The session's user; empty for an anonymous one. */
  get user(): string | undefined {
    return this.#user;
  }

  /**
   * Begins to connect, if that has not begun, and waits until the client is connected. Attempts go on until one
   * succeeds or the client is closed; `signal` ends only the waiting.
   *
   * @throws {WirehubError} the client is closed, the signal aborts, or the WebAssembly module can't be loaded (the
   * client is as before then).
   */
  async connect({ signal }: ConnectOptions = {}): Promise<void> {
    if (signal?.aborted) throw aborted(signal);
    if (this.#state === 'connected') return;
    if (this.#state === 'closed') throw this.#end ?? new WirehubError(Codes.CLOSED);
    const connected = new Promise<void>((resolve, reject) => {
      const stop = onAbort(signal, (error) => settle.reject(error));
      const settle: Settle<void> = {
        resolve: () => {
          this.#waiting.delete(settle);
          stop();
          resolve();
        },
        reject: (error) => {
          this.#waiting.delete(settle);
          stop();
          reject(error);
        },
      };
      this.#waiting.add(settle);
    });
    if (this.#state === 'disconnected') void this.#start();
    await connected;
  }

  /**
   * Subscribes to a channel: now or once the client is connected, and again after each reconnect.
   *
   * @throws {WirehubError} the channel has a subscription of this client, or the client is closed.
   */
  subscribe<K extends ChannelOf<C>>(channel: K, options: SubscribeOptions = {}): Subscription<MessageOf<C, K>> {
    this.#refuseWhenClosed();
    if (this.#subscriptions.has(channel)) throw new WirehubError(Codes.ALREADY_SUBSCRIBED);
    const { signal, queue = this.#options.queue ?? {} } = options;
    if (signal?.aborted) throw aborted(signal);
    const subscription: Subscription<MessageOf<C, K>> = new Subscription<MessageOf<C, K>>(channel, queue, () => {
      this.#unsubscribe(subscription as Subscription);
    });
    onAbort(signal, () => void subscription.unsubscribe());
    this.#subscriptions.set(channel, subscription as Subscription);
    if (this.#wasm !== undefined) this.#request(this.#wasm, subscription as Subscription);
    return subscription;
  }

  /**
   * Publishes a message, now or once the client is connected, and waits for the server's answer.
   *
   * @throws {WirehubError} the server refuses it; there was no answer in time; too much waits to be sent already; the
   * connection was lost before the answer came; the client is closed; the signal aborts.
   */
  async publish<K extends ChannelOf<C>>(channel: K, data: MessageOf<C, K>, options: PublishOptions = {}): Promise<void> {
    const encoded = encode(data);
    await this.#command(encoded, options, (wasm, timeout) => wasm.publish(channel, encoded.json, encoded.bytes, timeout));
  }

  /**
   * Calls a procedure of the server, now or once the client is connected, and waits for its response.
   *
   * @throws {WirehubError} as for {@link publish}.
   */
  async call<K extends CallOf<C>>(name: K, request: RequestOf<C, K>, options: CallOptions = {}): Promise<ResponseOf<C, K>> {
    const encoded = encode(request);
    const response = await this.#command(encoded, options, (wasm, timeout) => wasm.call(name, encoded.json, encoded.bytes, timeout));
    return response as ResponseOf<C, K>;
  }

  /**
   * Closes the client for good: what is queued fails, subscriptions end.
   *
   * @param code 1000, or 3000 to 4999.
   * @param reason At most 123 bytes.
   */
  async close(code: number = CloseCodes.NORMAL, reason = ''): Promise<void> {
    refuseUnsendable(code, reason);
    if (this.#state === 'closed') return;
    const wasm = this.#wasm;
    if (wasm === undefined) this.#finish(code, reason, undefined);
    else enter(() => wasm.close(code, reason));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    this.#changeState('connecting');
    try {
      await load(this.#options.wasm);
    } catch (error) {
      if (this.#isClosed()) return;
      this.#changeState('disconnected');
      for (const settle of this.#waiting) settle.reject(error as WirehubError);
      return;
    }
    if (this.#isClosed()) return;
    const { token = '', name = '', contract } = this.#options;
    const wasm = enter(() => new Wasm(this.#host(), this.url, token, name || '@wirehub/client', contractText(contract)));
    this.#wasm = wasm;
    const stopWatching = watchPage(guarded(() => wasm.reconnectNow()));
    const stopMourning = onDeath((error) => this.#die(error));
    this.#stopListening = () => {
      stopWatching();
      stopMourning();
    };
    for (const subscription of this.#subscriptions.values()) this.#request(wasm, subscription);
    for (const { command, timeout, send } of this.#backlog.take()) this.#send(wasm, command, timeout, send);
    guarded(() => wasm.connect())();
    this.#flush(wasm);
  }

  /** What the module calls. */
  #host(): object {
    return {
      listen: (socket: WebSocket, handler: (event: Event) => void) => {
        this.#socket = socket;
        socket.onopen = socket.onmessage = socket.onerror = socket.onclose = guarded(handler);
      },
      schedule: (delay: number | undefined) => {
        clearTimeout(this.#timer);
        if (delay !== undefined) this.#timer = setTimeout(guarded(() => this.#wasm?.tick()), delay);
      },
      toError: (code: number, temporary: boolean, words: string, about: string) => toError(code, temporary, words, about),
      onState: (state: number, session: string, user: string, code: number, reason: string, retryIn: number | undefined) => {
        this.#onState(STATES[state] ?? 'closed', session, user, code, reason, retryIn);
      },
      onPublications: (rows: Float64Array, text: string, bytes: Uint8Array) => {
        const channelOf = (number: number): string => this.#numbered.get(number)?.channel ?? '';
        for (const { subscription, publication, error, size } of readRows(rows, text, bytes, channelOf)) {
          // Asked for again: what handles one message may end the subscription of the next.
          const receiver = this.#numbered.get(subscription);
          if (error === undefined) receiver?.onPublication(publication, size);
          else receiver?.onUnreadable(error);
        }
      },
      onSubscribed: (number: number) => this.#numbered.get(number)?.onSubscribed(),
      onUnsubscribed: (number: number, error: WirehubError | undefined) => {
        const subscription = this.#numbered.get(number);
        if (subscription !== undefined) this.#forget(subscription, error);
      },
      onPublished: (number: number) => this.#take(number)?.resolve(undefined),
      onCalled: (number: number, content: number, text: string, bytes: Uint8Array) => {
        const command = this.#take(number);
        try {
          command?.resolve(decode(content, text, bytes));
        } catch (error) {
          command?.reject(error as WirehubError);
        }
      },
      onFailed: (number: number, error: WirehubError) => this.#take(number)?.reject(error),
      onError: (error: WirehubError) => {
        this.#lastError = error;
        this.dispatchEvent(new ClientErrorEvent(error));
      },
    };
  }

  #onState(state: State, session: string, user: string, code: number, reason: string, retryIn: number | undefined): void {
    if (state === 'closed') {
      this.#finish(code, closeReason(code, reason), this.#lastError);
      return;
    }
    this.#lastError = undefined;
    if (session !== '') {
      this.#session = session;
      this.#user = user;
    }
    if (state !== 'connected') for (const subscription of this.#subscriptions.values()) subscription.onLost();
    if (code === 0) this.#changeState(state);
    else this.#changeState(state, code, closeReason(code, reason), retryIn);
    if (state === 'connected') for (const settle of this.#waiting) settle.resolve();
  }

  #changeState(state: State, code?: number, reason?: string, retryIn?: number): void {
    const previous = this.#state;
    if (state === previous && code === undefined) return;
    this.#state = state;
    this.dispatchEvent(new StateChangeEvent({ state, previous, code, reason, retryIn }));
  }

  #command(encoded: Encoded, { timeout, signal }: PublishOptions, send: Send): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#refuseWhenClosed();
      if (signal?.aborted) throw aborted(signal);
      const command: Command = { number: undefined, resolve, reject, stop: () => undefined };
      command.stop = onAbort(signal, (error) => this.#giveUp(command, error));
      const bound = timeout ?? this.#options.timeout ?? 10_000;
      if (this.#wasm !== undefined) this.#send(this.#wasm, command, bound, send);
      else this.#backlog.add(command, bound, encoded.bytes.length, send);
    });
  }

  #send(wasm: Wasm, command: Command, timeout: number, send: Send): void {
    try {
      command.number = enter(() => send(wasm, timeout));
      this.#commands.set(command.number, command);
      this.#flush(wasm);
    } catch (error) {
      command.stop();
      command.reject(error as WirehubError);
    }
  }

  #giveUp(command: Command, error: WirehubError): void {
    const { number } = command;
    const wasm = this.#wasm;
    command.stop();
    command.reject(error);
    if (number === undefined || wasm === undefined) {
      this.#backlog.remove(command);
    } else if (this.#commands.delete(number)) {
      enter(() => wasm.cancel(number));
      this.#flush(wasm);
    }
  }

  #take(number: number): Command | undefined {
    const command = this.#commands.get(number);
    this.#commands.delete(number);
    command?.stop();
    return command;
  }

  #request(wasm: Wasm, subscription: Subscription): void {
    try {
      const number = enter(() => wasm.subscribe(subscription.channel));
      this.#numbered.set(number, subscription);
      this.#numbers.set(subscription, number);
      this.#flush(wasm);
    } catch (error) {
      // Told when the caller has got the subscription and listens to it.
      queueMicrotask(() => this.#forget(subscription, error as WirehubError));
    }
  }

  #unsubscribe(subscription: Subscription): void {
    const number = this.#numbers.get(subscription);
    const wasm = this.#wasm;
    this.#forget(subscription);
    if (number === undefined || wasm === undefined) return;
    enter(() => wasm.unsubscribe(number));
    this.#flush(wasm);
  }

  #forget(subscription: Subscription, error?: WirehubError): void {
    if (this.#subscriptions.get(subscription.channel) !== subscription) return;
    this.#subscriptions.delete(subscription.channel);
    this.#numbered.delete(this.#numbers.get(subscription) ?? 0);
    this.#numbers.delete(subscription);
    subscription.onUnsubscribed(error);
  }

  /** Has what is queued go out, with everything else that the running code still adds: many commands, one message. */
  #flush(wasm: Wasm): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#wasm === wasm) guarded(() => wasm.flush())();
    });
  }

  /** The module failed: what it would have told is told without it. */
  #die(error: WirehubError): void {
    const socket = this.#socket;
    if (socket !== undefined) {
      socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null;
      socket.close(CloseCodes.CLIENT_FAILED);
    }
    this.#wasm = undefined;
    this.dispatchEvent(new ClientErrorEvent(error));
    this.#finish(CloseCodes.CLIENT_FAILED, closeReason(CloseCodes.CLIENT_FAILED, ''), error);
  }

  /** The client is over. */
  #finish(code: number, reason: string, error: WirehubError | undefined): void {
    if (this.#state === 'closed') return;
    clearTimeout(this.#timer);
    this.#stopListening();
    const closed = error ?? closedForGood(code, reason);
    this.#end = closed;
    const commands = [...this.#commands.values(), ...this.#backlog.take().map((entry) => entry.command)];
    this.#commands.clear();
    for (const command of commands) {
      command.stop();
      command.reject(closed);
    }
    for (const subscription of [...this.#subscriptions.values()]) this.#forget(subscription, closed);
    this.#changeState('closed', code, reason);
    for (const settle of this.#waiting) settle.reject(closed);
    const wasm = this.#wasm;
    this.#wasm = undefined;
    // Not now: the module may be further up the stack.
    if (wasm !== undefined) queueMicrotask(guarded(() => wasm.free()));
  }

  #refuseWhenClosed(): void {
    if (this.#state === 'closed') throw this.#end ?? new WirehubError(Codes.CLOSED);
  }

  /** A function, because the state changes while one waits. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }
}

type Send = (wasm: Wasm, timeout: number) => number;

/** A publish or a call that has not ended. */
interface Command {
  /** Its number in the module, once that knows it. */
  number: number | undefined;
  resolve(value: unknown): void;
  reject(error: WirehubError): void;
  /** Stops listening to the caller's signal. */
  stop(): void;
}

interface Settle<T> {
  resolve(value: T): void;
  reject(error: WirehubError): void;
}

/** In the order of their numbers in the module. */
const STATES: readonly State[] = ['disconnected', 'connecting', 'connected', 'reconnecting', 'closed'];

function onAbort(signal: AbortSignal | undefined, give: (error: WirehubError) => void): () => void {
  if (signal === undefined) return () => undefined;
  const listener = (): void => give(aborted(signal));
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/** Name and hash of the contract and of each item, in turn, each in a line. */
function contractText(contract: ContractInfo<unknown> | undefined): string {
  return contract === undefined ? '' : [contract.name, contract.hash, ...Object.entries(contract.items).flat()].join('\n');
}
