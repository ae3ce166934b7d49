import type { Point, Trace } from './trace';

/** The picture's size in its own units, with room for the labels at its sides. index.html has the same in `viewBox`. */
const WIDTH = 288;
const HEIGHT = 112;
const PLOT = { left: 2, right: WIDTH - 40, top: 8, bottom: HEIGHT - 20 };

/** The steps in which the axis grows, within each power of ten. */
const STEPS = [1, 2, 5, 10];

/** A line over time, from zero up. */
export class Chart {
  readonly #svg: SVGSVGElement;
  readonly #area: SVGElement;
  readonly #line: SVGElement;
  readonly #newest: SVGElement;
  readonly #top: SVGElement;

  constructor(svg: SVGSVGElement) {
    this.#svg = svg;
    this.#area = part('path', { class: 'chart-area' });
    this.#line = part('path', { class: 'chart-line' });
    this.#newest = part('circle', { class: 'chart-newest', r: 3.5, cx: -10, cy: -10 });
    this.#top = label('', PLOT.right + 6, PLOT.top + 4);
    const rule = (y: number, kind: string): SVGElement => part('line', { class: kind, x1: PLOT.left, x2: PLOT.right, y1: y, y2: y });
    const past = label('30 s ago', PLOT.left, HEIGHT - 5);
    const now = label('now', PLOT.right, HEIGHT - 5);
    now.setAttribute('text-anchor', 'end');
    svg.append(
      rule(PLOT.top, 'chart-rule'),
      rule((PLOT.top + PLOT.bottom) / 2, 'chart-rule'),
      rule(PLOT.bottom, 'chart-axis'),
      this.#area,
      this.#line,
      this.#newest,
      this.#top,
      label('0', PLOT.right + 6, PLOT.bottom + 4),
      past,
      now,
    );
  }

  draw(trace: Trace, now: number): void {
    const top = axisTop(trace.highest);
    const x = ({ at }: Point): number => PLOT.right - ((now - at) / trace.span) * (PLOT.right - PLOT.left);
    const y = ({ value }: Point): number => PLOT.bottom - (value / top) * (PLOT.bottom - PLOT.top);
    // The point before the window would lie outside the picture.
    const spot = (point: Point): string => `${Math.max(PLOT.left, x(point)).toFixed(1)} ${y(point).toFixed(1)}`;
    const lines = trace.runs.map((run) => `M${run.map(spot).join('L')}`);
    const areas = trace.runs.map((run, index) => {
      const [first, last] = [run[0], run.at(-1)];
      if (first === undefined || last === undefined) return '';
      return `${lines[index]}V${PLOT.bottom}H${Math.max(PLOT.left, x(first)).toFixed(1)}Z`;
    });
    this.#line.setAttribute('d', lines.join(''));
    this.#area.setAttribute('d', areas.join(''));
    this.#top.textContent = `${top} ms`;
    const newest = trace.runs.at(-1)?.at(-1);
    if (newest === undefined) return;
    this.#newest.setAttribute('cx', x(newest).toFixed(1));
    this.#newest.setAttribute('cy', y(newest).toFixed(1));
  }

  /** Describes the picture for screen readers. */
  describe(words: string): void {
    this.#svg.setAttribute('aria-label', words);
  }
}

/** The upper end of the axis: the next round number, so that the scale rarely changes. */
function axisTop(highest: number): number {
  const power = 10 ** Math.max(0, Math.floor(Math.log10(highest)));
  return power * (STEPS.find((step) => step * power >= highest) ?? 1);
}

function part(name: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, String(value));
  return element;
}

function label(text: string, x: number, y: number): SVGElement {
  const element = part('text', { class: 'chart-label', x, y });
  element.textContent = text;
  return element;
}
