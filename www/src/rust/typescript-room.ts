import type { App } from '../app';
import { newId } from '../chat/message';
import { make } from '../dom';
import type { RoomMessage } from '../generated/contract';

/** How many earlier messages the room begins with, and how many stay on the page. */
const HISTORY = 30;
const KEPT = 200;

/** The same room with the package: the counterpart of www/rust-client, as short as it gets. */
export class TypeScriptRoom {
  readonly #app: App;
  readonly #channel: `room:${string}`;
  readonly #state = make('p', { class: 'rust-state hint', role: 'status' });
  readonly #messages = make('ol', { class: 'rust-messages', tabindex: 0, 'aria-label': 'Messages, by the client in TypeScript' });
  readonly #note = make('p', { class: 'rust-note field-error' });
  readonly #received = make('dd', {}, '0');
  readonly #end = new AbortController();
  #count = 0;

  constructor(place: HTMLElement, app: App, room: string) {
    this.#app = app;
    this.#channel = `room:${room}`;
    const input = make('input', { 'aria-label': 'Message, by the client in TypeScript', placeholder: 'Say something from TypeScript', autocomplete: 'off', maxlength: 4000 });
    const form = make('form', { class: 'field-row' }, input, make('button', { class: 'primary' }, 'Send'));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = input.value;
      input.value = '';
      if (text.trim() !== '') void this.#say(text);
    });
    const figures = make('dl', { class: 'rust-figures numbers' }, make('div', {}, make('dt', {}, 'Messages received'), this.#received));
    place.replaceChildren(this.#state, this.#messages, this.#note, form, figures);
    this.#showState();
    app.client.addEventListener('statechange', () => this.#showState(), { signal: this.#end.signal });
    void this.#follow();
  }

  close(): void {
    this.#end.abort();
  }

  #showState(): void {
    this.#state.textContent = this.#app.client.state;
  }

  async #follow(): Promise<void> {
    const subscription = this.#app.client.subscribe(this.#channel, { history: HISTORY });
    this.#end.signal.addEventListener('abort', () => subscription.unsubscribe());
    try {
      for await (const { data, time } of subscription) {
        this.#count += 1;
        this.#received.textContent = String(this.#count);
        this.#show(data, time);
      }
    } catch (error) {
      this.#explain(error);
    }
  }

  async #say(text: string): Promise<void> {
    try {
      // The server puts the true name here.
      await this.#app.client.publish(this.#channel, { kind: 'text', id: newId(), name: '', text });
    } catch (error) {
      this.#explain(error);
    }
  }

  #show(message: RoomMessage, time: Date): void {
    const words = wordsOf(message);
    if (words === undefined) return;
    const { scrollHeight, scrollTop, clientHeight } = this.#messages;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 40;
    const clock = time.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
    this.#messages.append(make('li', {}, make('b', {}, words.name), make('span', {}, words.text), make('time', {}, clock)));
    while (this.#messages.childElementCount > KEPT) this.#messages.firstElementChild?.remove();
    if (isAtEnd) this.#messages.scrollTop = this.#messages.scrollHeight;
  }

  #explain(error: unknown): void {
    this.#note.textContent = error instanceof Error ? error.message : String(error);
  }
}

function wordsOf(message: RoomMessage): { readonly name: string; readonly text: string } | undefined {
  switch (message.kind) {
    case 'text':
      return message;
    case 'image':
      return { name: message.name, text: `shows ${message.image.file}` };
    case 'reaction':
      return message.on ? { name: message.name, text: `reacts: ${message.emoji}` } : undefined;
    case 'seen':
      return undefined;
  }
}
