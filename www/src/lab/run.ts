import type { Position, Subscription } from '@wirehub/client';
import type { App } from '../app';
import { describe } from '../client';
import type { LabMessage } from '../generated/contract';
import { Checker } from './checker';
import type { JsonLine } from './json-line';

/** The page gives out numbers this often, in milliseconds. */
const TICK = 20;
/** At most this many of the page's messages wait for their answer; the next ones are made when some have it. */
const UNANSWERED = 400;
/** The server is asked for the messages of so many seconds at once. */
const LOAD = 4;
/** A run ends by itself after that many messages of the page. */
const LONGEST = 50_000;

/** A sender, and its promise: a number of messages, if it still exists. */
export interface Sender {
  readonly name: string;
  readonly title: string;
  /** The highest number that it sends, as far as known. */
  readonly promised: number | undefined;
}

/**
 * Two senders publish numbered messages in a channel that only this page knows: the page and the server. A checker counts
 * the messages that come back, through every trouble of the line.
 */
export class Run {
  readonly checker = new Checker();
  readonly rate: number;
  /** The client has reported missing messages so many times. */
  gaps = 0;
  /** The longest time from sending to receiving, in milliseconds. */
  slowest = 0;
  error: string | undefined;
  #sent = 0;
  #answered = 0;
  readonly #app: App;
  readonly #channel: `lab:${string}`;
  readonly #name: string;
  #startedAt = 0;
  /** The server's senders, each with the highest number that it promised. A server that is gone promises no more. */
  readonly #servers = new Map<string, number | undefined>();
  #sending: ReturnType<typeof setInterval> | undefined;
  #stopped = false;
  #loading = false;
  #subscription: Subscription<LabMessage> | undefined;
  #position: Position | undefined;

  constructor(app: App, rate: number) {
    this.#app = app;
    this.rate = rate;
    const id = crypto.randomUUID();
    this.#channel = `lab:${id}`;
    this.#name = `page-${id.slice(0, 8)}`;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get senders(): readonly Sender[] {
    const servers = [...this.#servers].map(([name, promised], index) => ({
      name,
      title: index === 0 ? 'The server' : 'The server, restarted',
      promised,
    }));
    return [{ name: this.#name, title: 'This page', promised: this.#sent }, ...servers];
  }

  /** Whether everything that was sent has arrived. */
  get complete(): boolean {
    const arrived = this.senders.every(({ name, promised }) => promised === undefined || this.checker.tally(name).received >= promised);
    return arrived && this.#answered === this.#sent && !this.#loading;
  }

  /** The messages of this run that the server has kept, counted by the same rules. */
  async record(json: JsonLine): Promise<Checker> {
    const record = new Checker();
    for await (const message of json.history(this.#channel)) record.take(message);
    return record;
  }

  /** No more messages are sent; those on their way are awaited. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#sending);
  }

  /** Forgets the channel. */
  leave(): void {
    this.stop();
    void this.#subscription?.unsubscribe();
  }

  /** Subscribes, or continues with another client. */
  join(signal: AbortSignal): void {
    const subscription = this.#app.client.subscribe(this.#channel, { since: this.#position, signal });
    this.#subscription = subscription;
    // A message from before the subscription would not come.
    subscription.ready.then(() => this.#begin(), (error: unknown) => this.#fail(error));
    subscription.addEventListener('gap', () => (this.gaps += 1));
    subscription.addEventListener('publication', ({ publication: { data, offset, epoch } }) => {
      if (offset !== undefined && epoch !== undefined) this.#position = { offset, epoch };
      this.checker.take(data);
      if (data.sender === this.#name) this.slowest = Math.max(this.slowest, Date.now() - data.sent);
    });
  }

  /** Another server can't keep the promise of the one before. */
  async checkServer(): Promise<void> {
    const [name] = [...this.#servers].at(-1) ?? [];
    if (name === undefined) return;
    const { started } = await this.#app.client.call('demo.server', {});
    if (!name.endsWith(String(started))) this.#servers.set(name, undefined);
  }

  #begin(): void {
    if (this.#stopped || this.#sending !== undefined) return;
    this.#startedAt = performance.now();
    this.#sending = setInterval(() => this.#send(), TICK);
  }

  /** Sends the messages that are due. The key makes a repetition after a lost connection the same message. */
  #send(): void {
    const due = Math.floor(((performance.now() - this.#startedAt) / 1_000) * this.rate);
    const most = Math.min(due, this.#answered + UNANSWERED, LONGEST);
    while (this.#sent < most) {
      const number = (this.#sent += 1);
      const message: LabMessage = { sender: this.#name, number, sent: Date.now() };
      this.#app.client.publish(this.#channel, message, { key: `${this.#name}-${number}`, timeout: Infinity }).then(
        () => (this.#answered += 1),
        (error: unknown) => this.#fail(error),
      );
    }
    void this.#load();
  }

  /** Asks the server for its next messages once it has kept its promise. */
  async #load(): Promise<void> {
    const [name, promised] = [...this.#servers].at(-1) ?? [];
    const isDone = name === undefined || promised === undefined || this.checker.tally(name).highest >= promised;
    if (this.#loading || this.#stopped || !isDone || this.#app.link.kind !== 'connected') return;
    this.#loading = true;
    try {
      const messages = this.rate * LOAD;
      const { sender, first } = await this.#app.client.call('demo.load', { run: this.#channel.slice('lab:'.length), messages, rate: this.rate, filler: 0 });
      for (const other of this.#servers.keys()) if (other !== sender) this.#servers.set(other, undefined);
      this.#servers.set(sender, first + messages - 1);
    } catch (error) {
      // The load before still runs, or the connection broke: the next tick asks again.
      this.error = this.#servers.size === 0 ? describe(error) : undefined;
    } finally {
      this.#loading = false;
    }
  }

  #fail(error: unknown): void {
    this.error = describe(error);
    this.stop();
  }
}
