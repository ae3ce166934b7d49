/** A list of functions that are called for each event of type `T`. */
export class Listeners<T> {
  readonly #functions = new Set<(value: T) => void>();

  add(listener: (value: T) => void): void {
    this.#functions.add(listener);
  }

  notify(value: T): void {
    for (const listener of this.#functions) listener(value);
  }
}
