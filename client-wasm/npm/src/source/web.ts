/** @internal Where the module lies: beside this package's own file. Bundlers know this form, and take it along. */
export const moduleSource = (): URL => new URL('./wasm/wirehub_bg.wasm', import.meta.url);
