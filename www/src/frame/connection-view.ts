import type { Connection, Link } from '../client';
import { find, make, setText } from '../dom';

/** The interval in ms at which the round trip of a visible page is measured. */
const MEASURE_EVERY = 5_000;

/** The connection's state in the page's header, and the banner with Reconnect once it is closed. */
export class ConnectionView {
  readonly #connection: Connection;
  readonly #announce: (text: string) => void;
  readonly #badge = find('connection', HTMLElement);
  readonly #text = find('connection-text', HTMLElement);
  readonly #banner = find('closed', HTMLElement);
  readonly #bannerText = find('closed-text', HTMLElement);
  #tick: ReturnType<typeof setTimeout> | undefined;
  #announced: Link['kind'] = 'connecting';
  #roundTrip: number | undefined;

  /** `afterReconnect` moves the focus: the button disappears with its banner. */
  constructor(connection: Connection, announce: (text: string) => void, afterReconnect: () => void) {
    this.#connection = connection;
    this.#announce = announce;
    find('reconnect', HTMLButtonElement).addEventListener('click', () => {
      connection.start();
      afterReconnect();
    });
    connection.links.add((link) => this.#show(link));
    this.#show(connection.link);
    setInterval(() => void this.#measure(), MEASURE_EVERY);
    document.addEventListener('visibilitychange', () => void this.#measure());
  }

  #show(link: Link): void {
    clearTimeout(this.#tick);
    this.#badge.dataset['link'] = link.kind;
    this.#banner.hidden = link.kind !== 'closed';
    setText(this.#bannerText, link.kind === 'closed' ? `The connection is closed: ${link.why}.` : '');
    this.#roundTrip = undefined;
    this.#showBadge(link);
    if (link.kind === 'connected') void this.#measure();
    // Only changes are announced: a countdown read out every second would drown everything else.
    if (link.kind !== this.#announced) {
      this.#announced = link.kind;
      this.#announce(spoken(link));
    }
  }

  #showBadge(link: Link): void {
    const text = badgeText(link);
    const measured = this.#roundTrip === undefined ? '' : `${this.#roundTrip < 1 ? '<1' : Math.round(this.#roundTrip)} ms`;
    // On a phone only the measured time is visible.
    if (link.kind === 'connected' && measured !== '') this.#text.replaceChildren(make('span', { class: 'link-word' }, `${text} · `), measured);
    else setText(this.#text, text);
    if (link.kind === 'reconnecting' && secondsLeft(link.retryAt) > 0) {
      this.#tick = setTimeout(() => this.#showBadge(link), 250);
    }
  }

  async #measure(): Promise<void> {
    if (document.hidden || this.#connection.link.kind !== 'connected') return;
    const roundTrip = await this.#connection.client.rtt().catch(() => undefined);
    if (this.#connection.link.kind !== 'connected') return;
    this.#roundTrip = roundTrip;
    this.#showBadge(this.#connection.link);
  }
}

function badgeText(link: Link): string {
  switch (link.kind) {
    case 'connecting':
      return 'Connecting…';
    case 'connected':
      return 'Connected';
    case 'reconnecting': {
      const seconds = secondsLeft(link.retryAt);
      return seconds > 0 ? `Reconnecting in ${seconds} s` : 'Reconnecting…';
    }
    case 'closed':
      return 'Closed';
  }
}

function spoken(link: Link): string {
  switch (link.kind) {
    case 'connecting':
      return 'Connecting.';
    case 'connected':
      return 'Connected.';
    case 'reconnecting':
      return 'The connection was lost. Reconnecting.';
    case 'closed':
      // The banner shows it.
      return '';
  }
}

function secondsLeft(retryAt: number | undefined): number {
  return retryAt === undefined ? 0 : Math.max(0, Math.ceil((retryAt - performance.now()) / 1000));
}
