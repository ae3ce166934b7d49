import type { ChatMessage } from '../generated/contract';
import { describe, type Hub } from '../hub';
import { Listeners } from '../listeners';
import type { RoomName } from '../names';

/** How long a message waits for a connection, in ms: long enough for a train's tunnel. */
const PUBLISH_TIMEOUT = 120_000;
/** How many messages may wait, in all rooms together. */
const MAX_WAITING = 50;

/** A message that has been written here and has not yet come back out of its room. */
export interface Unsent {
  readonly room: RoomName;
  readonly message: ChatMessage;
  /** Why sending failed; `undefined` while it is on its way. */
  readonly failure: string | undefined;
}

/** What this page has to say and has not yet said. Nothing that a person wrote leaves it unless it arrived or was discarded. */
export class Outbox {
  /** Names the room whose unsent messages changed. */
  readonly changes = new Listeners<RoomName>();
  readonly #hub: Hub;
  #entries: readonly Unsent[] = [];

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  of(room: RoomName): readonly Unsent[] {
    return this.#entries.filter((entry) => entry.room === room);
  }

  /** Sends now or as soon as there is a connection. False: too many wait already, and this one was not taken. */
  send(room: RoomName, message: ChatMessage): boolean {
    if (this.#entries.length >= MAX_WAITING) return false;
    const entry: Unsent = { room, message, failure: undefined };
    this.#entries = [...this.#entries, entry];
    this.changes.notify(room);
    this.#publish(entry);
    return true;
  }

  retry(failed: Unsent): void {
    const entry: Unsent = { ...failed, failure: undefined };
    if (this.#replace(failed, entry)) this.#publish(entry);
  }

  discard(entry: Unsent): void {
    this.#replace(entry);
  }

  /** Tells that one of this page's own messages came out of the room: it is not to be shown twice. */
  arrived(room: RoomName, nick: string, text: string): void {
    const entry = this.#entries.find((one) => one.room === room && one.message.nick === nick && one.message.text === text);
    if (entry !== undefined) this.#replace(entry);
  }

  #publish(entry: Unsent): void {
    this.#hub.client.publish(`chat:${entry.room}`, entry.message, { timeout: PUBLISH_TIMEOUT }).then(
      () => this.#replace(entry),
      (error: unknown) => this.#replace(entry, { ...entry, failure: describe(error) }),
    );
  }

  /** Puts `next` (or nothing) where `entry` is. False: it is there no more. */
  #replace(entry: Unsent, next?: Unsent): boolean {
    if (!this.#entries.includes(entry)) return false;
    this.#entries = this.#entries.flatMap((one) => (one !== entry ? [one] : next === undefined ? [] : [next]));
    this.changes.notify(entry.room);
    return true;
  }
}
