const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const PREFIXES = ['', 'k', 'M', 'G', 'T'];

/** A value with its unit in the contract: `%`, `bytes`, `bytes/s`, `/s`, `ms`, or none for a count. */
export function format(value: number | undefined, unit: string): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  switch (unit) {
    case '%':
      return `${value > 0 && value < 10 ? value.toFixed(1) : whole.format(value)} %`;
    case 'bytes':
      return `${scaled(value)}B`;
    case 'bytes/s':
      return `${scaled(value)}B/s`;
    case '/s':
      return `${short.format(value)}/s`;
    case 'ms':
      return `${short.format(value)} ms`;
    default:
      return `${short.format(value)}${unit === '' ? '' : ` ${unit}`}`;
  }
}

/** `340 ms`, `2.5 s`, `1 min 20 s`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${whole.format(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** The next round number, for the end of an axis. */
export function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5].find((step) => step * power >= value) ?? 10);
}

function scaled(value: number): string {
  const power = Math.min(PREFIXES.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${short.format(value / 1000 ** power)} ${PREFIXES[power] ?? ''}`;
}
