import type { Link } from '../hub';
import type { RoomName } from '../names';

interface Standing {
  readonly room: RoomName | undefined;
  readonly link: Link['kind'];
  /** The server has accepted the subscription. */
  readonly joined: boolean;
  /** The reason for which it has not. */
  readonly refusal: string | undefined;
  /** The number of people in the room; `undefined` until the server has sent it. */
  readonly people: number | undefined;
}

/** The line under the room's name: the state of the membership. */
export class RoomNote {
  readonly #place: HTMLElement;
  #standing: Standing = { room: undefined, link: 'connecting', joined: false, refusal: undefined, people: undefined };

  constructor(place: HTMLElement) {
    this.#place = place;
  }

  /** Whether the line shows that there are no other people. */
  get saysAlone(): boolean {
    return this.#standing.people !== undefined && this.#standing.people <= 1;
  }

  /** Applies a change. */
  show(change: Partial<Standing>): void {
    this.#standing = { ...this.#standing, ...change };
    this.#place.textContent = words(this.#standing);
  }
}

function words({ room, link, joined, refusal, people }: Standing): string {
  if (room === undefined) return 'You are in no room';
  if (link === 'closed') return 'Not connected';
  if (refusal !== undefined) return `Not in the room: ${refusal}`;
  if (link !== 'connected') return 'Waiting for the connection…';
  if (!joined) return 'Joining…';
  if (people === undefined) return 'You are in the room';
  return people <= 1 ? 'Only you are here' : `${people} people here`;
}
