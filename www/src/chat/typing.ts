import type { App } from '../app';
import type { Somebody } from '../people';

/** While a person writes, that is repeated at this interval, in ms. */
const REPEAT = 3_000;
/** Without a repetition it ends after this time, in ms. */
const ENDS_AFTER = 5_000;
/** A person who has not pressed a key for this time, in ms, has stopped. */
const IDLE = 4_000;

/** The people who are writing in a room: messages that are worthless later, so they are volatile. */
export class TypingIn {
  readonly #app: App;
  readonly #channel: `typing:${string}`;
  readonly #changed: () => void;
  readonly #people = new Map<string, Somebody & { readonly timer: ReturnType<typeof setTimeout> }>();
  #saidAt = -Infinity;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(app: App, room: string, signal: AbortSignal, changed: () => void) {
    this.#app = app;
    this.#channel = `typing:${room}`;
    this.#changed = changed;
    app.eachLife(() => {
      if (signal.aborted) return;
      const subscription = app.client.subscribe(this.#channel, { signal });
      subscription.addEventListener('publication', ({ publication: { data, publisher } }) => {
        const user = publisher?.user ?? '';
        if (user === '' || user === app.me.user) return;
        if (data.typing) this.#begun({ user, name: data.name });
        else this.ended(user);
      });
    });
  }

  get people(): readonly Somebody[] {
    return [...this.#people.values()];
  }

  /** This person pressed a key, or has finished. */
  write(isWriting: boolean): void {
    clearTimeout(this.#idle);
    if (isWriting) this.#idle = setTimeout(() => this.write(false), IDLE);
    const now = performance.now();
    // The others know it already.
    if (isWriting ? now - this.#saidAt < REPEAT : this.#saidAt === -Infinity) return;
    this.#saidAt = isWriting ? now : -Infinity;
    void this.#app.client.publish(this.#channel, { name: this.#app.me.name, typing: isWriting }, { volatile: true }).catch(() => undefined);
  }

  /** That person has finished, or the message is there. */
  ended(user: string): void {
    const person = this.#people.get(user);
    if (person === undefined) return;
    clearTimeout(person.timer);
    this.#people.delete(user);
    this.#changed();
  }

  #begun({ user, name }: Somebody): void {
    clearTimeout(this.#people.get(user)?.timer);
    this.#people.set(user, { user, name, timer: setTimeout(() => this.ended(user), ENDS_AFTER) });
    this.#changed();
  }
}
