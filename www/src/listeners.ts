/** A list of functions that are called for each event of type `T`. */
export class Listeners<T> {
  readonly #functions = new Set<(value: T) => void>();

  /** Adds a function. With a signal, it is removed when that aborts. */
  add(listener: (value: T) => void, signal?: AbortSignal): void {
    this.#functions.add(listener);
    signal?.addEventListener('abort', () => this.#functions.delete(listener), { once: true });
  }

  notify(value: T): void {
    for (const listener of this.#functions) listener(value);
  }
}
