import { make } from '../dom';
import { icon } from '../icons';
import type { Panel } from '../panel';

export const panel: Panel = {
  id: 'charts',
  title: 'Charts',
  mount(root) {
    root.append(make('div', { class: 'empty-state' }, icon('charts'), make('h2', {}, 'Charts'), make('p', {}, 'This panel is not there yet.')));
    return { show: () => undefined, hide: () => undefined };
  },
};
