import { ownWebSocket } from '#source';
import { badRequest, CloseCode, Code, onAbort, WirehubError } from './errors.js';
import type { SocketEventMap } from './events.js';
import { Feed, type QueueOptions } from './feed.js';
import { SocketEvent } from './generated/numbers.js';
import type { Listener } from './listeners.js';
import { refuseUnsendable } from './close.js';
import type { WebSocketConstructor } from './options.js';
import { toBytes, toJson } from './payload.js';
import { Guard, load, type Instance, type WasmSource } from './runtime.js';
import { refuseWithout, websocketUrl } from './url.js';

/** A message: text, or bytes. */
export type SocketData = string | Uint8Array;

/** The options of a {@link Socket}. */
export interface SocketOptions {
  /** The subprotocols to offer. */
  protocols?: string[];
  /** Messages are JSON: they are parsed, and sent as JSON. Without it they are text or bytes. */
  json?: boolean;
  /** Cancels the opening. */
  signal?: AbortSignal;
  /** The class of WebSockets for environments without one, such as Node.js before 22. */
  webSocket?: WebSocketConstructor;
  /**
   * The receive queue of each iterator. By default 4 MiB; a socket whose reader is slower than that is closed with
   * SLOW_CONSUMER, and the iterator ends with OVERFLOW.
   */
  queue?: QueueOptions;
  /** The source of the WebAssembly module: see {@link ClientOptions.wasm}. */
  wasm?: WasmSource;
}

/** A function that is called for each event of a type, or `null` for none. */
export type SocketHandler<K extends keyof SocketEventMap<M>, M = SocketData> = ((event: SocketEventMap<M>[K]) => void) | null;

export interface Socket<M = SocketData> {
  /** Calls `listener` for each event of that type; see {@link SocketEventMap}. */
  addEventListener<K extends keyof SocketEventMap>(
    type: K,
    listener: Listener<Socket<M>, SocketEventMap<M>[K]>,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** Removes a listener. */
  removeEventListener<K extends keyof SocketEventMap>(type: K, listener: Listener<Socket<M>, SocketEventMap<M>[K]>, options?: boolean | EventListenerOptions): void;
}

/**
 * The browser's WebSocket with typed messages. It opens by itself, like the browser's, and is an async iterable of its
 * messages.
 *
 * ```ts
 * const socket = new Socket<{ text: string }>('wss://example.org/lines', { json: true });
 * socket.onopen = () => void socket.send({ text: 'hi' });
 * socket.onmessage = ({ data }) => console.log(data.text);
 * ```
 */
export class Socket<M = SocketData> extends EventTarget implements AsyncIterable<M> {
  /** The address. */
  readonly url: string;
  readonly #json: boolean;
  readonly #handlers = new Map<string, EventListener | null>();
  readonly #feed: Feed<M>;
  /** Settles when the socket is open, or can't be opened. */
  readonly #opened: Promise<void>;
  #settle!: (error?: WirehubError) => void;
  /** Undefined while the module is being loaded, and after the end. */
  #wire: Wire | undefined;
  #closing = false;
  #closed = false;
  /** Whether the open event was dispatched. */
  #told = false;
  /** The senders that wait until the browser accepts more. */
  #waiting: (() => void)[] = [];

  /**
   * Opens a WebSocket.
   *
   * @throws {WirehubError} it can't be opened, or the signal aborts.
   */
  static async open<M = SocketData>(url: string | URL, options: SocketOptions = {}): Promise<Socket<M>> {
    const socket = new Socket<M>(url, options);
    await socket.#opened;
    return socket;
  }

