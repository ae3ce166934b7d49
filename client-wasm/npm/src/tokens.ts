/**
 * Returns a token when one is needed: before the first connect, when the server demands a new one, and when it refuses
 * the current one. `null` means that the user has signed out: the client closes for good. A provider that throws is
 * asked again later. One that takes too long is asked anew: `signal` aborts then, and its first answer is dropped.
 */
export type TokenProvider = (context: { signal: AbortSignal }) => Promise<string | null> | string | null;

/** @internal Asks the provider one question at a time. */
export class Tokens {
  /** The last failure of the provider. */
  failure: ErrorOptions | undefined;
  readonly #provider: TokenProvider;
  #asking: AbortController | undefined;

  constructor(provider: TokenProvider) {
    this.#provider = provider;
  }

  /** `answer` receives the token, `null`, or `undefined` if the provider failed. */
  async ask(answer: (token: string | null | undefined) => void): Promise<void> {
    this.abandon();
    const asking = (this.#asking = new AbortController());
    let token: string | null | undefined;
    let failure: ErrorOptions | undefined;
    try {
      token = await this.#provider({ signal: asking.signal });
      if (token !== null && typeof token !== 'string') throw new TypeError('a token must be a string, or null if the user has signed out');
    } catch (cause) {
      token = undefined;
      failure = { cause };
    }
    if (this.#asking !== asking) return;
    this.#asking = undefined;
    this.failure = failure;
    answer(token);
  }

  /** The question needs no answer any more. */
  abandon(): void {
    this.#asking?.abort();
    this.#asking = undefined;
  }
}
