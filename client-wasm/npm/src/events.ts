import type { Client, State } from './client.js';
import type { AnyContract, BroadcastOf, ChannelOf, Contract, InfoOf, MessageOf } from './contract.js';
import { closeCodeName, codeName, type CloseCodeName, type CodeName, type WirehubError } from './errors.js';
import type { Member } from './history.js';
import type { SendOptions } from './options.js';
import type { Publication, Subscription } from './subscription.js';

/** `statechange`: the client entered another state, or the next attempt was planned. */
export class StateChangeEvent extends Event {
  /** The state from now on. */
  readonly state!: State;
  /** The state before; the same one if only the time of the next attempt is new. */
  readonly previous!: State;
  /** The code of the connection that ended, if one did. */
  readonly code: number | undefined;
  /** The reason for which it ended, for people. */
  readonly reason: string | undefined;
  /** Milliseconds until the next attempt. */
  readonly retryIn: number | undefined;

  constructor(change: { state: State; previous: State; code?: number | undefined; reason?: string | undefined; retryIn?: number | undefined }) {
    super('statechange');
    Object.assign(this, change);
  }

  /** The code's name in {@link CloseCodes}; `undefined` for a code of the application. */
  get codeName(): CloseCodeName | undefined {
    return closeCodeName(this.code);
  }
}

/** `error` of a client: an error that belongs to no command and no subscription. */
export class ClientErrorEvent extends Event {
  /** The error. */
  readonly error: WirehubError;

  constructor(error: WirehubError) {
    super('error');
    this.error = error;
  }
}

/**
 * `publication`: a message arrived. It has what a listener uses of an `Event`, and is none of the platform's: making one
 * takes a browser longer than everything else that this package does with a message.
 */
export class PublicationEvent<M = unknown> {
  /** The message. */
  readonly publication: Publication<M>;
  /** The subscription. */
  readonly target: EventTarget;
  /** @internal Whether no further listener is called. */
  stopped = false;

  /** @internal */
  constructor(publication: Publication<M>, target: EventTarget) {
    this.publication = publication;
    this.target = target;
  }

  /** The type of the event. */
  get type(): 'publication' {
    return 'publication';
  }

  /** The subscription. */
  get currentTarget(): EventTarget {
    return this.target;
  }

  /** No further listener is called. */
  stopImmediatePropagation(): void {
    this.stopped = true;
  }
}

/** `broadcast` of a client: a message from the server to every session. */
export class BroadcastEvent<M = unknown> extends Event {
  /** The message. */
  readonly publication: Publication<M>;

  constructor(publication: Publication<M>) {
    super('broadcast');
    this.publication = publication;
  }
}

/**
 * @internal The completeness of the messages while a subscription was not active, or of some while it is. The numbers
 * are the module's.
 */
export enum Recovery {
  First,
  Complete,
  NoHistory,
  Lost,
  Dropped,
}

/** `subscribed`: the subscription is active, for the first time or again. */
export class SubscribedEvent extends Event {
  /** Whether it was active before and every message since then follows. */
  readonly recovered: boolean;

  constructor(recovered: boolean) {
    super('subscribed');
    this.recovered = recovered;
  }
}

/**
 * The reason for which messages are missing. `no-history`: the channel keeps no history. `lost`: its history does not
 * reach back so far, or was lost. `dropped`: this client is slower than the channel, whose overflow policy dropped
 * messages.
 */
export type GapReason = 'no-history' | 'lost' | 'dropped';

/** @internal */
export const gapReasons: Readonly<Partial<Record<Recovery, GapReason>>> = {
  [Recovery.NoHistory]: 'no-history',
  [Recovery.Lost]: 'lost',
  [Recovery.Dropped]: 'dropped',
};

/** `gap`: messages are missing before the next one, and will not come. The subscription stays active and continues. */
export class GapEvent extends Event {
  /** The reason. */
  readonly reason: GapReason;

  constructor(reason: GapReason) {
    super('gap');
    this.reason = reason;
  }
}

/**
 * `join`: a user entered the channel with a first session, or an anonymous session entered. `leave`: a user left it
 * with the last session, or an anonymous session left. After `subscribed` and `members` changes may be missing: read
 * `presence` again.
 */
export class MemberEvent<I = unknown> extends Event {
  /** The member: the user's first session, or the last one. */
  readonly member: Member<I>;

