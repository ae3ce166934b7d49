import type { RoomName } from '../names';

/** A place in a room's history. */
export interface SeenPlace {
  readonly epoch: string;
  readonly offset: number;
}

const STORAGE_PREFIX = 'wirehub-demo.seen.';
/** The mark is stored so long after a move, in ms: it moves with each message of a room that is in view. */
const STORE_AFTER = 300;

/** The place up to which this browser has seen a room: the same in all tabs, and known at the next visit. */
export class SeenMark {
  readonly #key: string;
  #place: SeenPlace | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `moved`: another tab has seen more. `signal` ends that. */
  constructor(room: RoomName, signal: AbortSignal, moved: (place: SeenPlace) => void) {
    this.#key = STORAGE_PREFIX + room;
    this.#place = recall(this.#key);
    window.addEventListener('storage', ({ key, newValue }) => {
      const place = key === this.#key ? parse(newValue) : undefined;
      if (place === undefined || (place.epoch === this.#place?.epoch && place.offset <= this.#place.offset)) return;
      this.#place = place;
      moved(place);
    }, { signal });
    window.addEventListener('pagehide', () => this.#store(), { signal });
  }

  /** `undefined` before the first visit of the room. */
  get place(): SeenPlace | undefined {
    return this.#place;
  }

  move(place: SeenPlace): void {
    if (place.epoch === this.#place?.epoch && place.offset === this.#place.offset) return;
    this.#place = place;
    this.#timer ??= setTimeout(() => this.#store(), STORE_AFTER);
  }

  #store(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      localStorage.setItem(this.#key, JSON.stringify(this.#place));
    } catch {
      // A browser may deny storage: the mark lasts as long as the page.
    }
  }
}

function recall(key: string): SeenPlace | undefined {
  try {
    return parse(localStorage.getItem(key));
  } catch {
    return undefined;
  }
}

function parse(stored: string | null): SeenPlace | undefined {
  try {
    const place: unknown = JSON.parse(stored ?? 'null');
    const isPlace = typeof place === 'object' && place !== null && 'epoch' in place && 'offset' in place && typeof place.epoch === 'string' && typeof place.offset === 'number';
    return isPlace ? { epoch: String(place.epoch), offset: Number(place.offset) } : undefined;
  } catch {
    return undefined;
  }
}
