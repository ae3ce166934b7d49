import { Codes, closeWords, errorWords, temporaryCodes } from './generated/codes.js';

export { CloseCodes, Codes } from './generated/codes.js';

/** Why something failed. */
export class WirehubError extends Error {
  /** One of {@link Codes}, or from 1000 on the application's own. */
  readonly code: number;
  /** Whether the same may succeed later. */
  readonly temporary: boolean;

  constructor(code: number, options: { message?: string; temporary?: boolean; cause?: unknown } = {}) {
    const message = options.message || (errorWords[code] ?? `error ${code} of the application`);
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'WirehubError';
    this.code = code;
    this.temporary = options.temporary ?? temporaryCodes.includes(code);
  }
}

/** An error of the module's: in `words`, or where these are empty in those of the code and what they are `about`. */
export function toError(code: number, temporary: boolean, words: string, about: string, cause?: unknown): WirehubError {
  return new WirehubError(code, { message: words || (about && `${errorWords[code]}: ${about}`), temporary, ...(cause !== undefined && { cause }) });
}

/** What a caller's signal says. */
export function aborted(signal: AbortSignal): WirehubError {
  return new WirehubError(Codes.ABORTED, { cause: signal.reason });
}

/** Why a client can't go on, which was closed for good. */
export function closedForGood(code: number | undefined, reason: string | undefined): WirehubError {
  if (code === undefined) return new WirehubError(Codes.CLOSED);
  return new WirehubError(Codes.CLOSED, { message: `the connection is closed for good: ${reason || 'no reason was given'} (code ${code})` });
}

/** What was said when a connection ended, or what its code means. */
export function closeReason(code: number, reason: string): string {
  return reason || (closeWords[code] ?? '');
}
