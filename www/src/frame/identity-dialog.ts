import { avatar } from '../avatar';
import { find, make, showFieldError } from '../dom';
import type { Identity } from '../identity';
import { parseName } from '../names';

/** The person in the page's header, and the dialog to take another name. */
export function showIdentity(me: Identity): void {
  const chip = find('me', HTMLButtonElement);
  const dialog = find('identity', HTMLDialogElement);
  const field = find('name', HTMLInputElement);
  const error = find('name-error', HTMLElement);

  const show = (): void => {
    chip.replaceChildren(
      avatar(me.user, me.name),
      make('span', { class: 'visually-hidden' }, 'You are '),
      make('bdi', { class: 'me-name' }, me.name),
      make('span', { class: 'visually-hidden' }, '. Change your name'),
    );
    find('identity-avatar', HTMLElement).replaceChildren(avatar(me.user, me.name, 'large'));
  };
  me.changes.add(show);
  show();

  chip.addEventListener('click', () => {
    field.value = me.name;
    showFieldError(field, error, undefined);
    dialog.showModal();
    field.select();
  });
  find('name-cancel', HTMLButtonElement).addEventListener('click', () => dialog.close());
  field.addEventListener('input', () => showFieldError(field, error, undefined));
  find('identity-form', HTMLFormElement).addEventListener('submit', (event) => {
    const name = parseName(field.value);
    if (name.ok) me.rename(name.value);
    else {
      event.preventDefault();
      showFieldError(field, error, name.why);
      field.focus();
    }
  });
}
