import type { App } from '../../app';
import { avatar } from '../../avatar';
import { find, make, setText } from '../../dom';
import { icon } from '../../icons';
import { namedList } from '../../words';
import type { Talk } from '../talk';

/** How many faces the head shows. */
const FACES = 5;

/** The head of the conversation: its title, its people, and the line about those who are writing. */
export class Head {
  readonly #app: App;
  readonly #title = find('room-title', HTMLElement);
  readonly #note = find('room-note', HTMLElement);
  readonly #leave = find('leave', HTMLButtonElement);
  readonly #faces = find('faces', HTMLElement);
  readonly #members = find('member-list', HTMLUListElement);
  readonly #membersPanel = find('members', HTMLElement);
  readonly #typing = find('typing', HTMLElement);
  #names = '';

  constructor(app: App) {
    this.#app = app;
  }

  show(talk: Talk | undefined): void {
    this.#title.replaceChildren(...(talk?.isPrivate === true ? [icon('lock')] : talk === undefined ? [] : [make('span', { class: 'hash', 'aria-hidden': 'true' }, '#')]), make('bdi', {}, talk?.title ?? 'No room'));
    setText(this.#note, talk?.note ?? 'You are in no room');
    this.#leave.hidden = talk === undefined || talk.isPrivate;
    this.#membersPanel.hidden = talk === undefined || talk.isPrivate;
    this.#showMembers(talk);
    this.#showTyping(talk);
  }

  #showMembers(talk: Talk | undefined): void {
    const members = talk?.members ?? [];
    const names = members.map(({ user, name }) => `${user} ${name}`).join('\n');
    // A person on the way to one of them must not lose it.
    if (names === this.#names) return;
    this.#names = names;
    this.#faces.replaceChildren(...members.slice(0, FACES).map(({ user, name }) => avatar(user, name, 'small')), ...(members.length > FACES ? [make('span', { class: 'more-faces numbers' }, `+${members.length - FACES}`)] : []));
    this.#members.replaceChildren(
      ...members.map(({ user, name }) => {
        const isMe = user === this.#app.me.user;
        const words = make('bdi', { class: 'row-name' }, name);
        const row = isMe ? make('span', { class: 'member' }, avatar(user, name, 'small'), words, make('span', { class: 'hint' }, 'you')) : make('a', { class: 'member', href: `#chat/@${user}`, title: `Write to ${name} privately` }, avatar(user, name, 'small'), words);
        return make('li', {}, row);
      }),
    );
  }

  #showTyping(talk: Talk | undefined): void {
    const names = (talk?.typing ?? []).map(({ name }) => name);
    const text = names.length === 0 ? '' : `${namedList(names)} ${names.length === 1 ? 'is' : 'are'} writing`;
    if (this.#typing.textContent === text) return;
    if (text === '') this.#typing.replaceChildren();
    else this.#typing.replaceChildren(make('span', { class: 'dots', 'aria-hidden': 'true' }, make('i'), make('i'), make('i')), text);
  }
}
