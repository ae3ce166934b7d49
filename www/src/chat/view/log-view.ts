import type { App } from '../../app';
import { button, find, make } from '../../dom';
import type { ImageReference } from '../../generated/contract';
import { icon } from '../../icons';
import { dayOf, namedList } from '../../words';
import type { Entry, Message } from '../message';
import type { Talk } from '../talk';
import { bubble, showProgress, thumbnail, unsentBubble } from './bubble';
import { drawingOf, nameOf, REACTIONS } from './reactions';
import { StickToBottom } from './stick-to-bottom';

/** Messages of one person within this time, in ms, share one name. */
const GROUP_WITHIN = 5 * 60_000;

/** The panel around the messages. */
export interface LogHost {
  load(image: ImageReference): Promise<string>;
  openImage(image: ImageReference, url: string): void;
  reply(message: Message): void;
  /** The person has seen the newest message. */
  seen(): void;
}

/** The messages of the open conversation. */
export class LogView {
  readonly #app: App;
  readonly #host: LogHost;
  readonly #log = find('log', HTMLElement);
  readonly #messages = find('messages', HTMLOListElement);
  readonly #outbox = find('outbox', HTMLOListElement);
  readonly #empty = find('empty', HTMLElement);
  readonly #picker = find('picker', HTMLElement);
  readonly #scroll: StickToBottom;
  readonly #items = new Map<Entry, HTMLLIElement>();
  readonly #feet = new Map<string, HTMLElement>();
  #talk: Talk | undefined;
  #closing = new AbortController();
  #last: Entry | undefined;
  #day: string | undefined;
  #picked: Message | undefined;

