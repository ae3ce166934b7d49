import { icon, type IconName } from '../../icons';

/** The reactions that this page offers, with a drawing that looks the same on every system. */
export const REACTIONS: readonly { readonly emoji: string; readonly icon: IconName; readonly name: string }[] = [
  { emoji: '👍', icon: 'like', name: 'Like' },
  { emoji: '❤️', icon: 'love', name: 'Love' },
  { emoji: '😂', icon: 'laugh', name: 'Laugh' },
  { emoji: '⭐', icon: 'star', name: 'Great' },
  { emoji: '✅', icon: 'check', name: 'Done' },
];

/** The drawing of a reaction, or the emoji itself if another page offers it. */
export function drawingOf(emoji: string): Node | string {
  const known = REACTIONS.find((reaction) => reaction.emoji === emoji);
  return known === undefined ? emoji : icon(known.icon);
}

export function nameOf(emoji: string): string {
  return REACTIONS.find((reaction) => reaction.emoji === emoji)?.name ?? emoji;
}
