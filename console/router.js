/*
 * Routes: the fragment of the URL, so that the console needs nothing of the
 * server and can lie below any path.  "#/organizations/acme?status=active" is
 * the path "organizations/acme" and the query "status=active".
 */

import { ID } from './owner.js';

/* The path of the current page, and its query. */
export function currentRoute() {
  const [, path, query] = /^#?\/?([^?]*)\??(.*)$/s.exec(location.hash);

  return { path, query: new URLSearchParams(query) };
}

/*
 * routes: [pattern, value] pairs; {organization} and {group} in a pattern are
 * ids.  Returns [value, {organization, group}] of the first that fits, or null.
 */
export function findRoute(routes, path) {
  for (const [pattern, value] of routes) {
    const source = pattern.replace(/\{(\w+)\}/g, `(?<$1>${ID})`);
    const match = new RegExp(`^${source}$`).exec(path);

    if (match) {
      return [value, { ...match.groups }];
    }
  }

  return null;
}

export function openPage(link) {
  location.hash = link;
}

/* The same, in place of the current page. */
export function replacePage(link) {
  location.replace(link);
}

/* Notes the query in the URL; the page stays. */
export function replaceQuery(query) {
  const kept = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value));

  history.replaceState(null, '',
    `#/${currentRoute().path}${kept.size ? `?${kept}` : ''}`);
}
