import { Socket } from '@wirehub/client';

interface Waiting {
  resolve(text: string): void;
  reject(error: Error): void;
}

/**
 * The protocol by hand, in the subprotocol for people: lines of JSON over a WebSocket. PROTOCOL.md describes them. It shows
 * that no library is needed, and does nothing of what the client does: it neither reconnects nor repeats.
 */
export class JsonLine {
  readonly #url: URL;
  readonly #token: () => Promise<string>;
  #socket: Promise<Socket> | undefined;
  #waiting = new Map<number, Waiting>();
  #last = 0;

  constructor(url: URL, token: () => Promise<string>) {
    this.#url = url;
    this.#token = token;
  }

  /** Calls `demo.echo` on the server. */
  async echo(text: string): Promise<string> {
    const socket = await (this.#socket ??= this.#open());
    return new Promise((resolve, reject) => {
      const id = (this.#last += 1);
      this.#waiting.set(id, { resolve, reject });
      void socket.send(`${JSON.stringify({ id, call: { name: 'demo.echo', data: { text } } })}\n`);
    });
  }

  async #open(): Promise<Socket> {
    try {
      const token = await this.#token();
      const socket = await Socket.open(this.#url, { protocols: ['wirehub.v1.json'] });
      socket.onmessage = ({ data }) => this.#receive(socket, String(data));
      socket.onclose = () => this.#lost();
      await new Promise<unknown>((resolve, reject) => {
        const id = (this.#last += 1);
        this.#waiting.set(id, { resolve, reject });
        void socket.send(`${JSON.stringify({ id, connect: { token, client: 'lab by hand' } })}\n`);
      });
      return socket;
    } catch (error) {
      this.#socket = undefined;
      throw error;
    }
  }

  #receive(socket: Socket, batch: string): void {
    // An empty message is a ping, and the answer to it.
    if (batch === '') return void socket.send('');
    for (const line of batch.split('\n')) {
      if (line.trim() === '') continue;
      const { id = 0, called, error } = JSON.parse(line);
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(new Error(error.message || `The server refused it with the code ${error.code}.`));
      else waiting?.resolve(called?.data?.text ?? '');
    }
  }

  #lost(): void {
    this.#socket = undefined;
    for (const { reject } of this.#waiting.values()) reject(new Error('The JSON connection was lost. Send again to open a new one.'));
    this.#waiting.clear();
  }
}
