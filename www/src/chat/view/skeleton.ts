import { button, make } from '../../dom';
import { icon } from '../../icons';

/** The elements of the panel, which its parts find by their ids. */
export function skeleton(): Node[] {
  return [side(), conversation(), members(), make('div', { id: 'picker', class: 'picker', popover: 'auto', role: 'group', 'aria-label': 'Reactions' })];
}

function side(): HTMLElement {
  return make(
    'aside',
    { class: 'side', 'aria-label': 'Conversations' },
    make('h1', { class: 'side-title' }, 'Chat'),
    make('h2', { id: 'rooms-title' }, 'Rooms'),
    make('nav', { 'aria-labelledby': 'rooms-title' }, make('ul', { id: 'room-list', class: 'rows' })),
    make(
      'form',
      { id: 'join', class: 'field', novalidate: true },
      make('label', { for: 'join-name', class: 'visually-hidden' }, 'Open a room'),
      make(
        'div',
        { class: 'field-row' },
        make('input', { id: 'join-name', type: 'text', placeholder: 'Open a room', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', 'aria-describedby': 'join-error' }),
        make('button', { type: 'submit', class: 'icon-button', 'aria-label': 'Join' }, icon('plus')),
      ),
      make('p', { id: 'join-error', class: 'field-error', role: 'status' }),
    ),
    make('h2', { id: 'people-title' }, 'People'),
    make('nav', { 'aria-labelledby': 'people-title' }, make('ul', { id: 'people-list', class: 'rows' })),
    make('div', { id: 'alone', class: 'alone' }, icon('people'), make('p', {}, 'Nobody else is here yet. Open this page in another browser or a private window, and be two.')),
  );
}

function conversation(): HTMLElement {
  return make(
    'section',
    { class: 'talk', 'aria-labelledby': 'room-title' },
    make(
      'header',
      { class: 'talk-head' },
      make('a', { class: 'back button quiet', href: '#chat', 'aria-label': 'All conversations' }, icon('back')),
      make('div', { class: 'talk-title' }, make('h1', { id: 'room-title' }), make('p', { id: 'room-note', class: 'hint' })),
      make('div', { id: 'faces', class: 'faces', 'aria-hidden': 'true' }),
      button({ id: 'leave', class: 'quiet', hidden: true }, () => undefined, 'Leave'),
    ),
    make(
      'div',
      { class: 'log-frame' },
      make(
        'div',
        { id: 'log', class: 'log', role: 'log', 'aria-label': 'Messages', 'aria-description': 'The arrow keys move through the messages, and Enter reacts to one', tabindex: 0 },
        make('div', { id: 'empty', class: 'empty-state' }),
        make('ol', { id: 'messages', class: 'messages' }),
        make('ol', { id: 'outbox', class: 'messages', 'aria-label': 'Not sent yet' }),
      ),
      button({ id: 'new-messages', class: 'new-messages primary', hidden: true }, () => undefined),
      make('div', { class: 'drop-target', 'aria-hidden': 'true' }, icon('picture'), make('span', {}, 'Drop the image to send it')),
    ),
    make('p', { id: 'typing', class: 'typing', role: 'status' }),
    make(
      'form',
      { id: 'composer', class: 'composer', novalidate: true },
      make('label', { class: 'visually-hidden', for: 'message' }, 'Message'),
      make('div', { id: 'tray', class: 'tray', hidden: true }),
      make(
        'div',
        { class: 'composer-row' },
        make('button', { id: 'attach', type: 'button', class: 'quiet icon-button', 'aria-label': 'Add an image', title: 'Add an image', disabled: true }, icon('picture')),
        make('input', { id: 'file', type: 'file', accept: 'image/png,image/jpeg,image/webp,image/gif,image/avif', multiple: true, hidden: true, 'aria-label': 'Image files' }),
        make('textarea', { id: 'message', rows: 1, 'aria-describedby': 'composer-hint message-error', enterkeyhint: 'send', disabled: true }),
        make('button', { id: 'send', type: 'submit', class: 'primary icon-button', 'aria-label': 'Send', disabled: true }, icon('send')),
      ),
      make('div', { class: 'composer-foot' }, make('p', { id: 'message-error', class: 'field-error', role: 'status' }), make('p', { id: 'composer-hint', class: 'hint' })),
    ),
  );
}

function members(): HTMLElement {
  return make('aside', { id: 'members', class: 'members', 'aria-labelledby': 'members-title', hidden: true }, make('h2', { id: 'members-title' }, 'In this room'), make('ul', { id: 'member-list', class: 'rows' }));
}
