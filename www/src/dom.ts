/** The element with this id, checked to be of the expected type. */
export function find<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`index.html has no ${kind.name} with the id "${id}"`);
  return found;
}

/** A new element. Text is always inserted as text: nothing on this page parses HTML. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: { readonly class?: string; readonly text?: string } = {},
  ...children: readonly Node[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (properties.class !== undefined) element.className = properties.class;
  if (properties.text !== undefined) element.textContent = properties.text;
  element.append(...children);
  return element;
}

/** Shows the error of a field next to it, also for assistive technology; `undefined` removes it. */
export function showFieldError(field: HTMLElement, place: HTMLElement, why: string | undefined): void {
  place.textContent = why ?? '';
  if (why === undefined) field.removeAttribute('aria-invalid');
  else field.setAttribute('aria-invalid', 'true');
}
