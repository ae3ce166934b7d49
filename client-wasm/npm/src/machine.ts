import type { Answer } from './commands.js';
import type { ContractInfo } from './contract.js';
import { CloseCode, Code, toError, WirehubError } from './errors.js';
import { encoder } from './payload.js';
import type { Exports } from './runtime.js';
import type { Publication } from './subscription.js';
import { closeSocket, openSocket, type WebSocketConstructor } from './websocket.js';

/** The events for the module. The numbers here and below are the module's. */
export enum Input {
  Begin,
  Connect,
  Open,
  Text,
  Closed,
  Timeout,
  Back,
  Online,
  Offline,
  PutAside,
  Unsubscribe,
  Cancel,
  SetToken,
  Token,
  NoToken,
  SignedOut,
  Close,
  Message,
  Drained,
}

/** The requests to the module. */
export enum Request {
  Subscribe = 19,
  Publish,
  PublishVolatile,
  Call,
  CallStream,
  History,
  Presence,
  Acknowledge,
}

/** The rows of its output. */
enum Output {
  Publication,
  Part,
  Joined,
  Left,
  Alarm,
  Answer,
  Error,
  State,
  Subscribed,
  Unsubscribed,
  TokenNeeded,
  Notice,
  Open,
  Send,
  Close,
  Offered,
  ContractItem,
  Contract,
  Gap,
}

/** The details of a request. */
export interface Details {
  timeout?: number;
  failFast?: boolean;
  data?: Uint8Array;
  /** The data is JSON; the history is wanted in reverse; only the numbers of the members are wanted. */
  flag?: boolean;
  /** The start of a history, and the number of messages wanted. */
  offset?: number | undefined;
  limit?: number;
}

/** A message, a response, or a member. */
export interface Row {
  readonly publication: Publication;
  /** The reason for which its data can't be read, if it can't. */
  error: WirehubError | undefined;
  /** Its size, for the receive queues. */
  readonly size: number;
}

/** The receiver of a machine's events. It may call the machine. */
export interface Host {
  /** The cause of an error with this code, if known. */
  causeOf(code: number): ErrorOptions | undefined;
  /**
   * `code` is 0 if no connection ended. `failure` is the error with which the client ended, unless the code describes
   * it.
   */
  onState(state: number, session: string, user: string, code: number, reason: string, retryIn: number | undefined, failure: WirehubError | undefined): void;
  onPublication(subscription: number, message: Row): void;
  /** `member` is the session and user, and its data is the session's info. */
  onMember(subscription: number, joined: boolean, member: Row): void;
  onSubscribed(subscription: number, recovery: number): void;
  /** Messages of an active subscription are missing. */
  onGap(subscription: number, reason: number): void;
  /** The server made a subscription. */
  onOffered(subscription: number, channel: string): void;
  /** `ttl` is in milliseconds; -1 if the alarm has ended. */
  onAlarm(id: string, alarm: Row, ttl: number): void;
  onUnsubscribed(subscription: number, error: WirehubError | undefined): void;
  onAnswer(command: number, more: boolean, answer: Answer): void;
  onFailed(command: number, error: WirehubError): void;
  onTokenNeeded(request: number): void;
  /** The server's contract differs, and has these items with these hashes. */
  onContract(items: ReadonlyMap<string, string>): void;
  onError(error: WirehubError): void;
  /** The module failed; the machine ends. */
  onDeath(error: WirehubError): void;
}

export interface Settings {
  readonly url: string;
  readonly webSocket: WebSocketConstructor;
  readonly token: string;
  readonly providesTokens: boolean;
  readonly name: string;
  readonly contract: ContractInfo<unknown> | undefined;
  /** In bytes. */
  readonly sendQueue: number;
}

/** Numbers that the bundler substitutes for their names. */
enum Bounds {
  /**
   * The browser accepts any amount and keeps it in memory. While it has more than this many bytes, no more are passed
   * to it, so that urgent messages can still go first.
   */
  SendBuffer = 64 * 1024,
  /** The browser does not notify of progress. While it has more than that, it is asked this often. */
  DrainPoll = 20,
  /** The same while it has less, but not nothing: progress is a sign of life. */
  ProgressPoll = 1000,
  /** The longest delay of a timer. */
  Delay = 2 ** 31 - 1,
}

enum Flags {
  Flag = 1,
  FailFast = 2,
}

const SUBPROTOCOL = 'wirehub.v1.protobuf';
const REFUSED = 'the browser refuses this address: use wss: on an https: page';

/** How many numbers the output has before its rows. */
const HEAD = 4;

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const NOTHING: Uint8Array = new Uint8Array();

