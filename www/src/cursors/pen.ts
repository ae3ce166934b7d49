import type { CursorPoint } from '../generated/contract';
import type { Board } from './board';

/** The step of an arrow key, as a part of the board's width; with Shift a fine one. */
const STEP = 0.02;
const FINE_STEP = 0.005;
/** A message has that many points at most. */
const MOST = 64;

/** The actions of the pen. The points of one picture of the screen come together. */
export interface PenEvents {
  moved(points: CursorPoint[], drawing: boolean): void;
  began(x: number, y: number): void;
  ended(): void;
  left(): void;
}

/** The person's own pointer on the board: mouse, finger, pen, or the keys. */
export class Pen {
  /** The place for the keys; `undefined` before the first of them, and while a pointer is used. */
  spot: { readonly x: number; readonly y: number } | undefined;
  readonly #board: Board;
  readonly #events: PenEvents;
  #points: CursorPoint[] = [];
  #pointAt = 0;
  #drawing = false;

  constructor(board: Board, events: PenEvents) {
    this.#board = board;
    this.#events = events;
    const { element } = board;
    element.addEventListener('pointerdown', (event) => this.#press(event));
    element.addEventListener('pointermove', (event) => this.#move(event));
    for (const type of ['pointerup', 'pointercancel', 'lostpointercapture'] as const) element.addEventListener(type, () => this.#lift());
    element.addEventListener('pointerleave', () => this.#leave());
    element.addEventListener('keydown', (event) => this.#key(event));
    element.addEventListener('blur', () => {
      this.#lift();
      this.#leave();
    });
  }

  get drawing(): boolean {
    return this.#drawing;
  }

  /** Passes on the points since the last picture of the screen, as one message. */
  flush(): void {
    if (this.#points.length > 0) this.#events.moved(this.#points.splice(0).slice(-MOST), this.#drawing);
  }

  #press(event: PointerEvent): void {
    if (event.button !== 0 || !event.isPrimary) return;
    this.spot = undefined;
    this.#board.element.setPointerCapture(event.pointerId);
    const { x, y } = this.#place(event);
    this.#begin(x, y);
  }

  #move(event: PointerEvent): void {
    if (!event.isPrimary) return;
    this.spot = undefined;
    // A fast pointer has several places in one picture of the screen.
    const events = event.getCoalescedEvents();
    for (const each of events.length === 0 ? [event] : events) {
      const { x, y } = this.#place(each);
      this.#add(x, y, each.timeStamp);
    }
  }

  #begin(x: number, y: number): void {
    this.flush();
    this.#drawing = true;
    this.#events.began(x, y);
    this.#add(x, y, performance.now());
  }

  #lift(): void {
    if (!this.#drawing) return;
    this.flush();
    this.#drawing = false;
    this.#events.ended();
  }

  #leave(): void {
    if (this.#drawing) return;
    this.spot = undefined;
    this.#points = [];
    this.#events.left();
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const spot = this.spot ?? { x: 0.5, y: 0.5 };
    const step = event.shiftKey ? FINE_STEP : STEP;
    const tall = step * (this.#board.width / this.#board.height);
    const directions: Readonly<Record<string, readonly [number, number]>> = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -tall], ArrowDown: [0, tall] };
    const direction = directions[event.key];
    if (direction !== undefined) {
      this.spot = { x: within(spot.x + direction[0]), y: within(spot.y + direction[1]) };
      this.#add(this.spot.x, this.spot.y, performance.now());
    } else if (event.key === ' ') {
      this.spot = spot;
      if (this.#drawing) this.#lift();
      else this.#begin(spot.x, spot.y);
    } else if (event.key === 'Escape') this.#lift();
    else return;
    event.preventDefault();
  }

  #add(x: number, y: number, at: number): void {
    this.#points.push({ x, y, after: Math.min(1_000, Math.max(0, Math.round(at - this.#pointAt))) });
    this.#pointAt = at;
  }

  #place({ clientX, clientY }: PointerEvent): { readonly x: number; readonly y: number } {
    const { left, top, width, height } = this.#board.element.getBoundingClientRect();
    return { x: within((clientX - left) / width), y: within((clientY - top) / height) };
  }
}

/** Four digits are finer than any screen, and keep messages small. */
function within(part: number): number {
  return Math.round(Math.min(1, Math.max(0, part)) * 10_000) / 10_000;
}
