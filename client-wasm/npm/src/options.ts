import type { AnyContract, ContractInfo } from './contract.js';
import type { QueueOptions } from './feed.js';
import type { Position } from './history.js';
import type { WasmSource } from './runtime.js';
import type { TokenProvider } from './tokens.js';

/** The class of WebSockets: the browser's own, or a compatible one. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => unknown;

/** The options of a client. */
export interface ClientOptions<C = AnyContract> {
  /** A token, or a provider of tokens; without one the client is anonymous. */
  token?: string | TokenProvider;
  /** The program's name, for the server's log. */
  name?: string;
  /** The contract that the program was built with. If the server's differs, there is an `error` event. */
  contract?: ContractInfo<C>;
  /** The source of the WebAssembly module. By default it is next to this package's own file. */
  wasm?: WasmSource;
  /** The class of WebSockets for environments without one, such as that of the package ws in Node.js before 22. */
  webSocket?: WebSocketConstructor;
  /** The time limit of publishes and calls in milliseconds: see {@link SendOptions.timeout}. Default 10 000. */
  timeout?: number;
  /**
   * The time limit of a connection attempt in milliseconds, from opening the connection to the server's answer. It
   * starts anew with each sign of progress. Default 10 000.
   */
  connectTimeout?: number;
  /**
   * The bounds of the delay before another attempt, in milliseconds. Each delay is random; its upper bound doubles with
   * each attempt. Default 500 and 20 000. A server may ask for a longer one.
   */
  minDelay?: number;
  /** See {@link ClientOptions.minDelay}. */
  maxDelay?: number;
  /**
   * Shows every state, event and request in the console, or passes them to a function. `true` has the same effect as an
   * item `wirehub:log` in the page's `localStorage`.
   */
  log?: boolean | ((what: string, ...details: unknown[]) => void);
  /** The receive queue of each iterator. */
  queue?: QueueOptions;
  /**
   * How many bytes of publishes and calls may wait to be sent or answered; further ones fail with QUEUE_FULL. One
   * larger command at a time has room of its own, up to the server's size limit. Default 1 MiB.
   */
  sendQueue?: number;
}

/** The options of connecting. */
export interface ConnectOptions {
  /** Ends the waiting. */
  signal?: AbortSignal | undefined;
  /** The longest waiting in milliseconds. Default `Infinity`; for the function `connect` the time limit of an attempt. */
  timeout?: number;
}

/** The options of draining. */
export interface DrainOptions {
  /** The longest waiting in milliseconds. Default 10 000. */
  timeout?: number;
}

/** The options of everything that is sent to the server. */
export interface SendOptions {
  /**
   * The time limit in milliseconds, including the time offline; overrides the client's. It starts anew with each sign
   * of progress for a command that goes out in parts, for the commands behind it, and for a command whose answer comes
   * in parts. For those it bounds the time without progress.
   */
  timeout?: number;
  /** Cancels: a command that has not been sent is taken back, a call is cancelled on the server. */
  signal?: AbortSignal;
  /** Fails at once if the client is not connected, instead of waiting. */
  failFast?: boolean;
}

/** The options of everything that may be large. */
export interface UploadOptions extends SendOptions {
  /**
   * Shows the progress of a message that is larger than 64 KiB and travels in parts. It is called when the browser has sent
   * more of it, usually once for each part, with the bytes that it has sent, as far as it reports that, and with the size of
   * the encoded message, a little more than that of its data. `sent` increases; it is `total` before the promise resolves. If the connection
   * breaks and the message is sent again, `sent` starts over. Smaller messages and volatile ones have no progress.
   * Nothing is called after the promise has settled. An exception is reported like that of an event listener.
   */
  onProgress?: (sent: number, total: number) => void;
}

/** The options of publishing. */
export interface PublishOptions extends UploadOptions {
  /**
   * A key of the application's, such as 128 random bits or an id from a database, at most 256 bytes: a message that is
   * published again with the same key after a timeout or a lost connection is published once. The server remembers keys
   * for two minutes by default; publish again within half of that.
   */
  key?: string;
  /**
   * Now or never: the message is dropped if the client is not connected, or has more to send than the connection
   * accepts. Use it for values that are worthless later, such as the position of a pointer. The server's answer is not
   * awaited.
   */
  volatile?: boolean;
}

/** The options of calling. */
export interface CallOptions extends UploadOptions {}

/** The options of calling a procedure that streams its responses. */
export interface CallStreamOptions extends UploadOptions {
  /** The queue of responses that wait for the loop; overrides the client's. */
  queue?: QueueOptions;
}

/** The options of reading the members of a channel. */
export interface PresenceOptions extends SendOptions {
  /** Read on behind the member with this session: the last one of the page before. */
  after?: string | undefined;
}

/** The options of reading a history. */
export interface HistoryOptions extends SendOptions {
  /** Read the messages after this position (reversed: before it); by default from the beginning (reversed: the end). */
  since?: Position;
  /**
   * The largest number of messages; the server returns at most 1,000 at once. Default 100; 0 asks for the position
   * alone.
   */
  limit?: number;
  /** Newest first. */
  reverse?: boolean;
}
