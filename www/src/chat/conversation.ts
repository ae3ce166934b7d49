import type { Publication } from '@wirehub/client';
import { find } from '../dom';
import type { ChatMessage } from '../generated/contract';
import { describe, type Hub, type Link } from '../hub';
import { Listeners } from '../listeners';
import type { RoomName, Text } from '../names';
import type { Nickname } from '../nickname';
import { accept, refuse, type Parsed } from '../parsed';
import { Composer } from './composer';
import { parseIncoming } from './incoming';
import { Membership } from './membership';
import { MessageList } from './message-list';
import { Outbox } from './outbox';
import { OutboxList } from './outbox-list';
import { RoomNote } from './room-note';
import { StickToBottom } from './stick-to-bottom';

/** The open room: its messages, and the box to write one. */
export class Conversation {
  /** The server has accepted the subscription to the room. */
  readonly joins = new Listeners<RoomName>();
  /** A message came from another person although the count shows only this one. */
  readonly miscounts = new Listeners<void>();

  readonly #hub: Hub;
  readonly #nickname: Nickname;
  readonly #title = find('room-title', HTMLElement);
  readonly #note = new RoomNote(find('room-note', HTMLElement));
  readonly #leave = find('leave', HTMLButtonElement);
  readonly #empty = find('empty', HTMLElement);
  readonly #emptyText = find('empty-text', HTMLElement);
  readonly #messages = new MessageList();
  readonly #outbox: Outbox;
  readonly #unsent: OutboxList;
  readonly #scroll = new StickToBottom(find('log', HTMLElement), find('new-messages', HTMLButtonElement));
  readonly #composer = new Composer((room, text) => this.#send(room, text));
  #room: RoomName | undefined;
  #membership: Membership | undefined;

  constructor(hub: Hub, nickname: Nickname, onLeave: () => void) {
    this.#hub = hub;
    this.#nickname = nickname;
    this.#outbox = new Outbox(hub);
    this.#unsent = new OutboxList(this.#outbox, hub);
    this.#outbox.changes.add((room) => {
      if (room === this.#room) this.#showUnsent();
    });
    this.#leave.addEventListener('click', onLeave);
    hub.links.add((link) => this.#showLink(link));
    hub.renewals.add(() => this.#join());
  }

  get room(): RoomName | undefined {
    return this.#room;
  }

  /** Leaves the open room and opens another; `undefined` for none. */
  open(room: RoomName | undefined): void {
    this.#membership?.leave();
    this.#room = room;
    this.#title.textContent = room ?? 'No room';
    this.#leave.hidden = room === undefined;
    this.#messages.clear();
    this.#composer.open(room);
    this.#join();
    this.#showUnsent();
    this.#scroll.toEnd();
  }

  /** Shows the number of people in the room. */
  showPeople(people: number): void {
    this.#note.show({ people });
  }

  focus(): void {
    this.#composer.focus();
  }

  #join(): void {
    this.#membership = undefined;
    this.#note.show({ room: this.#room, joined: false, people: undefined, refusal: undefined });
    this.#emptyText.textContent =
      this.#room === undefined
        ? 'Choose a room from the list, or open one of your own.'
        : 'No messages since you came in. Your messages reach everyone in the room at once.';
    const room = this.#room;
    if (room === undefined) return;
    try {
      this.#membership = new Membership(this.#hub, room, {
        joined: () => {
          this.#note.show({ joined: true, refusal: undefined });
          this.joins.notify(room);
        },
        refused: (why) => this.#note.show({ refusal: why }),
        published: (publication) => this.#receive(room, publication),
      });
    } catch (error) {
      this.#note.show({ refusal: describe(error) });
    }
  }

  #receive(room: RoomName, publication: Publication<ChatMessage>): void {
    const message = parseIncoming(publication);
    const own = this.#hub.owns(publication.publisher?.session);
    if (message === undefined) this.#messages.addRemark('A message arrived that is not a chat message.');
    else this.#messages.add(message, own);
    if (!own && this.#note.saysAlone) this.miscounts.notify();
    if (own && message !== undefined) this.#outbox.arrived(room, message.nick, message.text);
    this.#showEmpty();
    this.#scroll.grew(own ? 0 : 1);
  }

  #send(room: RoomName, text: Text): Parsed<void> {
    if (!this.#outbox.send(room, { nick: this.#nickname.value, text })) {
      return refuse('Too many messages wait to be sent. Wait until some have gone out, or discard some.');
    }
    this.#scroll.toEnd();
    return accept(undefined);
  }

  #showLink(link: Link): void {
    this.#composer.showLink(link.kind);
    // The server has forgotten the place of a lost connection in the room; the new connection enters again.
    this.#note.show(link.kind === 'connected' ? { link: link.kind } : { link: link.kind, joined: false, people: undefined });
    this.#showUnsent();
  }

  #showUnsent(): void {
    this.#unsent.show(this.#room);
    this.#showEmpty();
    this.#scroll.grew(0);
  }

  #showEmpty(): void {
    this.#empty.hidden = !(this.#messages.isEmpty && this.#unsent.isEmpty);
  }
}
