import type { App } from '../app';
import { find } from '../dom';
import type { Mounted, Panel } from '../panel';
import { ImageStore } from './images';
import type { Room } from './room';
import type { Talk } from './talk';
import { Composer } from './view/composer';
import { Head } from './view/head';
import { Lightbox } from './view/lightbox';
import { LogView } from './view/log-view';
import { Side } from './view/side';
import { skeleton } from './view/skeleton';
// In the order of the cascade.
import './styles/panel.css';
import './styles/lists.css';
import './styles/talk.css';
import './styles/images.css';
import './styles/marks.css';
import './styles/composer.css';

/**
 * Rooms and private messages. The conversations themselves are in `talks.ts`, because messages arrive also while another
 * panel is shown; here is the view of the one that is open.
 */
export const panel: Panel = {
  id: 'chat',
  title: 'Chat',
  mount: (root, app) => new Chat(root, app),
};

class Chat implements Mounted {
  readonly #root: HTMLElement;
  readonly #app: App;
  readonly #side: Side;
  readonly #head: Head;
  readonly #log: LogView;
  readonly #composer: Composer;
  #talk: Talk | undefined;
  #isShown = false;
  #closing = new AbortController();

  constructor(root: HTMLElement, app: App) {
    this.#root = root;
    this.#app = app;
    root.append(...skeleton());
    const images = new ImageStore(app.client);
    const lightbox = new Lightbox(root);
    this.#side = new Side(app);
    this.#head = new Head(app);
    this.#composer = new Composer(app, () => this.#log.toEnd());
    this.#log = new LogView(app, {
      load: (image) => images.load(image),
      openImage: (image, url) => lightbox.show(image, url),
      reply: (message) => this.#composer.reply(message),
      seen: () => this.#read(),
    });
    find('leave', HTMLButtonElement).addEventListener('click', () => this.#leave());
    document.addEventListener('visibilitychange', () => this.#read());
    this.#acceptDrops(find('log', HTMLElement).parentElement ?? root);
  }

  show(place: string): void {
    this.#isShown = true;
    this.#root.dataset['view'] = place === '' ? 'list' : 'talk';
    // On a wide screen there is room for the list and a conversation.
    const address = place === '' ? (this.#talk ?? this.#app.talks.rooms[0])?.address : place;
    const talk = address === undefined ? undefined : this.#app.talks.open(address);
    if (talk !== undefined && 'why' in talk) {
      this.#app.notice(`The address names no conversation. ${talk.why}`);
      this.#open(undefined);
    } else this.#open(talk);
    // Also on the way back from another panel, which has set a title of its own.
    if (this.#talk !== undefined) document.title = `${this.#talk.title} · Wirehub`;
    this.#read();
  }

  hide(): void {
    this.#isShown = false;
    this.#talk?.write(false);
  }

  focus(): void {
    this.#composer.focus();
  }

  #open(talk: Talk | undefined): void {
    if (talk !== undefined && talk === this.#talk) return;
    this.#closing.abort();
    this.#closing = new AbortController();
    const isFirst = this.#talk === undefined;
    this.#talk = talk;
    this.#log.open(talk);
    this.#composer.open(talk);
    this.#side.show(talk);
    this.#head.show(talk);
    if (talk !== undefined) {
      talk.changes.add(() => {
        this.#head.show(talk);
        this.#log.showSeen();
      }, this.#closing.signal);
      // Not when the page opens, and not on a touch screen, where the keyboard would cover half of the messages.
      if (!isFirst && !matchMedia('(pointer: coarse)').matches) this.focus();
    }
  }

  /** Nothing is unread if the newest message is in view. */
  #read(): void {
    const isVisible = this.#isShown && !document.hidden && find('log', HTMLElement).checkVisibility();
    if (isVisible && this.#log.isAtEnd) this.#talk?.read();
  }

  #leave(): void {
    const talk = this.#talk;
    if (talk === undefined || talk.isPrivate) return;
    const room: Room | undefined = this.#app.talks.rooms.find(({ address }) => address === talk.address);
    this.#open(undefined);
    if (room !== undefined) this.#app.talks.leave(room.address);
    this.#app.go('chat');
  }

  #acceptDrops(place: HTMLElement): void {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
    this.#root.addEventListener('dragover', (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      place.classList.add('dropping');
    });
    this.#root.addEventListener('dragleave', (event) => {
      if (event.relatedTarget === null || !this.#root.contains(event.relatedTarget as Node)) place.classList.remove('dropping');
    });
    this.#root.addEventListener('drop', (event) => {
      place.classList.remove('dropping');
      if (!hasFiles(event)) return;
      event.preventDefault();
      void this.#composer.add([...(event.dataTransfer?.files ?? [])]);
    });
  }
}
