import { badRequest, CloseCode, Code, onAbort, WirehubError } from './errors.js';
import type { SocketEventMap } from './events.js';
import { Feed, type QueueOptions } from './feed.js';
import { refuseUnsendable } from './close.js';
import { websocketUrl } from './url.js';
import { openSocket, socketMaker, type WebSocketConstructor } from './websocket.js';

/** A message: text, or bytes. */
export type SocketData = string | Uint8Array;

/** The options of a {@link Socket}. */
export interface SocketOptions {
  /** The subprotocols to offer. */
  protocols?: string[];
  /** Cancels the opening. */
  signal?: AbortSignal;
  /** The class of WebSockets for environments without one, such as Node.js before 22. */
  webSocket?: WebSocketConstructor;
  /** The receive queue of each iterator. */
  queue?: QueueOptions;
}

/** A function that is called for each event of a type, or `null` for none. */
export type SocketHandler<K extends keyof SocketEventMap> = ((event: SocketEventMap[K]) => void) | null;

export interface Socket {
  /** Calls `listener` for each event of that type; see {@link SocketEventMap}. */
  addEventListener<K extends keyof SocketEventMap>(
    type: K,
    listener: ((this: Socket, event: SocketEventMap[K]) => unknown) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** The same for an event of any type. */
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

/** A plain WebSocket with types. It is open from the start, and an async iterable of its messages. */
export class Socket extends EventTarget implements AsyncIterable<SocketData> {
  readonly #handlers = new Map<string, EventListener | null>();
  readonly #feed: Feed<SocketData>;
  readonly #socket: WebSocket;

  /**
   * Opens a WebSocket.
   *
   * @throws {WirehubError} it can't be opened, or the signal aborts.
   */
  static async open(url: string | URL, options: SocketOptions = {}): Promise<Socket> {
    const { signal, webSocket, protocols = [], queue = {} } = options;
    const address = websocketUrl(url);
    const maker = socketMaker(webSocket);
    return new Promise((resolve, reject) => {
      const stop = onAbort(signal, (error) => {
        socket.close();
        reject(error);
      });
      const socket = new Socket(maker, address, protocols, queue, (error) => {
        stop();
        if (error) reject(error);
        else resolve(socket);
      });
    });
  }

  private constructor(
    maker: WebSocketConstructor,
    url: string,
    protocols: string[],
    queue: QueueOptions,
    opened: (error?: WirehubError) => void,
  ) {
    super();
    this.#feed = new Feed(queue, (data) => this.dispatchEvent(new MessageEvent('message', { data })));
    this.#socket = open(maker, url, protocols, (event) => {
      const { type, data, code, reason, wasClean } = event as MessageEvent<string | ArrayBuffer> & CloseEvent;
      if (type === 'message') {
        if (typeof data === 'string') this.#feed.push(data, data.length);
        else this.#feed.push(new Uint8Array(data), data.byteLength);
      } else if (type === 'close') {
        opened(lost(`not opened (code ${code})`));
        this.#feed.end(wasClean ? undefined : lost(`lost (code ${code})`));
        this.dispatchEvent(closeEvent({ code, reason, wasClean }));
      } else {
        if (type === 'open') opened();
        this.dispatchEvent(new Event(type));
      }
    });
  }

  /** Called when it is open. */
  get onopen(): SocketHandler<'open'> {
    return this.#handler('open');
  }
  /** `null` removes it. */
  set onopen(handler: SocketHandler<'open'>) {
    this.#setHandler('open', handler);
  }

  /** Called with each message. The first handler also receives the messages that arrived before it. */
  get onmessage(): SocketHandler<'message'> {
    return this.#handler('message');
  }
  /** `null` removes it. */
  set onmessage(handler: SocketHandler<'message'>) {
    this.#setHandler('message', handler);
  }

  /** Called after an error; `onclose` follows. */
  get onerror(): SocketHandler<'error'> {
    return this.#handler('error');
  }
  /** `null` removes it. */
  set onerror(handler: SocketHandler<'error'>) {
    this.#setHandler('error', handler);
  }

  /** Called when it is closed. */
  get onclose(): SocketHandler<'close'> {
    return this.#handler('close');
  }
  /** `null` removes it. */
  set onclose(handler: SocketHandler<'close'>) {
    this.#setHandler('close', handler);
  }

  /** 0: opening, 1: open, 2: closing, 3: closed. */
  get readyState(): 0 | 1 | 2 | 3 {
    return this.#socket.readyState as 0 | 1 | 2 | 3;
  }

  /** The subprotocol that the server chose; empty for none. */
  get protocol(): string {
    return this.#socket.protocol;
  }

  /** How many bytes the browser has accepted and not sent yet. Wait while it is high. */
  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  /** Its address. */
  get url(): string {
    return this.#socket.url;
  }

  /** Sends a message. Does nothing once the socket is closing. */
  send(data: SocketData): void {
    // The browser accepts every view except those of shared memory, which its types exclude.
    this.#socket.send(data as string | Uint8Array<ArrayBuffer>);
  }

  /**
   * Begins to close; the `close` event follows at the end.
   *
   * @param code 1000, or 3000 to 4999.
   * @param reason At most 123 bytes.
   */
  close(code: number = CloseCode.NORMAL, reason = ''): void {
    refuseUnsendable(code, reason);
    this.#socket.close(code, reason);
  }

  /** The messages. Leaving the loop does not close the socket. */
  [Symbol.asyncIterator](): AsyncIterableIterator<SocketData> {
    return this.#feed.iterate();
  }

  override addEventListener(type: string, listener: never, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(type, listener, options);
    if (type === 'message') this.#feed.listen();
  }

  #handler<K extends keyof SocketEventMap>(type: K): SocketHandler<K> {
    return (this.#handlers.get(type) as SocketHandler<K> | undefined) ?? null;
  }

  #setHandler<K extends keyof SocketEventMap>(type: K, handler: SocketHandler<K>): void {
    const listener = handler as EventListener | null;
    this.removeEventListener(type, this.#handlers.get(type) ?? null);
    this.#handlers.set(type, listener);
    if (listener) this.addEventListener(type, listener);
  }
}

function lost(how: string): WirehubError {
  return new WirehubError(Code.CONNECTION_LOST, { message: `the WebSocket was ${how}` });
}

/** Node.js before 23 has no class for it. */
function closeEvent(init: CloseEventInit): Event {
  return typeof CloseEvent === 'function' ? new CloseEvent('close', init) : Object.assign(new Event('close'), init);
}

/** A refusal by the browser itself is the caller's error. */
function open(maker: WebSocketConstructor, url: string, protocols: string[], handler: (event: Event) => void): WebSocket {
  try {
    return openSocket(maker, url, protocols, handler);
  } catch (cause) {
    throw badRequest((cause as Error).message, { cause });
  }
}
