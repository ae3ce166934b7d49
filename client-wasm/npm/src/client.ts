import { ownWebSocket } from '#source';
import { Channels, type Channel, type Start } from './channels.js';
import { refuseUnsendable } from './close.js';
import { Commands, LONGEST, type Answer, type Command, type Waiting } from './commands.js';
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
import type { Draft } from './draft.js';
import { attemptError, CloseCode, closeReason, Code, onAbort, refuseAborted, toError, WirehubError } from './errors.js';
import {
  AlarmEvent,
  BroadcastEvent,
  ClientErrorEvent,
  MemberEvent,
  OfferEvent,
  Recovery,
  StateChangeEvent,
  SubscriptionErrorEvent,
  type ClientEventMap,
} from './events.js';
import { Queue } from './feed.js';
import type { HistoryPage, Member, Position, PresenceCounts, PresencePage } from './history.js';
import { Request } from './generated/numbers.js';
import { Machine, type Details, type Row } from './machine.js';
import type { Listener } from './listeners.js';
import type { CallOptions, CallStreamOptions, ClientOptions, ConnectOptions, DrainOptions, HistoryOptions, PresenceOptions, PublishOptions, SendOptions } from './options.js';
import { encode } from './payload.js';
import { logger } from './log.js';
import { load, type WasmSource } from './runtime.js';
import { Subscription, type Publication, type SubscribeOptions } from './subscription.js';
import { Tokens } from './tokens.js';
import { refuseWithout, websocketUrl } from './url.js';

