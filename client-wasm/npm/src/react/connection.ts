import { Client, type StateChangeEvent, type State, type WirehubError } from '@wirehub/client';

import { Store } from './store.js';

/** @internal The client of a provider. */
export interface Connected {
  readonly client: Client;
  /** How often it was reopened: each time its subscriptions have ended before. */
  readonly reopened: number;
  /** The error with which its connect failed. */
  readonly error?: WirehubError;
}

/** @internal Connects while the provider is on the page. */
export class Connection extends Store<Connected> {
  readonly #make: (() => Client) | undefined;

  /** A client of the application's own, which stays its own; or a function that makes one. */
  constructor(given: Client | (() => Client)) {
    super({ client: typeof given === 'function' ? given() : given, reopened: 0 });
    if (typeof given === 'function') this.#make = given;
  }

  protected override begin(): () => void {
    // A provider that comes back, or whose client was refused.
    if (this.#make && this.value().client.state === 'closed') this.set({ client: this.#make(), reopened: 0 });
    const { client, reopened } = this.value();
    const changed = ({ previous }: StateChangeEvent): void => {
      if (previous === 'closed') this.set({ client, reopened: this.value().reopened + 1 });
    };
    client.addEventListener('statechange', changed);
    client.connect().catch((error: WirehubError) => {
      const now = this.value();
      // The error of a life that is over is none of the present one.
      if (now.client === client && now.reopened === reopened) this.set({ ...now, error });
    });
    return () => {
      client.removeEventListener('statechange', changed);
      if (this.#make) void client.close();
    };
  }
}

/** The state of a client, with the news of its last change. */
export interface ConnectionState {
  /** The state. On a server, and while its page is hydrated, `disconnected`. */
  readonly state: State;
  /** The code of the connection that ended last, if one did since the client was connected. */
  readonly code?: number | undefined;
  /** The reason for which it ended, for people. */
  readonly reason?: string | undefined;
  /** Milliseconds from that change until the next attempt. */
  readonly retryIn?: number | undefined;
  /** Whether the client waits for `setToken`. */
  readonly needsToken: boolean;
  /** The session's id. */
  readonly session?: string | undefined;
  /** The session's user; empty for an anonymous one. */
  readonly user?: string | undefined;
  /** The error for which the client could not connect, such as a module that could not be loaded. */
  readonly error?: WirehubError | undefined;
}

const stateOf = ({ state, needsToken, session, user }: Client, event?: StateChangeEvent): ConnectionState =>
  event?.code === undefined
    ? { state, needsToken, session, user }
    : { state, needsToken, session, user, code: event.code, reason: event.reason, retryIn: event.retryIn };

/** @internal */
export class ConnectionStateStore extends Store<ConnectionState> {
  readonly #client: Client;

  constructor(client: Client) {
    super({ state: 'disconnected', needsToken: false }, stateOf(client));
    this.#client = client;
  }

  protected override begin(): () => void {
    const client = this.#client;
    const changed = (event: StateChangeEvent): void => this.set(stateOf(client, event));
    client.addEventListener('statechange', changed);
    // It may have changed since the component was rendered.
    if (client.state !== this.value().state) this.set(stateOf(client));
    return () => client.removeEventListener('statechange', changed);
  }
}
