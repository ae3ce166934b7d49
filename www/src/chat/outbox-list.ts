import { find, make } from '../dom';
import type { Hub } from '../hub';
import type { RoomName } from '../names';
import { bubble } from './bubble';
import type { Outbox, Unsent } from './outbox';

/** The room's messages that are not sent yet, below the sent ones. */
export class OutboxList {
  readonly #list = find('outbox', HTMLOListElement);
  readonly #outbox: Outbox;
  readonly #hub: Hub;

  constructor(outbox: Outbox, hub: Hub) {
    this.#outbox = outbox;
    this.#hub = hub;
  }

  get isEmpty(): boolean {
    return this.#list.childElementCount === 0;
  }

  /** Shows the messages of that room. There are few, so the list is built anew. */
  show(room: RoomName | undefined): void {
    const entries = room === undefined ? [] : this.#outbox.of(room);
    if (entries.length === 0 && this.isEmpty) return;
    this.#list.replaceChildren(...entries.map((entry) => this.#item(entry)));
  }

  #item(entry: Unsent): HTMLLIElement {
    const item = bubble({ own: true, ...entry.message });
    if (entry.failure !== undefined) {
      item.classList.add('failed');
      item.lastElementChild?.append(this.#failureLine(entry, entry.failure));
    } else {
      item.classList.add('pending');
      item.lastElementChild?.append(
        this.#hub.link.kind === 'connected'
          ? make('p', { class: 'visually-hidden', text: 'Sending…' })
          : make('p', { class: 'delivery', text: 'Waiting for the connection' }),
      );
    }
    return item;
  }

  #failureLine(entry: Unsent, failure: string): HTMLElement {
    const retry = make('button', { class: 'link', text: 'Try again' });
    const discard = make('button', { class: 'link', text: 'Discard' });
    retry.type = discard.type = 'button';
    retry.addEventListener('click', () => this.#outbox.retry(entry));
    discard.addEventListener('click', () => this.#outbox.discard(entry));
    return make('p', { class: 'delivery' }, make('span', { text: `Not sent: ${failure}` }), document.createTextNode(' '), retry, document.createTextNode(' '), discard);
  }
}
