import type { App } from './app';

/** A part of the page with an address of its own. Each is a folder whose `index.ts` exports one as `panel`. */
export interface Panel {
  /** The part of the address behind `#`, as in `#charts`. */
  readonly id: string;
  readonly title: string;
  /** Builds the panel in `root`. Called when the panel is first shown. */
  mount(root: HTMLElement, app: App): Mounted;
}

/** A panel in the page. */
export interface Mounted {
  /** The panel became visible, with the address behind its id: `#chat/lobby` is the place `lobby`. */
  show(place: string): void;
  /** Another panel is shown: stop everything that only a visible panel needs. */
  hide(): void;
  /** Moves the keyboard's focus to the place where a person begins. Without it the panel itself has the focus. */
  focus?(): void;
}
