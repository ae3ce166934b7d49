import type { Subscription } from './subscription.js';
import type { WirehubError } from './errors.js';
import type { Position } from './history.js';
import { Recovery } from './events.js';

/** A channel with subscriptions. The server knows only one of them; all share its messages. */
export interface Channel {
  readonly name: string;
  readonly members: Set<Subscription>;
  /** The number of that one in the module; 0 before the module knows it. */
  number: number;
  /** Whether that one is active. */
  live: boolean;
  /** Its beginning. */
  start: Start;
  /** The epoch of its offsets; empty while it is unknown. */
  epoch: string;
}

/** The beginning of a subscription: a number of earlier messages, or the position behind which it begins. */
export interface Start {
  readonly history: number;
  readonly since?: Position | undefined;
}

/** The channels that a client is subscribed to. */
export class Channels {
  readonly #byName = new Map<string, Channel>();
  readonly #byNumber = new Map<number, Channel>();

  /** Adds a subscription. The first one of its channel has to be made in the module. */
  join(subscription: Subscription): Channel {
    const name = subscription.channel;
    const channel = this.#byName.get(name) ?? { name, members: new Set(), number: 0, live: false, start: { history: 0 }, epoch: '' };
    this.#byName.set(name, channel);
    channel.members.add(subscription);
    if (channel.live) {
      // Notified once the caller has the subscription and listens to it.
      queueMicrotask(() => {
        if (channel.live && channel.members.has(subscription)) subscription.onSubscribed(Recovery.First);
      });
    }
    return channel;
  }

  /** Removes a subscription; returns its channel if it was the last one. */
  leave(subscription: Subscription): Channel | undefined {
    const channel = this.#byName.get(subscription.channel);
    if (!channel?.members.delete(subscription) || channel.members.size > 0) return undefined;
    this.#forget(channel);
    return channel;
  }

  number(channel: Channel, number: number): void {
    channel.number = number;
    this.#byNumber.set(number, channel);
  }

  numbered(number: number): Channel | undefined {
    return this.#byNumber.get(number);
  }

  /** All of them, in the order of their first subscriptions. */
  all(): Channel[] {
    return [...this.#byName.values()];
  }

  onSubscribed(number: number, recovery: Recovery): void {
    const channel = this.#byNumber.get(number);
    if (!channel) return;
    channel.live = true;
    for (const member of [...channel.members]) member.onSubscribed(recovery);
  }

  onGap(number: number, reason: Recovery): void {
    for (const member of [...(this.#byNumber.get(number)?.members ?? [])]) member.onGap(reason);
  }

  /** The connection is lost: the server has to confirm each subscription again. */
  onLost(): void {
    for (const channel of this.#byName.values()) {
      channel.live = false;
      for (const member of channel.members) member.onLost();
    }
  }

  onUnsubscribed(channel: Channel | undefined, error: WirehubError | undefined): void {
    if (!channel || this.#byName.get(channel.name) !== channel) return;
    this.#forget(channel);
    for (const member of [...channel.members]) member.onUnsubscribed(error);
  }

  #forget(channel: Channel): void {
    channel.live = false;
    this.#byName.delete(channel.name);
    this.#byNumber.delete(channel.number);
  }
}
