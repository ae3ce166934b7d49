'use client';

import { createHooks } from './hooks.js';

export { createHooks };
export type { Hooks, ProviderProps, UseCallResult, UseSubscriptionResult } from './hooks.js';
export type { CallView } from './call.js';
export type { ChannelView, UseSubscriptionOptions } from './channel.js';
export type { ConnectionState } from './connection.js';
export type { MembersView } from './members.js';

const hooks = /* @__PURE__ */ createHooks();

/** {@link Hooks.Provider} without a contract. */
export const WirehubProvider = hooks.Provider;
/** {@link Hooks.useClient} without a contract. */
export const useClient = hooks.useClient;
/** {@link Hooks.useConnectionState}. */
export const useConnectionState = hooks.useConnectionState;
/** {@link Hooks.useSubscription} without a contract. */
export const useSubscription = hooks.useSubscription;
/** {@link Hooks.useMembers} without a contract. */
export const useMembers = hooks.useMembers;
/** {@link Hooks.useCall} without a contract. */
export const useCall = hooks.useCall;
