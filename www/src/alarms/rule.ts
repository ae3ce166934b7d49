import type { App } from '../app';
import { parseSamples } from '../charts/samples';
import { describe } from '../client';
import { make, setText, showFieldError } from '../dom';
import type { MeterSource, Rule, Series, Severity } from '../generated/contract';

/** A reading that a rule can watch. */
interface Choice {
  readonly source: MeterSource;
  readonly series: Series;
}

/** The rule that raises an alarm by itself, beside the reading that it watches. It is the same one for everybody. */
export class RuleCard {
  readonly element: HTMLElement;
  readonly #app: App;
  readonly #on = make('input', { id: 'rule-on', type: 'checkbox', role: 'switch' });
  readonly #series = make('select', { id: 'rule-series' });
  readonly #above = make('input', { id: 'rule-above', type: 'number', min: 0, step: 'any', inputmode: 'decimal', 'aria-describedby': 'rule-error' });
  readonly #unit = make('span', { class: 'rule-unit' });
  readonly #severity = make('select', { id: 'rule-severity' }, make('option', { value: 'info' }, 'Info'), make('option', { value: 'warning' }, 'Warning'), make('option', { value: 'critical' }, 'Critical'));
  readonly #note = make('p', { class: 'hint', role: 'status' });
  readonly #error = make('p', { id: 'rule-error', class: 'field-error', role: 'status' });
  readonly #meter = make('div', { class: 'rule-meter', role: 'img' }, make('span', { class: 'rule-level' }), make('span', { class: 'rule-threshold' }));
  readonly #now = make('span', { class: 'rule-now numbers' }, '–');
  readonly #choices = new Map<string, Choice>();
  #rule: Rule | undefined;
  #watching: AbortController | undefined;
  #watched: string | undefined;
  #isEdited = false;

  constructor(app: App) {
    this.#app = app;
    const save = make('button', { id: 'rule-save', type: 'submit' }, 'Save the rule');
    const form = make(
      'form',
      { class: 'card alarm-form', novalidate: true, 'aria-labelledby': 'rule-title' },
      make('div', { class: 'rule-head' }, make('h2', { id: 'rule-title' }, 'A rule'), make('label', { class: 'switch' }, this.#on, make('span', { class: 'visually-hidden' }, 'The rule is on'))),
      make('p', { class: 'hint' }, 'The server raises an alarm for everyone when a reading of this machine goes above a threshold.'),
      make('div', { class: 'rule-row' }, make('div', { class: 'field' }, make('label', { for: 'rule-series' }, 'Reading'), this.#series), make('div', { class: 'field' }, make('label', { for: 'rule-above' }, 'Above'), make('div', { class: 'field-row' }, this.#above, this.#unit)), make('div', { class: 'field' }, make('label', { for: 'rule-severity' }, 'Severity'), this.#severity)),
      make('div', { class: 'rule-live' }, this.#meter, this.#now),
      this.#error,
      this.#note,
      save,
    );
    this.element = form;
    form.addEventListener('input', () => {
      this.#isEdited = true;
      showFieldError(this.#above, this.#error, undefined);
    });
    this.#series.addEventListener('change', () => this.#watch());
    // A switch works at once; the other fields wait for Save.
    this.#on.addEventListener('change', () => void this.#save());
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#save();
    });
    app.eachLife((signal) => {
      this.#watched = undefined;
      app.client.subscribe('rules:threshold', { history: 1 }).addEventListener('publication', ({ publication }) => this.#show(publication.data), { signal });
      app.client.call('demo.meters', {}).then(({ sources }) => this.#offer(sources), (error: unknown) => setText(this.#note, `The readings are not known: ${describe(error)}`));
    });
  }

  /** The panel is visible: the reading is shown live. */
  show(): void {
    this.#watching = new AbortController();
    this.#watched = undefined;
    this.#watch();
  }

  hide(): void {
    this.#watching?.abort();
    this.#watching = undefined;
  }

  #offer(sources: readonly MeterSource[]): void {
    this.#choices.clear();
    this.#series.replaceChildren(
      ...sources.map((source) => {
        const options = source.series.map((series) => {
          const value = `${source.name} ${series.name}`;
          this.#choices.set(value, { source, series });
          return make('option', { value }, series.title);
        });
        return make('optgroup', { label: source.title }, ...options);
      }),
    );
    if (this.#rule !== undefined) this.#fill(this.#rule);
    this.#watch();
  }

  #show(rule: Rule): void {
    this.#rule = rule;
    if (!this.#isEdited) this.#fill(rule);
    const series = this.#choices.get(`${rule.source} ${rule.series}`)?.series.title ?? rule.series;
    setText(this.#note, rule.on ? `On, set by ${rule.name}: ${series} above ${rule.above}.` : 'Off.');
  }

  #fill(rule: Rule): void {
    this.#on.checked = rule.on;
    this.#series.value = `${rule.source} ${rule.series}`;
    this.#above.value = String(rule.above);
    this.#severity.value = rule.severity;
    this.#watch();
  }

  async #save(): Promise<void> {
    const choice = this.#choices.get(this.#series.value);
    const above = Number.parseFloat(this.#above.value);
    if (choice === undefined || !(Number.isFinite(above) && above > 0)) {
      showFieldError(this.#above, this.#error, 'Type a number above 0: the threshold of the reading.');
      this.#on.checked = this.#rule?.on ?? false;
      return;
    }
    const severity: Severity = this.#severity.value === 'critical' ? 'critical' : this.#severity.value === 'info' ? 'info' : 'warning';
    try {
      await this.#app.client.call('demo.set-rule', { on: this.#on.checked, source: choice.source.name, series: choice.series.name, above, severity });
      this.#isEdited = false;
    } catch (error) {
      showFieldError(this.#above, this.#error, `The rule was not saved: ${describe(error)}`);
      this.#on.checked = this.#rule?.on ?? false;
    }
  }

  /** Follows the chosen reading while the panel is visible. */
  #watch(): void {
    const choice = this.#choices.get(this.#series.value);
    setText(this.#unit, choice?.series.unit ?? '');
    if (this.#watching === undefined || choice === undefined || this.#watched === this.#series.value) return;
    this.#watching.abort();
    this.#watching = new AbortController();
    this.#watched = this.#series.value;
    const column = choice.source.series.indexOf(choice.series);
    this.#app.client.subscribe(`latest:${choice.source.name}`, { signal: this.#watching.signal }).addEventListener('publication', ({ publication }) => {
      const value = parseSamples(publication.data)?.columns[column]?.at(-1);
      if (value !== undefined && !Number.isNaN(value)) this.#showReading(value, choice.series);
    });
  }

  #showReading(value: number, { unit, most, title }: Series): void {
    const threshold = Number.parseFloat(this.#above.value) || 0;
    const top = most ?? Math.max(value, threshold, Number.MIN_VALUE) * 1.25;
    this.#meter.style.setProperty('--level', String(Math.min(1, value / top)));
    this.#meter.style.setProperty('--threshold', String(Math.min(1, threshold / top)));
    this.#meter.classList.toggle('above', value > threshold && this.#rule?.on === true);
    const words = readable(value, unit);
    setText(this.#now, words);
    this.#meter.setAttribute('aria-label', `${title}: ${words}, threshold ${readable(threshold, unit)}`);
  }
}

function readable(value: number, unit: string): string {
  const digits = Math.abs(value) < 10 ? 1 : 0;
  return `${value.toLocaleString(undefined, { maximumFractionDigits: digits })}${unit === '' ? '' : ` ${unit}`}`;
}
