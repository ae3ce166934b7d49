import { button, make } from '../dom';
import type { Sketch } from './sketch';

const COLOURS = ['Teal', 'Blue', 'Orange', 'Violet', 'Pink', 'Olive'] as const;
/** The widths as parts of the board's width. */
const WIDTHS: readonly (readonly [name: string, width: number, dot: number])[] = [
  ['Thin', 0.002, 4],
  ['Medium', 0.004, 8],
  ['Thick', 0.01, 14],
];

/** Colours, widths, and the buttons that take strokes back. */
export function tools(sketch: Sketch, undo: () => void, clear: () => void): HTMLElement {
  const colours = make('fieldset', { class: 'cursor-colours' }, make('legend', { class: 'visually-hidden' }, 'Colour'));
  COLOURS.forEach((name, index) => {
    const dot = make('span', { class: 'dot' });
    dot.style.background = `var(--series-${index + 1})`;
    colours.append(choice('cursor-colour', name, dot, index + 1 === sketch.color, () => (sketch.color = index + 1)));
  });
  const widths = make('fieldset', { class: 'cursor-widths' }, make('legend', { class: 'visually-hidden' }, 'Width'));
  for (const [name, width, size] of WIDTHS) {
    const dot = make('span', { class: 'dot' });
    dot.style.width = dot.style.height = `${size}px`;
    widths.append(choice('cursor-width', name, dot, width === sketch.width, () => (sketch.width = width)));
  }
  return make('div', { class: 'cursor-tools' }, colours, widths, button({}, undo, 'Undo'), button({}, clear, 'Clear', make('span', { class: 'visually-hidden' }, ' for everybody')));
}

function choice(group: string, name: string, picture: HTMLElement, checked: boolean, choose: () => void): HTMLElement {
  const input = make('input', { type: 'radio', name: group, value: name, checked });
  input.addEventListener('change', choose);
  return make('label', { title: name }, input, make('span', { class: 'visually-hidden' }, name), picture);
}
