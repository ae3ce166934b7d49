import type {
  AnyContract,
  CallOf,
  ChannelOf,
  Contract,
  InfoOf,
  MessageOf,
  RequestOf,
  ResponseOf,
  StreamOf,
  StreamRequestOf,
  StreamResponseOf,
} from './contract.js';
import { refuseUnsendable } from './close.js';
import type { Command } from './commands.js';
import type { Draft } from './draft.js';
import { badRequest, CloseCode, Code, WirehubError } from './errors.js';
import { StateChangeEvent, type ClientEventMap } from './events.js';
import { Queue } from './feed.js';
import { Default, Request } from './generated/numbers.js';
import type { HistoryPage, Member, Position, PresenceCounts, PresencePage } from './history.js';
import type { Listener } from './listeners.js';
import type { CallOptions, CallStreamOptions, ClientOptions, ConnectOptions, DrainOptions, HistoryOptions, PresenceOptions, PublishOptions, SendOptions } from './options.js';
import { encode } from './payload.js';
import { toMember } from './receiver.js';
import { Runner } from './runner.js';
import { load, type WasmSource } from './runtime.js';
import type { Publication, SubscribeOptions, Subscription } from './subscription.js';
import { websocketUrl } from './url.js';

/**
 * `connecting`: the first attempt is being made, or a later one before the first success. `reconnecting`: the
 * connection was lost. `closed`: by `close` or by a code that forbids reconnecting; {@link Client.reopen} begins again.
 */
export type State = 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'closed';

/**
 * Loads and compiles the WebAssembly module before the first client needs it.
 *
 * @throws {WirehubError} it can't be loaded.
 */
export async function preload(wasm?: WasmSource): Promise<void> {
  await load(wasm);
}

/**
 * Makes a client and waits until it is connected, at most as long as an attempt may take
 * ({@link ClientOptions.connectTimeout}). A {@link Client} that is made by `new` tries for as long as it lives.
 *
 * ```ts
 * await using client = await connect('wss://example.org/ws');
 * for await (const { data } of client.subscribe('news')) console.log(data);
 * ```
 *
 * @throws {WirehubError} TIMEOUT: no attempt succeeded; the error of the last one is its `cause`. Also: the server refuses
 * the client for good, its token has expired, or `signal` aborts. The client is closed then.
 */
export async function connect<C extends Contract = AnyContract>(
  url: string | URL,
  options: ClientOptions<C> & { signal?: AbortSignal } = {},
): Promise<Client<C>> {
  const client = new Client<C>(url, options);
  try {
    await client.connect({ timeout: options.connectTimeout ?? Default.ConnectTimeout, signal: options.signal });
  } catch (error) {
    await client.close();
    throw error;
  }
  return client;
}

