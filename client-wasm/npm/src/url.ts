import { Codes, WirehubError } from './errors.js';

const SCHEMES: Readonly<Record<string, string>> = { 'http:': 'ws:', 'https:': 'wss:', 'ws:': 'ws:', 'wss:': 'wss:' };

/**
 * The address of a WebSocket, as browsers of today read it: relative to the page, `http` for `ws`, without a fragment.
 *
 * @throws {WirehubError} it is no such address.
 */
export function websocketUrl(url: string | URL): string {
  // Outside of a page there is nothing to be relative to.
  const base = (globalThis as { location?: { href: string } }).location?.href;
  let parsed: URL;
  try {
    parsed = new URL(url, base);
  } catch (cause) {
    throw refused(url, cause);
  }
  const scheme = SCHEMES[parsed.protocol];
  if (scheme === undefined) throw refused(url);
  parsed.protocol = scheme;
  parsed.hash = '';
  return parsed.href;
}

function refused(url: string | URL, cause?: unknown): WirehubError {
  return new WirehubError(Codes.BAD_REQUEST, { message: `${url} is no address of a WebSocket: use ws://… or wss://…`, cause });
}
