import { createContext, createElement, useCallback, useContext, useMemo, useSyncExternalStore, type ReactNode } from 'react';
import {
  Client,
  Codes,
  WirehubError,
  type AnyContract,
  type CallOf,
  type CallOptions,
  type ChannelOf,
  type ClientOptions,
  type Contract,
  type InfoOf,
  type MessageOf,
  type Position,
  type PublishOptions,
  type RequestOf,
  type ResponseOf,
} from '@wirehub/client';

import { CallStore, type CallView } from './call.js';
import { ChannelStore, type ChannelView, type UseSubscriptionOptions } from './channel.js';
import { Connection, ConnectionStateStore, type Connected, type ConnectionState } from './connection.js';
import { MembersStore, type MembersView } from './members.js';
import { useKept, type Store } from './store.js';

/** The properties of a provider: the address of a server, or a client. */
export type ProviderProps<C extends Contract = AnyContract> = {
  /** The components that use the client. */
  children?: ReactNode;
} & (
  | {
      /** The server's address. With another one, the provider has another client. */
      url: string | URL;
      /** The options of the client, read when it is made. */
      options?: ClientOptions<C> | undefined;
      /** Not with an address. */
      client?: undefined;
    }
  | {
      /** A client of the application's own. The provider connects it, and does not close it. */
      client: Client<C>;
      /** Not with a client. */
      url?: undefined;
      /** Not with a client. */
      options?: undefined;
    }
);

/** A subscription as seen by a component. */
export interface UseSubscriptionResult<M = unknown> extends ChannelView<M> {
  /** `client.publish` with this channel. The same function in every rendering. */
  readonly publish: (data: M, options?: PublishOptions) => Promise<Position | undefined>;
}

/** A procedure as seen by a component. */
export interface UseCallResult<Q = unknown, S = unknown> extends CallView<S> {
  /**
   * `client.call` with this procedure. The same function in every rendering. Its promise may be dropped: `error` is in
   * the result too.
   */
  readonly call: (request: Q, options?: CallOptions) => Promise<S>;
}

/** The provider and the hooks for one contract. */
export interface Hooks<C extends Contract = AnyContract> {
  /**
   * Connects while it is on the page, and closes its client afterwards. On a server it does nothing, so that
   * `url="/ws"` may be rendered there.
   */
  readonly Provider: (props: ProviderProps<C>) => ReactNode;
  /** The client of the provider. */
  readonly useClient: () => Client<C>;
  /** The state of the connection. */
  readonly useConnectionState: () => ConnectionState;
  /** The messages of a channel while the component is on the page; `null` for no channel. */
  readonly useSubscription: <K extends ChannelOf<C>>(channel: K | null, options?: UseSubscriptionOptions) => UseSubscriptionResult<MessageOf<C, K>>;
  /** The members of a channel that reports them, while the component is on the page; `null` for no channel. */
  readonly useMembers: (channel: ChannelOf<C> | null) => MembersView<InfoOf<C>>;
  /** A procedure of the server, with its last response. */
  readonly useCall: <K extends CallOf<C>>(name: K) => UseCallResult<RequestOf<C, K>, ResponseOf<C, K>>;
}

/**
 * Makes a provider and hooks for a contract, with a context of their own: a page with two servers has two of them.
 *
 * ```ts
 * export const { Provider, useSubscription } = createHooks<DemoContract>();
 * ```
 */
export function createHooks<C extends Contract = AnyContract>(): Hooks<C> {
  const Context = createContext<Connected | undefined>(undefined);

  function useConnected(): Connected {
    const connected = useContext(Context);
    if (!connected) throw new Error('there is no Provider of the same createHooks() around this component');
    return connected;
  }

  const useClient = (): Client => useConnected().client;

  function Provider({ url, options, client, children }: ProviderProps): ReactNode {
    const make = (): Client => new Client(address(url as string | URL), options);
    const connection = useKept(() => new Connection(client ?? make), client, String(url));
    return createElement(Context.Provider, { value: useStore(connection) }, children);
  }

  function useConnectionState(): ConnectionState {
    const { client, error } = useConnected();
    const state = useStore(useKept(() => new ConnectionStateStore(client), client));
    return useMemo(() => (error && state.state !== 'connected' ? { ...state, error } : state), [state, error]);
  }

  function useSubscription(channel: string | null, { keep, history }: UseSubscriptionOptions = {}): UseSubscriptionResult {
    const { client, reopened } = useConnected();
    const view = useStore(useKept(() => new ChannelStore(client, channel, { keep, history }), client, reopened, channel, keep, history));
    const publish = useCallback(
      (data: unknown, options?: PublishOptions): Promise<Position | undefined> =>
        channel === null ? Promise.reject(new WirehubError(Codes.NOT_SUBSCRIBED)) : client.publish(channel, data, options),
      [client, channel],
    );
    return useMemo(() => ({ ...view, publish }), [view, publish]);
  }

  function useMembers(channel: string | null): MembersView {
    const { client, reopened } = useConnected();
    return useStore(useKept(() => new MembersStore(client, channel), client, reopened, channel));
  }

  function useCall(name: string): UseCallResult {
    const client = useClient();
    const store = useKept(() => new CallStore(client, name), client, name);
    const view = useStore(store);
    return useMemo(() => ({ ...view, call: store.call }), [view, store]);
  }

  const hooks = { Provider, useClient, useConnectionState, useSubscription, useMembers, useCall };
  return hooks as unknown as Hooks<C>;
}

const useStore = <T>(store: Store<T>): T => useSyncExternalStore(store.subscribe, store.value, store.first);

/** On a server there is no page to be relative to, and nothing connects. */
const address = (url: string | URL): string | URL => ((globalThis as { location?: unknown }).location ? url : new URL(url, 'ws://localhost'));
