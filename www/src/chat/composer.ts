import { find, showFieldError } from '../dom';
import type { Link } from '../hub';
import { lengthOf, MAX_TEXT, parseText, type RoomName, type Text } from '../names';
import type { Parsed } from '../parsed';

/** The number of remaining characters from which on it is shown. */
const COUNT_FROM = 200;
/** On a touch screen the hint about keys would be useless. */
const touch = matchMedia('(hover: none) and (pointer: coarse)');

/** Takes the text, or returns the reason against it; then the text stays in the box. */
export type Send = (room: RoomName, text: Text) => Parsed<void>;

/** The message box. Each room has its own draft. */
export class Composer {
  readonly #field = find('message', HTMLTextAreaElement);
  readonly #button = find('send', HTMLButtonElement);
  readonly #error = find('message-error', HTMLElement);
  readonly #hint = find('composer-hint', HTMLElement);
  readonly #drafts = new Map<RoomName, string>();
  readonly #send: Send;
  #room: RoomName | undefined;
  #link: Link['kind'] = 'connecting';

  constructor(send: Send) {
    this.#send = send;
    find('composer', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener('keydown', (event) => {
      // Shift+Enter is a new line, and an input method uses Enter for itself.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener('input', () => {
      showFieldError(this.#field, this.#error, undefined);
      this.#showHint();
    });
  }

  focus(): void {
    this.#field.focus();
  }

  /** Writes for that room from now on; `undefined` for none. */
  open(room: RoomName | undefined): void {
    if (room === this.#room) return;
    if (this.#room !== undefined) this.#keepDraft(this.#room);
    this.#room = room;
    this.#field.value = room === undefined ? '' : (this.#drafts.get(room) ?? '');
    this.#field.placeholder = room === undefined ? 'Choose a room first' : 'Write a message';
    this.#field.disabled = this.#button.disabled = room === undefined;
    showFieldError(this.#field, this.#error, undefined);
    this.#showHint();
  }

  showLink(link: Link['kind']): void {
    this.#link = link;
    this.#showHint();
  }

  #submit(): void {
    if (this.#room === undefined) return;
    const text = parseText(this.#field.value);
    const taken = text.ok ? this.#send(this.#room, text.value) : text;
    showFieldError(this.#field, this.#error, taken.ok ? undefined : taken.why);
    if (taken.ok) this.#field.value = '';
    this.#showHint();
    this.#field.focus();
  }

  #keepDraft(room: RoomName): void {
    if (this.#field.value === '') this.#drafts.delete(room);
    else this.#drafts.set(room, this.#field.value);
  }

  #showHint(): void {
    const left = MAX_TEXT - lengthOf(this.#field.value.trim());
    if (this.#room === undefined) this.#hint.textContent = '';
    else if (left < COUNT_FROM) this.#hint.textContent = left < 0 ? `${-left} characters too many` : `${left} characters left`;
    else if (this.#link === 'reconnecting') this.#hint.textContent = 'No connection: messages go out when it is back.';
    else this.#hint.textContent = touch.matches ? '' : 'Enter sends, Shift+Enter begins a new line';
  }
}
