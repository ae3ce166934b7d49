import { accept, refuse, type Parsed } from './parsed';

export interface ServerAddress {
  /** The address of the hub. */
  readonly hub: URL;
  /** The address that returns every message unchanged. */
  readonly echo: URL;
}

/**
 * The server's addresses: those of the page's own server. During development, `?server=ws://127.0.0.1:8080` names
 * another server. Only a page on this machine accepts that, so that a link can't lead a person to a foreign server.
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
