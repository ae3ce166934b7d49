import { moduleSource } from '#source';
import { Code, WirehubError } from './errors.js';

/** Where the WebAssembly module comes from: an address, its answer, the bytes, or the compiled module. */
export type WasmSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;

/** @internal What the module exports. Its sources say what the functions do; `client` is what `client_new` gave. */
export interface Exports {
  readonly memory: WebAssembly.Memory;
  __wbindgen_malloc(size: number, align: number): number;
  client_new(randomLow: number, randomHigh: number, providesTokens: boolean, tokenAt: number, tokenLength: number, nameAt: number, nameLength: number, contractAt: number, contractLength: number): number;
  client_input(
    client: number,
    kind: number,
    now: number,
    number: number,
    textAt: number,
    textLength: number,
    dataAt: number,
    dataLength: number,
    flags: number,
    timeout: number,
    offset: number,
  ): number;
  client_poll(client: number, now: number, writable: boolean, events: boolean): number;
  __wbg_client_free(client: number, unused: number): void;
}

let loading: Promise<Exports> | undefined;
let death: WirehubError | undefined;
const mourners = new Set<(error: WirehubError) => void>();

/** @internal Loads the module: once for all, and again only after a failure. */
export function load(source: WasmSource | undefined): Promise<Exports> {
  if (death !== undefined) return Promise.reject(death);
  loading ??= instantiate(source).catch((cause: unknown) => {
    loading = undefined;
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    throw new WirehubError(Code.DEAD, { message: `the client's WebAssembly module could not be loaded${why}`, temporary: true, cause });
  });
  return loading;
}

async function instantiate(given: WasmSource | undefined): Promise<Exports> {
  const source: WasmSource = given ?? (await moduleSource());
  const fetched = typeof source === 'string' || source instanceof URL || source instanceof Request ? fetch(source) : source;
  const found = await fetched;
  const module = found instanceof WebAssembly.Module ? found : await compile(found);
  const instance = await WebAssembly.instantiate(module, imports(module));
  return instance.exports as unknown as Exports;
}

/** Compiles a response while it comes, where the browser is ready to. */
async function compile(source: Response | BufferSource): Promise<WebAssembly.Module> {
  if (!(source instanceof Response)) return WebAssembly.compile(source);
  if (!source.ok) throw new Error(`${source.url} answers ${source.status} ${source.statusText}`);
  const type = source.headers.get('content-type')?.split(';')[0]?.trim();
  return type === 'application/wasm' ? WebAssembly.compileStreaming(source) : WebAssembly.compile(await source.arrayBuffer());
}

/** What the module asks for is all wasm-bindgen's, for when it finds that it was called wrongly. */
function imports(module: WebAssembly.Module): WebAssembly.Imports {
  const imports: Record<string, Record<string, () => never>> = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    (imports[from] ??= {})[name] = () => {
      throw new Error(name);
    };
  }
  return imports;
}

/**
 * @internal
 * Calls into the module. All calls go through here or {@link guarded}: what comes out that is no error of ours is the
 * module's own failure, after which its memory can't be trusted.
 */
export function enter<T>(call: () => T): T {
  if (death !== undefined) throw death;
  try {
    return call();
  } catch (error) {
    if (error instanceof WirehubError) throw error;
    throw die(error);
  }
}

/** @internal A function for the browser to call into the module. */
export function guarded<A extends unknown[]>(call: (...args: A) => unknown): (...args: A) => void {
  return (...args) => {
    if (death !== undefined) return;
    try {
      call(...args);
    } catch (error) {
      die(error);
    }
  };
}

/** @internal Has `mourn` called when the module fails; gives a function that takes that back. */
export function onDeath(mourn: (error: WirehubError) => void): () => void {
  mourners.add(mourn);
  return () => mourners.delete(mourn);
}

function die(cause: unknown): WirehubError {
  if (death !== undefined) return death;
  death = new WirehubError(Code.DEAD, { cause });
  for (const mourn of mourners) mourn(death);
  mourners.clear();
  return death;
}
