import type { ChatMessage } from '../generated/contract';
import { describe, type Hub } from '../hub';
import { Listeners } from '../listeners';
import type { RoomName } from '../names';

/** How long a message waits for a connection, in ms: long enough for a train in a tunnel. */
const PUBLISH_TIMEOUT = 120_000;
/** How many messages may wait, in all rooms together. */
const MAX_WAITING = 50;

/** A message that was written here and has not come back from its room yet. */
export interface Unsent {
  readonly room: RoomName;
  readonly message: ChatMessage;
  /** The reason for which sending failed; `undefined` while it is being sent. */
  readonly failure: string | undefined;
}

/** The messages of this page that are not sent yet. A message leaves it only when it has arrived or is discarded. */
export class Outbox {
  /** The room whose unsent messages changed. */
  readonly changes = new Listeners<RoomName>();
  readonly #hub: Hub;
  #entries: readonly Unsent[] = [];

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  of(room: RoomName): readonly Unsent[] {
    return this.#entries.filter((entry) => entry.room === room);
  }

  /**
   * Sends now or as soon as there is a connection. Returns false if too many messages are waiting and this one was
   * refused.
   */
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

  /** One of this page's own messages came back from the room: it must not be shown twice. */
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

  /** Replaces `entry` with `next`, or removes it. Returns false if it is not there any more. */
  #replace(entry: Unsent, next?: Unsent): boolean {
    if (!this.#entries.includes(entry)) return false;
    this.#entries = this.#entries.flatMap((one) => (one !== entry ? [one] : next === undefined ? [] : [next]));
    this.changes.notify(entry.room);
    return true;
  }
}
