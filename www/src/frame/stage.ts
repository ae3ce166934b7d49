import type { App } from '../app';
import { button, find, make } from '../dom';
import { icon } from '../icons';
import type { Mounted } from '../panel';
import { PANELS, sourceOf, type PanelEntry } from '../panels';
import type { Place } from '../route';

/** The panel that is shown. Each is loaded when it is first shown, and stays in the page. */
export class Stage {
  readonly #app: App;
  readonly #content = find('content', HTMLElement);
  readonly #source = find('source', HTMLAnchorElement);
  readonly #roots = new Map<string, HTMLElement>();
  readonly #mounted = new Map<string, Mounted>();
  #shown: Mounted | undefined;
  #current: Place | undefined;

  constructor(app: App) {
    this.#app = app;
  }

  /** Shows the place, as soon as its panel is loaded. */
  show(place: Place): void {
    const entry = PANELS.find(({ id }) => id === place.panel);
    if (entry === undefined) {
      this.#app.notice(`The address names no part of this page: “${place.panel}”.`);
      return;
    }
    const before = this.#current?.panel;
    this.#current = place;
    document.title = `${entry.title} · Wirehub`;
    this.#showSource(entry);
    if (before !== entry.id) {
      this.#shown?.hide();
      this.#shown = undefined;
    }
    for (const [id, root] of this.#roots) root.hidden = id !== entry.id;
    const mounted = this.#mounted.get(entry.id);
    if (mounted === undefined) void this.#load(entry);
    else {
      this.#shown = mounted;
      mounted.show(place.place);
    }
  }

  /** Moves the keyboard's focus into the panel. */
  focus(): void {
    if (this.#shown?.focus === undefined) this.#content.focus();
    else this.#shown.focus();
  }

  async #load(entry: PanelEntry): Promise<void> {
    if (this.#roots.has(entry.id)) return;
    const root = make('section', { class: `panel panel-${entry.id}`, 'aria-label': entry.title });
    root.dataset['loading'] = 'true';
    this.#roots.set(entry.id, root);
    this.#content.append(root);
    try {
      const { panel } = await entry.load().finally(() => delete root.dataset['loading']);
      root.replaceChildren();
      this.#mounted.set(entry.id, panel.mount(root, this.#app));
    } catch (error) {
      // A later attempt may find the file: the server may have been away.
      this.#roots.delete(entry.id);
      root.replaceChildren(this.#failure(entry, root, error));
      return;
    }
    if (this.#current?.panel === entry.id) this.show(this.#current);
  }

  #failure(entry: PanelEntry, root: HTMLElement, error: unknown): HTMLElement {
    const retry = button({ class: 'primary' }, () => {
      root.remove();
      void this.#load(entry);
    }, 'Try again');
    console.warn(`the panel ${entry.id} can't be shown`, error);
    return make('div', { class: 'empty-state', role: 'alert' }, icon('warning'), make('h2', {}, `${entry.title} could not be loaded`), make('p', {}, 'Is the server still there?'), retry);
  }

  #showSource({ title, source }: PanelEntry): void {
    this.#source.href = sourceOf(source);
    this.#source.replaceChildren(icon('source'), make('span', {}, 'Source'), make('span', { class: 'visually-hidden' }, ` of the panel ${title}, in a new tab`));
  }
}