  constructor(app: App, host: LogHost) {
    this.#app = app;
    this.#host = host;
    this.#scroll = new StickToBottom(this.#log, find('new-messages', HTMLButtonElement), () => host.seen());
    this.#log.addEventListener('keydown', (event) => this.#key(event));
    for (const { emoji, icon: drawing, name } of REACTIONS) {
      this.#picker.append(button({ class: 'quiet icon-button', 'aria-label': name, title: name }, () => this.#pick(emoji), icon(drawing)));
    }
    app.links.add(() => this.#showUnsent());
  }

  get isAtEnd(): boolean {
    return this.#scroll.isAtEnd;
  }

  /** Shows that conversation from now on. */
  open(talk: Talk | undefined): void {
    this.#closing.abort();
    this.#closing = new AbortController();
    this.#talk = talk;
    this.#items.clear();
    this.#feet.clear();
    this.#last = undefined;
    this.#day = undefined;
    this.#messages.replaceChildren();
    if (talk !== undefined) {
      const { signal } = this.#closing;
      const firstUnread = firstUnreadOf(talk);
      for (const entry of talk.log.entries) {
        if (entry === firstUnread) {
          this.#messages.append(make('li', { class: 'divider unread' }, 'New'));
          // Below a divider a message shows its writer again.
          this.#last = undefined;
        }
        this.#append(entry);
      }
      talk.log.added.add((entry) => this.#add(entry), signal);
      talk.log.removed.add((entry) => this.#remove(entry), signal);
      talk.log.changed.add((message) => this.#showFoot(message), signal);
      talk.outbox.changes.add(() => this.#showUnsent(), signal);
      talk.outbox.progressed.add(({ id, progress = 0 }) => showProgress(this.#outbox.querySelector(`[data-id="${id}"]`), progress), signal);
    }
    this.#showUnsent();
    this.showSeen();
    this.#scroll.toEnd();
  }

  /** Moves to the end, as after sending. */
  toEnd(): void {
    this.#scroll.toEnd();
  }

  /** Marks the newest own message that the other person has seen. */
  showSeen(): void {
    this.#messages.querySelector('.seen')?.remove();
    const id = this.#talk?.seenUpTo;
    const seen = id === undefined ? undefined : this.#talk?.log.find(id);
    if (seen === undefined) return;
    this.#feet.get(seen.id)?.append(make('p', { class: 'seen' }, icon('check'), 'Seen'));
  }

  #add(entry: Entry): void {
    this.#append(entry);
    const isNews = entry.kind === 'message' && !entry.own;
    this.#scroll.grew(isNews ? 1 : 0);
    // A reader above the end has not seen it; a reader in another window neither.
    if (this.#scroll.isAtEnd) this.#host.seen();
    this.#showEmpty();
  }

  #append(entry: Entry): void {
    const before = this.#last;
    this.#last = entry;
    if (entry.kind === 'remark') {
      this.#put(entry, make('li', { class: `remark ${entry.about}` }, entry.text));
      return;
    }
    const day = dayOf(entry.time);
    const isNewDay = day !== this.#day;
    if (isNewDay) this.#messages.append(make('li', { class: 'divider day' }, day));
    this.#day = day;
    const answered = entry.reply === undefined ? undefined : this.#talk?.log.find(entry.reply);
    const image = entry.image && thumbnail(entry.image, (one) => this.#host.load(one), (one, url) => this.#host.openImage(one, url));
    const { item, foot } = bubble({ ...entry, quote: answered, image });
    if (!isNewDay && before?.kind === 'message' && continues(before, entry)) item.classList.add('continued');
    item.querySelector('.said')?.append(this.#actions(entry));
    this.#feet.set(entry.id, foot);
    this.#put(entry, item);
    this.#showFoot(entry);
  }

  #put(entry: Entry, item: HTMLLIElement): void {
    this.#items.set(entry, item);
    this.#messages.append(item);
  }

  #remove(entry: Entry): void {
    this.#items.get(entry)?.remove();
    this.#items.delete(entry);
    if (entry.kind === 'message') this.#feet.delete(entry.id);
    // The first message shows its own name and day, because those above it are gone.
    let first = this.#messages.firstElementChild;
    while (first?.matches('.divider') === true && first.nextElementSibling?.matches('.divider') === true) {
      first.remove();
      first = this.#messages.firstElementChild;
    }
    first?.classList.remove('continued');
  }

  /** The buttons of a message. They are for the pointer: with the keyboard, Enter on the message opens the picker. */
  #actions(message: Message): HTMLElement {
    const talk = this.#talk;
    const actions = make('div', { class: 'actions' });
    if (talk?.react !== undefined) {
      const open = button({ class: 'quiet icon-button', 'aria-label': 'React', title: 'React', tabindex: -1 }, () => this.#openPicker(message, open), icon('smile'));
      const reply = button({ class: 'quiet icon-button', 'aria-label': 'Reply', title: 'Reply', tabindex: -1 }, () => this.#host.reply(message), icon('reply'));
      actions.append(open, reply);
    }
    return actions;
  }

  #showFoot(message: Message): void {
    const foot = this.#feet.get(message.id);
    const talk = this.#talk;
    if (foot === undefined || talk === undefined) return;
    const me = this.#app.me.user;
    const chips = talk.log.reactionsTo(message.id).map(({ emoji, people }) => {
      const isMine = people.has(me);
      const names = namedList([...people].map(([user, name]) => (user === me ? 'you' : name)));
      const label = `${nameOf(emoji)}, ${people.size}: ${names}`;
      return button({ class: 'reaction', 'aria-pressed': String(isMine), 'aria-label': label, title: label }, () => talk.react?.(message, emoji, !isMine), drawingOf(emoji), make('span', { class: 'numbers' }, String(people.size)));
    });
    const hadFocus = foot.contains(document.activeElement);
    foot.replaceChildren(...chips);
    if (hadFocus) (foot.querySelector('button') ?? this.#log).focus();
    if (talk.seenUpTo === message.id) this.showSeen();
  }

  #openPicker(message: Message, at: HTMLElement): void {
    this.#picked = message;
    const { left, top } = at.getBoundingClientRect();
    this.#picker.showPopover();
    const { width, height } = this.#picker.getBoundingClientRect();
    this.#picker.style.setProperty('--left', `${Math.max(8, Math.min(left - width / 2, window.innerWidth - width - 8))}px`);
    this.#picker.style.setProperty('--top', `${Math.max(8, top - height - 6)}px`);
    this.#picker.querySelector('button')?.focus();
  }

  #pick(emoji: string): void {
    const message = this.#picked;
    this.#picker.hidePopover();
    if (message === undefined) return;
    const isMine = this.#talk?.log.reactionsTo(message.id).some((reaction) => reaction.emoji === emoji && reaction.people.has(this.#app.me.user)) ?? false;
    this.#talk?.react?.(message, emoji, !isMine);
    this.#scroll.grew(0);
  }

  /** The arrow keys move through the messages; Enter reacts to one. */
  #key(event: KeyboardEvent): void {
    const item = event.target instanceof Element ? event.target.closest('li.message') : null;
    if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
      const items = [...this.#messages.querySelectorAll<HTMLElement>(':scope > .message')];
      const at = items.findIndex((each) => each === item);
      const next = at === -1 ? items.at(-1) : items[at + (event.key === 'ArrowUp' ? -1 : 1)];
      if (next === undefined) return;
      event.preventDefault();
      next.focus();
    } else if (event.key === 'Enter' && item instanceof HTMLElement && event.target === item) {
      const entry = [...this.#items].find(([, each]) => each === item)?.[0];
      if (entry?.kind !== 'message' || this.#talk?.react === undefined) return;
      // The key would press the button that gets the focus.
      event.preventDefault();
      this.#openPicker(entry, item);
    }
  }

  /** There are few of them, so the list is built anew. */
  #showUnsent(): void {
    const talk = this.#talk;
    const entries = talk?.outbox.entries ?? [];
    if (talk !== undefined && (entries.length > 0 || this.#outbox.childElementCount > 0)) {
      const isConnected = this.#app.link.kind === 'connected';
      this.#outbox.replaceChildren(...entries.map((entry) => unsentBubble(entry, this.#app.me, isConnected, { retry: () => talk.outbox.retry(entry), discard: () => talk.outbox.discard(entry) })));
    } else this.#outbox.replaceChildren();
    this.#showEmpty();
    this.#scroll.grew(0);
  }

  #showEmpty(): void {
    const talk = this.#talk;
    const isEmpty = talk === undefined || (talk.log.entries.every(({ kind }) => kind === 'remark') && talk.outbox.entries.length === 0);
    this.#empty.hidden = !isEmpty;
    if (!isEmpty) return;
    const [title, text] = emptyWords(talk);
    this.#empty.replaceChildren(icon(talk?.isPrivate === true ? 'lock' : 'chat'), make('h2', {}, title), make('p', {}, text), ...(talk?.isPrivate === false ? tour() : []));
  }
}

/** The other panels, for a person who is here for the first time, and perhaps alone. */
const TOUR = [
  { panel: 'charts', icon: 'charts', words: 'Watch this machine live' },
  { panel: 'alarms', icon: 'alarms', words: 'Raise an alarm' },
  { panel: 'lab', icon: 'lab', words: 'Cut the line, lose nothing' },
  { panel: 'cursors', icon: 'cursors', words: 'Draw together' },
] as const;

function tour(): HTMLElement[] {
  const links = TOUR.map(({ panel, icon: drawing, words }) => make('li', {}, make('a', { class: 'button', href: `#${panel}` }, icon(drawing), words)));
  return [make('p', { class: 'tour-title' }, 'Everything on this page is live: messages between this browser and a server in Rust. Try it:'), make('ul', { class: 'tour' }, ...links)];
}

function emptyWords(talk: Talk | undefined): readonly [string, string] {
  if (talk === undefined) return ['No conversation is open', 'Choose a room from the list, or open one of your own.'];
  if (talk.isPrivate) return [`Only you and ${talk.title}`, 'Write the first message. It waits on the server, also while the other is away.'];
  return ['It is quiet here', 'Say something, or drop a picture. Messages reach everyone in the room at once, and stay for those who come later.'];
}

function isMessage(entry: Entry): entry is Message {
  return entry.kind === 'message';
}

function continues(before: Message, message: Message): boolean {
  return before.user === message.user && before.name === message.name && message.time.getTime() - before.time.getTime() < GROUP_WITHIN;
}

/** The first message that was not seen, counted from the end. */
function firstUnreadOf(talk: Talk): Message | undefined {
  const others = talk.log.entries.filter(isMessage).filter(({ own }) => !own);
  return talk.unread === 0 ? undefined : others.at(-talk.unread);
}
