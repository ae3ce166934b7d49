import { moduleSource } from '#source';
import { Code, WirehubError } from './errors.js';

/** The source of the WebAssembly module: an address, its response, the bytes, or the compiled module. */
export type WasmSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;

/** @internal The exports of the module. Its sources document the functions. */
export interface Exports {
  readonly memory: WebAssembly.Memory;
  reserve(length: number): number;
  input(kind: number, now: number, number: number, text: number, flags: number, timeout: number, offset: number): number;
  poll(now: number, writable: boolean, events: boolean): number;
}

let compiling: Promise<WebAssembly.Module> | undefined;

/**
 * @internal Returns an instance of the module: one client, with a memory of its own. The module is loaded and compiled
 * only once, and again after a failure.
 */
export async function load(source: WasmSource | undefined): Promise<Exports> {
  compiling ??= compile(source);
  try {
    const { exports } = await WebAssembly.instantiate(await compiling);
    return exports as unknown as Exports;
  } catch (cause) {
    compiling = undefined;
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    throw new WirehubError(Code.DEAD, { message: `the client's WebAssembly module could not be loaded${why}`, temporary: true, cause });
  }
}

/** Compiles a response while it arrives, if the browser accepts it. */
async function compile(given: WasmSource | undefined): Promise<WebAssembly.Module> {
  const source: WasmSource = given ?? (await moduleSource());
  const fetched = typeof source === 'string' || source instanceof URL || source instanceof Request ? fetch(source) : source;
  const found = await fetched;
  if (!(found instanceof Response)) return found instanceof WebAssembly.Module ? found : WebAssembly.compile(found);
  if (!found.ok) throw new Error(`${found.url} answers ${found.status} ${found.statusText}`);
  // It refuses everything else, including parameters behind the type.
  if (found.headers.get('content-type') === 'application/wasm') return WebAssembly.compileStreaming(found);
  return WebAssembly.compile(await found.arrayBuffer());
}
