import { make } from '../dom';

export interface BubbleContent {
  readonly own: boolean;
  readonly nick: string;
  readonly text: string;
  /** Replaces the time; a message that is not sent has none. */
  readonly time?: Date;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** One message as a list item: sender, time, text. */
export function bubble({ own, nick, text, time }: BubbleContent): HTMLLIElement {
  const avatar = make('span', { class: 'avatar', text: [...nick][0]?.toUpperCase() ?? '?' });
  avatar.setAttribute('aria-hidden', 'true');
  // <bdi>: a name in a right-to-left script doesn't reorder the line around it.
  const head = make('p', { class: 'message-head' }, make('bdi', { class: 'nick', text: own ? 'You' : nick }));
  if (time !== undefined) head.append(' ', timeElement(time));
  const words = make('p', { class: 'text', text });
  words.dir = 'auto';
  return make('li', { class: own ? 'message own' : 'message' }, avatar, make('div', { class: 'message-body' }, head, words));
}

function timeElement(time: Date): HTMLTimeElement {
  const today = new Date().toDateString() === time.toDateString();
  const element = make('time', { text: today ? clock.format(time) : `${day.format(time)}, ${clock.format(time)}` });
  element.dateTime = time.toISOString();
  element.title = full.format(time);
  return element;
}
