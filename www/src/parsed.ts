/** The result of parsing: the value, or a sentence for the person who typed it. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string };

export function accept<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function refuse(why: string): { readonly ok: false; readonly why: string } {
  return { ok: false, why };
}
