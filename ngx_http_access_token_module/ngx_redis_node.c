
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * One server: the connection for commands, made when its first command waits
 * and made again when one waits and it is gone, and the link, if anybody wants
 * to listen.
 *
 * After a failure a pause begins, longer each time until something is answered:
 * commands are refused at once, and the first one after it connects at once.
 * No timer runs meanwhile, so nothing keeps an idle worker busy, and no crowd
 * reconnects: each worker has its own pause, with jitter.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_redis_internal.h>


/* The longest pause is under a second, jitter of a quarter included. */

#define NGX_REDIS_PAUSE_MIN  50
#define NGX_REDIS_PAUSE_MAX  750

#define NGX_REDIS_NODE_POOL  1024


static void ngx_redis_node_open(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_node_greeted(ngx_redis_conn_t *conn);
static void ngx_redis_node_lost(ngx_redis_conn_t *conn);
static void ngx_redis_node_moved(ngx_redis_conn_t *conn);


void
ngx_redis_node_init(ngx_redis_node_t *node, ngx_redis_t *redis)
{
    node->redis = redis;
    node->number = NGX_REDIS_NODES;

    ngx_redis_conn_init(&node->conn, redis->conf);

    node->conn.open = ngx_redis_node_open;
    node->conn.greeted = ngx_redis_node_greeted;
    node->conn.done = ngx_redis_done;
    node->conn.lost = ngx_redis_node_lost;
    node->conn.moved = ngx_redis_node_moved;
    node->conn.stats = &redis->stats;
    node->conn.data = node;
}


ngx_redis_node_t *
ngx_redis_node_create(ngx_redis_t *redis, const ngx_str_t *host,
    in_port_t port)
{
    ngx_pool_t        *pool;
    ngx_redis_node_t  *node;

    pool = ngx_create_pool(NGX_REDIS_NODE_POOL, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    node = ngx_pcalloc(pool, sizeof(ngx_redis_node_t));
    if (node == NULL) {
        goto failed;
    }

    ngx_redis_node_init(node, redis);

    node->pool = pool;
    node->port = port;
    node->host.len = host->len;
    node->host.data = ngx_pstrdup(pool, (ngx_str_t *) host);

    if (node->host.data == NULL
        || ngx_redis_place_set(&node->place, pool, &node->host, port)
           != NGX_OK)
    {
        goto failed;
    }

    if (redis->listener) {
        node->link = ngx_redis_link_create(node, pool);
        if (node->link == NULL) {
            goto failed;
        }
    }

    return node;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


void
ngx_redis_node_close(ngx_redis_node_t *node)
{
    ngx_pool_t  *pool;

    if (node->link) {
        ngx_redis_link_close(node->link);
    }

    ngx_redis_conn_drop(&node->conn);
    ngx_redis_tls_forget(&node->conn);
    ngx_redis_place_free(&node->place);

    if (node->conn.turn.posted) {
        ngx_delete_posted_event(&node->conn.turn);
    }

    pool = node->pool;

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


ngx_uint_t
ngx_redis_node_pauses(const ngx_redis_node_t *node)
{
    return node->pause
           && !node->conn.ready
           && !node->conn.opening
           && (ngx_msec_int_t) (node->until - ngx_current_msec) > 0;
}


ngx_msec_t
ngx_redis_pause(ngx_msec_t *last)
{
    *last = *last ? ngx_min(*last * 2, NGX_REDIS_PAUSE_MAX)
                  : NGX_REDIS_PAUSE_MIN;

    return *last * (75 + ngx_random() % 51) / 100;
}


static void
ngx_redis_node_open(ngx_redis_conn_t *conn)
{
    ngx_redis_node_t  *node;

    node = conn->data;

    ngx_redis_place_open(&node->place, conn);
}


static ngx_int_t
ngx_redis_node_greeted(ngx_redis_conn_t *conn)
{
    ngx_redis_conn_ready(conn);

    return NGX_OK;
}


/* Whoever knows where servers are is asked; not for one without a number. */

static void
ngx_redis_node_lost(ngx_redis_conn_t *conn)
{
    ngx_redis_t       *redis;
    ngx_redis_node_t  *node;

    node = conn->data;
    redis = node->redis;

    node->until = ngx_current_msec + ngx_redis_pause(&node->pause);

    if (redis->gone || node->number == NGX_REDIS_NODES) {
        return;
    }

    if (redis->cluster) {
        ngx_redis_cluster_doubt(redis->cluster);

    } else {
        ngx_redis_place_doubt(&node->place);
    }
}


static void
ngx_redis_node_moved(ngx_redis_conn_t *conn)
{
    ngx_redis_node_t  *node;

    node = conn->data;

    node->pause = 0;
}
