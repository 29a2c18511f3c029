
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A cluster: which nodes there are, and which one has a slot.
 *
 * The map is asked for when the first command waits, soon after whatever makes
 * it doubtful, and now and then: of any node that answers, or else of those of
 * the configuration, one after the other.
 *
 * A node without slots leaves: its link is closed at once, its number is free,
 * and when it has answered what it was asked it is closed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_redis_internal.h>


/* How often the map is asked for, ms. */

#define NGX_REDIS_MAP_AT_MOST   100
#define NGX_REDIS_MAP_FAILING   250
#define NGX_REDIS_MAP_LEAVING   1000
#define NGX_REDIS_MAP_USUALLY   10000


static void ngx_redis_cluster_open(ngx_redis_conn_t *conn);
static void ngx_redis_cluster_tick(ngx_event_t *ev);
static ngx_redis_node_t *ngx_redis_cluster_teller(
    ngx_redis_cluster_t *cluster);
static void ngx_redis_cluster_ask(ngx_redis_cluster_t *cluster,
    ngx_redis_node_t *node);
static void ngx_redis_cluster_await_map(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static void ngx_redis_cluster_untold(ngx_redis_cluster_t *cluster,
    ngx_redis_node_t *node);
static ngx_int_t ngx_redis_cluster_take(ngx_redis_cluster_t *cluster,
    ngx_redis_node_t *teller, const ngx_redis_reply_t *reply);
static ngx_int_t ngx_redis_cluster_take_range(void *data, ngx_uint_t first,
    ngx_uint_t last, const ngx_str_t *host, in_port_t port);
static void ngx_redis_cluster_overhear(ngx_redis_cluster_t *cluster,
    ngx_redis_node_t *teller, const ngx_redis_reply_t *reply);
static ngx_str_t ngx_redis_cluster_host(const ngx_redis_node_t *node);
static void ngx_redis_cluster_count(ngx_redis_cluster_t *cluster);
static void ngx_redis_cluster_rest(ngx_redis_cluster_t *cluster);

static void ngx_redis_cluster_leave(ngx_redis_cluster_t *cluster,
    ngx_redis_node_t *node);
static void ngx_redis_cluster_sweep(ngx_redis_cluster_t *cluster);


ngx_redis_cluster_t *
ngx_redis_cluster_create(ngx_conf_t *cf, ngx_redis_t *redis)
{
    ngx_str_t            *addresses;
    ngx_uint_t            i;
    ngx_redis_cluster_t  *cluster;

    cluster = ngx_pcalloc(cf->pool, sizeof(ngx_redis_cluster_t));
    if (cluster == NULL) {
        return NULL;
    }

    addresses = redis->conf->addresses->elts;

    cluster->redis = redis;
    cluster->nseeds = redis->conf->addresses->nelts;
    cluster->seeds = ngx_pcalloc(cf->pool,
                                 cluster->nseeds * sizeof(ngx_redis_place_t));
    if (cluster->seeds == NULL) {
        return NULL;
    }

    for (i = 0; i < cluster->nseeds; i++) {
        if (ngx_redis_place_init(cf, &cluster->seeds[i], &addresses[i])
            != NGX_OK)
        {
            return NULL;
        }
    }

    ngx_memset(cluster->map, NGX_REDIS_NODES, NGX_REDIS_SLOTS);

    ngx_queue_init(&cluster->waiting);
    ngx_queue_init(&cluster->leaving);

    ngx_redis_node_init(&cluster->seed, redis);

    cluster->seed.conn.open = ngx_redis_cluster_open;

    cluster->tick.handler = ngx_redis_cluster_tick;
    cluster->tick.data = cluster;
    cluster->tick.log = &cluster->seed.conn.log;
    cluster->tick.cancelable = 1;

    cluster->again.handler = ngx_redis_cluster_again;
    cluster->again.data = cluster;
    cluster->again.log = &cluster->seed.conn.log;

    return cluster;
}


void
ngx_redis_cluster_free(ngx_redis_cluster_t *cluster)
{
    ngx_uint_t            i;
    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;

    ngx_redis_node_close(&cluster->seed);

    for (i = 0; i < cluster->nseeds; i++) {
        ngx_redis_place_free(&cluster->seeds[i]);
    }

    while (!ngx_queue_empty(&cluster->leaving)) {
        q = ngx_queue_head(&cluster->leaving);
        ngx_queue_remove(q);
        ngx_redis_node_close(ngx_queue_data(q, ngx_redis_node_t, queue));
    }

    while (!ngx_queue_empty(&cluster->waiting)) {
        q = ngx_queue_head(&cluster->waiting);
        ngx_queue_remove(q);
        cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
        ngx_redis_finish(cluster->redis, cmd, NULL);
    }

    if (cluster->tick.timer_set) {
        ngx_del_timer(&cluster->tick);
    }

    if (cluster->again.timer_set) {
        ngx_del_timer(&cluster->again);
    }
}


ngx_redis_node_t *
ngx_redis_cluster_route(const ngx_redis_cluster_t *cluster, ngx_uint_t slot)
{
    ngx_uint_t  n;

    n = cluster->map[slot];

    return (n < NGX_REDIS_NODES) ? cluster->redis->nodes[n] : NULL;
}


/* --- the map ----------------------------------------------------------- */

void
ngx_redis_cluster_doubt(ngx_redis_cluster_t *cluster)
{
    ngx_msec_t  since, wait;

    if (cluster->asked) {
        cluster->doubtful = 1;
        return;
    }

    if (cluster->seed.conn.log.data == NULL) {
        ngx_redis_conn_log(&cluster->seed.conn);
    }

    since = ngx_current_msec - cluster->since;
    wait = 1;

    if (cluster->since && since < NGX_REDIS_MAP_AT_MOST) {
        wait = NGX_REDIS_MAP_AT_MOST - since + ngx_random() % 20;
    }

    if (cluster->tick.timer_set) {

        if ((ngx_msec_int_t) (cluster->tick.timer.key
                              - (ngx_current_msec + wait))
            <= 0)
        {
            return;
        }

        ngx_del_timer(&cluster->tick);
    }

    ngx_add_timer(&cluster->tick, wait);
}


static void
ngx_redis_cluster_tick(ngx_event_t *ev)
{
    ngx_redis_cluster_t  *cluster;

    cluster = ev->data;

    ngx_redis_cluster_sweep(cluster);

    /* what answers, but tells no map, is left for the next one */

    if (cluster->pause || cluster->asked) {
        ngx_redis_conn_drop(&cluster->seed.conn);
    }

    if (cluster->asked) {
        ngx_redis_cluster_ask(cluster, &cluster->seed);
        return;
    }

    cluster->doubtful = 0;
    cluster->left = cluster->nseeds;

    ngx_redis_cluster_ask(cluster, ngx_redis_cluster_teller(cluster));
}


/* One that answers, another one each time; or else a seed. */

static ngx_redis_node_t *
ngx_redis_cluster_teller(ngx_redis_cluster_t *cluster)
{
    ngx_uint_t         i, first;
    ngx_redis_node_t  *node;

    first = ngx_random() % NGX_REDIS_NODES;

    for (i = 0; i < NGX_REDIS_NODES; i++) {
        node = cluster->redis->nodes[(first + i) % NGX_REDIS_NODES];

        if (node && node->conn.ready && node->pause == 0) {
            return node;
        }
    }

    return &cluster->seed;
}


static void
ngx_redis_cluster_ask(ngx_redis_cluster_t *cluster, ngx_redis_node_t *node)
{
    static const ngx_str_t  argv[] = {
        ngx_string("CLUSTER"),
        ngx_string("SLOTS")
    };

    cluster->asked = node;
    cluster->since = ngx_current_msec;

    if (node == &cluster->seed) {
        node->pause = 0;
    }

    if (ngx_redis_ask(node, argv, 2, ngx_redis_cluster_await_map, cluster)
        == NULL)
    {
        ngx_redis_cluster_untold(cluster, node);
    }
}


/* Each time at the next place: the one before may have been of no use. */

static void
ngx_redis_cluster_open(ngx_redis_conn_t *conn)
{
    ngx_redis_node_t     *seed;
    ngx_redis_cluster_t  *cluster;

    seed = conn->data;
    cluster = seed->redis->cluster;

    cluster->nseed++;

    ngx_redis_place_open(&cluster->seeds[cluster->nseed % cluster->nseeds],
                         conn);
}


static void
ngx_redis_cluster_await_map(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_redis_cluster_t *cluster = data;

    ngx_redis_node_t  *node;

    node = cluster->asked;

    if (rc != NGX_OK) {
        ngx_redis_cluster_untold(cluster, node);
        return;
    }

    if (reply->type == NGX_REDIS_ARRAY && reply->nelts == 0) {

        if (ngx_redis_conn_tell(&node->conn, NGX_REDIS_MAP)) {
            ngx_log_error(NGX_LOG_ERR, &node->conn.log, 0,
                          "redis knows no slots: it is in no cluster now, or "
                          "in a new one");
        }

        ngx_redis_cluster_untold(cluster, node);
        return;
    }

    if (ngx_redis_cluster_take(cluster, node, reply) != NGX_OK) {

        if (ngx_redis_conn_tell(&node->conn, NGX_REDIS_MAP)) {
            ngx_log_error(NGX_LOG_ERR, &node->conn.log, 0,
                          "redis answered CLUSTER SLOTS with what is no map, "
                          "or has more than %d primaries", NGX_REDIS_NODES);
        }

        cluster->left = 0;

        /* no node of the old map has answered: perhaps all are others now */

        if (node == &cluster->seed) {
            ngx_memset(cluster->map, NGX_REDIS_NODES, NGX_REDIS_SLOTS);
        }

        ngx_redis_cluster_count(cluster);
        ngx_redis_cluster_untold(cluster, node);
        return;
    }

    cluster->asked = NULL;

    ngx_redis_cluster_rest(cluster);

    if (cluster->fellow) {
        ngx_redis_cluster_overhear(cluster->fellow, node, reply);
    }

    ngx_redis_cluster_try(cluster);
}


/*
 * What the other client was told.  If a map was asked for here, its answer is
 * awaited all the same, and is the newer one.
 */

static void
ngx_redis_cluster_overhear(ngx_redis_cluster_t *cluster,
    ngx_redis_node_t *teller, const ngx_redis_reply_t *reply)
{
    if (ngx_redis_cluster_take(cluster, teller, reply) != NGX_OK) {
        return;
    }

    if (cluster->asked == NULL) {
        ngx_redis_cluster_rest(cluster);
    }

    ngx_redis_cluster_try(cluster);
}


static ngx_int_t
ngx_redis_cluster_take(ngx_redis_cluster_t *cluster, ngx_redis_node_t *teller,
    const ngx_redis_reply_t *reply)
{
    cluster->teller = teller;

    ngx_memset(cluster->next, NGX_REDIS_NODES, NGX_REDIS_SLOTS);

    if (ngx_redis_map_read(reply, ngx_redis_cluster_take_range, cluster)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(cluster->map, cluster->next, NGX_REDIS_SLOTS);

    cluster->pause = 0;

    ngx_redis_cluster_count(cluster);

    return NGX_OK;
}


/*
 * The next one is asked; if it was the last one, there is no cluster now.  A
 * seed that has answered may be calling: it is left when that is over.
 */

static void
ngx_redis_cluster_untold(ngx_redis_cluster_t *cluster, ngx_redis_node_t *node)
{
    if (cluster->redis->gone) {
        return;
    }

    if (node == &cluster->seed && cluster->left) {
        cluster->left--;
    }

    if (cluster->left) {

        if (node == &cluster->seed && node->conn.ready) {
            ngx_add_timer(&cluster->tick, 1);

        } else {
            ngx_redis_cluster_ask(cluster, &cluster->seed);
        }

        return;
    }

    cluster->asked = NULL;
    cluster->until = ngx_current_msec + ngx_redis_pause(&cluster->pause);

    ngx_redis_cluster_rest(cluster);
    ngx_redis_cluster_try(cluster);
}


static ngx_int_t
ngx_redis_cluster_take_range(void *data, ngx_uint_t first, ngx_uint_t last,
    const ngx_str_t *host, in_port_t port)
{
    ngx_redis_cluster_t *cluster = data;

    ngx_str_t          at;
    ngx_redis_node_t  *node;

    at = host->len ? *host : ngx_redis_cluster_host(cluster->teller);

    node = ngx_redis_cluster_node(cluster, &at, port);
    if (node == NULL) {
        return NGX_ERROR;
    }

    ngx_memset(&cluster->next[first], node->number, last - first + 1);

    return NGX_OK;
}


/* Of a seed it is the address that answered, without its port. */

static ngx_str_t
ngx_redis_cluster_host(const ngx_redis_node_t *node)
{
    ngx_str_t  host;

    if (node->host.len) {
        return node->host;
    }

    ngx_str_null(&host);

    if (node->conn.peer.name) {
        host = *node->conn.peer.name;

        while (host.len && host.data[--host.len] != ':') { /* void */ }

        if (host.len > 1 && host.data[0] == '[') {
            host.data++;
            host.len -= 2;
        }
    }

    return host;
}


/* Nodes that have no slot in the map leave. */

static void
ngx_redis_cluster_count(ngx_redis_cluster_t *cluster)
{
    ngx_uint_t         i, nslots[NGX_REDIS_NODES + 1];
    ngx_redis_node_t  *node;

    ngx_memzero(nslots, sizeof(nslots));

    for (i = 0; i < NGX_REDIS_SLOTS; i++) {
        nslots[cluster->map[i]]++;
    }

    for (i = 0; i < NGX_REDIS_NODES; i++) {
        node = cluster->redis->nodes[i];

        if (node && nslots[i] == 0) {
            ngx_redis_cluster_leave(cluster, node);
        }
    }
}


static void
ngx_redis_cluster_rest(ngx_redis_cluster_t *cluster)
{
    ngx_uint_t         i;
    ngx_msec_t         wait;
    ngx_redis_node_t  *node;

    if (cluster->doubtful) {
        ngx_redis_cluster_doubt(cluster);
        return;
    }

    wait = ngx_queue_empty(&cluster->leaving) ? NGX_REDIS_MAP_USUALLY
                                              : NGX_REDIS_MAP_LEAVING;

    if (cluster->pause) {
        wait = NGX_REDIS_MAP_FAILING;
    }

    for (i = 0; i < NGX_REDIS_NODES; i++) {
        node = cluster->redis->nodes[i];

        /* what failed long ago may be well: nobody has asked since */

        if (node && node->pause
            && (ngx_msec_int_t) (ngx_current_msec - node->until)
               < NGX_REDIS_MAP_USUALLY)
        {
            wait = NGX_REDIS_MAP_FAILING;
        }
    }

    if (cluster->tick.timer_set) {
        ngx_del_timer(&cluster->tick);
    }

    ngx_add_timer(&cluster->tick, wait + ngx_random() % (wait / 4));
}


/* --- nodes ------------------------------------------------------------- */

ngx_redis_node_t *
ngx_redis_cluster_node(ngx_redis_cluster_t *cluster, const ngx_str_t *host,
    in_port_t port)
{
    ngx_uint_t         i, number;
    ngx_redis_t       *redis;
    ngx_redis_node_t  *node;

    redis = cluster->redis;
    number = NGX_REDIS_NODES;

    for (i = 0; i < NGX_REDIS_NODES; i++) {
        node = redis->nodes[i];

        if (node == NULL) {
            number = ngx_min(number, i);
            continue;
        }

        /* a resolver has put a name in small letters where it lies */

        if (node->port == port
            && node->host.len == host->len
            && ngx_strncasecmp(node->host.data, host->data, host->len) == 0)
        {
            return node;
        }
    }

    if (number == NGX_REDIS_NODES || host->len == 0) {
        return NULL;
    }

    node = ngx_redis_node_create(redis, host, port);
    if (node == NULL) {
        return NULL;
    }

    node->number = number;
    redis->nodes[number] = node;

    ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                  "redis cluster has a primary at %V:%d", host, (int) port);

    if (node->link && redis->started) {
        ngx_redis_link_start(node->link);
    }

    return node;
}


static void
ngx_redis_cluster_leave(ngx_redis_cluster_t *cluster, ngx_redis_node_t *node)
{
    ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                  "redis cluster has no primary at %V:%d any more",
                  &node->host, (int) node->port);

    if (node->link) {
        ngx_redis_link_close(node->link);
        node->link = NULL;
    }

    cluster->redis->nodes[node->number] = NULL;
    node->number = NGX_REDIS_NODES;

    ngx_queue_insert_tail(&cluster->leaving, &node->queue);
}


/* Not from within a handler: it may be called by the node itself. */

static void
ngx_redis_cluster_sweep(ngx_redis_cluster_t *cluster)
{
    ngx_queue_t       *q, *next;
    ngx_redis_node_t  *node;

    for (q = ngx_queue_head(&cluster->leaving);
         q != ngx_queue_sentinel(&cluster->leaving);
         q = next)
    {
        next = ngx_queue_next(q);
        node = ngx_queue_data(q, ngx_redis_node_t, queue);

        if (node->conn.ncommands == 0) {
            ngx_queue_remove(q);
            ngx_redis_node_close(node);
        }
    }
}
