import type { Client, State } from './client.js';
import type { WirehubError } from './errors.js';
import type { Member } from './history.js';
import type { SendOptions } from './options.js';
import type { Publication, Subscription } from './subscription.js';

/** `statechange`: the client's state is another one, or the next attempt has got its time. */
export class StateChangeEvent extends Event {
  /** What the client is doing now. */
  readonly state!: State;
  /** What it was doing before; the same where only the time of the next attempt is new. */
  readonly previous!: State;
  /** The code of the connection that ended, if one did. */
  readonly code: number | undefined;
  /** Why it ended, for people. */
  readonly reason: string | undefined;
  /** Milliseconds until the next attempt. */
  readonly retryIn: number | undefined;

  constructor(change: { state: State; previous: State; code?: number | undefined; reason?: string | undefined; retryIn?: number | undefined }) {
    super('statechange');
    Object.assign(this, change);
  }
}

/** `error` of a client: what belongs to no command and no subscription. */
export class ClientErrorEvent extends Event {
  /** What went wrong. */
  readonly error: WirehubError;

  constructor(error: WirehubError) {
    super('error');
    this.error = error;
  }
}

/** `publication`: a message came. */
export class PublicationEvent<M = unknown> extends Event {
  /** The message. */
  readonly publication: Publication<M>;

  constructor(publication: Publication<M>) {
    super('publication');
    this.publication = publication;
  }
}

/** `broadcast` of a client: a message of the server to everybody. */
export class BroadcastEvent extends Event {
  /** The message. */
  readonly publication: Publication;

  constructor(publication: Publication) {
    super('broadcast');
    this.publication = publication;
  }
}

/** @internal What became of the messages while a subscription was not in force, or of some while it is. The numbers are the module's. */
export enum Recovery {
  First,
  Complete,
  NoHistory,
  Lost,
  Dropped,
}

/** `subscribed`: the subscription is in force, for the first time or again. */
export class SubscribedEvent extends Event {
  /** It was in force before, and all messages since then come now. */
  readonly recovered: boolean;

  constructor(recovered: boolean) {
    super('subscribed');
    this.recovered = recovered;
  }
}

/**
 * Why messages are missing: the channel keeps no history (`no-history`); its history does not reach back so far, or was lost
 * (`lost`); this client is slower than the channel, and the channel's overflow policy dropped them (`dropped`).
 */
export type GapReason = 'no-history' | 'lost' | 'dropped';

/** @internal */
export const gapReasons: Readonly<Partial<Record<Recovery, GapReason>>> = {
  [Recovery.NoHistory]: 'no-history',
  [Recovery.Lost]: 'lost',
  [Recovery.Dropped]: 'dropped',
};

/** `gap`: messages are missing before the next one, and will not come. The subscription is in force, and goes on. */
export class GapEvent extends Event {
  /** Why. */
  readonly reason: GapReason;

  constructor(reason: GapReason) {
    super('gap');
    this.reason = reason;
  }
}

/**
 * `join`: somebody entered the channel, the first session of a user or an anonymous one. `leave`: somebody left it, the
 * last session of a user or an anonymous one. After `subscribed` and `members` others may have come and gone: ask for
 * `presence` anew.
 */
export class MemberEvent extends Event {
  /** Who: the first session of theirs, or the last. */
  readonly member: Member;

  constructor(type: 'join' | 'leave', member: Member) {
    super(type);
    this.member = member;
  }
}

/** `offer` of a client: the server subscribed it to a channel. An offer that no listener accepts is declined. */
export class OfferEvent extends Event {
  /** The channel's name. */
  readonly channel: string;
  readonly #accept: () => Subscription;

  /** @internal */
  constructor(channel: string, accept: () => Subscription) {
    super('offer');
    this.channel = channel;
    this.#accept = accept;
  }

  /**
   * Takes the subscription, which is like any other.
   *
   * @throws {WirehubError} CANCELLED: the listener has returned, and the offer is declined.
   */
  accept(): Subscription {
    return this.#accept();
  }
}

/**
 * `alarm` of a client: something that has to be acknowledged. It comes once, however often the server sends it.
 * `withdraw`: an alarm that came before is over, for instance because it was acknowledged elsewhere, its time has passed, or the
 * server does not know it any more; it has no data.
 */
export class AlarmEvent extends Event {
  /** What names it. */
  readonly id!: string;
  /** Which channel's messages it is like. */
  readonly channel!: string;
  /** What it says; nothing in a `withdraw`. */
  readonly data: unknown;
  /** When it was raised, by the server's clock. */
  readonly time!: Date;
  /** How long it goes on, in milliseconds. */
  readonly ttl!: number;
  readonly #acknowledge: (options?: SendOptions) => Promise<void>;

  /** @internal */
  constructor(id: string, publication: Publication, ttl: number, acknowledge: (options?: SendOptions) => Promise<void>) {
    super(ttl < 0 ? 'withdraw' : 'alarm');
    Object.assign(this, publication, { id, ttl: Math.max(0, ttl) });
    this.#acknowledge = acknowledge;
  }

  /** {@link Client.acknowledge} with this alarm. */
  acknowledge(options?: SendOptions): Promise<void> {
    return this.#acknowledge(options);
  }
}

/** `unsubscribed`: the subscription ended. */
export class UnsubscribedEvent extends Event {
  /** One of {@link Codes} or the application's own; nothing where `unsubscribe` was called. */
  readonly code: number | undefined;
  /** Why, for people; empty where `unsubscribe` was called. */
  readonly reason: string;

  constructor(error?: WirehubError) {
    super('unsubscribed');
    this.code = error?.code;
    this.reason = error?.message ?? '';
  }
}

/** `error` of a subscription: a message that can't be read. The subscription goes on. */
export class SubscriptionErrorEvent extends Event {
  /** What is wrong with the message. */
  readonly error: WirehubError;

  constructor(error: WirehubError) {
    super('error');
    this.error = error;
  }
}

/** The events of a {@link Client}. */
export interface ClientEventMap {
  /** Its state is another one. */
  statechange: StateChangeEvent;
  /** Something went wrong that belongs to no command and no subscription. */
  error: ClientErrorEvent;
  /** A message of the server to everybody. */
  broadcast: BroadcastEvent;
  /** The server subscribed the client to a channel. */
  offer: OfferEvent;
  /** Something has to be acknowledged. */
  alarm: AlarmEvent;
  /** An alarm is over. */
  withdraw: AlarmEvent;
}

/** The events of a {@link Subscription}. */
export interface SubscriptionEventMap<M = unknown> {
  /** A message came. */
  publication: PublicationEvent<M>;
  /** It is in force, for the first time or again. */
  subscribed: SubscribedEvent;
  /** Messages are missing. */
  gap: GapEvent;
  /** Somebody came in. */
  join: MemberEvent;
  /** Somebody left. */
  leave: MemberEvent;
  /** More came and went than this client took in time: who is there has to be asked for anew. */
  members: Event;
  /** It ended. */
  unsubscribed: UnsubscribedEvent;
  /** A message can't be read. */
  error: SubscriptionErrorEvent;
}

/** The events of a {@link Socket}: those of the browser's WebSocket. */
export interface SocketEventMap {
  /** It is open. */
  open: Event;
  /** A message came. */
  message: MessageEvent<string | Uint8Array>;
  /** Something went wrong; browsers do not say what. `close` follows. */
  error: Event;
  /** It is closed. */
  close: CloseEvent;
}
