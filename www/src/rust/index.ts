import type { App } from '../app';
import { make } from '../dom';
import type { Mounted, Panel } from '../panel';
import './rust.css';
import { TypeScriptRoom } from './typescript-room';

const FIRST_ROOM = 'lobby';

/** One room, twice: by the client in Rust, which is compiled into this page, and by the package in TypeScript. */
export const panel: Panel = {
  id: 'rust',
  title: 'Rust',
  mount: (root, app) => new RustPanel(root, app),
};

/** A room that can be left. */
interface OpenRoom {
  close(): void;
}

class RustPanel implements Mounted {
  readonly #app: App;
  readonly #rust = make('div', { class: 'rust-room' });
  readonly #typescript = make('div', { class: 'rust-room' });
  #room = '';
  /** Counts the rooms, so that a module that arrives late does not open a room that is left. */
  #visit = 0;
  #open: OpenRoom[] = [];

  constructor(root: HTMLElement, app: App) {
    this.#app = app;
    root.append(
      make(
        'div',
        { class: 'panel-body rust-panel' },
        make(
          'header',
          { class: 'panel-head' },
          make('div', {}, make('h1', {}, 'Rust in the page'), make('p', { class: 'hint' }, 'Two clients in one room. The first is a WebAssembly module: it has its own connection, decodes each message into the types of the server, and writes into this page. The second is the package in TypeScript.')),
        ),
        make(
          'div',
          { class: 'rust-columns' },
          make('section', { class: 'card' }, make('h2', {}, 'Rust'), this.#rust),
          make('section', { class: 'card' }, make('h2', {}, 'TypeScript'), this.#typescript),
        ),
      ),
    );
  }

  show(place: string): void {
    const room = place === '' ? FIRST_ROOM : place;
    if (room === this.#room && this.#open.length > 0) return;
    this.hide();
    this.#room = room;
    this.#open.push(new TypeScriptRoom(this.#typescript, this.#app, room));
    void this.#openRust(this.#visit, room);
  }

  hide(): void {
    this.#visit += 1;
    for (const room of this.#open) room.close();
    this.#open = [];
  }

  async #openRust(visit: number, room: string): Promise<void> {
    this.#rust.replaceChildren(make('p', { class: 'hint' }, 'Loading the module…'));
    try {
      const { default: load, RustRoom } = await import('../generated/rust-client/rust_client.js');
      await load();
      if (visit !== this.#visit) return;
      const { address, me } = this.#app;
      const opened = new RustRoom(this.#rust, address.hub.href, room, () => me.token());
      this.#open.push({
        close: () => {
          opened.close();
          opened.free();
        },
      });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#rust.replaceChildren(make('p', { class: 'field-error' }, `The module in Rust can’t be loaded: ${why}`));
    }
  }
}
