import type { App } from '../app';
import { button, make, setText } from '../dom';
import { icon } from '../icons';
import { counted } from '../words';
import type { JsonLine } from './json-line';
import { Run, type Sender } from './run';
import { Troubles } from './troubles';

const RATES: readonly number[] = [10, 50, 200];
const COLUMNS = ['Sent', 'Received', 'Missing', 'Doubled', 'Out of order'] as const;

type Verdict = 'idle' | 'running' | 'waiting' | 'proved' | 'broken';

/** Proves that no message is lost or doubled, whatever happens to the line. */
export class Proof {
  readonly element: HTMLElement;
  readonly #app: App;
  readonly #json: JsonLine;
  readonly #toggle: HTMLButtonElement;
  readonly #rate = make('select', {}, ...RATES.map((rate) => make('option', { value: rate }, `${rate} a second`)));
  readonly #verdict = make('p', { class: 'verdict-text' });
  readonly #details = make('p', { class: 'hint' });
  readonly #box: HTMLElement;
  readonly #icon = make('span', { class: 'verdict-icon' }, icon('lab'));
  readonly #rows = make('tbody');
  readonly #table: HTMLElement;
  readonly #troubles: Troubles;
  /** Aborts when the client is closed and begins again. */
  #life: AbortSignal | undefined;
  #run: Run | undefined;
  #shown: Verdict = 'idle';
  /** The result of the server's own record, in words. */
  #record = '';

  constructor(app: App, json: JsonLine) {
    this.#app = app;
    this.#json = json;
    this.#rate.value = '50';
    this.#toggle = button({ class: 'primary' }, () => this.#press());
    this.#troubles = new Troubles(app);
    this.#box = make('div', { class: 'verdict', 'data-verdict': 'idle' }, this.#icon, make('div', {}, this.#verdict));
    const rate = make('label', { class: 'proof-rate' }, make('span', { class: 'visually-hidden' }, 'Messages of each sender'), this.#rate);
    const header = make('tr', {}, make('th', { scope: 'col' }, 'Sender'), ...COLUMNS.map((name) => make('th', { scope: 'col' }, name)));
    this.#table = make('div', { class: 'table-frame', tabindex: 0, role: 'region', 'aria-label': 'Counted messages' }, make('table', { class: 'numbers' }, make('thead', {}, header), this.#rows));
    this.element = make(
      'section',
      { class: 'card proof', 'aria-labelledby': 'proof-title' },
      make('div', { class: 'card-head' }, make('h2', { id: 'proof-title' }, 'Nothing lost, nothing doubled'), make('div', { class: 'lab-row' }, rate, this.#toggle)),
      this.#box,
      this.#table,
      this.#details,
      this.#troubles.element,
    );
    app.eachLife((signal) => {
      this.#life = signal;
      this.#run?.join(signal);
    });
    app.links.add(({ kind }) => {
      if (kind === 'connected') void this.#run?.checkServer().catch(() => undefined);
    });
    this.show();
  }

  /** Shows the present counts. */
  show(): void {
    const run = this.#run;
    const verdict = this.#judge();
    this.#box.dataset['verdict'] = verdict;
    if (verdict !== this.#shown) this.#judged(verdict);
    setText(this.#verdict, this.#words(verdict));
    setText(this.#toggle, run === undefined || run.stopped ? 'Start the proof' : 'Stop and count');
    this.#table.hidden = this.#details.hidden = run === undefined;
    this.#rows.replaceChildren(...(run?.senders ?? []).map((sender) => this.#row(sender)));
    if (run !== undefined) setText(this.#details, `The checker reads only the numbers in the messages. ${this.#record}The slowest message took ${(run.slowest / 1_000).toFixed(1)} seconds.${run.gaps > 0 ? ` The client itself reports ${counted(run.gaps, 'gap')}.` : ''}`);
  }

  #press(): void {
    if (this.#run === undefined || this.#run.stopped) {
      this.#run?.leave();
      this.#run = new Run(this.#app, Number(this.#rate.value));
      if (this.#life !== undefined) this.#run.join(this.#life);
      this.#troubles.begin();
    } else this.#run.stop();
    this.show();
  }

  #judged(verdict: Verdict): void {
    this.#shown = verdict;
    this.#record = '';
    this.#icon.replaceChildren(icon(verdict === 'idle' ? 'lab' : verdict === 'broken' ? 'warning' : 'check'));
    if (verdict === 'proved' || verdict === 'broken') this.#app.announce(this.#words(verdict));
    if (verdict === 'proved') void this.#compare();
  }

  /** Asks the server for its own record, past the client: as lines of JSON. */
  async #compare(): Promise<void> {
    const run = this.#run;
    const record = await run?.record(this.#json).catch(() => undefined);
    if (run === undefined || run !== this.#run || record === undefined) return;
    const isSame = record.isClean && record.received === run.checker.received;
    this.#record = `The server’s own record, read by hand as JSON, has ${isSame ? 'the same ' : ''}${counted(record.received, 'message')}. `;
  }

  #judge(): Verdict {
    const run = this.#run;
    if (run === undefined) return 'idle';
    if (run.error !== undefined || !run.checker.isClean) return 'broken';
    if (!run.stopped) return 'running';
    return run.complete ? 'proved' : 'waiting';
  }

  #words(verdict: Verdict): string {
    const run = this.#run;
    const received = run?.checker.received ?? 0;
    switch (verdict) {
      case 'idle':
        return 'Start the proof: this page and the server send numbered messages. Then cut the line as often as you like.';
      case 'running':
        return `${counted(received, 'message')} so far, each once and in order.`;
      case 'waiting':
        return 'Waiting for the last messages…';
      case 'proved':
        return `Proved: all ${counted(received, 'message')} came once and in order${this.#troubles.summary}.`;
      case 'broken':
        return run?.error === undefined ? 'The count is wrong: see the table.' : `The run has ended: ${run.error}`;
    }
  }

  #row({ name, title, promised }: Sender): HTMLTableRowElement {
    const { received, missing, doubled, outOfOrder } = this.#run?.checker.tally(name) ?? { received: 0, missing: 0, doubled: 0, outOfOrder: 0 };
    const cell = (value: number | undefined, isBad = false): HTMLTableCellElement =>
      make('td', { class: isBad ? 'is-bad' : undefined }, value === undefined ? '–' : value.toLocaleString());
    return make(
      'tr',
      { 'data-sender': title },
      make('th', { scope: 'row' }, title),
      cell(promised ?? received),
      cell(received),
      cell(missing, missing > 0),
      cell(doubled, doubled > 0),
      cell(outOfOrder, outOfOrder > 0),
    );
  }
}
