/** The version of the layout. */
const VERSION = 1;
const HEAD = 16;

/** Readings of a source, column by column. The layout is documented in `www/contract/src/charts.rs`. */
export interface Samples {
  /** The number of the first row; rows are numbered from 1 since the server's start. */
  readonly first: number;
  /** In milliseconds since 1970. */
  readonly times: Float64Array;
  /** The first series' values, then those of the second, and so on: views of one copy of the payload. */
  readonly columns: readonly Float32Array[];
}

/** The readings in a payload; `undefined` if it has another layout. */
export function parseSamples(payload: Uint8Array): Samples | undefined {
  // A copy, because numbers have to begin at a multiple of their size, and the payload begins anywhere in its buffer.
  const { buffer } = payload.slice();
  if (buffer.byteLength < HEAD) return undefined;
  const head = new DataView(buffer);
  const [series, rows] = [head.getUint8(1), head.getUint16(2, true)];
  if (head.getUint8(0) !== VERSION || buffer.byteLength !== HEAD + 4 * rows * (series + 1)) return undefined;
  const column = (index: number): Float32Array => new Float32Array(buffer, HEAD + 4 * rows * index, rows);
  const start = head.getFloat64(8, true);
  return {
    first: head.getUint32(4, true),
    times: Float64Array.from(column(0), (after) => start + after),
    columns: Array.from({ length: series }, (_, index) => column(index + 1)),
  };
}
