/*
 * The console: which page is shown, and when.
 */

import { announce, h } from './dom.js';
import { home, ownerLink, tabsOf } from './owner.js';
import { currentRoute, findRoute, replacePage } from './router.js';
import { end, session } from './session.js';
import { organizationsPage } from './views/owners.js';
import { ownerPage } from './views/owner-page.js';
import { resume, signInPage } from './views/sign-in.js';

/*
 * A page is a function of {organization, group} and of a signal that aborts
 * when the page is left.  It returns its title and its content.
 */

const ownerTab = (tab) => (owner, signal) => ownerPage(owner, tab, signal);

const ROUTES = [
  ['', () => another(home(session.caller))],
  ['organizations', (owner, signal) => organizationsPage(signal)],
  ['organizations/{organization}', mainTab],
  ['organizations/{organization}/groups', ownerTab('groups')],
  ['organizations/{organization}/access-tokens', ownerTab('access-tokens')],
  ['organizations/{organization}/groups/{group}', mainTab],
  ['organizations/{organization}/groups/{group}/access-tokens',
   ownerTab('access-tokens')],
];

const main = document.getElementById('main');
const leave = document.getElementById('leave');
let left = new AbortController();

/* Leaves the page, and shows the one of the URL. */
function render() {
  left.abort();
  left = new AbortController();

  const { title, content } = session.caller ? routed() : signInPage();

  announce();
  showCaller();
  document.title = `${title} · Access Token Console`;
  main.replaceChildren(...[content].flat(Infinity).filter(Boolean));
  (main.querySelector('[data-focus]') || main.querySelector('h1'))?.focus();
}

function routed() {
  const [page, owner] = findRoute(ROUTES, currentRoute().path)
                        || [notFoundPage];

  return page(owner, left.signal);
}

function mainTab(owner) {
  return another(ownerLink(owner, tabsOf(session.caller, owner).at(-1)));
}

function another(link) {
  replacePage(link);

  return { title: 'Loading', content: h('p', {}, 'Loading…') };
}

function notFoundPage() {
  return {
    title: 'Not found',
    content: [
      h('h1', { tabindex: -1 }, 'Not found'),
      h('p', {}, h('a', { href: '#/' }, 'Go to the first page')),
    ],
  };
}

function showCaller() {
  const { caller, credential } = session;

  document.getElementById('caller').textContent = caller ? caller.name : '';
  leave.hidden = !caller;
  leave.textContent = credential ? 'Sign out' : 'Use a token';
}

leave.onclick = () => end();

/* "#main" would be a route. */
document.querySelector('.skip').onclick = (event) => {
  event.preventDefault();
  main.focus();
};

session.onchange = render;
await resume();
window.addEventListener('hashchange', render);