/** The client's state machine, which is the module's, with its WebSocket and its timer. */
export class Machine {
  /** Undefined once the module has failed: later calls fail as well. */
  #wasm: Exports | undefined;
  readonly #host: Host;
  readonly #settings: Settings;
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time of the timer. */
  #armed = Infinity;
  /** How many bytes the browser had not sent when it was last asked. */
  #buffered = 0;
  #running = false;
  /** Whether there was input since the last run. */
  #changed = false;
  /** The time until the module has to be called again. */
  #due = Infinity;
  /** The last error in the output: the reason for which a request failed. */
  #error: WirehubError | undefined;

  constructor(wasm: Exports, host: Host, settings: Settings) {
    const { token, providesTokens, name, contract, sendQueue } = settings;
    this.#wasm = wasm;
    this.#host = host;
    this.#settings = settings;
    // Random bits, and the hash.
    const words = crypto.getRandomValues(new BigUint64Array(2));
    words[1] = BigInt(`0x${contract?.hash ?? 0}`);
    const contractName = encoder.encode(contract?.name);
    const data = Uint8Array.of(...new Uint8Array(words.buffer), ...contractName, ...encoder.encode(name));
    this.enter(() => this.input(Input.Begin, contractName.length, token, data, Number(providesTokens) * Flags.Flag, 0, sendQueue));
  }

  /**
   * Runs code that uses {@link input}, {@link request} or {@link publishVolatile}. An exception other than a
   * WirehubError is a failure of the module, after which its memory can't be trusted.
   */
  enter<T>(call: (machine: Machine) => T): T {
    try {
      return call(this);
    } catch (error) {
      if (error instanceof WirehubError) throw error;
      throw this.#die(error);
    }
  }

  /**
   * Passes in an event or a request; its results wait for {@link run}. The meaning of the returned number depends on
   * the kind.
   */
  input(kind: Input | Request, number = 0, text = '', data = NOTHING, flags = 0, timeout = 0, offset = 0): number {
    this.#changed = true;
    const { reserve, memory, input } = this.#wasm as Exports;
    const bytes = encoder.encode(text);
    const at = reserve(bytes.length + data.length);
    const room = new Uint8Array(memory.buffer, at);
    room.set(bytes);
    room.set(data, bytes.length);
    return input(kind, performance.now(), number, bytes.length, flags, timeout, offset);
  }

  /** Begins a request; returns its number. */
  request(kind: Request, name: string, { timeout, failFast, data, flag, offset = -1, limit }: Details = {}): number {
    const flags = (flag ? Flags.Flag : 0) + (failFast ? Flags.FailFast : 0);
    const number = this.input(kind, limit, name, data, flags, timeout, offset);
    if (number < 0) {
      this.#apply(-number);
      throw this.#error;
    }
    return number;
  }

