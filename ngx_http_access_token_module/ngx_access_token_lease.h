
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What lookup asks of the lease.  Nobody else includes it.
 */


#ifndef _NGX_ACCESS_TOKEN_LEASE_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_LEASE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>


#pragma GCC visibility push(hidden)


/*
 * 1 if, at the time now of ngx_access_token_clock(), whatever is found in the
 * zone was true at a time less than the lease ago.
 */

ngx_uint_t ngx_access_token_lease_runs(const ngx_access_token_lease_t *lease,
    int64_t now);

/*
 * 1 if the same can be said of what the connection for commands, as it is now,
 * has just answered to a plain read: it is one with the server of the link.
 */

ngx_uint_t ngx_access_token_lease_covers(const ngx_access_token_lease_t *lease,
    int64_t now);

/* In microseconds. */

int64_t ngx_access_token_lease_length(const ngx_access_token_lease_t *lease);


#pragma GCC visibility pop


#endif /* _NGX_ACCESS_TOKEN_LEASE_H_INCLUDED_ */
