
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The question of the edge: is this token good?
 *
 *     the lease runs ----> cache ---> hit: judged at once
 *          | no              | miss
 *          v                 v
 *     a fenced read     a plain read, believed if the lease still runs when
 *          ^                 |        it comes back, and put into the cache
 *          '-----------------'        unless there was a change meanwhile
 *                  else
 *
 * Requests of one worker that ask for the same id while its record is on the
 * way share one flight:
 *
 *     store->flights  --id-->  flight  --waiters-->  lookup, lookup, …
 *
 * but only while what it brings is as good for them as for the first one: no
 * change of the id was heard of since it was sent, and that is not longer ago
 * than a lease.  Otherwise a new flight takes its place in the tree, and the
 * old one lands on its own.
 *
 * A flight leaves the tree before its first waiter is told, so whoever asks
 * from then on gets a newer answer.  Each waiter is judged by the digest that
 * it presented: to share a record is not to share a verdict.  A waiter leaves
 * its queue before its handler runs, and the next is taken from the head
 * after that, so a handler may cancel or free any lookup and start others.  A
 * flight whose waiters have all gone lands on its own.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_cache.h>
#include <ngx_access_token_lease.h>
#include <ngx_access_token_memory.h>
#include <ngx_access_token_zone.h>


/* Without a lease flights are shared for no longer than the usual one, us. */

#define NGX_ACCESS_TOKEN_SHARED  1000000


typedef struct {
    ngx_str_node_t                node;         /* by id */
    ngx_access_token_load_t       load;
    ngx_access_token_store_t     *store;
    ngx_access_token_origin_t     origin;       /* as of the sending */
    ngx_access_token_stamp_t      stamp;
    int64_t                       sent;         /* us */
    ngx_queue_t                   waiters;      /* of lookups */
    unsigned                      listed:1;     /* it is in the tree */
} ngx_access_token_flight_t;


static ngx_int_t ngx_access_token_lookup_cached(
    ngx_access_token_store_t *store, const ngx_access_token_origin_t *origin,
    ngx_access_token_lookup_t *l, int64_t now);
static ngx_int_t ngx_access_token_lookup_wait(ngx_access_token_store_t *store,
    ngx_access_token_lookup_t *l, int64_t now);

static ngx_access_token_flight_t *ngx_access_token_flight_find(
    ngx_access_token_store_t *store, const u_char *id);
static uint32_t ngx_access_token_flight_key(const u_char *id);
static ngx_uint_t ngx_access_token_flight_current(
    const ngx_access_token_flight_t *flight, int64_t now);
static ngx_access_token_flight_t *ngx_access_token_flight_start(
    ngx_access_token_store_t *store, const u_char *id, int64_t now);
static ngx_int_t ngx_access_token_flight_send(
    ngx_access_token_flight_t *flight, int64_t now, ngx_uint_t fenced);
static void ngx_access_token_flight_unlist(ngx_access_token_flight_t *flight);
static void ngx_access_token_flight_land(ngx_access_token_load_t *load,
    ngx_int_t rc, ngx_access_token_t *t);
static ngx_int_t ngx_access_token_flight_believe(
    ngx_access_token_flight_t *flight, ngx_int_t rc, ngx_access_token_t *t);

static void ngx_access_token_lookup_judge(ngx_access_token_lookup_t *l,
    ngx_access_token_zone_t *zone, ngx_int_t rc, const ngx_access_token_t *t);
static ngx_access_token_t *ngx_access_token_lookup_copy(ngx_pool_t *pool,
    const ngx_access_token_t *t);
static u_char *ngx_access_token_lookup_text(u_char *p, ngx_str_t *text);


void
ngx_access_token_lookup_soon(const ngx_access_token_store_t *store,
    const ngx_str_t *token)
{
    size_t  prefix;

    prefix = store->token_prefix.len + 1;

    if (store->lease && token->len >= prefix + NGX_ACCESS_TOKEN_ID_LEN) {
        ngx_access_token_cache_fetch_bucket(store->zone,
                                            token->data + prefix);
    }
}


