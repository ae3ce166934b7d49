/** The length of the trace, in ms. */
const KEPT = 30_000;

export interface Point {
  /** On `performance.now()`'s clock. */
  readonly at: number;
  readonly value: number;
}

/** The values of the last half minute, in unbroken runs. */
export class Trace {
  readonly seconds = KEPT / 1000;
  readonly span = KEPT;
  #runs: Point[][] = [];
  #broken = true;

  /** The next value does not continue the line: the time in between is unknown. */
  interrupt(): void {
    this.#broken = true;
  }

  add(at: number, value: number): void {
    if (this.#broken) this.#runs.push([]);
    this.#broken = false;
    this.#runs.at(-1)?.push({ at, value });
    for (const run of this.#runs) {
      // One value from before the window stays, so that the line reaches its edge.
      while (run.length > 1 && (run[1]?.at ?? at) < at - KEPT) run.shift();
    }
    this.#runs = this.#runs.filter((run) => (run.at(-1)?.at ?? at) >= at - KEPT);
  }

  get runs(): readonly (readonly Point[])[] {
    return this.#runs;
  }

  get highest(): number {
    return Math.max(0, ...this.#runs.flat().map(({ value }) => value));
  }
}
