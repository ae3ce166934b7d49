import { badRequest } from './errors.js';

/**
 * The address of a WebSocket, as current browsers read it: relative to the page, with `http` for `ws`, without a
 * fragment.
 *
 * @throws {WirehubError} the address is invalid.
 */
export function websocketUrl(url: string | URL): string {
  // Outside of a page there is no address to be relative to.
  const base = (globalThis as { location?: { href: string } }).location?.href;
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
