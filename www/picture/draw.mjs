// Writes the items of a page as SVG. Text keeps its width in whatever font the reader has, so that the layout stays.

/** Returns the SVG. `images` has the drawing for each image of the page, by its name: `{ viewBox, body }`. */
export function draw(items, { width, height, title, images = {} }) {
  const definitions = new Definitions();
  const body = items.map((item) => PAINTERS[item.kind](item, definitions, images)).join('\n');
  const whole = definitions.clip({ left: 0, top: 0, right: width, bottom: height, corners: [16, 16, 16, 16] });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}">
<title>${escape(title)}</title>
<style>text{font-family:Figtree,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans",sans-serif;white-space:pre}.m{font-family:ui-monospace,"SF Mono",Menlo,Consolas,monospace}.i{stroke-linecap:round;stroke-linejoin:round}</style>
<defs>
${definitions}
</defs>
<g clip-path="url(#${whole})">
${body}
</g>
</svg>
`;
}

const PAINTERS = { box, text, drawing, image };

/** Shapes that are used by reference, each written once. */
class Definitions {
  #ids = new Map();

  clip({ left, top, right, bottom, corners }) {
    return this.#id(`<clipPath id="?"><path d="${outline({ left, top, right, bottom }, corners)}"/></clipPath>`);
  }

  shape(markup) {
    return this.#id(`<g id="?">${markup}</g>`);
  }

  toString() {
    return [...this.#ids].map(([markup, id]) => markup.replace('?', id)).join('\n');
  }

  #id(markup) {
    let id = this.#ids.get(markup);
    if (id === undefined) this.#ids.set(markup, (id = `d${this.#ids.size}`));
    return id;
  }
}

function box({ box: place, fill, borders, shadows, corners, ...item }, definitions) {
  const [first] = borders;
  const isFramed = first.width > 0 && borders.every(({ width, colour }) => width === first.width && colour.hex === first.colour.hex);
  const inset = isFramed ? first.width / 2 : 0;
  const inner = { left: place.left + inset, top: place.top + inset, right: place.right - inset, bottom: place.bottom - inset };
  const path = shape(inner, corners.map((radius) => Math.max(0, radius - inset)));
  const stroke = isFramed ? { ...paint('stroke', first.colour), ...(first.width !== 1 && { 'stroke-width': round(first.width) }) } : {};
  const parts = shadows.flatMap((shadow) => glow(shadow, place, corners));
  if (fill.alpha > 0 || isFramed) parts.push(element(path.name, { ...path.geometry, ...(fill.alpha > 0 ? paint('fill', fill) : { fill: 'none' }), ...stroke }));
  if (!isFramed) parts.push(...sides(place, borders, corners));
  return together(parts, item, definitions);
}

/** The shadow of a box, or a ring around it. */
function glow({ colour, x, y, blur, spread, inset }, place, corners) {
  if (colour.alpha === 0) return [];
  const grown = inset ? -spread / 2 : blur === 0 ? spread / 2 : spread;
  const path = shape({ left: place.left + x - grown, top: place.top + y - grown, right: place.right + x + grown, bottom: place.bottom + y + grown }, corners.map((radius) => Math.max(0, radius + grown)));
  if (blur === 0) return spread === 0 ? [] : [element(path.name, { ...path.geometry, fill: 'none', ...paint('stroke', colour), 'stroke-width': round(Math.abs(spread)) })];
  return [element(path.name, { ...path.geometry, ...paint('fill', colour), style: `filter:blur(${round(blur / 2)}px)` })];
}

/** Lines at single sides, through the round corners between two of them. */
function sides({ left, top, right, bottom }, borders, [topLeft, topRight, bottomRight, bottomLeft]) {
  const [above, atRight, below, atLeft] = borders.map(({ width }) => width > 0);
  const half = (side) => borders[side].width / 2;
  const lines = [];
  if (above && atLeft && topLeft > 0) {
    const d = `M${round(left + half(3))} ${round(bottom)}V${round(top + topLeft)}A${round(topLeft)} ${round(topLeft)} 0 0 1 ${round(left + topLeft)} ${round(top + half(0))}H${round(right)}`;
    return [element('path', { d, fill: 'none', ...paint('stroke', borders[0].colour) })];
  }
  const line = (side, d) => lines.push(element('path', { d, fill: 'none', ...paint('stroke', borders[side].colour), ...(borders[side].width !== 1 && { 'stroke-width': round(borders[side].width) }) }));
  if (above) line(0, `M${round(left + topLeft)} ${round(top + half(0))}H${round(right - topRight)}`);
  if (atRight) line(1, `M${round(right - half(1))} ${round(top + topRight)}V${round(bottom - bottomRight)}`);
  if (below) line(2, `M${round(left + bottomLeft)} ${round(bottom - half(2))}H${round(right - bottomRight)}`);
  if (atLeft) line(3, `M${round(left + half(3))} ${round(top + topLeft)}V${round(bottom - bottomLeft)}`);
  return lines;
}