  /**
   * Begins to open a WebSocket; the `open` event follows, or `error` and `close`.
   *
   * @throws {WirehubError} the address is not that of a WebSocket, there is no WebSocket here, or the signal has
   * aborted.
   */
  constructor(url: string | URL, options: SocketOptions = {}) {
    super();
    const { signal, webSocket, json = false, queue = {} } = options;
    this.url = websocketUrl(url);
    this.#json = json;
    refuseWithout(webSocket);
    this.#feed = new Feed<M>(
      { bytes: 4 * 1024 * 1024, ...queue },
      (data) => this.dispatchEvent(new MessageEvent('message', { data })),
      () => this.#close(CloseCode.SLOW_CONSUMER, ''),
    );
    const stop = onAbort(signal, (error) => {
      this.#settle(error);
      this.#close(CloseCode.NORMAL, '');
    });
    this.#opened = new Promise((resolve, reject) => {
      this.#settle = (error) => {
        stop();
        if (error) reject(error);
        else resolve();
      };
    });
    // Without a caller that awaits it, the events report a refusal.
    this.#opened.catch(() => undefined);
    void this.#start(options);
  }

  /** Called when it is open. */
  get onopen(): SocketHandler<'open', M> {
    return this.#handler('open');
  }
  /** `null` removes it. */
  set onopen(handler: SocketHandler<'open', M>) {
    this.#setHandler('open', handler);
  }

  /** Called with each message. The first handler also receives the messages that arrived before it. */
  get onmessage(): SocketHandler<'message', M> {
    return this.#handler('message');
  }
  /** `null` removes it. */
  set onmessage(handler: SocketHandler<'message', M>) {
    this.#setHandler('message', handler);
  }

  /** Called after an error; `onclose` follows. */
  get onerror(): SocketHandler<'error', M> {
    return this.#handler('error');
  }
  /** `null` removes it. */
  set onerror(handler: SocketHandler<'error', M>) {
    this.#setHandler('error', handler);
  }

  /** Called when it is closed. */
  get onclose(): SocketHandler<'close', M> {
    return this.#handler('close');
  }
  /** `null` removes it. */
  set onclose(handler: SocketHandler<'close', M>) {
    this.#setHandler('close', handler);
  }

  /** 0: opening, 1: open, 2: closing, 3: closed. */
  get readyState(): 0 | 1 | 2 | 3 {
    if (this.#closed) return 3;
    return this.#wire?.webSocket?.readyState ?? (this.#closing ? 2 : 0);
  }

  /** The subprotocol that the server chose; empty for none. */
  get protocol(): string {
    return this.#wire?.webSocket?.protocol ?? '';
  }

  /** How many bytes the browser has accepted and not sent yet. */
  get bufferedAmount(): number {
    return this.#wire?.webSocket?.bufferedAmount ?? 0;
  }

  /**
   * Sends a message, once the socket is open. It resolves when the browser has at most 64 KiB that it has not sent: await
   * it before the next message, so that a slow line does not fill the memory.
   *
   * @throws {WirehubError} CLOSED: the socket is closing or closed; PAYLOAD_MISMATCH: the message has no JSON.
   */
  send(data: M): Promise<void> {
    const sent = this.#send(data);
    // Like the browser's, it may be called without waiting.
    sent.catch(() => undefined);
    return sent;
  }

  /**
   * Begins to close; the `close` event follows at the end.
   *
   * @param code 1000, or 3000 to 4999.
   * @param reason At most 123 bytes.
   */
  close(code: number = CloseCode.NORMAL, reason = ''): void {
    refuseUnsendable(code, reason);
    this.#close(code, reason);
  }

  /** The messages. Leaving the loop does not close the socket. */
  [Symbol.asyncIterator](): AsyncIterableIterator<M> {
    return this.#feed.iterate();
  }

  override addEventListener(type: string, listener: never, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(type, listener, options);
    if (type === 'message') this.#feed.listen();
  }

  #handler<K extends keyof SocketEventMap>(type: K): SocketHandler<K, M> {
    return (this.#handlers.get(type) as SocketHandler<K, M> | undefined) ?? null;
  }

  #setHandler<K extends keyof SocketEventMap>(type: K, handler: SocketHandler<K, M>): void {
    const listener = handler as EventListener | null;
    this.removeEventListener(type, this.#handlers.get(type) ?? null);
    this.#handlers.set(type, listener);
    if (listener) this.addEventListener(type, listener as never);
  }

  async #start({ protocols = [], webSocket = ownWebSocket, wasm }: SocketOptions): Promise<void> {
    try {
      const instance = await load(wasm);
      // It was closed meanwhile.
      if (this.#closing) this.#end(CloseCode.ABNORMAL, '', false);
      else this.#wire = new Wire(instance, this as unknown as Socket<unknown>, protocols, webSocket);
    } catch (error) {
      this.#settle(error as WirehubError);
      this.onFailed();
      this.#end(CloseCode.ABNORMAL, '', false);
    }
  }

  async #send(data: M): Promise<void> {
    const message = this.#json ? (toBytes(data) ?? toJson(data)) : data;
    if (this.readyState === 0) await this.#opened;
    if (this.#closing || this.#closed || !this.#wire) throw new WirehubError(Code.CLOSED);
    if (!this.#wire.send(message)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#wire?.close(code, reason);
  }

  #end(code: number, reason: string, wasClean: boolean, error = wasClean ? undefined : lost(`lost (code ${code})`)): void {
    this.#closed = true;
    this.#settle(lost(`not opened (code ${code})`));
    this.#feed.end(error);
    this.onWritable();
    this.dispatchEvent(closeEvent({ code, reason, wasClean }));
  }

  /**
   * @internal This and the following methods are called by the socket in the module. The event comes behind the code that
   * awaits `Socket.open`, so that this code can listen to it.
   */
  async onOpen(): Promise<void> {
    this.#settle();
    for (let turn = 0; turn < TURNS; turn += 1) await undefined;
    this.#tellOpen();
  }

  #tellOpen(): void {
    if (this.#told) return;
    this.#told = true;
    this.dispatchEvent(new Event('open'));
  }

  /** @internal */
  onMessage(data: string | ArrayBuffer): void {
    this.#tellOpen();
    const isText = typeof data === 'string';
    try {
      const message: unknown = !isText ? new Uint8Array(data) : this.#json ? JSON.parse(data) : data;
      this.#feed.push(message as M, isText ? data.length : data.byteLength);
    } catch {
      this.onFailed();
    }
  }

  /** @internal */
  onFailed(): void {
    this.dispatchEvent(new Event('error'));
  }

  /** @internal */
  onClosed(code: number, reason: string, wasClean: boolean): void {
    this.#end(code, reason, wasClean);
  }

  /** @internal */
  onWritable(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** @internal */
  onDeath(error: WirehubError): void {
    this.onFailed();
    this.#end(CloseCode.CLIENT_FAILED, '', false, error);
  }
}

/** How many microtasks the continuation of `await Socket.open(…)` takes, with some for a function around it. */
const TURNS = 5;

/** The socket in the module, which has the WebSocket. */
class Wire extends Guard {
  readonly #socket: Socket<unknown>;
  readonly #wasm: InstanceType<Instance['Socket']>;

  /** @throws {WirehubError} a refusal by the browser itself is the caller's error. */
  constructor({ Socket: Wasm }: Instance, socket: Socket<unknown>, protocols: string[], webSocket: WebSocketConstructor | undefined) {
    super();
    this.#socket = socket;
    try {
      this.#wasm = new Wasm(this, socket.url, protocols, webSocket);
    } catch (cause) {
      throw badRequest((cause as Error).message, { cause });
    }
  }

  /** Returns whether the browser accepts more; if not, it reports when it does. */
  send(data: unknown): boolean {
    return this.enter(() => this.#wasm.send(data));
  }

  close(code: number, reason: string): void {
    this.enter(() => this.#wasm.close(code, reason));
  }

  /** The module calls this with an event. */
  hear(kind: SocketEvent, data: string | ArrayBuffer, code: number, reason: string, wasClean: boolean): void {
    const socket = this.#socket;
    if (kind === SocketEvent.SocketMessage) socket.onMessage(data);
    else if (kind === SocketEvent.SocketOpen) void socket.onOpen();
    else if (kind === SocketEvent.SocketError) socket.onFailed();
    else if (kind === SocketEvent.SocketClose) socket.onClosed(code, reason, wasClean);
    else socket.onWritable();
  }

  protected override failed(error: WirehubError): void {
    this.#socket.onDeath(error);
  }
}

function lost(how: string): WirehubError {
  return new WirehubError(Code.CONNECTION_LOST, { message: `the WebSocket was ${how}` });
}

/** Node.js before 23 has no class for it. */
function closeEvent(init: CloseEventInit): Event {
  return typeof CloseEvent === 'function' ? new CloseEvent('close', init) : Object.assign(new Event('close'), init);
}
