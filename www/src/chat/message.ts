import type { DirectMessage, ImageReference, RoomMessage } from '../generated/contract';

/** A message in a room or between two people. */
export interface Message {
  readonly kind: 'message';
  /** The writer's page chose it. By it the writer's own message is found again, and reactions name it. */
  readonly id: string;
  readonly user: string;
  readonly name: string;
  readonly own: boolean;
  readonly time: Date;
  readonly text: string;
  readonly image?: ImageReference | undefined;
  /** The message that this one answers. */
  readonly reply?: string | undefined;
}

/** A remark of the page between the messages. */
export interface Remark {
  readonly kind: 'remark';
  readonly text: string;
  /** `gap`: messages are missing. `presence`: people came or went. */
  readonly about: 'gap' | 'presence' | 'error';
}

export type Entry = Message | Remark;

/** The content of a message that is written here. */
export interface Draft {
  readonly text: string;
  readonly reply?: string | undefined;
  /** An image of this page, before and while it is uploaded. */
  readonly image?: LocalImage | undefined;
}

/** An image on its way to the server, small enough for it. */
export interface LocalImage {
  readonly file: string;
  readonly media: string;
  readonly width: number;
  readonly height: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Its address in this page. */
  readonly url: string;
}

/** A new id, which nobody can guess. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The parts of the contract's messages that are shown. */
export type Said = Extract<RoomMessage, { kind: 'text' | 'image' }> | Extract<DirectMessage, { kind: 'text' }>;
