import type { WirehubError } from './errors.js';
import type { Publication } from './subscription.js';

/** A place in a channel's history. */
export interface Position {
  /** The offset of a message, from 1; 0 is the place before the first. */
  offset: number;
  /** Which history: a channel that loses its own begins another one. */
  epoch: string;
}

/** A message that can't be read. */
export interface Unreadable {
  /** Its place in the history. */
  offset: number;
  /** Why it can't be read. */
  error: WirehubError;
}

/** A part of a channel's history. */
export interface HistoryPage<M = unknown> {
  /** In the order that was asked for. */
  publications: Publication<M>[];
  /** Those among them that can't be read. */
  unreadable: Unreadable[];
  /** The place of the last message that came, whether it can be read or not: ask for the next page `since` this. */
  last?: Position;
  /** The channel's newest place. */
  position: Position;
  /** There are more behind the last of these. */
  more: boolean;
}

/** A session in a channel. */
export interface Member {
  /** Its id. */
  session: string;
  /** Empty for an anonymous one. */
  user: string;
  /** What the server knows of it and shows to others, such as a name; absent where there is nothing. */
  info?: unknown;
}

/** Some of those who are in a channel. */
export interface PresencePage extends PresenceCounts {
  /** An entry for each session. */
  members: Member[];
  /** There are more behind the last of these: read on `after` its session. */
  more: boolean;
}

/** How many are in a channel. */
export interface PresenceCounts {
  /** The sessions, of users and anonymous. */
  sessions: number;
  /** The users that they belong to; each anonymous session counts as one. */
  users: number;
}
