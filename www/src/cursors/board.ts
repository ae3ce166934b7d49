import { make } from '../dom';
import type { Stroke } from './strokes';

/** The proportion of width to height, the same on every screen, so that everybody sees the same picture. */
export const PROPORTION = 16 / 10;

/** The two canvases of the board: strokes that everybody has, and above them the own stroke that is on its way. */
export class Board {
  readonly element = make('div', { class: 'board', role: 'application', tabindex: 0, 'aria-label': 'Shared canvas', 'aria-describedby': 'board-help' });
  /** The board has another size or other colours: it has to be drawn anew. */
  onrenewed: (() => void) | undefined;
  readonly #done = make('canvas', { 'aria-hidden': 'true' });
  readonly #own = make('canvas', { 'aria-hidden': 'true' });
  #colours: readonly string[] = [];
  #hasOwn = false;

  constructor() {
    this.element.append(this.#done, this.#own);
    const renew = (): void => {
      const scale = devicePixelRatio;
      for (const canvas of [this.#done, this.#own]) {
        canvas.width = Math.round(this.element.clientWidth * scale);
        canvas.height = Math.round(this.element.clientHeight * scale);
      }
      const style = getComputedStyle(document.documentElement);
      this.#colours = [1, 2, 3, 4, 5, 6].map((number) => style.getPropertyValue(`--series-${number}`).trim());
      this.onrenewed?.();
    };
    new ResizeObserver(renew).observe(this.element);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', renew);
  }

  get width(): number {
    return this.element.clientWidth;
  }

  get height(): number {
    return this.element.clientHeight;
  }

  /** Draws everything anew. */
  draw(strokes: Iterable<Stroke>): void {
    const context = this.#clear(this.#done);
    for (const stroke of strokes) this.#stroke(context, stroke, 0);
  }

  /** Draws the last points of a stroke that became longer. */
  lengthen(stroke: Stroke, points: number): void {
    const context = this.#done.getContext('2d');
    // Some points of the piece before, so that the line is smooth where they meet.
    if (context !== null) this.#stroke(context, stroke, Math.max(0, stroke.points.length / 2 - points - 2));
  }

  /** Draws the strokes that are on their way, in place of the ones before. */
  drawOwn(strokes: readonly Stroke[]): void {
    // A canvas that is cleared for each picture of the screen is also painted for each.
    if (strokes.length === 0 && !this.#hasOwn) return;
    this.#hasOwn = strokes.length > 0;
    const context = this.#clear(this.#own);
    for (const stroke of strokes) this.#stroke(context, stroke, 0);
  }

  #clear(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
    const context = canvas.getContext('2d');
    context?.clearRect(0, 0, canvas.width, canvas.height);
    return context;
  }

  /** A curve through the middles between the points, which smooths them. */
  #stroke(context: CanvasRenderingContext2D | null, { color, width, points }: Stroke, from: number): void {
    if (context === null || points.length < 2) return;
    const { canvas } = context;
    const x = (index: number): number => (points[2 * index] ?? 0) * canvas.width;
    const y = (index: number): number => (points[2 * index + 1] ?? 0) * canvas.height;
    const last = points.length / 2 - 1;
    context.strokeStyle = this.#colours[color - 1] ?? this.#colours[0] ?? 'gray';
    context.lineWidth = Math.max(1, width * canvas.width);
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    context.moveTo(x(from), y(from));
    for (let index = from + 1; index < last; index += 1) {
      context.quadraticCurveTo(x(index), y(index), (x(index) + x(index + 1)) / 2, (y(index) + y(index + 1)) / 2);
    }
    context.lineTo(x(last), y(last));
    context.stroke();
  }
}
