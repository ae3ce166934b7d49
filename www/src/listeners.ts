/** A list of functions to call when something of type `T` happens. */
export class Listeners<T> {
  readonly #functions = new Set<(value: T) => void>();

  add(listener: (value: T) => void): void {
    this.#functions.add(listener);
  }

  notify(value: T): void {
    for (const listener of this.#functions) listener(value);
  }
}
