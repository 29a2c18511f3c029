
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The lease: how long a worker may believe the zone.
 *
 *     down ---up---> up ---a heartbeat is heard---> lease runs ---> lapsed
 *       ^             |   and what was changed                        |
 *       |             |   before is in the zone     <--a heartbeat----'
 *       '---down------'
 *
 * A heartbeat is two steps on the connection for commands: at t0 a write (DEL
 * of a key that is not there: it is refused by a replica and by a primary that
 * has lost too many of them, but neither by a full Redis nor does it leave
 * anything behind); when that was accepted, PUBLISH of t0 and the server's run
 * id.  Every worker whose link delivers it, from the server of that id, has
 * been told of all that was changed there before t0.  So until t0 + length
 * the zone is as good as promised.  From the time of sending: by the time of
 * hearing, t0 may be long ago.  (Two steps, for Redis sends what it publishes
 * at once, but what has changed at the end of a turn of its event loop.)  One
 * heartbeat serves all workers, which hear each other: one that has heard none
 * for a quarter of the length sends one.
 *
 * A link hears nothing of what was changed before it was up.  But another
 * worker may have: what all changes before a time are, heard and carried out
 * in the zone, those say who trust the zone (ngx_access_token_cache_hear()).
 * Once that time is after our link came up, we trust it too.  If nobody says
 * so, all that is in the zone becomes void, and it is trusted from then on.
 * The zone is of one server at a time: of that of the link that came up last.
 * Workers whose link leads elsewhere find nothing in it and put nothing.
 *
 * What always holds: a worker trusts the zone only while its link is up, and
 * uses it only while it trusts it and the lease runs.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_access_token_cache.h>
#include <ngx_access_token_lease.h>


#define NGX_ACCESS_TOKEN_TICK_SOON  10          /* ms, until it is trusted */
#define NGX_ACCESS_TOKEN_RUN_ID     64          /* bytes, at most */


struct ngx_access_token_lease_s {
    ngx_access_token_store_t     *store;
    const ngx_redis_conf_t       *redis;
    ngx_redis_link_t             *link;
    ngx_redis_link_conf_t         conf;
    ngx_str_t                     channels[2];  /* changes, heartbeats */
    ngx_str_t                     fence;        /* the key that is written */

    /* microseconds on ngx_access_token_clock(); 0: not at all */
    int64_t                       length;
    int64_t                       until;
    int64_t                       heard;        /* when it was sent: its t0 */
    int64_t                       up;
    int64_t                       sent;         /* our own, under way */
    int64_t                       published;    /* and not yet heard */

    ngx_event_t                   tick;
    ngx_connection_t              dummy;        /* nginx logs a timer's fd */

    unsigned                      trusted:1;
    unsigned                      running:1;    /* as of the last tick */
    unsigned                      again:1;      /* the link was up before */
};


static void ngx_access_token_lease_cleanup(void *data);
static void ngx_access_token_lease_up(void *data);
static void ngx_access_token_lease_down(void *data);
static void ngx_access_token_lease_changed(void *data, const ngx_str_t *key);
static void ngx_access_token_lease_message(void *data,
    const ngx_str_t *channel, const ngx_str_t *text);
static void ngx_access_token_lease_hear(ngx_access_token_lease_t *lease,
    const ngx_str_t *text);
static void ngx_access_token_lease_adopt(ngx_access_token_lease_t *lease,
    int64_t now);

static void ngx_access_token_lease_tick(ngx_event_t *ev);
static void ngx_access_token_lease_note(ngx_access_token_lease_t *lease,
    int64_t now);
static void ngx_access_token_lease_beat(ngx_access_token_lease_t *lease,
    int64_t now);
