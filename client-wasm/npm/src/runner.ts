import { ownWebSocket } from '#source';
import { Channels } from './channels.js';
import { Commands, LONGEST, type Answer, type Command, type Waiting } from './commands.js';
import type { Client, State } from './client.js';
import { attemptError, CloseCode, closeReason, Code, onAbort, refuseAborted, WirehubError } from './errors.js';
import { ClientErrorEvent, StateChangeEvent } from './events.js';
import { Default, Request } from './generated/numbers.js';
import { logger } from './log.js';
import { Machine, type Details } from './machine.js';
import type { ClientOptions, ConnectOptions, DrainOptions, UploadOptions } from './options.js';
import { Receiver } from './receiver.js';
import { load } from './runtime.js';
import { Tokens } from './tokens.js';
import { refuseWithout } from './url.js';

/** Runs a client: loads its module, passes requests to it, and knows its state. */
export class Runner {
  state: State = 'disconnected';
  session: string | undefined;
  user: string | undefined;
  needsToken = false;
  readonly channels: Channels;
  readonly commands: Commands;
  readonly tokens: Tokens | undefined;
  readonly #client: Client;
  readonly #options: ClientOptions;
  #token = '';
  #machine: Machine | undefined;
  /** Loads the module. */
  #starting: Promise<void> | undefined;
  /** The callers that wait for a connection. */
  readonly #waiting = new Set<(error?: WirehubError) => void>();
  #drained: ((error?: WirehubError) => void) | undefined;
  #flushing = false;
  /** Whether there was another one before. */
  #isAgain = false;
  /** Whether the application itself closes the client. */
  #closing = false;
  /** The error of the last attempt, if it failed. */
  #failure: WirehubError | undefined;
  /** The error with which the client ended. */
  #end: WirehubError | undefined;

  constructor(client: Client, options: ClientOptions) {
    this.#client = client;
    this.#options = options;
    const { token = '', timeout = Default.CommandTimeout, sendQueue = Default.SendQueue } = options;
    this.channels = new Channels(client, this, options.queue ?? {});
    this.commands = new Commands(timeout, sendQueue, this);
    if (typeof token === 'string') this.#token = token;
    else this.tokens = new Tokens(token);
  }

