import { Code, WirehubError } from './errors.js';
import {
  gapReasons,
  GapEvent,
  PublicationEvent,
  Recovery,
  SubscribedEvent,
  UnsubscribedEvent,
  type SubscriptionEventMap,
} from './events.js';
import { Feed, type QueueOptions } from './feed.js';
import type { Listener } from './listeners.js';

/** `unsubscribed` is final: subscribe again for a new subscription. */
export type SubscriptionState = 'subscribing' | 'subscribed' | 'unsubscribed';

/** One message in a channel. */
export interface Publication<M = unknown> {
  /** The channel's name; empty for a message to every session. */
  readonly channel: string;
  /** The message: the value of its JSON, or bytes as a `Uint8Array`. */
  readonly data: M;
  /** The time at which the server accepted it, by the server's clock. */
  readonly time: Date;
  /** The session that published it; absent if the server itself published. */
  readonly publisher?: {
    /** Its id. */
    readonly session: string;
    /** Empty for an anonymous one. */
    readonly user: string;
  };
  /** Its offset in the channel's history, from 1; absent if the channel keeps none. */
  readonly offset?: number;
}

/** The options of subscribing. */
export interface SubscribeOptions {
  /** Ends the subscription. */
  signal?: AbortSignal;
  /** The receive queue of each iterator; overrides the client's. */
  queue?: QueueOptions;
}

/**
 * The messages of one channel, through reconnects, as events and by `for await`. Leaving a loop does not end the
 * subscription; {@link unsubscribe} does.
 *
 * Messages that arrive before the first listener or loop are kept for it, within the queue's bound.
 */
export class Subscription<M = unknown, I = unknown> extends EventTarget implements AsyncIterable<Publication<M>>, AsyncDisposable {
  /** The channel's name. */
  readonly channel: string;
  /** Resolves when the subscription is active for the first time; rejects if it is refused or ends before. */
  readonly ready: Promise<void>;
  readonly #feed: Feed<Publication<M>>;
  readonly #leave: () => void;
  #state: SubscriptionState = 'subscribing';
  #begun = false;
  #settle!: (error?: WirehubError) => void;

  /** @internal */
  constructor(channel: string, queue: QueueOptions, leave: () => void) {
    super();
    this.channel = channel;
    this.#leave = leave;
    this.#feed = new Feed(queue, (publication) => this.dispatchEvent(new PublicationEvent(publication)));
    this.ready = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve());
    });
    // Without a caller that awaits it, the event reports a refusal.
    this.ready.catch(() => undefined);
  }

  /** Whether it is active. */
  get state(): SubscriptionState {
    return this.#state;
  }

  /** Ends the subscription; no message follows. */
  async unsubscribe(): Promise<void> {
    if (this.#state !== 'unsubscribed') this.#leave();
  }

  /** The messages, in a queue of this loop's own. Leaving the loop does not end the subscription. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Publication<M>> {
    return this.#feed.iterate();
  }

  /** For `await using`: {@link unsubscribe}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe();
  }

  /** Calls `listener` for each event of that type; see {@link SubscriptionEventMap}. */
  override addEventListener<K extends keyof SubscriptionEventMap<M, I>>(
    type: K,
    listener: Listener<Subscription<M, I>, SubscriptionEventMap<M, I>[K]>,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener as EventListener | null, options);
    if (type === 'publication') this.#feed.listen();
  }

  /** Removes a listener. */
  override removeEventListener<K extends keyof SubscriptionEventMap<M, I>>(
    type: K,
    listener: Listener<Subscription<M, I>, SubscriptionEventMap<M, I>[K]>,
    options?: boolean | EventListenerOptions,
  ): void {
    super.removeEventListener(type, listener as EventListener | null, options);
  }

  /** @internal */
  onPublication(publication: Publication<M>, bytes: number): void {
    this.#feed.push(publication, bytes);
  }

  /** @internal */
  onSubscribed(recovery: Recovery): void {
    // Other subscriptions may have had the channel before this one.
    const again = this.#begun;
    this.#begun = true;
    this.#state = 'subscribed';
    this.#settle();
    this.dispatchEvent(new SubscribedEvent(again && recovery === Recovery.Complete));
    if (again) this.onGap(recovery);
  }

  /** @internal Messages are missing, if `reason` is that of a gap. */
  onGap(reason: Recovery): void {
    const words = gapReasons[reason];
    if (words && this.#begun) this.dispatchEvent(new GapEvent(words));
  }

  /** @internal The connection is lost: the server has to confirm the subscription again. */
  onLost(): void {
    if (this.#state === 'subscribed') this.#state = 'subscribing';
  }

  /** @internal Without an error the application ended it. */
  onUnsubscribed(error?: WirehubError): void {
    this.#state = 'unsubscribed';
    this.#settle(error ?? new WirehubError(Code.CANCELLED));
    this.#feed.end(error);
    this.dispatchEvent(new UnsubscribedEvent(error));
  }
}
