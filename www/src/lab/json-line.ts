import { Socket } from '@wirehub/client';

/** A frame of the server, as far as the lab reads it. PROTOCOL.md defines all of them. */
interface Reply {
  readonly id?: number;
  readonly called?: { readonly data?: { readonly text?: string } };
  readonly history?: { readonly position: { readonly epoch: string }; readonly publications?: readonly { readonly offset: number; readonly data?: unknown }[]; readonly more?: boolean };
  readonly error?: { readonly code: number; readonly message?: string };
  /** A piece of a frame that is too large for one message. Nothing is `left` behind the last one. */
  readonly part?: { readonly stream?: number; readonly left?: number; readonly data: string };
}

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/** Messages in a page of a history. */
const PAGE = 500;

/**
 * The protocol by hand, in the subprotocol for people: lines of JSON over a WebSocket. It shows that no library is needed,
 * and has none of the client's care: it neither reconnects nor repeats.
 */
export class JsonLine {
  readonly #url: URL;
  readonly #token: () => Promise<string>;
  #socket: Promise<Socket> | undefined;
  #waiting = new Map<number, Waiting>();
  /** The frames that come in parts, by their streams. */
  #parts = new Map<number, string>();
  #last = 0;

  constructor(url: URL, token: () => Promise<string>) {
    this.#url = url;
    this.#token = token;
  }

  /** Connects, unless it is connected. */
  open(): Promise<Socket> {
    return (this.#socket ??= this.#open());
  }

  /** Calls `demo.echo` on the server. */
  async echo(text: string): Promise<string> {
    const { called } = await this.#command({ call: { name: 'demo.echo', data: { text } } });
    return called?.data?.text ?? '';
  }

  /** Every message that the server has kept of a channel, the oldest first. */
  async *history(channel: string): AsyncGenerator<unknown> {
    let since: { readonly offset: number; readonly epoch: string } | undefined;
    for (let more = true; more; ) {
      const { history } = await this.#command({ history: { channel, limit: PAGE, ...(since && { since }) } });
      for (const { offset, data } of history?.publications ?? []) {
        since = { offset, epoch: history?.position.epoch ?? '' };
        yield data;
      }
      more = history?.more ?? false;
    }
  }

  async #command(request: object): Promise<Reply> {
    return this.#send(await this.open(), request);
  }

  #send(socket: Socket, request: object): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const id = (this.#last += 1);
      this.#waiting.set(id, { resolve, reject });
      void socket.send(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  async #open(): Promise<Socket> {
    try {
      const token = await this.#token();
      const socket = await Socket.open(this.#url, { protocols: ['wirehub.v1.json'] });
      socket.onmessage = ({ data }) => this.#receive(socket, String(data));
      socket.onclose = () => this.#lost();
      await this.#send(socket, { connect: { token, client: 'lab by hand' } });
      return socket;
    } catch (error) {
      this.#socket = undefined;
      throw error;
    }
  }

  #receive(socket: Socket, batch: string): void {
    // An empty message is a ping, and the answer to it.
    if (batch === '') return void socket.send('');
    for (const line of batch.split('\n')) if (line.trim() !== '') this.#frame(JSON.parse(line));
  }

  #frame({ id = 0, part, error, ...reply }: Reply): void {
    if (part !== undefined) return this.#part(part);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(reply);
    else waiting?.reject(new Error(error.message || `The server refused it with the code ${error.code}.`));
  }

  #part({ stream = 0, left = 0, data }: NonNullable<Reply['part']>): void {
    const text = (this.#parts.get(stream) ?? '') + data;
    if (left > 0) return void this.#parts.set(stream, text);
    this.#parts.delete(stream);
    this.#frame(JSON.parse(text));
  }

  #lost(): void {
    this.#socket = undefined;
    for (const { reject } of this.#waiting.values()) reject(new Error('The JSON connection was lost. Send again to open a new one.'));
    this.#waiting.clear();
    this.#parts.clear();
  }
}
