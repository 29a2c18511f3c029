/*
 * The "Access Tokens" tab of an organization or of a group.
 */

import { api } from '../api.js';
import { Pages, instead } from '../components/pages.js';
import { announce, button, h } from '../dom.js';
import { ownerName } from '../owner.js';
import { currentRoute, replaceQuery } from '../router.js';
import { STATUS } from '../words.js';
import { openCreate } from './dialogs.js';
import { COLUMNS, TokenRow } from './token-row.js';

const STATUSES = { '': 'All', ...STATUS };
const TYPING = 250;                     /* ms without a key */
const ROLES = { '': 'All', admin: 'Admin', user: 'User' };

export function tokensTab(owner, signal) {
  const body = h('tbody', { role: 'rowgroup' });
  const rows = new Map();               /* by id: a token keeps its row */
  const create = button('Create Access Token', openDialog,
                        { class: 'primary' });
  const filters = filterForm(signal, () => {
    replaceQuery(filters.values());
    pages.restart();
  });

  function rowOf(token) {
    if (!rows.has(token.id)) {
      rows.set(token.id, new TokenRow(owner, { signal, gone, shown, changed }));
    }
    const row = rows.get(token.id);

    row.read(token);
    return row;
  }

  function gone({ element }) {
    const next = element.nextElementSibling || element.previousElementSibling;
    const focused = element.contains(document.activeElement);

    if (element.isConnected) {
      element.remove();
      pages.changed(-1);
    }
    if (focused) {
      (next?.querySelector('button') || create).focus();
    }
  }

  /* Puts it to its place: ids begin with the time of creation. */
  function shown({ element, token: { id } }) {
    if (!element.isConnected) {
      body.insertBefore(element, [...body.rows].find((other) =>
        other.dataset.id < id) || null);
      pages.changed(1);
    }
  }

  /* On another page it is of no interest. */
  function changed({ token }, what) {
    if (!signal.aborted) {
      pages.changed(0);
      announce(token.name, what);
    }
  }

  function openDialog() {
    openCreate(owner, signal, (token) => {
      const row = rowOf(token);

      shown(row);
      changed(row, 'was created');
    });
  }

  function none() {
    return filters.any()
      ? instead('No access token matches',
                button('Clear filters', filters.clear))
      : instead('No access tokens yet',
                h('p', {}, 'A token lets a program through the gateway.'));
  }

  const pages = new Pages({
    noun: 'token',
    signal,
    none,
    load: (query, ended) =>
      api.list(owner, { ...query, ...filters.values() }, ended),
    add: (tokens) => {
      const found = tokens.map(rowOf).filter((row) => !row.deleted);

      body.append(...found.map(({ element }) => element));
      return found.length;
    },
    clear: () => body.replaceChildren(),
  });

  pages.restart();

  return [
    h('div', { class: 'toolbar' },
      filters.element,
      button('Refresh', () => pages.refresh()),
      create),
    h('table', { role: 'table' },
      h('caption', { class: 'unseen' }, `Access tokens of ${ownerName(owner)}`),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' },
        COLUMNS.map((column) =>
          h('th', { scope: 'col', role: 'columnheader' }, column)))),
      body),
    pages.element,
  ];
}

/* Filters as the URL has them; changed() is called when they are others. */
function filterForm(signal, changed) {
  const { query } = currentRoute();
  const search = h('input', { type: 'search', name: 'search', maxlength: 100,
                              'aria-label': 'Search names',
                              placeholder: 'Search names' });
  const status = choice('status', STATUSES, query.get('status'));
  const role = choice('role', ROLES, query.get('role'));
  const inputs = [search, status, role];
  let timer;

  function change() {
    clearTimeout(timer);
    if (!signal.aborted) {
      changed();
    }
  }

  function clear() {
    inputs.forEach((input) => { input.value = ''; });
    search.focus();
    change();
  }

  search.value = (query.get('search') || '').slice(0, 100);

  return {
    clear,
    values: () => Object.fromEntries(
      inputs.map(({ name, value }) => [name, value])),
    any: () => inputs.some(({ value }) => value),
    element: h('form', {
      role: 'search',
      onsubmit: (event) => {
        event.preventDefault();
        change();
      },
      onchange: (event) => {
        if (event.target !== search) {
          change();
        }
      },
      oninput: (event) => {
        if (event.target === search) {
          clearTimeout(timer);
          timer = setTimeout(change, TYPING);
        }
      },
    },
    search,
    h('label', {}, 'Status ', status),
    h('label', {}, 'Role ', role)),
  };
}

function choice(name, options, chosen) {
  return h('select', { name }, Object.entries(options).map(([value, text]) =>
    h('option', { value, selected: value === chosen }, text)));
}
