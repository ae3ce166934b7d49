import glue from './glue.js';
import { moduleSource } from '#source';
import { CloseCode, Code, WirehubError } from './errors.js';

/** The source of the WebAssembly module: an address, its response, the bytes, or the compiled module. */
export type WasmSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;

/** @internal The module's classes, and its memory. */
export interface Instance {
  readonly Client: typeof import('../dist/wasm/wirehub.js').Client;
  readonly Socket: typeof import('../dist/wasm/wirehub.js').Socket;
  readonly memory: WebAssembly.Memory;
}

let compiling: Promise<WebAssembly.Module> | undefined;

/**
 * @internal Returns an instance of the module: for one client or socket, with a memory of its own. The module is loaded
 * and compiled only once, and again after a failure.
 */
export async function load(source: WasmSource | undefined): Promise<Instance> {
  compiling ??= compile(source);
  try {
    const module = await compiling;
    refuseOther(module);
    // A call of the glue code is an instance of it.
    const { imports, finish, Client, Socket } = glue();
    const instance = await WebAssembly.instantiate(module, imports());
    return { Client, Socket, memory: finish(instance, module).memory };
  } catch (cause) {
    compiling = undefined;
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    throw new WirehubError(Code.DEAD, { message: `the client's WebAssembly module could not be loaded${why}`, temporary: true, cause });
  }
}

/** A cache may have kept the module of an earlier release. */
function refuseOther(module: WebAssembly.Module): void {
  const [section] = WebAssembly.Module.customSections(module, 'wirehub');
  const version = new TextDecoder().decode(section);
  if (version !== BUILD) throw new Error(`it is of version ${version || 'unknown'}, and this script of ${BUILD}: serve both files of one release, and empty caches`);
}

/** @internal The part of a WebSocket that is read here. The module has opened it, and has its events. */
export interface Opened {
  readonly readyState: 0 | 1 | 2 | 3;
  readonly protocol: string;
  readonly bufferedAmount: number;
  close(code: number): void;
}

/** @internal What fails in the module is noticed here, because its handlers are called by the browser. */
export abstract class Guard {
  /** The handler of a WebSocket that was given up: in Node.js an error without a handler ends the process. */
  readonly ignored = (): void => undefined;
  /** The last one that the module opened. */
  webSocket: Opened | undefined;
  #death: WirehubError | undefined;

  /** A handler that notices a failure of the module's. */
  guarded(handler: (event: unknown) => void): (event: unknown) => void {
    return (event) => {
      try {
        if (!this.#death) handler(event);
      } catch (error) {
        this.#die(error);
      }
    };
  }

  /** The module has opened a WebSocket: it is closed if the module fails. */
  opened(socket: Opened): void {
    this.webSocket = socket;
  }

  /**
   * Calls into the module. An exception other than a WirehubError is a failure of the module, after which its memory
   * can't be trusted.
   */
  protected enter<T>(call: () => T): T {
    if (this.#death) throw this.#death;
    try {
      return call();
    } catch (error) {
      throw error instanceof WirehubError ? error : this.#die(error);
    }
  }

  /** The module has failed, and will not be called again. */
  protected abstract failed(error: WirehubError): void;

  #die(cause: unknown): WirehubError {
    if (!this.#death) {
      this.#death = new WirehubError(Code.DEAD, { cause });
      this.webSocket?.close(CloseCode.CLIENT_FAILED);
      this.failed(this.#death);
    }
    return this.#death;
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