  /** A runner for the same client after this one has ended. */
  again(): Runner {
    const next = new Runner(this.#client, this.tokens ? this.#options : { ...this.#options, token: this.#token });
    next.#isAgain = true;
    return next;
  }

  /** Whether the client was reopened, and has not been connected since then. */
  get isReopening(): boolean {
    return this.#isAgain && this.session === undefined;
  }

  /** Whether the module is there. */
  get isLoaded(): boolean {
    return this.#machine !== undefined;
  }

  connect({ signal, timeout = Infinity }: ConnectOptions): Promise<void> {
    const connected = new Promise<void>((resolve, reject) => {
      refuseAborted(signal);
      if (this.state === 'connected') return resolve();
      const end = this.#end;
      if (end) throw new WirehubError(end.code, { message: `${end.message}: reopen() begins again`, temporary: end.temporary, cause: end });
      if (this.needsToken) throw new WirehubError(Code.TOKEN_EXPIRED);
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
    if (this.#waiting.size > 0 && this.state === 'disconnected') this.#starting = this.#start();
    return connected;
  }

  close(code: number, reason: string): void {
    if (this.#end) return;
    this.#closing = true;
    const machine = this.#machine;
    if (machine) {
      machine.input(Request.Close, code, reason);
      machine.run();
    } else this.#finish(code, reason);
  }

  async drain({ timeout = Default.CommandTimeout }: DrainOptions): Promise<void> {
    if (this.state === 'disconnected') return this.close(CloseCode.NORMAL, '');
    if (!this.#machine) await this.#starting;
    if (this.#end) return;
    this.#closing = true;
    const drained = new Promise<void>((resolve, reject) => {
      this.#drained = (error) => (error ? reject(error) : resolve());
    });
    this.enter((machine) => machine.input(Request.Drain, 0, '', { timeout }));
    return drained;
  }

  setToken(token: string): void {
    this.refuseWhenClosed();
    this.needsToken = false;
    this.tokens?.abandon();
    this.#token = token;
    this.tell(Request.SetToken, 0, token);
  }

  /** Makes a command and waits for its answer. */
  command(kind: Request, name: string, options: UploadOptions, details: Details = {}, limit = 0): Promise<Answer> {
    return new Promise((resolve, reject) => void this.begin(kind, name, options, details, { resolve, reject }, limit));
  }

  /** @throws {WirehubError} the client is closed, or can't take the command: see {@link Commands.begin}. */
  begin(kind: Request, name: string, options: UploadOptions, details: Details, waiting: Waiting, limit = 0): Command {
    this.refuseWhenClosed();
    return this.commands.begin(kind, name, limit, options, details, waiting);
  }

  /** Notifies the module, if it is loaded. */
  tell(kind: Request, number: number, text?: string): void {
    if (this.#machine) this.enter((machine) => machine.input(kind, number, text));
  }

  /** Calls into the module; the commands that this queues are sent soon. */
  enter<T>(call: (machine: Machine) => T): T {
    const machine = this.#machine;
    if (!machine) throw this.#end ?? new WirehubError(Code.CLOSED);
    this.#flush(machine);
    return call(machine);
  }

  /** @throws {WirehubError} the error with which the client ended. */
  refuseWhenClosed(): void {
    if (this.#end) throw this.#end;
  }

  onState(number: number, session: string, user: string, code: number, reason: string, retryIn: number | undefined, failure: WirehubError | undefined): void {
    const state = STATES[number];
    if (!state) return this.#finish(code, reason, failure);
    if (session !== '') {
      this.session = session;
      this.user = user;
    }
    if (state !== 'connected') this.channels.onLost();
    // With a provider there is always a next attempt.
    this.needsToken = code === CloseCode.TOKEN_EXPIRED && retryIn === undefined;
    const isAttempt = code !== 0 && this.state !== 'connected' && !this.needsToken;
    if (state === 'connected') this.#failure = undefined;
    if (isAttempt) this.#failure = attemptError(this.#client.url, code, reason);
    if (code === 0) this.#changeState(state);
    else this.#changeState(state, code, closeReason(code, reason), retryIn);
    if (isAttempt && this.#failure) this.onError(this.#failure);
    if (state === 'connected') this.#settle();
    // A listener may have set a token.
    if (this.needsToken) this.#settle(new WirehubError(Code.TOKEN_EXPIRED));
  }

  onError(error: WirehubError): void {
    // A provider that has not answered took too long.
    if (error.code === Code.TOKEN_UNAVAILABLE) this.tokens?.abandon();
    this.#client.dispatchEvent(new ClientErrorEvent(error));
  }

  /** The module failed. */
  onDeath(error: WirehubError): void {
    // Before other code is notified, which may call the machine.
    this.#machine = undefined;
    this.#client.dispatchEvent(new ClientErrorEvent(error));
    this.#finish(CloseCode.CLIENT_FAILED, '', error);
  }

  async #start(): Promise<void> {
    this.#changeState('connecting');
    const {
      name,
      contract,
      wasm,
      webSocket = ownWebSocket,
      sendQueue = Default.SendQueue,
      connectTimeout = Default.ConnectTimeout,
      minDelay = Default.MinDelay,
      maxDelay = Default.MaxDelay,
    } = this.#options;
    let machine: Machine;
    try {
      refuseWithout(webSocket);
      const module = await load(wasm);
      if (this.#end) return;
      machine = new Machine(module, new Receiver(this.#client, this, contract), {
        url: this.#client.url,
        webSocket,
        token: this.#token,
        providesTokens: this.tokens !== undefined,
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
      this.#settle(error as WirehubError);
      return;
    }
    this.#machine = machine;
    this.channels.requestAll();
    this.commands.start();
    this.enter(() => machine.input(Request.Connect));
  }

  #changeState(state: State, code?: number, reason?: string, retryIn?: number): void {
    const previous = this.state;
    if (state === previous && code === undefined) return;
    this.state = state;
    this.#client.dispatchEvent(new StateChangeEvent({ state, previous, code, reason, retryIn }));
  }

  /** The callers that wait for a connection wait no longer. */
  #settle(error?: WirehubError): void {
    for (const settle of this.#waiting) settle(error);
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
    this.tokens?.abandon();
    this.commands.end(end);
    // Subscriptions that the application itself closed end without an error.
    this.channels.end(this.#closing && !error ? undefined : end);
    this.#changeState('closed', code, reason);
    this.#drained?.(error);
    this.#settle(end);
    this.#machine = undefined;
  }
}

/** In the order of their numbers in the module. Every other number means that the client is closed. */
const STATES: readonly State[] = ['disconnected', 'connecting', 'connected', 'reconnecting'];
