import type { Position, Subscription } from '@wirehub/client';
import type { App } from '../app';
import { avatar } from '../avatar';
import { describe } from '../client';
import { make, setText } from '../dom';
import type { Cursor, Drawing, Person } from '../generated/contract';
import type { Mounted, Panel } from '../panel';
import { counted, namedList } from '../words';
import { Board } from './board';
import './cursors.css';
import { Pen } from './pen';
import { arrow, Pointers } from './pointers';
import { Sketch } from './sketch';
import { Strokes } from './strokes';
import { tools } from './tools';

/** The board for an address without one. */
const MAIN = 'main';
/** The newest changes of the drawing that are read on arrival: as many as the server keeps. */
const HISTORY = 5_000;

export const panel: Panel = { id: 'cursors', title: 'Cursors', mount: (root, app) => new Cursors(root, app) };

/** A board that several people use: everybody's pointer as it moves, and drawings that stay. */
class Cursors implements Mounted {
  readonly #app: App;
  readonly #board = new Board();
  readonly #pointers = new Pointers(this.#board);
  readonly #strokes = new Strokes();
  readonly #sketch: Sketch;
  readonly #pen: Pen;
  /** Shown while the keys move the pointer: a mouse has its own. */
  readonly #own = arrow('var(--text)');
  readonly #people = make('p', { class: 'cursor-people' });
  readonly #rate = make('p', { class: 'hint numbers cursor-rate' });
  readonly #empty = make('div', { class: 'board-empty' }, make('h2', {}, 'An empty board'), make('p', {}, 'Draw something: everybody here sees it while you draw. In a second window you see your own pointer as others do.'));
  #name = '';
  #cursors: Subscription<Cursor, Person> | undefined;
  #drawings: Subscription<Drawing, Person> | undefined;
  #position: Position | undefined;
  #shown = false;
  #frame = 0;
  #sent = { messages: 0, points: 0 };
  #countedAt = 0;

