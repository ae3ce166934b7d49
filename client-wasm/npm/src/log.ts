import { Request, Row } from './generated/numbers.js';

/** Receives every state, request and event of a client. */
export type Log = (what: string, ...details: unknown[]) => void;

/** @internal The log that an application or a visitor of the page asked for. */
export function logger(option: boolean | Log | undefined): Log | undefined {
  if (typeof option === 'function') return option;
  return option || isAskedFor() ? (what, ...details) => console.debug(`wirehub ${what}`, ...details) : undefined;
}

/** @internal */
export const requestName = (kind: Request): string => `> ${Request[kind]}`;

/** @internal */
export const rowName = (kind: Row): string => `< ${Row[kind]}`;

function isAskedFor(): boolean {
  try {
    const { localStorage } = globalThis as { localStorage?: Storage };
    return Boolean(localStorage?.getItem('wirehub:log'));
  } catch {
    // A page without a store, such as a sandboxed frame.
    return false;
  }
}
