
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The client: all servers, and the answers that come from them.
 *
 * An answer goes to whoever has asked, unless it is of those that make the
 * command go once more: a script that Redis does not know is sent as EVAL, and
 * a node of a cluster may say that another one has the key.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_redis_internal.h>


static ngx_int_t ngx_redis_one_server(ngx_conf_t *cf, ngx_redis_t *redis);
static void ngx_redis_cleanup(void *data);
static ngx_uint_t ngx_redis_wants_eval(ngx_redis_node_t *node,
    const ngx_str_t *error);
static void ngx_redis_refuse(ngx_redis_conn_t *conn, const ngx_str_t *error);
static void ngx_redis_time(ngx_redis_t *redis, ngx_redis_conn_t *conn,
    ngx_redis_command_t *cmd);
static ngx_int_t ngx_redis_send_eval(ngx_redis_conn_t *conn,
    ngx_redis_command_t *cmd);


const ngx_uint_t  ngx_redis_latency_bounds[NGX_REDIS_LATENCIES - 1] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000,
    500000, 1000000
};

static const ngx_str_t  ngx_redis_nobody = ngx_null_string;

static ngx_str_t  ngx_redis_eval_name = ngx_string("EVAL");


ngx_redis_t *
ngx_redis_create(ngx_conf_t *cf, ngx_redis_conf_t *conf)
{
    ngx_redis_t         *redis;
    ngx_pool_cleanup_t  *cln;

    redis = ngx_pcalloc(cf->pool, sizeof(ngx_redis_t));
    if (redis == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    redis->conf = conf;

    ngx_queue_init(&redis->free);

    if (conf->topology == NGX_REDIS_CLUSTER) {

        redis->cluster = ngx_redis_cluster_create(cf, redis);
        if (redis->cluster == NULL) {
            return NULL;
        }

    } else if (ngx_redis_one_server(cf, redis) != NGX_OK) {
        return NULL;
    }

    cln->handler = ngx_redis_cleanup;
    cln->data = redis;

    return redis;
}


void
ngx_redis_join(ngx_redis_t *one, ngx_redis_t *other)
{
    if (one->cluster && other->cluster) {
        one->cluster->fellow = other->cluster;
        other->cluster->fellow = one->cluster;
    }
}


static ngx_int_t
ngx_redis_one_server(ngx_conf_t *cf, ngx_redis_t *redis)
{
    ngx_redis_node_t  *node;

    node = ngx_pcalloc(cf->pool, sizeof(ngx_redis_node_t));
    if (node == NULL) {
        return NGX_ERROR;
    }

    ngx_redis_node_init(node, redis);

    node->number = 0;
    redis->nodes[0] = node;

    if (redis->conf->topology == NGX_REDIS_SENTINEL) {
        node->place.primary = ngx_redis_primary_create(cf, redis->conf);

        return node->place.primary ? NGX_OK : NGX_ERROR;
    }

    return ngx_redis_place_init(cf, &node->place,
                                redis->conf->addresses->elts);
}


/*
 * A worker that is terminated has not drained: it frees what it holds, and
 * calls nobody, since requests and all are as good as gone.
 */

static void
ngx_redis_cleanup(void *data)
{
    ngx_redis_t  *redis = data;

    ngx_uint_t            i;
    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;

    redis->gone = 1;

    for (i = 0; i < NGX_REDIS_NODES; i++) {
        if (redis->nodes[i]) {
            ngx_redis_node_close(redis->nodes[i]);
        }
    }

    if (redis->cluster) {
        ngx_redis_cluster_free(redis->cluster);
    }

    while (redis->nfree) {
        q = ngx_queue_head(&redis->free);
        ngx_queue_remove(q);
        redis->nfree--;

        cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
        ngx_free(cmd);
    }
}


ngx_int_t
ngx_redis_listen(ngx_conf_t *cf, ngx_redis_t *redis,
    ngx_redis_link_conf_t *conf)
{
    ngx_redis_node_t  *node;

    redis->listener = conf;
    node = redis->nodes[0];

    /* nodes of a cluster get theirs when they are found */

    if (node) {
        node->link = ngx_redis_link_create(node, cf->pool);
        if (node->link == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_redis_start(ngx_redis_t *redis)
{
    redis->started = 1;

    if (redis->cluster) {
        ngx_redis_cluster_doubt(redis->cluster);
        return;
    }

    if (redis->nodes[0]->link) {
        ngx_redis_link_start(redis->nodes[0]->link);
    }
}


void
ngx_redis_count(ngx_redis_t *redis, ngx_redis_stats_t *stats)
{
    redis->stats = stats;
}


ngx_uint_t
ngx_redis_answering(const ngx_redis_t *redis)
{
    return redis->answering ? redis->answering->number : NGX_REDIS_NODES;
}


ngx_uint_t
ngx_redis_connection(const ngx_redis_t *redis)
{
    return redis->serial;
}


void
ngx_redis_garbled(ngx_redis_t *redis)
{
    if (redis->answering) {
        redis->answering->conn.garbled = 1;
    }
}


ngx_uint_t
ngx_redis_node(const ngx_redis_t *redis, const ngx_str_t *key)
{
    ngx_redis_node_t  *node;

    if (redis->cluster == NULL) {
        return 0;
    }

    node = ngx_redis_cluster_route(redis->cluster, ngx_redis_slot(key));

    return node ? node->number : NGX_REDIS_NODES;
}


ngx_uint_t
ngx_redis_is_cluster(const ngx_redis_t *redis)
{
    return redis->cluster != NULL;
}


ngx_uint_t
ngx_redis_has_node(const ngx_redis_t *redis, ngx_uint_t node)
{
    return ngx_redis_at(redis, node) != NULL;
}


const ngx_str_t *
ngx_redis_node_name(const ngx_redis_t *redis, ngx_uint_t node)
{
    ngx_redis_node_t  *at;

    at = ngx_redis_at(redis, node);

    return (at && at->place.naddrs) ? &at->place.addrs[0].name
                                    : &redis->conf->address;
}


const ngx_str_t *
ngx_redis_server(const ngx_redis_t *redis, ngx_uint_t node)
{
    ngx_redis_node_t  *at;

    at = ngx_redis_at(redis, node);

    return (at && at->conn.ready) ? &at->conn.server : &ngx_redis_nobody;
}


/* --- answers ----------------------------------------------------------- */

void
ngx_redis_done(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd,
    const ngx_redis_reply_t *reply)
{
    ngx_redis_t       *redis;
    ngx_redis_node_t  *node;

    node = conn->data;
    redis = node->redis;

    if (reply == NULL) {

        if (redis->cluster
            && !redis->gone
            && ngx_redis_cluster_spare(redis->cluster, cmd) == NGX_OK)
        {
            return;
        }

        ngx_redis_finish(redis, cmd, NULL);
        return;
    }

    node->pause = 0;

    if (reply->type == NGX_REDIS_ERROR) {

        if (cmd->script
            && ngx_redis_wants_eval(node, &reply->str)
            && ngx_redis_send_eval(conn, cmd) == NGX_OK)
        {
            return;
        }

        if (redis->cluster
            && ngx_redis_cluster_redirect(redis->cluster, node, cmd,
                                          &reply->str)
               == NGX_OK)
        {
            return;
        }

        ngx_redis_refuse(conn, &reply->str);
        reply = NULL;
    }

    redis->answering = node;
    redis->serial = conn->serial;

    ngx_redis_time(redis, conn, cmd);
    ngx_redis_finish(redis, cmd, reply);

    redis->answering = NULL;
}


/*
 * Because it does not know the script, as after a restart; or it has no EVALSHA
 * at all, or none for this user, and gets scripts as a whole from then on.
 */

static ngx_uint_t
ngx_redis_wants_eval(ngx_redis_node_t *node, const ngx_str_t *error)
{
    u_char            *last;
    ngx_redis_conn_t  *conn;

    if (ngx_redis_says(error, "NOSCRIPT")) {
        return 1;
    }

    last = error->data + error->len;

    if (!ngx_redis_says(error, "NOPERM")
        && !ngx_strlcasestrn(error->data, last, (u_char *) "unknown command",
                             sizeof("unknown command") - 2))
    {
        return 0;
    }

    if (!ngx_strlcasestrn(error->data, last, (u_char *) "evalsha",
                          sizeof("evalsha") - 2))
    {
        return 0;
    }

    conn = &node->conn;
    node->whole = 1;

    ngx_redis_add(node->redis->stats, lacks[NGX_REDIS_EVALSHA], 1);

    if (ngx_redis_conn_tell(conn, NGX_REDIS_NO_EVALSHA)) {
        ngx_log_error(NGX_LOG_WARN, &conn->log, 0,
                      "redis refuses EVALSHA, so each script is sent as a "
                      "whole: give its user +evalsha, see ACL SETUSER");
    }

    return 1;
}


static void
ngx_redis_refuse(ngx_redis_conn_t *conn, const ngx_str_t *error)
{
    size_t                      len;
    u_char                      text[NGX_REDIS_ERROR_LEN];
    ngx_str_t                   cause;
    ngx_uint_t                  fault;
    ngx_redis_node_t           *node;
    const ngx_redis_refusal_t  *refusal;

    node = conn->data;

    if (node->place.primary) {
        cause = ngx_redis_cause(error);
        ngx_redis_primary_refused(node->place.primary, &cause);
    }

    refusal = ngx_redis_refusal(error, &fault);

    if (ngx_redis_conn_tell(conn, fault)) {
        len = ngx_redis_error_text(error, text);

        ngx_log_error(NGX_LOG_ERR, &conn->log, 0,
                      "redis answered \"%*s\": %s", len, text, refusal->mend);
    }
}


static void
ngx_redis_time(ngx_redis_t *redis, ngx_redis_conn_t *conn,
    ngx_redis_command_t *cmd)
{
    ngx_uint_t          i, took;
    ngx_redis_stats_t  *stats;

    stats = redis->stats;

    if (stats == NULL) {
        return;
    }

    took = conn->now - cmd->start;

    for (i = 0; i < NGX_REDIS_LATENCIES - 1; i++) {
        if (took <= ngx_redis_latency_bounds[i]) {
            break;
        }
    }

    ngx_redis_add(stats, latency[i], 1);
    ngx_redis_add(stats, latency_sum, took);
}


/* Once: the script is known from then on, so cmd->script goes. */

static ngx_int_t
ngx_redis_send_eval(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd)
{
    u_char           *p;
    size_t            len, size;
    const ngx_str_t  *text;

    text = &cmd->script->text;
    len = cmd->last - cmd->args;
    size = ngx_redis_command_len(2, ngx_redis_eval_name.len + text->len) + len;

    cmd->eval = ngx_alloc(size, ngx_cycle->log);
    if (cmd->eval == NULL) {
        return NGX_ERROR;
    }

    p = ngx_redis_write_array(cmd->eval, cmd->argc);
    p = ngx_redis_write_bulk(p, &ngx_redis_eval_name);
    p = ngx_redis_write_bulk(p, text);
    p = ngx_cpymem(p, cmd->args, len);

    cmd->pos = cmd->eval;
    cmd->last = p;
    cmd->script = NULL;

    ngx_redis_conn_submit(conn, cmd);

    return NGX_OK;
}


void
ngx_redis_finish(ngx_redis_t *redis, ngx_redis_command_t *cmd,
    const ngx_redis_reply_t *reply)
{
    ngx_redis_add(redis->stats, commands, 1);

    if (reply == NULL) {
        ngx_redis_add(redis->stats, errors, 1);
    }

    if (cmd->handler && !redis->gone) {
        cmd->handler(cmd->data, reply ? NGX_OK : NGX_ERROR, reply);
    }

    ngx_redis_free(redis, cmd);
}
