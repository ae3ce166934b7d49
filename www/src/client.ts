import { Client, type StateChangeEvent, type TokenProvider } from '@wirehub/client';
import { demo, type DemoContract } from './generated/contract';
import { TappedSocket } from './lab/tap';
import { Listeners } from './listeners';

/** A client with the types of the demo's contract. */
export type DemoClient = Client<DemoContract>;

/** The connection as the page shows it. */
export type Link =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'connected' }
  /**
   * `retryAt`: the time of the next attempt, on `performance.now()`'s clock; none while an attempt is running. `code`: the close
   * code of the connection that ended, 1006 if it broke without a close.
   */
  | { readonly kind: 'reconnecting'; readonly retryAt: number | undefined; readonly code: number | undefined }
  /** For good: only {@link Connection.renew} helps. */
  | { readonly kind: 'closed'; readonly why: string };

type Use = (client: DemoClient, signal: AbortSignal) => void;

/** The page's client. It reconnects by itself; one that is closed for good is replaced by a new one. */
export class Connection {
  readonly links = new Listeners<Link>();
  /** Errors that belong to no command and no subscription. */
  readonly errors = new Listeners<string>();

  readonly #url: URL;
  readonly #token: TokenProvider;
  readonly #users: Use[] = [];
  #client: DemoClient;
  #end = new AbortController();
  #link: Link = { kind: 'connecting' };

  constructor(url: URL, token: TokenProvider) {
    this.#url = url;
    this.#token = token;
    this.#client = this.#newClient();
  }

  get client(): DemoClient {
    return this.#client;
  }

  get link(): Link {
    return this.#link;
  }

  /** Calls `use` with the client now, and with each later one. */
  each(use: Use): void {
    this.#users.push(use);
    use(this.#client, this.#end.signal);
  }

  /** Connects; the progress is reported to `links`. */
  start(): void {
    const client = this.#client;
    client.connect().catch((error: unknown) => {
      // The event has already reported a close. This is for a client that could not even start.
      if (client === this.#client && this.#link.kind !== 'closed') this.#report({ kind: 'closed', why: describe(error) });
    });
  }

  /** Begins again after a close. */
  renew(): void {
    this.#end.abort();
    this.#end = new AbortController();
    this.#client = this.#newClient();
    this.#report({ kind: 'connecting' });
    for (const use of this.#users) use(this.#client, this.#end.signal);
    this.start();
  }

  #newClient(): DemoClient {
    const client: DemoClient = new Client<DemoContract>(this.#url, { name: 'wirehub-demo-page', contract: demo, token: this.#token, webSocket: TappedSocket });
    client.addEventListener('statechange', (event) => {
      if (client === this.#client) this.#report(linkOf(event, this.#link));
    });
    client.addEventListener('error', ({ error }) => {
      // A failed attempt is part of reconnecting, which the page shows.
      if (client === this.#client && client.state === 'connected') this.errors.notify(describe(error));
    });
    return client;
  }

  #report(link: Link): void {
    this.#link = link;
    this.links.notify(link);
  }
}

/** The text to show for a thrown error. */
export function describe(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : String(error);
}

function linkOf(event: StateChangeEvent, before: Link): Link {
  switch (event.state) {
    case 'connected':
      return { kind: 'connected' };
    case 'closed':
      return { kind: 'closed', why: closeReason(event) };
    case 'reconnecting':
      return { kind: 'reconnecting', retryAt: event.retryIn === undefined ? undefined : performance.now() + event.retryIn, code: event.code };
    case 'disconnected':
    case 'connecting':
      // An attempt after a lost connection is part of reconnecting.
      return before.kind === 'reconnecting' ? { kind: 'reconnecting', retryAt: undefined, code: event.code } : { kind: 'connecting' };
  }
}

function closeReason({ code, reason }: StateChangeEvent): string {
  const why = reason === undefined || reason === '' ? 'the server has sent no reason' : reason;
  return code === undefined ? why : `${why} (code ${code})`;
}
