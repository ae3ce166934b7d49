/** How many colours of series the page has; further series begin again with the first. */
const COLOURS = 6;

/** The page's design tokens, for drawings on a canvas, which knows no CSS. */
export class Theme extends EventTarget {
  readonly #root = getComputedStyle(document.documentElement);
  #tokens = new Map<string, string>();

  constructor() {
    super();
    const renew = (): void => {
      this.#tokens = new Map();
      this.dispatchEvent(new Event('change'));
    };
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', renew);
    // A switch of the page itself is an attribute of its root.
    new MutationObserver(renew).observe(document.documentElement, { attributes: true });
  }

  /** The value of a custom property, such as `--text`. Reading a style is slow, so that it is kept. */
  token(name: string): string {
    let value = this.#tokens.get(name);
    if (value === undefined) this.#tokens.set(name, (value = this.#root.getPropertyValue(name).trim()));
    return value;
  }

  series(index: number): string {
    return this.token(seriesToken(index));
  }
}

/** The custom property with the colour of a series. */
export function seriesToken(index: number): string {
  return `--series-${(index % COLOURS) + 1}`;
}
