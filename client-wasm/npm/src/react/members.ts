import type { Client, Member, MemberEvent, SubscriptionState, WirehubError } from '@wirehub/client';

import { open, watchEnd } from './channel.js';
import { Store } from './store.js';

/** The members of a channel as seen by a component. */
export interface MembersView<I = unknown> {
  /** Whether the list keeps itself; `unsubscribed` without a channel too. */
  readonly state: SubscriptionState;
  /** One for each user, and one for each anonymous session. */
  readonly members: readonly Member<I>[];
  /** The reason for which the list can't be read. */
  readonly error?: WirehubError | undefined;
}

/** @internal Reads the members, and keeps the list by the changes that the server reports. */
export class MembersStore extends Store<MembersView> {
  readonly #client: Client;
  readonly #channel: string | null;
  #members = new Map<string, Member>();
  /** The changes since the list was asked for: it may be older than they are. */
  #changes: MemberEvent[] | undefined;

  constructor(client: Client, channel: string | null) {
    super({ state: channel === null ? 'unsubscribed' : 'subscribing', members: [] });
    this.#client = client;
    this.#channel = channel;
  }

  protected override begin(): () => void {
    const channel = this.#channel;
    if (channel === null) return () => undefined;
    this.reset();
    const ended = (error: WirehubError): void => this.set({ state: 'unsubscribed', members: [], error });
    const subscription = open(this.#client, channel, ended);
    if (!subscription) return () => undefined;
    const read = (): void => this.#read(channel);
    const changed = (event: MemberEvent): void => {
      this.#changes?.push(event);
      this.#apply(event);
      this.#show();
    };
    subscription.addEventListener('subscribed', read);
    subscription.addEventListener('members', read);
    subscription.addEventListener('join', changed);
    subscription.addEventListener('leave', changed);
    watchEnd(subscription, ended);
    return () => {
      this.#changes = undefined;
      void subscription.unsubscribe();
    };
  }

  #read(channel: string): void {
    const changes: MemberEvent[] = (this.#changes = []);
    this.#client.presence(channel).then(
      (members) => {
        if (this.#changes !== changes) return;
        this.#changes = undefined;
        this.#members = new Map(members.map((member) => [person(member), member]));
        for (const change of changes) this.#apply(change);
        this.#show();
      },
      (error: WirehubError) => {
        // After a lost connection the list is read again.
        if (this.#changes === changes) this.set({ ...this.value(), error });
      },
    );
  }

  #apply({ type, member }: MemberEvent): void {
    if (type === 'join') this.#members.set(person(member), member);
    else this.#members.delete(person(member));
  }

  #show(): void {
    this.set({ state: 'subscribed', members: [...this.#members.values()] });
  }
}

const person = ({ user, session }: Member): string => user || session;
