
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The lease: how long a worker may believe what the zone has of a server.
 *
 *     down ---up---> up ---a heartbeat is heard---> lease runs ---> lapsed
 *       ^             |   and what was changed                        |
 *       |             |   before is in the zone     <--a heartbeat----'
 *       '---down------'
 *
 * A heartbeat that was heard tells that the server was in charge at t0, and
 * that all that was changed before is in the zone (see
 * ngx_access_token_heartbeat.c).  So until t0 + length the zone is as good as
 * promised.
 *
 * A link hears nothing of what was changed before it was up.  But another
 * worker may have: what all changes before a time are, heard and carried out
 * in the zone, those say who trust the zone (ngx_access_token_cache_hear()).
 * Once that time is after our link came up, we trust it too.  If nobody says
 * so, all that is in the zone becomes void, and it is trusted from then on.
 *
 * In a cluster all this is so for each server: a record is bound to the lease
 * of the one that it was read from, and is used as long as that one has its
 * slot.  After a failover, or a restart, there is another server.
 *
 * What always holds: a worker trusts what is of a server only while its link
 * there is up, and uses it only while it trusts it and the lease runs.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_access_token_cache.h>
#include <ngx_access_token_memory.h>
#include <ngx_access_token_term.h>


#define NGX_ACCESS_TOKEN_TICK_SOON  10          /* ms, until it is trusted */


static void ngx_access_token_lease_cleanup(void *data);

static void ngx_access_token_lease_up(void *data, ngx_uint_t node);
static void ngx_access_token_lease_down(void *data, ngx_uint_t node);
static void ngx_access_token_lease_changed(void *data, ngx_uint_t node,
    const ngx_str_t *key);
static const u_char *ngx_access_token_lease_id(
    const ngx_access_token_lease_t *lease, const ngx_str_t *key);
static void ngx_access_token_lease_published(ngx_access_token_lease_t *lease,
    ngx_uint_t node, const ngx_str_t *text);
static void ngx_access_token_lease_message(void *data, ngx_uint_t node,
    const ngx_str_t *channel, const ngx_str_t *text);

static void ngx_access_token_lease_tick(ngx_event_t *ev);
static void ngx_access_token_lease_check(ngx_access_token_term_t *term,
    int64_t now);
static void ngx_access_token_lease_note(ngx_access_token_term_t *term,
    int64_t now);

static ngx_int_t ngx_access_token_lease_names(ngx_access_token_lease_t *lease,
    ngx_pool_t *pool);
static uint64_t ngx_access_token_lease_source(
    const ngx_access_token_term_t *term);


