
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The zone's layout, for the files that work in it.  Nobody else includes it.
 *
 *     slab pool   its mutex is the lock: nginx frees that if a worker dies
 *     header      one line that all look-ups read, and what the lock guards
 *     counters    a block a worker, and the http storey's
 *     uses        tokens whose last use is to be told to Redis
 *     memories    changes that were heard of
 *     absents     ids that Redis does not have, one place for each hash
 *     buckets     head of a chain of slots; a generation
 *     slots       records:  bucket -> slot -> slot
 *                           newest <-> slot <-> … <-> oldest
 *                           slot -> more text -> more text
 *
 * Indexes of slots begin with 1; 0 is none.  A hit reads without the lock: a
 * sequence number that is odd while a bucket changes, and another one after,
 * tells it that what it has copied is not to be trusted.
 *
 * Whoever dies with the lock leaves busy behind; the next one to take the lock
 * empties the zone, since nobody knows how far that one had come.
 */


#ifndef _NGX_ACCESS_TOKEN_ZONE_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>
#include <ngx_access_token_cache.h>


#pragma GCC visibility push(hidden)


#define NGX_ACCESS_TOKEN_SLOT        256        /* bytes */
#define NGX_ACCESS_TOKEN_SLOT_TEXT   84         /* bytes in the first one */
#define NGX_ACCESS_TOKEN_MORE_TEXT   (NGX_ACCESS_TOKEN_SLOT - sizeof(uint32_t))

/* organization, group and name, four bytes a character */

#define NGX_ACCESS_TOKEN_TEXT_MAX                                             \
    (2 * NGX_ACCESS_TOKEN_OWNER_MAX + 4 * NGX_ACCESS_TOKEN_NAME_MAX)

#define NGX_ACCESS_TOKEN_BUCKETS     4096       /* at least: generations */
#define NGX_ACCESS_TOKEN_SLOTS_MIN   256
#define NGX_ACCESS_TOKEN_SLOTS_MAX   0x7fffffff
#define NGX_ACCESS_TOKEN_CHAIN_MAX   64         /* in a bucket, for a look-up */
#define NGX_ACCESS_TOKEN_USE_WAYS    4
#define NGX_ACCESS_TOKEN_MEMORY_WAYS 4

/*
 * A record is not moved if fewer than this part of the slots were moved since:
 * a quarter of the records, if each has three slots.
 */

#define NGX_ACCESS_TOKEN_NEWEST      12


/*
 * In the order of what a hit reads.  The first three cache lines will do for
 * most records.
 */

#define NGX_ACCESS_TOKEN_SLOT_HEAD   192

typedef struct {
    uint32_t                      more;         /* slot with further text */
    uint32_t                      next;         /* in the bucket, or free */
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
    uint32_t                      epoch;
    uint32_t                      touched;      /* the zone's moves then */
    uint32_t                      used;         /* seconds; last one told */
    int64_t                       sent;         /* the read, us */
    int64_t                       expires;      /* seconds */
    u_char                        digest[NGX_ACCESS_TOKEN_DIGEST_LEN];
    int64_t                       previous_until;
    uint16_t                      name;         /* bytes of text */
    u_char                        organization;
    u_char                        group;
    u_char                        admin:1;
    u_char                        revoked:1;
    u_char                        user[NGX_ACCESS_TOKEN_USER_LEN];
    uint64_t                      version;
    u_char                        text[NGX_ACCESS_TOKEN_SLOT_TEXT];

    /* after a rotation */
    u_char                        previous[NGX_ACCESS_TOKEN_DIGEST_LEN];

    uint32_t                      bucket;
    uint32_t                      newer;
    uint32_t                      older;
} ngx_access_token_slot_t;

typedef struct {
    uint32_t                      more;
    u_char                        text[NGX_ACCESS_TOKEN_MORE_TEXT];
} ngx_access_token_more_t;

typedef struct {
    uint32_t                      seq;
    uint32_t                      head;
    uint32_t                      generation;
    uint32_t                      unused;
} ngx_access_token_bucket_t;

typedef struct {
    uint32_t                      seq;
    uint32_t                      epoch;
    int64_t                       sent;
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
} ngx_access_token_absent_t;

typedef struct {
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
    uint32_t                      time;         /* seconds; 0: free */
} ngx_access_token_use_t;

typedef struct {
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
    u_char                        state;        /* …_memory_e */
    u_char                        heard;        /* and not only read */
    u_char                        told;         /* that Redis has lost it */
    uint64_t                      version;
    int64_t                       when;         /* us; 0: free */
} ngx_access_token_memory_t;


/* What is known of a server; source 0: it is nobody's place. */

#define NGX_ACCESS_TOKEN_ORIGINS     (2 * NGX_REDIS_NODES)

typedef struct {
    uint64_t                      source;       /* which one */
    int64_t                       heard;        /* us */
    uint32_t                      epoch;
    uint32_t                      claimed;      /* seconds */
} ngx_access_token_server_t;


