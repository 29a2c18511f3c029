
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What lookup asks of the lease.  Nobody else includes it.
 */


#ifndef _NGX_ACCESS_TOKEN_LEASE_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_LEASE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_cache.h>


#pragma GCC visibility push(hidden)


/*
 * The server that the id belongs to if, at the time now of
 * ngx_access_token_clock(), whatever is found of it in the zone was true at a
 * time less than the lease ago; NULL: there is no such server now.
 */

const ngx_access_token_origin_t *ngx_access_token_lease_origin(
    const ngx_access_token_lease_t *lease, const u_char *id, int64_t now);

/*
 * The server that has just answered a plain read, in its handler, if the same
 * can be said of its answer: it is the one that the link is up with.
 */

const ngx_access_token_origin_t *ngx_access_token_lease_covers(
    const ngx_access_token_lease_t *lease, int64_t now);

/*
 * The key that a write to the server leads to, and that is never there; NULL:
 * it has none, or it is not found yet.
 */

const ngx_str_t *ngx_access_token_lease_fence(ngx_access_token_lease_t *lease,
    ngx_uint_t node);

/* A write to it was refused: there will be another one. */

void ngx_access_token_lease_refused(ngx_access_token_lease_t *lease,
    ngx_uint_t node);

/* In microseconds. */

int64_t ngx_access_token_lease_length(const ngx_access_token_lease_t *lease);


#pragma GCC visibility pop


#endif /* _NGX_ACCESS_TOKEN_LEASE_H_INCLUDED_ */
