import type { Publication } from '@wirehub/client';
import { colourOf } from '../avatar';
import { make, setText } from '../dom';
import type { Cursor } from '../generated/contract';
import type { Board } from './board';
import { Track } from './track';

/** A pointer that does not move fades, and is taken away in the end, in milliseconds. */
const IDLE = 4_000;
const GONE = 60_000;
/** More than that many would be a crowd in which nobody finds anybody. */
const MOST = 100;

const SVG = 'http://www.w3.org/2000/svg';

interface Pointer {
  readonly user: string;
  readonly track: Track;
  readonly element: HTMLElement;
  readonly name: HTMLElement;
  movedAt: number;
}

/** The pointers of the others, one for each of their pages. */
export class Pointers {
  readonly #board: Board;
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)');
  readonly #bySession = new Map<string, Pointer>();

  constructor(board: Board) {
    this.#board = board;
  }

  /** Somebody's pointer has moved, or left. */
  take({ data: { name, points, drawing }, publisher }: Publication<Cursor>): void {
    if (publisher === undefined) return;
    if (points.length === 0) return this.#remove(publisher.session);
    const pointer = this.#bySession.get(publisher.session) ?? this.#add(publisher.session, publisher.user);
    if (pointer === undefined) return;
    pointer.movedAt = performance.now();
    pointer.track.add(points, pointer.movedAt);
    pointer.element.classList.toggle('is-drawing', drawing);
    setText(pointer.name, name);
  }

  /** Somebody has left the board, with every page. */
  removeUser(user: string): void {
    for (const [session, pointer] of this.#bySession) if (pointer.user === user) this.#remove(session);
  }

  clear(): void {
    for (const session of [...this.#bySession.keys()]) this.#remove(session);
  }

  /** Moves every pointer to its place at this moment. */
  draw(now: number): void {
    for (const [session, { track, element, movedAt }] of this.#bySession) {
      const spot = this.#calm.matches ? track.newest : track.at(now);
      if (spot !== undefined) element.style.transform = `translate(${spot.x * this.#board.width}px, ${spot.y * this.#board.height}px)`;
      element.classList.toggle('is-idle', now - movedAt > IDLE);
      if (now - movedAt > GONE) this.#remove(session);
    }
  }

  #add(session: string, user: string): Pointer | undefined {
    if (this.#bySession.size >= MOST) return undefined;
    const { element, name } = arrow(colourOf(user || session));
    const pointer = { user: user || session, track: new Track(), element, name, movedAt: 0 };
    this.#bySession.set(session, pointer);
    this.#board.element.append(element);
    return pointer;
  }

  #remove(session: string): void {
    this.#bySession.get(session)?.element.remove();
    this.#bySession.delete(session);
  }
}

/** A pointer with a name, in a person's colour. */
export function arrow(colour: string): { readonly element: HTMLElement; readonly name: HTMLElement } {
  const picture = document.createElementNS(SVG, 'svg');
  picture.setAttribute('viewBox', '0 0 20 20');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', 'M1 1 18 8.5 10 11 6.5 18.5Z');
  picture.append(path);
  const name = make('span', { class: 'cursor-name' });
  const element = make('div', { class: 'cursor', 'aria-hidden': 'true' }, picture, name);
  element.style.setProperty('--hue', colour);
  return { element, name };
}
