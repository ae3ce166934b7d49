import { Codes, type Position, type Subscription, WirehubError } from '@wirehub/client';
import type { App } from '../app';
import { describe } from '../client';
import type { MeterSource } from '../generated/contract';
import { parseSamples } from './samples';
import { Store } from './store';

/** The trail has a message for each second, and the page asks for that many. */
const HISTORY = 600;
/** The part of the past that the channel of single readings keeps, in seconds: it begins where the trail ends. */
const OVERLAP = 10;
/** The readings of a few seconds wait here while the trail is being read. */
const QUEUE = 4 * 1024 * 1024;

/**
 * The readings of a source, from its channels into a store. It runs only while it is wanted. When it begins again, it reads
 * the missed readings from the trail, so that the picture has no hole.
 */
export class Feed {
  readonly source: MeterSource;
  readonly store: Store;
  /** Since the page was opened. */
  messages = 0;
  bytes = 0;
  readonly #app: App;
  #subscription: Subscription<Uint8Array> | undefined;
  /** The newest message of the trail that was read. */
  #trail: Position | undefined;
  /** The server's clock is that far ahead of `performance.now()`. */
  #ahead: number | undefined;

  constructor(app: App, source: MeterSource) {
    this.#app = app;
    this.source = source;
    this.store = new Store(source.series.length, Math.ceil(source.rate * HISTORY));
  }

  /** The present on the server's clock, as the newest readings have it. */
  get now(): number {
    return performance.now() + (this.#ahead ?? performance.timeOrigin);
  }

  start(): void {
    if (this.#subscription !== undefined) return;
    const history = Math.ceil(this.source.rate * OVERLAP);
    const subscription = this.#app.client.subscribe(`metrics:${this.source.name}`, { history, queue: { bytes: QUEUE } });
    this.#subscription = subscription;
    // The page was away for longer than this channel remembers: the trail has the missing readings.
    subscription.addEventListener('gap', () => {
      if (subscription !== this.#subscription) return;
      this.stop();
      this.start();
    });
    void this.#read(subscription);
  }

  stop(): void {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    void subscription?.unsubscribe();
  }

  async #read(subscription: Subscription<Uint8Array>): Promise<void> {
    const publications = subscription[Symbol.asyncIterator]();
    const isCurrent = (): boolean => subscription === this.#subscription;
    try {
      await this.#readTrail(isCurrent);
      for await (const { data } of publications) {
        if (!isCurrent()) return;
        this.#take(data);
        const { newest } = this.store;
        if (newest !== undefined) this.#adjustClock(newest);
      }
    } catch (error) {
      if (isCurrent() && this.#app.client.state !== 'closed') this.#app.notice(`The readings have ended: ${describe(error)}`);
    }
    if (isCurrent()) this.stop();
  }

  /** Reads the past: the newest part of it at first, and later everything since then. */
  async #readTrail(isCurrent: () => boolean): Promise<void> {
    const { client } = this.#app;
    const channel = `trail:${this.source.name}` as const;
    try {
      for (let more = true; more && isCurrent(); ) {
        const page = await client.history(channel, this.#trail === undefined ? { limit: HISTORY, reverse: true } : { since: this.#trail, limit: HISTORY });
        if (!isCurrent()) return;
        more = page.more && this.#trail !== undefined;
        for (const { data } of this.#trail === undefined ? page.publications.toReversed() : page.publications) this.#take(data);
        this.#trail = more ? page.last : page.position;
      }
    } catch (error) {
      // The server has lost its history, or has kept less of it: the picture begins anew.
      if (!(error instanceof WirehubError) || error.code !== Codes.UNRECOVERABLE || this.#trail === undefined) throw error;
      this.#trail = undefined;
      this.store.clear();
      await this.#readTrail(isCurrent);
    }
  }

  #take(payload: Uint8Array): void {
    this.messages += 1;
    this.bytes += payload.byteLength;
    const samples = parseSamples(payload);
    if (samples !== undefined) this.store.append(samples);
  }

  /** Messages come early and late: the average is steady, and so is the picture. */
  #adjustClock(newest: number): void {
    const ahead = newest - performance.now();
    if (this.#ahead === undefined || Math.abs(ahead - this.#ahead) > 1_000) this.#ahead = ahead;
    else this.#ahead += (ahead - this.#ahead) * 0.05;
  }
}
