// Tables of lists that are read in pages. They are updated in place.

import { byId, element, setText } from './dom.js';

/** The number of rows on a page. */
const ROWS = 50;

/**
 * A table of items of one kind.
 *
 * `columns` are `{ title, text, numeric?, open?, label?, danger? }`: the content of a cell, the action of its button, and
 * the button's label. `load` returns `{ items, next, count, missing }`,
 * with the nodes that the list lacks; `failed` is called with its errors.
 */
export class Table {
  #rows = new Map();
  #columns;
  #keyOf;
  #load;
  #failed;
  #body = element('tbody', { role: 'rowgroup' });
  #empty = element('p', { class: 'muted' });
  #first = element('button', { type: 'button', class: 'quiet', onclick: () => this.#turn(undefined) }, 'First page');
  #more = element('button', { type: 'button', class: 'quiet', onclick: () => this.#turn(this.#next) }, 'Next page');
  #query = {};
  #after;
  #next;
  /** Counts requests: an answer to an older request is ignored. */
  #question = 0;

  constructor(id, { columns, keyOf, load, failed }) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    this.#load = load;
    this.#failed = failed;
    // Browsers drop the roles of table elements that a narrow screen shows as cards, so they are explicit.
    const head = element(
      'thead',
      { role: 'rowgroup' },
      element('tr', { role: 'row' }, ...columns.map(titleCell)),
    );
    const table = element('table', { role: 'table', 'aria-labelledby': `${id}-title` }, head, this.#body);
    byId(id).replaceChildren(table, this.#empty, element('div', { class: 'pages' }, this.#first, this.#more));
    this.#first.hidden = true;
    this.#more.hidden = true;
  }

  /** Shows the first page of a query's results. */
  async show(query) {
    this.#query = query;
    this.#after = undefined;
    return this.refresh();
  }

  /** Reloads the page. Returns the number of items on all pages. */
  async refresh() {
    this.#question += 1;
    const question = this.#question;
    const { items, next, count, missing = [] } = await this.#load({ ...this.#query, limit: ROWS, after: this.#after });
    if (question === this.#question) {
      this.#next = next;
      this.#fill(items);
      if (missing.length > 0) setText(this.#empty, `The list is incomplete: no answer from ${missing.length} of the nodes.`);
      this.#first.hidden = this.#after === undefined;
      this.#more.hidden = next === undefined;
    }
    return count;
  }

  async #turn(after) {
    this.#after = after;
    try {
      await this.refresh();
    } catch (error) {
      this.#failed(error);
    }
    // The pressed button may have been removed.
    this.#body.querySelector('button')?.focus();
  }

  #fill(items) {
    const wanted = new Set(items.map(this.#keyOf));
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      row.node.remove();
      this.#rows.delete(key);
    }
    let previous;
    for (const item of items) {
      const key = this.#keyOf(item);
      const row = this.#rows.get(key) ?? new Row(this.#columns);
      this.#rows.set(key, row);
      row.set(item);
      // A row in its place is not moved: that would take the focus from it.
      const place = previous === undefined ? this.#body.firstChild : previous.nextSibling;
      if (row.node !== place) this.#body.insertBefore(row.node, place);
      previous = row.node;
    }
    setText(this.#empty, items.length === 0 ? 'None.' : '');
  }
}

function titleCell({ title, numeric }) {
  return element('th', { role: 'columnheader', scope: 'col', class: numeric ? 'numeric' : undefined }, title);
}

class Row {
  node;
  #cells;
  #item;

  constructor(columns) {
    this.#cells = columns.map(({ title, text, numeric, open, label, danger }) => {
      const content =
        open === undefined
          ? element('span')
          : element('button', { type: 'button', class: danger ? 'danger' : 'link', onclick: () => open(this.#item) });
      const cell = element('td', { role: 'cell', 'data-title': title, class: numeric ? 'numeric' : undefined }, content);
      return { cell, content, text, label };
    });
    this.node = element('tr', { role: 'row' }, ...this.#cells.map(({ cell }) => cell));
  }

  set(item) {
    this.#item = item;
    for (const { content, text, label } of this.#cells) {
      setText(content, text(item));
      if (label !== undefined) content.setAttribute('aria-label', label(item));
    }
  }
}
