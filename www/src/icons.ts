/** Line drawings of 20 by 20, as the `d` of a path. */
const DRAWINGS = {
  chat: 'M3.5 9.2c0-3.2 2.9-5.7 6.5-5.7s6.5 2.5 6.5 5.7-2.9 5.8-6.5 5.8c-.8 0-1.5-.1-2.2-.3L4.4 16.5l.8-3C4.1 12.4 3.5 10.9 3.5 9.2Z',
  charts: 'M3 16.5h14M5 13l3.2-4.5 3 2.5L15.5 5',
  alarms: 'M10 3a4.5 4.5 0 0 1 4.5 4.5c0 3.5 1.5 5 1.5 5H4s1.5-1.5 1.5-5A4.5 4.5 0 0 1 10 3ZM8.5 15.5a1.6 1.6 0 0 0 3 0',
  lab: 'M8 3h4M8.5 3v5L4.3 14.8A1.5 1.5 0 0 0 5.6 17h8.8a1.5 1.5 0 0 0 1.3-2.2L11.5 8V3M6.3 12h7.4',
  cursors: 'M4.5 3.8 16 8.5l-5 1.8-2 5.2Z',
  rust: 'M10 2.5 16.5 6v8L10 17.5 3.5 14V6ZM10 10v7M10 10 4 6.5M10 10l6-3.5',
  source: 'M7 6 3 10l4 4M13 6l4 4-4 4',
  plus: 'M10 4.5v11M4.5 10h11',
  send: 'M10 16V4.5M5 9.2l5-5 5 5',
  picture: 'M4.5 4h11A1.5 1.5 0 0 1 17 5.5v9a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 3 14.5v-9A1.5 1.5 0 0 1 4.5 4ZM3.5 14l4-4 3 3 2.5-2.5 3.5 3.5M12.8 7.6h.01',
  smile: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM7.2 11.5c.6 1 1.6 1.6 2.8 1.6s2.2-.6 2.8-1.6M7.8 8h.01M12.2 8h.01',
  close: 'M5.5 5.5l9 9M14.5 5.5l-9 9',
  back: 'M12 4.5 6.5 10l5.5 5.5',
  down: 'M5 8l5 5 5-5',
  check: 'M4.5 10.5l3.5 3.5 7.5-8',
  people: 'M7.5 9.5a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6ZM2.5 16c.3-2.6 2.3-4.2 5-4.2s4.7 1.6 5 4.2M13 9.4a2.4 2.4 0 0 0 0-4.7M14.3 12c1.8.5 3 1.9 3.2 4',
  lock: 'M5.5 9h9a1 1 0 0 1 1 1v5.5a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1V10a1 1 0 0 1 1-1ZM7 9V6.5a3 3 0 0 1 6 0V9',
  info: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM10 9.3v4M10 6.6h.01',
  warning: 'M10 3.5 17.5 16.5h-15ZM10 8.5v3.5M10 14.3h.01',
  critical: 'M6.9 2.8h6.2l4.3 4.3v5.9l-4.3 4.2H6.9L2.6 13V7.1ZM10 6.3v4.6M10 13.6h.01',
  sound: 'M3 8v4h2.8L10 15.5v-11L5.8 8ZM13 7.5a3.5 3.5 0 0 1 0 5M15.2 5.2a6.7 6.7 0 0 1 0 9.6',
  reply: 'M8 5 3.5 9.5 8 14M3.8 9.5H12a4.5 4.5 0 0 1 4.5 4.5v1.5',
  like: 'M6.5 8.8 9.3 3.3c1.3 0 2.1 1 1.9 2.2l-.5 2.8h4.2c1 0 1.7.9 1.5 1.9l-1 4.9c-.1.8-.8 1.4-1.6 1.4H6.5M3.5 8.8h3v7.7h-3Z',
  love: 'M10 16.5S3 12.5 3 7.8A3.8 3.8 0 0 1 10 5.6a3.8 3.8 0 0 1 7 2.2c0 4.7-7 8.7-7 8.7Z',
  laugh: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM6.3 10.5h7.4a3.7 3.7 0 0 1-7.4 0ZM7 8l1-.8M13 8l-1-.8',
  star: 'M10 3l2.1 4.5 4.9.6-3.6 3.4.9 4.9L10 14l-4.3 2.4.9-4.9L3 8.1l4.9-.6Z',
  download: 'M10 3.5v9M6 9l4 4 4-4M4 16.5h12',
} as const;

/** The name of a drawing. */
export type IconName = keyof typeof DRAWINGS;

const SVG = 'http://www.w3.org/2000/svg';

/** A drawing beside words, which assistive technology skips. */
export function icon(name: IconName): SVGSVGElement {
  const picture = document.createElementNS(SVG, 'svg');
  picture.setAttribute('class', 'icon');
  picture.setAttribute('viewBox', '0 0 20 20');
  picture.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', DRAWINGS[name]);
  picture.append(path);
  return picture;
}
