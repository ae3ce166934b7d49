import type { Publication } from '@wirehub/client';
import type { ChatMessage } from '../generated/contract';
import { MAX_TEXT, parseNick } from '../names';

/** A message received in a room, checked for display. */
export interface Incoming {
  readonly session: string | undefined;
  readonly nick: string;
  readonly text: string;
  readonly time: Date;
}

/**
 * The message in a publication, or `undefined` if it is not a chat message. The server does not check payloads. A
 * client with the right to publish in a room can send anything there, and the declared type is only a promise.
 */
export function parseIncoming(publication: Publication<ChatMessage>): Incoming | undefined {
  const data: unknown = publication.data;
  if (typeof data !== 'object' || data === null || !('nick' in data) || !('text' in data)) return undefined;
  if (typeof data.nick !== 'string' || typeof data.text !== 'string') return undefined;
  const nick = parseNick(data.nick);
  return {
    session: publication.publisher?.session,
    nick: nick.ok ? nick.value : 'unnamed',
    text: data.text.length > 2 * MAX_TEXT ? `${data.text.slice(0, 2 * MAX_TEXT)}…` : data.text,
    time: publication.time,
  };
}
