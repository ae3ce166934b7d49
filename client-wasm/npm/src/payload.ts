import type { Attachment } from './contract.js';
import { Code, WirehubError } from './errors.js';

/** Encoded data. */
export interface Encoded {
  readonly data: Uint8Array;
  /** The JSON of the head, if it is an attachment. */
  readonly head?: string;
  /** Whether it is JSON. */
  readonly flag: boolean;
}

let textEncoder: TextEncoder | undefined;

/** Made when it is needed: some environments that only import the package have none, such as Jest's with jsdom. */
export const encoder = {
  encode: (text?: string): Uint8Array<ArrayBuffer> => (textEncoder ??= new TextEncoder()).encode(text),
};

/**
 * Bytes stay as they are, also those of an attachment; everything else becomes JSON.
 *
 * @throws {WirehubError} PAYLOAD_MISMATCH: it has no JSON, or loses something in it.
 */
export function encode(data: unknown): Encoded {
  const bytes = toBytes(data);
  if (bytes) return { data: bytes, flag: false };
  const attachment = toAttachment(data);
  if (attachment) return { data: attachment.bytes, head: toJson(attachment.head, 'the head'), flag: false };
  return { data: encoder.encode(toJson(data)), flag: true };
}

/** The parts of an object with a `head`, `bytes` and nothing else; `undefined` for everything else. */
function toAttachment(data: unknown): Attachment | undefined {
  if (typeof data !== 'object' || data === null || Object.keys(data).sort().join() !== 'bytes,head') return undefined;
  const { head, bytes: given } = data as { head: unknown; bytes: unknown };
  const bytes = toBytes(given);
  return bytes && { head, bytes };
}

/** The bytes of a view or a buffer; `undefined` for everything else. */
export function toBytes(data: unknown): Uint8Array | undefined {
  // Not by the class: another realm, such as a frame or a sandbox of tests, has classes of its own.
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return /^(Shared)?ArrayBuffer$/.test(tag(data)) ? new Uint8Array(data as ArrayBuffer) : undefined;
}

/** @throws {WirehubError} PAYLOAD_MISMATCH: it has no JSON, or loses something in it. */
export function toJson(data: unknown, place = 'the data'): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(data);
  } catch (cause) {
    throw mismatch(`${place} has no JSON: ${(cause as Error).message}`, cause);
  }
  // Afterwards: JSON.stringify has refused a value that contains itself.
  refuseLoss(data, place);
  return text as string;
}

/** Refuses a value of which JSON.stringify drops or changes a part without a word. */
function refuseLoss(value: unknown, place: string): void {
  const problem = lossy(value);
  if (problem) throw mismatch(`${place} is ${problem}, which has no JSON: send an object, an array, a text, a finite number, bytes alone, or { head, bytes }`);
  if (value === null || typeof value !== 'object' || hasJson(value)) return;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at += 1) refuseLoss(value[at], `${place}[${at}]`);
    return;
  }
  for (const name of Object.keys(value)) {
    const part = (value as Record<string, unknown>)[name];
    // A field that is absent.
    if (part !== undefined) refuseLoss(part, `${place}.${name}`);
  }
}

/** The description of a value that has no JSON. */
function lossy(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined;
    case 'number':
      return Number.isFinite(value) ? undefined : String(value);
    case 'object':
      if (value === null || Array.isArray(value)) return undefined;
      // Behind the check for bytes, because Node's Buffer has a toJSON.
      if (ArrayBuffer.isView(value)) return `a ${tag(value)} beside other data`;
      return hasJson(value) || isPlain(value) ? undefined : `a ${className(value)}`;
    case 'undefined':
      return 'undefined';
    default:
      return `a ${typeof value}`;
  }
}

const hasJson = (value: object): boolean => typeof (value as { toJSON?: unknown }).toJSON === 'function';

/** Whether it is an object of no class, in any realm. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The name of a built-in class. */
const tag = (value: unknown): string => Object.prototype.toString.call(value).slice('[object '.length, -1);

/** The name of an object's class, for people. */
const className = (value: object): string => (tag(value) === 'Object' ? value.constructor?.name || 'class instance' : tag(value));

function mismatch(message: string, cause?: unknown): WirehubError {
  return new WirehubError(Code.PAYLOAD_MISMATCH, { message, ...(cause === undefined ? {} : { cause }) });
}
