import { closeNames, closeWords, Code, errorNames, errorWords, temporaryCodes } from './generated/codes.js';
import type { Table } from './table.js';

export { CloseCodes, Codes } from './generated/codes.js';
/** @internal */
export { CloseCode, Code } from './generated/codes.js';

/** Why something failed. */
export class WirehubError extends Error {
  /** One of {@link Codes}, or from 1000 on the application's own. */
  readonly code: number;
  /** Whether the same may succeed later. */
  readonly temporary: boolean;

  constructor(code: number, options: { message?: string; temporary?: boolean; cause?: unknown } = {}) {
    super(options.message || meaning(code, errorWords, errorNames), options);
    this.name = 'WirehubError';
    this.code = code;
    this.temporary = options.temporary ?? temporaryCodes.includes(code);
  }
}

/** @internal An error of the module's: in `words`, or where these are empty in those of the code and what they are `about`. */
export function toError(code: number, temporary: boolean, words: string, about: string, cause?: ErrorOptions): WirehubError {
  return new WirehubError(code, { message: words || (about && `${errorWords[code]}: ${about}`), temporary, ...cause });
}

/** @internal The caller asked for what can't be. */
export function badRequest(message: string, cause?: ErrorOptions): WirehubError {
  return new WirehubError(Code.BAD_REQUEST, { message, ...cause });
}

/** @internal Calls `give` when the signal aborts; gives a function that takes that back. */
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

/** @internal What was said when a connection ended, or what its code means. */
export function closeReason(code: number, reason: string): string {
  return reason || meaning(code, closeWords, closeNames);
}

function aborted(signal: AbortSignal): WirehubError {
  return new WirehubError(Code.ABORTED, { cause: signal.reason });
}

/** Where there are no words it is the server that should have said them. */
function meaning(code: number, words: Table, names: Table): string {
  return words[code] ?? names[code] ?? `code ${code} of the application`;
}
