import base64 from '#base64';

/** @internal The module is in this file. It is taken apart when it is needed, not when this is imported. */
export const moduleSource = (): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
