import type { App } from '../app';
import { Listeners } from '../listeners';
import { LOBBY, parseRoom, type RoomName } from '../names';
import { counted } from '../words';
import { Inbox } from './private';
import { Room } from './room';
import type { Talk } from './talk';

const STORAGE_KEY = 'wirehub-demo.rooms';
/** How many rooms a person is in at the same time. */
const MAX_ROOMS = 12;

/** The conversations of this person: the rooms that were entered, in every visit of this browser, and the private ones. */
export class Talks {
  /** There is another conversation, or one of them changed. */
  readonly changes = new Listeners<void>();
  readonly inbox: Inbox;
  readonly #app: App;
  readonly #rooms = new Map<RoomName, Room>();

  constructor(app: App) {
    this.#app = app;
    this.inbox = new Inbox(app);
    this.inbox.changes.add(() => this.#changed());
    for (const name of recall()) this.#add(name);
    if (this.#rooms.size === 0) this.#add(LOBBY);
  }

  get rooms(): readonly Room[] {
    return [...this.#rooms.values()];
  }

  /** The conversation with that address: a room is entered. The reason against it, if there is one. */
  open(address: string): Talk | { readonly why: string } {
    if (address.startsWith('@')) return this.inbox.with(address.slice(1));
    const room = parseRoom(address);
    if (!room.ok) return { why: room.why };
    const known = this.#rooms.get(room.value);
    if (known !== undefined) return known;
    if (this.#rooms.size >= MAX_ROOMS) return { why: `You are in ${counted(MAX_ROOMS, 'room')}: leave one first.` };
    const entered = this.#add(room.value);
    this.#remember();
    this.#changed();
    return entered;
  }

  leave(name: RoomName): void {
    this.#rooms.get(name)?.leave();
    this.#rooms.delete(name);
    this.#remember();
    this.#changed();
  }

  #add(name: RoomName): Room {
    const room = new Room(this.#app, name);
    this.#rooms.set(name, room);
    room.changes.add(() => this.#changed());
    return room;
  }

  #changed(): void {
    const all: readonly Talk[] = [...this.#rooms.values(), ...this.inbox.talks];
    const unread = all.reduce((sum, talk) => sum + talk.unread, 0);
    this.#app.badge('chat', unread, unread === 1 ? 'unread message' : 'unread messages');
    this.changes.notify();
  }

  #remember(): void {
    try {
      localStorage.setItem(STORAGE_KEY, JSON.stringify([...this.#rooms.keys()]));
    } catch {
      // A browser may deny storage: the next visit begins in the lobby.
    }
  }
}

function recall(): readonly RoomName[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? '[]');
    return Array.isArray(stored) ? stored.slice(0, MAX_ROOMS).flatMap(parseStored) : [];
  } catch {
    return [];
  }
}

function parseStored(stored: unknown): RoomName[] {
  const room = typeof stored === 'string' ? parseRoom(stored) : undefined;
  return room?.ok === true ? [room.value] : [];
}
