import { make, setText } from '../dom';
import { counted } from '../words';
import { tap, type Traffic } from './tap';

/** The interval in milliseconds. */
const EVERY = 1_000;

/** Messages and bytes a second, in both directions. */
export class Rates {
  readonly element: HTMLElement;
  readonly #texts = { sent: make('dd', {}, '–'), received: make('dd', {}, '–') };
  #before: { readonly at: number; readonly sent: Traffic; readonly received: Traffic } | undefined;

  constructor() {
    const figure = (arrow: string, name: string, value: HTMLElement): HTMLElement => make('div', {}, make('dt', {}, make('span', { 'aria-hidden': 'true' }, `${arrow} `), name), value);
    this.element = make('dl', { class: 'rates numbers' }, figure('↑', 'Sent', this.#texts.sent), figure('↓', 'Received', this.#texts.received));
  }

  show(): void {
    const now = { at: performance.now(), sent: { ...tap.sent }, received: { ...tap.received } };
    const before = this.#before;
    if (before !== undefined && now.at - before.at < EVERY) return;
    this.#before = now;
    if (before === undefined) return;
    const seconds = (now.at - before.at) / 1_000;
    for (const direction of ['sent', 'received'] as const) {
      const messages = Math.round((now[direction].messages - before[direction].messages) / seconds);
      const bytes = (now[direction].bytes - before[direction].bytes) / seconds;
      setText(this.#texts[direction], `${counted(messages, 'message')}/s · ${(bytes / 1_000).toFixed(1)} kB/s`);
    }
  }
}
