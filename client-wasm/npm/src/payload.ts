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

/** One of many messages that the module hands over at once. */
export interface Row {
  readonly publication: Publication;
  /** Why its data can't be read, if so. */
  readonly error: WirehubError | undefined;
  /** How much it is, for the receive queues. */
  readonly size: number;
}

const ROW_LENGTH = 7;

/**
 * Takes a batch apart: seven numbers a row say how much of `text` and `bytes` belongs to it. `each` may call into the
 * module, whose memory `rows` and `bytes` are: they are copied before.
 */
export function readRows(
  rows: Float64Array,
  text: string,
  bytes: Uint8Array,
  channelOf: (subscription: number) => string,
  each: (subscription: number, publication: Publication, error: WirehubError | undefined, size: number) => void,
): void {
  const numbers = rows.slice();
  const others = bytes.slice();
  let textAt = 0;
  let bytesAt = 0;
  // Index by index, and without an object for the row, because this runs for every message.
  for (let at = 0; at < numbers.length; at += ROW_LENGTH) {
    const subscription = numbers[at] as number;
    const content = numbers[at + 1] as number;
    const size = numbers[at + 2] as number;
    const offset = numbers[at + 4] as number;
    const session = numbers[at + 5] as number;
    const publication: Publication = { channel: channelOf(subscription), data: undefined, time: new Date(numbers[at + 3] as number) };
    if (session >= 0) {
      const userAt = textAt + session;
      const end = userAt + (numbers[at + 6] as number);
      publication.publisher = { session: text.slice(textAt, userAt), user: text.slice(userAt, end) };
      textAt = end;
    }
    if (offset !== 0) publication.offset = offset;
    let error: WirehubError | undefined;
    if (content === JSON_CONTENT) {
      try {
        publication.data = JSON.parse(text.slice(textAt, (textAt += size)));
      } catch (cause) {
        error = new WirehubError(Codes.PAYLOAD_MISMATCH, { cause });
      }
    } else publication.data = others.slice(bytesAt, (bytesAt += size));
    each(subscription, publication, error, size);
  }
}
