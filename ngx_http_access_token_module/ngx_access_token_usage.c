
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Last use: which tokens were used is kept in the zone and told to Redis in
 * batches, once in an interval, so the path of a request never writes.
 *
 *     a token is good --mark--> uses --an interval later--> ZADD at:u:{tag}
 *
 * A token is marked when its record says that it was not for an interval, so
 * a busy one costs a comparison.  What is marked waits in the zone, which
 * outlives workers and reloads; whichever worker finds that the time has come
 * takes it out, a piece at a time, one piece after the other is answered.
 * What Redis does not take goes back.  If nginx ends or the machine dies, what
 * was used in the last interval is not told.
 *
 * XX: a token that was deleted in the meantime does not come back.  GT: nor
 * does an earlier use, from whichever edge.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_access_token_zone.h>


#define NGX_ACCESS_TOKEN_USE_BATCH  64          /* tokens of one command */
#define NGX_ACCESS_TOKEN_USE_SCAN   4096        /* places, under one lock */
#define NGX_ACCESS_TOKEN_USE_TICK   1000        /* ms */


/* One at a time in a worker. */

typedef struct {
    ngx_access_token_store_t     *store;
    ngx_event_t                   tick;
    ngx_connection_t              dummy;        /* nginx logs a timer's fd */
    uint32_t                      next;         /* place to look at */
    ngx_access_token_use_t        uses[NGX_ACCESS_TOKEN_USE_BATCH];
    ngx_uint_t                    nuses;        /* not yet in Redis */
    ngx_uint_t                    sent;         /* of these, on the way */
    unsigned                      flushing:1;
} ngx_access_token_usage_t;


static void ngx_access_token_usage_put_locked(ngx_access_token_zone_t *zone,
    const u_char *id, uint32_t now);
static void ngx_access_token_usage_cleanup(void *data);
static void ngx_access_token_usage_tick(ngx_event_t *ev);
static ngx_uint_t ngx_access_token_usage_due(ngx_access_token_zone_t *zone);
static ngx_uint_t ngx_access_token_usage_waits(
    const ngx_access_token_zone_t *zone, uint32_t now);
static void ngx_access_token_usage_flush(ngx_access_token_usage_t *usage);
static void ngx_access_token_usage_take(ngx_access_token_usage_t *usage);
static ngx_int_t ngx_access_token_usage_send(ngx_access_token_usage_t *usage);
static void ngx_access_token_usage_await_answer(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static void ngx_access_token_usage_give_back(ngx_access_token_usage_t *usage);


void
ngx_access_token_usage_mark(ngx_access_token_zone_t *zone, const u_char *id,
    time_t now)
{
    ngx_access_token_slot_t  *slot;

    if (zone->usage == 0) {
        return;
    }

    ngx_access_token_zone_lock(zone);

    slot = ngx_access_token_slots_find_locked(zone, id);

    if (slot == NULL
        || now - (time_t) slot->used >= zone->usage)
    {
        if (slot) {
            slot->used = (uint32_t) now;
        }

        ngx_access_token_usage_put_locked(zone, id, (uint32_t) now);
    }

    ngx_access_token_zone_unlock(zone);
}


/* If there is no room, the one that was used the longest ago is not told. */

static void
ngx_access_token_usage_put_locked(ngx_access_token_zone_t *zone,
    const u_char *id, uint32_t now)
{
    uint32_t                 set;
    ngx_uint_t               i;
    ngx_access_token_use_t  *use, *to;

    set = ngx_access_token_zone_hash(zone, id)
          & (zone->nuses - 1) & ~(NGX_ACCESS_TOKEN_USE_WAYS - 1);

    to = use = &zone->uses[set];

    for (i = 0; i < NGX_ACCESS_TOKEN_USE_WAYS; i++) {

        if (use[i].time
            && ngx_memcmp(use[i].id, id, NGX_ACCESS_TOKEN_ID_LEN) == 0)
        {
            use[i].time = ngx_max(use[i].time, now);
            return;
        }

        if (use[i].time < to->time) {
            to = &use[i];
        }
    }

    if (to->time) {
        ngx_access_token_count(zone->counters->uses_lost);

        if (to->time >= now) {
            return;
        }
    }

    ngx_memcpy(to->id, id, NGX_ACCESS_TOKEN_ID_LEN);
    to->time = now;
}


/* --- in batches -------------------------------------------------------- */

ngx_int_t
ngx_access_token_usage_start(ngx_access_token_store_t *store)
{
    ngx_pool_cleanup_t        *cln;
    ngx_access_token_usage_t  *usage;

    usage = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_access_token_usage_t));
    if (usage == NULL) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(ngx_cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_access_token_usage_cleanup;
    cln->data = usage;

    usage->store = store;
    usage->dummy.fd = (ngx_socket_t) -1;
    usage->dummy.data = usage;

    usage->tick.handler = ngx_access_token_usage_tick;
    usage->tick.data = &usage->dummy;
    usage->tick.log = ngx_cycle->log;
    usage->tick.cancelable = 1;

    ngx_add_timer(&usage->tick, NGX_ACCESS_TOKEN_USE_TICK);

    return NGX_OK;
}


static void
ngx_access_token_usage_cleanup(void *data)
{
    ngx_access_token_usage_t *usage = data;

    if (usage->tick.timer_set) {
        ngx_del_timer(&usage->tick);
    }
}


static void
ngx_access_token_usage_tick(ngx_event_t *ev)
{
    ngx_connection_t          *dummy;
    ngx_access_token_usage_t  *usage;

    dummy = ev->data;
    usage = dummy->data;

    if (ngx_exiting || ngx_terminate) {
        return;
    }

    ngx_add_timer(ev, NGX_ACCESS_TOKEN_USE_TICK);

    if (!usage->flushing
        && ngx_access_token_usage_due(usage->store->zone))
    {
        usage->flushing = 1;
        usage->next = 0;

        ngx_access_token_usage_flush(usage);
    }
}


