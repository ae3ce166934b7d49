import base64 from '#base64';

import type { WebSocketConstructor } from '../options.js';

/** @internal The module is in this file. It is decoded when it is needed, not on import. */
export const moduleSource = (): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** @internal The environment's own. */
export const ownWebSocket: WebSocketConstructor | undefined = undefined;