ngx_int_t
ngx_access_token_lookup(ngx_access_token_store_t *store,
    ngx_access_token_lookup_t *l)
{
    int64_t                           now;
    ngx_access_token_counters_t      *counters;
    const ngx_access_token_origin_t  *origin;

    l->verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;
    l->token = NULL;
    l->cached = NGX_ACCESS_TOKEN_BYPASS;
    l->waiting = 0;

    if (store->lease) {
        ngx_access_token_cache_fetch_record(store->zone, l->key.id);
    }

    ngx_access_token_key_digest(&l->key);

    now = ngx_access_token_clock();
    counters = store->zone->counters;

    origin = store->lease
             ? ngx_access_token_lease_origin(store->lease, l->key.id, now)
             : NULL;

    if (origin == NULL) {
        ngx_access_token_count(counters->bypasses);

        return ngx_access_token_lookup_wait(store, l, now);
    }

    if (ngx_access_token_lookup_cached(store, origin, l, now) == NGX_OK) {
        return NGX_OK;
    }

    l->cached = NGX_ACCESS_TOKEN_MISS;
    ngx_access_token_count(counters->misses);

    return ngx_access_token_lookup_wait(store, l, now);
}


void
ngx_access_token_lookup_cancel(ngx_access_token_lookup_t *l)
{
    if (l->waiting) {
        ngx_queue_remove(&l->queue);
        l->waiting = 0;
    }
}


/* NGX_OK, or NGX_DECLINED: nothing is known of the id. */

static ngx_int_t
ngx_access_token_lookup_cached(ngx_access_token_store_t *store,
    const ngx_access_token_origin_t *origin, ngx_access_token_lookup_t *l,
    int64_t now)
{
    ngx_int_t                     rc;
    ngx_access_token_t           *t;
    ngx_access_token_counters_t  *counters;

    counters = store->zone->counters;

    rc = ngx_access_token_cache_find(store->zone, origin, l->key.id, now,
                                     l->pool, &t);

    switch (rc) {

    case NGX_OK:
        ngx_access_token_count(counters->hits);
        break;

    case NGX_DECLINED:
        ngx_access_token_count(counters->absent_hits);
        l->cached = NGX_ACCESS_TOKEN_HIT;
        l->verdict = NGX_ACCESS_TOKEN_UNKNOWN;
        return NGX_OK;

    case NGX_AGAIN:
        return NGX_DECLINED;

    default:
        return NGX_OK;
    }

    l->cached = NGX_ACCESS_TOKEN_HIT;
    l->verdict = ngx_access_token_judge(t, &l->key, ngx_time());

    if (l->verdict != NGX_ACCESS_TOKEN_UNKNOWN) {
        l->token = t;
    }

    if (l->verdict == NGX_ACCESS_TOKEN_ACTIVE
        && ngx_time() - t->used >= store->zone->usage)
    {
        ngx_access_token_usage_mark(store->zone, l->key.id, ngx_time());
    }

    return NGX_OK;
}


static ngx_int_t
ngx_access_token_lookup_wait(ngx_access_token_store_t *store,
    ngx_access_token_lookup_t *l, int64_t now)
{
    ngx_access_token_flight_t  *flight;

    flight = ngx_access_token_flight_find(store, l->key.id);

    if (flight && !ngx_access_token_flight_current(flight, now)) {
        ngx_access_token_flight_unlist(flight);
        flight = NULL;
    }

    if (flight) {
        ngx_access_token_count(store->zone->counters->joined);

    } else {
        flight = ngx_access_token_flight_start(store, l->key.id, now);
        if (flight == NULL) {
            return NGX_OK;
        }
    }

    ngx_queue_insert_tail(&flight->waiters, &l->queue);
    l->waiting = 1;

    return NGX_AGAIN;
}


/* --- flights ----------------------------------------------------------- */

static ngx_access_token_flight_t *
ngx_access_token_flight_find(ngx_access_token_store_t *store, const u_char *id)
{
    ngx_str_t  name;

    name.data = (u_char *) id;
    name.len = NGX_ACCESS_TOKEN_ID_LEN;

    /* node is the first member of a flight */

    return (ngx_access_token_flight_t *)
               ngx_str_rbtree_lookup(&store->flights, &name,
                                     ngx_access_token_flight_key(id));
}


/* The last digits of an id are random. */

