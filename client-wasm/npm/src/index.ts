/// <reference lib="esnext.disposable" preserve="true" />
export { Client, connect, preload } from './client.js';
export type { State } from './client.js';
export type {
  CallOptions,
  CallStreamOptions,
  ClientOptions,
  ConnectOptions,
  DrainOptions,
  HistoryOptions,
  PresenceOptions,
  PublishOptions,
  SendOptions,
  UploadOptions,
  WebSocketConstructor,
} from './options.js';
export type { HistoryPage, Member, Position, PresenceCounts, PresencePage, Unreadable } from './history.js';
export type { TokenProvider } from './tokens.js';
export { Members } from './members.js';
export { Subscription } from './subscription.js';
export type { Publication, SubscribeOptions, SubscriptionState } from './subscription.js';
export { Socket } from './socket.js';
export type { SocketData, SocketHandler, SocketOptions } from './socket.js';
export type {
  AnyContract,
  Attachment,
  BroadcastOf,
  CallOf,
  ChannelOf,
  Contract,
  ContractInfo,
  InfoOf,
  MessageOf,
  Procedure,
  RequestOf,
  ResponseOf,
  StreamOf,
  StreamRequestOf,
  StreamResponseOf,
} from './contract.js';
export {
  AlarmEvent,
  BroadcastEvent,
  ClientErrorEvent,
  GapEvent,
  type GapReason,
  MemberEvent,
  OfferEvent,
  PublicationEvent,
  StateChangeEvent,
  SubscribedEvent,
  SubscriptionErrorEvent,
  UnsubscribedEvent,
} from './events.js';
export type { AlarmOf, ClientEventMap, OfferOf, SocketEventMap, SubscriptionEventMap } from './events.js';
export { CloseCodes, Codes, WirehubError } from './errors.js';
export type { CloseCodeName, CodeName } from './errors.js';
export type { QueueOptions } from './feed.js';
export type { Listener, ListenerObject } from './listeners.js';
export type { WasmSource } from './runtime.js';
export { version } from './version.js';
