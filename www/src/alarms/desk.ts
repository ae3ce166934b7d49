import { WirehubError } from '@wirehub/client';
import type { App } from '../app';
import { describe } from '../client';
import type { AlarmMessage, AlarmProgress, RaiseRequest } from '../generated/contract';
import { Listeners } from '../listeners';

/** How many alarms are remembered. */
const MAX_ALARMS = 50;

/** An alarm that reached this page. */
export interface Received {
  readonly id: string;
  readonly message: AlarmMessage;
  readonly time: Date;
  /** `over`: it was withdrawn, acknowledged in another tab, or its time has passed. */
  readonly state: 'open' | 'acknowledged' | 'over';
}

/** An alarm that was raised at this page. */
export interface Raised {
  readonly id: string;
  readonly request: RaiseRequest;
  readonly time: Date;
  /** The recipients' progress; `undefined` until the server has sent it. */
  readonly progress: AlarmProgress | undefined;
}

/** The alarms of this page. They arrive also while another panel is shown. */
export class AlarmDesk {
  /** A new alarm. */
  readonly arrivals = new Listeners<Received>();
  readonly changes = new Listeners<void>();
  readonly #app: App;
  #received: readonly Received[] = [];
  #raised: readonly Raised[] = [];

  constructor(app: App) {
    this.#app = app;
    app.client.addEventListener('alarm', (alarm) => {
      if (alarm.channel !== 'alarm:page') return;
      const received: Received = { id: alarm.id, message: alarm.data, time: alarm.time, state: 'open' };
      // After a close the server sends every alarm again that is not acknowledged.
      const isKnown = this.#received.some(({ id, state }) => id === received.id && state === 'open');
      this.#received = [received, ...this.#received.filter(({ id }) => id !== received.id)].slice(0, MAX_ALARMS);
      if (!isKnown) this.arrivals.notify(received);
      this.#changed();
    });
    app.client.addEventListener('withdraw', ({ id }) => this.#settle(id, 'over'));
    app.links.add(({ kind }) => {
      if (kind === 'connected') for (const { id, progress } of this.#raised) if (progress?.over !== true) void this.#watch(id);
    });
  }

  /** Newest first. */
  get received(): readonly Received[] {
    return this.#received;
  }

  /** Those that wait for this person, newest first. */
  get open(): readonly Received[] {
    return this.#received.filter(({ state }) => state === 'open');
  }

  /** Newest first. */
  get raised(): readonly Raised[] {
    return this.#raised;
  }

  /** It may be called without a connection: the server is notified with the next one. */
  acknowledge(id: string): void {
    this.#settle(id, 'acknowledged');
    // It fails if the alarm is over: then nothing has to be acknowledged.
    this.#app.client.acknowledge(id).catch(() => undefined);
  }

  /** @throws {Error} the server refuses it. */
  async raise(request: RaiseRequest): Promise<void> {
    const { id } = await this.#app.client.call('demo.raise', request);
    this.#raised = [{ id, request, time: new Date(), progress: undefined }, ...this.#raised].slice(0, MAX_ALARMS);
    this.#changed();
    void this.#watch(id);
  }

  withdraw(id: string): void {
    this.#app.client.call('demo.withdraw', { id }).catch((error: unknown) => this.#app.notice(`The alarm was not withdrawn: ${describe(error)}`));
  }

  /** Follows the recipients' progress, until the alarm is over or the connection is lost: the next one begins again. */
  async #watch(id: string): Promise<void> {
    const { client } = this.#app;
    try {
      for await (const progress of client.callStream('demo.watch-alarm', { id }, { queue: { overflow: 'latest' } })) {
        this.#raised = this.#raised.map((raised) => (raised.id === id ? { ...raised, progress } : raised));
        this.#changed();
      }
    } catch (error) {
      // A server that stops ends streams first. The next connection begins again.
      const isOfStop = error instanceof WirehubError && error.temporary;
      if (this.#app.link.kind === 'connected' && !isOfStop) console.warn(`the alarm ${id} is not watched any more`, error);
    }
  }

  #settle(id: string, state: 'acknowledged' | 'over'): void {
    this.#received = this.#received.map((received) => (received.id === id && received.state === 'open' ? { ...received, state } : received));
    this.#changed();
  }

  #changed(): void {
    const open = this.open.length;
    this.#app.badge('alarms', open, open === 1 ? 'open alarm' : 'open alarms');
    this.changes.notify();
  }
}
