import { badRequest } from './errors.js';
import type { WebSocketConstructor } from './options.js';

/**
 * The address of a WebSocket, as current browsers read it: relative to the page, with `http` for `ws`, without a
 * fragment.
 *
 * @throws {WirehubError} the address is invalid.
 */
export function websocketUrl(url: string | URL): string {
  // Outside of a page there is no address to be relative to.
  const { document, location } = globalThis as { document?: { baseURI: string }; location?: { href: string } };
  const base = document?.baseURI ?? location?.href;
  let address: URL | undefined;
  let cause: ErrorOptions | undefined;
  try {
    address = new URL(url, base);
    address.protocol = address.protocol.replace('http', 'ws');
    address.hash = '';
  } catch (error) {
    cause = { cause: error };
  }
  if (address && /^wss?:/.test(address.href)) return address.href;
  throw badRequest(`${url} is not the address of a WebSocket: use ws:// or wss://`, cause);
}

/** @throws {WirehubError} there is no class of WebSockets. */
export function refuseWithout(webSocket: WebSocketConstructor | undefined): void {
  if (webSocket ?? 'WebSocket' in globalThis) return;
  throw badRequest('this environment has no WebSocket: use Node.js 22, or pass the WebSocket of the package ws as the option `webSocket`');
}
