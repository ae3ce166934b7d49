import type { Publication } from '@wirehub/client';
import type { App } from '../app';
import { describe } from '../client';
import type { DirectMessage } from '../generated/contract';
import { Listeners } from '../listeners';
import type { Somebody } from '../people';
import { upload } from './images';
import { Log } from './log';
import { newId, type Draft } from './message';
import { Outbox } from './outbox';
import type { Talk } from './talk';

/** How many earlier private messages a page begins with, those of all people together. */
const HISTORY = 500;
/** How long a message waits for a connection, in ms. */
const TIMEOUT = 120_000;

/** The private messages with one person. */
export class PrivateTalk implements Talk {
  readonly address: string;
  readonly isPrivate = true;
  readonly log = new Log();
  readonly outbox: Outbox;
  readonly changes = new Listeners<void>();
  readonly typing: readonly Somebody[] = [];
  readonly user: string;
  seenUpTo: string | undefined;

  readonly #app: App;
  #unread: string[] = [];
  #reported: string | undefined;

  constructor(app: App, user: string) {
    this.#app = app;
    this.user = user;
    this.address = `@${user}`;
    this.outbox = new Outbox((id, draft, progress) => this.#deliver(id, draft, progress));
    app.links.add(() => this.changes.notify());
    app.people.changes.add(() => this.changes.notify());
  }

  get title(): string {
    return this.#app.people.nameOf(this.user);
  }

  get unread(): number {
    return this.#unread.length;
  }

  get members(): readonly Somebody[] {
    return [];
  }

  get note(): string {
    if (this.#app.link.kind === 'closed') return 'Not connected';
    if (this.#app.link.kind !== 'connected') return 'Waiting for the connection…';
    return this.#app.people.isOnline(this.user) ? 'Here now. Only you two see this' : 'Away. Your messages will wait';
  }

  read(): void {
    const newest = this.#unread.at(-1);
    if (newest === undefined) return;
    this.markRead(newest);
    if (newest === this.#reported) return;
    this.#reported = newest;
    // The other tabs of this person and the other person are notified by the server.
    this.#app.client.call('demo.read', { from: this.user, id: newest }, { timeout: TIMEOUT }).catch((error: unknown) => {
      this.#reported = undefined;
      console.warn('the server does not know that the messages were read', error);
    });
  }

  write(): void {
    // Private conversations don't show that somebody writes.
  }

  /** Everything up to that message was read, here or in another tab. */
  markRead(id: string): void {
    const at = this.#unread.indexOf(id);
    if (at === -1) return;
    this.#unread = this.#unread.slice(at + 1);
    this.changes.notify();
  }

  /** The other person has seen everything up to that message of this person. */
  markSeen(id: string): void {
    this.seenUpTo = id;
    this.changes.notify();
  }

  receive({ id, from, name, text, image }: Extract<DirectMessage, { kind: 'text' }>, time: Date): void {
    const own = from === this.#app.me.user;
    const isNew = this.log.add({ kind: 'message', id, user: from, name, own, time, text, image });
    if (own) this.outbox.arrived(id);
    else if (isNew) this.#unread.push(id);
    this.changes.notify();
  }

  async #deliver(id: string, { text, image }: Draft, progress: (part: number) => void): Promise<void> {
    const { client } = this.#app;
    // An image in a room with a name that nobody can guess is private.
    const reference = image && (await upload(client, newId(), image, id, progress));
    await client.call('demo.send', { id, to: this.user, text, ...(reference && { image: reference }) }, { timeout: TIMEOUT });
  }
}

/**
 * The private messages of this person: one channel with those from and to everybody, which only this person may read. A
 * conversation begins with its first message, or when it is opened.
 */
export class Inbox {
  /** There is another conversation, or one of them changed. */
  readonly changes = new Listeners<void>();
  readonly #app: App;
  readonly #talks = new Map<string, PrivateTalk>();
  #newest: { readonly epoch: string; readonly offset: number } | undefined;
  #channel = '';

  constructor(app: App) {
    this.#app = app;
    app.eachLife((signal) => {
      // The channel has the name of the user, which the first token decides.
      const open = (): void => {
        const { user } = app.me;
        if (user === '' || this.#channel === user || signal.aborted) return;
        this.#channel = user;
        const subscription = app.client.subscribe(`@${user}`, this.#newest === undefined ? { history: HISTORY } : { since: this.#newest });
        subscription.addEventListener('publication', ({ publication }) => this.#receive(publication), { signal });
        subscription.addEventListener('gap', () => this.#reportGap(), { signal });
        subscription.ready.catch((error: unknown) => app.notice(`Private messages can’t be received: ${describe(error)}`));
      };
      this.#channel = '';
      app.me.changes.add(open, signal);
      open();
    });
  }

  get talks(): readonly PrivateTalk[] {
    return [...this.#talks.values()];
  }

  /** The conversation with that person. */
  with(user: string): PrivateTalk {
    const known = this.#talks.get(user);
    if (known !== undefined) return known;
    const talk = new PrivateTalk(this.#app, user);
    talk.changes.add(() => this.changes.notify());
    this.#talks.set(user, talk);
    this.changes.notify();
    return talk;
  }

  #receive({ data, time, offset, epoch }: Publication<DirectMessage>): void {
    switch (data.kind) {
      case 'text':
        this.#app.people.learn(data.from, data.name);
        this.with(data.from === this.#app.me.user ? data.to : data.from).receive(data, time);
        break;
      case 'read':
        this.with(data.from).markRead(data.id);
        break;
      case 'seen':
        this.with(data.by).markSeen(data.id);
        break;
    }
    if (offset !== undefined && epoch !== undefined) this.#newest = { offset, epoch };
  }

  #reportGap(): void {
    for (const talk of this.#talks.values()) talk.log.add({ kind: 'remark', about: 'gap', text: 'Messages may be missing here: the server does not keep them any more.' });
  }
}
