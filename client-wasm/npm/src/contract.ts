/** What a contract's type looks like: the message of each channel, and request and response of each call and stream. */
export interface Contract {
  /** By channel name; a name with parameters is a template literal type such as `` `chat:${string}` ``. */
  channels: Record<string, unknown>;
  /** By name. */
  calls: Record<string, Procedure>;
  /** Calls that have any number of responses, by name. */
  streams?: Record<string, Procedure>;
}

/** What a call takes and gives. */
export interface Procedure {
  /** What is sent. */
  request: unknown;
  /** What comes back; of a stream, each time. */
  response: unknown;
}

/** The contract of a client that was told none: any name, any data. */
export interface AnyContract {
  /** Every name is one, and messages are `unknown`. */
  channels: Record<string, unknown>;
  /** Every name is one. */
  calls: Record<string, Procedure>;
  /** Every name is one. */
  streams: Record<string, Procedure>;
}

declare const contractType: unique symbol;

/** A contract as a value, with which client and server see whether both have the same. Made from the Rust contract. */
export interface ContractInfo<C> {
  /** The contract's name. */
  readonly name: string;
  /** 16 hexadecimal digits. */
  readonly hash: string;
  /** The hash of each channel and call. */
  readonly items: Readonly<Record<string, string>>;
  /** The contract's type. Never there. */
  readonly [contractType]?: C;
}

/** The names of the channels in a contract. */
export type ChannelOf<C extends Contract> = keyof C['channels'] & string;
/** What is published in a channel. */
export type MessageOf<C extends Contract, K extends ChannelOf<C>> = C['channels'][K];
/** The names of the calls in a contract. */
export type CallOf<C extends Contract> = keyof C['calls'] & string;
/** What a call takes. */
export type RequestOf<C extends Contract, K extends CallOf<C>> = C['calls'][K]['request'];
/** What a call gives. */
export type ResponseOf<C extends Contract, K extends CallOf<C>> = C['calls'][K]['response'];
/** The names of the streams in a contract. */
export type StreamOf<C extends Contract> = keyof NonNullable<C['streams']> & string;
/** What a stream takes. */
export type StreamRequestOf<C extends Contract, K extends StreamOf<C>> = NonNullable<C['streams']>[K]['request'];
/** What a stream gives, each time. */
export type StreamResponseOf<C extends Contract, K extends StreamOf<C>> = NonNullable<C['streams']>[K]['response'];
