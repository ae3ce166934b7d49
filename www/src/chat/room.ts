import type { Publication, Subscription } from '@wirehub/client';
import type { App } from '../app';
import { describe } from '../client';
import type { Person, RoomMessage } from '../generated/contract';
import { Listeners } from '../listeners';
import type { RoomName } from '../names';
import type { Somebody } from '../people';
import { counted, namedList } from '../words';
import { upload } from './images';
import { Log } from './log';
import type { Draft, Message } from './message';
import { Outbox } from './outbox';
import { SeenMark, type SeenPlace } from './seen-mark';
import type { Talk } from './talk';
import { TypingIn } from './typing';

/** How many earlier messages a room begins with. */
const HISTORY = 100;
/** How long a message waits for a connection, in ms: long enough for a train in a tunnel. */
const TIMEOUT = 120_000;

/** A chat room from entering it until leaving it: its messages, its people, and the messages on their way. */
export class Room implements Talk {
  readonly address: RoomName;
  readonly isPrivate = false;
  readonly log = new Log();
  readonly outbox = new Outbox((id, draft, progress) => this.#deliver(id, draft, progress));
  readonly changes = new Listeners<void>();
  readonly seenUpTo = undefined;

  readonly #app: App;
  readonly #typing: TypingIn;
  readonly #end = new AbortController();
  #subscription: Subscription<RoomMessage, Person> | undefined;
  #refusal: string | undefined;
  readonly #seen: SeenMark;
  #newest: SeenPlace | undefined;
  /** The offsets of the others' messages behind the mark. */
  #unread: readonly number[] = [];
  #membersBefore: ReadonlyMap<string, string> | undefined;

  constructor(app: App, name: RoomName) {
    this.#app = app;
    this.address = name;
    this.#seen = new SeenMark(name, this.#end.signal, (place) => this.#forget(place));
    this.#typing = new TypingIn(app, name, this.#end.signal, () => this.changes.notify());
    app.links.add(() => this.changes.notify(), this.#end.signal);
    app.people.changes.add(() => this.changes.notify(), this.#end.signal);
    app.eachLife(() => {
      if (!this.#end.signal.aborted) this.#enter();
    });
  }

  get title(): string {
    return this.address;
  }

  get unread(): number {
    return this.#unread.length;
  }

  get members(): readonly Somebody[] {
    const people = [...(this.#subscription?.members ?? [])].map(({ user, session }) => ({ user: user || session, name: this.#app.people.nameOf(user) }));
    return people.sort((a, b) => a.name.localeCompare(b.name));
  }

  get typing(): readonly Somebody[] {
    return this.#typing.people;
  }

  get note(): string {
    const { kind } = this.#app.link;
    const people = this.members.length;
    if (kind === 'closed') return 'Not connected';
    if (this.#refusal !== undefined) return `Not in the room: ${this.#refusal}`;
    if (kind !== 'connected') return 'Waiting for the connection…';
    if (this.#subscription?.state !== 'subscribed' || people === 0) return 'Joining…';
    return people === 1 ? 'Only you are here' : `${counted(people, 'person', 'people')} here`;
  }

  read(): void {
    if (this.#newest === undefined) return;
    this.#seen.move(this.#newest);
    this.#forget(this.#newest);
  }

  write(isWriting: boolean): void {
    this.#typing.write(isWriting);
  }

  react({ id }: Message, emoji: string, on: boolean): void {
    const { user, name } = this.#app.me;
    this.log.react(id, emoji, { user, name }, on);
    this.#app.client.publish(`room:${this.address}`, { kind: 'reaction', to: id, name, emoji, on }, { timeout: TIMEOUT }).catch((error: unknown) => {
      this.log.react(id, emoji, { user, name }, !on);
      this.#app.notice(`Your reaction was not sent: ${describe(error)}`);
    });
  }

  /** Leaves the room; no more of its messages arrive. */
  leave(): void {
    this.#end.abort();
    void this.#subscription?.unsubscribe();
  }

  #enter(): void {
    const { signal } = this.#end;
    this.#refusal = undefined;
    if (this.#seen.place === undefined) void this.#beginSeen();
    // After a close it continues where it was.
    const start = this.#newest === undefined ? { history: HISTORY } : { since: this.#newest };
    const subscription = (this.#subscription = this.#app.client.subscribe(`room:${this.address}`, start));
    subscription.addEventListener('publication', ({ publication }) => this.#receive(publication), { signal });
    subscription.addEventListener('subscribed', () => this.changes.notify(), { signal });
    subscription.addEventListener('gap', ({ reason }) => this.#reportGap(reason === 'dropped' ? 'this page was too slow' : 'the server does not keep them any more'), { signal });
    subscription.addEventListener('error', () => this.log.add({ kind: 'remark', about: 'error', text: 'A message arrived that this page can’t read.' }), { signal });
    subscription.addEventListener('unsubscribed', ({ code, reason }) => {
      // Without a code the page itself left.
      if (code !== undefined && this.#app.link.kind !== 'closed') this.#refusal = reason;
      this.changes.notify();
    }, { signal });
    subscription.members.addEventListener('change', () => {
      this.#app.people.meet(subscription.members);
      this.#reportPeople();
    }, { signal });
    this.changes.notify();
  }

  #receive({ data, time, publisher, offset, epoch }: Publication<RoomMessage>): void {
    const user = publisher?.user ?? '';
    if ('name' in data) this.#app.people.learn(user, data.name);
    if (data.kind === 'text' || data.kind === 'image') {
      const { id, name, text } = data;
      const own = user !== '' && user === this.#app.me.user;
      const isNew = this.log.add({
        kind: 'message',
        id,
        user,
        name,
        own,
        time,
        text,
        image: data.kind === 'image' ? data.image : undefined,
        reply: data.kind === 'text' ? data.reply : undefined,
      });
      if (own) this.outbox.arrived(id);
      else if (isNew && offset !== undefined && this.#isUnseen(offset, epoch)) this.#unread = [...this.#unread, offset];
      this.#typing.ended(user);
    } else if (data.kind === 'reaction') {
      this.log.react(data.to, data.emoji, { user, name: data.name }, data.on);
    }
    if (offset !== undefined && epoch !== undefined) this.#newest = { offset, epoch };
    this.changes.notify();
  }

  #isUnseen(offset: number, epoch: string | undefined): boolean {
    const { place } = this.#seen;
    return place !== undefined && (epoch !== place.epoch || offset > place.offset);
  }

  /** On the first visit everything earlier is old. */
  async #beginSeen(): Promise<void> {
    // Without an answer nothing is unread until the room is seen.
    const page = await this.#app.client.history(`room:${this.address}`, { limit: 0, timeout: TIMEOUT }).catch(() => undefined);
    if (page !== undefined && this.#seen.place === undefined) this.#seen.move(page.position);
  }

  /** Everything up to that place was seen, here or in another tab. */
  #forget({ epoch, offset }: SeenPlace): void {
    if (this.#unread.length === 0 || epoch !== this.#newest?.epoch) return;
    this.#unread = this.#unread.filter((each) => each > offset);
    this.changes.notify();
  }

  #reportGap(why: string): void {
    this.log.add({ kind: 'remark', about: 'gap', text: `Messages are missing here: ${why}.` });
    // Own ones that the server has taken are known, although they don't come back.
    const { user, name } = this.#app.me;
    for (const { id, draft, state } of this.outbox.entries) {
      if (state !== 'sent') continue;
      this.log.add({ kind: 'message', id, user, name, own: true, time: new Date(), text: draft.text });
      this.outbox.arrived(id);
    }
  }

  /** Shows in the log the people who came and went, but not those who were there before. */
  #reportPeople(): void {
    const now = new Map(this.members.map(({ user, name }) => [user, name]));
    const before = this.#membersBefore;
    this.#membersBefore = now;
    if (before !== undefined && this.#app.link.kind === 'connected') {
      const came = [...now].filter(([user]) => !before.has(user) && user !== this.#app.me.user).map(([, name]) => name);
      const went = [...before].filter(([user]) => !now.has(user) && user !== this.#app.me.user).map(([, name]) => name);
      if (came.length > 0) this.log.add({ kind: 'remark', about: 'presence', text: `${namedList(came)} came in` });
      if (went.length > 0) this.log.add({ kind: 'remark', about: 'presence', text: `${namedList(went)} left` });
    }
    this.changes.notify();
  }

  async #deliver(id: string, { text, image, reply }: Draft, progress: (part: number) => void): Promise<void> {
    const { client, me } = this.#app;
    const said = { id, name: me.name, text };
    const message: RoomMessage =
      image === undefined ? { kind: 'text', ...said, ...(reply !== undefined && { reply }) } : { kind: 'image', ...said, image: await upload(client, this.address, image, id, progress) };
    // The id is the key too: a message that is repeated after a lost answer is published once.
    await client.publish(`room:${this.address}`, message, { key: id, timeout: TIMEOUT });
  }
}
