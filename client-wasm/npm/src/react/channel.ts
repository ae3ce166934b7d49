import { WirehubError, type Client, type GapReason, type Publication, type Subscription, type SubscriptionState, type UnsubscribedEvent } from '@wirehub/client';

import { Store } from './store.js';

/** The options of `useSubscription`. */
export interface UseSubscriptionOptions {
  /** How many of the newest messages the list has. Default 100. */
  readonly keep?: number | undefined;
  /** With how many of the newest messages in the channel's history the list begins. Default 0. */
  readonly history?: number | undefined;
}

/** A subscription as seen by a component. */
export interface ChannelView<M = unknown> {
  /** Whether it is active; `unsubscribed` without a channel too. */
  readonly state: SubscriptionState;
  /** The newest messages, oldest first. */
  readonly publications: readonly Publication<M>[];
  /** The reason for which messages before the newest ones are missing, if some are. */
  readonly gap?: GapReason | undefined;
  /** The reason for which the subscription ended, or a message can't be read. */
  readonly error?: WirehubError | undefined;
}

/** @internal Subscribes, or describes why not. */
export function open(client: Client, channel: string, refused: (error: WirehubError) => void, history = 0): Subscription | undefined {
  try {
    return client.subscribe(channel, { history });
  } catch (error) {
    refused(error as WirehubError);
    return undefined;
  }
}

/**
 * @internal Calls `ended` if the server or the end of the client ends the subscription, with the reason if it is an
 * error. Returns a function that ends the subscription without that call.
 */
export function watchEnd(subscription: Subscription, ended: (error: WirehubError | undefined) => void): () => void {
  const listener = ({ code, reason }: UnsubscribedEvent): void => ended(code === undefined ? undefined : new WirehubError(code, { message: reason }));
  subscription.addEventListener('unsubscribed', listener);
  return () => {
    subscription.removeEventListener('unsubscribed', listener);
    void subscription.unsubscribe();
  };
}

/** @internal */
export class ChannelStore extends Store<ChannelView> {
  readonly #client: Client;
  readonly #channel: string | null;
  readonly #keep: number;
  readonly #history: number;
  /** The messages that came in the running task. */
  #new: Publication[] = [];

  constructor(client: Client, channel: string | null, { keep = 100, history = 0 }: UseSubscriptionOptions) {
    super({ state: channel === null ? 'unsubscribed' : 'subscribing', publications: [] });
    this.#client = client;
    this.#channel = channel;
    this.#keep = Math.max(keep, history);
    this.#history = history;
  }

  protected override begin(): () => void {
    if (this.#channel === null) return () => undefined;
    this.reset();
    const ended = (error: WirehubError | undefined): void => this.#change({ state: 'unsubscribed', error });
    const subscription = open(this.#client, this.#channel, ended, this.#history);
    if (!subscription) return () => undefined;
    subscription.addEventListener('publication', ({ publication }) => {
      if (this.#new.push(publication) > 1) return;
      // Messages come in batches: one list, and one rendering, for each.
      queueMicrotask(() => this.#show());
    });
    subscription.addEventListener('subscribed', () => this.#change({ state: 'subscribed' }));
    subscription.addEventListener('gap', ({ reason }) => {
      this.#show();
      this.#change({ gap: reason });
    });
    subscription.addEventListener('error', ({ error }) => this.#change({ error }));
    const unsubscribe = watchEnd(subscription, ended);
    const lost = (): void => {
      if (subscription.state === 'subscribing' && this.value().state === 'subscribed') this.#change({ state: 'subscribing' });
    };
    this.#client.addEventListener('statechange', lost);
    return () => {
      this.#client.removeEventListener('statechange', lost);
      unsubscribe();
    };
  }

  #change(change: Partial<ChannelView>): void {
    this.set({ ...this.value(), ...change });
  }

  #show(): void {
    const came = this.#new.splice(0);
    if (came.length > 0) this.#change({ publications: [...this.value().publications, ...came].slice(-this.#keep) });
  }
}