  constructor(root: HTMLElement, app: App) {
    this.#app = app;
    this.#sketch = new Sketch(
      (piece, key) => app.client.publish(`drawings:${this.#name}`, piece, { key, timeout: Infinity }),
      (error) => app.notice(`A stroke was not accepted: ${describe(error)}`),
    );
    this.#pen = new Pen(this.#board, {
      moved: (points, drawing) => this.#moved(points, drawing),
      began: (x, y) => this.#sketch.begin(x, y),
      ended: () => this.#sketch.end(),
      left: () => this.#move({ name: app.me.name, points: [], drawing: false }),
    });
    this.#board.onrenewed = () => this.#draw();
    this.#board.element.append(this.#empty, this.#own.element);
    setText(this.#own.name, 'You');
    this.#own.element.classList.add('is-own');
    const help = make('p', { id: 'board-help', class: 'hint' }, 'Draw by mouse, finger or pen.', make('span', { class: 'for-keys' }, ' Keys: arrows move the pointer (with Shift in small steps), Space begins and ends a line.'));
    const head = make('header', { class: 'panel-head' }, make('div', {}, make('h1', {}, 'Shared board'), this.#people), tools(this.#sketch, () => this.#undo(), () => this.#clear()));
    root.append(make('div', { class: 'cursors' }, head, make('div', { class: 'board-frame' }, this.#board.element), make('div', { class: 'cursor-foot' }, help, this.#rate)));
    app.eachLife(() => {
      if (this.#shown) this.#join();
    });
  }

  show(place: string): void {
    const name = /^[a-z0-9_-]{1,64}$/.test(place) ? place : MAIN;
    if (name !== this.#name) this.#open(name);
    this.#shown = true;
    if (this.#cursors === undefined) this.#join();
    this.#frame ||= requestAnimationFrame((now) => this.#animate(now));
  }

  hide(): void {
    this.#shown = false;
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#leave();
  }

  focus(): void {
    this.#board.element.focus();
  }

  #open(name: string): void {
    this.#leave();
    this.#name = name;
    this.#position = undefined;
    this.#strokes.clear();
    this.#sketch.clear();
    this.#draw();
  }

  /** Enters the board. After a close this continues with the drawing where the client was. */
  #join(): void {
    const { client } = this.#app;
    this.#pointers.clear();
    const cursors = client.subscribe(`cursors:${this.#name}`);
    this.#cursors = cursors;
    cursors.addEventListener('publication', ({ publication }) => {
      if (publication.publisher?.session !== client.session) this.#pointers.take(publication);
    });
    cursors.addEventListener('leave', ({ member }) => this.#pointers.removeUser(member.user || member.session));
    cursors.members.addEventListener('change', () => this.#showPeople(cursors));
    const start = this.#position === undefined ? { history: HISTORY } : { since: this.#position };
    const drawings = client.subscribe(`drawings:${this.#name}`, start);
    this.#drawings = drawings;
    drawings.addEventListener('publication', ({ publication: { data, offset, epoch, publisher } }) => {
      if (offset !== undefined && epoch !== undefined) this.#position = { offset, epoch };
      this.#apply(data, publisher?.session === client.session);
    });
  }

  #leave(): void {
    if (this.#cursors === undefined) return;
    this.#pen.flush();
    this.#move({ name: this.#app.me.name, points: [], drawing: false });
    void this.#cursors.unsubscribe();
    void this.#drawings?.unsubscribe();
    this.#cursors = this.#drawings = undefined;
    this.#pointers.clear();
  }

  #apply(message: Drawing, isOwn: boolean): void {
    const longer = this.#strokes.apply(message);
    if (message.kind === 'clear') {
      this.#sketch.clear();
      if (!isOwn) this.#app.announce('The board was cleared.');
    }
    if (longer !== undefined && message.kind === 'stroke') this.#board.lengthen(longer, message.points.length / 2);
    else this.#board.draw(this.#strokes);
    this.#sketch.settle(this.#strokes);
    this.#showEmpty();
  }

  #draw(): void {
    this.#board.draw(this.#strokes);
    this.#showEmpty();
  }

  /** Once for each picture of the screen. */
  #animate(now: number): void {
    this.#frame = requestAnimationFrame((next) => this.#animate(next));
    this.#pen.flush();
    this.#pointers.draw(now);
    this.#board.drawOwn(this.#sketch.strokes);
    this.#showOwn();
    if (now - this.#countedAt < 1_000) return;
    const { messages, points } = this.#sent;
    setText(this.#rate, `Your pointer: ${counted(messages, 'message')}, ${counted(points, 'place')} in the last second`);
    this.#sent = { messages: 0, points: 0 };
    this.#countedAt = now;
  }

  #moved(points: Cursor['points'], drawing: boolean): void {
    if (drawing) this.#sketch.add(points);
    this.#sent.messages += 1;
    this.#sent.points += points.length;
    this.#move({ name: this.#app.me.name, points, drawing });
    this.#showEmpty();
  }

  /** Now or never: a place that comes too late is worth nothing. */
  #move(cursor: Cursor): void {
    this.#cursors?.publish(cursor, { volatile: true }).catch(() => undefined);
  }

  #undo(): void {
    const id = this.#sketch.ids.pop();
    if (id === undefined) return this.#app.announce('There is no stroke of yours to take back.');
    this.#change({ kind: 'erase', id });
  }

  #clear(): void {
    this.#change({ kind: 'clear' });
    this.#app.announce('You cleared the board.');
  }

  #change(change: Drawing): void {
    this.#app.client.publish(`drawings:${this.#name}`, change).catch((error: unknown) => this.#app.notice(`The board did not change: ${describe(error)}`));
  }

  #showOwn(): void {
    const { spot } = this.#pen;
    const { element } = this.#own;
    // The same value again would be a change for the browser's styles.
    if (element.hidden !== (spot === undefined)) element.hidden = spot === undefined;
    if (spot === undefined) return;
    element.classList.toggle('is-drawing', this.#pen.drawing);
    element.style.transform = `translate(${spot.x * this.#board.width}px, ${spot.y * this.#board.height}px)`;
  }

  #showEmpty(): void {
    this.#empty.hidden = this.#strokes.size > 0 || this.#sketch.strokes.length > 0;
  }

  #showPeople({ members }: Subscription<Cursor, Person>): void {
    const others = members.list.filter(({ user }) => user !== this.#app.me.user);
    const names = others.map(({ info }) => info?.name ?? 'Somebody');
    const chips = others.slice(0, 5).map(({ user, session, info }) => avatar(user || session, info?.name ?? '?', 'small'));
    this.#people.replaceChildren(...chips, make('span', {}, names.length === 0 ? 'Only you are here' : `Here with you: ${namedList(names)}`));
  }
}
