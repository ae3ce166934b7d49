import type { App } from '../app';
import { make } from '../dom';
import { counted } from '../words';
import type { Feed } from './feed';
import { duration } from './format';
import { Lane } from './lane';
import { Reader } from './reader';
import type { Theme } from './theme';

/** Two loops over the same readings, side by side. Both are slow: one reads only the latest, the other every message. */
export class Race {
  readonly #feed: Feed;
  readonly #lanes: readonly Lane[];
  readonly #switch = make('input', { type: 'checkbox', role: 'switch' });
  readonly #pause = make('input', { type: 'range', min: 0, max: 500, step: 10, value: 150 });
  readonly #pauseText = make('output', { class: 'numbers' });
  #visible = false;

  constructor(root: HTMLElement, feed: Feed, theme: Theme, app: App) {
    this.#feed = feed;
    this.#pause.addEventListener('input', () => this.#showPause());
    const lanes = make('div', { class: 'lanes' });
    this.#lanes = [new Lane(lanes, new Reader(app, feed.source, 'latest'), theme), new Lane(lanes, new Reader(app, feed.source, 'lossless'), theme)];
    const body = make('div', { class: 'race-body' }, make('label', { class: 'race-pause' }, make('span', {}, 'Each message takes'), this.#pause, this.#pauseText), lanes);
    const about = `The server sends ${counted(feed.source.rate, 'reading')} a second. Give this page more to do than it can: “latest” leaves readings out and stays in the present, “lossless” shows every one and falls behind.`;
    const head = make('div', { class: 'card-head' }, make('h2', {}, 'When the page is slow'), make('label', { class: 'switch' }, this.#switch, make('span', {}, 'Read slowly')));
    root.append(make('section', { class: 'card race', 'aria-label': 'When the page is slow' }, head, make('p', { class: 'hint' }, about), body));
    body.hidden = true;
    this.#switch.addEventListener('change', () => {
      body.hidden = !this.#switch.checked;
      this.#update();
    });
    this.#showPause();
  }

  set visible(visible: boolean) {
    this.#visible = visible;
    this.#update();
  }

  draw(): void {
    if (this.#running) for (const lane of this.#lanes) lane.draw(this.#feed.now);
  }

  showValues(): void {
    if (this.#running) for (const lane of this.#lanes) lane.showValues(this.#feed.now);
  }

  get #running(): boolean {
    return this.#switch.checked && this.#visible;
  }

  #update(): void {
    for (const { reader } of this.#lanes) {
      if (this.#running) reader.start();
      else reader.reset();
    }
  }

  #showPause(): void {
    const pause = Number(this.#pause.value);
    this.#pauseText.textContent = duration(pause);
    for (const { reader } of this.#lanes) reader.pause = pause;
  }
}
