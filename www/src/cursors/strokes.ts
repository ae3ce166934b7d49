import type { Drawing } from '../generated/contract';

/** A line on the board. Coordinates and the width are parts of the board's width and height: 0 to 1. */
export interface Stroke {
  readonly id: string;
  /** The number of a series colour: 1 to 6. */
  readonly color: number;
  readonly width: number;
  /** `x` and `y` of each point, one after the other. */
  readonly points: number[];
}

/** The oldest strokes are forgotten when there are more. */
const KEPT = 3_000;

/** The strokes of a board, as the messages in its channel make them. */
export class Strokes {
  readonly #byId = new Map<string, Stroke>();

  get size(): number {
    return this.#byId.size;
  }

  [Symbol.iterator](): IterableIterator<Stroke> {
    return this.#byId.values();
  }

  get(id: string): Stroke | undefined {
    return this.#byId.get(id);
  }

  /**
   * Applies a message. Returns the stroke if it only became longer; `undefined` means that the board has to be drawn
   * anew. The piece's own points are the last ones of the stroke.
   */
  apply(message: Drawing): Stroke | undefined {
    switch (message.kind) {
      case 'stroke':
        return this.#lengthen(message);
      case 'erase':
        this.#byId.delete(message.id);
        return undefined;
      case 'clear':
        this.#byId.clear();
        return undefined;
    }
  }

  clear(): void {
    this.#byId.clear();
  }

  #lengthen({ id, color, width, points }: Stroke): Stroke {
    const known = this.#byId.get(id);
    if (known !== undefined) {
      // A piece begins with the last point of the piece before it.
      known.points.push(...points.slice(2));
      return known;
    }
    const stroke = { id, color, width, points: [...points] };
    this.#byId.set(id, stroke);
    const [oldest] = this.#byId.keys();
    if (this.#byId.size > KEPT && oldest !== undefined) this.#byId.delete(oldest);
    return stroke;
  }
}