typedef struct {
    /* all look-ups read the first cache line, which is enough for one server */
    uint64_t                      seed;         /* of the hash */
    uint32_t                      moves;        /* to the newest */
    uint32_t                      unused;
    ngx_access_token_server_t     servers[NGX_ACCESS_TOKEN_ORIGINS];
    u_char                        line[48];

    uint32_t                      busy;         /* the lock is held */
    uint32_t                      epoch;        /* the newest of all */

    uint32_t                      fresh;        /* slots never used, from */
    uint32_t                      free;
    uint32_t                      newest;
    uint32_t                      oldest;
    uint32_t                      used;         /* slots */
    uint32_t                      entries;      /* records */

    uint32_t                      flush;        /* of uses: seconds, next */
    u_char                        edge[NGX_ACCESS_TOKEN_EDGE_LEN];
} ngx_access_token_header_t;


struct ngx_access_token_zone_s {
    ngx_access_token_header_t    *header;
    ngx_access_token_bucket_t    *buckets;
    ngx_access_token_slot_t      *slots;        /* [1 .. nslots] */
    ngx_access_token_absent_t    *absents;
    ngx_access_token_use_t       *uses;
    ngx_access_token_memory_t    *memories;
    uint32_t                      nbuckets;     /* powers of 2, but nslots */
    uint32_t                      nslots;
    uint32_t                      nabsents;
    uint32_t                      nuses;
    uint32_t                      nmemories;

    ngx_access_token_counters_t  *counters;     /* this worker's */
    ngx_access_token_counters_t  *workers;      /* all */
    ngx_atomic_t                 *extra;
    ngx_uint_t                    nextra;

    int64_t                       max_age;      /* us */
    int64_t                       negative;
    time_t                        usage;        /* seconds; 0: not told */
    ngx_slab_pool_t              *pool;
    ngx_shm_zone_t               *shm;
    size_t                        size;         /* of all that is laid out */
};


/* A few dozen instructions: no logging, no allocation, no call back. */

void ngx_access_token_zone_lock(ngx_access_token_zone_t *zone);
ngx_uint_t ngx_access_token_zone_trylock(ngx_access_token_zone_t *zone);
void ngx_access_token_zone_unlock(ngx_access_token_zone_t *zone);


/* An epoch that nothing is of yet. */

uint32_t ngx_access_token_zone_epoch_locked(ngx_access_token_zone_t *zone);


/* Of an id; not to be guessed from outside. */

static ngx_inline uint32_t
ngx_access_token_zone_hash(const ngx_access_token_zone_t *zone,
    const u_char *id)
{
    uint64_t  h, a, b;
    uint32_t  c;

    ngx_memcpy(&a, id, 8);
    ngx_memcpy(&b, id + 8, 8);
    ngx_memcpy(&c, id + 16, 4);

    h = (zone->header->seed ^ a) * 0x9e3779b97f4a7c15;
    h = (h ^ (h >> 32) ^ b) * 0x9e3779b97f4a7c15;
    h = (h ^ (h >> 32) ^ c) * 0x9e3779b97f4a7c15;

    return (uint32_t) (h >> 32);
}


/* Around a change of what a bucket leads to: between them seq is odd. */

static ngx_inline void
ngx_access_token_begin(uint32_t *seq)
{
    __atomic_store_n(seq, *seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}


static ngx_inline void
ngx_access_token_end(uint32_t *seq)
{
    __atomic_store_n(seq, *seq + 1, __ATOMIC_RELEASE);
}


static ngx_inline ngx_uint_t
ngx_access_token_unchanged(const uint32_t *seq, uint32_t before)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);

    return __atomic_load_n(seq, __ATOMIC_RELAXED) == before;
}


static ngx_inline ngx_access_token_bucket_t *
ngx_access_token_bucket(const ngx_access_token_zone_t *zone, uint32_t hash)
{
    return &zone->buckets[hash & (zone->nbuckets - 1)];
}


static ngx_inline ngx_access_token_absent_t *
ngx_access_token_absent(ngx_access_token_zone_t *zone, uint32_t hash)
{
    return &zone->absents[hash & (zone->nabsents - 1)];
}


/* --- slots, for those who hold the lock -------------------------------- */

/* The slot of an id, or NULL. */

ngx_access_token_slot_t *ngx_access_token_slots_find_locked(
    ngx_access_token_zone_t *zone, const u_char *id);

/* Adds a record whose id has none; if no slot is free, the oldest one goes. */

void ngx_access_token_slots_put_locked(ngx_access_token_zone_t *zone,
    const u_char *id, uint32_t hash, uint32_t epoch, int64_t sent,
    uint32_t used, const ngx_access_token_t *t);

/* Removes a record; makes it the newest. */

void ngx_access_token_slots_remove_locked(ngx_access_token_zone_t *zone,
    ngx_access_token_slot_t *slot);
void ngx_access_token_slots_touch_locked(ngx_access_token_zone_t *zone,
    ngx_access_token_slot_t *slot);


#pragma GCC visibility pop


#endif /* _NGX_ACCESS_TOKEN_ZONE_H_INCLUDED_ */
