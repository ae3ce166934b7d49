import type { App } from '../app';
import { button, find, make } from '../dom';
import { icon } from '../icons';
import { counted } from '../words';
import type { Received } from './desk';
import './stack.css';

/** How many alarms lie over the page at once; the others are in the panel. */
const MAX_SHOWN = 3;

/** The open alarms, over everything else on the page. */
export class AlarmStack {
  readonly #app: App;
  readonly #place = find('alarm-stack', HTMLElement);
  readonly #home = find('app', HTMLElement);
  readonly #cards = new Map<string, HTMLElement>();
  readonly #more = make('a', { href: '#alarms', class: 'alarm-more button', hidden: true });

  constructor(app: App) {
    this.#app = app;
    this.#place.append(this.#more);
    app.alarms.changes.add(() => this.#show());
    // Behind an open dialog nothing can be pressed, so the alarms move into it, and back when it closes.
    new MutationObserver(() => this.#raise()).observe(document.body, { subtree: true, attributeFilter: ['open'] });
  }

  #show(): void {
    const { open } = this.#app.alarms;
    const shown = open.slice(0, MAX_SHOWN);
    for (const [id, card] of this.#cards) {
      if (shown.some((alarm) => alarm.id === id)) continue;
      this.#cards.delete(id);
      this.#remove(card);
    }
    // Newest first.
    for (const alarm of shown.toReversed()) {
      if (this.#cards.has(alarm.id)) continue;
      const card = this.#card(alarm);
      this.#cards.set(alarm.id, card);
      this.#raise();
      this.#place.prepend(card);
    }
    const more = open.length - shown.length;
    this.#more.hidden = more === 0;
    this.#more.textContent = `${counted(more, 'more alarm')}`;
    this.#place.hidden = open.length === 0;
    if (open.length === 0 && this.#place.matches(':popover-open')) this.#place.hidePopover();
  }

  /** Puts the alarms on top of everything, where they can be pressed. */
  #raise(): void {
    if (this.#app.alarms.open.length === 0) return;
    const host = document.querySelector('dialog:modal') ?? this.#home;
    if (this.#place.parentElement === host && this.#place.matches(':popover-open')) return;
    if (this.#place.matches(':popover-open')) this.#place.hidePopover();
    if (this.#place.parentElement !== host) host.prepend(this.#place);
    this.#place.hidden = false;
    this.#place.showPopover();
  }

  #card({ id, message }: Received): HTMLElement {
    const { severity, text, name, from, personal } = message;
    const origin = from === undefined ? 'The rule' : from === this.#app.me.user ? 'You' : name;
    const acknowledge = button({ class: 'primary' }, () => this.#app.alarms.acknowledge(id), 'Acknowledge');
    return make(
      'div',
      { class: `alarm-card ${severity}`, role: 'alert' },
      icon(severity),
      make('div', { class: 'alarm-words' }, make('p', { class: 'alarm-text', dir: 'auto' }, make('span', { class: 'visually-hidden' }, `Alarm, ${severity}: `), text), make('p', { class: 'hint' }, `${origin} · ${personal ? 'to you' : 'to everyone'}`)),
      acknowledge,
    );
  }

  /** The keyboard's focus stays among the alarms, if it was there. */
  #remove(card: HTMLElement): void {
    const hadFocus = card.contains(document.activeElement);
    card.remove();
    if (hadFocus) (this.#place.querySelector('button') ?? find('content', HTMLElement)).focus();
  }
}
