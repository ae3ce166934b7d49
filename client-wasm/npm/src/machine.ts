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
  size: number;
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
  /** In the list of members, `removed` ones from the place `at` on were replaced by others, or it can't be read. */
  onMembers(subscription: number, at: number, removed: number, others: readonly Row[], error: WirehubError | undefined): void;
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
  /** More of a command in parts is sent. */
  onProgress(command: number, sent: number, total: number): void;
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

  /**
   * The module calls this with rows of numbers, and the texts and data that belong to them. A receiver may call the module
   * meanwhile, also this again: nothing of one delivery is kept in the object.
   */
  deliver(at: number, count: number, start: number, size: number, dataAt: number): void {
    const host = this.#host;
    const texts = new Texts(this, start, size);
    let parts: Row[] = [];
    let items: Map<string, string> | undefined;
    let error: WirehubError | undefined;
    let data = dataAt;
    const last = at / 8 + count;
    // Number by number, because this runs for every message.
    for (let index = at / 8; index < last; index += ROW) {
      const numbers = this.#view();
      const kind = numbers[index] as Rows;
      const number = numbers[index + 1] as number;
      const a = numbers[index + 2] as number;
      const b = numbers[index + 3] as number;
      const c = numbers[index + 4] as number;
      const dataSize = numbers[index + 8] as number;
      const textSize = numbers[index + 7] as number;
      const first = texts.next(numbers[index + 5] as number);
      const second = texts.next(numbers[index + 6] as number);
      const third = texts.next(textSize);
      this.#log?.(rowName(kind), number, { a, b, c, first, second, bytes: textSize + dataSize });
      const failure = error;
      error = undefined;
      if (kind <= Rows.Alarm) {
        const bytes = a > 0 ? this.bytes.slice(data, (data += dataSize)) : undefined;
        const row = kind === Rows.Alarm ? message(second, '', '', b, 0) : message('', first, second, b, c);
        row.size = textSize + dataSize;
        // A withdrawn alarm has no data.
        if (kind !== Rows.Alarm || c >= 0) read(row, a, third, bytes);
        if (kind === Rows.Publication) host.onPublication(number, row);
        else if (kind === Rows.Part) parts.push(row);
        else if (kind === Rows.Alarm) host.onAlarm(first, row, c);
        else host.onMember(number, kind === Rows.Joined, row);
        continue;
      }
      switch (kind) {
        case Rows.Answer:
          if (failure) host.onFailed(number, failure);
          else host.onAnswer(number, a > 0, { rows: parts, position: { offset: b, epoch: first }, count: c });
          parts = [];
          break;
        case Rows.Progress:
          host.onProgress(number, a, b);
          break;
        case Rows.Error:
          error = toError(number, a > 0, first, second, host.causeOf(number));
          break;
        case Rows.State:
          host.onState(number, first, second, a, third, b < 0 ? undefined : b, failure);
          break;
        case Rows.Subscribed:
          host.onSubscribed(number, a);
          break;
        case Rows.Epoch:
          host.onEpoch(number, third);
          break;
        case Rows.Gap:
          host.onGap(number, a);
          break;
        case Rows.Members:
          host.onMembers(number, a, b, parts, failure);
          parts = [];
          break;
        case Rows.Unsubscribed:
          host.onUnsubscribed(number, failure);
          break;
        case Rows.Offered:
          host.onOffered(number, third);
          break;
        case Rows.ContractItem:
          items ??= new Map();
          items.set(third, ((BigInt(a) << 32n) | BigInt(number)).toString(16).padStart(16, '0'));
          break;
        case Rows.Contract:
          host.onContract(items ?? new Map());
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

  /** The bytes of the module's memory. */
  get bytes(): Uint8Array {
    this.#view();
    return this.#bytes;
  }

  decode(bytes: Uint8Array): string {
    return this.#decoder.decode(bytes);
  }

  /** The numbers in the module's memory. Memory that grows takes another place, and the views of the old one are empty. */
  #view(): Float64Array {
    if (this.#numbers.length === 0) {
      const { buffer } = this.#memory;
      this.#numbers = new Float64Array(buffer);
      this.#bytes = new Uint8Array(buffer);
    }
    return this.#numbers;
  }

  protected override failed(error: WirehubError): void {
    this.#host.onDeath(error);
  }
}

/** The texts of a delivery, one after the other. */
class Texts {
  readonly #machine: Machine;
  readonly #start: number;
  readonly #size: number;
  #at = 0;
  /** One long text is decoded faster than its parts. If it has as many characters as bytes, the lengths are the same. */
  #all: string | undefined;

  constructor(machine: Machine, start: number, size: number) {
    this.#machine = machine;
    this.#start = start;
    this.#size = size;
  }

  /** The next text, of that many bytes. */
  next(length: number): string {
    if (length === 0) return '';
    const from = this.#at;
    const end = (this.#at += length);
    const machine = this.#machine;
    this.#all ??= machine.decode(machine.bytes.subarray(this.#start, this.#start + this.#size));
    return this.#all.length === this.#size ? this.#all.slice(from, end) : machine.decode(machine.bytes.subarray(this.#start + from, this.#start + end));
  }
}

/** A message without its data. */
function message(channel: string, session: string, user: string, time: number, offset: number): Row {
  const publication: Draft<Publication> = { channel, data: undefined, time: new Date(time) };
  if (session) publication.publisher = { session, user };
  if (offset > 0) publication.offset = offset;
  return { publication, error: undefined, size: 0 };
}

/** Reads the data of a message: JSON, bytes, or both. */
function read(row: Row, content: number, text: string, bytes: Uint8Array | undefined): void {
  if (bytes && content !== ATTACHMENT) {
    row.publication.data = bytes;
    return;
  }
  try {
    const json: unknown = JSON.parse(text);
    row.publication.data = bytes ? { head: json, bytes } : json;
  } catch (cause) {
    row.error = new WirehubError(Code.PAYLOAD_MISMATCH, { cause });
  }
}
