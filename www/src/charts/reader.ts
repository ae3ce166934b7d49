import { Codes, type Subscription, WirehubError } from '@wirehub/client';
import type { App } from '../app';
import type { MeterSource } from '../generated/contract';
import { parseSamples } from './samples';
import { Store } from './store';

/** Enough readings for the small picture. */
const CAPACITY = 4_096;

export type Policy = 'latest' | 'lossless';

/** A loop over readings that takes a while for each message, as a page does that has other work. */
export class Reader {
  readonly store: Store;
  readonly policy: Policy;
  read = 0;
  /** The rows that were left out between two that were read. The payload itself has their numbers. */
  skipped = 0;
  /** The loop ended because its queue was full. */
  overflowed = false;
  /** The time that each message takes, in milliseconds. */
  pause = 0;
  readonly #app: App;
  readonly source: MeterSource;
  #subscription: Subscription<Uint8Array> | undefined;

  constructor(app: App, source: MeterSource, policy: Policy) {
    this.#app = app;
    this.source = source;
    this.policy = policy;
    this.store = new Store(source.series.length, CAPACITY);
  }

  start(): void {
    if (this.#subscription !== undefined) return;
    this.overflowed = false;
    const { name } = this.source;
    const { client } = this.#app;
    const subscription =
      this.policy === 'latest' ? client.subscribe(`latest:${name}`, { queue: { overflow: 'latest' } }) : client.subscribe(`metrics:${name}`, { queue: { overflow: 'error' } });
    this.#subscription = subscription;
    void this.#read(subscription);
  }

  /** Ends the loop, and forgets its readings. */
  reset(): void {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    void subscription?.unsubscribe();
    this.read = this.skipped = 0;
    this.store.clear();
  }

  async #read(subscription: Subscription<Uint8Array>): Promise<void> {
    let expected: number | undefined;
    try {
      for await (const { data } of subscription) {
        if (subscription !== this.#subscription) return;
        const samples = parseSamples(data);
        if (samples === undefined) continue;
        this.read += 1;
        this.skipped += Math.max(0, samples.first - (expected ?? samples.first));
        expected = samples.first + samples.times.length;
        this.store.append(samples);
        if (this.pause > 0) await new Promise((resolve) => setTimeout(resolve, this.pause));
      }
    } catch (error) {
      this.overflowed = error instanceof WirehubError && error.code === Codes.OVERFLOW;
    }
    if (subscription !== this.#subscription) return;
    this.#subscription = undefined;
    // The subscription does not end with the loop.
    void subscription.unsubscribe();
  }
}
