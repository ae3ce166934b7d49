import type { CursorPoint, Drawing } from '../generated/contract';
import type { Stroke, Strokes } from './strokes';

/** While a stroke is being drawn, a piece of it is sent this often, in milliseconds. */
const PIECE_EVERY = 150;
/** A piece has that many points at most. */
const PIECE_POINTS = 500;
/** A point nearer than this to the one before it is left out, as a part of the board. */
const NEAR = 0.001;

/** Publishes a piece. Resolves when the server has it. */
export type Send = (piece: Drawing, key: string) => Promise<unknown>;

interface Own {
  readonly stroke: Stroke;
  /** The points that were sent. */
  sent: number;
  pieces: number;
  ended: boolean;
}

/** The person's own strokes: shown at once, sent in pieces, and forgotten here when everybody has them. */
export class Sketch {
  /** The ids of the strokes that were drawn here, the newest last: for taking them back. */
  readonly ids: string[] = [];
  color = 1;
  width = 0.004;
  readonly #send: Send;
  readonly #onfail: (error: unknown) => void;
  readonly #own = new Map<string, Own>();
  #current: Own | undefined;
  #sentAt = 0;

  constructor(send: Send, onfail: (error: unknown) => void) {
    this.#send = send;
    this.#onfail = onfail;
  }

  /** The strokes that are on their way. */
  get strokes(): Stroke[] {
    return [...this.#own.values()].map(({ stroke }) => stroke);
  }

  begin(x: number, y: number): void {
    const stroke: Stroke = { id: crypto.randomUUID(), color: this.color, width: this.width, points: [x, y] };
    this.#current = { stroke, sent: 0, pieces: 0, ended: false };
    this.#own.set(stroke.id, this.#current);
    this.ids.push(stroke.id);
    this.#sentAt = performance.now();
  }

  add(points: readonly CursorPoint[]): void {
    const own = this.#current;
    if (own === undefined) return;
    const all = own.stroke.points;
    for (const { x, y } of points) {
      if (Math.hypot(x - (all.at(-2) ?? 0), y - (all.at(-1) ?? 0)) > NEAR) all.push(x, y);
    }
    const unsent = all.length / 2 - own.sent;
    if (unsent >= PIECE_POINTS || performance.now() - this.#sentAt > PIECE_EVERY) this.#sendPiece(own);
  }

  end(): void {
    const own = this.#current;
    this.#current = undefined;
    if (own === undefined) return;
    own.ended = true;
    this.#sendPiece(own);
  }

  /** The strokes that everybody has are no longer on their way. */
  settle(strokes: Strokes): void {
    for (const [id, { stroke, ended }] of this.#own) {
      const arrived = strokes.get(id)?.points.length ?? 0;
      if (ended && arrived >= stroke.points.length) this.#own.delete(id);
    }
  }

  /** The board was wiped: strokes that everybody has seen are gone. */
  clear(): void {
    for (const [id, { ended }] of this.#own) if (ended) this.#own.delete(id);
    this.ids.length = 0;
  }

  #sendPiece(own: Own): void {
    const { id, color, width, points } = own.stroke;
    // A piece begins with the last point of the one before. A single point is a stroke too: a dot.
    const piece = points.slice(Math.max(0, own.sent - 1) * 2);
    if (own.sent > 0 && piece.length <= 2) return;
    own.sent = points.length / 2;
    own.pieces += 1;
    this.#sentAt = performance.now();
    this.#send({ kind: 'stroke', id, color, width, points: piece }, `${id}-${own.pieces}`).catch((error: unknown) => {
      this.#own.delete(id);
      this.#onfail(error);
    });
  }
}