/* The first one to ask after the interval or so is the one to do it. */

static ngx_uint_t
ngx_access_token_usage_due(ngx_access_token_zone_t *zone)
{
    uint32_t    now, interval;
    ngx_uint_t  due;

    now = (uint32_t) ngx_time();

    if (ngx_access_token_usage_waits(zone, now)) {
        return 0;
    }

    /* edges that were started together do not stay together */

    interval = zone->usage + ngx_random() % (zone->usage / 6 + 1);

    ngx_access_token_zone_lock(zone);

    due = !ngx_access_token_usage_waits(zone, now);

    if (due) {
        due = (zone->header->flush != 0);
        zone->header->flush = now + interval;
    }

    ngx_access_token_zone_unlock(zone);

    return due;
}


/* A time beyond any interval was set when there was a longer one. */

static ngx_uint_t
ngx_access_token_usage_waits(const ngx_access_token_zone_t *zone, uint32_t now)
{
    int32_t  left;

    left = (int32_t) (zone->header->flush - now);

    return zone->header->flush != 0
           && left > 0
           && left <= zone->usage + zone->usage / 6;
}


/* Goes on until all places were looked at, or Redis fails. */

static void
ngx_access_token_usage_flush(ngx_access_token_usage_t *usage)
{
    while (usage->nuses == 0 && usage->next < usage->store->zone->nuses) {
        ngx_access_token_usage_take(usage);
    }

    if (usage->nuses == 0) {
        usage->flushing = 0;
        return;
    }

    if (ngx_access_token_usage_send(usage) != NGX_OK) {
        ngx_access_token_usage_give_back(usage);
    }
}


static void
ngx_access_token_usage_take(ngx_access_token_usage_t *usage)
{
    uint32_t                  last;
    ngx_access_token_use_t   *use;
    ngx_access_token_zone_t  *zone;

    zone = usage->store->zone;
    last = ngx_min(usage->next + NGX_ACCESS_TOKEN_USE_SCAN, zone->nuses);

    ngx_access_token_zone_lock(zone);

    while (usage->next < last && usage->nuses < NGX_ACCESS_TOKEN_USE_BATCH) {
        use = &zone->uses[usage->next++];

        if (use->time) {
            usage->uses[usage->nuses++] = *use;
            use->time = 0;
        }
    }

    ngx_access_token_zone_unlock(zone);
}


/* The first use, and with it all that are of the same tag: one key. */

static ngx_int_t
ngx_access_token_usage_send(ngx_access_token_usage_t *usage)
{
    u_char                     *p, key[64];
    u_char                      times[NGX_ACCESS_TOKEN_USE_BATCH]
                                     [NGX_INT32_LEN];
    ngx_str_t                   argv[4 + 2 * NGX_ACCESS_TOKEN_USE_BATCH];
    ngx_uint_t                  i, argc;
    ngx_access_token_use_t      use;
    ngx_access_token_store_t   *store;

    store = usage->store;
    usage->sent = 0;
    argc = 4;

    for (i = 0; i < usage->nuses; i++) {
        use = usage->uses[i];

        if (ngx_memcmp(use.id, usage->uses[0].id, NGX_ACCESS_TOKEN_TAG_LEN)
            != 0)
        {
            continue;
        }

        /* to the front, where those are that are sent */

        usage->uses[i] = usage->uses[usage->sent];
        usage->uses[usage->sent] = use;

        p = times[usage->sent];
        argv[argc].data = p;
        argv[argc++].len = ngx_sprintf(p, "%uD", use.time) - p;

        argv[argc].data = usage->uses[usage->sent].id;
        argv[argc++].len = NGX_ACCESS_TOKEN_ID_LEN;

        usage->sent++;
    }

    ngx_str_set(&argv[0], "ZADD");
    ngx_str_set(&argv[2], "XX");
    ngx_str_set(&argv[3], "GT");

    argv[1].data = key;
    argv[1].len = ngx_sprintf(key, "%Vu:{%*s}", &store->key_prefix,
                              (size_t) NGX_ACCESS_TOKEN_TAG_LEN,
                              usage->uses[0].id)
                  - key;

    return ngx_redis_send(store->redis, &argv[1], argv, argc,
                          ngx_access_token_usage_await_answer, usage)
           ? NGX_OK : NGX_ERROR;
}


static void
ngx_access_token_usage_await_answer(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_usage_t *usage = data;

    if (rc != NGX_OK) {
        ngx_access_token_usage_give_back(usage);
        return;
    }

    (void) ngx_atomic_fetch_add(&usage->store->zone->counters->uses,
                                usage->sent);

    usage->nuses -= usage->sent;
    ngx_memmove(usage->uses, &usage->uses[usage->sent],
                usage->nuses * sizeof(ngx_access_token_use_t));

    ngx_access_token_usage_flush(usage);
}


/* They wait for the next time, unless they were used again meanwhile. */

static void
ngx_access_token_usage_give_back(ngx_access_token_usage_t *usage)
{
    ngx_uint_t                i;
    ngx_access_token_zone_t  *zone;

    zone = usage->store->zone;

    ngx_access_token_zone_lock(zone);

    for (i = 0; i < usage->nuses; i++) {
        ngx_access_token_usage_put_locked(zone, usage->uses[i].id,
                                          usage->uses[i].time);
    }

    ngx_access_token_zone_unlock(zone);

    usage->nuses = 0;
    usage->flushing = 0;
}
