import type { Client, Member, SubscriptionState, WirehubError } from '@wirehub/client';

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

/** @internal The members of a subscription of its own. */
export class MembersStore extends Store<MembersView> {
  readonly #client: Client;
  readonly #channel: string | null;

  constructor(client: Client, channel: string | null) {
    super({ state: channel === null ? 'unsubscribed' : 'subscribing', members: [] });
    this.#client = client;
    this.#channel = channel;
  }

  protected override begin(): () => void {
    if (this.#channel === null) return () => undefined;
    this.reset();
    const ended = (error: WirehubError | undefined): void => this.set({ state: 'unsubscribed', members: [], error });
    const subscription = open(this.#client, this.#channel, ended);
    if (!subscription) return () => undefined;
    const { members } = subscription;
    members.addEventListener('change', () => {
      const { list, error } = members;
      if (subscription.state !== 'unsubscribed') this.set({ state: subscription.state, members: list, ...(error && { error }) });
    });
    return watchEnd(subscription, ended);
  }
}
