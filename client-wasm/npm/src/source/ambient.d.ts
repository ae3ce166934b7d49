/** The module, as the build reads it. */
declare module '#base64' {
  const base64: string;
  export default base64;
}

/** The part of Node.js that the entry for Node.js uses. */
declare module 'node:fs/promises' {
  export function readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
}

/** The version of this build, which the module has too. The bundler substitutes it. */
declare const BUILD: string;
