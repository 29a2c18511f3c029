/*
 * Who is signed in: the one state that all parts share.
 *
 * The credential is kept in memory and, if its owner wants that, in the
 * sessionStorage of this tab, which ends with the tab.
 */

const KEY = 'access-token-console';

export const ENDED = 'What you signed in with is no longer accepted: it has '
  + 'expired, or was revoked, rotated or deleted.';

export const session = {
  credential: null,     /* a bearer token; null: the gateway knows the caller */
  caller: null,         /* what GET /caller says; null: nobody */
  notice: null,         /* why it ended */
  onchange: () => {},
};

export function begin(credential, caller, keep) {
  Object.assign(session, { credential, caller, notice: null });

  remember(keep ? credential : null);

  session.onchange();
}

/* notice: what the sign-in page is to say of it. */
export function end(notice = null) {
  remember(null);
  Object.assign(session, { credential: null, caller: null, notice });
  session.onchange();
}

/* Whether it is the token that the caller is signed in with. */
export function isOwn(token) {
  return session.caller?.name === `token:${token.id}`;
}

/* The credential of before a reload, or null. */
export function remembered() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;                /* a browser may have no storage to offer */
  }
}

function remember(credential) {
  try {
    if (credential) {
      sessionStorage.setItem(KEY, credential);
    } else {
      sessionStorage.removeItem(KEY);
    }
  } catch {
    /* then there is nothing to forget either */
  }
}
