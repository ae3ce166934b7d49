// Reads the laid-out page: its boxes, lines of text, icons and images, in the order in which they are painted.

/**
 * Runs in the page. Every item has `box` (its place in CSS pixels), `opacity`, and `clip` if an ancestor cuts it off there.
 * Colours are `{ hex, alpha }`.
 */
export function readPage() {
  const probe = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  const items = [];
  walk(document.documentElement, { layer: 0, opacity: 1, clip: { left: 0, top: 0, right: innerWidth, bottom: innerHeight, corners: [0, 0, 0, 0] } });
  // The sort keeps the order of items in the same layer.
  return items.sort((one, other) => one.layer - other.layer);

  function walk(element, { layer, opacity, clip }) {
    const style = getComputedStyle(element);
    if (style.display === 'none' || Number(style.opacity) === 0) return;
    const box = boxOf(element.getBoundingClientRect());
    // Words that only a screen reader has, and links that only the keyboard shows.
    if (style.clipPath === 'inset(50%)') return;
    const own = { layer: layer + layerOf(element, style), opacity: opacity * Number(style.opacity), clip };
    if (style.visibility === 'visible') {
      if (element instanceof SVGSVGElement) return add(own, { kind: 'drawing', box, viewBox: element.getAttribute('viewBox'), shapes: shapesOf(element) });
      addBox(own, box, style);
      if (element instanceof HTMLImageElement) return add(own, { kind: 'image', box, name: element.alt, corners: cornersOf(style, box) });
      if (element instanceof HTMLCanvasElement) return;
      addField(own, element, box, style);
    }
    addPseudo(own, element, box, '::before');
    const inner = style.overflow === 'visible' ? clip : cut(clip, box, style);
    for (const child of element.childNodes) {
      if (child instanceof Text) addText({ ...own, clip: inner }, child, style);
      else if (child instanceof Element) walk(child, { ...own, clip: inner });
    }
    addPseudo(own, element, box, '::after');
  }

  function layerOf(element, style) {
    if (element.matches('[popover], dialog')) return 1_000;
    return style.position === 'static' ? 0 : Number(style.zIndex === 'auto' ? 0 : style.zIndex);
  }

  function add({ layer, opacity, clip }, item) {
    const { box } = item;
    if (box.right <= clip.left || box.left >= clip.right || box.bottom <= clip.top || box.top >= clip.bottom) return;
    // Nothing is cut off from an item that keeps clear of the edges and of the round corners.
    const isInside = box.left >= clip.left && box.right <= clip.right && box.top >= clip.top && box.bottom <= clip.bottom;
    const [topLeft, topRight, bottomRight, bottomLeft] = clip.corners;
    const isInCorner =
      (box.left < clip.left + topLeft && box.top < clip.top + topLeft) ||
      (box.right > clip.right - topRight && box.top < clip.top + topRight) ||
      (box.right > clip.right - bottomRight && box.bottom > clip.bottom - bottomRight) ||
      (box.left < clip.left + bottomLeft && box.bottom > clip.bottom - bottomLeft);
    items.push({ ...item, layer, opacity, ...(!(isInside && !isInCorner) && { clip }) });
  }

  function addBox(own, box, style) {
    const fill = colourOf(style.backgroundColor);
    const sides = ['Top', 'Right', 'Bottom', 'Left'].map((side) => ({
      width: style[`border${side}Style`] === 'none' ? 0 : Number.parseFloat(style[`border${side}Width`]),
      colour: colourOf(style[`border${side}Color`]),
    }));
    const shadows = shadowsOf(style.boxShadow);
    const borders = sides.map((side) => (side.colour.alpha === 0 ? { ...side, width: 0 } : side));
    if (fill.alpha === 0 && borders.every(({ width }) => width === 0) && shadows.length === 0) return;
    add(own, { kind: 'box', box, fill, borders, shadows, corners: cornersOf(style, box) });
  }

  function addPseudo(own, element, box, which) {
    const style = getComputedStyle(element, which);
    if (style.content !== '""' || style.display === 'none') return;
    const [width, height] = [Number.parseFloat(style.width), Number.parseFloat(style.height)];
    let [left, top] = [box.left, (box.top + box.bottom - height) / 2];
    if (style.position === 'absolute') {
      const around = getComputedStyle(element).position === 'static' ? boxOf(element.offsetParent.getBoundingClientRect()) : box;
      [left, top] = [around.left + Number.parseFloat(style.left), around.top + Number.parseFloat(style.top)];
    } else if (which === '::after') left = box.right - width;
    addBox({ ...own, opacity: own.opacity * Number(style.opacity) }, { left, top, right: left + width, bottom: top + height }, style);
  }

  /** The text of a form's field, which is no node. */
  function addField(own, element, box, style) {
    const isText = element instanceof HTMLTextAreaElement || (element instanceof HTMLInputElement && ['text', 'search', 'number'].includes(element.type));
    const isChoice = element instanceof HTMLSelectElement;
    if (!isText && !isChoice) return;
    const text = isChoice ? (element.selectedOptions[0]?.text ?? '') : element.value || element.placeholder;
    const colour = isText && element.value === '' ? getComputedStyle(element, '::placeholder').color : style.color;
    const [ascent, descent, width] = measure(style, text);
    const pad = (side) => Number.parseFloat(style[`padding${side}`]) + Number.parseFloat(style[`border${side}Width`]);
    const line = element instanceof HTMLTextAreaElement ? Number.parseFloat(style.lineHeight) : box.bottom - box.top - pad('Top') - pad('Bottom');
    const [left, top] = [box.left + pad('Left'), box.top + pad('Top') + (line - ascent - descent) / 2];
    add(own, { kind: 'text', box: { left, top, right: left + width, bottom: top + ascent + descent }, baseline: top + ascent, text, font: fontOf(style), colour: colourOf(colour) });
  }

  function addText(own, node, style) {
    if (style.visibility !== 'visible' || node.data.trim() === '') return;
    const [ascent, descent] = measure(style, 'x');
    for (const line of linesOf(node, style)) {
      const shown = shorten(line, node.parentElement, style);
      const baseline = (line.top + line.bottom - ascent - descent) / 2 + ascent;
      const underline = style.textDecorationLine.includes('underline');
      add(own, { kind: 'text', box: shown, baseline, text: shown.text, font: fontOf(style), colour: colourOf(style.color), underline });
    }
  }

  /** The lines of a text, with the place of their visible characters. */
  function linesOf(node, style) {
    const lines = [];
    const range = document.createRange();
    let at = 0;
    for (const character of node.data) {
      range.setStart(node, at);
      at += character.length;
      range.setEnd(node, at);
      const rect = [...range.getClientRects()].at(-1);
      if (rect === undefined) continue;
      let line = lines.at(-1);
      if (line === undefined || Math.abs(line.top - rect.top) > 3) lines.push((line = { left: Infinity, right: -Infinity, top: rect.top, bottom: rect.bottom, text: '', ends: [] }));
      line.text += style.textTransform === 'uppercase' ? character.toUpperCase() : character.replace(/\s/, ' ');
      line.ends.push(rect.right);
      if (character.trim() === '') continue;
      line.left = Math.min(line.left, rect.left);
      line.right = Math.max(line.right, rect.right);
    }
    return lines.filter(({ text }) => text.trim() !== '').map((line) => ({ ...line, text: line.text.trim() }));
  }

  /** A line that ends in dots where its block is too narrow. */
  function shorten(line, parent, style) {
    let block = parent;
    while (block !== null && getComputedStyle(block).display.startsWith('inline')) block = block.parentElement;
    if (block === null || getComputedStyle(block).textOverflow !== 'ellipsis') return line;
    const limit = block.getBoundingClientRect().right - Number.parseFloat(getComputedStyle(block).paddingRight);
    if (line.right <= limit + 1) return line;
    const [, , dots] = measure(style, '…');
    const kept = line.ends.filter((end) => end <= limit - dots).length;
    return { ...line, text: `${[...line.text].slice(0, kept).join('').trimEnd()}…`, right: (line.ends[kept - 1] ?? line.left) + dots };
  }

  function shapesOf(svg) {
    return [...svg.querySelectorAll('path, circle, rect')].map((shape) => {
      const style = getComputedStyle(shape);
      const geometry = ['d', 'cx', 'cy', 'r', 'x', 'y', 'width', 'height', 'rx'].flatMap((name) => (shape.hasAttribute(name) ? [[name, shape.getAttribute(name)]] : []));
      return { name: shape.localName, geometry, fill: colourOf(style.fill), stroke: colourOf(style.stroke), width: Number.parseFloat(style.strokeWidth) };
    });
  }

  /** The part of `clip` within an element's borders. A round corner stays round where both have it. */
  function cut(clip, box, style) {
    const border = (side) => Number.parseFloat(style[`border${side}Width`]);
    const left = Math.max(clip.left, box.left + border('Left'));
    const top = Math.max(clip.top, box.top + border('Top'));
    const right = Math.min(clip.right, box.right - border('Right'));
    const bottom = Math.min(clip.bottom, box.bottom - border('Bottom'));
    const inner = cornersOf(style, box).map((radius) => Math.max(0, radius - border('Top')));
    const isSame = [left === clip.left && top === clip.top, right === clip.right && top === clip.top, right === clip.right && bottom === clip.bottom, left === clip.left && bottom === clip.bottom];
    return { left, top, right, bottom, corners: inner.map((radius, corner) => (isSame[corner] ? Math.max(radius, clip.corners[corner]) : radius)) };
  }

  function shadowsOf(value) {
    if (value === 'none') return [];
    return value.split(/,(?![^(]*\))/).map((shadow) => {
      const [x, y, blur, spread] = [...shadow.replace(/[a-z-]+\([^)]*\)/, '').matchAll(/-?[\d.]+px/g)].map(([length]) => Number.parseFloat(length));
      return { colour: colourOf(/[a-z-]+\([^)]*\)/.exec(shadow)?.[0] ?? 'transparent'), x, y, blur, spread, inset: shadow.includes('inset') };
    });
  }

  function cornersOf(style, { left, top, right, bottom }) {
    const most = Math.min(right - left, bottom - top) / 2;
    return ['TopLeft', 'TopRight', 'BottomRight', 'BottomLeft'].map((corner) => {
      const value = style[`border${corner}Radius`];
      return Math.min(most, value.endsWith('%') ? (Number.parseFloat(value) / 100) * (right - left) : Number.parseFloat(value));
    });
  }

  function measure(style, text) {
    probe.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const { fontBoundingBoxAscent, fontBoundingBoxDescent, width } = probe.measureText(text);
    return [fontBoundingBoxAscent, fontBoundingBoxDescent, width];
  }

  function fontOf(style) {
    return { size: Number.parseFloat(style.fontSize), weight: Number(style.fontWeight), mono: style.fontFamily.includes('mono') };
  }

  /** A pixel of the colour, whatever its notation is. */
  function colourOf(value) {
    if (value === 'none') return { hex: '#000000', alpha: 0 };
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = value;
    probe.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = probe.getImageData(0, 0, 1, 1).data;
    return { hex: `#${[red, green, blue].map((part) => part.toString(16).padStart(2, '0')).join('')}`, alpha: alpha / 255 };
  }

  function boxOf({ left, top, right, bottom }) {
    return { left, top, right, bottom };
  }
}
