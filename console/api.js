/*
 * The API's client: the only file that sends requests.  docs/api.md tells what
 * is sent, and what comes back.
 */

import { ownerPath } from './owner.js';
import { ENDED, end, session } from './session.js';

const TIMEOUT = 30000;
const BASE = new URL(document.querySelector('meta[name="api"]').content,
                     document.baseURI);

/*
 * Anything but success.  status: that of the answer, or 0 if there was none;
 * message: for people; errors: one {pointer, detail} for each bad member.
 */
export class ApiError extends Error {
  constructor(status, message, errors = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

/*
 * Returns the JSON of the answer, null if it has none.  Throws an ApiError, or
 * an AbortError if signal says so.  credential: in place of the session's,
 * which a 401 does not end then.
 */
async function call(method, path, { query, body, signal, credential } = {}) {
  const bearer = credential === undefined ? session.credential : credential;
  const headers = { Accept: 'application/json' };
  const url = new URL(path, BASE);

  if (bearer) {
    headers.Authorization = `Bearer ${bearer}`;
  }
  if (method !== 'GET') {
    headers['X-Requested-With'] = 'access-token-console';
  }
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
  }
  for (const [name, value] of Object.entries(query || {})) {
    if (value) {
      url.searchParams.set(name, value);
    }
  }

  const { response, json } = await answer(url, {
    method, headers, body: JSON.stringify(body), signal,
  });

  if (response.ok && (json || response.status === 204)) {
    return json;
  }
  if (response.status === 401 && session.caller
      && credential === undefined && bearer === session.credential) {
    end(ENDED);
  }
  throw new ApiError(response.status, json?.detail || strange(response),
                     json?.errors);
}

async function answer(url, { signal, ...options }) {
  const timeout = AbortSignal.timeout(TIMEOUT);
  const unsure = options.method === 'GET' ? ''
    : ' What was asked for may have been done all the same.';

  try {
    const response = await fetch(url, {
      ...options,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'manual',
    });
    const type = response.headers.get('Content-Type') || '';
    const json = /[/+]json\b/.test(type) ? await response.json() : null;

    return { response, json };

  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    throw new ApiError(0, (timeout.aborted
      ? `The gateway has not answered for ${TIMEOUT / 1000} seconds.`
      : 'The gateway cannot be reached, or its answer was cut off.')
      + unsure);
  }
}

/* An answer that is not the API's own: of nginx, or of something before it. */
function strange(response) {
  if (response.type === 'opaqueredirect') {
    return 'The gateway sends elsewhere, perhaps to sign in: reload the page.';
  }
  const { status, statusText } = response;

  return `${`The gateway has answered ${status} ${statusText}`.trim()}.`;
}

const tokens = (owner, ...rest) => ownerPath(owner, 'access-tokens', ...rest);

/* A list's page: {items, next}, next being the cursor of the next one. */
async function page(name, path, query, signal) {
  const json = await call('GET', path, { query, signal });

  return { items: json[name], next: json.next_cursor };
}

export const api = {
  caller: (credential) => call('GET', 'caller', { credential }),

  organizations: (...more) => page('organizations', 'organizations', ...more),
  groups: (organization, ...more) =>
    page('groups', ownerPath({ organization }, 'groups'), ...more),
  list: (owner, ...more) => page('access_tokens', tokens(owner), ...more),

  get: (owner, id) => call('GET', tokens(owner, id)),
  create: (owner, body) => call('POST', tokens(owner), { body }),
  revoke: (owner, id) => call('POST', tokens(owner, id, 'revoke')),
  activate: (owner, id) => call('POST', tokens(owner, id, 'activate')),
  rotate: (owner, id, body) =>
    call('POST', tokens(owner, id, 'rotate'), { body }),
  delete: (owner, id) => call('DELETE', tokens(owner, id)),
};
