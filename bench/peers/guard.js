/*
 * njs 0.7.9 has digests, but no sockets and nothing shared to cache in: it reads
 * the token and leaves Redis to the validator.
 *
 * token: js_set.  What the validator is asked for, "id.digest", and the key of a
 * proxy_cache, so that no token lies there; empty if there is no token.
 *
 * guard: js_content.  A subrequest asks the validator, over a connection that is
 * kept, and an internal redirect leads to the content.  (ngx.fetch() of this
 * version connects anew each time.)
 */

import crypto from 'crypto';

const bearer = /^bearer +at_([0-9A-Za-z]{52})[0-9A-Za-z]{6}$/i;

function token(r) {
    const m = bearer.exec(r.headersIn.Authorization);

    return m === null ? '' : m[1].slice(0, 20) + '.'
        + crypto.createHash('sha256').update(m[1]).digest('hex');
}

function deny(r) {
    r.headersOut['WWW-Authenticate'] =
        'Bearer realm="gateway", error="invalid_token"';
    r.return(401);
}

async function guard(r) {
    if (r.variables.token === '') {
        deny(r);
        return;
    }

    const reply = await r.subrequest('/validate');

    if (reply.status === 204) {
        r.internalRedirect('/content');

    } else if (reply.status === 401) {
        deny(r);

    } else {
        r.return(503);
    }
}

export default { guard, token };
