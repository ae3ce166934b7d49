import type { App } from '../app';
import { make } from '../dom';
import type { Series } from '../generated/contract';
import type { Feed } from './feed';
import { format } from './format';
import { Legend } from './legend';
import { Plot } from './plot';
import type { Theme } from './theme';
import type { View } from './view';

/** The parts that every chart shares. */
export interface Shared {
  readonly app: App;
  readonly view: View;
  readonly theme: Theme;
  /** The id of the text that describes the keys. */
  readonly help: string;
}

const HEIGHT = 168;
/** A screen reader hears the values under the cursor once it rests for this many milliseconds. */
const REST = 500;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const titles: Readonly<Record<string, string>> = {
  cpu: 'Processor',
  memory: 'Memory',
  network: 'Network',
  messages: 'Messages',
  traffic: 'Traffic',
  sessions: 'Sessions',
  delay: 'Delay',
};

/** One chart with its title, legend and keys: the series of a source that have one scale. */
export class Card {
  readonly #title: string;
  readonly #unit: string;
  readonly #series: readonly Series[];
  /** Their columns in the store. */
  readonly #columns: readonly number[];
  readonly #feed: Feed;
  readonly #shared: Shared;
  readonly #plot: Plot;
  readonly #legend: Legend;
  /** The reading under the cursor. */
  #point: number | null = null;
  #rest: ReturnType<typeof setTimeout> | undefined;

  constructor(root: HTMLElement, group: string, feed: Feed, shared: Shared) {
    const { series } = feed.source;
    this.#feed = feed;
    this.#shared = shared;
    this.#title = titles[group] ?? group;
    this.#series = series.filter((each) => each.group === group);
    this.#columns = this.#series.map((each) => series.indexOf(each));
    this.#unit = this.#series[0]?.unit ?? '';
    const names = this.#series.map(({ title }) => title);
    const surface = make('div', { class: 'plot', role: 'group', tabindex: 0, 'aria-label': `${this.#title}: chart of ${names.join(', ')}`, 'aria-describedby': shared.help });
    surface.addEventListener('keydown', (event) => this.#key(event));
    this.#legend = new Legend(names, this.#unit, (index, shown) => this.#plot.show(index, shown));
    const head = make('div', { class: 'card-head' }, make('h2', {}, this.#title), this.#legend.element);
    root.append(make('section', { class: 'card chart', 'aria-label': `${this.#title}, ${feed.source.title}` }, head, surface));
    const most = Math.max(0, ...this.#series.map((each) => each.most ?? 0)) || undefined;
    this.#plot = new Plot(surface, shared.theme, { unit: this.#unit, series: names, height: HEIGHT, sync: 'charts', top: most });
    this.#plot.onselect = (range) => shared.view.show(range);
    this.#plot.onpoint = (index) => (this.#point = index);
  }

  draw(): void {
    this.#plot.draw(this.#feed.store.columns(this.#columns), this.#shared.view.range);
  }

  /** Shows the values under the cursor, or the newest. */
  showValues(): void {
    this.#legend.show(this.#values(this.#point));
  }

  /** The newest values in words. */
  describe(): string {
    return `${this.#title}: ${this.#words(null)}.`;
  }

  #values(point: number | null): (number | undefined)[] {
    if (point === null) return this.#columns.map((column) => this.#feed.store.last(column));
    const [, ...columns] = this.#feed.store.columns(this.#columns);
    return columns.map((column) => column[point]);
  }

  #words(point: number | null): string {
    return this.#values(point)
      .map((value, index) => `${this.#series[index]?.title ?? ''} ${format(value, this.#unit)}`)
      .join(', ');
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { view } = this.#shared;
    const actions: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => (event.shiftKey ? this.#step(-1) : view.move(-0.1)),
      ArrowRight: () => (event.shiftKey ? this.#step(1) : view.move(0.1)),
      '+': () => view.zoom(0.5),
      '=': () => view.zoom(0.5),
      '-': () => view.zoom(2),
      '0': () => view.follow(),
      Escape: () => view.follow(),
      ' ': () => (view.following ? view.pause() : view.follow()),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  }

  /** Moves the cursor to another reading, and announces it once the keys rest. */
  #step(readings: number): void {
    const { view, app } = this.#shared;
    if (view.following) view.pause();
    this.#plot.step(readings);
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      const time = this.#point === null ? undefined : this.#feed.store.columns([])[0][this.#point];
      if (time !== undefined) app.announce(`${clock.format(time)}: ${this.#words(this.#point)}`);
    }, REST);
  }
}