/**
 * `connecting`: the first attempt is being made, or a later one before the first success. `reconnecting`: the
 * connection was lost. `closed`: for good, by `close` or by a code that forbids reconnecting.
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
    await client.connect({ timeout: options.connectTimeout ?? CONNECT_TIMEOUT, signal: options.signal });
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
  readonly #options: ClientOptions<C>;
  readonly #channels = new Channels();
  readonly #commands: Commands;
  readonly #tokens: Tokens | undefined;
  /** The callers that wait for a connection. */
  readonly #waiting = new Set<(error?: WirehubError) => void>();
  #token = '';
  #needsToken = false;
  #state: State = 'disconnected';
  #session: string | undefined;
  #user: string | undefined;
  #machine: Machine | undefined;
  /** Loads the module. */
  #starting: Promise<void> | undefined;
  #drained: ((error?: WirehubError) => void) | undefined;
  #flushing = false;
  /** Whether the application itself closes the client. */
  #closing = false;
  /** The error of the last attempt, if it failed. */
  #failure: WirehubError | undefined;
  /** The error with which the client ended. */
  #end: WirehubError | undefined;

  /**
   * `url` is absolute, or relative to the page; `http:` and `https:` stand for `ws:` and `wss:`.
   *
   * @throws {WirehubError} the address is not that of a server.
   */
  constructor(url: string | URL, options: ClientOptions<C> = {}) {
    super();
    this.url = websocketUrl(url);
    this.#options = options;
    const { token = '', timeout = 10_000, sendQueue = SEND_QUEUE } = options;
    this.#commands = new Commands(timeout, sendQueue, (call) => this.#enter(call));
    if (typeof token === 'string') this.#token = token;
    else this.#tokens = new Tokens(token);
  }

  /** The state of the client. */
  get state(): State {
    return this.#state;
  }

  /** The session's id; while reconnecting, that of the last session. */
  get session(): string | undefined {
    return this.#session;
  }

  /** The session's user; empty for an anonymous one. */
  get user(): string | undefined {
    return this.#user;
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
  connect({ signal, timeout = Infinity }: ConnectOptions = {}): Promise<void> {
    const connected = new Promise<void>((resolve, reject) => {
      refuseAborted(signal);
      if (this.#state === 'connected') return resolve();
      this.#refuseWhenClosed();
      if (this.#needsToken) throw new WirehubError(Code.TOKEN_EXPIRED);
      const settle = (error?: WirehubError): void => {
        this.#waiting.delete(settle);
        stop();
        clearTimeout(timer);
        if (this.#closing) connected.catch(() => undefined);
        if (error) reject(error);
        else resolve();
      };
      const stop = onAbort(signal, (error) => settle(this.#failure ? new WirehubError(error.code, { cause: this.#failure }) : error));
      const timer = timeout <= LONGEST ? setTimeout(() => settle(this.#notConnected(timeout)), timeout) : undefined;
      this.#waiting.add(settle);
    });
    if (this.#waiting.size > 0 && this.#state === 'disconnected') this.#starting = this.#start();
    return connected;
  }

  /**
   * Subscribes to a channel: now or once the client is connected, and again after each reconnect. Several subscriptions
   * to one channel share the messages from the server. Each has its own queues, and ends by itself.
   *
   * @throws {WirehubError} the client is closed, or the signal has aborted.
   */
  subscribe<K extends ChannelOf<C>>(channel: K, options: SubscribeOptions = {}): Subscription<MessageOf<C, K>, InfoOf<C>> {
    this.#refuseWhenClosed();
    const { signal, queue, history = 0, since } = options;
    // A signal may outlive many subscriptions.
    const stop = onAbort(signal, () => void subscription.unsubscribe());
    const subscription = this.#subscription(channel, queue, since !== undefined);
    subscription.addEventListener('unsubscribed', stop);
    const joined = this.#channels.join(subscription);
    if (joined.members.size === 1) {
      joined.start = { history, since };
      if (this.#machine) this.#request(joined);
    } else if (history > 0 || since) void this.#replay(subscription, joined, { history, since });
    return subscription as unknown as Subscription<MessageOf<C, K>, InfoOf<C>>;
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
      this.#refuseWhenClosed();
      return this.#machine !== undefined && this.#enter((machine) => machine.input(Request.PublishVolatile, 0, channel, encoded) > 0);
    }
    const { position } = await this.#command(Request.Publish, channel, options, { ...encoded, second: options.key });
    return position.offset > 0 ? position : undefined;
  }

  /**
   * Calls a procedure of the server, now or once the client is connected, and waits for its response.
   *
   * @throws {WirehubError} as for {@link publish}.
   */
  async call<K extends CallOf<C>>(name: K, request: RequestOf<C, K>, options: CallOptions = {}): Promise<ResponseOf<C, K>> {
    const answer = await this.#command(Request.Call, name, options, encode(request));
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
      if (command) this.#commands.giveUp(command, error);
    };
    const responses = new Queue<unknown>(options.queue ?? this.#options.queue ?? {}, () => giveUp(new WirehubError(Code.CANCELLED)));
    const end = (error?: unknown): void => responses.end(error as WirehubError | undefined);
    try {
      command = this.#begin(Request.CallStream, name, options, encode(request), {
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
    const answer = await this.#command(Request.History, channel, options, {
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
    const { rows, position, count } = await this.#command(Request.Presence, channel, options, { second: options.after });
    return { members: rows.map(member) as Member<InfoOf<C>>[], sessions: position.offset, users: count, more: position.epoch !== '' };
  }

  /**
   * Returns the numbers of sessions and users in a channel.
   *
   * @throws {WirehubError} as for {@link presence}.
   */
  async presenceCounts(channel: ChannelOf<C>, options: SendOptions = {}): Promise<PresenceCounts> {
    const { position, count } = await this.#command(Request.Presence, channel, options, { flag: true });
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
    await this.#command(Request.Acknowledge, alarm, { timeout: Infinity, ...options });
  }

  /**
   * Whether the client waits for {@link setToken}: the server reports that its token has expired, and there is no
   * provider. The client is connecting or reconnecting then, and its subscriptions stay.
   */
  get needsToken(): boolean {
    return this.#needsToken;
  }

  /**
   * Replaces the token, for the current connection or attempt and for later ones. If it belongs to another user, a
   * session of that user takes the place of the current one.
   *
   * @throws {WirehubError} the client is closed.
   */
  setToken(token: string): void {
    this.#refuseWhenClosed();
    this.#needsToken = false;
    this.#tokens?.abandon();
    this.#token = token;
    this.#tell(Request.SetToken, 0, token);
  }

  /**
   * Closes the client for good: queued commands fail, subscriptions end.
   *
   * @param code 1000, or 3000 to 4999.
   * @param reason At most 123 bytes.
   */
  async close(code: number = CloseCode.NORMAL, reason = ''): Promise<void> {
    refuseUnsendable(code, reason);
    if (this.#end) return;
    this.#closing = true;
    const machine = this.#machine;
    if (machine) {
      machine.input(Request.Close, code, reason);
      machine.run();
    } else this.#finish(code, reason);
  }

  /**
   * Sends everything that is queued, waits for the answers, and closes the client. New commands fail from now on;
   * messages arrive until the end.
   *
   * @throws {WirehubError} TIMEOUT: some commands have no answer, and failed; the client is closed all the same.
   */
  async drain({ timeout = 10_000 }: DrainOptions = {}): Promise<void> {
    if (this.#state === 'disconnected') return this.close();
    if (!this.#machine) await this.#starting;
    if (this.#end) return;
    this.#closing = true;
    const drained = new Promise<void>((resolve, reject) => {
      this.#drained = (error) => (error ? reject(error) : resolve());
    });
    this.#enter((machine) => machine.input(Request.Drain, 0, '', { timeout }));
    return drained;
  }

  /**
   * Measures the time to the server and back, in milliseconds.
   *
   * @throws {WirehubError} as for {@link publish}; NOT_CONNECTED.
   */
  async rtt(options: SendOptions = {}): Promise<number> {
    return (await this.#command(Request.Ping, '', { ...options, failFast: true })).position.offset;
  }

  /** For `await using`: {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    this.#changeState('connecting');
    const { name, contract, wasm, webSocket = ownWebSocket, sendQueue = SEND_QUEUE, connectTimeout = CONNECT_TIMEOUT, minDelay = 500, maxDelay = 20_000 } = this.#options;
    let machine: Machine;
    try {
      refuseWithout(webSocket);
      const module = await load(wasm);
      if (this.#end) return;
      machine = new Machine(module, this, {
        url: this.url,
        webSocket,
        token: this.#token,
        providesTokens: this.#tokens !== undefined,
        name: name || '@wirehub/client',
        contract,
        sendQueue,
        connectTimeout,
        minDelay,
        maxDelay,
        log: logger(this.#options.log),
      });
    } catch (error) {
      if (this.#end) return;
      this.#changeState('disconnected');
      for (const settle of this.#waiting) settle(error as WirehubError);
      return;
    }
    this.#machine = machine;
    for (const channel of this.#channels.all()) this.#request(channel);
    this.#commands.start();
    this.#enter(() => machine.input(Request.Connect));
  }

  /** @internal This and the following methods are called by the machine: see its `Host`. */
  causeOf(code: number): ErrorOptions | undefined {
    return code === Code.TOKEN_UNAVAILABLE ? this.#tokens?.failure : undefined;
  }

  /** @internal */
  onState(number: number, session: string, user: string, code: number, reason: string, retryIn: number | undefined, failure: WirehubError | undefined): void {
    const state = STATES[number];
    if (!state) return this.#finish(code, reason, failure);
    if (session !== '') {
      this.#session = session;
      this.#user = user;
    }
    if (state !== 'connected') this.#channels.onLost();
    // With a provider there is always a next attempt.
    this.#needsToken = code === CloseCode.TOKEN_EXPIRED && retryIn === undefined;
    const isAttempt = code !== 0 && this.#state !== 'connected' && !this.#needsToken;
    if (state === 'connected') this.#failure = undefined;
    if (isAttempt) this.#failure = attemptError(this.url, code, reason);
    if (code === 0) this.#changeState(state);
    else this.#changeState(state, code, closeReason(code, reason), retryIn);
    if (isAttempt && this.#failure) this.onError(this.#failure);
    if (state === 'connected') for (const settle of this.#waiting) settle();
    // A listener may have set a token.
    if (this.#needsToken) for (const settle of this.#waiting) settle(new WirehubError(Code.TOKEN_EXPIRED));
  }

  /** @internal */
  onPublication(number: number, { publication, error, size }: Row): void {
    const channel = this.#channels.numbered(number);
    publication.channel = channel?.name ?? EVERYBODY;
    if (publication.offset !== undefined && channel) publication.epoch = channel.epoch;
    if (number === 0) this.dispatchEvent(error ? new ClientErrorEvent(error) : new BroadcastEvent(publication));
    for (const subscription of channel?.members ?? []) {
      if (error) subscription.dispatchEvent(new SubscriptionErrorEvent(error));
      else subscription.onPublication(publication, size);
    }
  }

  /** @internal */
  onMember(number: number, joined: boolean, row: Row): void {
    for (const subscription of [...(this.#channels.numbered(number)?.members ?? [])]) {
      const isKnown = row.publication.publisher !== undefined;
      subscription.dispatchEvent(isKnown ? new MemberEvent(joined ? 'join' : 'leave', member(row)) : new Event('members'));
    }
  }

  /** @internal */
  onOffered(number: number, name: string): void {
    let subscription: Subscription | undefined;
    let isOpen = true;
    const accept = (): Subscription => {
      if (!subscription) {
        if (!isOpen) throw new WirehubError(Code.CANCELLED);
        subscription = this.#subscription(name);
        this.#channels.number(this.#channels.join(subscription), number);
      }
      return subscription;
    };
    this.dispatchEvent(new OfferEvent(name, accept));
    isOpen = false;
    // The application may have subscribed by itself meanwhile: the module made that the same subscription.
    if (!this.#channels.numbered(number)) this.#tell(Request.Unsubscribe, number);
  }

  /** @internal */
  onAlarm(id: string, { publication, error }: Row, ttl: number): void {
    const acknowledge = (options?: SendOptions): Promise<void> => this.acknowledge(id, options);
    this.dispatchEvent(error ? new ClientErrorEvent(error) : new AlarmEvent(id, publication, ttl, acknowledge));
  }

  /** @internal */
  onSubscribed(number: number, recovery: number): void {
    this.#channels.onSubscribed(number, recovery);
  }

  /** @internal */
  onEpoch(number: number, epoch: string): void {
    const channel = this.#channels.numbered(number);
    if (channel) channel.epoch = epoch;
  }

  /** @internal */
  onGap(number: number, reason: number): void {
    this.#channels.onGap(number, reason);
  }

  /** @internal */
  onUnsubscribed(number: number, error: WirehubError | undefined): void {
    this.#channels.onUnsubscribed(this.#channels.numbered(number), error);
  }

  /** @internal */
  onAnswer(number: number, more: boolean, answer: Answer): void {
    this.#commands.answer(number, more, answer);
  }

  /** @internal */
  onFailed(number: number, error: WirehubError): void {
    this.#commands.fail(number, error);
  }

  /** @internal */
  onTokenNeeded(request: number): void {
    void this.#tokens?.ask((token) => {
      this.#tell(token === null ? Request.SignedOut : token === undefined ? Request.NoToken : Request.Token, request, token ?? '');
    });
  }

  /** @internal */
  onContract(theirs: ReadonlyMap<string, string>): void {
    const ours = this.#options.contract?.items ?? {};
    const differing = new Set([...Object.keys(ours), ...theirs.keys()].filter((name) => ours[name] !== theirs.get(name)));
    this.onError(toError(Code.CONTRACT_MISMATCH, false, '', `different items: ${[...differing].join(', ')}`));
  }

  /** @internal */
  onError(error: WirehubError): void {
    // A provider that has not answered took too long.
    if (error.code === Code.TOKEN_UNAVAILABLE) this.#tokens?.abandon();
    this.dispatchEvent(new ClientErrorEvent(error));
  }

  /** @internal */
  onDeath(error: WirehubError): void {
    // Before other code is notified, which may call the machine.
    this.#machine = undefined;
    this.dispatchEvent(new ClientErrorEvent(error));
    this.#finish(CloseCode.CLIENT_FAILED, '', error);
  }

  #changeState(state: State, code?: number, reason?: string, retryIn?: number): void {
    const previous = this.#state;
    if (state === previous && code === undefined) return;
    this.#state = state;
    this.dispatchEvent(new StateChangeEvent({ state, previous, code, reason, retryIn }));
  }

  #command(kind: Request, name: string, options: SendOptions, details: Details = {}, limit = 0): Promise<Answer> {
    return new Promise((resolve, reject) => void this.#begin(kind, name, options, details, { resolve, reject }, limit));
  }

  #begin(kind: Request, name: string, options: SendOptions, details: Details, waiting: Waiting, limit = 0): Command {
    this.#refuseWhenClosed();
    return this.#commands.begin(kind, name, limit, options, details, waiting);
  }

  #request(channel: Channel): void {
    const { history, since } = channel.start;
    const details = { offset: since?.offset, second: since?.epoch };
    try {
      this.#channels.number(channel, this.#enter((machine) => machine.input(Request.Subscribe, history, channel.name, details)));
    } catch (error) {
      // Notified once the caller has the subscription and listens to it.
      queueMicrotask(() => this.#channels.onUnsubscribed(channel, error as WirehubError));
    }
  }

  /**
   * Begins a further subscription of a channel with earlier messages. The server knows the channel's subscription
   * already: they are read from the history, while new messages wait.
   */
  async #replay(subscription: Subscription, { name }: Channel, { history, since }: Start): Promise<void> {
    const release = subscription.hold();
    try {
      await subscription.ready;
      const earlier: Publication[] = [];
      const options = since ? { since, limit: 1000 } : { limit: history, reverse: true };
      for (let page = await this.history(name, options); ; page = await this.history(name, { since: page.last as Position, limit: 1000 })) {
        for (const publication of page.publications) earlier.push(publication as Publication);
        if (!since || !page.more || !page.last) break;
      }
      release(since ? earlier : earlier.reverse());
    } catch (error) {
      const { code } = error as WirehubError;
      // There is none, or not all of it any more: the new messages come.
      release([], code === Code.NOT_AVAILABLE ? Recovery.NoHistory : Recovery.Lost);
    }
  }

  #subscription(channel: string, queue = this.#options.queue ?? {}, resumes = false): Subscription {
    const subscription: Subscription = new Subscription(channel, queue, resumes, this as unknown as Client, () => {
      const left = this.#channels.leave(subscription);
      if (left?.number) this.#tell(Request.Unsubscribe, left.number);
      subscription.onUnsubscribed();
    });
    return subscription;
  }

  /** Notifies the module, if it is loaded. */
  #tell(kind: Request, number: number, text?: string): void {
    if (this.#machine) this.#enter((machine) => machine.input(kind, number, text));
  }

  /** Calls into the module; the commands that this queues are sent soon. */
  #enter<T>(call: (machine: Machine) => T): T {
    const machine = this.#machine;
    if (!machine) throw this.#end ?? new WirehubError(Code.CLOSED);
    this.#flush(machine);
    return call(machine);
  }

  /** Sends the queued commands once the running code has ended, so that many commands share one message. */
  #flush(machine: Machine): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#machine === machine) machine.run();
    });
  }

  #notConnected(timeout: number): WirehubError {
    const failure = this.#failure;
    const words = failure ? `: ${failure.message}` : '';
    return new WirehubError(Code.TIMEOUT, { message: `not connected within ${timeout / 1000} s${words}`, cause: failure });
  }

  /** Ends the client. */
  #finish(code: number, said: string, error?: WirehubError): void {
    if (this.#end) return;
    const reason = closeReason(code, said);
    const end = error ?? new WirehubError(Code.CLOSED, { message: `the connection is closed for good: ${reason} (code ${code})` });
    this.#end = end;
    this.#tokens?.abandon();
    this.#commands.end(end);
    // Subscriptions that the application itself closed end without an error.
    for (const channel of this.#channels.all()) this.#channels.onUnsubscribed(channel, this.#closing && !error ? undefined : end);
    this.#changeState('closed', code, reason);
    this.#drained?.(error);
    for (const settle of this.#waiting) settle(end);
    this.#machine = undefined;
  }

  #refuseWhenClosed(): void {
    if (this.#end) throw this.#end;
  }
}

/** In the order of their numbers in the module. Every other number means that the client is closed. */
const STATES: readonly State[] = ['disconnected', 'connecting', 'connected', 'reconnecting'];

/** The default size of the send queue in bytes. */
const SEND_QUEUE = 1024 * 1024;

/** The default time limit of a connection attempt in milliseconds. */
const CONNECT_TIMEOUT = 10_000;

/** The channel of messages to every session. */
const EVERYBODY = '@all';

/** A row about a member: its data is the member's info. */
function member({ publication, error, size }: Row): Member {
  const { session = '', user = '' } = publication.publisher ?? {};
  return size === 0 || error ? { session, user } : { session, user, info: publication.data };
}
