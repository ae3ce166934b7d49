import { Codes, WirehubError } from './errors.js';

/** The bound of a receive queue and what happens when it is reached. */
export interface QueueOptions {
  /** Default 1 MiB. A single larger message still fits into an empty queue. */
  bytes?: number;
  /** `error` (default): the iterator ends with an error. `latest`: only the newest message is kept. */
  overflow?: 'error' | 'drop-oldest' | 'latest';
}

/**
 * What comes in, on its way to listeners and iterators. Until there is one of either, what comes is kept, within the
 * queue's bound (the oldest goes first): so nothing is missed between a subscription and the loop over it.
 */
export class Feed<T> {
  readonly #options: QueueOptions;
  readonly #tell: (item: T) => void;
  readonly #queues = new Set<Queue<T>>();
  #kept: Queue<T> | undefined;
  #told = false;
  #ended = false;
  #error: WirehubError | undefined;

  /** `tell` hands an item to the listeners. */
  constructor(options: QueueOptions, tell: (item: T) => void) {
    this.#options = options;
    this.#tell = tell;
    this.#kept = new Queue({ ...options, overflow: options.overflow === 'latest' ? 'latest' : 'drop-oldest' });
  }

  push(item: T, bytes: number): void {
    for (const queue of this.#queues) queue.push(item, bytes);
    if (this.#kept !== undefined) this.#kept.push(item, bytes);
    else if (this.#told) this.#tell(item);
  }

  /** There is a listener. It hears what was kept as soon as the code that added it has run. */
  listen(): void {
    if (this.#told) return;
    this.#told = true;
    if (this.#kept === undefined) return;
    queueMicrotask(() => {
      const kept = this.#kept?.take() ?? [];
      this.#kept = undefined;
      for (const { item } of kept) this.#tell(item);
    });
  }

  iterate(): AsyncIterableIterator<T> {
    const queue = new Queue<T>(this.#options, () => this.#queues.delete(queue));
    for (const { item, bytes } of (this.#told ? this.#kept?.entries : this.#kept?.take()) ?? []) queue.push(item, bytes);
    if (!this.#told) this.#kept = undefined;
    if (this.#ended) queue.end(this.#error);
    else this.#queues.add(queue);
    return queue;
  }

  /** Iterators end after what they have. */
  end(error?: WirehubError): void {
    this.#ended = true;
    this.#error = error;
    for (const queue of this.#queues) queue.end(error);
    this.#queues.clear();
  }
}

interface Entry<T> {
  readonly item: T;
  readonly bytes: number;
}

interface Waiting<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: WirehubError): void;
}

/** What an entry costs beside its bytes. */
const ENTRY_BYTES = 128;

/** A bounded queue, taken by one loop. `left` is called when that ends before the queue does. */
export class Queue<T> implements AsyncIterableIterator<T> {
  readonly #bound: number;
  readonly #overflow: NonNullable<QueueOptions['overflow']>;
  readonly #left: () => void;
  #entries: Entry<T>[] = [];
  /** Entries before this one are taken: cheaper than moving the others. */
  #head = 0;
  #bytes = 0;
  #waiting: Waiting<T>[] = [];
  #ended = false;
  #error: WirehubError | undefined;

  constructor(options: QueueOptions, left: () => void = () => undefined) {
    this.#bound = options.bytes ?? 1024 * 1024;
    this.#overflow = options.overflow ?? 'error';
    this.#left = left;
  }

  get entries(): readonly Entry<T>[] {
    return this.#entries.slice(this.#head);
  }

  take(): readonly Entry<T>[] {
    const entries = this.entries;
    this.#clear();
    return entries;
  }

  push(item: T, bytes: number): void {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting.resolve({ value: item, done: false });
      return;
    }
    const cost = bytes + ENTRY_BYTES;
    if (this.#overflow === 'latest') this.#clear();
    while (this.#head < this.#entries.length && this.#bytes + cost > this.#bound) {
      if (this.#overflow === 'error') {
        this.end(new WirehubError(Codes.OVERFLOW));
        this.#left();
        return;
      }
      this.#shift();
    }
    this.#entries.push({ item, bytes: cost });
    this.#bytes += cost;
  }

  end(error: WirehubError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const waiting of this.#waiting) this.#settle(waiting);
    this.#waiting = [];
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const entry = this.#shift();
    // Not by way of the constructor: this is the common case, and cheaper.
    if (entry !== undefined) return Promise.resolve({ value: entry.item, done: false });
    return new Promise((resolve, reject) => {
      if (this.#ended) this.#settle({ resolve, reject });
      else this.#waiting.push({ resolve, reject });
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#clear();
    this.end(undefined);
    this.#error = undefined;
    this.#left();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The error is told once; after that the iterator is done. */
  #settle(waiting: Waiting<T>): void {
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) waiting.reject(error);
    else waiting.resolve({ value: undefined, done: true });
  }

  #shift(): Entry<T> | undefined {
    const entry = this.#entries[this.#head];
    if (entry === undefined) return undefined;
    this.#head += 1;
    this.#bytes -= entry.bytes;
    if (this.#head === this.#entries.length) this.#clear();
    else if (this.#head >= 1024) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
    return entry;
  }

  #clear(): void {
    this.#entries = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
