import type { App } from '../app';
import { describe } from '../client';
import { button, make, setText } from '../dom';
import { counted } from '../words';
import { Histogram, inMs } from './histogram';
import type { JsonLine } from './json-line';
import { paths, type Path } from './paths';

/** More than these are forgotten, the oldest first. */
const KEPT = 10_000;
const SIZES: readonly (readonly [text: string, size: number])[] = [
  ['16 bytes', 16],
  ['1 kB', 1_024],
  ['16 kB', 16_384],
];
const MANY = 200;
/** Fewer than the calls that the server allows a session at the same time. */
const TOGETHER = 25;

/** Measures round trips on four paths. Each path has its own results: mixed results would be meaningless. */
export class Trips {
  readonly element: HTMLElement;
  readonly #app: App;
  readonly #paths: readonly Path[];
  readonly #results = new Map<Path, number[]>();
  readonly #histogram = new Histogram();
  readonly #about = make('p', { class: 'hint' });
  readonly #status = make('p', { class: 'hint', role: 'status' });
  readonly #error = make('p', { class: 'field-error', role: 'status' });
  readonly #size = make('select', {}, ...SIZES.map(([text, size]) => make('option', { value: size }, text)));
  readonly #buttons: readonly HTMLButtonElement[];
  #path: Path | undefined;
  #busy = false;

  constructor(app: App, json: JsonLine) {
    this.#app = app;
    this.#paths = paths(app, json);
    this.#path = this.#paths[0];
    const choice = make('fieldset', { class: 'segments' }, make('legend', { class: 'visually-hidden' }, 'The way of the message'));
    this.#paths.forEach((path, index) => {
      const input = make('input', { type: 'radio', name: 'lab-path', value: path.title, checked: index === 0 });
      input.addEventListener('change', () => {
        this.#path = path;
        this.#show();
      });
      choice.append(make('label', {}, input, make('span', {}, path.title)));
    });
    this.#buttons = [
      button({ class: 'primary' }, () => void this.#run(1, 1), 'Send one'),
      button({}, () => void this.#run(MANY, 1), `${MANY}, one by one`),
      button({}, () => void this.#run(MANY, TOGETHER), `${MANY}, ${TOGETHER} at once`),
    ];
    const size = make('label', { class: 'trip-size' }, make('span', { class: 'visually-hidden' }, 'Size of the message'), this.#size);
    this.element = make(
      'section',
      { class: 'card trips', 'aria-labelledby': 'trips-title' },
      make('h2', { id: 'trips-title' }, 'Round trips'),
      choice,
      this.#about,
      make('div', { class: 'lab-row' }, ...this.#buttons, size),
      this.#error,
      this.#histogram.figures,
      this.#histogram.element,
      make('p', { class: 'hint axis-title', 'aria-hidden': 'true' }, 'milliseconds there and back'),
      this.#status,
    );
    this.#show();
  }

  /** Shows the trips so far, while some are being made. */
  show(): void {
    if (this.#busy) this.#show();
  }

  /** Makes that many trips, with at most `together` of them at the same time. */
  async #run(trips: number, together: number): Promise<void> {
    const path = this.#path;
    if (this.#busy || path === undefined) return;
    if (this.#app.link.kind !== 'connected') return setText(this.#error, 'The connection is down. Try again when it is back.');
    this.#setBusy(true);
    setText(this.#error, '');
    const results = this.#results.get(path) ?? [];
    this.#results.set(path, results);
    let left = trips;
    const size = Number(this.#size.value);
    const worker = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const start = performance.now();
        await path.trip(size);
        results.push(performance.now() - start);
      }
    };
    try {
      await path.open?.();
      await Promise.all(Array.from({ length: together }, worker));
      const last = results.at(-1);
      setText(this.#status, trips === 1 ? `Back after ${inMs(last)}.` : `${counted(trips, 'trip')} made.`);
    } catch (error) {
      setText(this.#error, describe(error));
    }
    results.splice(0, results.length - KEPT);
    this.#setBusy(false);
    this.#show();
  }

  /** Not `disabled`, which would take the keyboard's focus away from the pressed button. */
  #setBusy(busy: boolean): void {
    this.#busy = busy;
    for (const each of this.#buttons) each.ariaDisabled = String(busy);
  }

  #show(): void {
    setText(this.#about, this.#path?.about ?? '');
    this.#histogram.show(this.#path === undefined ? [] : (this.#results.get(this.#path) ?? []));
  }
}
