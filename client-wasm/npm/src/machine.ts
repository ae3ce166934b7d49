import type { Answer } from './commands.js';
import type { ContractInfo } from './contract.js';
import type { Draft } from './draft.js';
import { Code, toError, WirehubError } from './errors.js';
import { Request, Row as Rows } from './generated/numbers.js';
import { requestName, rowName, type Log } from './log.js';
import { Guard, type Instance } from './runtime.js';
import type { Publication } from './subscription.js';
import type { WebSocketConstructor } from './options.js';

/** The details of a request. */
export interface Details {
  timeout?: number;
  failFast?: boolean;
  /** The key of a publish; the epoch of a start; the session behind which members are wanted. */
  second?: string | undefined;
  data?: Uint8Array;
  /** The JSON of the head, if the data belongs to an attachment. */
  head?: string;
  /** The data is JSON; the history is wanted in reverse; only the numbers of the members are wanted. */
  flag?: boolean;
  /** The start of a history. */
  offset?: number | undefined;
}

/** A message, a response, or a member. */
export interface Row {
  readonly publication: Draft<Publication>;
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
  /** The offsets of the messages are those of this epoch from now on. */
  onEpoch(subscription: number, epoch: string): void;
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
  /** Absolute. */
  readonly url: string;
  readonly webSocket: WebSocketConstructor | undefined;
  readonly token: string;
  readonly providesTokens: boolean;
  readonly name: string;
  readonly contract: ContractInfo<unknown> | undefined;
  /** In bytes. */
  readonly sendQueue: number;
  /** In milliseconds, as the following ones. */
  readonly connectTimeout: number;
  readonly minDelay: number;
  readonly log: Log | undefined;
  readonly maxDelay: number;
}

const NOTHING: Uint8Array = new Uint8Array();

/** The content of a message that is JSON and bytes. */
const ATTACHMENT = 3;

/** How many numbers a row has. */
const ROW = 9;

/** The client in the module, which has the WebSocket, the timers and all the rules. */
export class Machine extends Guard {
  readonly #client: InstanceType<Instance['Client']>;
  readonly #memory: WebAssembly.Memory;
  readonly #host: Host;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #numbers = new Float64Array();
  #bytes = new Uint8Array();
  readonly #log: Log | undefined;
  /** The reason for which a request failed. */
  #refusal: WirehubError | undefined;

  /** @throws {WirehubError} the module failed. */
  constructor({ Client, memory }: Instance, host: Host, settings: Settings) {
    super();
    this.#memory = memory;
    this.#host = host;
    this.#log = settings.log;
    const { url, webSocket, token, providesTokens, name, contract, sendQueue, connectTimeout, minDelay, maxDelay } = settings;
    const hash = BigInt(`0x${contract?.hash ?? 0}`);
    this.#client = this.enter(() => new Client(this, url, webSocket, token, providesTokens, name, contract?.name ?? '', hash, sendQueue, connectTimeout, minDelay, maxDelay));
  }