  /** Publishes now or never; returns `false` if the message was dropped. */
  publishVolatile(channel: string, message: Details): boolean {
    // Commands that were queued before are no reason to drop this one.
    while (this.#turn(false));
    return this.request(Request.PublishVolatile, channel, message) > 0;
  }

  /** Passes in an event, if there is one; performs every action, and passes on every event. */
  run(kind?: Input, number?: number, text?: string, data?: Uint8Array): void {
    try {
      if (kind !== undefined) this.input(kind, number, text, data);
      // A caller further up the stack will do it.
      if (this.#running) return;
      this.#running = true;
      if (this.#pending() < this.#buffered) this.input(Input.Drained);
      do {
        // Messages go out before listeners are called.
        while (this.#turn(false));
        this.#changed = false;
        this.#turn(true);
        // A listener may have made a request.
      } while (this.#changed);
      this.#running = false;
      this.#buffered = this.#pending();
      this.#arm(this.#buffered > 0 ? Math.min(this.#due, this.#isWritable() ? Bounds.ProgressPoll : Bounds.DrainPoll) : this.#due);
    } catch (error) {
      this.#die(error);
    }
  }

  /** Returns whether there was an action or an event. */
  #turn(events: boolean): boolean {
    return this.#apply((this.#wasm as Exports).poll(performance.now(), this.#isWritable(), events));
  }

  /** Performs the actions and passes on the events in the output; returns whether there were any. */
  #apply(output: number): boolean {
    const { buffer } = (this.#wasm as Exports).memory;
    const [length, start, size, due] = new Float64Array(buffer, output, HEAD) as unknown as [number, number, number, number];
    this.#due = due;
    // Checked early, because this ends each run.
    if (length === HEAD) return false;
    // Copies, because listeners call into the module, which owns this memory.
    const numbers = new Float64Array(buffer, output, length).slice();
    const bytes = new Uint8Array(buffer, start, size).slice();
    const host = this.#host;
    let parts: Row[] = [];
    const items = new Map<string, string>();
    let error: WirehubError | undefined;
    let at = HEAD;
    let end = 0;
    let all: string | undefined;
    const next = (): number => numbers[at++] as number;
    const text = (length: number): string => {
      if (length === 0) return '';
      const start = end;
      end += length;
      // One long text is decoded faster than its parts. If it has as many characters as bytes, the lengths are the
      // same.
      all ??= decoder.decode(bytes);
      return all.length === size ? all.slice(start, end) : decoder.decode(bytes.subarray(start, end));
    };
    // Number by number, because this runs for every message.
    while (at < length) {
      const kind: Output = next();
      const number = next();
      const a = next();
      const b = next();
      const c = next();
      const first = text(next());
      const second = text(next());
      const third = next();
      const failure = error;
      error = undefined;
      if (kind <= Output.Alarm) {
        const isAlarm = kind === Output.Alarm;
        const publication: Publication = { channel: isAlarm ? second : '', data: undefined, time: new Date(b) };
        if (!isAlarm) {
          if (first) publication.publisher = { session: first, user: second };
          if (c > 0) publication.offset = c;
        }
        const row: Row = { publication, error: undefined, size: third };
        if (a > 0) publication.data = bytes.slice(end, (end += third));
        // A withdrawn alarm has no data.
        else if (!isAlarm || c >= 0) {
          try {
            publication.data = JSON.parse(text(third));
          } catch (cause) {
            row.error = new WirehubError(Code.PAYLOAD_MISMATCH, { cause });
          }
        }
        if (kind === Output.Publication) host.onPublication(number, row);
        else if (kind === Output.Part) parts.push(row);
        else if (isAlarm) host.onAlarm(first, row, c);
        else host.onMember(number, kind === Output.Joined, row);
        continue;
      }
      switch (kind) {
        case Output.Answer:
          if (failure) host.onFailed(number, failure);
          else host.onAnswer(number, a > 0, { rows: parts, position: { offset: b, epoch: first }, count: c });
          parts = [];
          break;
        case Output.Error:
          error = toError(number, a > 0, first, second, host.causeOf(number));
          break;
        case Output.State:
          host.onState(number, first, second, a, text(third), b < 0 ? undefined : b, failure);
          break;
        case Output.Subscribed:
          host.onSubscribed(number, a);
          break;
        case Output.Gap:
          host.onGap(number, a);
          break;
        case Output.Unsubscribed:
          host.onUnsubscribed(number, failure);
          break;
        case Output.Offered:
          host.onOffered(number, text(third));
          break;
        case Output.ContractItem:
          items.set(text(third), ((BigInt(a) << 32n) | BigInt(number)).toString(16).padStart(16, '0'));
          break;
        case Output.Contract:
          host.onContract(items);
          break;
        case Output.TokenNeeded:
          host.onTokenNeeded(number);
          break;
        case Output.Notice:
          host.onError(failure as WirehubError);
          break;
        case Output.Open:
          this.#open();
          break;
        case Output.Send:
          // It is open, or it is closed and the event for that is about to come.
          this.#socket?.send(bytes.subarray(end, (end += third)));
          break;
        case Output.Close:
          this.#close(number, text(third));
      }
    }
    this.#error = error;
    return true;
  }

  #open(): void {
    const { webSocket, url } = this.#settings;
    try {
      this.#socket = openSocket(webSocket, url, [SUBPROTOCOL], (event) => this.#on(event));
    } catch {
      // Another attempt would be refused as well.
      this.input(Input.Closed, CloseCode.NOT_WIREHUB, REFUSED);
    }
  }

  #on(event: Event): void {
    const { type, data, code, reason } = event as MessageEvent<string | ArrayBuffer> & CloseEvent;
    if (type === 'message') {
      if (typeof data === 'string') this.run(Input.Text);
      else this.run(Input.Message, 0, '', new Uint8Array(data));
    } else if (type === 'close') {
      this.#socket = undefined;
      this.run(Input.Closed, code, reason);
    } else if (type === 'open') this.run(Input.Open, 0, this.#socket?.protocol);
  }

  #close(code: number, reason: string): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) closeSocket(socket, code, reason);
  }

  /** How many bytes the browser has accepted and not sent. */
  #pending(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  #isWritable(): boolean {
    return this.#pending() <= Bounds.SendBuffer;
  }

  /** Sets the timer. If it fires too early it is set again, which is cheaper than setting it with each message. */
  #arm(delay: number): void {
    const due = performance.now() + delay;
    if (due >= this.#armed && delay < Infinity) return;
    clearTimeout(this.#timer);
    this.#armed = due;
    if (delay === Infinity) return;
    const tick = (): void => {
      this.#armed = Infinity;
      this.run(Input.Timeout);
    };
    // Rounded up: a timer that fires just before its time would have to be set again.
    this.#timer = setTimeout(tick, Math.min(Math.ceil(delay), Bounds.Delay));
  }

  /** Ends after a failure of the module, without calling it. */
  #die(cause: unknown): WirehubError {
    const error = new WirehubError(Code.DEAD, { cause });
    if (this.#wasm) {
      this.#wasm = undefined;
      this.#arm(Infinity);
      this.#close(CloseCode.CLIENT_FAILED, '');
      this.#host.onDeath(error);
    }
    return error;
  }
}
