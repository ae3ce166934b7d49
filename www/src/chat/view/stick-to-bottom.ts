import { counted } from '../../words';

/** Within this distance from the end, in CSS pixels, a reader counts as being at the end. */
const NEAR = 48;

/** Keeps a log at its end for a reader at the end, and leaves other readers at their place. */
export class StickToBottom {
  readonly #log: HTMLElement;
  readonly #button: HTMLButtonElement;
  readonly #reached: () => void;
  #following = true;
  /** The scroll position, to notice a move towards the beginning. */
  #top = 0;
  #unseen = 0;

  /** `reached` is called when the reader comes to the end. */
  constructor(log: HTMLElement, button: HTMLButtonElement, reached: () => void) {
    this.#log = log;
    this.#button = button;
    this.#reached = reached;
    log.addEventListener('scroll', () => {
      const before = this.#following;
      const isNear = log.scrollHeight - log.scrollTop - log.clientHeight <= NEAR;
      // The end moves away by itself when the log becomes longer or narrower: a reader leaves it only by moving up.
      this.#following = isNear || (before && log.scrollTop >= this.#top);
      this.#top = log.scrollTop;
      if (!this.#following) return;
      this.#forgetUnseen();
      if (!before) this.#reached();
    });
    button.addEventListener('click', () => {
      this.toEnd();
      log.focus();
    });
    // The on-screen keyboard or a longer draft makes the log shorter, an image that is loaded makes it longer: its end stays
    // visible.
    const resized = new ResizeObserver(() => this.grew(0));
    resized.observe(log);
    for (const child of log.children) resized.observe(child);
  }

  /** Whether the reader is at the end. */
  get isAtEnd(): boolean {
    return this.#following;
  }

  /** Call this after the log's content changed; `fresh` is the number of new messages. */
  grew(fresh: number): void {
    if (this.#following) {
      this.toEnd();
    } else if (fresh > 0) {
      this.#unseen += fresh;
      this.#button.textContent = `${counted(this.#unseen, 'new message')} ↓`;
      this.#button.hidden = false;
    }
  }

  toEnd(): void {
    this.#following = true;
    this.#forgetUnseen();
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#top = this.#log.scrollTop;
    this.#reached();
  }

  #forgetUnseen(): void {
    this.#unseen = 0;
    this.#button.hidden = true;
  }
}
