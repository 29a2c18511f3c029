
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A zone for unit tests: shared memory that fork() shares too, what always
 * holds in it, and records that are made of a number.
 */


#ifndef _UNIT_SHM_H_INCLUDED_
#define _UNIT_SHM_H_INCLUDED_


#include <ngx_access_token_zone.h>

#include "unit.h"


#define UNIT_SOURCE  7          /* the Redis by which a zone is claimed */


/*
 * A zone in memory of its own, claimed; times in ms, usage in seconds; NULL: it
 * is too small.  small: 256 slots and 64 buckets are used, so chains are long
 * and slots are short.  share: another handle of the same memory, as another
 * worker or one after a reload has it.
 */

ngx_access_token_zone_t *unit_zone(ngx_pool_t *pool, size_t size,
    ngx_msec_t max_age, ngx_msec_t negative, time_t usage);
ngx_access_token_zone_t *unit_zone_small(ngx_pool_t *pool);
ngx_access_token_zone_t *unit_zone_share(ngx_pool_t *pool,
    ngx_access_token_zone_t *zone);
void unit_zone_free(ngx_access_token_zone_t *zone);

/* The end of a test: all holds in the zone, which goes, and a new pool. */

void unit_zone_end(ngx_access_token_zone_t *zone, ngx_pool_t **pool);

/* Whose entries the functions below put and find: as unit_zone() claimed it. */

extern ngx_access_token_origin_t  unit_origin;

extern ngx_uint_t  unit_locks;      /* taken by this process */

/* Called once, when the lock is to be taken: as if another one came first. */

extern void  (*unit_before_lock)(void);

extern ngx_time_t  unit_time;       /* ngx_time() */

/* A process that takes locks; as fork(), and ngx_pid is its own. */

pid_t unit_fork(void);

/* What does not hold in the zone, if nobody changes it; NULL: all does. */

const char *unit_zone_fault(ngx_access_token_zone_t *zone);


/* A record; all of it but the id is made of number and len. */

typedef struct {
    ngx_access_token_t   t;
    u_char               user[NGX_ACCESS_TOKEN_USER_LEN];
    u_char               text[NGX_ACCESS_TOKEN_TEXT_MAX];
} unit_made_t;

void unit_make(unit_made_t *made, uint64_t number, size_t len);

/* The first member that is not as it was made; NULL: all are. */

const char *unit_not_made(const ngx_access_token_t *t, const u_char *id,
    uint64_t number, size_t len);

/* A length from 0 to NGX_ACCESS_TOKEN_TEXT_MAX; slots of a record. */

size_t unit_made_len(uint64_t number);
ngx_uint_t unit_made_slots(size_t len);

void unit_id(u_char *id, uint64_t n);

/* The cache, with the n-th id; what is put was read at UNIT_NOW, us. */

#define UNIT_NOW  1000000000

ngx_int_t unit_put(ngx_access_token_zone_t *zone, uint64_t n, uint64_t number,
    size_t len);
ngx_int_t unit_put_absent(ngx_access_token_zone_t *zone, uint64_t n);
ngx_int_t unit_find(ngx_access_token_zone_t *zone, uint64_t n, int64_t now,
    ngx_pool_t *pool, ngx_access_token_t **t);

/* It is found, and is as it was put. */

void unit_check(ngx_access_token_zone_t *zone, uint64_t n, uint64_t number,
    size_t len, int64_t now, ngx_pool_t *pool);

/* Marks the n-th id as used; its marks and the time of one; all marks. */

void unit_mark(ngx_access_token_zone_t *zone, uint64_t n, time_t now);
ngx_uint_t unit_marks_of(ngx_access_token_zone_t *zone, uint64_t n,
    uint32_t *time);
ngx_uint_t unit_marks(ngx_access_token_zone_t *zone);


#endif /* _UNIT_SHM_H_INCLUDED_ */
