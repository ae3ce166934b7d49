import { closeNames, closeWords, CloseCode, Code, errorNames, errorWords, temporaryCodes, type CloseCodes, type Codes } from './generated/codes.js';
import { constant, type Table } from './table.js';

export { CloseCodes, Codes } from './generated/codes.js';
/** @internal */
export { CloseCode, Code } from './generated/codes.js';

/** The name of a code in {@link Codes}. */
export type CodeName = keyof typeof Codes;
/** The name of a code in {@link CloseCodes}. */
export type CloseCodeName = keyof typeof CloseCodes;

/** The error of every operation that fails. */
export class WirehubError extends Error {
  /** One of {@link Codes}; from 1000 on, a code of the application. */
  readonly code: number;
  /** Whether the same may succeed later. */
  readonly temporary: boolean;

  constructor(code: number, options: { message?: string; temporary?: boolean; cause?: unknown } = {}) {
    super(options.message || meaning(code, errorWords, errorNames), options);
    this.name = 'WirehubError';
    this.code = code;
    this.temporary = options.temporary ?? temporaryCodes.includes(code);
  }

  /** The code's name in {@link Codes}, such as `TIMEOUT`; `undefined` for a code of the application. */
  get codeName(): CodeName | undefined {
    return codeName(this.code);
  }
}

/**
 * @internal An error from the module with the message `words`. If that is empty, it has the message of its code and the
 * subject `about`.
 */
export function toError(code: number, temporary: boolean, words: string, about: string, cause?: ErrorOptions): WirehubError {
  return new WirehubError(code, { message: words || (about && `${errorWords[code]}: ${about}`), temporary, ...cause });
}

/** @internal The error of a caller that asked for something impossible. */
export function badRequest(message: string, cause?: ErrorOptions): WirehubError {
  return new WirehubError(Code.BAD_REQUEST, { message, ...cause });
}

/** @internal Calls `give` when the signal aborts. Returns a function that removes the listener. */
export function onAbort(signal: AbortSignal | undefined, give: (error: WirehubError) => void): () => void {
  refuseAborted(signal);
  const listener = (): void => give(aborted(signal as AbortSignal));
  signal?.addEventListener('abort', listener, { once: true });
  return () => signal?.removeEventListener('abort', listener);
}

/** @internal @throws {WirehubError} the signal has aborted. */
export function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}

/** @internal The error of an attempt to connect. Browsers hide the reason from pages; the message says where to look. */
export function attemptError(url: string, code: number, reason: string): WirehubError {
  // A query may be secret.
  const { origin, pathname } = new URL(url);
  const guess = 'browsers do not report why. Does the address reach the server (host, port, path, TLS)? Does it allow the origin of this page, and does the Content-Security-Policy of the page allow the address?';
  const why = code === CloseCode.ABNORMAL ? guess : closeReason(code, reason);
  return new WirehubError(Code.CONNECT_FAILED, { message: `${errorWords[Code.CONNECT_FAILED]} at ${origin === 'null' ? url.split('?')[0] : origin + pathname}: ${why}` });
}

/** @internal The reason given for the end of a connection, or the description of its code. */
export function closeReason(code: number, reason: string): string {
  return reason || meaning(code, closeWords, closeNames);
}

/** @internal */
export const codeName = (code: number | undefined): CodeName | undefined => nameIn(errorNames, code) as CodeName | undefined;

/** @internal */
export const closeCodeName = (code: number | undefined): CloseCodeName | undefined => nameIn(closeNames, code) as CloseCodeName | undefined;

function nameIn(names: Table, code: number | undefined): string | undefined {
  const name = names[code ?? -1];
  return name === undefined ? undefined : constant(name);
}

function aborted(signal: AbortSignal): WirehubError {
  return new WirehubError(Code.ABORTED, { cause: signal.reason });
}

/** Without a text, the server should have sent one. */
function meaning(code: number, words: Table, names: Table): string {
  return words[code] ?? names[code] ?? `application code ${code}`;
}
