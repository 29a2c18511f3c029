/*
 * The lists of organizations and of groups.
 */

import { api } from '../api.js';
import { Pages, instead } from '../components/pages.js';
import { h } from '../dom.js';
import { ID, adminRoles, isAdmin, ownerLink } from '../owner.js';
import { openPage } from '../router.js';
import { session } from '../session.js';

export function organizationsPage(signal) {
  const { caller } = session;
  const root = caller.kind === 'root';
  const own = [...new Set(adminRoles(caller).map((grant) =>
    grant.organization))].sort();
  const link = (id) => ownerLink({ organization: id });

  return {
    title: 'Organizations',
    content: [
      h('h1', { tabindex: -1 }, 'Organizations'),
      ownerList({
        noun: 'organization',
        label: 'Organizations',
        signal,
        load: root ? api.organizations
                   : () => ({ items: own.map((id) => ({ id })), next: null }),
        link,
      }),
      root && opener('Organization id', link),
    ],
  };
}

export function groupsTab(owner, signal) {
  const { organization } = owner;
  const link = (id) => ownerLink({ organization, group: id });

  return [
    ownerList({
      noun: 'group',
      label: `Groups of ${organization}`,
      signal,
      load: (...query) => api.groups(organization, ...query),
      link,
    }),
    isAdmin(session.caller, owner) && opener('Group id', link),
  ];
}

function ownerList({ noun, label, load, link, signal }) {
  const list = h('ul', { class: 'owners', 'aria-label': label, role: 'list' });
  const pages = new Pages({
    noun,
    signal,
    load,
    none: () => instead(`No ${noun}s yet`),
    add: (items) => {
      list.append(...items.map(({ id }) =>
        h('li', {}, h('a', { href: link(id) }, id))));
      return items.length;
    },
    clear: () => list.replaceChildren(),
  });

  pages.restart();

  return [list, pages.element];
}

/* They come to exist with their first token, so a new one has to be named. */
function opener(label, link) {
  const input = h('input', {
    required: true, pattern: ID, autocomplete: 'off', autocapitalize: 'none',
    title: '1 to 64 letters, digits, ".", "_" and "-", no "." in front',
  });

  return h('form', {
    class: 'opener',
    onsubmit: (event) => {
      event.preventDefault();
      openPage(link(input.value));
    },
  },
  h('label', {}, label, ' ', input),
  h('button', {}, 'Open'),
  h('p', { class: 'hint' }, 'A new one comes to exist with its first token.'));
}
