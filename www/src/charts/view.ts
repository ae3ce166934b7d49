/** The visible range in milliseconds. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** The shortest visible range. */
const SHORTEST = 250;

/**
 * The visible part of the time, shared by all charts. It follows the newest samples, or stands still: when the page is
 * paused, zoomed or moved.
 */
export class View extends EventTarget {
  #span: number;
  #still: Range | undefined;
  #now: () => number;

  /** `now` is the time of the newest visible moment, on the server's clock. */
  constructor(span: number, now: () => number) {
    super();
    this.#span = span;
    this.#now = now;
  }

  get following(): boolean {
    return this.#still === undefined;
  }

  get span(): number {
    return this.#still === undefined ? this.#span : this.#still.to - this.#still.from;
  }

  get range(): Range {
    if (this.#still !== undefined) return this.#still;
    const to = this.#now();
    return { from: to - this.#span, to };
  }

  /** Follows the newest samples, with a range of this length. */
  follow(span = this.#span): void {
    this.#span = span;
    this.#still = undefined;
    this.#changed();
  }

  /** Stands still. */
  pause(): void {
    this.show(this.range);
  }

  show({ from, to }: Range): void {
    const middle = (from + to) / 2;
    const half = Math.max(SHORTEST, to - from) / 2;
    this.#still = { from: middle - half, to: middle + half };
    this.#changed();
  }

  /** Makes the range longer (more than 1) or shorter; `around` stays where it is. */
  zoom(factor: number, around = (this.range.from + this.range.to) / 2): void {
    const { from, to } = this.range;
    this.show({ from: around - (around - from) * factor, to: around + (to - around) * factor });
  }

  /** Moves by a part of the visible range: negative into the past. */
  move(part: number): void {
    const { from, to } = this.range;
    const by = (to - from) * part;
    this.show({ from: from + by, to: to + by });
  }

  #changed(): void {
    this.dispatchEvent(new Event('change'));
  }
}
