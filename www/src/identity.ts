import type { SessionRequest, SessionResponse } from './generated/contract';
import { Listeners } from './listeners';
import { parseName, type PersonName } from './names';

const STORAGE_KEY = 'wirehub-demo.me';

/** The values that this browser remembers. The key is a secret: the server derives the user from it. */
interface Remembered {
  readonly key: string;
  readonly name: PersonName;
}

/** The person at this page: one user of the server, in all tabs of the browser and after a reload. */
export class Identity {
  /** There is another name, or the user is known now. */
  readonly changes = new Listeners<void>();
  /** There is another name, for which the client needs another token. */
  readonly renames = new Listeners<void>();
  #remembered: Remembered;
  #user = '';

  constructor() {
    this.#remembered = recall() ?? { key: newKey(), name: newName() };
    remember(this.#remembered);
    window.addEventListener('storage', (event) => {
      const next = event.key === STORAGE_KEY ? recall() : undefined;
      if (next === undefined || next.name === this.name) return;
      this.#remembered = next;
      this.changes.notify();
      this.renames.notify();
    });
  }

  /** The user's id; empty before the first token. */
  get user(): string {
    return this.#user;
  }

  get name(): PersonName {
    return this.#remembered.name;
  }

  /** Takes another name, in every tab. */
  rename(name: PersonName): void {
    if (name === this.name) return;
    this.#remembered = { ...this.#remembered, name };
    remember(this.#remembered);
    this.changes.notify();
    this.renames.notify();
  }

  /** Fetches a token from the demo's server: the client's token provider. */
  readonly token = async ({ signal }: { readonly signal?: AbortSignal } = {}): Promise<string> => {
    const request: SessionRequest = { ...this.#remembered };
    const response = await fetch('/demo/session', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      ...(signal !== undefined && { signal }),
    });
    if (!response.ok) throw new Error(`the demo server refused to make a token: ${response.status} ${await response.text()}`);
    const { token, user }: SessionResponse = await response.json();
    if (user !== this.#user) {
      this.#user = user;
      this.changes.notify();
    }
    return token;
  };
}

function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const MANNERS = ['Brave', 'Bright', 'Calm', 'Clever', 'Curious', 'Gentle', 'Happy', 'Keen', 'Lucky', 'Merry', 'Nimble', 'Patient', 'Quick', 'Quiet', 'Sunny', 'Witty'];
const ANIMALS = ['Badger', 'Beaver', 'Crane', 'Falcon', 'Finch', 'Fox', 'Hare', 'Heron', 'Lynx', 'Magpie', 'Marten', 'Otter', 'Owl', 'Robin', 'Seal', 'Swift'];

function newName(): PersonName {
  return `${anyOf(MANNERS)} ${anyOf(ANIMALS)}` as PersonName;
}

function anyOf(words: readonly string[]): string {
  return words[Math.floor(Math.random() * words.length)] ?? 'Guest';
}

// A browser may deny storage to a page: then the person lasts as long as the page.

function recall(): Remembered | undefined {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? 'null');
    if (typeof stored !== 'object' || stored === null || !('key' in stored) || !('name' in stored)) return undefined;
    const { key, name } = stored;
    if (typeof key !== 'string' || !/^[0-9a-f]{32}$/.test(key) || typeof name !== 'string') return undefined;
    const parsed = parseName(name);
    return parsed.ok ? { key, name: parsed.value } : undefined;
  } catch {
    return undefined;
  }
}

function remember(me: Remembered): void {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(me));
  } catch {
    return;
  }
}
