// The build leaves this import as it is: the address is relative to the built file.
// @ts-ignore: there is no such file beside this one.
import module from './wasm/wirehub_bg.wasm';

/** @internal The module, compiled by the environment. */
export const moduleSource = (): WebAssembly.Module => module as WebAssembly.Module;
