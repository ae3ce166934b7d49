import { WirehubError, type Client, type GapReason, type Publication, type Subscription, type SubscriptionState, type UnsubscribedEvent } from '@wirehub/client';

import { Store } from './store.js';

/** The options of `useSubscription`. */
export interface UseSubscriptionOptions {
  /** How many of the newest messages the list has. Default 100. */
  readonly keep?: number | undefined;
  /**
   * How many earlier messages are read from the channel's history, joined with the new ones: none twice, none missing
   * between. Default 0. They are read again after a gap.
   */
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
  /** The reason for which the subscription ended, a message or the history can't be read. */
  readonly error?: WirehubError | undefined;
}

/** @internal Subscribes, or describes why not. */
export function open(client: Client, channel: string, refused: (error: WirehubError) => void): Subscription | undefined {
  try {
    return client.subscribe(channel);
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
  /** Changes when what is being read from the history is not wanted any more. */
  #reading = {};

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
    const subscription = open(this.#client, this.#channel, ended);
    if (!subscription) return () => undefined;
    let begun = false;
    subscription.addEventListener('publication', ({ publication }) => {
      if (this.#new.push(publication) > 1) return;
      // Messages come in batches: one list, and one rendering, for each.
      queueMicrotask(() => this.#show());
    });
    subscription.addEventListener('subscribed', () => {
      this.#change({ state: 'subscribed' });
      if (!begun) this.#read();
      begun = true;
    });
    subscription.addEventListener('gap', ({ reason }) => {
      this.#show();
      // Its messages may have numbers of another history.
      if (this.#history > 0) this.#change({ gap: reason, publications: [] });
      else this.#change({ gap: reason });
      this.#read();
    });
    subscription.addEventListener('error', ({ error }) => this.#change({ error }));
    const unsubscribe = watchEnd(subscription, ended);
    const lost = (): void => {
      if (subscription.state === 'subscribing' && this.value().state === 'subscribed') this.#change({ state: 'subscribing' });
    };
    this.#client.addEventListener('statechange', lost);
    return () => {
      this.#client.removeEventListener('statechange', lost);
      this.#reading = {};
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

  /** Reads the history behind the messages that are here already. */
  #read(): void {
    if (this.#history === 0 || this.#channel === null) return;
    const reading = (this.#reading = {});
    this.#client.history(this.#channel, { limit: this.#history, reverse: true }).then(
      (page) => {
        if (this.#reading !== reading) return;
        this.#show();
        const { publications } = this.value();
        const first = publications[0]?.offset ?? Infinity;
        const earlier = page.publications.reverse().filter(({ offset = 0 }) => offset < first);
        this.#change({ publications: [...earlier, ...publications].slice(-this.#keep) });
      },
      (error: WirehubError) => {
        if (this.#reading === reading) this.#change({ error });
      },
    );
  }
}
