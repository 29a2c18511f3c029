
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The domain: access tokens, their records, and how one asks about them.
 * It sees the wire (ngx_redis.h) and nginx core, and no HTTP.
 *
 *     ngx_access_token_format.c   the string: parse, generate, digest
 *     ngx_access_token_record.c   the record to and from Redis fields
 *     ngx_access_token_text.c     its texts: chunks and UTF-8
 *     ngx_access_token_load.c     one record, as the edge asks for it
 *     ngx_access_token_store.c    keys and commands: create, list, change
 *     ngx_access_token_script.c   the Lua of each change
 *     ngx_access_token_wait.c     and whether replicas have it
 *     ngx_access_token_zone.c     shared memory: layout, lock, counters
 *     ngx_access_token_cache.c    records in it: find, put, forget, evict
 *     ngx_access_token_lease.c    how long they may be used: links
 *     ngx_access_token_heartbeat.c  is Redis in charge, and does it tell
 *     ngx_access_token_memory.c   what was changed, lest Redis has lost it
 *     ngx_access_token_lookup.c   the question of the edge, single flight
 *     ngx_access_token_usage.c    last use, in batches
 *
 * Return codes: NGX_OK done, NGX_DECLINED definitely not, NGX_AGAIN a
 * callback will come, NGX_ERROR cannot know.
 */


#ifndef _NGX_ACCESS_TOKEN_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis.h>


#pragma GCC visibility push(hidden)


/*
 *   at_ KkQ2 0TqX8zBc r4Wm0Pq7 <32 characters> <6 characters>
 *       tag  time     random   secret          checksum
 *       \------- id --------/
 */

#define NGX_ACCESS_TOKEN_TAG_LEN        4
#define NGX_ACCESS_TOKEN_TIME_LEN       8
#define NGX_ACCESS_TOKEN_ID_LEN         20
#define NGX_ACCESS_TOKEN_SECRET_LEN     32
#define NGX_ACCESS_TOKEN_CHECKSUM_LEN   6
#define NGX_ACCESS_TOKEN_DIGEST_LEN     32
#define NGX_ACCESS_TOKEN_USER_LEN       19      /* tu_ and 16 random */
#define NGX_ACCESS_TOKEN_PREFIX_MAX     16
#define NGX_ACCESS_TOKEN_MAX_LEN                                              \
    (NGX_ACCESS_TOKEN_PREFIX_MAX + 1 + NGX_ACCESS_TOKEN_ID_LEN                \
     + NGX_ACCESS_TOKEN_SECRET_LEN + NGX_ACCESS_TOKEN_CHECKSUM_LEN)

#define NGX_ACCESS_TOKEN_OWNER_MAX      64      /* bytes of an id of an owner */
#define NGX_ACCESS_TOKEN_NAME_MAX       100     /* characters of UTF-8 */
#define NGX_ACCESS_TOKEN_DESCR_MAX      255     /* characters of UTF-8 */
#define NGX_ACCESS_TOKEN_ACTOR_MAX      128     /* bytes */
#define NGX_ACCESS_TOKEN_GRACE_MAX      86400   /* seconds */

#define NGX_ACCESS_TOKEN_KEY_PREFIX_MAX 32      /* bytes, of "at:" */

#define NGX_ACCESS_TOKEN_RETENTION      (30 * 86400)


/* Why a request is let through or is not; the words of $…_verdict. */

#define NGX_ACCESS_TOKEN_VERDICTS  8

typedef enum {
    NGX_ACCESS_TOKEN_UNAVAILABLE = 0,       /* the truth cannot be had */
    NGX_ACCESS_TOKEN_ACTIVE,
    NGX_ACCESS_TOKEN_MISSING,
    NGX_ACCESS_TOKEN_MALFORMED,
    NGX_ACCESS_TOKEN_UNKNOWN,
    NGX_ACCESS_TOKEN_REVOKED,
    NGX_ACCESS_TOKEN_EXPIRED,
    NGX_ACCESS_TOKEN_FORBIDDEN
} ngx_access_token_verdict_e;


/*
 * The public part of a presented token and the digest of it.  hashed is what
 * the digest is of, within the token; lookup computes it while it waits for
 * memory.
 */

typedef struct {
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
    u_char                        digest[NGX_ACCESS_TOKEN_DIGEST_LEN];
    const u_char                 *hashed;
} ngx_access_token_key_t;


/* An empty group: the organization itself. */

