// A server for pages: the files of the package, and a hub played by the test, over WebSockets of its own.

import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname } from 'node:path';

import { ANSWER, frame, nested, number, readCommands, REQUEST, text } from '../protocol.mjs';

const DIST = new URL('../../dist/', import.meta.url);
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

export class Hub {
  origin;
  #http = createServer((request, response) => void this.#serve(request, response));
  #connections = new Set();
  #accept;
  #folders;

  /** `accept` is called with each {@link Connection}. `folders` are served besides that of the package, at their paths. */
  static async start(accept, folders = {}) {
    const hub = new Hub();
    hub.#accept = accept;
    hub.#folders = { '/dist/': DIST, ...folders };
    hub.#http.on('upgrade', (request, socket) => {
      const key = request.headers['sec-websocket-key'];
      const accepted = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      const protocol = request.headers['sec-websocket-protocol'];
      const chosen = protocol === undefined ? '' : `Sec-WebSocket-Protocol: ${protocol}\r\n`;
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accepted}\r\n${chosen}\r\n`);
      const connection = new Connection(socket, request.url);
      hub.#connections.add(connection);
      connection.once('close', () => hub.#connections.delete(connection));
      hub.#accept(connection);
    });
    hub.#http.listen(0, '127.0.0.1');
    await once(hub.#http, 'listening');
    hub.origin = `http://127.0.0.1:${hub.#http.address().port}`;
    return hub;
  }

  get connections() {
    return this.#connections.size;
  }

  async stop() {
    for (const connection of this.#connections) connection.end();
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
  }

  /** `/dist/` is the package; a path without a folder is an empty page. */
  async #serve(request, response) {
    const { pathname } = new URL(request.url, this.origin);
    const path = Object.keys(this.#folders).find((path) => pathname.startsWith(path));
    try {
      const content = path ? await readFile(new URL(pathname.slice(path.length), this.#folders[path])) : '<!doctype html><title>test</title>';
      response.writeHead(200, { 'content-type': TYPES[path ? extname(pathname) : '.html'] }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  }
}

/** One WebSocket. Events: `message` with the bytes or the text, `close` with the client's code if there is one. */
export class Connection extends EventEmitter {
  path;
  #socket;
  #unread = Buffer.alloc(0);

  constructor(socket, path) {
    super();
    this.path = path;
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data) => this.#read(data));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.emit('close'));
  }

  /** Sends one message; returns `false` if the socket is full until the next `drain`. */
  send(message) {
    return this.write(encodeMessage(message));
  }

  /** Sends the result of {@link encodeMessage}. */
  write(bytes) {
    return this.#socket.write(bytes);
  }

  async drained() {
    if (this.#socket.writableNeedDrain) await once(this.#socket, 'drain');
  }

  /** Breaks the connection without a close frame. */
  end() {
    this.#socket.destroy();
  }

  #read(data) {
    this.#unread = Buffer.concat([this.#unread, data]);
    for (;;) {
      const bytes = this.#unread;
      if (bytes.length < 2) return;
      const short = bytes[1] & 0x7f;
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (bytes.length < header + 4) return;
      const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
      const end = header + 4 + length;
      if (bytes.length < end) return;
      const mask = bytes.subarray(header, header + 4);
      const content = Uint8Array.from(bytes.subarray(header + 4, end), (byte, index) => byte ^ mask[index % 4]);
      this.#unread = bytes.subarray(end);
      const opcode = bytes[0] & 0x0f;
      if (opcode === 8) {
        // Echoing the close frame answers it.
        this.#socket.end(Buffer.concat([Buffer.from([0x88, content.length]), content]));
        return;
      }
      this.emit('message', opcode === 1 ? Buffer.from(content).toString() : content);
    }
  }
}

/** A server's WebSocket frame with this text or these bytes. */
export function encodeMessage(message) {
  const content = Buffer.from(message);
  const header = Buffer.alloc(content.length < 126 ? 2 : 4);
  header[0] = typeof message === 'string' ? 0x81 : 0x82;
  if (content.length < 126) header[1] = content.length;
  else {
    header[1] = 126;
    header.writeUInt16BE(content.length, 2);
  }
  return Buffer.concat([header, content]);
}

/**
 * Accepts every client and confirms every subscription; `more` receives the other commands. Returns the commands in
 * `connect`.
 */
export function welcome(connection, more = () => {}) {
  connection.on('message', (message) => {
    for (const command of readCommands(message)) {
      const { id, request, body } = command;
      if (request === REQUEST.connect) connection.send(frame(id, ANSWER.connected, [...text(1, `session-${++sessions}`), ...LIMITS]));
      else if (request === REQUEST.subscribe) connection.send(frame(id, ANSWER.subscribed, subscribed(body, id)));
      else more(command);
    }
  });
}

let sessions = 0;

/** A ping each minute, and a delay of up to an hour after a lost connection: longer than a test takes. */
const LIMITS = nested(3, [...number(4, 60_000), ...number(5, 3_600_000)]);

/** The channel is the first field of the request. */
function subscribed(body, id) {
  const channel = new TextDecoder().decode(body.subarray(2, 2 + body[1]));
  return [...text(1, channel), ...number(2, id)];
}
