import { find } from './dom';

/** Width from which a panel stands beside the conversation; below it, it is a drawer. style.css says the same. */
const PANELS = { 'rooms-panel': '(min-width: 48rem)', 'echo-panel': '(min-width: 68rem)' };

/** Shuts open drawers, after a choice was made in one. */
export function closeDrawers(): void {
  for (const id of Object.keys(PANELS)) {
    const panel = find(id, HTMLElement);
    if (panel.matches(':popover-open')) panel.hidePopover();
  }
}

/** A drawer that is open while the window grows would stay above the page that has now room for it. */
export function closeDrawersWhenRoomy(): void {
  for (const query of Object.values(PANELS)) window.matchMedia(query).addEventListener('change', closeDrawers);
}
