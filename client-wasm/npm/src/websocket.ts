import { Codes, WirehubError } from './errors.js';

/** What makes WebSockets: the browser's own, or one that is like it. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => unknown;

/** @internal The given one, or the one that is everywhere. */
export function socketMaker(given: WebSocketConstructor | undefined): WebSocketConstructor {
  const found = given ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (found !== undefined) return found;
  const message = 'there is no WebSocket here: take Node.js 22 or newer, or give the option `webSocket`, such as that of the package ws';
  throw new WirehubError(Codes.BAD_REQUEST, { message });
}

/** @internal Opens one that calls the function with its events. */
export function openSocket(maker: WebSocketConstructor, url: string, protocols: string[], handler: (event: Event) => void): WebSocket {
  const socket = new maker(url, protocols) as WebSocket;
  socket.binaryType = 'arraybuffer';
  socket.onopen = socket.onmessage = socket.onerror = socket.onclose = handler;
  return socket;
}

/** @internal Closes one, and hears no more of it. A page may send only some codes: the others become 1000. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null;
  try {
    socket.close(code >= 3000 ? code : 1000, reason);
  } catch {
    // For a code or a reason that may not be sent.
    socket.close();
  }
}
