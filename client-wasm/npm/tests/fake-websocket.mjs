// A WebSocket whose other end is played by the test.

import { readCommands } from './protocol.mjs';

export * from './protocol.mjs';

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
  texts = [];

  constructor(url, protocols = []) {
    this.url = url;
    this.offered = [...protocols];
    sockets.push(this);
  }

  send(data) {
    if (typeof data === 'string') this.texts.push(data);
    else this.sent.push(new Uint8Array(data));
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

  /** The commands that the client has sent since the last call. */
  async commands() {
    // The client sends the commands of one turn of the event loop in one message.
    await new Promise((resolve) => setImmediate(resolve));
    return this.sent.splice(0).flatMap(readCommands);
  }
}
