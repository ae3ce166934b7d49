import { find, make } from './dom';

/** More than these at once nobody reads. */
const MAX_NOTICES = 3;

/** Says something that no other part of the page shows, to those who see and to those who listen. */
export class Notices {
  readonly #place = find('notices', HTMLElement);

  show(text: string): void {
    for (const notice of [...this.#place.children]) {
      if (notice.firstElementChild?.textContent === text) notice.remove();
    }
    const dismiss = make('button', { class: 'quiet', text: 'Dismiss' });
    dismiss.type = 'button';
    const notice = make('div', { class: 'notice' }, make('p', { text }), dismiss);
    dismiss.addEventListener('click', () => notice.remove());
    this.#place.append(notice);
    while (this.#place.childElementCount > MAX_NOTICES) this.#place.firstElementChild?.remove();
  }
}

/** Says something to those who listen, which the page already shows to those who see. */
export function announce(text: string): void {
  find('announcer', HTMLElement).textContent = text;
}
