import { find, showFieldError } from './dom';
import { parseNick, type Nick } from './names';

const STORAGE_KEY = 'wirehub-demo.nick';

/** The field with the person's name, which this browser remembers. */
export class Nickname {
  #nick: Nick;

  constructor() {
    this.#nick = remembered() ?? guestName();
    const field = find('nick', HTMLInputElement);
    const error = find('nick-error', HTMLElement);
    field.value = this.#nick;
    // A valid name is used at once; the error about an invalid one waits until the person has finished typing.
    field.addEventListener('input', () => {
      const parsed = parseNick(field.value);
      if (!parsed.ok) return;
      showFieldError(field, error, undefined);
      this.#nick = parsed.value;
      remember(parsed.value);
    });
    field.addEventListener('change', () => {
      const parsed = parseNick(field.value);
      showFieldError(field, error, parsed.ok ? undefined : `${parsed.why} Until then you are “${this.#nick}”.`);
      if (parsed.ok) field.value = parsed.value;
    });
    // Enter in the field only checks the name.
    find('identity', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      field.dispatchEvent(new Event('change'));
    });
  }

  /** The last valid name. */
  get value(): Nick {
    return this.#nick;
  }
}

function guestName(): Nick {
  return `guest-${1000 + Math.floor(Math.random() * 9000)}` as Nick;
}

// A browser may deny storage to a page: then the name lasts as long as the page.

function remembered(): Nick | undefined {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(STORAGE_KEY);
  } catch {
    return undefined;
  }
  const parsed = stored === null ? undefined : parseNick(stored);
  return parsed?.ok === true ? parsed.value : undefined;
}

function remember(nick: Nick): void {
  try {
    localStorage.setItem(STORAGE_KEY, nick);
  } catch {
    return;
  }
}
