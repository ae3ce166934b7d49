import { Listeners } from './listeners';
import { LOBBY, parseRoom, type RoomName } from './names';

/** The meaning of the part of the address behind `#`. */
export type Place =
  | { readonly kind: 'room'; readonly room: RoomName }
  | { readonly kind: 'no room' }
  | { readonly kind: 'not a room'; readonly why: string };

/** The address of a room; `undefined` is the place outside all rooms. */
export function hrefOf(room: RoomName | undefined): string {
  return `#/${room ?? ''}`;
}

/** Keeps the room in the address, so that a link opens it and the browser's Back leaves it. */
export class Route {
  readonly changes = new Listeners<Place>();
  #place: Place;

  constructor() {
    if (location.hash === '') history.replaceState(null, '', hrefOf(LOBBY));
    this.#place = parsePlace(location.hash) ?? { kind: 'no room' };
    window.addEventListener('hashchange', () => {
      const place = parsePlace(location.hash);
      if (place === undefined) return;
      this.#place = place;
      this.changes.notify(place);
    });
  }

  get place(): Place {
    return this.#place;
  }

  go(room: RoomName | undefined): void {
    location.hash = hrefOf(room);
  }
}

/** `undefined`: an address within the page, such as the skip link's. */
function parsePlace(hash: string): Place | undefined {
  if (hash === '') return { kind: 'no room' };
  if (!hash.startsWith('#/')) return undefined;
  const name = hash.slice(2);
  if (name === '') return { kind: 'no room' };
  const room = parseRoom(name);
  return room.ok ? { kind: 'room', room: room.value } : { kind: 'not a room', why: room.why };
}
