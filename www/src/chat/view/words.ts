import { make } from '../../dom';

/** An address, up to the next space or bracket. */
const ADDRESS = /\bhttps?:\/\/[^\s<>"“”]+/giu;
/** Punctuation at the end belongs to the sentence. */
const PUNCTUATION = /[.,:;!?'’*_~]+$/u;

/** The text as nodes, with its addresses as links. Only `http:` and `https:` become links. */
export function words(text: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = trimmed(found);
    if (!URL.canParse(address)) continue;
    parts.push(text.slice(end, index), make('a', { href: address, target: '_blank', rel: 'noopener noreferrer nofollow' }, address));
    end = index + address.length;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== '');
}

function trimmed(found: string): string {
  const address = found.replace(PUNCTUATION, '');
  // A closing bracket belongs to the address only if it was opened there: "(see https://example.org)".
  return address.endsWith(')') && !address.includes('(') ? trimmed(address.slice(0, -1)) : address;
}