function text({ box: place, baseline, text: words, font, colour, underline, ...item }, definitions) {
  const attributes = {
    x: round(place.left),
    y: round(baseline),
    'font-size': round(font.size),
    ...(font.weight !== 400 && { 'font-weight': font.weight }),
    ...(font.mono && { class: 'm' }),
    ...paint('fill', colour),
    ...(underline === true && { 'text-decoration': 'underline' }),
    // One character has its own width.
    ...([...words].length > 1 && { textLength: round(place.right - place.left), lengthAdjust: 'spacingAndGlyphs' }),
  };
  return together([element('text', attributes, escape(words))], item, definitions);
}

function drawing({ box: place, viewBox, shapes, ...item }, definitions) {
  const [, , width] = viewBox.split(' ').map(Number);
  const scale = (place.right - place.left) / width;
  const colours = new Set(shapes.flatMap(({ fill, stroke }) => [fill, stroke].filter(({ alpha }) => alpha > 0).map(({ hex }) => hex)));
  // A drawing of one colour is the same shape in every colour.
  const isLine = colours.size === 1 && shapes.every(({ fill }) => fill.alpha === 0);
  const markup = shapes.map(({ name, geometry, fill, stroke, width: line }) => {
    const lines = stroke.alpha > 0 ? { ...(!isLine && paint('stroke', stroke)), ...(!isLine && { 'stroke-width': round(line) }) } : {};
    return element(name, { ...Object.fromEntries(geometry), ...(!isLine && (fill.alpha > 0 ? paint('fill', fill) : { fill: 'none' })), ...lines });
  });
  const id = definitions.shape(markup.join(''));
  const [first] = shapes;
  const line = isLine ? { fill: 'none', ...paint('stroke', first.stroke), 'stroke-width': round(first.width) } : {};
  const use = element('use', { href: `#${id}`, class: 'i', transform: `translate(${round(place.left)} ${round(place.top)})${scale === 1 ? '' : ` scale(${round(scale, 3)})`}`, ...line });
  return together([use], item, definitions);
}

function image({ box: place, name, corners, ...item }, definitions, images) {
  const { viewBox, body } = images[name] ?? { viewBox: '0 0 1 1', body: '<path d="M0 0H1V1H0Z" fill="#ccc"/>' };
  const clip = definitions.clip({ ...place, corners });
  const [left, top] = [place.left, place.top].map((value) => round(value));
  const inner = element('svg', { x: left, y: top, width: round(place.right - place.left), height: round(place.bottom - place.top), viewBox, preserveAspectRatio: 'xMidYMid slice' }, body);
  return together([element('g', { 'clip-path': `url(#${clip})` }, inner)], item, definitions);
}

/** The parts of an item, with what concerns all of them. */
function together(parts, { clip, opacity }, definitions) {
  const shared = { ...(clip !== undefined && { 'clip-path': `url(#${definitions.clip(clip)})` }), ...(opacity < 1 && { opacity: round(opacity, 2) }) };
  const body = parts.join('');
  return Object.keys(shared).length === 0 || body === '' ? body : element('g', shared, body);
}

/** A rectangle, or its outline if the corners differ. */
function shape(place, corners) {
  const { left, top, right, bottom } = place;
  const [radius] = corners;
  if (corners.some((other) => other !== radius)) return { name: 'path', geometry: { d: outline(place, corners) } };
  const [width, height] = [right - left, bottom - top];
  if (radius > 0 && round(radius * 2) >= round(width) && round(width) === round(height)) return { name: 'circle', geometry: { cx: round(left + width / 2), cy: round(top + height / 2), r: round(width / 2) } };
  return { name: 'rect', geometry: { x: round(left), y: round(top), width: round(width), height: round(height), ...(radius > 0 && { rx: round(radius) }) } };
}

function outline({ left, top, right, bottom }, corners) {
  const [topLeft, topRight, bottomRight, bottomLeft] = corners;
  const arc = (radius, x, y) => (radius > 0 ? `A${round(radius)} ${round(radius)} 0 0 1 ${round(x)} ${round(y)}` : '');
  return [
    `M${round(left + topLeft)} ${round(top)}H${round(right - topRight)}`,
    `${arc(topRight, right, top + topRight)}V${round(bottom - bottomRight)}`,
    `${arc(bottomRight, right - bottomRight, bottom)}H${round(left + bottomLeft)}`,
    `${arc(bottomLeft, left, bottom - bottomLeft)}V${round(top + topLeft)}${arc(topLeft, left + topLeft, top)}Z`,
  ].join('');
}

function paint(what, { hex, alpha }) {
  return { [what]: /^#(.)\1(.)\2(.)\3$/.test(hex) ? `#${hex[1]}${hex[3]}${hex[5]}` : hex, ...(alpha < 1 && { [`${what}-opacity`]: round(alpha, 2) }) };
}

function element(name, attributes, body = '') {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`);
  return body === '' ? `<${name}${written.join('')}/>` : `<${name}${written.join('')}>${body}</${name}>`;
}

function round(value, places = 1) {
  return Number(value.toFixed(places));
}

function escape(words) {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