typedef struct {
    ngx_str_t                     organization;
    ngx_str_t                     group;
} ngx_access_token_owner_t;


/*
 * A record.  Times are seconds since the epoch; 0 means never.  The cache fills
 * in what is up to head by itself.
 */

#define NGX_ACCESS_TOKEN_HEAD  offsetof(ngx_access_token_t, previous)

typedef struct {
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
    u_char                        digest[NGX_ACCESS_TOKEN_DIGEST_LEN];

    /* the digest before the last rotation, good until previous_until */
    u_char                        previous[NGX_ACCESS_TOKEN_DIGEST_LEN];
    time_t                        previous_until;

    ngx_access_token_owner_t      owner;
    ngx_str_t                     name;
    ngx_str_t                     technical_user;
    time_t                        expires;
    uint64_t                      version;      /* grows with each change */

    unsigned                      admin:1;
    unsigned                      revoked:1;
    time_t                        used;         /* last use told; of cache.c */

    /* the edge does not load what follows */

    ngx_str_t                     description;
    ngx_str_t                     created_by;
    ngx_str_t                     revoked_by;
    time_t                        created;
    time_t                        revoked_at;
    time_t                        last_used;

    /* of record.c: fields and chunks read, and chunks of full length */

    uint64_t                      seen;
    uint64_t                      full;
} ngx_access_token_t;


/* --- format ------------------------------------------------------------ */

/*
 * NGX_OK: token is well-formed, its prefix is right, its checksum fits, and
 * key is filled in but for the digest; NGX_DECLINED: it is not.
 */

ngx_int_t ngx_access_token_parse(const ngx_str_t *prefix,
    const ngx_str_t *token, ngx_access_token_key_t *key);

/* Fills in the digest of what parse() has filled in. */

void ngx_access_token_key_digest(ngx_access_token_key_t *key);

/*
 * Writes a new token to token->data, which holds NGX_ACCESS_TOKEN_MAX_LEN, and
 * sets its length; fills in key.  With id NULL the id is new too, made of the
 * organization's tag and now (ms since the epoch).  The caller wipes
 * token->data with ngx_explicit_memzero() once it is sent.
 */

ngx_int_t ngx_access_token_generate(const ngx_str_t *prefix,
    const ngx_str_t *organization, const u_char *id, uint64_t now,
    ngx_str_t *token, ngx_access_token_key_t *key);

/* n random digits of base62. */

ngx_int_t ngx_access_token_generate_random(u_char *p, size_t n);

/* A new id of a technical user: NGX_ACCESS_TOKEN_USER_LEN bytes to buf. */

ngx_int_t ngx_access_token_generate_user(u_char *buf);

/* The organization's tag: NGX_ACCESS_TOKEN_TAG_LEN bytes to buf. */

ngx_int_t ngx_access_token_tag(const ngx_str_t *organization, u_char *buf);

/* NGX_OK if the 20 bytes may be an id: base62. */

ngx_int_t ngx_access_token_check_id(const ngx_str_t *id);

/* NGX_OK if the string may be the id of a technical user. */

ngx_int_t ngx_access_token_check_user(const ngx_str_t *id);

/* NGX_OK if the string may be the id of an organization or of a group. */

ngx_int_t ngx_access_token_check_owner(const ngx_str_t *id);

/* SHA-256 of any string, 32 bytes to digest; for root credentials. */

ngx_int_t ngx_access_token_digest(const ngx_str_t *text, u_char *digest);

/* Compares two digests in constant time; 1 if equal. */

ngx_uint_t ngx_access_token_digest_equal(const u_char *a, const u_char *b);


/* --- strings ----------------------------------------------------------- */

static ngx_inline ngx_uint_t
ngx_access_token_same(const ngx_str_t *a, const ngx_str_t *b)
{
    return a->len == b->len
           && (a->len == 0 || ngx_memcmp(a->data, b->data, a->len) == 0);
}


static ngx_inline ngx_uint_t
ngx_access_token_is(const ngx_str_t *value, const char *text)
{
    return value->len == ngx_strlen(text)
           && ngx_memcmp(value->data, text, value->len) == 0;
}


/* --- text -------------------------------------------------------------- */

/*
 * Characters of a text of UTF-8 (RFC 3629), or NGX_ERROR: it is no UTF-8, or
 * has a control character (U+0000-1F, U+7F-9F) that is not in allow.
 */

ngx_int_t ngx_access_token_text_length(const ngx_str_t *text,
    const char *allow);


/* --- record ------------------------------------------------------------ */