export interface Client<C extends Contract = AnyContract> {
  /** Calls `listener` for each event of that type; see {@link ClientEventMap}. */
  addEventListener<K extends keyof ClientEventMap<C>>(
    type: K,
    listener: Listener<Client<C>, ClientEventMap<C>[K]>,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** Removes a listener. */
  removeEventListener<K extends keyof ClientEventMap<C>>(
    type: K,
    listener: Listener<Client<C>, ClientEventMap<C>[K]>,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** A client of one server. It does nothing until {@link connect}, and then stays connected until it is closed. */
export class Client<C extends Contract = AnyContract> extends EventTarget implements AsyncDisposable {
  /** The server's address. */
  readonly url: string;
  /** The receive queue of a stream without one of its own. */
  readonly #queue: ClientOptions['queue'];
  /** Another one after each {@link reopen}. */
  #runner: Runner;

  /**
   * `url` is absolute, or relative to the page; `http:` and `https:` stand for `ws:` and `wss:`.
   *
   * @throws {WirehubError} the address is not that of a server.
   */
  constructor(url: string | URL, options: ClientOptions<C> = {}) {
    super();
    this.url = websocketUrl(url);
    this.#queue = options.queue;
    this.#runner = new Runner(this as unknown as Client, options as ClientOptions);
  }

  /** The state of the client. */
  get state(): State {
    return this.#runner.state;
  }

  /** The session's id; while reconnecting, that of the last session. */
  get session(): string | undefined {
    return this.#runner.session;
  }

  /** The session's user; empty for an anonymous one. */
  get user(): string | undefined {
    return this.#runner.user;
  }

  /**
   * Begins to connect, unless that has begun, and waits until the client is connected. Attempts continue until one
   * succeeds or the client is closed; each that fails is an `error` event. `signal` and `timeout` end only the waiting.
   *
   * @throws {WirehubError} TIMEOUT, with the error of the last attempt as its `cause`; the server refuses the client for good, or the client is closed; the signal aborts; the
   * WebAssembly module can't be loaded (the client is as before then); TOKEN_EXPIRED if it {@link needsToken}: it
   * continues with a new token. If the application itself closes the client meanwhile, the promise rejects too, but
   * may have been dropped: an effect of React that connects and closes is no unhandled rejection.
   */
  connect(options: ConnectOptions = {}): Promise<void> {
    return this.#runner.connect(options);
  }

  /**
   * Begins again after the client was closed, with its options, its listeners and its last token, and waits like
   * {@link connect}. The `statechange` event from `closed` to `disconnected` comes at once. Subscriptions and commands of the
   * time before have ended and stay so: subscribe again, after this call or in that event. Another token in place of one that
   * was refused is set there too, by {@link setToken}. While the client connects, a further call waits for the same
   * connection.
   *
   * @throws {WirehubError} as for {@link connect}; BAD_REQUEST: the client is not closed.
   */
  reopen(options: ConnectOptions = {}): Promise<void> {
    if (this.state === 'closed') {
      this.#runner = this.#runner.again();
      this.dispatchEvent(new StateChangeEvent({ state: 'disconnected', previous: 'closed' }));
    } else if (!this.#runner.isReopening) {
      return Promise.reject(badRequest(`the client is ${this.state}, not closed: use connect()`));
    }
    return this.connect(options);
  }

  /**
   * Subscribes to a channel: now or once the client is connected, and again after each reconnect. Several subscriptions
   * to one channel share the messages from the server. Each has its own queues, and ends by itself.
   *
   * @throws {WirehubError} the client is closed, or the signal has aborted.
   */
  subscribe<K extends ChannelOf<C>>(channel: K, options: SubscribeOptions = {}): Subscription<MessageOf<C, K>, InfoOf<C>> {
    this.#runner.refuseWhenClosed();
    return this.#runner.channels.subscribe(channel, options) as unknown as Subscription<MessageOf<C, K>, InfoOf<C>>;
  }

  /**
   * Publishes a message, now or once the client is connected, and waits for the server's answer: its position in the
   * channel's history, or `undefined` if the channel keeps none. A message that is `volatile` has no answer: the result is
   * whether it was sent.
   *
   * @throws {WirehubError} the server refuses the message, or it is over the server's size limit; there was no answer
   * in time; the send queue is full; the connection was lost before the answer, and the server can't tell whether it
   * has the message; the client is closed; the signal aborts.
   */
  publish<K extends ChannelOf<C>>(channel: K, data: MessageOf<C, K>, options: PublishOptions & { volatile: true }): Promise<boolean>;
  publish<K extends ChannelOf<C>>(channel: K, data: MessageOf<C, K>, options?: PublishOptions): Promise<Position | undefined>;
  async publish<K extends ChannelOf<C>>(channel: K, data: MessageOf<C, K>, options: PublishOptions = {}): Promise<Position | boolean | undefined> {
    const encoded = encode(data);
    if (options.volatile) {
      this.#runner.refuseWhenClosed();
      return this.#runner.isLoaded && this.#runner.enter((machine) => machine.input(Request.PublishVolatile, 0, channel, encoded) > 0);
    }
    const { position } = await this.#runner.command(Request.Publish, channel, options, { ...encoded, second: options.key });
    return position.offset > 0 ? position : undefined;
  }

  /**
   * Calls a procedure of the server, now or once the client is connected, and waits for its response.
   *
   * @throws {WirehubError} as for {@link publish}.
   */
  async call<K extends CallOf<C>>(name: K, request: RequestOf<C, K>, options: CallOptions = {}): Promise<ResponseOf<C, K>> {
    const answer = await this.#runner.command(Request.Call, name, options, encode(request));
    const [response] = answer.rows;
    if (response?.error) throw response.error;
    return response?.publication.data as ResponseOf<C, K>;
  }

  /**
   * Calls a procedure of the server with any number of responses, now or once the client is connected. Leaving the loop
   * over them cancels the call on the server. The timeout is for the first response.
   *
   * Every error is thrown by the loop: those of {@link publish}, and OVERFLOW if responses arrive faster than they are
   * read.
   */
  callStream<K extends StreamOf<C>>(name: K, request: StreamRequestOf<C, K>, options: CallStreamOptions = {}): AsyncIterableIterator<StreamResponseOf<C, K>> {
    let command: Command | undefined;
    const giveUp = (error: WirehubError): void => {
      if (command) this.#runner.commands.giveUp(command, error);
    };
    const responses = new Queue<unknown>(options.queue ?? this.#queue ?? {}, () => giveUp(new WirehubError(Code.CANCELLED)));
    const end = (error?: unknown): void => responses.end(error as WirehubError | undefined);
    try {
      command = this.#runner.begin(Request.CallStream, name, options, encode(request), {
        resolve: () => end(),
        reject: end,
        receive: ({ rows }) => {
          for (const { publication, error, size } of rows) {
            if (error) giveUp(error);
            else responses.push(publication.data, size);
          }
        },
      });
    } catch (error) {
      end(error);
    }
    return responses as AsyncIterableIterator<never>;
  }

  /**
   * Reads a channel's history. The server has limits of its own, 1,000 messages and 4 MiB. If a page has `more` behind
   * it, ask again `since` its `last` position.
   *
   * @throws {WirehubError} as for {@link publish}; NOT_AVAILABLE: the channel keeps no history; UNRECOVERABLE: messages
   * after `since` are lost.
   */
  async history<K extends ChannelOf<C>>(channel: K, options: HistoryOptions = {}): Promise<HistoryPage<MessageOf<C, K>>> {
    const { since, limit = 100, reverse = false } = options;
    const answer = await this.#runner.command(Request.History, channel, options, {
      second: since?.epoch,
      flag: reverse,
      offset: since?.offset,
    }, limit);
    const { rows, position, count } = answer;
    const page: Draft<HistoryPage<MessageOf<C, K>>> = { publications: [], unreadable: [], position, more: count > 0 };
    for (const { publication, error } of rows) {
      const { offset = 0 } = publication;
      page.last = { ...position, offset };
      publication.channel = channel;
      publication.epoch = position.epoch;
      if (error) page.unreadable.push({ offset, error });
      else page.publications.push(publication as Publication<MessageOf<C, K>>);
    }
    return page;
  }

