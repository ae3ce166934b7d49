import { find, make, showFieldError } from '../dom';
import { LOBBY, parseRoom, type RoomName } from '../names';
import { hrefOf } from '../route';
import type { People } from './directory';

interface Row {
  readonly item: HTMLLIElement;
  readonly link: HTMLAnchorElement;
  readonly count: HTMLElement;
  readonly number: HTMLElement;
  /** Spells out the unit of the number for screen readers. */
  readonly unit: HTMLElement;
}

/** The list of rooms, and the field that opens a new one. */
export class RoomsPanel {
  readonly #list = find('room-list', HTMLUListElement);
  readonly #error = find('rooms-error', HTMLElement);
  readonly #rows = new Map<RoomName, Row>();
  #people: People = new Map();
  #current: RoomName | undefined;

  /** `choose` is called for every choice in the panel, including the room that is already open. */
  constructor(choose: (room: RoomName) => void) {
    const field = find('join-name', HTMLInputElement);
    const error = find('join-error', HTMLElement);
    find('join', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      const room = parseRoom(field.value);
      showFieldError(field, error, room.ok ? undefined : room.why);
      if (!room.ok) {
        field.focus();
        return;
      }
      field.value = '';
      choose(room.value);
    });
    field.addEventListener('input', () => showFieldError(field, error, undefined));
    this.#list.addEventListener('click', (event) => {
      // Anything but a plain click is left to the browser: a new tab, a new window.
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      const link = event.target instanceof Element ? event.target.closest('a') : null;
      const room = link === null ? undefined : parseRoom(link.dataset['room'] ?? '');
      if (room?.ok !== true) return;
      event.preventDefault();
      choose(room.value);
    });
  }

  showPeople(people: People): void {
    this.#people = people;
    this.#error.textContent = '';
    this.#render();
  }

  showFailure(why: string): void {
    this.#error.textContent = why;
  }

  showCurrent(room: RoomName | undefined): void {
    this.#current = room;
    this.#render();
  }

  /** Rows are kept from one list to the next, because one of them may have the focus. */
  #render(): void {
    const rooms = new Set<RoomName>([LOBBY, ...(this.#current === undefined ? [] : [this.#current]), ...this.#people.keys()]);
    for (const [room, row] of this.#rows) {
      if (rooms.has(room)) continue;
      row.item.remove();
      this.#rows.delete(room);
    }
    for (const room of rooms) this.#show(room, this.#rows.get(room) ?? this.#addRow(room));
  }

  #addRow(room: RoomName): Row {
    const number = make('span');
    const unit = make('span', { class: 'visually-hidden' });
    const count = make('span', { class: 'count' }, number, unit);
    const link = make('a', {}, make('span', { class: 'room-name', text: room }), document.createTextNode(' '), count);
    link.href = hrefOf(room);
    link.dataset['room'] = room;
    const row: Row = { item: make('li', {}, link), link, count, number, unit };
    this.#rows.set(room, row);
    this.#list.append(row.item);
    return row;
  }

  #show(room: RoomName, row: Row): void {
    const people = this.#people.get(room) ?? 0;
    row.number.textContent = String(people);
    row.unit.textContent = people === 1 ? ' person' : ' people';
    row.count.hidden = people === 0;
    if (room === this.#current) row.link.setAttribute('aria-current', 'page');
    else row.link.removeAttribute('aria-current');
  }
}
