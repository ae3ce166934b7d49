/** What a contract's type looks like: the message of each channel, and request and response of each call and stream. */
export interface Contract {
  /** By channel name; a name with parameters is a template literal type such as `` `chat:${string}` ``. */
  channels: Record<string, unknown>;
  calls: Record<string, { request: unknown; response: unknown }>;
  /** Calls that have any number of responses. */
  streams?: Record<string, { request: unknown; response: unknown }>;
}

/** The contract of a client that was told none: any name, any data. */
export interface AnyContract {
  channels: Record<string, unknown>;
  calls: Record<string, { request: unknown; response: unknown }>;
  streams: Record<string, { request: unknown; response: unknown }>;
}

declare const contractType: unique symbol;

/** A contract as a value, with which client and server see whether both have the same. Made from the Rust contract. */
export interface ContractInfo<C> {
  readonly name: string;
  /** 16 hexadecimal digits. */
  readonly hash: string;
  /** The hash of each channel and call. */
  readonly items: Readonly<Record<string, string>>;
  /** The contract's type. Never there. */
  readonly [contractType]?: C;
}

export type ChannelOf<C extends Contract> = keyof C['channels'] & string;
export type MessageOf<C extends Contract, K extends ChannelOf<C>> = C['channels'][K];
export type CallOf<C extends Contract> = keyof C['calls'] & string;
export type RequestOf<C extends Contract, K extends CallOf<C>> = C['calls'][K]['request'];
export type ResponseOf<C extends Contract, K extends CallOf<C>> = C['calls'][K]['response'];
type Streams<C extends Contract> = NonNullable<C['streams']>;
export type StreamOf<C extends Contract> = keyof Streams<C> & string;
export type StreamRequestOf<C extends Contract, K extends StreamOf<C>> = Streams<C>[K]['request'];
export type StreamResponseOf<C extends Contract, K extends StreamOf<C>> = Streams<C>[K]['response'];
