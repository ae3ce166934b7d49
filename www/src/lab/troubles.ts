import type { App } from '../app';
import { describe, type Link } from '../client';
import { button, make } from '../dom';
import type { ServerFactsResponse } from '../generated/contract';
import { counted } from '../words';
import { tap } from './tap';

/** Reading is held back this long, in milliseconds. */
const HOLD = 5_000;
/** Older remarks are removed. */
const REMARKS = 30;
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

type Kind = 'cut' | 'hold' | 'expiry' | 'restart';

/** The buttons that disturb the line, and the list of their effects. */
export class Troubles {
  readonly element: HTMLElement;
  readonly #app: App;
  readonly #list = make('ol', { class: 'remarks' });
  readonly #restart: HTMLButtonElement;
  readonly #note = make('p', { class: 'hint' });
  readonly #counts = new Map<Kind, number>();
  #facts: ServerFactsResponse | undefined;
  #lostAt: number | undefined;

  constructor(app: App) {
    this.#app = app;
    this.#restart = tile('Restart the server', 'It begins anew, with the messages of before.', () =>
      this.#trouble('restart', 'Restart: the connections of everybody end.', () => app.client.call('demo.restart', {})),
    );
    this.element = make(
      'div',
      { class: 'troubles' },
      make('h3', {}, 'Make trouble'),
      make(
        'div',
        { class: 'trouble-list' },
        tile('Cut the line', 'The connection is gone, without a close.', () => this.#trouble('cut', 'Cut: the server drops this connection without a close.', () => app.client.call('demo.cut', {}))),
        tile('Hold back reading', 'The page receives nothing for 5 seconds.', () => this.#hold()),
        tile('Expire the token', 'The server refuses it, the page gets another.', () =>
          this.#trouble('expiry', 'Expired: the server refuses this page’s token.', () => app.client.call('demo.expire-token', {})),
        ),
        this.#restart,
      ),
      this.#note,
      make('div', { role: 'log', 'aria-label': 'What happened' }, this.#list),
    );
    app.links.add((link) => this.#follow(link));
    this.#follow(app.link);
  }

  /** `, through 2 cuts and 1 restart`, or nothing. */
  get summary(): string {
    const words: readonly (readonly [Kind, string, string])[] = [
      ['cut', 'cut', 'cuts'],
      ['hold', 'held reading', 'held readings'],
      ['expiry', 'expired token', 'expired tokens'],
      ['restart', 'restart', 'restarts'],
    ];
    const parts = words.flatMap(([kind, one, many]) => (this.#counts.has(kind) ? [counted(this.#counts.get(kind) ?? 0, one, many)] : []));
    return parts.length === 0 ? '' : `, through ${new Intl.ListFormat('en').format(parts)}`;
  }

  /** A run begins: the troubles before it do not count. */
  begin(): void {
    this.#counts.clear();
    this.#list.replaceChildren();
  }

  note(text: string, kind: 'plain' | 'good' | 'bad' = 'plain'): void {
    this.#list.prepend(make('li', { 'data-kind': kind }, make('time', { class: 'numbers' }, clock.format()), ' ', text));
    while (this.#list.childElementCount > REMARKS) this.#list.lastElementChild?.remove();
  }

  #trouble(kind: Kind, text: string, make: () => Promise<unknown>): void {
    if (this.#app.link.kind !== 'connected') return this.note('The connection is down already.');
    if (kind === 'restart' && this.#facts?.restart !== true) return this.note('This server does not restart itself.');
    this.note(text);
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    make().catch((error: unknown) => {
      // The answer may be lost with the connection that ends.
      if (this.#app.link.kind === 'connected') this.note(describe(error), 'bad');
    });
  }

  #hold(): void {
    if (tap.holding) return;
    this.#counts.set('hold', (this.#counts.get('hold') ?? 0) + 1);
    this.note(`Reading is held back for ${HOLD / 1_000} seconds.`);
    tap.hold(true);
    setTimeout(() => {
      tap.hold(false);
      this.note('Reading goes on: everything held back comes at once.');
    }, HOLD);
  }

  #follow(link: Link): void {
    if (link.kind === 'connected') {
      if (this.#lostAt !== undefined) this.note(`Connected again after ${((performance.now() - this.#lostAt) / 1_000).toFixed(1)} seconds.`, 'good');
      this.#lostAt = undefined;
      void this.#ask();
    } else if (link.kind !== 'connecting' && this.#lostAt === undefined) {
      this.#lostAt = performance.now();
      if (link.kind === 'reconnecting') this.note(howItEnded(link.code));
    }
  }

  /** Which server is this? Another one has another time of its start. */
  async #ask(): Promise<void> {
    try {
      const facts = await this.#app.client.call('demo.server', {});
      if (this.#facts !== undefined && facts.started !== this.#facts.started) this.note(`Another server has answered: it started at ${clock.format(facts.started)}, the one before at ${clock.format(this.#facts.started)}.`);
      this.#facts = facts;
      this.#restart.ariaDisabled = String(!facts.restart);
      const words = facts.durable ? 'This server keeps messages on disk: they outlive a restart.' : 'This server keeps messages in memory: a restart loses them.';
      this.#note.textContent = facts.restart ? words : `${words} It does not restart itself: \`wirehub serve --demo\` and \`cargo xtask demo\` do.`;
    } catch {
      // The connection broke again: the next one asks.
    }
  }
}

/** The end of a connection as the browser has seen it. */
function howItEnded(code: number | undefined): string {
  if (code === undefined) return 'The connection has ended.';
  return code === 1006 ? 'The connection broke: the browser saw no close (1006).' : `The server has closed the connection: code ${code}.`;
}

/** A button with an explanation. */
function tile(name: string, about: string, press: () => void): HTMLButtonElement {
  return button({ class: 'trouble' }, press, make('span', {}, name), ' ', make('small', {}, about));
}
