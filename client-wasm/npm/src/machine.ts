import type { Answer } from './commands.js';
import type { ContractInfo } from './contract.js';
import { CloseCode, Code, toError, WirehubError } from './errors.js';
import type { Exports } from './runtime.js';
import type { Publication } from './subscription.js';
import { closeSocket, openSocket, type WebSocketConstructor } from './websocket.js';

/** What the module can be told. The numbers here and below are the module's. */
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
}

/** What it can be asked to do. */
export enum Request {
  Subscribe = 18,
  Publish,
  PublishVolatile,
  Call,
  CallStream,
  History,
  Presence,
  Acknowledge,
}

/** What it says. */
enum Output {
  Publication,
  Part,
  Joined,
  Left,
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
  Alarm,
  ContractItem,
  Contract,
}

/** What a request is about. */
export interface Details {
  timeout?: number;
  failFast?: boolean;
  data?: Uint8Array;
  /** The data is JSON; the history is wanted in reverse; of the members only how many they are. */
  flag?: boolean;
  /** Where a history begins, and how much of it is wanted. */
  offset?: number | undefined;
  limit?: number;
}

/** An old message, a response, or a member. */
export interface Row {
  readonly publication: Publication;
  /** Why its data can't be read, if so. */
  readonly error: WirehubError | undefined;
  /** How much it is, for the receive queues. */
  readonly size: number;
}

/** Who a machine tells what happens. What it does about that may be to call the machine. */
export interface Host {
  /** Why there is an error with this code, if that is known. */
  causeOf(code: number): ErrorOptions | undefined;
  /** `code` is 0 where no connection ended; `failure` is why the client is over, where the code does not say it. */
  onState(state: number, session: string, user: string, code: number, reason: string, retryIn: number | undefined, failure: WirehubError | undefined): void;
  /** `error`: why its data can't be read. `size` is how much it is, for the receive queues. */
  onPublication(subscription: number, publication: Publication, error: WirehubError | undefined, size: number): void;
  /** `member` is who it is, and its data what is shown of the session. */
  onMember(subscription: number, joined: boolean, member: Row): void;
  onSubscribed(subscription: number, recovery: number): void;
  /** The server made a subscription. */
  onOffered(subscription: number, channel: string): void;
  /** `ttl` is in milliseconds; -1 where the alarm is withdrawn. */
  onAlarm(id: string, alarm: Row, ttl: number): void;
  onUnsubscribed(subscription: number, error: WirehubError | undefined): void;
  onAnswer(command: number, more: boolean, answer: Answer): void;
  onFailed(command: number, error: WirehubError): void;
  onTokenNeeded(request: number): void;
  /** The server's contract is another one, with these items and their hashes. */
  onContract(items: ReadonlyMap<string, string>): void;
  onError(error: WirehubError): void;
  /** The module failed; the machine is over. */
  onDeath(error: WirehubError): void;
}

export interface Settings {
  readonly url: string;
  readonly webSocket: WebSocketConstructor;
  readonly token: string;
  readonly providesTokens: boolean;
  readonly name: string;
  readonly contract: ContractInfo<unknown> | undefined;
}

/** The browser takes any amount, and keeps it in memory: over this many bytes nothing more is given to it. */
const SEND_BUFFER = 256 * 1024;
/** It does not tell when it has sent: this is how often it is asked, while it has more than that. */
const DRAIN_POLL = 20;
/** The longest delay that timers know. */
const LONGEST = 2 ** 31 - 1;

const SUBPROTOCOL = 'wirehub.v1.protobuf';
const REFUSED = 'the browser refuses to open this address: use ws: or wss:, and from an https: page wss:';

const HEAD = 4;
const ROW = 8;
const JSON_CONTENT = 0;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const NOTHING = new Uint8Array();
const FLAG = 1;
const FAIL_FAST = 2;

/** What a volatile publish gives that was not dropped. */
const SENT = 1;

/** The client's state machine, which is the module's, with the WebSocket and the timer it asks for. */
export class Machine {
  /** None once it has failed: what is called then fails as well. */
  #wasm: Exports | undefined;
  readonly #host: Host;
  readonly #settings: Settings;
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer fires. */
  #armed = Infinity;
  #running = false;
  /** Whether something has been put in. */
  #changed = false;

