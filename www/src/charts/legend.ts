import { button, make, setText } from '../dom';
import { format } from './format';
import { seriesToken } from './theme';

/** The series of a chart: a button each, which shows or hides it, with its value. */
export class Legend {
  readonly element = make('ul', { class: 'legend' });
  readonly #values: HTMLElement[] = [];
  readonly #unit: string;

  constructor(names: readonly string[], unit: string, toggle: (series: number, shown: boolean) => void) {
    this.#unit = unit;
    names.forEach((name, series) => {
      const swatch = make('span', { class: 'swatch' });
      swatch.style.background = `var(${seriesToken(series)})`;
      const value = make('span', { class: 'legend-value' }, '–');
      let shown = true;
      const item = button({ class: 'legend-item', 'aria-pressed': 'true' }, () => {
        shown = !shown;
        item.ariaPressed = String(shown);
        toggle(series, shown);
      }, swatch, make('span', {}, name), value);
      this.#values.push(value);
      this.element.append(make('li', {}, item));
    });
  }

  show(values: readonly (number | undefined)[]): void {
    values.forEach((value, series) => {
      const element = this.#values[series];
      if (element !== undefined) setText(element, format(value, this.#unit));
    });
  }
}
