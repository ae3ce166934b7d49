import { accept, refuse, type Parsed } from './parsed';

export interface ServerAddress {
  /** Speaks Wirehub. */
  readonly hub: URL;
  /** Sends every message back as it came. */
  readonly echo: URL;
}

/**
 * Where the server is: the one that the page came from. While developing, `?server=ws://127.0.0.1:8080` names
 * another. Only a page on this machine follows that, so that nobody is led to a foreign server by a link.
 */
export function serverAddress(page: URL): Parsed<ServerAddress> {
  const override = page.searchParams.get('server');
  if (override === null) {
    const base = new URL(page.origin);
    base.protocol = page.protocol === 'https:' ? 'wss:' : 'ws:';
    return accept(endpoints(base));
  }
  if (!isLoopback(page.hostname)) {
    return refuse('?server= works only on a page that is served from this machine. Remove it from the address.');
  }
  if (!URL.canParse(override) || !/^wss?:$/.test(new URL(override).protocol)) {
    return refuse(`“${override}” is no WebSocket address. Write ?server=ws://127.0.0.1:8080, for example.`);
  }
  return accept(endpoints(new URL(override)));
}

function endpoints(base: URL): ServerAddress {
  return { hub: new URL('/ws', base), echo: new URL('/echo', base) };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host.startsWith('127.');
}
