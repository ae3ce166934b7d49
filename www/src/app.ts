import type { ServerAddress } from './address';
import type { AlarmDesk } from './alarms/desk';
import type { Signals } from './alarms/signals';
import type { Talks } from './chat/talks';
import type { DemoClient, Link } from './client';
import type { Identity } from './identity';
import type { Listeners } from './listeners';
import type { People } from './people';

/** The page, as its panels see it. */
export interface App {
  /** The page's client, typed by the contract. */
  readonly client: DemoClient;
  /**
   * Calls `begin` now, and each time the client begins again after a close: its subscriptions have ended, and the `signal`
   * of the time before aborts.
   */
  eachLife(begin: (signal: AbortSignal) => void): void;
  /** The connection, and its changes. */
  readonly link: Link;
  readonly links: Listeners<Link>;
  /** The person at this page, in all tabs of the browser. */
  readonly me: Identity;
  /** The addresses of the hub and of the echo. */
  readonly address: ServerAddress;
  /** The people with an open page. */
  readonly people: People;
  /** The conversations and the alarms: messages arrive also while another panel is shown. */
  readonly talks: Talks;
  readonly alarms: AlarmDesk;
  /** Sound and notifications. */
  readonly signals: Signals;
  /** Shows a text that no other part of the page shows, and announces it. */
  notice(text: string): void;
  /** Announces a text to screen readers that the page already shows. */
  announce(text: string): void;
  /** Shows the place with this address: `chat/lobby`. */
  go(address: string): void;
  /** Shows a number beside the panel's name in the navigation, with its meaning for screen readers; 0 removes it. */
  badge(panel: string, count: number, meaning: string): void;
}
