import type { WirehubError } from './errors.js';
import type { Publication } from './subscription.js';

/** A position in a channel's history. */
export interface Position {
  /** The offset of a message, from 1; 0 is the position before the first. */
  offset: number;
  /** Identifies the history: a channel that loses its history begins another one. */
  epoch: string;
}

/** A message that can't be read. */
export interface Unreadable {
  /** Its offset in the history. */
  offset: number;
  /** The reason for which it can't be read. */
  error: WirehubError;
}

/** A part of a channel's history. */
export interface HistoryPage<M = unknown> {
  /** In the requested order. */
  publications: Publication<M>[];
  /** The messages among them that can't be read. */
  unreadable: Unreadable[];
  /** The position of the last message, readable or not: ask for the next page `since` this. */
  last?: Position;
  /** The channel's newest position. */
  position: Position;
  /** Whether there are more behind the last of these. */
  more: boolean;
}

/** A session in a channel. */
export interface Member {
  /** Its id. */
  session: string;
  /** Empty for an anonymous one. */
  user: string;
  /** The info that the server shows to other members, such as a name; absent if there is none. */
  info?: unknown;
}

/** A page of the members of a channel. */
export interface PresencePage extends PresenceCounts {
  /** An entry for each session. */
  members: Member[];
  /** Whether there are more behind the last of these: read on `after` its session. */
  more: boolean;
}

/** The numbers of sessions and users in a channel. */
export interface PresenceCounts {
  /** The number of sessions, anonymous ones included. */
  sessions: number;
  /** The number of their users; each anonymous session counts as one. */
  users: number;
}
