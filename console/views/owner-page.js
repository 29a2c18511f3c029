/*
 * The page of an organization or of a group: where it belongs, its tabs, and
 * what the tab shows.
 */

import { h } from '../dom.js';
import { ownerLink, ownerName, tabsOf } from '../owner.js';
import { session } from '../session.js';
import { groupsTab } from './owners.js';
import { tokensTab } from './tokens.js';

const TABS = {
  groups: ['Groups', groupsTab],
  'access-tokens': ['Access Tokens', tokensTab],
};

export function ownerPage(owner, tab, signal) {
  const tabs = tabsOf(session.caller, owner);

  return {
    title: `${TABS[tab][0]} · ${ownerName(owner)}`,
    content: [
      breadcrumb(owner),
      h('h1', { tabindex: -1 }, owner.group || owner.organization),
      h('nav', { 'aria-label': 'Tabs', class: 'tabs' }, tabs.map((name) =>
        h('a', { href: ownerLink(owner, name),
                 'aria-current': name === tab && 'page' }, TABS[name][0]))),
      TABS[tab][1](owner, signal),
    ],
  };
}

function breadcrumb({ organization, group }) {
  return h('nav', { 'aria-label': 'Breadcrumb', class: 'breadcrumb' },
    h('a', { href: '#/organizations' }, 'Organizations'),
    group && h('a', { href: ownerLink({ organization }) }, organization));
}
