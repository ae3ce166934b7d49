import base64 from '#base64';

/** @internal The module is in this file. It is decoded when it is needed, not on import. */
export const moduleSource = (): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
