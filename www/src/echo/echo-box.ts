import { find, make, showFieldError } from '../dom';
import { describe } from '../hub';
import { parseText } from '../names';
import { History } from './history';
import type { Path } from './trips';

/** The panel that measures round trips. Each path has its own results: mixed results would be meaningless. */
export class EchoBox {
  readonly #form = find('echo', HTMLFormElement);
  readonly #field = find('echo-text', HTMLInputElement);
  readonly #error = find('echo-error', HTMLElement);
  readonly #once = find('echo-once', HTMLButtonElement);
  readonly #ten = find('echo-ten', HTMLButtonElement);
  readonly #paths: ReadonlyMap<string, Path>;
  readonly #histories = new Map<string, History>();
  #busy = false;

  constructor(paths: ReadonlyMap<string, Path>) {
    this.#paths = paths;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#run(1);
    });
    this.#ten.addEventListener('click', () => void this.#run(10));
    this.#form.addEventListener('change', () => this.#show());
    this.#field.addEventListener('input', () => showFieldError(this.#field, this.#error, undefined));
    this.#show();
  }

  get #mode(): string {
    return String(new FormData(this.#form).get('echo-mode'));
  }

  async #run(times: number): Promise<void> {
    if (this.#busy) return;
    const mode = this.#mode;
    const path = this.#paths.get(mode);
    const text = parseText(this.#field.value);
    showFieldError(this.#field, this.#error, text.ok ? undefined : text.why);
    if (path === undefined || !text.ok) return;
    this.#setBusy(true);
    try {
      for (let sent = 0; sent < times; sent += 1) {
        this.#historyOf(mode).add(await path.roundTrip(text.value));
        this.#show();
      }
      find('echo-spoken', HTMLElement).textContent = `Back after ${inMs(this.#historyOf(mode).last)}.`;
    } catch (error) {
      this.#error.textContent = describe(error);
    } finally {
      this.#setBusy(false);
    }
  }

  /** Not `disabled`, which would take the keyboard's focus away from the pressed button. */
  #setBusy(busy: boolean): void {
    this.#busy = busy;
    for (const button of [this.#once, this.#ten]) button.setAttribute('aria-disabled', String(busy));
  }

  #historyOf(mode: string): History {
    let history = this.#histories.get(mode);
    if (history === undefined) this.#histories.set(mode, (history = new History()));
    return history;
  }

  #show(): void {
    const history = this.#historyOf(this.#mode);
    find('echo-about', HTMLElement).textContent = this.#paths.get(this.#mode)?.about ?? '';
    find('echo-last', HTMLElement).textContent = inMs(history.last);
    find('echo-min', HTMLElement).textContent = inMs(history.min);
    find('echo-median', HTMLElement).textContent = inMs(history.median);
    const longest = Math.max(...history.results);
    find('echo-results', HTMLOListElement).replaceChildren(
      ...history.results.map((ms) => {
        const bar = make('span', { class: 'trip-bar' });
        bar.style.setProperty('--share', String(longest > 0 ? ms / longest : 1));
        return make('li', {}, bar, make('span', { class: 'trip-ms', text: inMs(ms) }));
      }),
    );
  }
}

/** Browsers round their clock to 0.1 ms or coarser: more digits would be invented. */
function inMs(ms: number | undefined): string {
  return ms === undefined ? '–' : `${ms.toFixed(1)} ms`;
}
