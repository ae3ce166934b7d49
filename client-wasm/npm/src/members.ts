import type { WirehubError } from './errors.js';
import type { Member } from './history.js';

/**
 * The members of a channel, as a list that keeps itself: it is read once and again after each reconnect, and follows the
 * joins and leaves in between. `change` events report that it is another one.
 *
 * ```ts
 * const { members } = client.subscribe('chat:lobby');
 * members.addEventListener('change', () => show([...members]));
 * ```
 */
export class Members<I = unknown> extends EventTarget implements Iterable<Member<I>> {
  /** The reason for which the list can't be read; until it was read again. */
  error: WirehubError | undefined;
  #list: readonly Member<I>[];

  /** @internal */
  constructor(list: readonly Member<I>[], error: WirehubError | undefined) {
    super();
    this.#list = list;
    this.error = error;
  }

  /**
   * A member for each user, by name, and then one for each anonymous session. The same array until it changes.
   */
  get list(): readonly Member<I>[] {
    return this.#list;
  }

  /** The number of members. */
  get size(): number {
    return this.#list.length;
  }

  /** The members. */
  [Symbol.iterator](): IterableIterator<Member<I>> {
    return this.#list[Symbol.iterator]();
  }

  /** @internal The list is another one. */
  onChange(list: readonly Member<I>[], error: WirehubError | undefined): void {
    this.#list = list;
    this.error = error;
    this.dispatchEvent(new Event('change'));
  }
}
