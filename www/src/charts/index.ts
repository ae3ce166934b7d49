import 'uplot/dist/uPlot.min.css';
import type { App } from '../app';
import { describe } from '../client';
import { make } from '../dom';
import type { MeterSource } from '../generated/contract';
import { icon } from '../icons';
import type { Mounted, Panel } from '../panel';
import './charts.css';
import { Card, type Shared } from './card';
import { Controls } from './controls';
import { Feed } from './feed';
import { Race } from './race';
import { Theme } from './theme';
import { View } from './view';

/** The values beside the charts change this often, in milliseconds: a number that flickers can't be read. */
const VALUES_EVERY = 250;
const HELP = 'charts-help';

export const panel: Panel = { id: 'charts', title: 'Charts', mount: (root, app) => new Charts(root, app) };

/** Live charts of the server and its machine. They read and draw only while they are visible. */
class Charts implements Mounted {
  readonly #app: App;
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)');
  readonly #feeds: Feed[] = [];
  readonly #cards: Card[] = [];
  readonly #view = new View(30_000, () => this.#feeds[0]?.now ?? Date.now());
  readonly #controls: Controls;
  readonly #empty = make('div', { class: 'empty-state' }, icon('charts'), make('h2', {}, 'No readings yet'), make('p', {}, 'They begin as soon as the page is connected.'));
  readonly #grid = make('div', { class: 'charts-grid' }, this.#empty);
  readonly #theme = new Theme();
  #race: Race | undefined;
  #shown = false;
  #loading = false;
  #animated = false;
  #drawnAt = 0;
  #valuesAt = 0;

  constructor(root: HTMLElement, app: App) {
    this.#app = app;
    this.#controls = new Controls(this.#view, () => app.announce(this.#cards.map((card) => card.describe()).join(' ')));
    const help = make('p', { id: HELP, class: 'hint' }, 'Drag to zoom. Keys on a chart: + and − zoom, ← → move, Shift and ← → read single values, Space pauses, Escape goes back to the present.');
    const head = make('div', {}, make('h1', {}, 'Live charts'), make('p', { class: 'hint' }, 'This machine and its server, as they are: every reading is a message with columns of numbers.'));
    root.append(make('div', { class: 'panel-body charts' }, make('header', { class: 'panel-head' }, head, this.#controls.rates), this.#controls.element, this.#grid, help));
    this.#view.addEventListener('change', () => this.#draw());
    document.addEventListener('visibilitychange', () => this.#update());
    app.eachLife(() => {
      for (const feed of this.#feeds) feed.stop();
      this.#update();
    });
  }

  show(): void {
    this.#shown = true;
    this.#update();
  }

  hide(): void {
    this.#shown = false;
    this.#update();
  }

  get #visible(): boolean {
    return this.#shown && !document.hidden;
  }

  #update(): void {
    if (this.#visible && this.#feeds.length === 0) void this.#load();
    for (const feed of this.#feeds) {
      if (this.#visible) feed.start();
      else feed.stop();
    }
    if (this.#race !== undefined) this.#race.visible = this.#visible;
    if (!this.#visible || this.#animated) return;
    this.#animated = true;
    requestAnimationFrame((now) => this.#frame(now));
  }

  /** Asks the server for its series, and makes a chart for each group of them. */
  async #load(): Promise<void> {
    if (this.#loading) return;
    this.#loading = true;
    const { client } = this.#app;
    try {
      const { sources } = await client.call('demo.meters', {}, { timeout: Infinity });
      this.#empty.remove();
      for (const source of sources) this.#add(source);
      const [first] = this.#feeds;
      if (first !== undefined) this.#race = new Race(this.#grid, first, this.#theme, this.#app);
      this.#update();
    } catch (error) {
      if (client.state !== 'closed') this.#app.notice(`The charts could not be loaded: ${describe(error)}`);
    } finally {
      this.#loading = false;
    }
  }

  #add(source: MeterSource): void {
    const feed = new Feed(this.#app, source);
    const shared: Shared = { app: this.#app, view: this.#view, theme: this.#theme, help: HELP };
    this.#feeds.push(feed);
    for (const group of new Set(source.series.map((series) => series.group))) this.#cards.push(new Card(this.#grid, group, feed, shared));
  }

  /** At most once for each picture of the screen; with reduced motion once a second. */
  #frame(now: number): void {
    this.#animated = this.#visible;
    if (!this.#visible) return;
    requestAnimationFrame((next) => this.#frame(next));
    // Once the picture has moved by about half a pixel.
    const due = this.#calm.matches ? 1_000 : Math.min(250, this.#view.span / 1_000);
    if (now - this.#drawnAt < due) return;
    this.#drawnAt = now;
    if (this.#view.following) this.#draw();
    this.#race?.draw();
    if (now - this.#valuesAt < VALUES_EVERY) return;
    this.#valuesAt = now;
    for (const card of this.#cards) card.showValues();
    this.#race?.showValues();
    this.#controls.showRates(this.#feeds, now);
  }

  #draw(): void {
    for (const card of this.#cards) card.draw();
  }
}