static void ngx_access_token_lease_await_fence(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static void ngx_access_token_lease_await_publish(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);

static ngx_int_t ngx_access_token_lease_names(ngx_access_token_lease_t *lease,
    ngx_pool_t *pool);
static uint64_t ngx_access_token_lease_source(
    const ngx_access_token_lease_t *lease);


ngx_access_token_lease_t *
ngx_access_token_lease_create(ngx_conf_t *cf, ngx_access_token_store_t *store,
    const ngx_redis_conf_t *redis, ngx_msec_t length)
{
    ngx_access_token_lease_t  *lease;

    lease = ngx_pcalloc(cf->pool, sizeof(ngx_access_token_lease_t));
    if (lease == NULL) {
        return NULL;
    }

    lease->store = store;
    lease->redis = redis;
    lease->length = (int64_t) length * 1000;

    lease->conf.channels = lease->channels;
    lease->conf.nchannels = 2;
    lease->conf.up = ngx_access_token_lease_up;
    lease->conf.down = ngx_access_token_lease_down;
    lease->conf.changed = ngx_access_token_lease_changed;
    lease->conf.message = ngx_access_token_lease_message;
    lease->conf.data = lease;

    lease->link = ngx_redis_link_create(cf, store->redis, &lease->conf);
    if (lease->link == NULL) {
        return NULL;
    }

    return lease;
}


ngx_int_t
ngx_access_token_lease_start(ngx_access_token_lease_t *lease)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(ngx_cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_access_token_lease_cleanup;
    cln->data = lease;

    if (ngx_access_token_lease_names(lease, ngx_cycle->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    lease->dummy.fd = (ngx_socket_t) -1;

    lease->tick.handler = ngx_access_token_lease_tick;
    lease->tick.data = &lease->dummy;
    lease->dummy.data = lease;
    lease->tick.log = ngx_cycle->log;
    lease->tick.cancelable = 1;

    ngx_add_timer(&lease->tick, NGX_ACCESS_TOKEN_TICK_SOON);

    ngx_redis_link_start(lease->link);

    return NGX_OK;
}


/* A process that is all there is outlives its configuration. */

static void
ngx_access_token_lease_cleanup(void *data)
{
    ngx_access_token_lease_t *lease = data;

    if (lease->tick.timer_set) {
        ngx_del_timer(&lease->tick);
    }
}


/* The name of the zone is known when it is there: in a worker. */

static ngx_int_t
ngx_access_token_lease_names(ngx_access_token_lease_t *lease, ngx_pool_t *pool)
{
    u_char                    *p;
    size_t                     len;
    const u_char              *edge;
    ngx_access_token_store_t  *store;

    store = lease->store;
    len = store->key_prefix.len;
    edge = ngx_access_token_cache_edge(store->zone);

    p = ngx_pnalloc(pool, 4 * (len + sizeof("z:{}") - 1)
                          + 2 * NGX_ACCESS_TOKEN_EDGE_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    lease->conf.prefix.data = p;
    p = ngx_sprintf(p, "%Vt:", &store->key_prefix);
    lease->conf.prefix.len = p - lease->conf.prefix.data;

    lease->channels[0].data = p;
    p = ngx_sprintf(p, "%Vinv", &store->key_prefix);
    lease->channels[0].len = p - lease->channels[0].data;

    lease->channels[1].data = p;
    p = ngx_sprintf(p, "%Vz:%*s", &store->key_prefix,
                    (size_t) NGX_ACCESS_TOKEN_EDGE_LEN, edge);
    lease->channels[1].len = p - lease->channels[1].data;

    lease->fence.data = p;
    p = ngx_sprintf(p, "%Vz:{%*s}", &store->key_prefix,
                    (size_t) NGX_ACCESS_TOKEN_EDGE_LEN, edge);
    lease->fence.len = p - lease->fence.data;

    return NGX_OK;
}


/*
 * Which Redis the zone is of: FNV-1a of what names it, and never 0.  The run id
 * too: a server that was promoted has not heard of all that its predecessor
 * has told, and the other way round.
 */

static uint64_t
ngx_access_token_lease_source(const ngx_access_token_lease_t *lease)
{
    u_char     *p, *last, db[NGX_INT_T_LEN];
    uint64_t    hash;
    ngx_str_t   parts[4];
    ngx_uint_t  i;

    parts[0] = lease->redis->address;
    parts[1] = lease->store->key_prefix;
    parts[2].data = db;
    parts[2].len = ngx_sprintf(db, "%ui", lease->redis->db) - db;
    parts[3] = *ngx_redis_link_server(lease->link);

    hash = 0xcbf29ce484222325;

    for (i = 0; i < 4; i++) {
        last = parts[i].data + parts[i].len;

        for (p = parts[i].data; p < last; p++) {
            hash = (hash ^ *p) * 0x100000001b3;
        }

        /* no byte of UTF-8 */
        hash = (hash ^ 0xff) * 0x100000001b3;
    }

    return hash ? hash : 1;
}


ngx_uint_t
ngx_access_token_lease_runs(const ngx_access_token_lease_t *lease, int64_t now)
{
    return lease->trusted && now < lease->until;
}


ngx_uint_t
ngx_access_token_lease_covers(const ngx_access_token_lease_t *lease,
    int64_t now)
{
    const ngx_str_t  *server;

    server = ngx_redis_server(lease->store->redis);

    return ngx_access_token_lease_runs(lease, now)
           && server->len
           && ngx_access_token_same(server,
                                    ngx_redis_link_server(lease->link));
}


int64_t
ngx_access_token_lease_length(const ngx_access_token_lease_t *lease)
{
    return lease->length;
}


/* --- what the link tells ----------------------------------------------- */

static void
ngx_access_token_lease_up(void *data)
{
    ngx_access_token_lease_t *lease = data;

    lease->up = ngx_access_token_clock();

    ngx_access_token_cache_claim(lease->store->zone,
                                 ngx_access_token_lease_source(lease));

    ngx_access_token_count(
        ngx_access_token_zone_mine(lease->store->zone)->links);

#if (NGX_ACCESS_TOKEN_MUTATION == 3)
    lease->trusted = 1;
#endif

    if (lease->sent == 0) {
        ngx_access_token_lease_beat(lease, lease->up);
    }

    if (lease->tick.timer_set) {
        ngx_del_timer(&lease->tick);
    }

    ngx_add_timer(&lease->tick, NGX_ACCESS_TOKEN_TICK_SOON);
}


static void
ngx_access_token_lease_down(void *data)
{
    ngx_access_token_lease_t *lease = data;

    lease->up = 0;
    lease->until = 0;
    lease->published = 0;
    lease->trusted = 0;
    lease->again = 1;
}


static void
ngx_access_token_lease_changed(void *data, const ngx_str_t *key)
{
    ngx_access_token_lease_t *lease = data;

    size_t                    prefix;
    ngx_access_token_zone_t  *zone;

    zone = lease->store->zone;

    if (key == NULL) {
        ngx_access_token_cache_flush(zone, NGX_ACCESS_TOKEN_FLUSH);

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "redis says that all access tokens may have changed: "
                      "none is taken from the cache any more");
        return;
    }

    ngx_access_token_count(ngx_access_token_zone_mine(zone)->changes);

    /* at:t:{tag}:ID; other keys are of no token, and so of no entry */

    prefix = lease->conf.prefix.len;

    if (key->len == prefix + sizeof("{}:") - 1 + NGX_ACCESS_TOKEN_TAG_LEN
                    + NGX_ACCESS_TOKEN_ID_LEN
        && ngx_memcmp(key->data, lease->conf.prefix.data, prefix) == 0)
    {
        ngx_access_token_cache_forget(zone, key->data + key->len
                                            - NGX_ACCESS_TOKEN_ID_LEN);
    }
}


static void
ngx_access_token_lease_message(void *data, const ngx_str_t *channel,
    const ngx_str_t *text)
{
    ngx_access_token_lease_t *lease = data;

    if (ngx_access_token_same(channel, &lease->channels[0])) {
        ngx_access_token_lease_changed(lease, text);

    } else if (ngx_access_token_same(channel, &lease->channels[1])) {
        ngx_access_token_lease_hear(lease, text);
    }
}


/*
 * "t0 run-id".  One of another server says nothing of this one, and one of
 * the future nothing at all.
 */

static void
ngx_access_token_lease_hear(ngx_access_token_lease_t *lease,
    const ngx_str_t *text)
{
    u_char     *p;
    int64_t     sent, now;
    ngx_str_t   server;

    p = ngx_strlchr(text->data, text->data + text->len, ' ');
    if (p == NULL) {
        return;
    }

    server.data = p + 1;
    server.len = text->data + text->len - server.data;

    sent = ngx_atoof(text->data, p - text->data);
    now = ngx_access_token_clock();

    if (sent == NGX_ERROR
        || sent > now
        || !ngx_access_token_same(&server, ngx_redis_link_server(lease->link)))
    {
        return;
    }

    lease->published = 0;

    lease->heard = ngx_max(lease->heard, sent);
    lease->until = ngx_max(lease->until, sent + lease->length);

#if (NGX_ACCESS_TOKEN_MUTATION == 1)
    lease->until = now + lease->length;
#endif

    if (lease->trusted) {
        ngx_access_token_cache_hear(lease->store->zone, sent);

    } else {
        ngx_access_token_lease_adopt(lease, now);
    }
}


static void
ngx_access_token_lease_adopt(ngx_access_token_lease_t *lease, int64_t now)
{
    int64_t                   heard;
    ngx_access_token_zone_t  *zone;

    zone = lease->store->zone;
    heard = ngx_access_token_cache_heard(zone);

    if (heard >= lease->up) {
        lease->trusted = 1;
        return;
    }

    /* is there nobody, or does it take long? */

    if (now - heard < lease->length && now - lease->up < lease->length / 2) {
        return;
    }

    ngx_access_token_cache_flush(zone, lease->again ? NGX_ACCESS_TOKEN_LINK
                                                    : NGX_ACCESS_TOKEN_START);
    lease->trusted = 1;
}


/* --- heartbeats -------------------------------------------------------- */

static void
ngx_access_token_lease_tick(ngx_event_t *ev)
{
    int64_t                    now;
    ngx_msec_t                 next;
    ngx_connection_t          *dummy;
    ngx_access_token_lease_t  *lease;

    dummy = ev->data;
    lease = dummy->data;

    if (ngx_exiting || ngx_terminate) {
        return;
    }

    now = ngx_access_token_clock();
    next = lease->length / 8000;

    ngx_access_token_lease_note(lease, now);

    if (lease->up) {

        if (lease->published && now - lease->published > lease->length / 2) {
            lease->published = 0;
            ngx_redis_link_reset(lease->link, "it did not deliver a heartbeat");

        } else if (!lease->trusted && lease->until) {
            ngx_access_token_lease_adopt(lease, now);
        }

        if (!lease->trusted) {
            next = ngx_min(next, NGX_ACCESS_TOKEN_TICK_SOON);
        }

        if (lease->sent == 0 && now - lease->heard >= lease->length / 4) {
            ngx_access_token_lease_beat(lease, now);
        }
    }

    /* workers that were started together do not stay together */

    ngx_add_timer(ev, next - ngx_random() % (next / 4 + 1) + 1);
}


/* The status, and the log: it is worth a line that the cache is of no use. */

static void
ngx_access_token_lease_note(ngx_access_token_lease_t *lease, int64_t now)
{
    ngx_uint_t                    runs;
    ngx_access_token_counters_t  *counters;

    runs = ngx_access_token_lease_runs(lease, now);
    counters = ngx_access_token_zone_mine(lease->store->zone);

    counters->lease = runs ? (ngx_atomic_uint_t) lease->until : 0;

    if (runs == lease->running) {
        return;
    }

    lease->running = runs;

    if (runs) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "access tokens are taken from the cache");
        return;
    }

    ngx_access_token_count(counters->lapses);

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "access tokens are not taken from the cache any more: %s, "
                  "so each one is looked up",
                  lease->up ? "redis did not confirm in time that it is in "
                              "charge"
                            : "the link to redis is broken");
}


