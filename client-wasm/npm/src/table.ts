/** Texts by their numbers. */
export type Table = Readonly<Record<number, string>>;

/** Reads a table in a compact form: a number wherever it is not the next one, and the text for it. */
export function byNumber(rows: string): Table {
  const table: Record<number, string> = {};
  let number = 0;
  for (const row of rows.split('|')) {
    if (Number(row) > 0) number = Number(row);
    else table[number++] = row;
  }
  return table;
}

/** The numbers by their texts, written as names of constants. */
export function byName(table: Table): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(table).map(([number, text]) => [constant(text), Number(number)]));
}

/** A text as the name of a constant. */
export const constant = (text: string): string => text.toUpperCase().replaceAll(' ', '_');
