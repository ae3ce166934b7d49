import { make } from '../dom';
import { icon } from '../icons';
import type { Panel } from '../panel';

export const panel: Panel = {
  id: 'cursors',
  title: 'Cursors',
  mount(root) {
    root.append(make('div', { class: 'empty-state' }, icon('cursors'), make('h2', {}, 'Cursors'), make('p', {}, 'This panel is not there yet.')));
    return { show: () => undefined, hide: () => undefined };
  },
};
