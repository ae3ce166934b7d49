import { button, make, setText } from '../dom';
import { counted } from '../words';
import type { Feed } from './feed';
import { format } from './format';
import type { View } from './view';

const SPANS: readonly (readonly [text: string, span: number])[] = [
  ['10 s', 10_000],
  ['30 s', 30_000],
  ['1 min', 60_000],
  ['10 min', 600_000],
];

/** The same as by dragging and by keys. */
const MOVES: readonly (readonly [sign: string, name: string, act: (view: View) => void])[] = [
  ['−', 'Zoom out', (view) => view.zoom(2)],
  ['+', 'Zoom in', (view) => view.zoom(0.5)],
  ['‹', 'Earlier', (view) => view.move(-0.25)],
  ['›', 'Later', (view) => view.move(0.25)],
];

/** The charts' controls: the visible time, pause, and the rates of the readings. */
export class Controls {
  readonly element = make('div', { class: 'charts-controls' });
  readonly #view: View;
  readonly #pause: HTMLButtonElement;
  /** How much arrives. */
  readonly rates = make('p', { class: 'pill numbers charts-rates' });
  readonly #spans = make('fieldset', { class: 'segments' }, make('legend', { class: 'visually-hidden' }, 'Visible time'));
  #before: { readonly at: number; readonly messages: number; readonly bytes: number } | undefined;

  constructor(view: View, speak: () => void) {
    this.#view = view;
    this.#pause = button({}, () => (view.following ? view.pause() : view.follow()));
    for (const [text, span] of SPANS) {
      const input = make('input', { type: 'radio', name: 'charts-span', value: span, checked: span === view.span });
      input.addEventListener('change', () => view.follow(span));
      this.#spans.append(make('label', {}, input, make('span', {}, text)));
    }
    const said = button({ class: 'quiet', title: 'For screen readers: announces the newest values' }, speak, 'Read values aloud');
    const moves = make(
      'div',
      { class: 'charts-moves', role: 'group', 'aria-label': 'Zoom and move' },
      ...MOVES.map(([sign, name, act]) => button({ class: 'icon-button', 'aria-label': name, title: name }, () => act(view), sign)),
    );
    this.element.append(this.#pause, this.#spans, moves, said);
    view.addEventListener('change', () => this.#show());
    this.#show();
  }

  /** Shows how much arrives, at most once a second. */
  showRates(feeds: readonly Feed[], now: number): void {
    const sum = { at: now, messages: 0, bytes: 0 };
    for (const { messages, bytes } of feeds) {
      sum.messages += messages;
      sum.bytes += bytes;
    }
    const before = this.#before;
    if (before !== undefined && now - before.at < 1_000) return;
    this.#before = sum;
    if (before === undefined) return;
    const seconds = (now - before.at) / 1_000;
    const messages = Math.round((sum.messages - before.messages) / seconds);
    this.rates.textContent = `${counted(messages, 'message')} a second, ${format((sum.bytes - before.bytes) / seconds, 'bytes/s')}`;
  }

  #show(): void {
    const { following, span } = this.#view;
    setText(this.#pause, following ? 'Pause' : 'Back to live');
    this.#pause.classList.toggle('primary', !following);
    this.element.classList.toggle('is-still', !following);
    // While the view stands still, each of them leads back to live.
    for (const input of this.#spans.querySelectorAll('input')) input.checked = following && Number(input.value) === span;
  }
}
