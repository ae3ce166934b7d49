// A WebSocket server that accepts every client and closes it at once, for good.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

/** From RFC 6455, section 1.3. */
const HANDSHAKE_SALT = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const CLOSE_FRAME = 0x88;

export class RefusingServer {
  /** How many connections were refused so far. */
  refused = 0;
  #server = createServer();
  #sockets = new Set();

  static async start(code, reason) {
    const refusing = new RefusingServer();
    refusing.#server.on('upgrade', (request, socket) => {
      refusing.#sockets.add(socket);
      socket.on('close', () => refusing.#sockets.delete(socket)).on('error', () => socket.destroy());
      refusing.refused += 1;
      const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + HANDSHAKE_SALT).digest('base64');
      const [protocol] = (request.headers['sec-websocket-protocol'] ?? '').split(',');
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          `Sec-WebSocket-Accept: ${accept}\r\n` +
          (protocol === '' ? '' : `Sec-WebSocket-Protocol: ${protocol.trim()}\r\n`) +
          '\r\n',
      );
      const payload = Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);
      socket.end(Buffer.concat([Buffer.from([CLOSE_FRAME, payload.length]), payload]));
    });
    refusing.#server.listen(0, '127.0.0.1');
    await once(refusing.#server, 'listening');
    return refusing;
  }

  get address() {
    return `ws://127.0.0.1:${this.#server.address().port}`;
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
