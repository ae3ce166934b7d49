// Figures, with their last minutes as a line.

import { bytes, element, number, setText, svg } from './dom.js';

/** The number of samples in a line. */
const SAMPLES = 60;
const WIDTH = 120;
const HEIGHT = 32;

/** A figure with a line. */
export class Figure {
  node;
  #name;
  #value = element('strong');
  #line = svg('polyline');
  #area = svg('polygon');
  #title = svg('title');
  #samples = [];
  #words;

  /** `words` formats a value for people. */
  constructor(name, words = number) {
    this.#name = name;
    this.#words = words;
    const chart = svg(
      'svg',
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' },
      this.#title,
      this.#area,
      this.#line,
    );
    this.node = element('li', { class: 'card' }, element('span', { class: 'muted' }, name), this.#value, chart);
  }

  /** Adds a sample; `undefined` if the value is unknown. */
  add(value) {
    this.#samples.push(value);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    setText(this.#value, value === undefined ? '–' : this.#words(value));
    const known = this.#samples.filter((sample) => sample !== undefined);
    const highest = Math.max(0, ...known);
    setText(this.#title, `${this.#name}: the highest of the last samples is ${this.#words(highest)}`);
    const step = WIDTH / (SAMPLES - 1);
    const start = WIDTH - (known.length - 1) * step;
    const points = known.map((sample, index) => {
      const y = highest === 0 ? HEIGHT - 1 : HEIGHT - 1 - (sample / highest) * (HEIGHT - 4);
      return [start + index * step, y].map((place) => place.toFixed(1)).join(',');
    });
    this.#line.setAttribute('points', points.join(' '));
    this.#area.setAttribute('points', [`${start.toFixed(1)},${HEIGHT}`, ...points, `${WIDTH},${HEIGHT}`].join(' '));
  }
}

/** The figures of a server, from regular answers of `/stats`. Each may come from another node of several. */
export class Figures {
  #list;
  #before = new Map();
  #figures = {
    sessions: new Figure('Sessions'),
    channels: new Figure('Channels'),
    subscriptions: new Figure('Subscriptions'),
    connections: new Figure('New connections per second'),
    commands: new Figure('Commands per second'),
    publications: new Figure('Publications per second'),
    deliveries: new Figure('Deliveries per second'),
    received_bytes: new Figure('Received per second', bytes),
    sent_bytes: new Figure('Sent per second', bytes),
    errors: new Figure('Errors per second'),
  };

  constructor(list) {
    this.#list = list;
    list.replaceChildren(...Object.values(this.#figures).map((figure) => figure.node));
  }

  add(stats) {
    for (const name of ['sessions', 'channels', 'subscriptions']) this.#figures[name].add(stats[name]);
    for (const name of ['connections', 'commands', 'publications', 'deliveries', 'received_bytes', 'sent_bytes', 'errors']) {
      this.#figures[name].add(rate(stats, this.#before.get(stats.node), name));
    }
    this.#before.set(stats.node, stats);
    this.#list.dataset.samples = String(Number(this.#list.dataset.samples ?? 0) + 1);
  }
}

/** The rate per second between two answers; `undefined` without an earlier one, or after a restart of the server. */
export function rate(now, before, name) {
  if (before === undefined || now.time <= before.time || now[name] < before[name]) return undefined;
  return ((now[name] - before[name]) * 1000) / (now.time - before.time);
}