/*
 * In Redis a record is a hash of short fields, no value above 64 bytes; a
 * longer text goes on in the next chunk (n, n1, n2 …).
 *
 *   h digest (raw)        p previous digest (raw)   q previous until
 *   o organization        g group ("" none)         a admin 0|1
 *   s status a|r          e expires (0 never)       u technical user
 *   v version             n n1 … n6 name            d d1 … d15 description
 *   c created             b b1 created by           x revoked at
 *   y y1 revoked by
 */

/*
 * The fields that the edge asks for, in the order of its HMGET: the first ones
 * at first, all of them if the last of these is full and the name may go on.
 */

#define NGX_ACCESS_TOKEN_EDGE_FIRST   11
#define NGX_ACCESS_TOKEN_EDGE_FIELDS  17

extern const ngx_str_t
    ngx_access_token_edge_fields[NGX_ACCESS_TOKEN_EDGE_FIELDS];

/*
 * Takes one field of a record into t (zeroed at first); texts are copied to
 * pool.  Chunks of a text come in any order.  A nil value is passed as NULL
 * and counts as absent.  NGX_OK; NGX_DECLINED: a value of the wrong form;
 * NGX_ERROR: no memory.  Unknown fields are ignored.  If pool is NULL, texts
 * point to the values, and one that may go on in another chunk is NGX_ERROR.
 */

ngx_int_t ngx_access_token_record_set(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_str_t *field, const ngx_str_t *value);

/* The same, for a value of the edge's i-th field. */

ngx_int_t ngx_access_token_record_set_edge(ngx_access_token_t *t,
    ngx_pool_t *pool, ngx_uint_t i, const ngx_str_t *value);

/*
 * After the last field.  edge: only the edge's fields are needed.  NGX_OK;
 * NGX_DECLINED: a field is missing or contradicts another: field then names
 * the first such one for the log.
 */

ngx_int_t ngx_access_token_record_check(ngx_access_token_t *t, ngx_uint_t edge,
    ngx_str_t *field);

/*
 * Appends the fields and values of a text (its chunks), or of the whole
 * record, to an array of ngx_str_t; values may point into t.
 */

ngx_int_t ngx_access_token_record_text(ngx_array_t *args, u_char field,
    const ngx_str_t *text);
ngx_int_t ngx_access_token_record_fields(ngx_array_t *args,
    const ngx_access_token_t *t);

/* Appends all chunk names of a text's field to args: for HDEL before a set. */

ngx_int_t ngx_access_token_record_chunks(ngx_array_t *args, u_char field);

/*
 * What the token is at the time now: EXPIRED before REVOKED before ACTIVE;
 * REVOKED and EXPIRED come before any question of secrets or coverage.
 */

ngx_access_token_verdict_e ngx_access_token_status(const ngx_access_token_t *t,
    time_t now);

/*
 * The verdict on a presented token: UNKNOWN if its digest is neither the
 * record's nor, within the grace, the previous one; else its status.
 */

ngx_access_token_verdict_e ngx_access_token_judge(const ngx_access_token_t *t,
    const ngx_access_token_key_t *key, time_t now);


/* --- zone -------------------------------------------------------------- */

typedef struct ngx_access_token_zone_s  ngx_access_token_zone_t;

/* Why all that is cached became void. */

typedef enum {
    NGX_ACCESS_TOKEN_START = 0,     /* nobody was there to hear of changes */
    NGX_ACCESS_TOKEN_LINK,          /* the last link was lost */
    NGX_ACCESS_TOKEN_FLUSH,         /* Redis says so: FLUSHALL, a resync */
    NGX_ACCESS_TOKEN_SOURCE,        /* the links lead to another Redis */
    NGX_ACCESS_TOKEN_CRASH,         /* a worker died while it changed it */
    NGX_ACCESS_TOKEN_CAUSES
} ngx_access_token_cause_e;

/*
 * What a worker counts since the zone was made, in a block of its own that
 * workers before and after it use too.  Whoever adds does so atomically.  All
 * members are ngx_atomic_t: the status sums them one by one.
 */

#define NGX_ACCESS_TOKEN_WORKERS  64        /* blocks; more workers share */

