/** The module, as the build reads it. */
declare module '#base64' {
  const base64: string;
  export default base64;
}

/** What the file of Node.js's entry takes of Node.js. */
declare module 'node:fs/promises' {
  export function readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
}
