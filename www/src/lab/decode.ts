import proto from '../../../common/proto/wirehub.proto?raw';
import { parseProto, type Field } from './schema';
import type { Tapped } from './tap';

/** A frame of the protocol, with the names of the JSON subprotocol. */
export interface Frame {
  /** Such as `publication`; `ping`, `pong`, or `unreadable`. */
  readonly kind: string;
  /** The bytes of the frame without its delimiter. */
  readonly size: number;
  /** The number of the command, if it is one or replies to one. */
  readonly id: number | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

const { messages, enums } = parseProto(proto);
const decoder = new TextDecoder();

/** The frames of a WebSocket message: each stands behind its length. */
export function decode({ data, direction }: Tapped): readonly Frame[] {
  const isSent = direction === 'sent';
  const none = { id: undefined, body: {} };
  if (data.length === 0) return [{ ...none, kind: isSent ? 'pong' : 'ping', size: 0 }];
  if (typeof data === 'string') return [{ ...none, kind: 'unreadable', size: data.length }];
  const frames: Frame[] = [];
  try {
    for (const reader = new Reader(data); !reader.atEnd; ) {
      const bytes = reader.bytes();
      const { id, ...bodies } = readMessage(bytes, isSent ? 'Command' : 'ServerFrame');
      const [[kind, body] = ['unknown', {}]] = Object.entries(bodies);
      frames.push({ kind, size: bytes.length, id: typeof id === 'number' ? id : undefined, body: isRecord(body) ? body : {} });
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    frames.push({ ...none, kind: 'unreadable', size: data.length });
  }
  return frames;
}

function readMessage(bytes: Uint8Array, type: string): Record<string, unknown> {
  const fields = messages.get(type);
  const message: Record<string, unknown> = {};
  for (const reader = new Reader(bytes); !reader.atEnd; ) {
    const tag = reader.varint();
    const value = reader.value(tag % 8);
    const field = fields?.get(Math.floor(tag / 8));
    // A newer peer's field.
    if (field === undefined) continue;
    const read = readField(field, value);
    const list = message[field.name];
    if (!field.repeated) message[field.name] = read;
    else if (Array.isArray(list)) list.push(read);
    else message[field.name] = [read];
  }
  return readPayload(message);
}

function readField({ type }: Field, value: number | bigint | Uint8Array): unknown {
  if (value instanceof Uint8Array) {
    if (type === 'string') return decoder.decode(value);
    return type === 'bytes' ? value : readMessage(value, type);
  }
  if (type === 'bool') return value !== 0;
  if (type === 'fixed64') return value.toString(16).padStart(16, '0');
  return enums.get(type)?.get(Number(value)) ?? value;
}

/** Shows a payload of JSON as its value, and other bytes by their number. */
function readPayload(message: Record<string, unknown>): Record<string, unknown> {
  const { data, content, token } = message;
  // A picture of the lab may be shown to others.
  if (typeof token === 'string') message['token'] = `… ${token.length} characters, hidden`;
  if (!(data instanceof Uint8Array)) return message;
  const isJson = content === undefined && !('left' in message) && !('stream' in message);
  message['data'] = (isJson ? parseJson(decoder.decode(data)) : undefined) ?? `${data.length} bytes`;
  return message;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Reads the wire format of Protocol Buffers. A RangeError reports bytes that end too early. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): number {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new RangeError('a number is cut off');
      this.#at += 1;
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  }

  bytes(length = this.varint()): Uint8Array {
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    if (bytes.length < length) throw new RangeError('bytes are cut off');
    this.#at += length;
    return bytes;
  }

  value(wireType: number): number | bigint | Uint8Array {
    if (wireType === 0) return this.varint();
    if (wireType === 2) return this.bytes();
    const bytes = this.bytes(wireType === 1 ? 8 : 4);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return wireType === 1 ? view.getBigUint64(0, true) : view.getUint32(0, true);
  }
}
