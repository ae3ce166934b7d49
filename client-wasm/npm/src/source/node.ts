import type { WebSocketConstructor } from '../options.js';

/** @internal Node.js does not fetch files. */
export async function moduleSource(): Promise<Uint8Array<ArrayBuffer>> {
  const { readFile } = await import('node:fs/promises');
  return readFile(new URL('./wasm/wirehub_bg.wasm', import.meta.url));
}

/** @internal The environment's own. */
export const ownWebSocket: WebSocketConstructor | undefined = undefined;
