import { Codes, WirehubError } from './errors.js';

/** Data on its way out. */
export interface Encoded {
  readonly json: boolean;
  readonly bytes: Uint8Array;
}

const JSON_CONTENT = 0;
const encoder = new TextEncoder();

/** Bytes go as they are, everything else as JSON. */
export function encode(data: unknown): Encoded {
  if (data instanceof Uint8Array) return { json: false, bytes: data };
  if (data instanceof ArrayBuffer) return { json: false, bytes: new Uint8Array(data) };
  let text: string | undefined;
  let cause: unknown;
  try {
    text = JSON.stringify(data);
  } catch (error) {
    cause = error;
  }
  if (text === undefined) {
    throw new WirehubError(Codes.PAYLOAD_MISMATCH, { message: `${typeof data} can't be written as JSON: send something else`, cause });
  }
  return { json: true, bytes: encoder.encode(text) };
}

/**
 * What came in.
 *
 * @throws {WirehubError} what is said to be JSON is not.
 */
export function decode(content: number, text: string, bytes: Uint8Array): unknown {
  // The bytes are the module's: they are copied before it goes on.
  if (content !== JSON_CONTENT) return bytes.slice();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WirehubError(Codes.PAYLOAD_MISMATCH, { cause });
  }
}

/** One of many publications that the module hands over at once. */
export interface Row {
  readonly subscription: number;
  /** What came, or why it can't be read. */
  readonly data: unknown;
  readonly error: WirehubError | undefined;
  /** How much it is, for the receive queues. */
  readonly size: number;
  readonly time: number;
  readonly offset: number;
  readonly publisher: { session: string; user: string } | undefined;
}

const ROW_LENGTH = 7;

/**
 * Takes a batch apart: seven numbers a row say how much of `text` and `bytes` belongs to it. Everything is read before
 * this returns, because what is called after that may move the module's memory.
 */
export function readRows(rows: Float64Array, text: string, bytes: Uint8Array): Row[] {
  const read: Row[] = [];
  let textAt = 0;
  let bytesAt = 0;
  const takeText = (length: number): string => text.slice(textAt, (textAt += length));
  for (let at = 0; at < rows.length; at += ROW_LENGTH) {
    const number = (column: number): number => rows[at + column] ?? 0;
    const [content, size, session, user] = [number(1), number(2), number(5), number(6)];
    const publisher = session < 0 ? undefined : { session: takeText(session), user: takeText(user) };
    let data: unknown;
    let error: WirehubError | undefined;
    try {
      if (content === JSON_CONTENT) data = decode(content, takeText(size), bytes);
      else data = decode(content, '', bytes.subarray(bytesAt, (bytesAt += size)));
    } catch (unreadable) {
      error = unreadable as WirehubError;
    }
    read.push({ subscription: number(0), data, error, size, time: number(3), offset: number(4), publisher });
  }
  return read;
}
