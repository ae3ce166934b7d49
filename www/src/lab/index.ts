import { make } from '../dom';
import { icon } from '../icons';
import type { Panel } from '../panel';

export const panel: Panel = {
  id: 'lab',
  title: 'Echo & lab',
  mount(root) {
    root.append(make('div', { class: 'empty-state' }, icon('lab'), make('h2', {}, 'Echo & lab'), make('p', {}, 'This panel is not there yet.')));
    return { show: () => undefined, hide: () => undefined };
  },
};
