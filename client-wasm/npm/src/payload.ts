import { Codes, WirehubError } from './errors.js';
import type { Publication } from './subscription.js';

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
  readonly publication: Publication;
  /** Why its data can't be read, if so. */
  readonly error: WirehubError | undefined;
  /** How much it is, for the receive queues. */
  readonly size: number;
}

const ROW_LENGTH = 7;

/**
 * Takes a batch apart: seven numbers a row say how much of `text` and `bytes` belongs to it. Everything is read before
 * this returns, because what is called after that may move the module's memory.
 */
export function readRows(rows: Float64Array, text: string, bytes: Uint8Array, channelOf: (subscription: number) => string): Row[] {
  const read: Row[] = [];
  let textAt = 0;
  let bytesAt = 0;
  // Index by index, because this runs for every message.
  for (let at = 0; at < rows.length; at += ROW_LENGTH) {
    const subscription = rows[at] as number;
    const content = rows[at + 1] as number;
    const size = rows[at + 2] as number;
    const offset = rows[at + 4] as number;
    const session = rows[at + 5] as number;
    const publication: Publication = { channel: channelOf(subscription), data: undefined, time: new Date(rows[at + 3] as number) };
    if (session >= 0) {
      const userAt = textAt + session;
      const end = userAt + (rows[at + 6] as number);
      publication.publisher = { session: text.slice(textAt, userAt), user: text.slice(userAt, end) };
      textAt = end;
    }
    if (offset !== 0) publication.offset = offset;
    let error: WirehubError | undefined;
    try {
      if (content === JSON_CONTENT) publication.data = decode(content, text.slice(textAt, (textAt += size)), bytes);
      else publication.data = decode(content, '', bytes.subarray(bytesAt, (bytesAt += size)));
    } catch (unreadable) {
      error = unreadable as WirehubError;
    }
    read.push({ subscription, publication, error, size });
  }
  return read;
}
