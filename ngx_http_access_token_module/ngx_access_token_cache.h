
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The zone: what the workers of one nginx share.  Records that were read from
 * Redis, ids that are in no record there, and what is counted.
 *
 * Who may use what is in it is not the cache's to know: that takes a lease,
 * see ngx_access_token_lease.c.  Here is what makes an entry old:
 *
 *     generation    of a bucket; grows with each change of a token in it.  A
 *                   record is put only if it is what it was before the read.
 *     epoch         of a server: of what was read from it; another one when all
 *                   of that may have changed.  No two servers share one.
 *     age           a bound above all others.
 *
 * Times are those of ngx_access_token_clock(), in microseconds.
 */


#ifndef _NGX_ACCESS_TOKEN_CACHE_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>


#pragma GCC visibility push(hidden)


/*
 * The server that records are read from, as the zone knows it.  One with source
 * 0 is nobody: nothing is found of it, and nothing put.
 */

typedef struct {
    ngx_uint_t                    n;            /* its place in the zone */
    uint64_t                      source;       /* what names it */
} ngx_access_token_origin_t;


/* What a look-up found before it asked Redis. */

typedef struct {
    uint32_t                      generation;
    uint32_t                      epoch;
} ngx_access_token_stamp_t;


/*
 * A clock that all processes share, that nobody sets, and that goes on while
 * the machine sleeps.  It is read when it is needed: nginx' own is as old as
 * the event loop was busy.
 */

static ngx_inline int64_t
ngx_access_token_clock(void)
{
    struct timespec  ts;

#if defined(CLOCK_BOOTTIME)
    (void) clock_gettime(CLOCK_BOOTTIME, &ts);
#else
    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
#endif

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/*
 * The stamp for an id: to be taken before Redis is asked.  current: 1 if no
 * change of the id was heard of since.
 */

void ngx_access_token_cache_stamp(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id,
    ngx_access_token_stamp_t *stamp);
ngx_uint_t ngx_access_token_cache_current(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id,
    const ngx_access_token_stamp_t *stamp);

/*
 * Hints that the id will be looked for: memory is slow, and the caller has
 * something to compute meanwhile.  First the bucket, later what it leads to.
 */

void ngx_access_token_cache_fetch_bucket(const ngx_access_token_zone_t *zone,
    const u_char *id);
void ngx_access_token_cache_fetch_record(const ngx_access_token_zone_t *zone,
    const u_char *id);

/*
 * NGX_OK: t is the record, in pool; NGX_DECLINED: Redis has no such id;
 * NGX_AGAIN: neither is known; NGX_ERROR: no memory.  It takes no lock but to
 * make the entry the newest one again, which is seldom, or after a collision
 * with a change.
 */

ngx_int_t ngx_access_token_cache_find(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id, int64_t now,
    ngx_pool_t *pool, ngx_access_token_t **t);

/*
 * Keeps a record, or that there is none (t is NULL), as of the time at which
 * the read was sent.  NGX_DECLINED: the stamp is not what it was, or a change
 * is known that the record is before.
 */

ngx_int_t ngx_access_token_cache_put(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id,
    const ngx_access_token_stamp_t *stamp, int64_t sent,
    const ngx_access_token_t *t);

/* The token has changed: what was read of it before is void. */

void ngx_access_token_cache_forget(ngx_access_token_zone_t *zone,
    const u_char *id);

/* All tokens of the server may have changed. */

void ngx_access_token_cache_flush(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, ngx_access_token_cause_e cause);

/*
 * Finds a place for a server, which is its own from then on, and fills in
 * origin.  If there is none left, the one that was heard of the longest ago
 * loses its place.  1: it is a new one, and not the first.
 */

ngx_uint_t ngx_access_token_cache_claim(ngx_access_token_zone_t *zone,
    uint64_t source, ngx_access_token_origin_t *origin);

/* The name by which the workers that share the zone know each other. */

#define NGX_ACCESS_TOKEN_EDGE_LEN  12

const u_char *ngx_access_token_cache_edge(ngx_access_token_zone_t *zone);

/*
 * Until when all changes of a server are known to be in the zone, as those say
 * who have heard all of them; 0: nobody has said so.
 */

int64_t ngx_access_token_cache_heard(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin);
void ngx_access_token_cache_hear(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, int64_t until);


/* --- of usage.c -------------------------------------------------------- */

/* The token was used now: that is kept, to be told to Redis. */

void ngx_access_token_usage_mark(ngx_access_token_zone_t *zone,
    const u_char *id, time_t now);


#pragma GCC visibility pop


#endif /* _NGX_ACCESS_TOKEN_CACHE_H_INCLUDED_ */
