import { Socket } from '@wirehub/client';
import type { App } from '../app';
import type { JsonLine } from './json-line';

/** A path to the server and back. Several messages may be on their way at the same time. */
export interface Path {
  readonly title: string;
  readonly about: string;
  /** Connects, if the path has a connection of its own: that does not count as a trip. */
  open?(): Promise<unknown>;
  /** Sends that many characters or bytes. Resolves when they are back, unchanged. */
  trip(size: number): Promise<void>;
}

/** The time limit of a trip, in milliseconds. */
export const TIMEOUT = 10_000;

/** The four paths that the lab measures. */
export function paths(app: App, json: JsonLine): readonly Path[] {
  const echo = new EchoLine(app.address.echo);
  const textOf = (size: number): string => 'x'.repeat(size);
  return [
    {
      title: 'Typed call',
      about: 'client.call(\'demo.echo\', …): through the page’s one connection, beside everything else on it.',
      async trip(size) {
        const text = textOf(size);
        expectSame((await app.client.call('demo.echo', { text }, { timeout: TIMEOUT })).text, text);
      },
    },
    {
      title: 'JSON',
      about: 'The same call written by hand: lines of JSON over a plain WebSocket, as any tool can send them.',
      open: () => json.open(),
      async trip(size) {
        const text = textOf(size);
        expectSame(await json.echo(text), text);
      },
    },
    {
      title: 'Text',
      about: 'A text message over a plain WebSocket to /echo, with the package’s Socket.',
      open: () => echo.open(),
      async trip(size) {
        const text = textOf(size);
        expectSame(await echo.exchange(text), text);
      },
    },
    {
      title: 'Binary',
      about: 'Bytes over the same WebSocket to /echo.',
      open: () => echo.open(),
      async trip(size) {
        const bytes = crypto.getRandomValues(new Uint8Array(size));
        expectSame(String(await echo.exchange(bytes)), String(bytes));
      },
    },
  ];
}

function expectSame(answer: string | Uint8Array, message: string): void {
  if (answer !== message) throw new Error('The answer differs from the message.');
}

type Data = string | Uint8Array;

interface Waiting {
  resolve(answer: Data): void;
  reject(error: Error): void;
}

/** One WebSocket to /echo, opened when it is first needed and again after it was lost. Answers come in the order of sending. */
class EchoLine {
  readonly #url: URL;
  #socket: Promise<Socket> | undefined;
  #waiting: Waiting[] = [];

  constructor(url: URL) {
    this.#url = url;
  }

  open(): Promise<Socket> {
    return (this.#socket ??= this.#open());
  }

  async exchange(data: Data): Promise<Data> {
    const socket = await this.open();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      void socket.send(data);
    });
  }

  async #open(): Promise<Socket> {
    try {
      const socket = await Socket.open(this.#url, { signal: AbortSignal.timeout(TIMEOUT) });
      socket.onmessage = ({ data }) => this.#waiting.shift()?.resolve(data);
      socket.onclose = () => this.#lost();
      return socket;
    } catch (error) {
      this.#socket = undefined;
      throw error;
    }
  }

  #lost(): void {
    this.#socket = undefined;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error('The echo connection was lost. Send again to open a new one.'));
  }
}
