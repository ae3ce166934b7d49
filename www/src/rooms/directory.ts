import type { RoomInfo } from '../generated/contract';
import { describe, type Hub } from '../hub';
import { Listeners } from '../listeners';
import { parseRoom, type RoomName } from '../names';

/** The interval in ms at which the visible list is renewed. */
const REFRESH_EVERY = 2_000;
/** Rooms shown at most; the fullest come first. */
const MAX_ROOMS = 100;

/** Rooms with the number of people in each. */
export type People = ReadonlyMap<RoomName, number>;

/** The list of rooms from the server. */
export class Directory {
  readonly changes = new Listeners<People>();
  readonly failures = new Listeners<string>();
  readonly #hub: Hub;
  #asking = false;
  #askAgain = false;

  constructor(hub: Hub) {
    this.#hub = hub;
    hub.links.add(() => this.refresh());
    document.addEventListener('visibilitychange', () => this.refresh());
    setInterval(() => this.refresh(), REFRESH_EVERY);
  }

  /**
   * Asks the server, unless the answer would not be visible or there is no connection. There is one request at a time.
   */
  refresh(): void {
    if (document.hidden || this.#hub.link.kind !== 'connected') return;
    if (this.#asking) {
      this.#askAgain = true;
      return;
    }
    this.#asking = true;
    this.#hub.client
      .call('demo.rooms', {})
      .then(
        ({ rooms }) => this.changes.notify(countPeople(rooms)),
        (error: unknown) => this.failures.notify(`The list of rooms could not be loaded: ${describe(error)}`),
      )
      .finally(() => {
        this.#asking = false;
        if (!this.#askAgain) return;
        this.#askAgain = false;
        this.refresh();
      });
  }
}

function countPeople(rooms: readonly RoomInfo[]): People {
  const fullestFirst = rooms.toSorted((a, b) => b.people - a.people || a.name.localeCompare(b.name));
  const people = new Map<RoomName, number>();
  for (const { name, people: count } of fullestFirst.slice(0, MAX_ROOMS)) {
    const room = parseRoom(name);
    if (room.ok) people.set(room.value, count);
  }
  return people;
}
