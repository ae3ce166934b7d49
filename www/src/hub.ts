import { Client, StateChangeEvent, ClientErrorEvent, type State } from '@wirehub/client';
import { demo, type DemoContract } from './generated/contract';
import { Listeners } from './listeners';

/** The connection as the page shows it. */
export type Link =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'connected' }
  /** `retryAt`: the time of the next attempt, on `performance.now()`'s clock; none while an attempt is running. */
  | { readonly kind: 'reconnecting'; readonly retryAt: number | undefined }
  /** For good: only {@link Hub.renew} helps. */
  | { readonly kind: 'closed'; readonly why: string };

/** Enough for every session with messages on the page. */
const REMEMBERED_SESSIONS = 500;

/** The page's client, which is replaced after a close, and the sessions that it has had. */
export class Hub {
  readonly links = new Listeners<Link>();
  /** A new client replaced the old one, whose subscriptions have ended. */
  readonly renewals = new Listeners<void>();
  readonly errors = new Listeners<string>();

  readonly #url: URL;
  readonly #sessions = new Set<string>();
  #client: Client<DemoContract>;
  #link: Link = { kind: 'connecting' };

  constructor(url: URL) {
    this.#url = url;
    this.#client = this.#newClient();
  }

  get client(): Client<DemoContract> {
    return this.#client;
  }

  get link(): Link {
    return this.#link;
  }

  /** Whether this page published with that session: the current one, or one before a reconnect. */
  owns(session: string | undefined): boolean {
    return session !== undefined && this.#sessions.has(session);
  }

  /** Connects; the progress is reported to `links`. */
  start(): void {
    const client = this.#client;
    client.connect().catch((error: unknown) => {
      // The state event has already reported a close. This is for a client that could not even start.
      if (client === this.#client && this.#link.kind !== 'closed') this.#tell({ kind: 'closed', why: describe(error) });
    });
  }

  /** Starts a new client after a close. */
  renew(): void {
    this.#client = this.#newClient();
    this.#tell({ kind: 'connecting' });
    this.renewals.notify();
    this.start();
  }

  #newClient(): Client<DemoContract> {
    const client = new Client<DemoContract>(this.#url, { name: 'wirehub-demo-page', contract: demo });
    client.addEventListener('statechange', (event) => {
      if (client !== this.#client || !(event instanceof StateChangeEvent)) return;
      if (client.session !== undefined) this.#remember(client.session);
      this.#tell(linkOf(event, this.#link));
    });
    client.addEventListener('error', (event) => {
      if (client === this.#client && event instanceof ClientErrorEvent) this.errors.notify(describe(event.error));
    });
    return client;
  }

  #remember(session: string): void {
    this.#sessions.add(session);
    const [oldest] = this.#sessions;
    if (this.#sessions.size > REMEMBERED_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest);
  }

  #tell(link: Link): void {
    this.#link = link;
    this.links.notify(link);
  }
}

/** The text to show for a thrown error. */
export function describe(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : String(error);
}

function linkOf(event: StateChangeEvent, before: Link): Link {
  const state: State = event.state;
  switch (state) {
    case 'connected':
      return { kind: 'connected' };
    case 'closed':
      return { kind: 'closed', why: closeReason(event) };
    case 'reconnecting':
      return { kind: 'reconnecting', retryAt: event.retryIn === undefined ? undefined : performance.now() + event.retryIn };
    case 'disconnected':
    case 'connecting':
      // An attempt after a lost connection is part of reconnecting.
      return before.kind === 'reconnecting' ? { kind: 'reconnecting', retryAt: undefined } : { kind: 'connecting' };
  }
}

function closeReason({ code, reason }: StateChangeEvent): string {
  const why = reason === undefined || reason === '' ? 'there is no reason from the server' : reason;
  return code === undefined ? why : `${why} (code ${code})`;
}
