import { find } from './dom';
import type { Hub, Link } from './hub';
import { announce } from './notices';

/** The connection's state in the page's header, and the banner with Reconnect once it is closed. */
export class ConnectionView {
  readonly #badge = find('connection', HTMLElement);
  readonly #text = find('connection-text', HTMLElement);
  readonly #banner = find('closed', HTMLElement);
  readonly #bannerText = find('closed-text', HTMLElement);
  #tick: ReturnType<typeof setTimeout> | undefined;
  #announced: Link['kind'] = 'connecting';

  constructor(hub: Hub) {
    find('reconnect', HTMLButtonElement).addEventListener('click', () => {
      hub.renew();
      // The button disappears with the banner: the focus goes to the message box.
      find('message', HTMLTextAreaElement).focus();
    });
    hub.links.add((link) => this.#show(link));
    this.#show(hub.link);
  }

  #show(link: Link): void {
    clearTimeout(this.#tick);
    this.#badge.dataset['link'] = link.kind;
    this.#banner.hidden = link.kind !== 'closed';
    this.#bannerText.textContent = link.kind === 'closed' ? `The connection is closed: ${link.why}.` : '';
    this.#showBadge(link);
    // Only changes are announced: a countdown read out every second would drown everything else.
    if (link.kind !== this.#announced) {
      this.#announced = link.kind;
      announce(spoken(link));
    }
  }

  #showBadge(link: Link): void {
    this.#text.textContent = badgeText(link);
    if (link.kind === 'reconnecting' && secondsLeft(link.retryAt) > 0) {
      this.#tick = setTimeout(() => this.#showBadge(link), 250);
    }
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