  /**
   * Returns the members of a channel, an entry for each session. If there are more than the server returns at once, it
   * is asked again; {@link presencePage} returns one page.
   *
   * @throws {WirehubError} as for {@link publish}; NOT_AVAILABLE: the channel keeps no presence.
   */
  async presence(channel: ChannelOf<C>, options: SendOptions = {}): Promise<Member<InfoOf<C>>[]> {
    const all: Member<InfoOf<C>>[] = [];
    let more = true;
    while (more) {
      const page = await this.presencePage(channel, { ...options, after: all.at(-1)?.session });
      // One by one, because a call takes only a limited number of arguments.
      for (const each of page.members) all.push(each);
      more = page.more;
    }
    return all;
  }

  /**
   * Returns the members of a channel, up to the limit of the server: 10,000 sessions, and 1 MiB of info. If a page has
   * `more` behind it, ask again `after` the session of its last member.
   *
   * @throws {WirehubError} as for {@link presence}.
   */
  async presencePage(channel: ChannelOf<C>, options: PresenceOptions = {}): Promise<PresencePage<InfoOf<C>>> {
    const { rows, position, count } = await this.#runner.command(Request.Presence, channel, options, { second: options.after });
    return { members: rows.map(toMember) as Member<InfoOf<C>>[], sessions: position.offset, users: count, more: position.epoch !== '' };
  }

  /**
   * Returns the numbers of sessions and users in a channel.
   *
   * @throws {WirehubError} as for {@link presence}.
   */
  async presenceCounts(channel: ChannelOf<C>, options: SendOptions = {}): Promise<PresenceCounts> {
    const { position, count } = await this.#runner.command(Request.Presence, channel, options, { flag: true });
    return { sessions: position.offset, users: count };
  }

  /**
   * Acknowledges an alarm, so that the server does not send it again: now or once the client is connected, however long
   * that takes. It is sent again after a reconnect until it is answered. Only a `timeout` in `options` ends it earlier.
   *
   * @throws {WirehubError} as for {@link publish}; UNKNOWN_ALARM: the alarm has ended, as the `withdraw` event reports
   * too.
   */
  async acknowledge(alarm: string, options: SendOptions = {}): Promise<void> {
    await this.#runner.command(Request.Acknowledge, alarm, { timeout: Infinity, ...options });
  }

  /**
   * Whether the client waits for {@link setToken}: the server reports that its token has expired, and there is no
   * provider. The client is connecting or reconnecting then, and its subscriptions stay.
   */
  get needsToken(): boolean {
    return this.#runner.needsToken;
  }

  /**
   * Replaces the token, for the current connection or attempt and for later ones. If it belongs to another user, a
   * session of that user takes the place of the current one.
   *
   * @throws {WirehubError} the client is closed.
   */
  setToken(token: string): void {
    this.#runner.setToken(token);
  }

  /**
   * Closes the client: queued commands fail, subscriptions end. Only {@link reopen} begins again.
   *
   * @param code 1000, or 3000 to 4999.
   * @param reason At most 123 bytes.
   */
  async close(code: number = CloseCode.NORMAL, reason = ''): Promise<void> {
    refuseUnsendable(code, reason);
    this.#runner.close(code, reason);
  }

  /**
   * Sends everything that is queued, waits for the answers, and closes the client. New commands fail from now on;
   * messages arrive until the end.
   *
   * @throws {WirehubError} TIMEOUT: some commands have no answer, and failed; the client is closed all the same.
   */
  drain(options: DrainOptions = {}): Promise<void> {
    return this.#runner.drain(options);
  }

  /**
   * Measures the time to the server and back, in milliseconds.
   *
   * @throws {WirehubError} as for {@link publish}; NOT_CONNECTED.
   */
  async rtt(options: SendOptions = {}): Promise<number> {
    return (await this.#runner.command(Request.Ping, '', { ...options, failFast: true })).position.offset;
  }

  /** For `await using`: {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