typedef struct {
    ngx_atomic_t                  requests[NGX_ACCESS_TOKEN_VERDICTS];

    /* look-ups, by what the cache said */
    ngx_atomic_t                  hits;         /* a record */
    ngx_atomic_t                  absent_hits;  /* that there is none */
    ngx_atomic_t                  misses;
    ngx_atomic_t                  bypasses;     /* it could not be asked */

    ngx_atomic_t                  refusals;     /* changed during the read */
    ngx_atomic_t                  evictions;
    ngx_atomic_t                  flushes[NGX_ACCESS_TOKEN_CAUSES];

    ngx_atomic_t                  joined;       /* look-ups that shared one */
    ngx_atomic_t                  fenced;       /* reads without a lease */
    ngx_atomic_t                  lapses;       /* of the lease */
    ngx_atomic_t                  links;        /* that came up */
    ngx_atomic_t                  changes;      /* of tokens that were told */
    ngx_atomic_t                  lost;         /* reads that lacked one that
                                                   was known */

    ngx_atomic_t                  uses;         /* last uses written */
    ngx_atomic_t                  uses_lost;    /* for want of room */

    ngx_redis_stats_t             redis;

    /* gauges of the worker that has this block now */
    ngx_atomic_t                  lease;        /* its end, on the clock of
                                                   cache.h; 0: none */
} ngx_access_token_counters_t;

#define ngx_access_token_count(counter)                                       \
    (void) ngx_atomic_fetch_add(&(counter), 1)

/* Those of redis.latency; all of their bounds but the last, in microseconds. */

#define NGX_ACCESS_TOKEN_LATENCIES       NGX_REDIS_LATENCIES
#define ngx_access_token_latency_bounds  ngx_redis_latency_bounds

/* Those of redis.lacks. */

#define NGX_ACCESS_TOKEN_TRACKING        NGX_REDIS_TRACKING
#define NGX_ACCESS_TOKEN_IDENTITY        NGX_REDIS_IDENTITY
#define NGX_ACCESS_TOKEN_ROLE            NGX_REDIS_ROLE
#define NGX_ACCESS_TOKEN_EVALSHA         NGX_REDIS_EVALSHA

typedef struct {
    ngx_uint_t                    entries;      /* records */
    size_t                        used;         /* bytes */
    size_t                        size;         /* bytes for records */
} ngx_access_token_zone_usage_t;

/* What the configuration says of it. */

typedef struct {
    ngx_str_t                     name;
    size_t                        size;
    ngx_msec_t                    max_age;      /* of a record */
    ngx_msec_t                    negative;     /* of there being none */
    time_t                        usage;        /* interval of telling last
                                                   uses; 0: they are not */
    ngx_uint_t                    nextra;       /* counters of the caller's */
} ngx_access_token_zone_conf_t;

/*
 * Creates the zone, at configuration; tag is the module's.  NULL: no memory,
 * or a message was logged.  start: in a worker, before all else.
 */

#define NGX_ACCESS_TOKEN_ZONE_MIN  (512 * 1024)

ngx_access_token_zone_t *ngx_access_token_zone_create(ngx_conf_t *cf,
    const ngx_access_token_zone_conf_t *conf, void *tag);
void ngx_access_token_zone_start(ngx_access_token_zone_t *zone);

/* For the status: blocks from 0 on, NULL after the last. */

void ngx_access_token_zone_usage(ngx_access_token_zone_t *zone,
    ngx_access_token_zone_usage_t *usage);
ngx_access_token_counters_t *ngx_access_token_zone_counters(
    ngx_access_token_zone_t *zone, ngx_uint_t n);
ngx_atomic_t *ngx_access_token_zone_extra(ngx_access_token_zone_t *zone);

/* This worker's block. */

ngx_access_token_counters_t *ngx_access_token_zone_mine(
    ngx_access_token_zone_t *zone);

/* What is left of the lease of a worker's block, in ms; 0: it has none. */

ngx_msec_t ngx_access_token_zone_lease(
    const ngx_access_token_counters_t *counters);


/* --- store ------------------------------------------------------------- */

typedef struct ngx_access_token_lease_s  ngx_access_token_lease_t;

typedef struct {
    ngx_redis_t                  *redis;
    ngx_redis_t                  *changes;      /* for them; redis, but if
                                                   replicas are waited for */
    ngx_str_t                     key_prefix;   /* "at:" */
    ngx_str_t                     token_prefix; /* "at", without the "_" */
    ngx_access_token_zone_t      *zone;         /* NULL: nothing is used */
    ngx_access_token_lease_t     *lease;        /* NULL: nothing is cached */
    ngx_uint_t                    wait_replicas;    /* that are to have a
                                                   change; 0: it is not asked */
    ngx_msec_t                    wait_time;        /* how long, at most */

    /* of load.c: HMGET of the first fields, of all */
    ngx_redis_prepared_t          read_first;
    ngx_redis_prepared_t          read_all;

    /* of a worker */
    ngx_rbtree_t                  flights;      /* of lookup.c */
    ngx_rbtree_node_t             sentinel;
    ngx_queue_t                   unreplicated; /* of wait.c */
    unsigned                      waiting:1;    /* a WAIT is under way */
} ngx_access_token_store_t;

