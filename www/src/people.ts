import type { Members } from '@wirehub/client';
import type { App } from './app';
import type { Person } from './generated/contract';
import { Listeners } from './listeners';

/** A person as the page shows one. */
export interface Somebody {
  readonly user: string;
  readonly name: string;
}

/** The number of people whose names are remembered. */
const MAX_NAMES = 2_000;

/** The people with an open page, by their joins and leaves; and the last known names, also of those who are gone. */
export class People {
  readonly changes = new Listeners<void>();
  readonly #names = new Map<string, string>();
  #members: Members<Person> | undefined;
  #me = '';

  /** Follows the channel of everybody. */
  follow({ client, eachLife, me }: Pick<App, 'client' | 'eachLife' | 'me'>): void {
    me.changes.add(() => {
      this.#me = me.user;
      this.learn(me.user, me.name);
    });
    eachLife((signal) => {
      const subscription = client.subscribe('people:online');
      const members = (this.#members = subscription.members);
      subscription.addEventListener('publication', ({ publication: { data } }) => this.learn(data.user, data.name), { signal });
      members.addEventListener('change', () => this.#changed(members), { signal });
    });
  }

  /** Everybody with an open page but the person at this one, by name. */
  get others(): readonly Somebody[] {
    const others = [...(this.#members ?? [])].filter(({ user }) => user !== '' && user !== this.#me);
    return others.map(({ user }) => ({ user, name: this.nameOf(user) })).sort((a, b) => a.name.localeCompare(b.name));
  }

  isOnline(user: string): boolean {
    return this.#members?.list.some((member) => member.user === user) ?? false;
  }

  /** The last known name. */
  nameOf(user: string): string {
    return this.#names.get(user) ?? 'Somebody';
  }

  /** A message has the writer's name at its time, which may be newer than that in the list of members. */
  learn(user: string, name: string): void {
    if (user === '' || this.#names.get(user) === name) return;
    // The newest are at the end.
    this.#names.delete(user);
    this.#names.set(user, name);
    const [oldest] = this.#names.keys();
    if (this.#names.size > MAX_NAMES && oldest !== undefined) this.#names.delete(oldest);
    this.changes.notify();
  }

  /** The members of a channel have the name with which their session began: it counts only if there is no other. */
  meet(members: Members<Person>): void {
    for (const { user, info } of members) {
      if (info !== undefined && !this.#names.has(user)) this.learn(user, info.name);
    }
  }

  #changed(members: Members<Person>): void {
    this.meet(members);
    this.changes.notify();
  }
}
