import { make, setText } from '../dom';
import { counted } from '../words';

/** The upper ends of the bars, in milliseconds. Browsers round their clock to 0.1 ms: narrower bars would be invented. */
const ENDS = [0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 500, Infinity];
/** How many round trips count: the newest ones. */
const KEPT = 10_000;

/** Round trips as a picture: how many took how long. */
export class Histogram {
  readonly element = make('figure', { class: 'histogram', role: 'img' });
  readonly figures = make('dl', { class: 'lab-figures' });
  readonly #bars: HTMLElement[] = [];
  readonly #values = new Map<string, HTMLElement>();

  constructor() {
    ENDS.forEach((end, index) => {
      const bar = make('span', { class: 'bin-bar' });
      this.#bars.push(bar);
      const label = end === Infinity ? '' : String(end);
      this.element.append(make('span', { class: 'bin' }, make('span', { class: 'bin-room' }, bar), make('span', { class: 'bin-label' }, index % 2 === 0 ? label : '')));
    });
    for (const name of ['Trips', 'Fastest', 'Median', '99 %', 'Slowest']) {
      const value = make('dd', {}, '–');
      this.#values.set(name, value);
      this.figures.append(make('div', {}, make('dt', {}, name), value));
    }
  }

  show(trips: readonly number[]): void {
    const sorted = trips.slice(-KEPT).sort((a, b) => a - b);
    const counts = ENDS.map(() => 0);
    for (const ms of sorted) {
      const bin = ENDS.findIndex((end) => ms <= end);
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    const most = Math.max(1, ...counts);
    this.#bars.forEach((bar, index) => {
      const count = counts[index] ?? 0;
      // One trip among thousands is seen too.
      bar.style.height = count === 0 ? '0' : `max(3px, ${(100 * count) / most}%)`;
      bar.title = counted(count, 'trip');
    });
    const at = (part: number): string => inMs(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]);
    const values = { Trips: sorted.length.toLocaleString(), Fastest: at(0), Median: at(0.5), '99 %': at(0.99), Slowest: at(1) };
    for (const [name, value] of Object.entries(values)) setText(this.#values.get(name) ?? this.element, value);
    this.element.ariaLabel =
      sorted.length === 0 ? 'Histogram without round trips yet' : `Histogram of ${counted(sorted.length, 'round trip')}: median ${values.Median}, 99 percent within ${values['99 %']}`;
  }
}

export function inMs(ms: number | undefined): string {
  return ms === undefined ? '–' : `${ms < 100 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}
