import { Code, WirehubError } from './errors.js';
import { Default } from './generated/numbers.js';

/** The bound of a receive queue, and its policy when it is full. */
export interface QueueOptions {
  /** Default 1 MiB. A single larger message still fits into an empty queue. */
  bytes?: number;
  /**
   * `error` (default): the iterator ends with an error. `drop-oldest`: the oldest message is dropped. `latest`: only
   * the newest message is kept.
   */
  overflow?: 'error' | 'drop-oldest' | 'latest';
}

/**
 * @internal Passes items to listeners and iterators. Before the first of them, items are kept within the queue's bound,
 * the newest ones: so nothing is missed between subscribing and the loop over the subscription.
 */
export class Feed<T> {
  readonly #options: QueueOptions;
  readonly #tell: (item: T) => void;
  readonly #overflowed: (() => void) | undefined;
  readonly #queues = new Set<Queue<T>>();
  #kept: Queue<T> | undefined;
  #told = false;
  #ended = false;
  #error: WirehubError | undefined;

  /**
   * `tell` passes an item to the listeners. `overflowed` is called if a queue with the policy `error` is full. Without
   * it the loop alone ends, and before the first loop the newest items are kept.
   */
  constructor(options: QueueOptions, tell: (item: T) => void, overflowed?: () => void) {
    this.#options = options;
    this.#tell = tell;
    this.#overflowed = overflowed;
    const { overflow = 'error' } = options;
    this.#kept = new Queue({ ...options, overflow: overflow === 'error' && !overflowed ? 'drop-oldest' : overflow }, () => this.#overflow());
  }

  push(item: T, bytes: number): void {
    for (const queue of this.#queues) queue.push(item, bytes);
    if (this.#kept) this.#kept.push(item, bytes);
    else if (this.#told) this.#tell(item);
  }

  /** There is a listener. It receives the kept items as soon as the code that added it has run. */
  listen(): void {
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      const kept = this.#kept;
      this.#kept = undefined;
      kept?.each(this.#tell);
    });
  }

  iterate(): AsyncIterableIterator<T> {
    const queue = new Queue<T>(this.#options, (full) => {
      this.#queues.delete(queue);
      if (full) this.#overflow();
    });
    this.#kept?.each((item, bytes) => queue.push(item, bytes));
    if (!this.#told) this.#kept = undefined;
    if (this.#ended) queue.end(this.#error);
    else this.#queues.add(queue);
    return queue;
  }

  #overflow(): void {
    if (!this.#overflowed) return;
    this.end(new WirehubError(Code.OVERFLOW));
    this.#overflowed();
  }

  /** Iterators end after the items they have. */
  end(error?: WirehubError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const queue of this.#queues) queue.end(error);
    this.#queues.clear();
  }
}

/** @internal An item that waits for the reader, and the item behind it. */
interface Entry<T> {
  readonly item: T;
  readonly bytes: number;
  next: Entry<T> | undefined;
}

interface Waiting<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: WirehubError): void;
}

/** The size of an entry besides its bytes. */
const ENTRY_BYTES = 128;

/** @internal A bounded queue, read by one loop. `left` is called if that loop ends before the queue does, or it is full. */
export class Queue<T> implements AsyncIterableIterator<T> {
  readonly #bound: number;
  readonly #overflow: QueueOptions['overflow'];
  readonly #left: ((full: boolean) => void) | undefined;
  #first: Entry<T> | undefined;
  #last: Entry<T> | undefined;
  #bytes = 0;
  #waiting: Waiting<T>[] = [];
  #ended = false;
  #error: WirehubError | undefined;

  constructor({ bytes = Default.ReceiveQueue, overflow = 'error' }: QueueOptions, left?: (full: boolean) => void) {
    this.#bound = bytes;
    this.#overflow = overflow;
    this.#left = left;
  }

  /** Calls `tell` with each item and its size in bytes, without taking it. */
  each(tell: (item: T, bytes: number) => void): void {
    for (let entry = this.#first; entry; entry = entry.next) tell(entry.item, entry.bytes);
  }

  push(item: T, bytes: number): void {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting) return waiting.resolve({ value: item, done: false });
    while (this.#first && (this.#overflow === 'latest' || this.#bytes + bytes + ENTRY_BYTES > this.#bound)) {
      if (this.#overflow === 'error') {
        this.end(new WirehubError(Code.OVERFLOW));
        return this.#left?.(true);
      }
      this.#shift();
    }
    const entry: Entry<T> = { item, bytes, next: undefined };
    if (this.#first) (this.#last as Entry<T>).next = entry;
    else this.#first = entry;
    this.#last = entry;
    this.#bytes += bytes + ENTRY_BYTES;
  }

  end(error?: WirehubError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#settle();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const entry = this.#shift();
    // Not through the constructor: this is the common case, and cheaper.
    if (entry) return Promise.resolve({ value: entry.item, done: false });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (this.#ended) this.#settle();
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#first = undefined;
    this.end();
    this.#error = undefined;
    this.#left?.(false);
    return this.next();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The error is thrown once; after that the iterator is done. */
  #settle(): void {
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (this.#error) reject(this.#error);
      else resolve({ value: undefined, done: true });
      this.#error = undefined;
    }
  }

  #shift(): Entry<T> | undefined {
    const entry = this.#first;
    if (entry) {
      this.#first = entry.next;
      this.#bytes -= entry.bytes + ENTRY_BYTES;
    }
    return entry;
  }
}
