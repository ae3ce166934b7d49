import type { WirehubError } from './errors.js';
import type { Publication } from './subscription.js';

/** A position in a channel's history. */
export interface Position {
  /** The offset of a message, from 1; 0 is the position before the first. */
  readonly offset: number;
  /** Identifies the history: a channel that loses its history begins another one. */
  readonly epoch: string;
}

/** A message that can't be read. */
export interface Unreadable {
  /** Its offset in the history. */
  readonly offset: number;
  /** The reason for which it can't be read. */
  readonly error: WirehubError;
}

/** A part of a channel's history. */
export interface HistoryPage<M = unknown> {
  /** In the requested order. */
  readonly publications: Publication<M>[];
  /** The messages among them that can't be read. */
  readonly unreadable: Unreadable[];
  /** The position of the last message, readable or not: ask for the next page `since` this. */
  readonly last?: Position;
  /** The channel's newest position. */
  readonly position: Position;
  /** Whether there are more behind the last of these. */
  readonly more: boolean;
}

/** A session in a channel. */
export interface Member<I = unknown> {
  /** Its id. */
  readonly session: string;
  /** Empty for an anonymous one. */
  readonly user: string;
  /** The info that the server shows to other members, such as a name; absent if there is none. */
  readonly info?: I;
}

/** A page of the members of a channel. */
export interface PresencePage<I = unknown> extends PresenceCounts {
  /** An entry for each session. */
  readonly members: Member<I>[];
  /** Whether there are more behind the last of these: read on `after` its session. */
  readonly more: boolean;
}

/** The numbers of sessions and users in a channel. */
export interface PresenceCounts {
  /** The number of sessions, anonymous ones included. */
  readonly sessions: number;
  /** The number of their users; each anonymous session counts as one. */
  readonly users: number;
}
