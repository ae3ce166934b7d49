import type { App } from '../../app';
import { button, find, make, showFieldError } from '../../dom';
import { icon } from '../../icons';
import { lengthOf, MAX_TEXT, parseText } from '../../names';
import { counted, sizeOf } from '../../words';
import { prepare } from '../images';
import type { LocalImage, Message } from '../message';
import type { Talk } from '../talk';

/** The number of remaining characters from which on it is shown. */
const COUNT_FROM = 200;
/** How many images wait for the next message. */
const MAX_IMAGES = 6;
/** On a touch screen the hint about keys would be useless. */
const touch = matchMedia('(hover: none) and (pointer: coarse)');

/** The unfinished message of a conversation. */
interface Unfinished {
  text: string;
  images: readonly LocalImage[];
  reply: Message | undefined;
}

/** The message box, with images and the message that is answered. Each conversation has its own draft. */
export class Composer {
  readonly #app: App;
  readonly #sent: () => void;
  readonly #field = find('message', HTMLTextAreaElement);
  readonly #button = find('send', HTMLButtonElement);
  readonly #error = find('message-error', HTMLElement);
  readonly #hint = find('composer-hint', HTMLElement);
  readonly #tray = find('tray', HTMLElement);
  readonly #picker = find('file', HTMLInputElement);
  readonly #drafts = new Map<string, Unfinished>();
  #talk: Talk | undefined;
  #images: readonly LocalImage[] = [];
  #reply: Message | undefined;

  /** `sent` is called after each message. */
  constructor(app: App, sent: () => void) {
    this.#app = app;
    this.#sent = sent;
    find('composer', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.#reply !== undefined) this.reply(undefined);
      // Shift+Enter is a new line, and an input method uses Enter for itself.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener('input', () => {
      showFieldError(this.#field, this.#error, undefined);
      this.#showHint();
      this.#talk?.write(this.#field.value.trim() !== '');
    });
    this.#field.addEventListener('paste', (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0) return;
      event.preventDefault();
      void this.add(files);
    });
    find('attach', HTMLButtonElement).addEventListener('click', () => this.#picker.click());
    this.#picker.addEventListener('change', () => {
      void this.add([...(this.#picker.files ?? [])]);
      this.#picker.value = '';
    });
    app.links.add(() => this.#showHint());
    app.people.changes.add(() => this.#showPlaceholder());
  }

  focus(): void {
    this.#field.focus();
  }

  /** Writes for that conversation from now on; `undefined` for none. */
  open(talk: Talk | undefined): void {
    if (talk === this.#talk) return;
    this.#keepDraft();
    this.#talk?.write(false);
    this.#talk = talk;
    const draft = talk && this.#drafts.get(talk.address);
    this.#field.value = draft?.text ?? '';
    this.#images = draft?.images ?? [];
    this.#reply = draft?.reply;
    this.#showPlaceholder();
    for (const control of [this.#field, this.#button, find('attach', HTMLButtonElement)]) control.disabled = talk === undefined;
    showFieldError(this.#field, this.#error, undefined);
    this.#showTray();
    this.#showHint();
  }

  /** Answers that message with the next one. */
  reply(message: Message | undefined): void {
    this.#reply = message;
    this.#showTray();
    this.focus();
  }

  /** Adds images to the next message. */
  async add(files: readonly File[]): Promise<void> {
    const talk = this.#talk;
    if (talk === undefined) return;
    for (const file of files) {
      if (this.#images.length >= MAX_IMAGES) {
        this.#error.textContent = `At most ${counted(MAX_IMAGES, 'image')} go with one message: send these first.`;
        return;
      }
      const image = await prepare(file);
      // Another conversation may be open by now.
      if (talk !== this.#talk) return;
      if (image.ok) this.#images = [...this.#images, image.value];
      else this.#error.textContent = image.why;
      this.#showTray();
    }
    this.focus();
  }

  #submit(): void {
    const talk = this.#talk;
    if (talk === undefined) return;
    const [first, ...others] = this.#images;
    const isBare = first !== undefined && this.#field.value.trim() === '';
    const text = parseText(this.#field.value);
    if (!text.ok && !isBare) showFieldError(this.#field, this.#error, text.why);
    else {
      const words = text.ok ? text.value : '';
      const drafts = [{ text: words, image: first, reply: this.#reply?.id }, ...others.map((image) => ({ text: '', image }))];
      if (!drafts.every((draft) => talk.outbox.send(draft))) {
        showFieldError(this.#field, this.#error, 'Too many messages wait to be sent. Wait until some have gone out, or discard some.');
      } else {
        this.#field.value = '';
        this.#images = [];
        this.#reply = undefined;
        showFieldError(this.#field, this.#error, undefined);
        this.#showTray();
        talk.write(false);
        this.#sent();
      }
    }
    this.#showHint();
    this.#field.focus();
  }

  /** The name of a person may change. */
  #showPlaceholder(): void {
    const talk = this.#talk;
    this.#field.placeholder = talk === undefined ? 'Choose a conversation first' : `Write to ${talk.isPrivate ? talk.title : `#${talk.title}`}`;
  }

  #keepDraft(): void {
    if (this.#talk === undefined) return;
    if (this.#field.value === '' && this.#images.length === 0 && this.#reply === undefined) this.#drafts.delete(this.#talk.address);
    else this.#drafts.set(this.#talk.address, { text: this.#field.value, images: this.#images, reply: this.#reply });
  }

  /** Shows the images, and the message that is answered, above the box. */
  #showTray(): void {
    const items: Node[] = this.#images.map((image) => {
      const remove = button({ class: 'icon-button', 'aria-label': `Remove ${image.file}` }, () => {
        this.#images = this.#images.filter((one) => one !== image);
        URL.revokeObjectURL(image.url);
        this.#showTray();
        this.focus();
      }, icon('close'));
      return make('div', { class: 'tray-image' }, make('img', { src: image.url, alt: image.file, title: `${image.file}, ${sizeOf(image.bytes.length)}` }), remove);
    });
    if (this.#reply !== undefined) {
      const cancel = button({ class: 'quiet icon-button', 'aria-label': 'Do not reply' }, () => this.reply(undefined), icon('close'));
      items.unshift(make('div', { class: 'tray-reply' }, icon('reply'), make('p', {}, 'Replying to ', make('bdi', {}, this.#reply.own ? 'yourself' : this.#reply.name), ': ', this.#reply.text || 'an image'), cancel));
    }
    this.#tray.replaceChildren(...items);
    this.#tray.hidden = items.length === 0;
  }

  #showHint(): void {
    const left = MAX_TEXT - lengthOf(this.#field.value.trim());
    if (this.#talk === undefined) this.#hint.textContent = '';
    else if (left < 0) this.#hint.textContent = `${counted(-left, 'character')} too many`;
    else if (left < COUNT_FROM) this.#hint.textContent = `${counted(left, 'character')} left`;
    else if (this.#app.link.kind === 'reconnecting') this.#hint.textContent = 'No connection: messages go out when it is back.';
    else this.#hint.textContent = touch.matches ? '' : 'Enter sends, Shift+Enter begins a new line';
  }
}
