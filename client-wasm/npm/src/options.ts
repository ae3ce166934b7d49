import type { AnyContract, ContractInfo } from './contract.js';
import type { QueueOptions } from './feed.js';
import type { Position } from './history.js';
import type { WasmSource } from './runtime.js';
import type { TokenProvider } from './tokens.js';
import type { WebSocketConstructor } from './websocket.js';

/** Who a client is, and how it works. */
export interface ClientOptions<C = AnyContract> {
  /** Says who this is, or asks for what does; without one the client is anonymous. */
  token?: string | TokenProvider;
  /** The program's name, for the server's log. */
  name?: string;
  /** The contract that the program was built with: where the server has another one, an `error` event says so. */
  contract?: ContractInfo<C>;
  /** Where the WebAssembly module comes from. By default it lies beside this package's own file. */
  wasm?: WasmSource;
  /** What makes WebSockets, where that is not everywhere: in Node.js before 22, for instance that of the package ws. */
  webSocket?: WebSocketConstructor;
  /** How long publishes and calls may take, in milliseconds: see {@link SendOptions.timeout}. Default 10 000. */
  timeout?: number;
  /** The receive queue of each iterator. */
  queue?: QueueOptions;
  /**
   * How many bytes of publishes and calls may wait to be sent, or for the answer; more fail with QUEUE_FULL. Beside them there is
   * room for one larger one at a time, as large as the server takes it. Default 1 MiB.
   */
  sendQueue?: number;
}

/** How to wait for a connection. */
export interface ConnectOptions {
  /** Ends the waiting. */
  signal?: AbortSignal;
}

/** What all that is sent to the server takes. */
export interface SendOptions {
  /**
   * How long it may take, in milliseconds, the time offline included; in place of the client's. For what is so large that it
   * goes out in parts, for what waits behind that, and for what is answered in parts, it is counted anew from each sign that
   * these get on: it bounds how long nothing moves.
   */
  timeout?: number;
  /** Gives up: what has not gone out is taken back, a call is cancelled on the server. */
  signal?: AbortSignal;
  /** Fails at once where the client is not connected, instead of waiting for that. */
  failFast?: boolean;
}

/** How to publish. */
export interface PublishOptions extends SendOptions {
  /**
   * Now or never: the message is dropped where the client is not connected, or has more to send than the connection
   * takes. For what is worthless later, such as a pointer's position. The server's answer is not waited for.
   */
  volatile?: boolean;
}

/** How to call. */
export interface CallOptions extends SendOptions {}

/** How to call a procedure that streams its responses. */
export interface CallStreamOptions extends SendOptions {
  /** The queue of responses that have not been taken, in place of the client's. */
  queue?: QueueOptions;
}

/** Which of those in a channel to read. */
export interface PresenceOptions extends SendOptions {
  /** Go on behind the member with this session: the last one of the page before. */
  after?: string | undefined;
}

/** What to read of a history. */
export interface HistoryOptions extends SendOptions {
  /** Read what comes after this place (reversed: before it); by default from the beginning (reversed: the end). */
  since?: Position;
  /** At most so many messages; the server gives at most 1,000 at once. Default 100; 0 asks for the position alone. */
  limit?: number;
  /** Newest first. */
  reverse?: boolean;
}
