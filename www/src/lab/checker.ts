/** The count of one sender's numbered messages. */
export interface Tally {
  /** Different numbers that came. */
  readonly received: number;
  /** Numbers below the highest that have not come. */
  readonly missing: number;
  /** Messages whose number had come before. */
  readonly doubled: number;
  /** Messages that came behind one with a higher number. */
  readonly outOfOrder: number;
  readonly highest: number;
}

/**
 * Counts numbered messages by their own content. It knows nothing of the client, of positions or of reconnects, and
 * so it believes nobody.
 */
export class Checker {
  readonly #senders = new Map<string, Count>();

  /** A message arrived. Its type is only a promise of its sender; a message without a number counts as unreadable. */
  take(message: unknown): void {
    if (typeof message !== 'object' || message === null || !('sender' in message) || !('number' in message)) return this.#unreadable();
    const { sender, number } = message;
    if (typeof sender !== 'string' || typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1) return this.#unreadable();
    let count = this.#senders.get(sender);
    if (count === undefined) this.#senders.set(sender, (count = new Count()));
    count.take(number);
  }

  /** Messages without a sender and a number. */
  unreadable = 0;

  /** The number of different messages. */
  get received(): number {
    return [...this.#senders.values()].reduce((sum, { received }) => sum + received, 0);
  }

  tally(sender: string): Tally {
    return this.#senders.get(sender) ?? new Count();
  }

  /** Whether every message so far came once and in order. */
  get isClean(): boolean {
    return this.unreadable === 0 && [...this.#senders.values()].every(({ missing, doubled, outOfOrder }) => missing + doubled + outOfOrder === 0);
  }

  #unreadable(): void {
    this.unreadable += 1;
  }
}

class Count implements Tally {
  received = 0;
  doubled = 0;
  outOfOrder = 0;
  highest = 0;
  readonly #seen = new Set<number>();

  get missing(): number {
    return this.highest - this.received;
  }

  take(number: number): void {
    if (this.#seen.has(number)) {
      this.doubled += 1;
      return;
    }
    this.#seen.add(number);
    this.received += 1;
    if (number < this.highest) this.outOfOrder += 1;
    this.highest = Math.max(this.highest, number);
  }
}
