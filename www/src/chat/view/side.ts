import type { App } from '../../app';
import { avatar } from '../../avatar';
import { button, find, make, setText, showFieldError } from '../../dom';
import type { RoomInfo } from '../../generated/contract';
import { parseRoom } from '../../names';
import type { Talk } from '../talk';

/** Rooms of other people shown at most; the fullest come first. */
const MAX_OTHERS = 30;

interface Row {
  readonly item: HTMLLIElement;
  readonly link: HTMLAnchorElement;
  readonly mark: HTMLElement;
  readonly name: HTMLElement;
  readonly count: HTMLElement;
}

/** The list of conversations: rooms, and people. */
export class Side {
  readonly #app: App;
  readonly #rooms = find('room-list', HTMLUListElement);
  readonly #people = find('people-list', HTMLUListElement);
  readonly #alone = find('alone', HTMLElement);
  readonly #rows = new Map<string, Row>();
  #others: readonly RoomInfo[] = [];
  #current: Talk | undefined;
  #due = 0;

  constructor(app: App) {
    this.#app = app;
    this.#listen();
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
      app.go(`chat/${room.value}`);
    });
    field.addEventListener('input', () => showFieldError(field, error, undefined));
    this.#alone.append(
      button({}, () => {
        navigator.clipboard.writeText(location.href).then(
          () => app.notice('The address is copied. Open it in another browser, or in a private window.'),
          () => app.notice(`The address is ${location.href}`),
        );
      }, 'Copy the address'),
    );
    this.#show();
  }

  /** Marks the open conversation. */
  show(talk: Talk | undefined): void {
    this.#current = talk;
    this.#show();
  }

  #listen(): void {
    const later = (): void => {
      if (this.#due !== 0) return;
      this.#due = requestAnimationFrame(() => {
        this.#due = 0;
        this.#show();
      });
    };
    this.#app.talks.changes.add(later);
    this.#app.people.changes.add(later);
    this.#app.eachLife((signal) => {
      this.#app.client.subscribe('rooms:list', { history: 1 }).addEventListener('publication', ({ publication }) => {
        this.#others = publication.data.rooms;
        later();
      }, { signal });
    });
  }

  /** Rows are kept from one list to the next, because one of them may have the focus. */
  #show(): void {
    const shown = new Set<string>();
    const { talks, people } = this.#app;
    for (const room of talks.rooms) this.#showRow(this.#rooms, shown, room, room.members.length, true);
    const others = this.#others.filter(({ name }) => parseRoom(name).ok && !shown.has(name)).sort((a, b) => b.people - a.people || a.name.localeCompare(b.name));
    for (const { name, people: count } of others.slice(0, MAX_OTHERS)) {
      this.#showRow(this.#rooms, shown, { address: name, title: name, unread: 0 }, count, false);
    }

    const online = people.others;
    const withTalk = new Map(talks.inbox.talks.map((talk) => [talk.user, talk]));
    for (const { user, name } of online) {
      this.#showRow(this.#people, shown, withTalk.get(user) ?? { address: `@${user}`, title: name, unread: 0 }, 0, true);
      withTalk.delete(user);
    }
    for (const [user, talk] of withTalk) {
      this.#showRow(this.#people, shown, talk, 0, false);
      this.#rows.get(talk.address)?.item.classList.toggle('away', !people.isOnline(user));
    }
    this.#alone.hidden = online.length > 0;
    setText(find('people-title', HTMLElement), online.length === 0 ? 'People' : `People · ${online.length} online`);

    for (const [address, row] of this.#rows) {
      if (shown.has(address)) continue;
      row.item.remove();
      this.#rows.delete(address);
    }
  }

  #showRow(list: HTMLElement, shown: Set<string>, talk: Pick<Talk, 'address' | 'title' | 'unread'>, people: number, isIn: boolean): void {
    shown.add(talk.address);
    const row = this.#rows.get(talk.address) ?? this.#addRow(list, talk);
    if (row.name.textContent !== talk.title) {
      row.name.textContent = talk.title;
      // The picture of a person has the initial.
      row.mark.replaceChildren(...pictureOf(talk));
    }
    const { count, item, link } = row;
    item.classList.toggle('outside', !isIn);
    item.classList.remove('away');
    const isUnread = talk.unread > 0;
    count.hidden = !isUnread && people === 0;
    count.className = isUnread ? 'count' : 'count quiet';
    const number = isUnread ? talk.unread : people;
    count.replaceChildren(String(number), make('span', { class: 'visually-hidden' }, nounOf(number, isUnread)));
    link.classList.toggle('has-unread', isUnread);
    if (talk.address === this.#current?.address) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }

  #addRow(list: HTMLElement, { address, title }: Pick<Talk, 'address' | 'title'>): Row {
    const isPerson = address.startsWith('@');
    const name = make('bdi', { class: 'row-name' }, title);
    const count = make('span', { class: 'count', hidden: true });
    const mark = make('span', isPerson ? { class: 'with-dot' } : { class: 'hash', 'aria-hidden': 'true' }, ...pictureOf({ address, title }));
    const link = make('a', { href: `#chat/${address}`, ...(isPerson ? { 'data-user': address.slice(1) } : { 'data-room': address }) }, mark, name, ' ', count);
    const row: Row = { item: make('li', {}, link), link, mark, name, count };
    this.#rows.set(address, row);
    list.append(row.item);
    return row;
  }
}

/** The mark before the name: the picture of a person, or the sign of a room. */
function pictureOf({ address, title }: Pick<Talk, 'address' | 'title'>): readonly (Node | string)[] {
  return address.startsWith('@') ? [avatar(address.slice(1), title, 'small')] : ['#'];
}

function nounOf(count: number, isUnread: boolean): string {
  if (isUnread) return count === 1 ? ' unread message' : ' unread messages';
  return count === 1 ? ' person' : ' people';
}
