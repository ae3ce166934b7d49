import { make } from './dom';

/** The hues of people: as many as are told apart. */
const HUES = 18;

/** The colour of a person, which is the same on every page: a value for CSS. */
export function colourOf(user: string): string {
  let hash = 0;
  for (const character of user) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  return hue(hash % HUES);
}

/** Lightness and chroma are the design's, so that every hue has the same contrast. */
function hue(number: number): string {
  return `oklch(var(--person) ${(number * 360) / HUES}deg)`;
}

/** The person's initial in the person's colour. The name beside it is for assistive technology too; this is not. */
export function avatar(user: string, name: string, size: 'small' | 'normal' | 'large' = 'normal'): HTMLElement {
  const element = make('span', { class: size === 'normal' ? 'avatar' : `avatar ${size}`, 'aria-hidden': 'true' }, initialOf(name));
  element.style.setProperty('--hue', colourOf(user));
  return element;
}

function initialOf(name: string): string {
  return [...name.trim()][0]?.toUpperCase() ?? '?';
}
