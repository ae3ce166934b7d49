import type { WebSocketConstructor } from '../options.js';

/**
 * @internal The address of the module, next to this package's own file. Bundlers recognize this form and include the
 * module.
 */
export const moduleSource = (): URL => new URL('./wasm/wirehub_bg.wasm', import.meta.url);

/** @internal The environment's own. */
export const ownWebSocket: WebSocketConstructor | undefined = undefined;
