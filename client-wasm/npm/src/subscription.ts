import { Listeners } from './direct.js';
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
import type { Channels } from './channels.js';
import type { Client } from './client.js';
import { Feed, type QueueOptions } from './feed.js';
import type { HistoryPage, Member, Position } from './history.js';
import { Members } from './members.js';
import type { HistoryOptions, PublishOptions, SendOptions } from './options.js';
import type { Listener } from './listeners.js';

/** `unsubscribed` is final: subscribe again for a new subscription. */
export type SubscriptionState = 'subscribing' | 'subscribed' | 'unsubscribed';

/** One message in a channel. */
export interface Publication<M = unknown> {
  /** The channel's name; empty for a message to every session. */
  readonly channel: string;
  /** The message: the value of its JSON, bytes as a `Uint8Array`, or both as an {@link Attachment}. */
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
  /** The epoch of its offset: together they are a {@link Position}, from which a later subscription can continue. */
  readonly epoch?: string;
  /** Its offset in the channel's history, from 1; absent if the channel keeps none. */
  readonly offset?: number;
}

/** The options of subscribing. */
export interface SubscribeOptions {
  /** Ends the subscription. */
  signal?: AbortSignal;
  /** The receive queue of each iterator; overrides the client's. */
  queue?: QueueOptions;
  /**
   * Begins with this many of the newest messages in the channel's history, or with the kept ones if there are fewer.
   * They and the new messages are one stream, each message once and in order.
   */
  history?: number;
  /** Begins behind this position, in place of `history`. If messages since then are not kept any more, there is a gap. */
  since?: Position | undefined;
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
  readonly #client: Client;
  readonly #channels: Channels;
  readonly #feed: Feed<Publication<M>>;
  /** Those of publications. */
  readonly #listeners = new Listeners();
  readonly #leave: () => void;
  /** The messages that wait for earlier ones. */
  #held: Held<M> | undefined;
  #members: Members<I> | undefined;
  #state: SubscriptionState = 'subscribing';
  #begun = false;
  #settle!: (error?: WirehubError) => void;

  /** @internal */
  constructor(channel: string, queue: QueueOptions, resumes: boolean, client: Client, channels: Channels, leave: () => void) {
    super();
    this.channel = channel;
    // A subscription that continues from a position is like one that was active before.
    this.#begun = resumes;
    this.#client = client;
    this.#channels = channels;
    this.#leave = leave;
    this.#feed = new Feed(queue, (publication) => this.#listeners.call(new PublicationEvent(publication, this)));
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

  /**
   * The members of the channel, as a list that keeps itself from the first use on. The channel has to report joins and
   * leaves.
   */
  get members(): Members<I> {
    if (!this.#members) {
      const { members = [], membersError } = this.#channels.watchMembers(this as unknown as Subscription) ?? {};
      this.#members = new Members(members as readonly Member<I>[], membersError);
    }
    return this.#members;
  }

  /** {@link Client.publish} to this channel. */
  publish(data: M, options: PublishOptions & { volatile: true }): Promise<boolean>;
  publish(data: M, options?: PublishOptions): Promise<Position | undefined>;
  publish(data: M, options?: PublishOptions): Promise<Position | boolean | undefined> {
    return this.#client.publish(this.channel, data, options);
  }

  /** {@link Client.history} of this channel. */
  history(options?: HistoryOptions): Promise<HistoryPage<M>> {
    return this.#client.history(this.channel, options) as Promise<HistoryPage<M>>;
  }

  /** {@link Client.presence} of this channel. */
  presence(options?: SendOptions): Promise<Member<I>[]> {
    return this.#client.presence(this.channel, options) as Promise<Member<I>[]>;
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
    if (type !== 'publication') return super.addEventListener(type, listener as EventListener | null, options);
    this.#listeners.add(listener as EventListener | null, options);
    this.#feed.listen();
  }

  /** Removes a listener. */
  override removeEventListener<K extends keyof SubscriptionEventMap<M, I>>(
    type: K,
    listener: Listener<Subscription<M, I>, SubscriptionEventMap<M, I>[K]>,
    options?: boolean | EventListenerOptions,
  ): void {
    if (type === 'publication') this.#listeners.remove(listener as EventListener | null, options);
    else super.removeEventListener(type, listener as EventListener | null, options);
  }

  /** @internal */
  onPublication(publication: Publication<M>, bytes: number): void {
    const held = this.#held;
    if (!held) return this.#feed.push(publication, bytes);
    held.publications.push([publication, bytes]);
    held.bytes += bytes;
    // The messages in between are missing: the earlier ones come too late.
    if (held.bytes > HELD_BYTES) held.release([], Recovery.Dropped);
  }

  /**
   * @internal Holds back new messages until earlier ones are there. Returns a function that passes on both, or reports
   * that earlier ones are missing.
   */
  hold(): Held<M>['release'] {
    const held: Held<M> = {
      publications: [],
      bytes: 0,
      release: (earlier, gap) => {
        if (this.#held !== held) return;
        this.#held = undefined;
        if (gap !== undefined) this.onGap(gap);
        const last = earlier.at(-1);
        for (const publication of earlier) this.#feed.push(publication, 0);
        for (const [publication, bytes] of held.publications) {
          const isThere = publication.epoch === last?.epoch && (publication.offset ?? 0) <= (last?.offset ?? -1);
          if (!isThere) this.#feed.push(publication, bytes);
        }
      },
    };
    this.#held = held;
    return held.release;
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

  /** @internal The list of members is another one, or can't be read. */
  onMembers(list: readonly Member[], error: WirehubError | undefined): void {
    this.#members?.onChange(list as readonly Member<I>[], error);
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
    this.onMembers([], undefined);
    this.dispatchEvent(new UnsubscribedEvent(error));
  }
}

/** New messages that wait for earlier ones. */
interface Held<M> {
  readonly publications: [Publication<M>, number][];
  bytes: number;
  release(earlier: readonly Publication<M>[], gap?: Recovery): void;
}

/** The bound of the messages that wait, in bytes. */
const HELD_BYTES = 4 * 1024 * 1024;
