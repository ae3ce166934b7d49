// The build leaves this import as it is: the address is relative to the built file.
// @ts-ignore: there is no such file beside this one.
import module from './wasm/wirehub_bg.wasm';

import type { WebSocketConstructor } from '../options.js';

/** @internal The module, compiled by the environment. */
export const moduleSource = (): WebAssembly.Module => module as WebAssembly.Module;

/** @internal A WebSocket that copies its messages: workerd reads them later, when the module uses their memory again. */
export const ownWebSocket: WebSocketConstructor = function (url: string, protocols: string[]): WebSocket {
  const socket = new WebSocket(url, protocols);
  const send = socket.send.bind(socket);
  socket.send = (data) => send(data instanceof Uint8Array ? data.slice() : data);
  return socket;
} as unknown as WebSocketConstructor;