  constructor(wasm: Exports, host: Host, settings: Settings) {
    const [low, high] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
    const { token, providesTokens, name, contract } = settings;
    this.#wasm = wasm;
    this.#host = host;
    this.#settings = settings;
    const hash = new Uint8Array(new BigUint64Array([BigInt(`0x${contract?.hash ?? 0}`)]).buffer);
    const contractName = encoder.encode(contract?.name);
    const data = Uint8Array.of(...hash, ...contractName, ...encoder.encode(name));
    this.enter(() => this.#input(Input.Begin, low, token, data, Number(providesTokens) * FLAG, contractName.length, high));
  }

  /**
   * Calls what uses {@link input}, {@link request} or {@link publishVolatile}. What comes out of it that is no error of
   * ours is the module's own failure, after which its memory can't be trusted.
   */
  enter<T>(call: (machine: Machine) => T): T {
    try {
      return call(this);
    } catch (error) {
      if (error instanceof WirehubError) throw error;
      throw this.#die(error);
    }
  }

  /** Tells what happened, or is wished; what comes of it waits for {@link run}. */
  input(kind: Input, number = 0, text = '', data = NOTHING): void {
    this.#input(kind, number, text, data, 0, 0, 0);
  }

  /** Begins a request; gives its number. */
  request(kind: Request, name: string, { timeout = 0, failFast = false, data = NOTHING, flag = false, offset = -1, limit = 0 }: Details = {}): number {
    const number = this.#input(kind, limit, name, data, Number(flag) * FLAG + Number(failFast) * FAIL_FAST, timeout, offset);
    if (number < 0) throw this.#apply(-number).error;
    return number;
  }

  /** Publishes now or never; `false` where it was dropped. */
  publishVolatile(channel: string, message: Details): boolean {
    // What was queued before is no reason to drop this.
    while (this.#turn(false).any);
    return this.request(Request.PublishVolatile, channel, message) === SENT;
  }

  /** Tells what happened, if anything; does all that there is to do, and tells all that there is to tell. */
  run(...happened: [] | Parameters<Machine['input']>): void {
    try {
      if (happened.length > 0) this.input(...(happened as Parameters<Machine['input']>));
      // Whoever is further up the stack will do it.
      if (this.#running) return;
      this.#running = true;
      let turn: Applied;
      do {
        // What has to go out does not wait for those who are told.
        while (this.#turn(false).any);
        this.#changed = false;
        turn = this.#turn(true);
        // Those who were told may have wished for something.
      } while (this.#changed);
      this.#running = false;
      this.#arm(this.#isWritable() ? turn.due : Math.min(turn.due, DRAIN_POLL));
    } catch (error) {
      this.#die(error);
    }
  }

  #turn(events: boolean): Applied {
    return this.#apply((this.#wasm as Exports).poll(performance.now(), this.#isWritable(), events));
  }

  #input(kind: Input | Request, number: number, text: string, data: Uint8Array, flags: number, timeout: number, offset: number): number {
    this.#changed = true;
    const { reserve, memory, input } = this.#wasm as Exports;
    const bytes = encoder.encode(text);
    const at = reserve(bytes.length + data.length);
    const room = new Uint8Array(memory.buffer, at);
    room.set(bytes);
    room.set(data, bytes.length);
    return input(kind, performance.now(), number, bytes.length, flags, timeout, offset);
  }

  /** Does and tells what is in the output. */
  #apply(at: number): Applied {
    const { buffer } = (this.#wasm as Exports).memory;
    const head = new Float64Array(buffer, at, HEAD);
    const length = head[0] as number;
    const any = length > HEAD;
    const due = (head[3] as number) < 0 ? Infinity : (head[3] as number);
    // Quickly, because this ends each run.
    if (!any) return { any, due, error: undefined };
    // Copies, because what is told calls into the module, whose memory it is.
    const numbers = new Float64Array(buffer, at, length).slice(HEAD);
    const bytes = new Uint8Array(buffer, head[1] as number, head[2] as number).slice();
    const host = this.#host;
    let parts: Row[] = [];
    const items = new Map<string, string>();
    let error: WirehubError | undefined;
    let all: string | undefined;
    let end = 0;
    const text = (length: number): string => {
      const start = end;
      end += length;
      // One long text is decoded faster than its parts, and has as many characters as bytes where these are the same.
      all ??= decoder.decode(bytes);
      return all.length === bytes.length ? all.slice(start, end) : decoder.decode(bytes.subarray(start, end));
    };
    // Index by index, and without an object for the row, because this runs for every message.
    for (let row = 0; row < numbers.length; row += ROW) {
      const number = numbers[row + 1] as number;
      const a = numbers[row + 2] as number;
      const b = numbers[row + 3] as number;
      const c = numbers[row + 4] as number;
      const first = numbers[row + 5] as number;
      const second = numbers[row + 6] as number;
      const third = numbers[row + 7] as number;
      const kind: Output = numbers[row] as number;
      if (kind <= Output.Left || kind === Output.Alarm) {
        const publication: Publication = { channel: '', data: undefined, time: new Date(b) };
        let id = '';
        if (kind === Output.Alarm) {
          id = text(first);
          publication.channel = text(second);
        } else {
          if (first > 0) publication.publisher = { session: text(first), user: text(second) };
          if (c !== 0) publication.offset = c;
        }
        let unreadable: WirehubError | undefined;
        if (a === JSON_CONTENT) {
          try {
            // What is withdrawn has no data.
            if (id === '' || c >= 0) publication.data = JSON.parse(text(third));
          } catch (cause) {
            unreadable = new WirehubError(Code.PAYLOAD_MISMATCH, { cause });
          }
        } else publication.data = bytes.slice(end, (end += third));
        if (kind === Output.Publication) host.onPublication(number, publication, unreadable, third);
        else {
          const part = { publication, error: unreadable, size: third };
          if (kind === Output.Part) parts.push(part);
          else if (kind === Output.Alarm) host.onAlarm(id, part, c);
          else host.onMember(number, kind === Output.Joined, part);
        }
        continue;
      }
      const failure = error;
      error = undefined;
      switch (kind) {
        case Output.Answer:
          if (failure === undefined) host.onAnswer(number, a !== 0, { rows: parts, position: { offset: b, epoch: text(first) }, count: c });
          else host.onFailed(number, failure);
          parts = [];
          break;
        case Output.Error:
          error = toError(number, a !== 0, text(first), text(second), host.causeOf(number));
          break;
        case Output.State:
          host.onState(number, text(first), text(second), a, text(third), b < 0 ? undefined : b, failure);
          break;
        case Output.Subscribed:
          host.onSubscribed(number, a);
          break;
        case Output.Unsubscribed:
          host.onUnsubscribed(number, failure);
          break;
        case Output.Offered:
          host.onOffered(number, text(first));
          break;
        case Output.ContractItem:
          items.set(text(first), (BigInt(a) << 32n | BigInt(number)).toString(16).padStart(16, '0'));
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
          // It is open, or closed with an event on its way that says so.
          this.#socket?.send(bytes.subarray(end, (end += first)));
          break;
        case Output.Close:
          this.#close(number, text(first));
      }
    }
    return { any, due, error };
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
    const { data, code, reason } = event as MessageEvent<string | ArrayBuffer> & CloseEvent;
    switch (event.type) {
      case 'open':
        this.run(Input.Open, 0, this.#socket?.protocol);
        break;
      case 'message':
        if (typeof data === 'string') this.run(Input.Text);
        else this.run(Input.Message, 0, '', new Uint8Array(data));
        break;
      case 'close':
        this.#socket = undefined;
        this.run(Input.Closed, code, reason);
    }
  }

  #close(code: number, reason: string): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) closeSocket(socket, code, reason);
  }

  #isWritable(): boolean {
    return (this.#socket?.bufferedAmount ?? 0) <= SEND_BUFFER;
  }

  /**
   * Sees to it that the timer fires in time. Where it fires too early it is set again: that is cheaper than setting it
   * with each message.
   */
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
    // Rounded up: one that fires just before its time would have to be set again.
    this.#timer = setTimeout(tick, Math.min(Math.ceil(delay), LONGEST));
  }

  /** Ends without the module, which failed. */
  #die(cause: unknown): WirehubError {
    const error = new WirehubError(Code.DEAD, { cause });
    if (this.#wasm !== undefined) {
      this.#wasm = undefined;
      this.#arm(Infinity);
      this.#close(CloseCode.CLIENT_FAILED, '');
      this.#host.onDeath(error);
    }
    return error;
  }
}

/** What an output came to. */
interface Applied {
  /** Whether there was any. */
  readonly any: boolean;
  /** How long it is until time has passed. */
  readonly due: number;
  /** What stood last in it: why a request failed. */
  readonly error: WirehubError | undefined;
}