  constructor(type: 'join' | 'leave', member: Member<I>) {
    super(type);
    this.member = member;
  }
}

/** `offer` of a client: the server subscribed it to a channel. An offer that no listener accepts is declined. */
export class OfferEvent<K extends string = string, M = unknown, I = unknown> extends Event {
  /** The channel's name. */
  readonly channel: K;
  readonly #accept: () => Subscription<M, I>;

  /** @internal */
  constructor(channel: K, accept: () => Subscription<M, I>) {
    super('offer');
    this.channel = channel;
    this.#accept = accept;
  }

  /**
   * Takes the subscription, which is like any other.
   *
   * @throws {WirehubError} CANCELLED: the listener has returned, and the offer is declined.
   */
  accept(): Subscription<M, I> {
    return this.#accept();
  }
}

/**
 * `alarm` of a client: a message that has to be acknowledged. It comes once, however often the server sends it.
 * `withdraw`: an earlier alarm has ended; for example it was acknowledged elsewhere, it expired, or the server does not
 * know it any more. It has no data.
 */
export class AlarmEvent<K extends string = string, M = unknown> extends Event {
  /** The alarm's id. */
  readonly id!: string;
  /** The channel whose message type the data has. */
  readonly channel!: K;
  /** The message; `undefined` in a `withdraw`. */
  readonly data!: M;
  /** The time at which it was raised, by the server's clock. */
  readonly time!: Date;
  /** How long it lasts, in milliseconds. */
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
  /** One of {@link Codes} or a code of the application; `undefined` if `unsubscribe` was called. */
  readonly code: number | undefined;
  /** The reason, for people; empty if `unsubscribe` was called. */
  readonly reason: string;

  constructor(error?: WirehubError) {
    super('unsubscribed');
    this.code = error?.code;
    this.reason = error?.message ?? '';
  }

  /** The code's name in {@link Codes}; `undefined` if there is no code, or one of the application. */
  get codeName(): CodeName | undefined {
    return codeName(this.code);
  }
}

/** `error` of a subscription: a message that can't be read. The subscription continues. */
export class SubscriptionErrorEvent extends Event {
  /** The error of the message. */
  readonly error: WirehubError;

  constructor(error: WirehubError) {
    super('error');
    this.error = error;
  }
}

/** An alarm of any channel in a contract; the channel decides the type of the data. */
export type AlarmOf<C extends Contract> = { [K in ChannelOf<C>]: AlarmEvent<K, MessageOf<C, K>> }[ChannelOf<C>];
/** An offer of any channel in a contract. */
export type OfferOf<C extends Contract> = { [K in ChannelOf<C>]: OfferEvent<K, MessageOf<C, K>, InfoOf<C>> }[ChannelOf<C>];

/** The events of a {@link Client}. */
export interface ClientEventMap<C extends Contract = AnyContract> {
  /** The client entered another state. */
  statechange: StateChangeEvent;
  /** An error that belongs to no command and no subscription. */
  error: ClientErrorEvent;
  /** A message from the server to every session. */
  broadcast: BroadcastEvent<BroadcastOf<C>>;
  /** The server subscribed the client to a channel. */
  offer: OfferOf<C>;
  /** A message that has to be acknowledged. */
  alarm: AlarmOf<C>;
  /** An alarm has ended. */
  withdraw: AlarmEvent<ChannelOf<C>, undefined>;
}

/** The events of a {@link Subscription}. */
export interface SubscriptionEventMap<M = unknown, I = unknown> {
  /** A message arrived. */
  publication: PublicationEvent<M>;
  /** It is active, for the first time or again. */
  subscribed: SubscribedEvent;
  /** Messages are missing. */
  gap: GapEvent;
  /** A member entered. */
  join: MemberEvent<I>;
  /** A member left. */
  leave: MemberEvent<I>;
  /** There were more changes than this client could take: read the members again. */
  members: Event;
  /** It ended. */
  unsubscribed: UnsubscribedEvent;
  /** A message can't be read. */
  error: SubscriptionErrorEvent;
}

/** The events of a {@link Socket}: those of the browser's WebSocket. */
export interface SocketEventMap<M = string | Uint8Array> {
  /** It is open. */
  open: Event;
  /** A message arrived. */
  message: MessageEvent<M>;
  /** An error; browsers do not report the reason. `close` follows. */
  error: Event;
  /** It is closed. */
  close: CloseEvent;
}
