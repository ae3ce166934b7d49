import type { State } from './client.js';
import type { WirehubError } from './errors.js';
import type { Publication } from './subscription.js';

/** `statechange`: the client's state is another one, or the next attempt has got its time. */
export class StateChangeEvent extends Event {
  readonly state: State;
  readonly previous: State;
  /** The code of the connection that ended, if one did. */
  readonly code: number | undefined;
  /** Why it ended, for people. */
  readonly reason: string | undefined;
  /** Milliseconds until the next attempt. */
  readonly retryIn: number | undefined;

  constructor(change: { state: State; previous: State; code?: number | undefined; reason?: string | undefined; retryIn?: number | undefined }) {
    super('statechange');
    this.state = change.state;
    this.previous = change.previous;
    this.code = change.code;
    this.reason = change.reason;
    this.retryIn = change.retryIn;
  }
}

/** `error` of a client: what belongs to no command and no subscription. */
export class ClientErrorEvent extends Event {
  readonly error: WirehubError;

  constructor(error: WirehubError) {
    super('error');
    this.error = error;
  }
}

/** `publication`: a message came. */
export class PublicationEvent<M = unknown> extends Event {
  readonly publication: Publication<M>;

  constructor(publication: Publication<M>) {
    super('publication');
    this.publication = publication;
  }
}

/** `broadcast` of a client: a message of the server to everybody. */
export class BroadcastEvent extends Event {
  readonly publication: Publication;

  constructor(publication: Publication) {
    super('broadcast');
    this.publication = publication;
  }
}

/** @internal What became of the messages while a subscription was not in force, in the order of the module's numbers. */
export const RECOVERY = ['first', 'complete', 'no-history', 'lost'] as const;
/** @internal */
export type Recovery = (typeof RECOVERY)[number];

/** `subscribed`: the subscription is in force, for the first time or again. */
export class SubscribedEvent extends Event {
  /** It was in force before, and all messages since then come now. */
  readonly recovered: boolean;

  constructor(recovered: boolean) {
    super('subscribed');
    this.recovered = recovered;
  }
}

/** `gap`: the subscription is in force again, and messages that were published meanwhile are gone. */
export class GapEvent extends Event {
  /** The channel keeps no history, or not enough of it. */
  readonly reason: 'no-history' | 'lost';

  constructor(reason: 'no-history' | 'lost') {
    super('gap');
    this.reason = reason;
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
  readonly error: WirehubError;

  constructor(error: WirehubError) {
    super('error');
    this.error = error;
  }
}

export interface ClientEventMap {
  statechange: StateChangeEvent;
  error: ClientErrorEvent;
  broadcast: BroadcastEvent;
}

export interface SubscriptionEventMap<M = unknown> {
  publication: PublicationEvent<M>;
  subscribed: SubscribedEvent;
  gap: GapEvent;
  unsubscribed: UnsubscribedEvent;
  error: SubscriptionErrorEvent;
}

export interface SocketEventMap {
  open: Event;
  message: MessageEvent<string | Uint8Array>;
  error: Event;
  close: CloseEvent;
}
