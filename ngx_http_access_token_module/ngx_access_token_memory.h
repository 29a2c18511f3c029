
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What this nginx knows of changes, so that a Redis that has lost them can be
 * told from one that has not.  See ngx_access_token_memory.c.
 */


#ifndef _NGX_ACCESS_TOKEN_MEMORY_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_MEMORY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>


#pragma GCC visibility push(hidden)


#define NGX_ACCESS_TOKEN_MEMORY_AGE  ((int64_t) 3600 * 1000000)     /* us */


/* What a change has made of a token; as the scripts publish it. */

typedef enum {
    NGX_ACCESS_TOKEN_MEMORY_REVOKED = 'r',
    NGX_ACCESS_TOKEN_MEMORY_DELETED = 'd',
    NGX_ACCESS_TOKEN_MEMORY_ROTATED = 'k',      /* its key is another */
    NGX_ACCESS_TOKEN_MEMORY_OTHER = 'a'
} ngx_access_token_memory_e;


/*
 * Takes "KEY VERSION STATE" apart, and leaves the key.  NGX_DECLINED: there is
 * nothing behind it, or something else; the key is the key all the same.
 */

ngx_int_t ngx_access_token_memory_parse(ngx_str_t *text, uint64_t *version,
    ngx_access_token_memory_e *state);

/* A change of which Redis has told; now is by ngx_access_token_clock(). */

void ngx_access_token_memory_keep(ngx_access_token_zone_t *zone,
    const u_char *id, uint64_t version, ngx_access_token_memory_e state,
    int64_t now);

/*
 * Of a record that was read by a command that was sent then.  NGX_OK: it is
 * not older than what is known, and known from now on.  NGX_AGAIN: a change was
 * heard of since: read again.  Otherwise Redis has lost a change, which is
 * logged, and the record is not to be kept.  NGX_DONE: the token is revoked (t
 * says so now); NGX_DECLINED: it was deleted; NGX_ERROR: nobody knows.
 */

ngx_int_t ngx_access_token_memory_check(ngx_access_token_zone_t *zone,
    ngx_access_token_t *t, int64_t sent, int64_t now);

/* 0: it is before what is known, which may be so since it was checked. */

ngx_uint_t ngx_access_token_memory_allows_locked(
    ngx_access_token_zone_t *zone, const ngx_access_token_t *t, int64_t now);


#pragma GCC visibility pop


#endif /* _NGX_ACCESS_TOKEN_MEMORY_H_INCLUDED_ */
