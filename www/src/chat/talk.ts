import type { Somebody } from '../people';
import type { Listeners } from '../listeners';
import type { Log } from './log';
import type { Message } from './message';
import type { Outbox } from './outbox';

/** A conversation: a room, or the private messages with a person. */
export interface Talk {
  /** Its address behind `#chat/`: `lobby`, or `@` and a user. */
  readonly address: string;
  readonly title: string;
  readonly isPrivate: boolean;
  readonly log: Log;
  readonly outbox: Outbox;
  /** Everything else changed: the people, the number of unread messages, the state. */
  readonly changes: Listeners<void>;
  /** The line under the title. */
  readonly note: string;
  /** The messages that this person has not seen. */
  readonly unread: number;
  /** The people here, if the conversation has a list of them. */
  readonly members: readonly Somebody[];
  /** The people who are writing at the moment. */
  readonly typing: readonly Somebody[];
  /** The id of the newest own message that the other person has seen. */
  readonly seenUpTo: string | undefined;
  /** This person sees the conversation: nothing is unread any more. */
  read(): void;
  /** This person is writing, or has stopped. */
  write(isWriting: boolean): void;
  /** Adds a reaction, or takes it back. Not every conversation has reactions. */
  react?(message: Message, emoji: string, on: boolean): void;
}
