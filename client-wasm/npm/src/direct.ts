import type { PublicationEvent } from './events.js';

type Callback = EventListenerOrEventListenerObject | null;
type Options = boolean | AddEventListenerOptions | undefined;

interface Entry {
  readonly callback: NonNullable<Callback>;
  readonly capture: boolean;
  readonly once: boolean;
  gone: boolean;
}

/**
 * @internal The listeners of the most frequent event, with the rules of `EventTarget`. The platform's `dispatchEvent` costs
 * more than everything else that this package does with a message.
 */
export class Listeners {
  /** Replaced and never changed, because a listener may add and remove others. */
  #entries: readonly Entry[] = [];

  add(callback: Callback, options: Options): void {
    const { capture = false, once = false, signal } = Object(options) === options ? (options as AddEventListenerOptions) : { capture: !!options };
    if (!callback || signal?.aborted || this.#find(callback, capture)) return;
    const entry: Entry = { callback, capture, once, gone: false };
    // Those that capture come first.
    this.#entries = [...this.#entries, entry].sort((a, b) => Number(b.capture) - Number(a.capture));
    signal?.addEventListener('abort', () => this.#drop(entry));
  }

  remove(callback: Callback, options: Options): void {
    this.#drop(this.#find(callback, typeof options === 'object' ? !!options.capture : !!options));
  }

  call(event: PublicationEvent): void {
    for (const entry of this.#entries) {
      // Removed meanwhile, or the event was stopped.
      if (entry.gone || event.stopped) continue;
      if (entry.once) this.#drop(entry);
      const { callback } = entry;
      try {
        if (typeof callback === 'function') callback.call(event.target, event as never);
        else callback.handleEvent(event as never);
      } catch (error) {
        report(error);
      }
    }
  }

  #find(callback: Callback, capture: boolean): Entry | undefined {
    return this.#entries.find((entry) => entry.callback === callback && entry.capture === capture);
  }

  #drop(entry: Entry | undefined): void {
    if (!entry) return;
    entry.gone = true;
    this.#entries = this.#entries.filter(({ gone }) => !gone);
  }
}

/** @internal As an exception of a listener is reported: to the page, or in Node.js as an uncaught one. */
export function report(error: unknown): void {
  if (typeof reportError === 'function') reportError(error);
  else {
    queueMicrotask(() => {
      throw error;
    });
  }
}
