import { badRequest } from './errors.js';

/** The class of WebSockets: the browser's own, or a compatible one. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => unknown;

/** @internal The given class, or the global one. */
export function socketMaker(given: WebSocketConstructor | undefined): WebSocketConstructor {
  const found = given ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (!found) throw badRequest('this environment has no WebSocket: use Node.js 22, or pass the WebSocket of the package ws as the option `webSocket`');
  return found;
}

/** @internal Opens a WebSocket that calls the function with its events. */
export function openSocket(maker: WebSocketConstructor, url: string, protocols: string[], handler: (event: Event) => void): WebSocket {
  const socket = new maker(url, protocols) as WebSocket;
  socket.binaryType = 'arraybuffer';
  hear(socket, handler);
  return socket;
}

/**
 * @internal Closes a WebSocket, and ignores its further events. A page may send only some codes: the others become
 * 1000.
 */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  hear(socket, null);
  try {
    socket.close(code >= 3000 ? code : 1000, reason);
  } catch {
    // For a code or a reason that may not be sent.
    socket.close();
  }
}

function hear(socket: WebSocket, handler: ((event: Event) => void) | null): void {
  socket.onopen = socket.onmessage = socket.onerror = socket.onclose = handler;
}
