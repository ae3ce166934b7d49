import { find, make } from '../dom';
import { bubble } from './bubble';
import type { Incoming } from './incoming';

/** How many messages stay on the page; the oldest are removed first. */
const MAX_MESSAGES = 500;
/** Messages of one author within this time, in ms, share one name. */
const GROUP_WITHIN = 5 * 60_000;

/** The messages of the room, oldest first. */
export class MessageList {
  readonly #list = find('messages', HTMLOListElement);
  #last: Incoming | undefined;

  get isEmpty(): boolean {
    return this.#list.childElementCount === 0;
  }

  clear(): void {
    this.#list.replaceChildren();
    this.#last = undefined;
  }

  add(message: Incoming, own: boolean): void {
    const item = bubble({ own, nick: message.nick, text: message.text, time: message.time });
    if (this.#last !== undefined && continues(this.#last, message)) item.classList.add('continued');
    this.#last = message;
    this.#append(item);
  }

  /** A remark of the page between the messages. */
  addRemark(text: string): void {
    this.#last = undefined;
    this.#append(make('li', { class: 'remark', text }));
  }

  #append(item: HTMLLIElement): void {
    this.#list.append(item);
    if (this.#list.childElementCount <= MAX_MESSAGES) return;
    this.#list.firstElementChild?.remove();
    // The first message now shows its own head, because the one above it was removed.
    this.#list.firstElementChild?.classList.remove('continued');
  }
}

function continues(before: Incoming, message: Incoming): boolean {
  return (
    before.session === message.session &&
    before.nick === message.nick &&
    message.time.getTime() - before.time.getTime() < GROUP_WITHIN
  );
}
