import type { App } from '../app';
import { make } from '../dom';
import type { Mounted, Panel } from '../panel';
import { Frames } from './frames';
import { JsonLine } from './json-line';
import './lab.css';
import { Proof } from './proof';
import { Rates } from './rates';
import { Trips } from './trips';

/** The counts and the list change this often, in milliseconds. */
const EVERY = 250;

export const panel: Panel = { id: 'lab', title: 'Echo & lab', mount: (root, app) => new Lab(root, app) };

/** The lab: a proof that nothing is lost, round trips, and every frame on the line. */
class Lab implements Mounted {
  readonly #proof: Proof;
  readonly #trips: Trips;
  readonly #frames = new Frames();
  readonly #rates = new Rates();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(root: HTMLElement, app: App) {
    const json = new JsonLine(app.address.hub, () => app.me.token());
    this.#proof = new Proof(app, json);
    this.#trips = new Trips(app, json);
    const head = make('div', {}, make('h1', {}, 'Echo & lab'), make('p', { class: 'hint' }, 'Break the line and count what arrives. Measure it. See every frame on it.'));
    const columns = make('div', { class: 'lab-columns' }, make('div', { class: 'lab-column' }, this.#proof.element, this.#trips.element), this.#frames.element);
    root.append(make('div', { class: 'panel-body lab' }, make('header', { class: 'panel-head' }, head, this.#rates.element), columns));
  }

  show(): void {
    this.#frames.listen(true);
    this.#timer ??= setInterval(() => this.#refresh(), EVERY);
  }

  /** A proof goes on: it belongs to the line, and the line to all panels. */
  hide(): void {
    this.#frames.listen(false);
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #refresh(): void {
    this.#proof.show();
    this.#trips.show();
    this.#frames.show();
    this.#rates.show();
  }
}
