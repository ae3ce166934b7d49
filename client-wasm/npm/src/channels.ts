import { Code, onAbort, type WirehubError } from './errors.js';
import { Recovery } from './events.js';
import { Request } from './generated/numbers.js';
import type { Client } from './client.js';
import type { QueueOptions } from './feed.js';
import type { Member, Position } from './history.js';
import type { Runner } from './runner.js';
import { Subscription, type Publication, type SubscribeOptions } from './subscription.js';

/** A channel with subscriptions. The server knows only one of them; all share its messages. */
export interface Channel {
  readonly name: string;
  readonly subscriptions: Set<Subscription>;
  /** The number of that one in the module; 0 before the module knows it. */
  number: number;
  /** Whether that one is active. */
  live: boolean;
  /** Its beginning. */
  start: Start;
  /** The epoch of its offsets; empty while it is unknown. */
  epoch: string;
  /** The members, if the module keeps their list. */
  members: readonly Member[] | undefined;
  /** The reason for which the list can't be read. */
  membersError: WirehubError | undefined;
}

/** The beginning of a subscription: a number of earlier messages, or the position behind which it begins. */
interface Start {
  readonly history: number;
  readonly since?: Position | undefined;
}

/** The channels that a client is subscribed to. */
export class Channels {
  readonly #client: Client;
  readonly #runner: Runner;
  /** The receive queue of a subscription without one of its own. */
  readonly #queue: QueueOptions;
  readonly #byName = new Map<string, Channel>();
  readonly #byNumber = new Map<number, Channel>();

  constructor(client: Client, runner: Runner, queue: QueueOptions) {
    this.#client = client;
    this.#runner = runner;
    this.#queue = queue;
  }