static uint32_t
ngx_access_token_flight_key(const u_char *id)
{
    uint32_t  key;

    ngx_memcpy(&key, id + NGX_ACCESS_TOKEN_ID_LEN - sizeof(key), sizeof(key));

    return key;
}


/* Whether one who asks now may have what it brings. */

static ngx_uint_t
ngx_access_token_flight_current(const ngx_access_token_flight_t *flight,
    int64_t now)
{
    ngx_access_token_store_t  *store;

    store = flight->store;

    if (store->lease == NULL) {
        return now - flight->sent < NGX_ACCESS_TOKEN_SHARED;
    }

    return now - flight->sent < ngx_access_token_lease_length(store->lease)
           && ngx_access_token_cache_current(store->zone, &flight->origin,
                                             flight->load.id, &flight->stamp);
}


static ngx_access_token_flight_t *
ngx_access_token_flight_start(ngx_access_token_store_t *store,
    const u_char *id, int64_t now)
{
    ngx_access_token_flight_t  *flight;

    flight = ngx_alloc(sizeof(ngx_access_token_flight_t), ngx_cycle->log);
    if (flight == NULL) {
        return NULL;
    }

    flight->store = store;
    ngx_memcpy(flight->load.id, id, NGX_ACCESS_TOKEN_ID_LEN);
    ngx_queue_init(&flight->waiters);

    if (ngx_access_token_flight_send(flight, now, 0) != NGX_AGAIN) {
        ngx_free(flight);
        return NULL;
    }

    flight->node.str.data = flight->load.id;
    flight->node.str.len = NGX_ACCESS_TOKEN_ID_LEN;
    flight->node.node.key = ngx_access_token_flight_key(id);

    ngx_rbtree_insert(&store->flights, &flight->node.node);
    flight->listed = 1;

    return flight;
}


/* Fenced in any case where no lease runs.  NGX_AGAIN: it lands; NGX_ERROR. */

static ngx_int_t
ngx_access_token_flight_send(ngx_access_token_flight_t *flight, int64_t now,
    ngx_uint_t fenced)
{
    ngx_access_token_zone_t          *zone;
    ngx_access_token_lease_t         *lease;
    const ngx_access_token_origin_t  *origin;

    zone = flight->store->zone;
    lease = flight->store->lease;

    flight->sent = now;
    flight->load.handler = ngx_access_token_flight_land;
    flight->load.data = flight;

    if (lease) {
        origin = ngx_access_token_lease_origin(lease, flight->load.id, now);

        if (origin) {
            flight->origin = *origin;

        } else {
            ngx_memzero(&flight->origin, sizeof(ngx_access_token_origin_t));
            fenced = 1;
        }

        ngx_access_token_cache_stamp(zone, &flight->origin, flight->load.id,
                                     &flight->stamp);
    }

#if (NGX_ACCESS_TOKEN_MUTATION == 4)
    fenced = 0;
#endif

    if (fenced) {
        ngx_access_token_count(zone->counters->fenced);
    }

    return ngx_access_token_load(flight->store, &flight->load, fenced);
}


static void
ngx_access_token_flight_unlist(ngx_access_token_flight_t *flight)
{
    if (flight->listed) {
        ngx_rbtree_delete(&flight->store->flights, &flight->node.node);
        flight->listed = 0;
    }
}


static void
ngx_access_token_flight_land(ngx_access_token_load_t *load, ngx_int_t rc,
    ngx_access_token_t *t)
{
    ngx_queue_t                *q;
    ngx_access_token_flight_t  *flight;
    ngx_access_token_lookup_t  *l;

    flight = load->data;

    rc = ngx_access_token_flight_believe(flight, rc, t);

    if (rc == NGX_AGAIN) {
        return;
    }

    ngx_access_token_flight_unlist(flight);

    while (!ngx_queue_empty(&flight->waiters)) {
        q = ngx_queue_head(&flight->waiters);
        l = ngx_queue_data(q, ngx_access_token_lookup_t, queue);

        ngx_access_token_lookup_cancel(l);
        ngx_access_token_lookup_judge(l, flight->store->zone, rc, t);

        l->handler(l);
    }

    ngx_free(flight);
}


