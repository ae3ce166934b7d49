import type { Answer } from './commands.js';
import type { Client } from './client.js';
import type { ContractInfo } from './contract.js';
import { Code, toError, WirehubError } from './errors.js';
import { AlarmEvent, BroadcastEvent, ClientErrorEvent, MemberEvent, OfferEvent, SubscriptionErrorEvent } from './events.js';
import { Request } from './generated/numbers.js';
import type { Member } from './history.js';
import type { Host, Row } from './machine.js';
import type { SendOptions } from './options.js';
import type { Runner } from './runner.js';
import type { Subscription } from './subscription.js';

/** Receives the module's rows for a client, and turns them into answers and events. */
export class Receiver implements Host {
  readonly #client: Client;
  readonly #runner: Runner;
  readonly #contract: ContractInfo<unknown> | undefined;

  constructor(client: Client, runner: Runner, contract: ContractInfo<unknown> | undefined) {
    this.#client = client;
    this.#runner = runner;
    this.#contract = contract;
  }

  causeOf(code: number): ErrorOptions | undefined {
    return code === Code.TOKEN_UNAVAILABLE ? this.#runner.tokens?.failure : undefined;
  }

  onState(...news: Parameters<Runner['onState']>): void {
    this.#runner.onState(...news);
  }

  onPublication(number: number, { publication, error, size }: Row): void {
    const channel = this.#runner.channels.numbered(number);
    publication.channel = channel?.name ?? EVERYBODY;
    if (publication.offset !== undefined && channel) publication.epoch = channel.epoch;
    if (number === 0) this.#client.dispatchEvent(error ? new ClientErrorEvent(error) : new BroadcastEvent(publication));
    for (const subscription of channel?.subscriptions ?? []) {
      if (error) subscription.dispatchEvent(new SubscriptionErrorEvent(error));
      else subscription.onPublication(publication, size);
    }
  }

  onMember(number: number, joined: boolean, row: Row): void {
    for (const subscription of [...(this.#runner.channels.numbered(number)?.subscriptions ?? [])]) {
      const isKnown = row.publication.publisher !== undefined;
      subscription.dispatchEvent(isKnown ? new MemberEvent(joined ? 'join' : 'leave', toMember(row)) : new Event('members'));
    }
  }

  onMembers(number: number, at: number, removed: number, others: readonly Row[], error: WirehubError | undefined): void {
    this.#runner.channels.onMembers(number, at, removed, others.map(toMember), error);
  }

  onOffered(number: number, name: string): void {
    const { channels } = this.#runner;
    let subscription: Subscription | undefined;
    let isOpen = true;
    const accept = (): Subscription => {
      if (!subscription && !isOpen) throw new WirehubError(Code.CANCELLED);
      return (subscription ??= channels.accept(name, number));
    };
    this.#client.dispatchEvent(new OfferEvent(name, accept));
    isOpen = false;
    // The application may have subscribed by itself meanwhile: the module made that the same subscription.
    if (!channels.numbered(number)) this.#runner.tell(Request.Unsubscribe, number);
  }

  onAlarm(id: string, { publication, error }: Row, ttl: number): void {
    const acknowledge = (options?: SendOptions): Promise<void> => this.#client.acknowledge(id, options);
    this.#client.dispatchEvent(error ? new ClientErrorEvent(error) : new AlarmEvent(id, publication, ttl, acknowledge));
  }

  onSubscribed(number: number, recovery: number): void {
    this.#runner.channels.onSubscribed(number, recovery);
  }

  onEpoch(number: number, epoch: string): void {
    const channel = this.#runner.channels.numbered(number);
    if (channel) channel.epoch = epoch;
  }

  onGap(number: number, reason: number): void {
    this.#runner.channels.onGap(number, reason);
  }

  onUnsubscribed(number: number, error: WirehubError | undefined): void {
    const { channels } = this.#runner;
    channels.onUnsubscribed(channels.numbered(number), error);
  }

  onAnswer(number: number, more: boolean, answer: Answer): void {
    this.#runner.commands.answer(number, more, answer);
  }

  onProgress(number: number, sent: number, total: number): void {
    this.#runner.commands.progress(number, sent, total);
  }

  onFailed(number: number, error: WirehubError): void {
    this.#runner.commands.fail(number, error);
  }

  onTokenNeeded(request: number): void {
    void this.#runner.tokens?.ask((token) => {
      this.#runner.tell(token === null ? Request.SignedOut : token === undefined ? Request.NoToken : Request.Token, request, token ?? '');
    });
  }

  onContract(theirs: ReadonlyMap<string, string>): void {
    const ours = this.#contract?.items ?? {};
    const differing = new Set([...Object.keys(ours), ...theirs.keys()].filter((name) => ours[name] !== theirs.get(name)));
    this.onError(toError(Code.CONTRACT_MISMATCH, false, '', `different items: ${[...differing].join(', ')}`));
  }

  onError(error: WirehubError): void {
    this.#runner.onError(error);
  }

  onDeath(error: WirehubError): void {
    this.#runner.onDeath(error);
  }
}

/** The channel of messages to every session. */
const EVERYBODY = '@all';

/** @internal The member that a row is about: its data is the member's info. */
export function toMember({ publication, error, size }: Row): Member {
  const { session = '', user = '' } = publication.publisher ?? {};
  return size === 0 || error ? { session, user } : { session, user, info: publication.data };
}
