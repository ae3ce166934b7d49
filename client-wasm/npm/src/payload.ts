import { Code, WirehubError } from './errors.js';

/** Encoded data. */
export interface Encoded {
  readonly data: Uint8Array;
  /** Whether it is JSON. */
  readonly flag: boolean;
}

export const encoder = new TextEncoder();

/** Bytes stay as they are; everything else becomes JSON. */
export function encode(data: unknown): Encoded {
  if (data instanceof Uint8Array) return { data, flag: false };
  if (data instanceof ArrayBuffer) return { data: new Uint8Array(data), flag: false };
  let text: string | undefined;
  let cause: unknown;
  try {
    text = JSON.stringify(data);
  } catch (error) {
    cause = error;
  }
  if (text === undefined) {
    throw new WirehubError(Code.PAYLOAD_MISMATCH, { message: `${typeof data} can't be written as JSON: send something else`, cause });
  }
  return { data: encoder.encode(text), flag: true };
}