/*
 * What a plain read has brought is believed, and kept, if a lease runs that
 * covers the server; otherwise the flight is sent once more, fenced, which is
 * NGX_AGAIN.  But no record is believed that is before what is known of it.
 */

static ngx_int_t
ngx_access_token_flight_believe(ngx_access_token_flight_t *flight,
    ngx_int_t rc, ngx_access_token_t *t)
{
    int64_t                           now;
    ngx_int_t                         known;
    ngx_uint_t                        plain;
    ngx_access_token_store_t         *store;
    const ngx_access_token_origin_t  *origin;

    if (rc == NGX_ERROR) {
        return rc;
    }

    store = flight->store;
    plain = (store->lease && !flight->load.fenced);
    now = ngx_access_token_clock();

    origin = plain ? ngx_access_token_lease_covers(store->lease, now) : NULL;

    if (plain && origin == NULL) {

#if (NGX_ACCESS_TOKEN_MUTATION == 4)
        return rc;
#endif

        return ngx_access_token_flight_send(flight, now, 1);
    }

    known = (rc == NGX_OK) ? ngx_access_token_memory_check(store->zone, t,
                                                       flight->sent, now)
                           : NGX_OK;

#if (NGX_ACCESS_TOKEN_MUTATION == 2)
    known = NGX_OK;
#endif

    if (known == NGX_AGAIN) {
        return ngx_access_token_flight_send(flight, now, flight->load.fenced);
    }

    if (known != NGX_OK) {
        return (known == NGX_DONE) ? NGX_OK : known;
    }

    /* it may have been redirected to another server */

    if (plain && origin->source == flight->origin.source) {
        (void) ngx_access_token_cache_put(store->zone, origin, flight->load.id,
                                          &flight->stamp, flight->sent, t);
    }

    return rc;
}


/* --- verdicts ---------------------------------------------------------- */

static void
ngx_access_token_lookup_judge(ngx_access_token_lookup_t *l,
    ngx_access_token_zone_t *zone, ngx_int_t rc, const ngx_access_token_t *t)
{
    ngx_access_token_verdict_e  verdict;

    switch (rc) {

    case NGX_OK:
        verdict = ngx_access_token_judge(t, &l->key, ngx_time());
        break;

    case NGX_DECLINED:
        verdict = NGX_ACCESS_TOKEN_UNKNOWN;
        break;

    default:
        verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;
    }

    if (verdict != NGX_ACCESS_TOKEN_UNKNOWN
        && verdict != NGX_ACCESS_TOKEN_UNAVAILABLE)
    {
        l->token = ngx_access_token_lookup_copy(l->pool, t);
        if (l->token == NULL) {
            verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;
        }
    }

    if (verdict == NGX_ACCESS_TOKEN_ACTIVE) {
        ngx_access_token_usage_mark(zone, l->key.id, ngx_time());
    }

    l->verdict = verdict;
}


/* The record and its texts in one piece. */

static ngx_access_token_t *
ngx_access_token_lookup_copy(ngx_pool_t *pool, const ngx_access_token_t *t)
{
    u_char              *p;
    ngx_access_token_t  *copy;

    copy = ngx_palloc(pool, sizeof(ngx_access_token_t)
                            + t->owner.organization.len + t->owner.group.len
                            + t->name.len + t->technical_user.len);
    if (copy == NULL) {
        return NULL;
    }

    *copy = *t;

    p = (u_char *) copy + sizeof(ngx_access_token_t);

    p = ngx_access_token_lookup_text(p, &copy->owner.organization);
    p = ngx_access_token_lookup_text(p, &copy->owner.group);
    p = ngx_access_token_lookup_text(p, &copy->name);
    (void) ngx_access_token_lookup_text(p, &copy->technical_user);

    /* what the edge does not load is not set */

    ngx_str_null(&copy->description);
    ngx_str_null(&copy->created_by);
    ngx_str_null(&copy->revoked_by);

    return copy;
}


static u_char *
ngx_access_token_lookup_text(u_char *p, ngx_str_t *text)
{
    if (text->len == 0) {
        ngx_str_null(text);
        return p;
    }

    ngx_memcpy(p, text->data, text->len);
    text->data = p;

    return p + text->len;
}
