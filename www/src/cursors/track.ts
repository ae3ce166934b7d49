import type { CursorPoint } from '../generated/contract';

/** A pointer is shown that much later than it was, in milliseconds: so there is always a next point to move to. */
const DELAY = 100;
const KEPT = 256;

interface Spot {
  /** The time at which the pointer is shown here. */
  readonly at: number;
  readonly x: number;
  readonly y: number;
}

/** The way of somebody's pointer: points come in messages, and the places between them are interpolated. */
export class Track {
  #spots: Spot[] = [];

  /** Adds the points of a message that came `now`. Their distances in time are those at their sender. */
  add(points: readonly CursorPoint[], now: number): void {
    let at = now + DELAY - points.slice(1).reduce((sum, { after }) => sum + after, 0);
    points.forEach(({ x, y, after }, index) => {
      if (index > 0) at += after;
      this.#spots.push({ at: Math.max(at, this.#spots.at(-1)?.at ?? 0), x: within(x), y: within(y) });
    });
    this.#spots.splice(0, this.#spots.length - KEPT);
  }

  /** The newest place, as it came. */
  get newest(): Spot | undefined {
    return this.#spots.at(-1);
  }

  /** The place at a time. */
  at(now: number): Spot | undefined {
    const next = this.#spots.findIndex(({ at }) => at > now);
    if (next < 0) return this.newest;
    const [from, to] = [this.#spots[next - 1], this.#spots[next]];
    if (from === undefined || to === undefined) return to;
    const part = (now - from.at) / (to.at - from.at);
    return { at: now, x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part };
  }
}

/** A payload is only its sender's promise. */
function within(part: number): number {
  return Math.min(1, Math.max(0, Number(part) || 0));
}
