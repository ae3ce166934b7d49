import { avatar } from '../../avatar';
import { button, make } from '../../dom';
import type { ImageReference } from '../../generated/contract';
import { icon } from '../../icons';
import { fullTimeOf, sizeOf, timeOf } from '../../words';
import type { Message } from '../message';
import type { Unsent } from '../outbox';
import { words } from './words';

/** The size of a thumbnail in CSS pixels. */
const THUMBNAIL = 320;

/** The parts of a message's item that change later. */
export interface Bubble {
  readonly item: HTMLLIElement;
  /** Reactions, or the state of a message that is not sent. */
  readonly foot: HTMLElement;
}

interface Content {
  readonly user: string;
  readonly name: string;
  readonly own: boolean;
  readonly text: string;
  /** Absent for a message that is not sent. */
  readonly time?: Date;
  readonly quote?: { readonly name: string; readonly text: string } | undefined;
  readonly image?: Node | undefined;
}

/** One message as a list item: the sender, the time, the text, an image. */
export function bubble({ user, name, own, text, time, quote, image }: Content): Bubble {
  // <bdi>: a name in a right-to-left script doesn't reorder the line around it.
  const head = make('p', { class: 'message-head' }, make('bdi', { class: 'nick' }, own ? 'You' : name));
  if (time !== undefined) head.append(' ', make('time', { datetime: time.toISOString(), title: fullTimeOf(time) }, timeOf(time)));
  const body = make('div', { class: image === undefined ? 'said' : 'said with-image' });
  if (quote !== undefined) body.append(make('p', { class: 'quote', dir: 'auto' }, make('bdi', {}, quote.name), ' ', quote.text));
  if (image !== undefined) body.append(image);
  if (text !== '') body.append(make('p', { class: 'text', dir: 'auto' }, ...words(text)));
  const foot = make('div', { class: 'message-foot' });
  const item = make('li', { class: own ? 'message own' : 'message', tabindex: -1 }, avatar(user, name), make('div', { class: 'message-body' }, head, body, foot));
  return { item, foot };
}

/** A thumbnail of an image on the server: it is loaded when it comes into view. `open` shows it in full. */
export function thumbnail(image: ImageReference, load: (image: ImageReference) => Promise<string>, open: (image: ImageReference, url: string) => void): HTMLElement {
  const shot = button({ class: 'shot', 'aria-label': `Show the image ${image.file} in full` }, () => {
    if (picture.src !== '') open(image, picture.src);
  });
  const picture = make('img', { alt: image.file, width: image.width, height: image.height, hidden: true });
  fit(shot, image.width, image.height);
  shot.append(make('span', { class: 'shot-note' }, icon('picture'), sizeOf(image.bytes)), picture);
  new IntersectionObserver((entries, observer) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    load(image).then(
      (url) => {
        picture.src = url;
        picture.hidden = false;
        shot.classList.add('loaded');
      },
      (error: unknown) => shot.firstElementChild?.replaceChildren(icon('warning'), error instanceof Error ? error.message : 'not available'),
    );
  }).observe(shot);
  return shot;
}

/** A message that was written here and is not in the conversation yet. */
export function unsentBubble(entry: Unsent, me: Pick<Message, 'user' | 'name'>, isConnected: boolean, actions: { retry(): void; discard(): void }): HTMLLIElement {
  const { draft, state, failure, progress } = entry;
  const image = draft.image && make('div', { class: 'shot loaded' }, make('img', { src: draft.image.url, alt: draft.image.file, width: draft.image.width, height: draft.image.height }));
  if (draft.image && image) fit(image, draft.image.width, draft.image.height);
  const { item, foot } = bubble({ user: me.user, name: me.name, own: true, text: draft.text, image });
  item.classList.add(state === 'failed' ? 'failed' : 'pending');
  item.dataset['id'] = entry.id;
  if (state === 'failed') {
    const retry = button({ class: 'link' }, () => actions.retry(), 'Try again');
    const discard = button({ class: 'link' }, () => actions.discard(), 'Discard');
    foot.append(make('p', { class: 'delivery' }, make('span', {}, `Not sent: ${failure ?? ''}`), ' ', retry, ' ', discard));
  } else if (!isConnected) foot.append(make('p', { class: 'delivery' }, 'Waiting for the connection'));
  else if (progress !== undefined) {
    foot.append(make('p', { class: 'delivery upload' }, make('progress', { 'aria-label': `Sending ${draft.image?.file ?? 'the image'}`, max: 100 }), make('span', { class: 'numbers', 'aria-hidden': 'true' })));
    showProgress(item, progress);
  } else foot.append(make('p', { class: 'visually-hidden' }, 'Sending…'));
  return item;
}

/** Shows how much of the image in an unsent message is sent. Before the first part, and for a small image, that is unknown. */
export function showProgress(item: Element | null, progress: number): void {
  const bar = item?.querySelector('progress');
  if (bar === null || bar === undefined || progress === 0) return;
  const percent = Math.floor(progress * 100);
  bar.value = percent;
  bar.setAttribute('aria-valuetext', `${percent} percent`);
  bar.nextElementSibling?.replaceChildren(`${percent} %`);
}

/** Reserves the place of an image before it is there. */
function fit(element: HTMLElement, width: number, height: number): void {
  const scale = Math.min(1, THUMBNAIL / width, THUMBNAIL / height);
  element.style.setProperty('--width', `${Math.max(64, Math.round(width * scale))}px`);
  element.style.setProperty('--ratio', `${width} / ${height}`);
}