ngx_access_token_lease_t *
ngx_access_token_lease_create(ngx_conf_t *cf, ngx_access_token_store_t *store,
    const ngx_redis_conf_t *redis, ngx_msec_t length)
{
    ngx_uint_t                 i;
    ngx_access_token_lease_t  *lease;

    lease = ngx_pcalloc(cf->pool, sizeof(ngx_access_token_lease_t));
    if (lease == NULL) {
        return NULL;
    }

    lease->store = store;
    lease->redis = redis;
    lease->length = (int64_t) length * 1000;
    lease->cluster = ngx_redis_is_cluster(store->redis);

    for (i = 0; i < NGX_REDIS_NODES; i++) {
        lease->terms[i].lease = lease;
        lease->terms[i].node = i;
    }

    lease->conf.channels = lease->channels;
    lease->conf.nchannels = 2;
    lease->conf.up = ngx_access_token_lease_up;
    lease->conf.down = ngx_access_token_lease_down;
    lease->conf.changed = ngx_access_token_lease_changed;
    lease->conf.message = ngx_access_token_lease_message;
    lease->conf.data = lease;

    if (ngx_redis_listen(cf, store->redis, &lease->conf) != NGX_OK) {
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

    ngx_redis_start(lease->store->redis);

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

    p = ngx_pnalloc(pool, 3 * (len + sizeof("inv") - 1)
                          + NGX_ACCESS_TOKEN_EDGE_LEN);
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

    return NGX_OK;
}


/*
 * Which server it is: FNV-1a of what names it, and never 0.  The run id too: a
 * server that was promoted has not heard of all that its predecessor has told,
 * and the other way round.
 */

static uint64_t
ngx_access_token_lease_source(const ngx_access_token_term_t *term)
{
    u_char     *p, *last, db[NGX_INT_T_LEN];
    uint64_t    hash;
    ngx_str_t   parts[4];
    ngx_uint_t  i;

    const ngx_access_token_lease_t  *lease;

    lease = term->lease;

    parts[0] = lease->redis->address;
    parts[1] = lease->store->key_prefix;
    parts[2].data = db;
    parts[2].len = ngx_sprintf(db, "%ui", lease->redis->db) - db;
    parts[3] = *ngx_redis_link_server(lease->store->redis, term->node);

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


const ngx_access_token_origin_t *
ngx_access_token_lease_origin(const ngx_access_token_lease_t *lease,
    const u_char *id, int64_t now)
{
    ngx_str_t                       tag;
    ngx_uint_t                      node;
    const ngx_access_token_term_t  *term;

    node = 0;

    if (lease->cluster) {
        tag.data = (u_char *) id;
        tag.len = NGX_ACCESS_TOKEN_TAG_LEN;

        node = ngx_redis_node(lease->store->redis, &tag);

        if (node == NGX_REDIS_NODES) {
            return NULL;
        }
    }

    term = &lease->terms[node];

    return ngx_access_token_lease_runs(term, now) ? &term->origin : NULL;
}


ngx_uint_t
ngx_access_token_lease_runs(const ngx_access_token_term_t *term, int64_t now)
{
    return term->trusted && now < term->until;
}


const ngx_access_token_origin_t *
ngx_access_token_lease_covers(const ngx_access_token_lease_t *lease,
    int64_t now)
{
    ngx_uint_t                      node;
    ngx_redis_t                    *redis;
    const ngx_str_t                *server;
    const ngx_access_token_term_t  *term;

    redis = lease->store->redis;
    node = ngx_redis_answering(redis);

    if (node == NGX_REDIS_NODES) {
        return NULL;
    }

    term = &lease->terms[node];
    server = ngx_redis_server(redis, node);

    if (ngx_access_token_lease_runs(term, now)
        && server->len
        && ngx_access_token_same(server, ngx_redis_link_server(redis, node)))
    {
        return &term->origin;
    }

    return NULL;
}


const ngx_str_t *
ngx_access_token_lease_fence(ngx_access_token_lease_t *lease,
    ngx_uint_t node)
{
    ngx_access_token_term_t  *term;

    term = &lease->terms[node];

    return (ngx_access_token_heartbeat_fence(term) == NGX_OK)
           ? &term->fence : NULL;
}


void
ngx_access_token_lease_refused(ngx_access_token_lease_t *lease,
    ngx_uint_t node)
{
    ngx_access_token_heartbeat_refused(&lease->terms[node]);
}


int64_t
ngx_access_token_lease_length(const ngx_access_token_lease_t *lease)
{
    return lease->length;
}


/* --- what the link tells ----------------------------------------------- */

/*
 * In a cluster channels alone will not do: who does not know yet that a slot
 * has moved hears of its changes by way of other nodes, and nobody knows how
 * late.
 */

static void
ngx_access_token_lease_up(void *data, ngx_uint_t node)
{
    ngx_access_token_lease_t *lease = data;

    ngx_uint_t                    other;
    ngx_access_token_term_t      *term;
    ngx_access_token_zone_t      *zone;
    ngx_access_token_counters_t  *counters;

    zone = lease->store->zone;
    counters = ngx_access_token_zone_mine(zone);
    term = &lease->terms[node];

    if (lease->cluster && !ngx_redis_link_tracks(lease->store->redis, node)) {
        return;
    }

    term->up = ngx_access_token_clock();
    term->heard = 0;

    other = ngx_access_token_cache_claim(zone,
                                         ngx_access_token_lease_source(term),
                                         &term->origin);

    if (other && !lease->cluster) {
        ngx_access_token_count(counters->flushes[NGX_ACCESS_TOKEN_SOURCE]);
    }

    ngx_access_token_count(counters->links);

#if (NGX_ACCESS_TOKEN_MUTATION == 3)
    term->trusted = 1;
#endif

    if (term->sent == 0) {
        ngx_access_token_heartbeat_send(term, term->up);
    }

    if (lease->tick.timer_set) {
        ngx_del_timer(&lease->tick);
    }

    ngx_add_timer(&lease->tick, NGX_ACCESS_TOKEN_TICK_SOON);
}


/* The number may be another server's next, which must not be taken for it. */

static void
ngx_access_token_lease_down(void *data, ngx_uint_t node)
{
    ngx_access_token_lease_t *lease = data;

    ngx_access_token_term_t  *term;

    term = &lease->terms[node];

    if (term->command) {
        ngx_redis_cancel(term->command);
        term->command = NULL;
    }

    term->sent = 0;
    term->up = 0;
    term->until = 0;
    term->published = 0;
    term->trusted = 0;
    term->again = 1;
}


static void
ngx_access_token_lease_changed(void *data, ngx_uint_t node,
    const ngx_str_t *key)
{
    ngx_access_token_lease_t *lease = data;

    const u_char             *id;
    ngx_access_token_zone_t  *zone;

    zone = lease->store->zone;

    if (key == NULL) {
        ngx_access_token_cache_flush(zone, &lease->terms[node].origin,
                                     NGX_ACCESS_TOKEN_FLUSH);

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "redis says that all access tokens may have changed: "
                      "none is taken from the cache any more");
        return;
    }

    ngx_access_token_count(ngx_access_token_zone_mine(zone)->changes);

    id = ngx_access_token_lease_id(lease, key);

    if (id) {
        ngx_access_token_cache_forget(zone, id);
    }
}


/* at:t:{tag}:ID; other keys are of no token, and so of no entry: NULL. */

static const u_char *
ngx_access_token_lease_id(const ngx_access_token_lease_t *lease,
    const ngx_str_t *key)
{
    size_t  prefix;

    prefix = lease->conf.prefix.len;

    if (key->len != prefix + sizeof("{}:") - 1 + NGX_ACCESS_TOKEN_TAG_LEN
                    + NGX_ACCESS_TOKEN_ID_LEN
        || ngx_memcmp(key->data, lease->conf.prefix.data, prefix) != 0)
    {
        return NULL;
    }

    return key->data + key->len - NGX_ACCESS_TOKEN_ID_LEN;
}


/*
 * What a script publishes: the change is remembered, and the record goes.  The
 * nodes of a cluster tell each other's changes too, later than the node itself,
 * which is the one to make records go: here as long as its lease runs.
 */

static void
ngx_access_token_lease_published(ngx_access_token_lease_t *lease,
    ngx_uint_t node, const ngx_str_t *text)
{
    uint64_t                   version;
    ngx_int_t                  rc;
    ngx_str_t                  key;
    const u_char              *id;
    ngx_access_token_memory_e  state;

    key = *text;

    rc = ngx_access_token_memory_parse(&key, &version, &state);
    id = ngx_access_token_lease_id(lease, &key);

    if (rc == NGX_OK && id) {
        ngx_access_token_memory_keep(lease->store->zone, id, version, state,
                                     ngx_access_token_clock());
    }

    if (!lease->cluster || ngx_redis_node(lease->store->redis, &key) == node) {
        ngx_access_token_lease_changed(lease, node, &key);
    }
}


static void
ngx_access_token_lease_message(void *data, ngx_uint_t node,
    const ngx_str_t *channel, const ngx_str_t *text)
{
    ngx_access_token_lease_t *lease = data;

    if (ngx_access_token_same(channel, &lease->channels[0])) {
        ngx_access_token_lease_published(lease, node, text);

    } else if (ngx_access_token_same(channel, &lease->channels[1])) {
        ngx_access_token_heartbeat_hear(&lease->terms[node], text);
    }
}


void
ngx_access_token_lease_adopt(ngx_access_token_term_t *term, int64_t now)
{
    int64_t                    heard;
    ngx_access_token_zone_t   *zone;
    ngx_access_token_lease_t  *lease;

    lease = term->lease;
    zone = lease->store->zone;
    heard = ngx_access_token_cache_heard(zone, &term->origin);

    if (heard >= term->up) {
        term->trusted = 1;
        return;
    }

    /* is there nobody, or does it take long? */

    if (now - heard < lease->length && now - term->up < lease->length / 2) {
        return;
    }

    ngx_access_token_cache_flush(zone, &term->origin,
                                 term->again ? NGX_ACCESS_TOKEN_LINK
                                             : NGX_ACCESS_TOKEN_START);
    term->trusted = 1;
}


/* --- now and then ------------------------------------------------------ */

static void
ngx_access_token_lease_tick(ngx_event_t *ev)
{
    int64_t                       now, until;
    ngx_uint_t                    i;
    ngx_msec_t                    next;
    ngx_connection_t             *dummy;
    ngx_access_token_term_t      *term;
    ngx_access_token_lease_t     *lease;
    ngx_access_token_counters_t  *counters;

    dummy = ev->data;
    lease = dummy->data;

    if (ngx_exiting || ngx_terminate) {
        return;
    }

    now = ngx_access_token_clock();
    next = lease->length / 8000;
    until = 0;

    for (i = 0; i < NGX_REDIS_NODES; i++) {
        term = &lease->terms[i];

        ngx_access_token_lease_check(term, now);

        if (!ngx_redis_has_node(lease->store->redis, i)) {
            continue;
        }

        /* the first to end, that of a server without one being the first */

        if (until == 0 || !term->running || term->until < until) {
            until = term->running ? term->until : -1;
        }

        if (term->up && !term->trusted) {
            next = ngx_min(next, NGX_ACCESS_TOKEN_TICK_SOON);
        }
    }

    counters = ngx_access_token_zone_mine(lease->store->zone);
    counters->lease = (until > 0) ? (ngx_atomic_uint_t) until : 0;

    /* workers that were started together do not stay together */

    ngx_add_timer(ev, next - ngx_random() % (next / 4 + 1) + 1);
}


static void
ngx_access_token_lease_check(ngx_access_token_term_t *term, int64_t now)
{
    ngx_access_token_lease_t  *lease;

    lease = term->lease;

    ngx_access_token_lease_note(term, now);

    if (!term->up) {
        return;
    }

    if (term->published && now - term->published > lease->length / 2) {
        term->published = 0;
        ngx_redis_link_reset(lease->store->redis, term->node,
                             "it did not deliver a heartbeat");

    } else if (!term->trusted && term->until) {
        ngx_access_token_lease_adopt(term, now);
    }

    if (term->sent == 0 && now - term->heard >= lease->length / 4) {
        ngx_access_token_heartbeat_send(term, now);
    }
}


/*
 * The log: it is worth a line that the cache is of no use.  A server that was
 * not in charge may have been a replica, and be a copy of another one now.  Of
 * that only key tracking tells, so without it nothing of before is of use.
 */

static void
ngx_access_token_lease_note(ngx_access_token_term_t *term, int64_t now)
{
    ngx_uint_t                 runs;
    ngx_redis_t               *redis;
    ngx_access_token_zone_t   *zone;

    runs = ngx_access_token_lease_runs(term, now);

    if (runs == term->running) {
        return;
    }

    term->running = runs;

    redis = term->lease->store->redis;
    zone = term->lease->store->zone;

    if (runs) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "access tokens are taken from the cache, redis: \"%V\"",
                      ngx_redis_node_name(redis, term->node));
        return;
    }

    if (!ngx_redis_has_node(redis, term->node)) {
        return;
    }

    ngx_access_token_count(ngx_access_token_zone_mine(zone)->lapses);

    if (term->up && !ngx_redis_link_tracks(redis, term->node)) {
        ngx_access_token_cache_flush(zone, &term->origin,
                                     NGX_ACCESS_TOKEN_LINK);
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "access tokens are not taken from the cache any more: %s, "
                  "so each one is looked up, redis: \"%V\"",
                  term->up ? "redis did not confirm in time that it is in "
                             "charge"
                           : "the link to redis is broken",
                  ngx_redis_node_name(redis, term->node));
}


ngx_msec_t
ngx_access_token_zone_lease(const ngx_access_token_counters_t *counters)
{
    int64_t  left;

    left = (int64_t) counters->lease - ngx_access_token_clock();

    return (left > 0) ? (ngx_msec_t) (left / 1000) : 0;
}
