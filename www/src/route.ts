import { Listeners } from './listeners';

/** The place that the address names: `#chat/lobby` is the place `lobby` of the panel `chat`. */
export interface Place {
  readonly panel: string;
  readonly place: string;
}

/** Keeps the place in the address, so that a link opens it and the browser's Back leaves it. */
export class Route {
  readonly changes = new Listeners<Place>();
  #place: Place;

  /** `home` is the address without a `#`. */
  constructor(home: string) {
    if (location.hash.length < 2) history.replaceState(null, '', `#${home}`);
    this.#place = parse(location.hash);
    window.addEventListener('hashchange', () => {
      // Only the address changes here: the frame has the ids `skip` and `content`.
      this.#place = location.hash.length < 2 ? parse(`#${home}`) : parse(location.hash);
      this.changes.notify(this.#place);
    });
  }

  get place(): Place {
    return this.#place;
  }

  go(address: string): void {
    if (location.hash === `#${address}`) this.changes.notify(this.#place);
    else location.hash = address;
  }
}

function parse(hash: string): Place {
  const [panel = '', ...rest] = hash.slice(1).split('/');
  return { panel, place: decoded(rest.join('/')) };
}

/** A person may type a `%` that is no encoding. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
