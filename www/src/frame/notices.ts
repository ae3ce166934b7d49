import { button, find, make } from '../dom';
import { icon } from '../icons';

/** More notices at once would not be read. */
const MAX_NOTICES = 3;

/** Shows and announces a text that no other part of the page shows. */
export function notice(text: string): void {
  const place = find('notices', HTMLElement);
  for (const old of [...place.children]) {
    if (old.firstElementChild?.textContent === text) old.remove();
  }
  const shown = make('div', { class: 'notice' }, make('p', {}, text));
  shown.append(button({ class: 'quiet icon-button', 'aria-label': 'Dismiss' }, () => shown.remove(), icon('close')));
  place.append(shown);
  while (place.childElementCount > MAX_NOTICES) place.firstElementChild?.remove();
}

/** Announces a text to screen readers that the page already shows. */
export function announce(text: string): void {
  const place = find('announcer', HTMLElement);
  // The same text twice is no change, and would not be announced.
  place.textContent = place.textContent === text && text !== '' ? `${text}\u00a0` : text;
}
