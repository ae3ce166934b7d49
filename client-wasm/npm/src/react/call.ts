import type { CallOptions, Client, WirehubError } from '@wirehub/client';

import { Store } from './store.js';

/** The last call of a component. */
export interface CallView<S = unknown> {
  /** Whether its response is awaited. */
  readonly pending: boolean;
  /** The last response. */
  readonly data?: S | undefined;
  /** The error of the last call, if it failed. */
  readonly error?: WirehubError | undefined;
}

/** @internal */
export class CallStore extends Store<CallView> {
  readonly #client: Client;
  readonly #name: string;
  #last: Promise<unknown> | undefined;

  constructor(client: Client, name: string) {
    super({ pending: false });
    this.#client = client;
    this.#name = name;
  }

  protected override begin(): () => void {
    // A call that has begun is carried out, as a click was meant, whatever is on the page then.
    return () => undefined;
  }

  readonly call = (request: unknown, options?: CallOptions): Promise<unknown> => {
    const call = this.#client.call(this.#name, request, options);
    this.#last = call;
    this.set({ ...this.value(), pending: true, error: undefined });
    // This also means that the promise may be dropped: the component shows the error.
    call.then(
      (data) => this.#settle(call, { pending: false, data }),
      (error: WirehubError) => this.#settle(call, { ...this.value(), pending: false, error }),
    );
    return call;
  };

  /** Only the last call counts. */
  #settle(call: Promise<unknown>, view: CallView): void {
    if (this.#last === call) this.set(view);
  }
}
