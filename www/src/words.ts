/** A number with its noun: "1 message", "3 messages". */
export function counted(count: number, singular: string, plural = `${singular}s`): string {
  return `${count.toLocaleString()} ${count === 1 ? singular : plural}`;
}

const list = new Intl.ListFormat('en', { style: 'long', type: 'conjunction' });

/** "Ada", "Ada and Grace", "Ada, Grace and 3 others". */
export function namedList(names: readonly string[], most = 3): string {
  const others = names.length - most;
  return list.format(others > 0 ? [...names.slice(0, most), counted(others, 'other')] : names);
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const fullDate = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const dayAndMonth = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });

/** The time of day. */
export function timeOf(time: Date): string {
  return clock.format(time);
}

/** The date and the time in full. */
export function fullTimeOf(time: Date): string {
  return fullDate.format(time);
}

/** The day, relative to now: "Today", "Yesterday", "Monday, 3 March". */
export function dayOf(time: Date, now = new Date()): string {
  if (time.toDateString() === now.toDateString()) return 'Today';
  const yesterday = new Date(now);
  yesterday.setDate(now.getDate() - 1);
  return time.toDateString() === yesterday.toDateString() ? 'Yesterday' : dayAndMonth.format(time);
}

/** A size in the unit that people expect. */
export function sizeOf(bytes: number): string {
  if (bytes < 1024) return counted(bytes, 'byte');
  return bytes < 1024 * 1024 ? `${Math.round(bytes / 1024)} kB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
