import { accept, refuse, type Parsed } from './parsed';
import { counted } from './words';

/** Longest name of a person, in characters as people count them (grapheme clusters). */
export const MAX_NAME = 24;
/** Longest message, in characters. */
export const MAX_TEXT = 2000;
/** Longest name of a room, in characters. */
export const MAX_ROOM = 64;

declare const checked: unique symbol;
/** A room's name that has passed {@link parseRoom}. */
export type RoomName = string & { readonly [checked]: 'room' };
/** A person's name that has passed {@link parseName}. */
export type PersonName = string & { readonly [checked]: 'name' };
/** A message's text that has passed {@link parseText}. */
export type Text = string & { readonly [checked]: 'text' };

/** The room for an address without one. */
export const LOBBY = 'lobby' as RoomName;

export function parseRoom(typed: string): Parsed<RoomName> {
  const name = typed.trim();
  if (name === '') return refuse('Type the name of a room.');
  if (name.length > MAX_ROOM) return refuse(`A room’s name has at most ${MAX_ROOM} characters; this one has ${name.length}.`);
  if (!/^[a-z0-9_-]+$/.test(name)) return refuse('Use only small letters a–z, digits, - and _ in a room’s name.');
  return accept(name as RoomName);
}

export function parseName(typed: string): Parsed<PersonName> {
  const name = typed.trim();
  if (name === '') return refuse('Type a name, so that others know you.');
  const length = lengthOf(name);
  if (length > MAX_NAME) return refuse(`A name has at most ${MAX_NAME} characters; this one has ${length}.`);
  // Besides control characters: line breaks, and characters that change the direction of the text behind them.
  if (/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(name)) return refuse('A name can’t contain invisible control characters.');
  return accept(name as PersonName);
}

export function parseText(typed: string): Parsed<Text> {
  const text = typed.trim();
  if (text === '') return refuse('Type a message first.');
  const length = lengthOf(text);
  if (length > MAX_TEXT) {
    return refuse(`A message has at most ${MAX_TEXT} characters; this one has ${length}. Shorten it by ${counted(length - MAX_TEXT, 'character')}.`);
  }
  return accept(text as Text);
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** The length as people count it: an emoji of several code points is one character. */
export function lengthOf(text: string): number {
  let length = 0;
  for (const _ of graphemes.segment(text)) length += 1;
  return length;
}
