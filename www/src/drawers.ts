import { find } from './dom';

/**
 * The width from which a panel is next to the conversation; below it, it is a drawer. The same widths are in style.css.
 */
const PANELS = { 'rooms-panel': '(min-width: 48rem)', 'echo-panel': '(min-width: 68rem)' };

/** Closes open drawers after a choice in one of them. */
export function closeDrawers(): void {
  for (const id of Object.keys(PANELS)) {
    const panel = find(id, HTMLElement);
    if (panel.matches(':popover-open')) panel.hidePopover();
  }
}

/** A drawer that is open while the window grows would stay above the wider page. */
export function closeDrawersWhenRoomy(): void {
  for (const query of Object.values(PANELS)) window.matchMedia(query).addEventListener('change', closeDrawers);
}
