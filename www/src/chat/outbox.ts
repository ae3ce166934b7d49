import { describe } from '../client';
import { Listeners } from '../listeners';
import { newId, type Draft } from './message';

/** How many messages of a conversation may wait. */
const MAX_WAITING = 50;

/** A message that was written here and has not come back from its conversation yet. */
export interface Unsent {
  readonly id: string;
  readonly draft: Draft;
  readonly state: 'sending' | 'sent' | 'failed';
  /** The part of the image that is sent: 0 to 1. */
  readonly progress: number | undefined;
  /** The reason for which sending failed. */
  readonly failure: string | undefined;
}

/** Sends a message with this id; the id makes repeating it harmless. `progress` reports the sent part of its image. */
export type Deliver = (id: string, draft: Draft, progress: (part: number) => void) => Promise<void>;

/** The messages that are not sent yet. One leaves only when it has arrived or is discarded. */
export class Outbox {
  /** There is another message, or one of them has another state. */
  readonly changes = new Listeners<void>();
  /** More of an image is sent. */
  readonly progressed = new Listeners<Unsent>();
  readonly #deliver: Deliver;
  #entries: readonly Unsent[] = [];

  constructor(deliver: Deliver) {
    this.#deliver = deliver;
  }

  get entries(): readonly Unsent[] {
    return this.#entries;
  }

  /** Sends now or as soon as there is a connection. Returns false if too many messages are waiting. */
  send(draft: Draft): boolean {
    if (this.#entries.length >= MAX_WAITING) return false;
    const entry: Unsent = { id: newId(), draft, state: 'sending', progress: draft.image && 0, failure: undefined };
    this.#entries = [...this.#entries, entry];
    this.changes.notify();
    void this.#send(entry);
    return true;
  }

  retry({ id, draft }: Unsent): void {
    const entry = this.#change(id, { state: 'sending', progress: draft.image && 0, failure: undefined });
    if (entry !== undefined) void this.#send(entry);
  }

  discard({ id }: Unsent): void {
    this.#remove(id);
  }

  /** The message with this id is in the conversation. */
  arrived(id: string): void {
    this.#remove(id);
  }

  async #send({ id, draft }: Unsent): Promise<void> {
    try {
      await this.#deliver(id, draft, (progress) => {
        const entry = this.#replace(id, { progress });
        if (entry !== undefined) this.progressed.notify(entry);
      });
      // It is shown in its place as soon as it comes back.
      this.#change(id, { state: 'sent', progress: undefined });
    } catch (error) {
      this.#change(id, { state: 'failed', failure: describe(error) });
    }
  }

  #change(id: string, change: Partial<Unsent>): Unsent | undefined {
    const next = this.#replace(id, change);
    if (next !== undefined) this.changes.notify();
    return next;
  }

  #replace(id: string, change: Partial<Unsent>): Unsent | undefined {
    const before = this.#entries.find((entry) => entry.id === id);
    if (before === undefined) return undefined;
    const next = { ...before, ...change };
    this.#entries = this.#entries.map((entry) => (entry === before ? next : entry));
    return next;
  }

  #remove(id: string): void {
    const gone = this.#entries.find((entry) => entry.id === id);
    if (gone === undefined) return;
    this.#entries = this.#entries.filter((entry) => entry !== gone);
    if (gone.draft.image !== undefined) URL.revokeObjectURL(gone.draft.image.url);
    this.changes.notify();
  }
}