/* Prepares what is constant, in pool; at configuration.  NGX_OK, NGX_ERROR. */

ngx_int_t ngx_access_token_store_init(ngx_access_token_store_t *store,
    ngx_pool_t *pool);
ngx_int_t ngx_access_token_load_init(ngx_access_token_store_t *store,
    ngx_pool_t *pool);

/*
 * Asks Redis for the edge's fields of one record, in one command (two if the
 * name is long), or fenced: with a write before it, so that the answer is that
 * of a server in charge.  NGX_AGAIN: handler is called once with rc NGX_OK: t
 * is the record (it and its texts live until the handler returns),
 * NGX_DECLINED: there is none, NGX_ERROR: cannot know.  NGX_ERROR: it could not
 * be asked.  load lies in the caller's memory until the handler is called; the
 * caller fills in what comes first in it.
 */

typedef struct ngx_access_token_load_s  ngx_access_token_load_t;

typedef void (*ngx_access_token_load_pt)(ngx_access_token_load_t *load,
    ngx_int_t rc, ngx_access_token_t *t);

struct ngx_access_token_load_s {
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_access_token_load_pt      handler;
    void                         *data;

    /* of load.c: the write of a fenced read, its server, the connection on
       which it was accepted (0: none), and how often both were sent */
    ngx_access_token_store_t     *store;
    ngx_redis_command_t          *fencing;
    ngx_uint_t                    node;
    ngx_uint_t                    fence;
    ngx_uint_t                    rounds;
    ngx_uint_t                    nfields;      /* that were asked for */
    unsigned                      fenced:1;
};

ngx_int_t ngx_access_token_load(ngx_access_token_store_t *store,
    ngx_access_token_load_t *load, ngx_uint_t fenced);


typedef struct ngx_access_token_op_s  ngx_access_token_op_t;

/*
 * One question or change of the admin API.  It lies in the caller's memory,
 * and results go to pool; the handler is called exactly once, later, unless
 * the op is cancelled (a change goes on in Redis all the same).
 *
 * rc: NGX_OK; NGX_DECLINED no such token at that owner; NGX_BUSY the token's
 * status forbids it (tokens[0] shows it); NGX_ERROR cannot know.
 */

struct ngx_access_token_op_s {
    ngx_access_token_store_t     *store;
    ngx_pool_t                   *pool;
    void                        (*handler)(ngx_access_token_op_t *op);
    void                         *data;

    /* for the audit and created_by, revoked_by */
    ngx_str_t                     actor;        /* root, token:ID, user:NAME */
    ngx_str_t                     address;      /* of the client */

    ngx_int_t                     rc;
    ngx_access_token_t           *tokens;
    ngx_str_t                    *names;        /* of organizations, groups */
    ngx_uint_t                    n;            /* of tokens or of names */
    ngx_str_t                     next_cursor;  /* empty: the end */
    ngx_uint_t                    unreplicated; /* a change was made, and too
                                                   few replicas have it, or it
                                                   is not known */

    ngx_redis_command_t          *command;      /* of store.c */
    void                         *state;        /* of store.c */
};

/* What to change; a NULL pointer leaves as it is. */

typedef struct {
    ngx_str_t                    *name;
    ngx_str_t                    *description;
    time_t                       *expires;
} ngx_access_token_patch_t;

typedef struct {
    ngx_uint_t                    limit;        /* 1 .. 100 */
    ngx_str_t                     cursor;       /* empty: from the newest */
    ngx_str_t                     search;       /* in names; ASCII case-blind */
    ngx_access_token_verdict_e    status;       /* 0: all */
    ngx_int_t                     admin;        /* -1 all, 0 user, 1 admin */
} ngx_access_token_filter_t;

/*
 * All return NGX_AGAIN: the handler will be called; or NGX_ERROR: it could not
 * be sent.  Each change is one script: record, index, groups, organizations,
 * audit and PUBLISH together or not at all.  After a change tokens[0] is the
 * record as it is now (none after a delete).  With wait_replicas the handler is
 * called when so many of them have the change, or wait_time is over; a delete
 * that finds nothing waits as well.
 */