  /** Adds a subscription of the application's. */
  subscribe(name: string, { signal, queue, history = 0, since }: SubscribeOptions): Subscription {
    // A signal may outlive many subscriptions.
    const stop = onAbort(signal, () => void subscription.unsubscribe());
    const subscription = this.#subscription(name, queue, since !== undefined);
    subscription.addEventListener('unsubscribed', stop);
    const channel = this.#join(subscription);
    if (channel.subscriptions.size === 1) {
      channel.start = { history, since };
      if (this.#runner.isLoaded) this.#request(channel);
    } else if (history > 0 || since) void this.#replay(subscription, channel, { history, since });
    return subscription;
  }

  /** Adds a subscription that the server has made. */
  accept(name: string, number: number): Subscription {
    const subscription = this.#subscription(name);
    this.#number(this.#join(subscription), number);
    return subscription;
  }

  /** The module is loaded, and knows none of them. */
  requestAll(): void {
    for (const channel of this.#all()) this.#request(channel);
  }

  numbered(number: number): Channel | undefined {
    return this.#byNumber.get(number);
  }

  /** The channel's list of members, which the module keeps from now on. */
  watchMembers(subscription: Subscription): Pick<Channel, 'members' | 'membersError'> | undefined {
    const channel = this.#byName.get(subscription.channel);
    if (!channel?.subscriptions.has(subscription)) return undefined;
    if (!channel.members) {
      channel.members = [];
      if (channel.number > 0) this.#runner.tell(Request.WatchMembers, channel.number);
    }
    return channel;
  }

  /** In the list of members, `removed` ones from the place `at` on were replaced by others. */
  onMembers(number: number, at: number, removed: number, others: Member[], error: WirehubError | undefined): void {
    const channel = this.#byNumber.get(number);
    if (!channel?.members) return;
    channel.membersError = error;
    if (!error) channel.members = [...channel.members.slice(0, at), ...others, ...channel.members.slice(at + removed)];
    for (const subscription of [...channel.subscriptions]) subscription.onMembers(channel.members, error);
  }

  onSubscribed(number: number, recovery: Recovery): void {
    const channel = this.#byNumber.get(number);
    if (!channel) return;
    channel.live = true;
    for (const subscription of [...channel.subscriptions]) subscription.onSubscribed(recovery);
  }

  onGap(number: number, reason: Recovery): void {
    for (const subscription of [...(this.#byNumber.get(number)?.subscriptions ?? [])]) subscription.onGap(reason);
  }

  /** The connection is lost: the server has to confirm each subscription again. */
  onLost(): void {
    for (const channel of this.#byName.values()) {
      channel.live = false;
      for (const subscription of channel.subscriptions) subscription.onLost();
    }
  }

  onUnsubscribed(channel: Channel | undefined, error: WirehubError | undefined): void {
    if (!channel || this.#byName.get(channel.name) !== channel) return;
    this.#forget(channel);
    for (const subscription of [...channel.subscriptions]) subscription.onUnsubscribed(error);
  }

  /** The client ended, and so do its subscriptions. */
  end(error: WirehubError | undefined): void {
    for (const channel of this.#all()) this.onUnsubscribed(channel, error);
  }

  #subscription(name: string, queue = this.#queue, resumes = false): Subscription {
    const subscription: Subscription = new Subscription(name, queue, resumes, this.#client, this, () => {
      const left = this.#leave(subscription);
      if (left?.number) this.#runner.tell(Request.Unsubscribe, left.number);
      subscription.onUnsubscribed();
    });
    return subscription;
  }

  /** Adds a subscription. The first one of its channel has to be made in the module. */
  #join(subscription: Subscription): Channel {
    const name = subscription.channel;
    const channel: Channel = this.#byName.get(name) ?? {
      name,
      subscriptions: new Set(),
      number: 0,
      live: false,
      start: { history: 0 },
      epoch: '',
      members: undefined,
      membersError: undefined,
    };
    this.#byName.set(name, channel);
    channel.subscriptions.add(subscription);
    if (channel.live) {
      // Notified once the caller has the subscription and listens to it.
      queueMicrotask(() => {
        if (channel.live && channel.subscriptions.has(subscription)) subscription.onSubscribed(Recovery.First);
      });
    }
    return channel;
  }

  /** Removes a subscription; returns its channel if it was the last one. */
  #leave(subscription: Subscription): Channel | undefined {
    const channel = this.#byName.get(subscription.channel);
    if (!channel?.subscriptions.delete(subscription) || channel.subscriptions.size > 0) return undefined;
    this.#forget(channel);
    return channel;
  }

  /** Makes a channel's subscription in the module. */
  #request(channel: Channel): void {
    const { history, since } = channel.start;
    const details = { offset: since?.offset, second: since?.epoch };
    try {
      this.#number(channel, this.#runner.enter((machine) => machine.input(Request.Subscribe, history, channel.name, details)));
      if (channel.members) this.#runner.tell(Request.WatchMembers, channel.number);
    } catch (error) {
      // Notified once the caller has the subscription and listens to it.
      queueMicrotask(() => this.onUnsubscribed(channel, error as WirehubError));
    }
  }

  /**
   * Begins a further subscription of a channel with earlier messages. The server knows the channel's subscription
   * already: they are read from the history, while new messages wait.
   */
  async #replay(subscription: Subscription, { name }: Channel, { history, since }: Start): Promise<void> {
    const release = subscription.hold();
    try {
      await subscription.ready;
      const earlier: Publication[] = [];
      const options = since ? { since, limit: 1000 } : { limit: history, reverse: true };
      for (let page = await this.#client.history(name, options); ; page = await this.#client.history(name, { since: page.last as Position, limit: 1000 })) {
        for (const publication of page.publications) earlier.push(publication);
        if (!since || !page.more || !page.last) break;
      }
      release(since ? earlier : earlier.reverse());
    } catch (error) {
      const { code } = error as WirehubError;
      // There is none, or not all of it any more: the new messages come.
      release([], code === Code.NOT_AVAILABLE ? Recovery.NoHistory : Recovery.Lost);
    }
  }

  #number(channel: Channel, number: number): void {
    channel.number = number;
    this.#byNumber.set(number, channel);
  }

  /** All of them, in the order of their first subscriptions. */
  #all(): Channel[] {
    return [...this.#byName.values()];
  }

  #forget(channel: Channel): void {
    channel.live = false;
    this.#byName.delete(channel.name);
    this.#byNumber.delete(channel.number);
  }
}