static void
ngx_access_token_lease_beat(ngx_access_token_lease_t *lease, int64_t now)
{
    ngx_str_t                 argv[2];
    ngx_redis_t              *redis;

    redis = lease->store->redis;

    ngx_str_set(&argv[0], "DEL");
    argv[1] = lease->fence;

    lease->sent = now;

    if (ngx_redis_send(redis, &argv[1], argv, 2,
                       ngx_access_token_lease_await_fence, lease)
        == NULL)
    {
        lease->sent = 0;
    }
}


static void
ngx_access_token_lease_await_fence(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_lease_t *lease = data;

    u_char            text[NGX_INT64_LEN + 1 + NGX_ACCESS_TOKEN_RUN_ID];
    ngx_str_t         argv[3];
    ngx_redis_t      *redis;
    const ngx_str_t  *server;

    redis = lease->store->redis;
    server = ngx_redis_server(redis);

    if (rc != NGX_OK
        || reply->type != NGX_REDIS_INTEGER
        || server->len == 0
        || server->len > NGX_ACCESS_TOKEN_RUN_ID)
    {
        lease->sent = 0;
        return;
    }

    ngx_str_set(&argv[0], "PUBLISH");
    argv[1] = lease->channels[1];
    argv[2].data = text;
    argv[2].len = ngx_sprintf(text, "%L %V", lease->sent, server) - text;

    if (ngx_redis_send(redis, &argv[1], argv, 3,
                       ngx_access_token_lease_await_publish, lease)
        == NULL)
    {
        lease->sent = 0;
    }
}


/*
 * From now on the link has it to deliver, or the first one that it has not: it
 * is the oldest that tells how long nothing was heard.
 */

static void
ngx_access_token_lease_await_publish(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_lease_t *lease = data;

    if (rc == NGX_OK
        && lease->up
        && lease->published == 0
        && lease->heard < lease->sent)
    {
        lease->published = ngx_access_token_clock();
    }

    lease->sent = 0;
}


ngx_msec_t
ngx_access_token_zone_lease(const ngx_access_token_counters_t *counters)
{
    int64_t  left;

    left = (int64_t) counters->lease - ngx_access_token_clock();

    return (left > 0) ? (ngx_msec_t) (left / 1000) : 0;
}