/* t is complete but for version; ids and digests by generate(). */

ngx_int_t ngx_access_token_store_create(ngx_access_token_op_t *op,
    const ngx_access_token_t *t);

ngx_int_t ngx_access_token_store_get(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id);

ngx_int_t ngx_access_token_store_patch(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id,
    const ngx_access_token_patch_t *patch);

/* NGX_BUSY: activate of an expired token. */

ngx_int_t ngx_access_token_store_revoke(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id);
ngx_int_t ngx_access_token_store_activate(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id);

/* grace in seconds; NGX_BUSY: the token is revoked or expired. */

ngx_int_t ngx_access_token_store_rotate(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const ngx_access_token_key_t *key,
    time_t grace);

ngx_int_t ngx_access_token_store_delete(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id);

/*
 * A page of tokens, newest first, into tokens and n; with a filter it may be
 * shorter than limit and still have a next_cursor.
 */

ngx_int_t ngx_access_token_store_list(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner,
    const ngx_access_token_filter_t *filter);

/* A page of names in byte order; cursor is the last name seen. */

ngx_int_t ngx_access_token_store_groups(ngx_access_token_op_t *op,
    const ngx_str_t *organization, ngx_uint_t limit, const ngx_str_t *cursor);
ngx_int_t ngx_access_token_store_organizations(ngx_access_token_op_t *op,
    ngx_uint_t limit, const ngx_str_t *cursor);

/* The handler will not be called. */

void ngx_access_token_store_cancel(ngx_access_token_op_t *op);


/* --- lease ------------------------------------------------------------- */

/*
 * Creates what lets a worker use the zone, in configuration memory; redis is
 * kept and says which one the zone is of; length is how long after a change is
 * confirmed the state before it may be used at most.  start: in a worker, after
 * zone_start().  NULL: no memory.
 */

ngx_access_token_lease_t *ngx_access_token_lease_create(ngx_conf_t *cf,
    ngx_access_token_store_t *store, const ngx_redis_conf_t *redis,
    ngx_msec_t length);
ngx_int_t ngx_access_token_lease_start(ngx_access_token_lease_t *lease);


/* --- usage ------------------------------------------------------------- */

/*
 * Begins to tell Redis, once in an interval, which tokens were used since; in
 * a worker, after zone_start().
 */

ngx_int_t ngx_access_token_usage_start(ngx_access_token_store_t *store);


/* --- lookup ------------------------------------------------------------ */

typedef struct ngx_access_token_lookup_s  ngx_access_token_lookup_t;

typedef enum {
    NGX_ACCESS_TOKEN_BYPASS = 0,    /* the cache is off, or not to be used */
    NGX_ACCESS_TOKEN_HIT,           /* it had the answer */
    NGX_ACCESS_TOKEN_MISS           /* it had none */
} ngx_access_token_cached_e;

/*
 * One request's question: is this token good?  It lies in the caller's
 * memory; key (by parse()), pool, handler and data are the caller's to fill in.
 */

struct ngx_access_token_lookup_s {
    ngx_queue_t                   queue;        /* of lookup.c */
    ngx_access_token_key_t        key;
    ngx_pool_t                   *pool;         /* texts of the token go here */
    void                        (*handler)(ngx_access_token_lookup_t *l);
    void                         *data;

    ngx_access_token_verdict_e    verdict;
    ngx_access_token_t           *token;        /* in pool; NULL if unknown
                                                   or unavailable */
    ngx_access_token_cached_e     cached;
    unsigned                      waiting:1;
};

/* A hint, free of charge: what may be a token will be looked up soon. */

void ngx_access_token_lookup_soon(const ngx_access_token_store_t *store,
    const ngx_str_t *token);

/*
 * NGX_OK: verdict and token are set.  NGX_AGAIN: the handler will be called
 * once, later, with them set; cancel before the memory goes.  Anything that
 * cannot be known is NGX_OK with UNAVAILABLE.  Requests for one id share one
 * read, unless it may have changed since that was sent; each is judged by its
 * own digest.
 */

ngx_int_t ngx_access_token_lookup(ngx_access_token_store_t *store,
    ngx_access_token_lookup_t *l);
void ngx_access_token_lookup_cancel(ngx_access_token_lookup_t *l);


#pragma GCC visibility pop


#endif /* _NGX_ACCESS_TOKEN_H_INCLUDED_ */
