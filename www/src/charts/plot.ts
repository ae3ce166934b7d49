import uPlot from 'uplot';
import { format, roundUp } from './format';
import type { Columns } from './store';
import type { Theme } from './theme';
import type { Range } from './view';

export interface PlotOptions {
  /** See `format`. */
  readonly unit: string;
  /** The names of the series. */
  readonly series: readonly string[];
  readonly height: number;
  /** The end of the vertical axis; by default it grows and shrinks with the visible values. */
  readonly top?: number | undefined;
  /** Charts with the same key share the cursor. */
  readonly sync?: string;
  readonly axis?: boolean;
}

/** Samples further apart than this many milliseconds are not joined: the time in between is unknown. */
const BREAK = 1_000;
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
/** A chart with more lines is not filled: the areas would hide each other. */
const FILLED = 2;

/** A chart of several series over time, drawn by uPlot. It reports the range that the pointer selects. */
export class Plot {
  /** Called with the range that was selected by dragging. */
  onselect: ((range: Range) => void) | undefined;
  /** Called with the sample under the pointer; `null` when the pointer has left. */
  onpoint: ((index: number | null) => void) | undefined;
  readonly #chart: uPlot;
  readonly #options: PlotOptions;

  constructor(root: HTMLElement, theme: Theme, options: PlotOptions) {
    this.#options = options;
    this.#chart = new uPlot(this.#configuration(root.clientWidth, theme), undefined, root);
    theme.addEventListener('change', () => this.#chart.redraw(false));
    new ResizeObserver(() => {
      if (root.clientWidth > 0) this.#chart.setSize({ width: root.clientWidth, height: options.height });
    }).observe(root);
  }

  draw(columns: Columns, { from, to }: Range): void {
    this.#chart.batch(() => {
      this.#chart.setData(columns, false);
      this.#chart.setScale('x', { min: from, max: to });
    });
  }

  show(series: number, shown: boolean): void {
    this.#chart.setSeries(series + 1, { show: shown });
  }

  /** Moves the cursor by that many samples, for people without a pointer. */
  step(samples: number): void {
    const { over, scales } = this.#chart;
    const times = this.#chart.data[0];
    const middle = ((scales['x']?.min ?? 0) + (scales['x']?.max ?? 0)) / 2;
    const from = this.#chart.cursor.idx ?? this.#chart.valToIdx(middle);
    const time = times[Math.min(times.length - 1, Math.max(0, from + samples))];
    if (time !== undefined) this.#chart.setCursor({ left: this.#chart.valToPos(time, 'x'), top: over.clientHeight / 2 });
  }

  #configuration(width: number, theme: Theme): uPlot.Options {
    const { series, height, unit, sync, axis = true } = this.#options;
    const grid = { stroke: () => theme.token('--line'), width: 1 };
    const text = { stroke: () => theme.token('--text-muted'), font: `12px ${theme.token('--font')}`, grid, ticks: { show: false } };
    return {
      width: Math.max(1, width),
      height,
      ms: 1,
      legend: { show: false },
      // On the right there is room for half of a time below the axis.
      padding: [8, axis ? 28 : 12, axis ? 0 : 8, 0],
      cursor: {
        y: false,
        // The range is applied by the view, which all charts follow.
        drag: { x: true, y: false, setScale: false, dist: 6 },
        points: { size: 7 },
        // Not the pressed button, or each chart would select for itself.
        ...(sync === undefined ? {} : { sync: { key: sync, setSeries: false, filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave' } } }),
      },
      scales: { x: { time: true, auto: false }, y: { range: (_, __, highest) => [0, this.#top(highest)] } },
      axes: [
        { ...text, show: axis, space: 90, size: 28, values: (_, times) => times.map((time) => clock.format(Math.round(time))) },
        { ...text, size: 68, space: 34, values: (_, values) => values.map((value) => format(value, unit)) },
      ],
      series: [
        {},
        ...series.map((label, index): uPlot.Series => ({
          label,
          stroke: () => theme.series(index),
          // The tokens are of six hexadecimal digits: two more are the opacity.
          ...(series.length <= FILLED && { fill: () => `${theme.series(index)}1f` }),
          width: 1.5,
          points: { show: false },
          gaps: (chart, _, first, last, gaps) => [...gaps, ...breaks(chart, first, last)],
        })),
      ],
      hooks: {
        setSelect: [(chart) => this.#selected(chart)],
        setCursor: [(chart) => this.onpoint?.(chart.cursor.idx ?? null)],
      },
    };
  }

  #top(highest: number | null): number {
    return this.#options.top ?? roundUp(Math.max(1, (highest ?? 0) * 1.05));
  }

  #selected(chart: uPlot): void {
    const { left, width } = chart.select;
    if (width === 0) return;
    const range = { from: chart.posToVal(left, 'x'), to: chart.posToVal(left + width, 'x') };
    chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onselect?.(range);
  }
}

/** The places without samples, in the canvas's pixels. */
function breaks(chart: uPlot, first: number, last: number): uPlot.Series.Gaps {
  const times = chart.data[0];
  const found: uPlot.Series.Gaps = [];
  for (let index = first + 1; index <= last; index += 1) {
    const [before, after] = [times[index - 1], times[index]];
    if (before === undefined || after === undefined || after - before <= BREAK) continue;
    found.push([Math.round(chart.valToPos(before, 'x', true)), Math.round(chart.valToPos(after, 'x', true))]);
  }
  return found;
}
