/**
 * Gives a token when one is needed: before the first connect, when the server says that a new one is due, and when it
 * refuses the one it has. `null` says that the user has signed out: the client closes for good. Where it throws it is
 * asked again later. One that takes too long is asked anew: `signal` aborts then, and its answer is dropped.
 */
export type TokenProvider = (context: { signal: AbortSignal }) => Promise<string | null> | string | null;

/** Asks the provider one question at a time. */
export class Tokens {
  /** Why the provider failed last. */
  failure: unknown;
  readonly #provider: TokenProvider;
  #asking: AbortController | undefined;

  constructor(provider: TokenProvider) {
    this.#provider = provider;
  }

  /** `answer` gets the token, `null`, or nothing where the provider failed. */
  ask(answer: (token: string | null | undefined) => void): void {
    this.abandon();
    const asking = new AbortController();
    this.#asking = asking;
    const settle = (token: string | null | undefined, failure?: unknown): void => {
      if (this.#asking !== asking) return;
      this.#asking = undefined;
      this.failure = failure;
      answer(token);
    };
    void this.#ask(asking.signal).then(settle, (failure: unknown) => settle(undefined, failure));
  }

  /** The question needs no answer any more. */
  abandon(): void {
    this.#asking?.abort();
    this.#asking = undefined;
  }

  async #ask(signal: AbortSignal): Promise<string | null> {
    const token = await this.#provider({ signal });
    if (token !== null && typeof token !== 'string') throw new TypeError('a token provider has to give a string, or null where the user has signed out');
    return token;
  }
}
