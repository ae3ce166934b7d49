import type { Client, InitOutput, Socket } from '../dist/wasm/wirehub.js';

/**
 * The glue code of the module, which the build makes a function: a call of it belongs to one instance of the module.
 */
declare const glue: () => {
  readonly Client: typeof Client;
  readonly Socket: typeof Socket;
  readonly imports: () => WebAssembly.Imports;
  readonly finish: (instance: WebAssembly.Instance, module: WebAssembly.Module) => InitOutput;
};
export default glue;
