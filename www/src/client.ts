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
  /** Until {@link Connection.start}. */
  | { readonly kind: 'closed'; readonly why: string };

type Begin = (signal: AbortSignal) => void;

/** The page's client. It reconnects by itself; after a close it begins again if the person wants it. */
export class Connection {
  readonly client: DemoClient;
  readonly links = new Listeners<Link>();
  /** Errors that belong to no command and no subscription. */
  readonly errors = new Listeners<string>();

  readonly #begins: Begin[] = [];
  #end = new AbortController();
  #link: Link = { kind: 'connecting' };

  constructor(url: URL, token: TokenProvider) {
    this.client = new Client<DemoContract>(url, { name: 'wirehub-demo-page', contract: demo, token, webSocket: TappedSocket });
    this.client.addEventListener('statechange', (event) => {
      if (event.previous === 'closed') this.#beginAgain();
      this.#report(linkOf(event, this.#link));
    });
    this.client.addEventListener('error', ({ error }) => {
      // A failed attempt is part of reconnecting, which the page shows.
      if (this.client.state === 'connected') this.errors.notify(describe(error));
    });
  }

  get link(): Link {
    return this.#link;
  }

  /** Calls `begin` now, and each time the client begins again after a close, which has ended its subscriptions. */
  each(begin: Begin): void {
    this.#begins.push(begin);
    // A closed client subscribes to nothing.
    if (this.client.state !== 'closed') begin(this.#end.signal);
  }

  /** Connects, for the first time or again after a close; the progress is reported to `links`. */
  start(): void {
    const connecting = this.client.state === 'closed' ? this.client.reopen() : this.client.connect();
    connecting.catch((error: unknown) => {
      // The event has already reported a close. This is for a client that could not even start.
      if (this.#link.kind !== 'closed') this.#report({ kind: 'closed', why: describe(error) });
    });
  }

  #beginAgain(): void {
    this.#end.abort();
    this.#end = new AbortController();
    for (const begin of this.#begins) begin(this.#end.signal);
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
