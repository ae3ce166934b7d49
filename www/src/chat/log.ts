import { Listeners } from '../listeners';
import type { Entry, Message } from './message';

/** How many messages a conversation keeps; the oldest go first. */
const MAX_MESSAGES = 500;
/** How many remarks stand in a row; further ones would only push the messages away. */
const MAX_REMARKS = 5;
/** How many reactions a message keeps. */
const MAX_REACTIONS = 12;

/** A reaction and the people who have it. */
export interface Reaction {
  readonly emoji: string;
  /** Names by user. */
  readonly people: ReadonlyMap<string, string>;
}

/** The messages of a conversation, oldest first, each once, with the reactions to them. */
export class Log {
  readonly added = new Listeners<Entry>();
  readonly removed = new Listeners<Entry>();
  /** The reactions to this message changed. */
  readonly changed = new Listeners<Message>();
  readonly #messages = new Map<string, Message>();
  readonly #reactions = new Map<string, Map<string, Map<string, string>>>();
  #entries: Entry[] = [];

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** The newest message. */
  get last(): Message | undefined {
    return this.#entries.findLast((entry) => entry.kind === 'message');
  }

  find(id: string): Message | undefined {
    return this.#messages.get(id);
  }

  /** Adds an entry; a message that is there already changes nothing. Returns whether it is new. */
  add(entry: Entry): boolean {
    if (entry.kind === 'message') {
      if (this.#messages.has(entry.id)) return false;
      this.#messages.set(entry.id, entry);
    }
    this.#entries.push(entry);
    const { length } = this.#entries;
    if (entry.kind === 'remark' && this.#entries.slice(-1 - MAX_REMARKS).every(({ kind }) => kind === 'remark')) this.#remove(length - 1 - MAX_REMARKS);
    while (this.#messages.size > MAX_MESSAGES) this.#remove(0);
    this.added.notify(entry);
    return true;
  }

  /** Somebody reacts to a message, or takes it back. */
  react(to: string, emoji: string, person: { readonly user: string; readonly name: string }, on: boolean): void {
    const message = this.#messages.get(to);
    if (message === undefined) return;
    const reactions = this.#reactions.get(to) ?? new Map<string, Map<string, string>>();
    const people = reactions.get(emoji) ?? new Map<string, string>();
    if (on) people.set(person.user, person.name);
    else people.delete(person.user);
    if (people.size === 0) reactions.delete(emoji);
    else if (reactions.has(emoji) || reactions.size < MAX_REACTIONS) reactions.set(emoji, people);
    this.#reactions.set(to, reactions);
    this.changed.notify(message);
  }

  #remove(at: number): void {
    const [entry] = this.#entries.splice(at, 1);
    if (entry === undefined) return;
    if (entry.kind === 'message') {
      this.#messages.delete(entry.id);
      this.#reactions.delete(entry.id);
    }
    this.removed.notify(entry);
  }

  reactionsTo(id: string): readonly Reaction[] {
    return [...(this.#reactions.get(id) ?? [])].map(([emoji, people]) => ({ emoji, people }));
  }
}
