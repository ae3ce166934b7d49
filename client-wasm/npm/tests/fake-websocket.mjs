// A WebSocket whose other end the test plays.

export const sockets = [];

export class FakeWebSocket {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;

  readyState = FakeWebSocket.CONNECTING;
  protocol = '';
  bufferedAmount = 0;
  binaryType = 'blob';
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  sent = [];

  constructor(url, protocols = []) {
    this.url = url;
    this.offered = [...protocols];
    sockets.push(this);
  }

  send(data) {
    this.sent.push(new Uint8Array(data));
  }

  close(code, reason) {
    if (this.readyState >= FakeWebSocket.CLOSING) return;
    this.readyState = FakeWebSocket.CLOSING;
    this.closedWith = { code, reason };
  }

  /** The server accepts. */
  accept(protocol = 'wirehub.v1.protobuf') {
    this.readyState = FakeWebSocket.OPEN;
    this.protocol = protocol;
    this.onopen(new Event('open'));
  }

  /** The server sends a binary message. */
  receive(...bytes) {
    this.onmessage(new MessageEvent('message', { data: new Uint8Array(bytes.flat()).buffer }));
  }

  /** The server closes, or the network breaks. */
  end(code = 1006, reason = '') {
    this.readyState = FakeWebSocket.CLOSED;
    this.onclose(Object.assign(new Event('close'), { code, reason, wasClean: code !== 1006 }));
  }

  /** What the client has sent since this was asked last: the id of each command, the rest of it behind that. */
  async commands() {
    // The client sends what one turn of the event loop queued in one message.
    await new Promise((resolve) => setImmediate(resolve));
    const commands = [];
    for (const message of this.sent.splice(0)) {
      for (let at = 0; at < message.length; ) {
        const length = message[at];
        const frame = message.subarray(at + 1, at + 1 + length);
        const [id, body] = frame[0] === 0x08 ? [frame[1], frame.subarray(2)] : [0, frame];
        commands.push({ id, request: body[0] >> 3, body: body.subarray(2), text: new TextDecoder().decode(body) });
        at += 1 + length;
      }
    }
    return commands;
  }
}

/** A server's frame: a reply where there is an id. Short ones only. */
export function frame(id, field, body) {
  const content = [...(id === 0 ? [] : [0x08, id]), (field << 3) | 2, body.length, ...body];
  return [content.length, ...content];
}

/** A text field. */
export const text = (field, value) => nested(field, new TextEncoder().encode(value));

/** A field of bytes, or with a message in it. */
export const nested = (field, bytes) => [(field << 3) | 2, bytes.length, ...bytes];

/** A field with a small number. */
export const number = (field, value) => [field << 3, value];

/** The numbers of the fields in wirehub.proto. */
export const REQUEST = { connect: 2, subscribe: 3, unsubscribe: 4, publish: 5, history: 6, presence: 7, call: 8, cancel: 9, refresh: 10 };
export const ANSWER = { publication: 2, error: 3, connected: 4, subscribed: 5, published: 7, history: 8, presence: 9, called: 10, cancelled: 11, refreshDue: 15 };
