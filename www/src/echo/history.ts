/** The number of results that count. */
const KEPT = 10;

/** The last results of one path, newest first, in ms. */
export class History {
  #results: readonly number[] = [];

  add(ms: number): void {
    this.#results = [ms, ...this.#results].slice(0, KEPT);
  }

  get results(): readonly number[] {
    return this.#results;
  }

  get last(): number | undefined {
    return this.#results[0];
  }

  get min(): number | undefined {
    return this.#results.length === 0 ? undefined : Math.min(...this.#results);
  }

  get median(): number | undefined {
    const sorted = this.#results.toSorted((a, b) => a - b);
    const upper = sorted[Math.floor(sorted.length / 2)];
    const lower = sorted[Math.floor((sorted.length - 1) / 2)];
    return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
  }
}
