import { button, make } from '../../dom';
import type { ImageReference } from '../../generated/contract';
import { icon } from '../../icons';
import { sizeOf } from '../../words';

/** An image in full, over the page. */
export class Lightbox {
  readonly #dialog = make('dialog', { class: 'lightbox', 'aria-label': 'Image' });

  constructor(root: HTMLElement) {
    root.append(this.#dialog);
    // A click beside the image closes it too.
    this.#dialog.addEventListener('click', ({ target }) => {
      if (!(target instanceof Element) || target.closest('img, a, button') === null) this.#dialog.close();
    });
    this.#dialog.addEventListener('close', () => this.#dialog.replaceChildren());
  }

  show({ file, width, height, bytes }: ImageReference, url: string): void {
    const name = file === '' ? 'image' : file;
    this.#dialog.replaceChildren(
      make('figure', {}, make('img', { src: url, alt: name, width, height }), make('figcaption', {}, make('bdi', {}, name), ` · ${width} × ${height} · ${sizeOf(bytes)}`)),
      make('div', { class: 'lightbox-tools' }, make('a', { class: 'button', href: url, download: name, 'aria-label': 'Save the image' }, icon('download')), button({ class: 'icon-button', 'aria-label': 'Close', autofocus: true }, () => this.#dialog.close(), icon('close'))),
    );
    this.#dialog.showModal();
  }
}
