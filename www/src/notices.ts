import { find, make } from './dom';

/** More notices at once would not be read. */
const MAX_NOTICES = 3;

/** Shows and announces a text that no other part of the page shows. */
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

/** Announces a text to screen readers that the page already shows. */
export function announce(text: string): void {
  find('announcer', HTMLElement).textContent = text;
}
