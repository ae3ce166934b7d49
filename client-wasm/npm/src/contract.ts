/**
 * The shape of a contract's type: the message of each channel, and the request and response of each call and stream.
 */
export interface Contract {
  /** By channel name; a name with parameters is a template literal type such as `` `chat:${string}` ``. */
  channels: Record<string, unknown>;
  /** By name. */
  calls: Record<string, Procedure>;
  /** Calls with any number of responses, by name. */
  streams?: Record<string, Procedure>;
  /** The message of a broadcast: from the server to every session. */
  broadcast?: unknown;
  /** The info that a session shows to the other members of its channels. */
  info?: unknown;
}

/** The types of a call. */
export interface Procedure {
  /** The argument of the call. */
  request: unknown;
  /** The result of the call; for a stream, of each response. */
  response: unknown;
}

/** The contract of a client without one: any name, any data. */
export interface AnyContract {
  /** Every name is allowed, and messages are `unknown`. */
  channels: Record<string, unknown>;
  /** Every name is allowed. */
  calls: Record<string, Procedure>;
  /** Every name is allowed. */
  streams: Record<string, Procedure>;
}

/**
 * A message of bytes with a head, such as an image with its name. Any object with `head`, which has JSON, and `bytes`, and
 * nothing else, is sent as one.
 *
 * ```ts
 * await client.publish('images:cats', { head: { name: file.name, type: file.type }, bytes: new Uint8Array(await file.arrayBuffer()) });
 * ```
 */
export interface Attachment<H = unknown> {
  /** The description of the bytes. */
  readonly head: H;
  /** The bytes. */
  readonly bytes: Uint8Array;
}

declare const contractType: unique symbol;

/**
 * A contract as a value, by which client and server check that both have the same one. It is generated from the Rust
 * contract.
 */
export interface ContractInfo<C> {
  /** The contract's name. */
  readonly name: string;
  /** 16 hexadecimal digits. */
  readonly hash: string;
  /** The hash of each channel and call. */
  readonly items: Readonly<Record<string, string>>;
  /** The contract's type; a type with more than this contract is allowed too. This property never exists. */
  [contractType]?(contract: C): void;
}

/** The names of the channels in a contract. */
export type ChannelOf<C extends Contract> = keyof C['channels'] & string;
/** The type of the messages in a channel. */
export type MessageOf<C extends Contract, K extends ChannelOf<C>> = C['channels'][K];
/** The names of the calls in a contract. */
export type CallOf<C extends Contract> = keyof C['calls'] & string;
/** The request of a call. */
export type RequestOf<C extends Contract, K extends CallOf<C>> = C['calls'][K]['request'];
/** The response of a call. */
export type ResponseOf<C extends Contract, K extends CallOf<C>> = C['calls'][K]['response'];
/** The names of the streams in a contract. */
export type StreamOf<C extends Contract> = keyof NonNullable<C['streams']> & string;
/** The request of a stream. */
export type StreamRequestOf<C extends Contract, K extends StreamOf<C>> = NonNullable<C['streams']>[K]['request'];
/** The type of each response of a stream. */
export type StreamResponseOf<C extends Contract, K extends StreamOf<C>> = NonNullable<C['streams']>[K]['response'];
/** The message of a broadcast. */
export type BroadcastOf<C extends Contract> = 'broadcast' extends keyof C ? C['broadcast'] : unknown;
/** The info of a member. */
export type InfoOf<C extends Contract> = 'info' extends keyof C ? C['info'] : unknown;
