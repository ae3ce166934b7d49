import type { Samples } from './samples';

/** Columns of numbers, as uPlot takes them: the times in milliseconds, and the values of each series. */
export type Columns = [times: Float64Array, ...values: Float32Array[]];

/**
 * The newest readings of a source, one column for each series: no object is made for a point, however many arrive. The
 * columns have twice the capacity, so that the newest readings always lie in a row and are passed on as views, without
 * copies.
 */
export class Store {
  readonly #capacity: number;
  readonly #times: Float64Array;
  readonly #values: readonly Float32Array[];
  #end = 0;

  constructor(series: number, capacity: number) {
    this.#capacity = capacity;
    this.#times = new Float64Array(2 * capacity);
    this.#values = Array.from({ length: series }, () => new Float32Array(2 * capacity));
  }

  /** Adds readings. Those that are there already, because two channels carry the same, are left out. */
  append({ times, columns }: Samples): void {
    const { newest } = this;
    const known = newest === undefined ? 0 : times.findIndex((time) => time > newest);
    const count = known < 0 ? 0 : times.length - known;
    if (count === 0 || count > this.#capacity) return;
    if (this.#end + count > 2 * this.#capacity) this.#moveToFront(count);
    this.#times.set(times.subarray(known), this.#end);
    this.#values.forEach((column, index) => {
      const values = columns[index];
      if (values !== undefined) column.set(values.subarray(known), this.#end);
    });
    this.#end += count;
  }

  clear(): void {
    this.#end = 0;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  get newest(): number | undefined {
    return this.#end === 0 ? undefined : this.#times[this.#end - 1];
  }

  /** Views of the kept readings of these series. They hold until the next `append`. */
  columns(series: readonly number[]): Columns {
    const [start, end] = [this.#start, this.#end];
    return [this.#times.subarray(start, end), ...series.map((index) => (this.#values[index] ?? new Float32Array()).subarray(start, end))];
  }

  /** The newest value of a series. */
  last(series: number): number | undefined {
    return this.#end === 0 ? undefined : this.#values[series]?.[this.#end - 1];
  }

  get #start(): number {
    return Math.max(0, this.#end - this.#capacity);
  }

  /** Makes room for `count` readings. */
  #moveToFront(count: number): void {
    const from = Math.max(0, this.#end - (this.#capacity - count));
    this.#times.copyWithin(0, from, this.#end);
    for (const column of this.#values) column.copyWithin(0, from, this.#end);
    this.#end -= from;
  }
}
