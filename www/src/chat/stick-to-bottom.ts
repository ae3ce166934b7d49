/** Within this distance from the end, in CSS pixels, a reader counts as being at the end. */
const NEAR = 48;

/** Keeps a log at its end for a reader at the end, and leaves other readers at their place. */
export class StickToBottom {
  readonly #log: HTMLElement;
  readonly #button: HTMLButtonElement;
  #following = true;
  #unseen = 0;

  constructor(log: HTMLElement, button: HTMLButtonElement) {
    this.#log = log;
    this.#button = button;
    log.addEventListener('scroll', () => {
      this.#following = log.scrollHeight - log.scrollTop - log.clientHeight <= NEAR;
      if (this.#following) this.#forgetUnseen();
    });
    button.addEventListener('click', () => {
      this.toEnd();
      log.focus();
    });
    // The on-screen keyboard or a longer draft makes the log shorter: its end stays visible.
    new ResizeObserver(() => this.grew(0)).observe(log);
  }

  /** Call this after the log's content changed; `fresh` is the number of new messages. */
  grew(fresh: number): void {
    if (this.#following) {
      this.toEnd();
    } else if (fresh > 0) {
      this.#unseen += fresh;
      this.#button.textContent = this.#unseen === 1 ? '1 new message ↓' : `${this.#unseen} new messages ↓`;
      this.#button.hidden = false;
    }
  }

  toEnd(): void {
    this.#following = true;
    this.#forgetUnseen();
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #forgetUnseen(): void {
    this.#unseen = 0;
    this.#button.hidden = true;
  }
}
