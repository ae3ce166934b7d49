import { button, make } from '../dom';
import { counted } from '../words';
import { duration } from './format';
import { Plot } from './plot';
import type { Reader } from './reader';
import type { Theme } from './theme';

/** The part of the time that is shown, in milliseconds. */
const SPAN = 10_000;
const HEIGHT = 120;

/** One of the two slow loops: its picture and its figures. */
export class Lane {
  readonly reader: Reader;
  readonly #plot: Plot;
  readonly #behind = make('dd', {}, '–');
  readonly #read = make('dd', {}, '–');
  readonly #skipped = make('dd', {}, '–');
  readonly #full = make('p', { class: 'lane-full' });

  constructor(root: HTMLElement, reader: Reader, theme: Theme) {
    this.reader = reader;
    const surface = make('div', { class: 'plot' });
    const again = button({}, () => {
      reader.reset();
      reader.start();
    }, 'Start again');
    this.#full.append(make('span', {}, 'The queue of 1 MiB was full. The loop ended with the error OVERFLOW: nothing was lost in silence.'), again);
    this.#full.hidden = true;
    const figures = make('dl', { class: 'figures' }, figure('Behind', this.#behind), figure('Read', this.#read), figure('Left out', this.#skipped));
    const title = make('h3', {}, reader.policy === 'latest' ? 'Latest' : 'Lossless');
    root.append(make('div', { class: 'lane', 'data-policy': reader.policy }, title, figures, surface, this.#full));
    const [series] = reader.source.series;
    this.#plot = new Plot(surface, theme, { unit: series?.unit ?? '', series: [series?.title ?? ''], height: HEIGHT, top: series?.most });
  }

  draw(now: number): void {
    this.#plot.draw(this.reader.store.columns([0]), { from: now - SPAN, to: now });
  }

  showValues(now: number): void {
    const { newest } = this.reader.store;
    this.#behind.textContent = newest === undefined ? '–' : duration(Math.max(0, now - newest));
    this.#read.textContent = counted(this.reader.read, 'reading');
    this.#skipped.textContent = counted(this.reader.skipped, 'reading');
    this.#full.hidden = !this.reader.overflowed;
  }
}

function figure(name: string, value: HTMLElement): HTMLElement {
  return make('div', {}, make('dt', {}, name), value);
}
