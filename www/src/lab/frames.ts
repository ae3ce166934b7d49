import { button, make, setText } from '../dom';
import { icon } from '../icons';
import { counted, sizeOf } from '../words';
import { decode, type Frame } from './decode';
import { tap, type Tapped } from './tap';

/** WebSocket messages that are kept, the newest ones. */
const KEPT = 1_000;
/** Rows in the list. */
const SHOWN = 200;
/** The summary of a frame is cut there, and the name of a channel in it. */
const SUMMARY = 140;
const NAME = 16;
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23' });

/** A frame in the list, with the WebSocket message around it. */
interface Entry {
  readonly frame: Frame;
  readonly message: Tapped;
  /** How many frames the message has. */
  readonly together: number;
  readonly summary: string;
}

/** Every frame of both directions, decoded. Messages are decoded when they are shown, not when they come. */
export class Frames {
  readonly element: HTMLElement;
  readonly #filter = make('input', { type: 'search', placeholder: 'Filter: publication, lab, demo.echo…', 'aria-label': 'Filter the frames' });
  readonly #direction = make('select', { 'aria-label': 'Direction' }, make('option', { value: '' }, 'Both directions'), make('option', { value: 'sent' }, 'Sent'), make('option', { value: 'received' }, 'Received'));
  readonly #pause: HTMLButtonElement;
  readonly #count = make('p', { class: 'hint numbers' });
  readonly #list = make('ol', { class: 'frames', tabindex: 0, 'aria-label': 'Frames, the newest first' });
  readonly #empty = make('div', { class: 'empty-state frames-empty' }, icon('lab'), make('h3', {}, 'Silence on the line'), make('p', {}, 'Send a round trip, or start the proof: every frame of both directions appears here.'));
  /** Not decoded yet. */
  #fresh: Tapped[] = [];
  /** The oldest first. */
  #entries: Entry[] = [];
  #paused = false;

  constructor() {
    this.#pause = button({}, () => this.#setPaused(!this.#paused));
    this.#filter.addEventListener('input', () => this.#render());
    this.#direction.addEventListener('change', () => this.#render());
    // An opened frame would go away under the reader's eyes. This event does not bubble.
    this.#list.addEventListener('toggle', ({ target }) => target instanceof HTMLDetailsElement && target.open && this.#setPaused(true), true);
    const clear = button({ class: 'quiet' }, () => {
      this.#entries = [];
      this.#render();
    }, 'Clear');
    this.element = make(
      'section',
      { class: 'card frames-card', 'aria-labelledby': 'frames-title' },
      make('div', { class: 'card-head' }, make('h2', { id: 'frames-title' }, 'Frames on the line'), this.#count),
      make('div', { class: 'lab-row frames-tools' }, this.#filter, this.#direction, this.#pause, clear),
      make('div', { class: 'frames-room' }, this.#empty, this.#list),
    );
    this.#setPaused(false);
  }

  listen(isListening: boolean): void {
    tap.listen(isListening ? (message) => this.#take(message) : undefined);
  }

  /** Shows the messages since the last time. */
  show(): void {
    if (this.#paused || this.#fresh.length === 0) return;
    for (const message of this.#fresh.splice(0)) {
      const frames = decode(message);
      for (const frame of frames) this.#entries.push({ frame, message, together: frames.length, summary: summarize(frame) });
    }
    this.#entries.splice(0, Math.max(0, this.#entries.length - KEPT));
    this.#render();
  }

  #take(message: Tapped): void {
    if (this.#paused) return;
    this.#fresh.push(message);
    if (this.#fresh.length > KEPT) this.#fresh.shift();
  }

  #setPaused(paused: boolean): void {
    this.#paused = paused;
    setText(this.#pause, paused ? 'Continue' : 'Pause');
  }

  #render(): void {
    const words = this.#filter.value.trim().toLowerCase();
    const direction = this.#direction.value;
    const fits = ({ frame, message, summary }: Entry): boolean =>
      (direction === '' || message.direction === direction) && (words === '' || `${frame.kind} ${summary}`.toLowerCase().includes(words));
    const found = this.#entries.filter(fits);
    this.#empty.hidden = this.#entries.length > 0;
    setText(this.#count, `${counted(found.length, 'frame')}${found.length > SHOWN ? `, the newest ${SHOWN} here` : ''}`);
    this.#list.replaceChildren(...found.slice(-SHOWN).reverse().map(row));
  }
}

function row({ frame, message, together, summary }: Entry): HTMLLIElement {
  const { direction, at, data } = message;
  const isSent = direction === 'sent';
  const time = make('time', {}, clock.format(performance.timeOrigin + at));
  const arrow = make('span', { class: 'arrow', role: 'img', 'aria-label': direction }, isSent ? '↑' : '↓');
  const kind = make('span', { class: 'kind' }, frame.kind);
  const size = make('span', { class: 'size' }, sizeOf(frame.size));
  const line = make('summary', {}, time, arrow, kind, make('span', { class: 'frame-text', title: summary }, shorten(summary)), size);
  const details = make('details', {}, line);
  details.addEventListener('toggle', () => {
    if (details.childElementCount > 1) return;
    const about = `${frame.id === undefined ? 'A push' : `Command ${frame.id}`}; ${together === 1 ? 'alone' : `one of ${together} frames`} in a WebSocket message of ${sizeOf(data.length)}, on connection ${message.connection}.`;
    details.append(make('p', { class: 'hint' }, about), make('pre', {}, toJson(frame.body, 2)));
  });
  return make('li', { 'data-direction': direction, 'data-kind': frame.kind }, details);
}

/** The channel or the name first, because people look for it. */
function summarize({ body }: Frame): string {
  const { channel, name, offset, ...rest } = body;
  const head = [channel, name, offset === undefined ? undefined : `#${String(offset)}`].filter((part) => part !== undefined).map(String);
  const content = 'data' in rest ? rest['data'] : rest;
  return [...head, isEmpty(content) ? '' : toJson(content)].join(' ').trim().slice(0, 2 * SUMMARY);
}

/** Leaves room for the content behind a long name. */
function shorten(summary: string): string {
  const [name = '', ...rest] = summary.split(' ');
  const isLong = name.length > NAME && !name.startsWith('{');
  return [isLong ? `${name.slice(0, NAME)}…` : name, ...rest].join(' ').slice(0, SUMMARY);
}

function isEmpty(content: unknown): boolean {
  return typeof content === 'object' && content !== null && Object.keys(content).length === 0;
}

function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part), indent);
}
