import { find, make } from '../dom';
import { icon } from '../icons';
import { PANELS, type PanelEntry } from '../panels';

interface Item {
  readonly link: HTMLAnchorElement;
  readonly count: HTMLElement;
}

/** The links to the panels. Each leads to the place where the panel was left. */
export class Navigation {
  readonly #items = new Map<string, Item>();

  constructor() {
    const list = find('nav', HTMLUListElement);
    for (const entry of PANELS) list.append(make('li', {}, this.#add(entry)));
  }

  /** Marks the panel that is shown, and keeps its address for the way back. */
  show(panel: string, address: string): void {
    for (const [id, { link }] of this.#items) {
      if (id === panel) {
        link.setAttribute('aria-current', 'page');
        link.href = `#${address}`;
      } else link.removeAttribute('aria-current');
    }
  }

  /** Shows a number beside the panel's name; 0 removes it. */
  badge(panel: string, count: number, meaning: string): void {
    const item = this.#items.get(panel);
    if (item === undefined) return;
    item.count.hidden = count === 0;
    item.count.replaceChildren(count > 99 ? '99+' : String(count), make('span', { class: 'visually-hidden' }, ` ${meaning}`));
  }

  #add({ id, title, icon: name }: PanelEntry): HTMLAnchorElement {
    const count = make('span', { class: 'count', hidden: true });
    const link = make('a', { href: `#${id}` }, icon(name), make('span', { class: 'nav-title' }, title), count);
    this.#items.set(id, { link, count });
    return link;
  }
}
