import { useState } from 'react';

/** @internal A value outside of React, for `useSyncExternalStore`. It works while a component is subscribed to it. */
export abstract class Store<T> {
  /** The value on a server, and while its page is hydrated. */
  readonly #first: T;
  #value: T;
  readonly #listeners = new Set<() => void>();
  #end: (() => void) | undefined;
  #ending: ReturnType<typeof setTimeout> | undefined;

  constructor(first: T, value = first) {
    this.#first = first;
    this.#value = value;
  }

  /** Begins to work; returns the function that ends it. */
  protected abstract begin(): () => void;

  // Fields, because React calls them as functions.

  readonly subscribe = (changed: () => void): (() => void) => {
    this.#listeners.add(changed);
    clearTimeout(this.#ending);
    this.#end ??= this.begin();
    return () => {
      this.#listeners.delete(changed);
      if (this.#listeners.size > 0) return;
      // Not at once: StrictMode takes an effect back and repeats it.
      this.#ending = setTimeout(() => {
        this.#end?.();
        this.#end = undefined;
      });
    };
  };

  readonly value = (): T => this.#value;

  readonly first = (): T => this.#first;

  protected set(value: T): void {
    this.#value = value;
    for (const changed of this.#listeners) changed();
  }

  protected reset(): void {
    this.set(this.#first);
  }
}

/** @internal The value that `make` returned for these dependencies. Other than `useMemo`, it is never made twice. */
export function useKept<T>(make: () => T, ...dependencies: unknown[]): T {
  const [kept, keep] = useState(() => ({ dependencies, value: make() }));
  if (dependencies.every((each, at) => Object.is(each, kept.dependencies[at]))) return kept.value;
  const next = { dependencies, value: make() };
  keep(next);
  return next.value;
}
