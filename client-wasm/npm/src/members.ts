import type { WirehubError } from './errors.js';
import type { MemberEvent } from './events.js';
import type { Member } from './history.js';
import type { Subscription } from './subscription.js';

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
  readonly #subscription: Subscription<unknown, I>;
  #list: readonly Member<I>[] = [];
  /** By user; anonymous sessions by session. */
  #byPerson = new Map<string, Member<I>>();
  /** The changes since the list was asked for: it may be older than they are. */
  #changes: MemberEvent<I>[] | undefined;

  /** @internal */
  constructor(subscription: Subscription<unknown, I>) {
    super();
    this.#subscription = subscription;
    const read = (): void => this.#read();
    const changed = (event: MemberEvent<I>): void => {
      this.#changes?.push(event);
      this.#apply(event);
      this.#show();
    };
    subscription.addEventListener('subscribed', read);
    subscription.addEventListener('members', read);
    subscription.addEventListener('join', changed);
    subscription.addEventListener('leave', changed);
    subscription.addEventListener('unsubscribed', () => {
      this.#changes = undefined;
      this.#byPerson.clear();
      this.#show();
    });
    if (subscription.state === 'subscribed') read();
  }

  /** A member for each user, and one for each anonymous session. The same array until it changes. */
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

  #read(): void {
    const changes: MemberEvent<I>[] = (this.#changes = []);
    this.#subscription.presence().then(
      (members) => {
        if (this.#changes !== changes) return;
        this.#changes = undefined;
        this.#byPerson = new Map(members.map((member) => [person(member), member]));
        for (const change of changes) this.#apply(change);
        this.error = undefined;
        this.#show();
      },
      (error: WirehubError) => {
        // After a lost connection the list is read again.
        if (this.#changes !== changes) return;
        this.error = error;
        this.#show();
      },
    );
  }

  #apply({ type, member }: MemberEvent<I>): void {
    if (type === 'join') this.#byPerson.set(person(member), member);
    else this.#byPerson.delete(person(member));
  }

  #show(): void {
    this.#list = [...this.#byPerson.values()];
    this.dispatchEvent(new Event('change'));
  }
}

const person = ({ user, session }: Member): string => user || session;
