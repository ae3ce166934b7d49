import { Codes, WirehubError } from '@wirehub/client';
import { find } from '../dom';
import type { Tick } from '../generated/contract';
import { describe, type Hub } from '../hub';
import { Chart } from './chart';
import { Trace } from './trace';

/** The time from one tick to the next, in ms. */
const EVERY = 250;
/** For people who prefer reduced motion. */
const EVERY_CALMLY = 2_000;
/**
 * The interval in ms at which the description of the picture is renewed. With each tick, a screen reader would never
 * finish.
 */
const DESCRIBE_EVERY = 5_000;

/**
 * The server's pulse: the delay of its clock's ticks, drawn live from the stream `demo.ticks`. The stream runs only
 * while it is wanted and visible, and comes back after a reconnect.
 */
export class Pulse {
  readonly #hub: Hub;
  readonly #chart = new Chart(find('pulse-chart', SVGSVGElement));
  readonly #toggle = find('pulse-toggle', HTMLButtonElement);
  readonly #status = find('pulse-status', HTMLElement);
  readonly #calm = window.matchMedia('(prefers-reduced-motion: reduce)');
  readonly #trace = new Trace();
  #ticks: AsyncIterableIterator<Tick> | undefined;
  /** People who prefer reduced motion start the picture themselves. */
  #wanted = !this.#calm.matches;
  #visible = false;
  #describedAt = -Infinity;

  constructor(hub: Hub) {
    this.#hub = hub;
    this.#toggle.addEventListener('click', () => {
      this.#status.textContent = '';
      this.#want(!this.#wanted);
    });
    // In a closed drawer, or scrolled away, it is not visible.
    new IntersectionObserver((entries) => {
      this.#visible = entries.at(-1)?.isIntersecting ?? false;
      this.#update();
    }).observe(find('pulse', HTMLElement));
    document.addEventListener('visibilitychange', () => this.#update());
    hub.links.add(() => this.#update());
    this.#want(this.#wanted);
  }

  #want(wanted: boolean): void {
    this.#wanted = wanted;
    this.#toggle.textContent = wanted ? 'Stop' : 'Start';
    this.#toggle.setAttribute('aria-label', wanted ? 'Stop the pulse' : 'Start the pulse');
    this.#update();
  }

  /** Begins or ends the stream, depending on the state. */
  #update(): void {
    const due = this.#wanted && this.#visible && !document.hidden && this.#hub.link.kind === 'connected';
    if (due && this.#ticks === undefined) void this.#watch();
    else if (!due) this.#leave();
  }

  #leave(): void {
    const ticks = this.#ticks;
    this.#ticks = undefined;
    // Ends the loop over it, and the call on the server.
    void ticks?.return?.();
  }

  async #watch(): Promise<void> {
    const every = this.#calm.matches ? EVERY_CALMLY : EVERY;
    // If the page is too slow, only the newest tick is worth drawing.
    const ticks = this.#hub.client.callStream('demo.ticks', { every }, { queue: { overflow: 'latest' } });
    this.#ticks = ticks;
    this.#trace.interrupt();
    try {
      for await (const tick of ticks) this.#show(tick);
    } catch (error) {
      if (this.#ticks === ticks) this.#fail(error);
    }
    // Ended by the server or with the connection. Otherwise the page left it, and another one may have begun.
    if (this.#ticks === ticks) this.#ticks = undefined;
  }

  #show({ number, late }: Tick): void {
    const now = performance.now();
    this.#trace.add(now, late);
    const { highest } = this.#trace;
    find('pulse-number', HTMLElement).textContent = String(number);
    find('pulse-late', HTMLElement).textContent = inMs(late);
    find('pulse-highest', HTMLElement).textContent = inMs(highest);
    this.#chart.draw(this.#trace, now);
    if (now - this.#describedAt < DESCRIBE_EVERY) return;
    this.#describedAt = now;
    this.#chart.describe(`Lateness of the server’s ticks in the last ${this.#trace.seconds} seconds: now ${inMs(late)}, at most ${inMs(highest)}`);
  }

  /** A lost connection is reported elsewhere on the page, and the next connection begins the stream again. */
  #fail(error: unknown): void {
    if (this.#hub.link.kind !== 'connected') return;
    if (error instanceof WirehubError && error.code === Codes.CONNECTION_LOST) return;
    this.#ticks = undefined;
    this.#status.textContent = `The ticks have ended: ${describe(error)}`;
    this.#want(false);
  }
}

function inMs(ms: number): string {
  return `${ms.toFixed(2)} ms`;
}
