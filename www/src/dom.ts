/** The element with this id, checked to be of the expected type. */
export function find<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`index.html has no ${kind.name} with the id "${id}"`);
  return found;
}

type Attribute = string | number | boolean | undefined;

/**
 * A new element with attributes and children. Text is always inserted as text: nothing on this page parses HTML.
 * `true` is an attribute without a value; `false` and `undefined` leave it out.
 */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, Attribute>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children);
  return element;
}

/** A button that does not submit a form. */
export function button(attributes: Readonly<Record<string, Attribute>>, press: (event: MouseEvent) => void, ...children: readonly (Node | string)[]): HTMLButtonElement {
  const element = make('button', { type: 'button', ...attributes }, ...children);
  element.addEventListener('click', press);
  return element;
}

/** Shows the error of a field next to it, also for assistive technology; `undefined` removes it. */
export function showFieldError(field: HTMLElement, place: HTMLElement, why: string | undefined): void {
  place.textContent = why ?? '';
  if (why === undefined) field.removeAttribute('aria-invalid');
  else field.setAttribute('aria-invalid', 'true');
}

/** Sets the text, unless it is there already: a live region would announce it again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