  /** Makes a request to the module; its results wait for {@link run}. Returns the number of a request. */
  input(kind: Request, number = 0, text = '', { second = '', head = '', data = NOTHING, flag = false, failFast = false, timeout = 0, offset = -1 }: Details = {}): number {
    this.#log?.(requestName(kind), number, text, { second, bytes: data.length, flag, timeout });
    const result = this.enter(() => this.#client.input(kind, number, text, second, head, data, flag, failFast, timeout, offset));
    if (result < 0) throw this.#refusal;
    return result;
  }

  /** Performs every action, and passes on every event. A failure is reported to the host alone. */
  run(): void {
    try {
      this.enter(() => this.#client.run());
    } catch {
      // Reported.
    }
  }

  /** The module calls this with rows of numbers, and the texts and payloads that belong to them. */
  deliver(at: number, count: number, start: number, size: number, dataAt: number): void {
    let numbers = this.#numbers;
    let bytes = this.#bytes;
    // Memory that grows takes another place.
    const look = (): void => {
      if (numbers.length > 0) return;
      const { buffer } = this.#memory;
      numbers = this.#numbers = new Float64Array(buffer);
      bytes = this.#bytes = new Uint8Array(buffer);
    };
    const host = this.#host;
    const decoder = this.#decoder;
    let parts: Row[] = [];
    const items = new Map<string, string>();
    let error: WirehubError | undefined;
    let index = at / 8;
    const last = index + count;
    let end = 0;
    let data = dataAt;
    look();
    // One long text is decoded faster than its parts. If it has as many characters as bytes, the lengths are the same.
    let all: string | undefined;
    const text = (length: number): string => {
      if (length === 0) return '';
      const from = end;
      end += length;
      all ??= decoder.decode(bytes.subarray(start, start + size));
      return all.length === size ? all.slice(from, end) : decoder.decode(bytes.subarray(start + from, start + end));
    };
    // Number by number, because this runs for every message.
    for (; index < last; index += ROW) {
      look();
      const [kind, number, a, b, c] = [numbers[index] as Rows, numbers[index + 1] as number, numbers[index + 2] as number, numbers[index + 3] as number, numbers[index + 4] as number];
      const first = text(numbers[index + 5] as number);
      const second = text(numbers[index + 6] as number);
      const third = numbers[index + 7] as number;
      const size = numbers[index + 8] as number;
      this.#log?.(rowName(kind), number, { a, b, c, first, second, bytes: third + size });
      const failure = error;
      error = undefined;
      if (kind <= Rows.Alarm) {
        const isAlarm = kind === Rows.Alarm;
        const publication: Draft<Publication> = { channel: isAlarm ? second : '', data: undefined, time: new Date(b) };
        if (!isAlarm) {
          if (first) publication.publisher = { session: first, user: second };
          if (c > 0) publication.offset = c;
        }
        const row: Row = { publication, error: undefined, size: third + size };
        const own = a > 0 ? bytes.slice(data, (data += size)) : undefined;
        if (own && a !== ATTACHMENT) publication.data = own;
        // A withdrawn alarm has no data.
        else if (!isAlarm || c >= 0) {
          try {
            const json: unknown = JSON.parse(text(third));
            publication.data = own ? { head: json, bytes: own } : json;
          } catch (cause) {
            row.error = new WirehubError(Code.PAYLOAD_MISMATCH, { cause });
          }
        }
        if (kind === Rows.Publication) host.onPublication(number, row);
        else if (kind === Rows.Part) parts.push(row);
        else if (isAlarm) host.onAlarm(first, row, c);
        else host.onMember(number, kind === Rows.Joined, row);
        continue;
      }
      switch (kind) {
        case Rows.Answer:
          if (failure) host.onFailed(number, failure);
          else host.onAnswer(number, a > 0, { rows: parts, position: { offset: b, epoch: first }, count: c });
          parts = [];
          break;
        case Rows.Error:
          error = toError(number, a > 0, first, second, host.causeOf(number));
          break;
        case Rows.State:
          host.onState(number, first, second, a, text(third), b < 0 ? undefined : b, failure);
          break;
        case Rows.Subscribed:
          host.onSubscribed(number, a);
          break;
        case Rows.Epoch:
          host.onEpoch(number, text(third));
          break;
        case Rows.Gap:
          host.onGap(number, a);
          break;
        case Rows.Unsubscribed:
          host.onUnsubscribed(number, failure);
          break;
        case Rows.Offered:
          host.onOffered(number, text(third));
          break;
        case Rows.ContractItem:
          items.set(text(third), ((BigInt(a) << 32n) | BigInt(number)).toString(16).padStart(16, '0'));
          break;
        case Rows.Contract:
          host.onContract(items);
          break;
        case Rows.TokenNeeded:
          host.onTokenNeeded(number);
          break;
        case Rows.Notice:
          host.onError(failure as WirehubError);
          break;
        case Rows.Refused:
          this.#refusal = failure;
      }
    }
  }

  protected override failed(error: WirehubError): void {
    this.#host.onDeath(error);
  }
}
