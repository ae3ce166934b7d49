import { Socket } from '@wirehub/client';
import type { Hub } from '../hub';

/** A path there and back. */
export interface Path {
  /** A description for the page. */
  readonly about: string;
  /** Sends the text. Resolves when it has returned unchanged, with the time in ms. */
  roundTrip(text: string): Promise<number>;
}

/** The time limit, in ms. */
const TIMEOUT = 5_000;

/** The three paths that the page measures, by the value of their radio button. */
export function paths(echo: URL, hub: Hub): ReadonlyMap<string, Path> {
  const line = new EchoLine(echo);
  const encoder = new TextEncoder();
  return new Map<string, Path>([
    [
      'text',
      {
        about: 'A text message over a plain WebSocket to /echo, with the package’s Socket.',
        async roundTrip(text) {
          const { reply, ms } = await line.exchange(text);
          if (reply !== text) throw new Error('The answer differs from the message.');
          return ms;
        },
      },
    ],
    [
      'binary',
      {
        about: 'The same text as bytes in a binary message over that WebSocket.',
        async roundTrip(text) {
          const bytes = encoder.encode(text);
          const { reply, ms } = await line.exchange(bytes);
          if (typeof reply === 'string' || !sameBytes(reply, bytes)) throw new Error('The answer differs from the message.');
          return ms;
        },
      },
    ],
    [
      'call',
      {
        about: 'The typed call demo.echo through the hub’s connection, together with everything else on it.',
        async roundTrip(text) {
          if (hub.link.kind !== 'connected') throw new Error('The chat’s connection is down. Try again when it is back.');
          const start = performance.now();
          const response = await hub.client.call('demo.echo', { text }, { timeout: TIMEOUT });
          const ms = performance.now() - start;
          if (response.text !== text) throw new Error('The answer differs from the message.');
          return ms;
        },
      },
    ],
  ]);
}

type Data = string | Uint8Array;

interface Exchange {
  readonly reply: Data;
  readonly ms: number;
}

/**
 * One WebSocket to /echo: opened when it is first needed, and again after it was lost. There is one exchange at a time.
 */
class EchoLine {
  readonly #url: URL;
  #socket: Socket | undefined;
  #waiting: PromiseWithResolvers<Data> | undefined;

  constructor(url: URL) {
    this.#url = url;
  }

  async exchange(data: Data): Promise<Exchange> {
    const socket = (this.#socket ??= await this.#open());
    const waiting = (this.#waiting = withResolvers<Data>());
    const timer = setTimeout(() => {
      // A late answer would be taken for the answer to the next message, so this connection is given up.
      this.#socket = undefined;
      socket.close();
      waiting.reject(new Error(`There was no answer within ${TIMEOUT / 1000} seconds.`));
    }, TIMEOUT);
    try {
      const start = performance.now();
      socket.send(data);
      const reply = await waiting.promise;
      return { reply, ms: performance.now() - start };
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
  }

  async #open(): Promise<Socket> {
    const socket = await Socket.open(this.#url, { signal: AbortSignal.timeout(TIMEOUT) });
    socket.onmessage = (event) => this.#waiting?.resolve(event.data);
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#waiting?.reject(new Error('The echo connection was closed. Send again to open a new one.'));
    };
    return socket;
  }
}

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: Error) => void;
}

/** `Promise.withResolvers`, which browsers of 2023 lack. */
function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: Error) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
