import type { IconName } from './icons';
import type { Panel } from './panel';

/** A panel as the navigation shows it, before its code is loaded. */
export interface PanelEntry {
  readonly id: string;
  readonly title: string;
  readonly icon: IconName;
  /** Its folder in the repository. */
  readonly source: string;
  load(): Promise<{ readonly panel: Panel }>;
}

/** In the order of the navigation. Each is loaded when it is first shown, so that the first view stays small. */
export const PANELS: readonly PanelEntry[] = [
  { id: 'chat', title: 'Chat', icon: 'chat', source: 'www/src/chat', load: () => import('./chat') },
  { id: 'charts', title: 'Charts', icon: 'charts', source: 'www/src/charts', load: () => import('./charts') },
  { id: 'alarms', title: 'Alarms', icon: 'alarms', source: 'www/src/alarms', load: () => import('./alarms') },
  { id: 'lab', title: 'Echo & lab', icon: 'lab', source: 'www/src/lab', load: () => import('./lab') },
  { id: 'cursors', title: 'Cursors', icon: 'cursors', source: 'www/src/cursors', load: () => import('./cursors') },
  { id: 'rust', title: 'Rust', icon: 'rust', source: 'www/src/rust', load: () => import('./rust') },
];

const REPOSITORY = 'https://github.com/wirehub/wirehub/tree/main/';

/** The address of a folder in the repository. */
export function sourceOf(folder: string): string {
  return REPOSITORY + folder;
}
