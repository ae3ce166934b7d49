/** A WebSocket message that went through the page's connection. */
export interface Tapped {
  readonly direction: 'sent' | 'received';
  /** On `performance.now()`'s clock. */
  readonly at: number;
  /** A copy, which belongs to the listener. */
  readonly data: Uint8Array | string;
  /** Counts the page's connections, from 1. */
  readonly connection: number;
}

/** The traffic of every connection since the page was opened. */
export interface Traffic {
  readonly messages: number;
  readonly bytes: number;
}

/** Held messages are passed on once they have this many bytes, so that holding them back has a bound. */
const HELD_BYTES = 8 * 1024 * 1024;

/** The page's connections, for the lab: their messages, their traffic, and the handle to disturb them. */
class Tap {
  readonly sent = { messages: 0, bytes: 0 };
  readonly received = { messages: 0, bytes: 0 };
  connections = 0;
  #listener: ((message: Tapped) => void) | undefined;
  #holding = false;
  #current: TappedSocket | undefined;

  /** Passes each message to `listener` from now on; `undefined` ends that. Without a listener nothing is copied. */
  listen(listener: ((message: Tapped) => void) | undefined): void {
    this.#listener = listener;
  }

  get holding(): boolean {
    return this.#holding;
  }

  /** While it holds, the client receives nothing: neither messages nor pings, nor the end of the connection. */
  hold(holding: boolean): void {
    this.#holding = holding;
    if (!holding) this.#current?.release();
  }

  opened(socket: TappedSocket): number {
    // A connection that was given up may never report its end.
    this.#current?.release();
    this.#current = socket;
    this.connections += 1;
    return this.connections;
  }

  pass(direction: Tapped['direction'], data: unknown, connection: number): void {
    const bytes = byteLength(data);
    this[direction].messages += 1;
    this[direction].bytes += bytes;
    if (this.#listener === undefined) return;
    const copy = typeof data === 'string' ? data : copyOf(data);
    this.#listener({ direction, at: performance.now(), data: copy, connection });
  }
}

export const tap = new Tap();

/** The browser's WebSocket, observed by {@link tap}. The client gets this class by its option `webSocket`. */
export class TappedSocket extends WebSocket {
  readonly #number: number;
  #held: Event[] = [];
  #heldBytes = 0;
  #onmessage: WebSocket['onmessage'] = null;
  #onclose: WebSocket['onclose'] = null;

  constructor(url: string, protocols: string[]) {
    super(url, protocols);
    this.#number = tap.opened(this);
    this.addEventListener('message', (event) => {
      tap.pass('received', event.data, this.#number);
      this.#take(event, byteLength(event.data));
    });
    this.addEventListener('close', (event) => this.#take(event, 0));
  }

  override send(data: string | BufferSource | Blob): void {
    super.send(data);
    tap.pass('sent', data, this.#number);
  }

  override get onmessage(): WebSocket['onmessage'] {
    return this.#onmessage;
  }
  override set onmessage(handler: WebSocket['onmessage']) {
    this.#onmessage = handler;
  }

  override get onclose(): WebSocket['onclose'] {
    return this.#onclose;
  }
  override set onclose(handler: WebSocket['onclose']) {
    this.#onclose = handler;
  }

  /** Passes on everything that is held, in its order. */
  release(): void {
    this.#heldBytes = 0;
    for (const event of this.#held.splice(0)) this.#pass(event);
  }

  #take(event: Event, bytes: number): void {
    if (!tap.holding) return this.#pass(event);
    this.#held.push(event);
    this.#heldBytes += bytes;
    if (this.#heldBytes > HELD_BYTES) this.release();
  }

  #pass(event: Event): void {
    if (event instanceof MessageEvent) this.#onmessage?.(event);
    else if (event instanceof CloseEvent) this.#onclose?.(event);
  }
}

function byteLength(data: unknown): number {
  if (typeof data === 'string') return new TextEncoder().encode(data).length;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return data.byteLength;
  return data instanceof Blob ? data.size : 0;
}

/** The client's bytes lie in the memory of its module, which it reuses. */
function copyOf(data: unknown): Uint8Array {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  return data instanceof ArrayBuffer ? new Uint8Array(data.slice(0)) : new Uint8Array();
}
