
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The client: which server, at which address, and whether to try at all.
 *
 * Every worker has one data connection, made when its first command waits and
 * made again when one waits and it is gone.  After a failure a pause begins,
 * longer each time until something is answered: commands are refused at once,
 * and the first one after it connects at once.  No timer runs meanwhile, so
 * nothing keeps an idle worker busy, and no crowd reconnects: each worker has
 * its own pause, with jitter.
 *
 * A cluster will have several connections here and choose by key; Sentinels
 * will say the addresses that ngx_redis_open() opens.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_sha1.h>
#include <ngx_redis_internal.h>


/* The longest pause is under a second, jitter of a quarter included. */

#define NGX_REDIS_PAUSE_MIN  50
#define NGX_REDIS_PAUSE_MAX  750

/*
 * Commands that are done are kept for the next ones, all of one size; bigger
 * ones are not.  Nor are any where a sanitizer is to see who goes beyond the
 * end of one, or uses one that is gone.
 */

#define NGX_REDIS_KEEP       256

#if defined(__SANITIZE_ADDRESS__)
#define NGX_REDIS_COMMAND    0
#else
#define NGX_REDIS_COMMAND    1024           /* bytes */
#endif


static void ngx_redis_cleanup(void *data);
static ngx_redis_command_t *ngx_redis_command(ngx_redis_t *redis, size_t size,
    ngx_redis_handler_pt handler, void *data);
static ngx_redis_command_t *ngx_redis_alloc(ngx_redis_t *redis, size_t size);
static void ngx_redis_free(ngx_redis_t *redis, ngx_redis_command_t *cmd);
static ngx_redis_command_t *ngx_redis_submit(ngx_redis_t *redis,
    ngx_redis_command_t *cmd, u_char *last);
static void ngx_redis_open(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_greeted(ngx_redis_conn_t *conn);
static void ngx_redis_lost(ngx_redis_conn_t *conn);
static void ngx_redis_done(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd,
    const ngx_redis_reply_t *reply);
static void ngx_redis_refuse(ngx_redis_conn_t *conn, const ngx_str_t *error);
static void ngx_redis_time(ngx_redis_t *redis, ngx_redis_command_t *cmd);
static ngx_int_t ngx_redis_send_eval(ngx_redis_conn_t *conn,
    ngx_redis_command_t *cmd);
static void ngx_redis_finish(ngx_redis_t *redis, ngx_redis_command_t *cmd,
    const ngx_redis_reply_t *reply);


const ngx_uint_t  ngx_redis_latency_bounds[NGX_REDIS_LATENCIES - 1] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000,
    500000, 1000000
};

static const ngx_str_t  ngx_redis_nobody = ngx_null_string;

static ngx_str_t  ngx_redis_eval_name = ngx_string("EVAL");
static ngx_str_t  ngx_redis_evalsha_name = ngx_string("EVALSHA");


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

    if (ngx_redis_place_init(cf, &redis->place, &conf->address) != NGX_OK) {
        return NULL;
    }

    ngx_queue_init(&redis->free);
    ngx_redis_conn_init(&redis->conn, conf);

    redis->conn.open = ngx_redis_open;
    redis->conn.greeted = ngx_redis_greeted;
    redis->conn.done = ngx_redis_done;
    redis->conn.lost = ngx_redis_lost;
    redis->conn.stats = &redis->stats;
    redis->conn.data = redis;

    cln->handler = ngx_redis_cleanup;
    cln->data = redis;

    return redis;
}


/*
 * A worker that is terminated has not drained: it frees what it holds, and
 * calls nobody, since requests and all are as good as gone.
 */

static void
ngx_redis_cleanup(void *data)
{
    ngx_redis_t  *redis = data;

    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;

    redis->gone = 1;

    ngx_redis_conn_drop(&redis->conn);

    ngx_redis_place_free(&redis->place);

    while (redis->nfree) {
        q = ngx_queue_head(&redis->free);
        ngx_queue_remove(q);
        redis->nfree--;

        cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
        ngx_free(cmd);
    }
}


ngx_redis_command_t *
ngx_redis_send(ngx_redis_t *redis, const ngx_str_t *key,
    const ngx_str_t *argv, ngx_uint_t argc, ngx_redis_handler_pt handler,
    void *data)
{
    size_t                size;
    u_char               *p;
    ngx_uint_t            i;
    ngx_redis_command_t  *cmd;

    size = 0;

    for (i = 0; i < argc; i++) {
        size += argv[i].len;
    }

    cmd = ngx_redis_command(redis, ngx_redis_command_len(argc, size),
                            handler, data);
    if (cmd == NULL) {
        return NULL;
    }

    p = ngx_redis_write_array(cmd->pos, argc);

    for (i = 0; i < argc; i++) {
        p = ngx_redis_write_bulk(p, &argv[i]);
    }

    return ngx_redis_submit(redis, cmd, p);
}


ngx_int_t
ngx_redis_prepare(ngx_pool_t *pool, const ngx_str_t *argv, ngx_uint_t argc,
    ngx_redis_prepared_t *prepared)
{
    size_t      size;
    u_char     *p;
    ngx_uint_t  i;

    size = argv[0].len;

    for (i = 2; i < argc; i++) {
        size += argv[i].len;
    }

    p = ngx_pnalloc(pool, ngx_redis_command_len(argc, size));
    if (p == NULL) {
        return NGX_ERROR;
    }

    prepared->head.data = p;
    p = ngx_redis_write_array(p, argc);
    p = ngx_redis_write_bulk(p, &argv[0]);
    prepared->head.len = p - prepared->head.data;

    prepared->tail.data = p;

    for (i = 2; i < argc; i++) {
        p = ngx_redis_write_bulk(p, &argv[i]);
    }

    prepared->tail.len = p - prepared->tail.data;

    return NGX_OK;
}


ngx_redis_command_t *
ngx_redis_send_prepared(ngx_redis_t *redis,
    const ngx_redis_prepared_t *prepared, const ngx_str_t *key,
    ngx_redis_handler_pt handler, void *data)
{
    u_char               *p;
    ngx_redis_command_t  *cmd;

    cmd = ngx_redis_command(redis, prepared->head.len + prepared->tail.len
                                   + ngx_redis_command_len(0, key->len),
                            handler, data);
    if (cmd == NULL) {
        return NULL;
    }

    p = ngx_cpymem(cmd->pos, prepared->head.data, prepared->head.len);
    p = ngx_redis_write_bulk(p, key);
    p = ngx_cpymem(p, prepared->tail.data, prepared->tail.len);

    return ngx_redis_submit(redis, cmd, p);
}


ngx_redis_command_t *
ngx_redis_eval(ngx_redis_t *redis, const ngx_redis_script_t *script,
    ngx_uint_t nkeys, const ngx_str_t *argv, ngx_uint_t argc,
    ngx_redis_handler_pt handler, void *data)
{
    u_char               *p, digits[NGX_INT_T_LEN];
    size_t                size;
    ngx_str_t             sha1, number;
    ngx_uint_t            i;
    ngx_redis_command_t  *cmd;

    sha1.data = (u_char *) script->sha1;
    sha1.len = sizeof(script->sha1);

    number.data = digits;
    number.len = ngx_sprintf(digits, "%ui", nkeys) - digits;

    size = ngx_redis_evalsha_name.len + sha1.len + number.len;

    for (i = 0; i < argc; i++) {
        size += argv[i].len;
    }

    cmd = ngx_redis_command(redis, ngx_redis_command_len(argc + 3, size),
                            handler, data);
    if (cmd == NULL) {
        return NULL;
    }

    cmd->script = script;
    cmd->slow = script->slow;
    cmd->argc = argc + 3;

    p = ngx_redis_write_array(cmd->pos, cmd->argc);
    p = ngx_redis_write_bulk(p, &ngx_redis_evalsha_name);
    p = ngx_redis_write_bulk(p, &sha1);

    cmd->args = p;

    p = ngx_redis_write_bulk(p, &number);

    for (i = 0; i < argc; i++) {
        p = ngx_redis_write_bulk(p, &argv[i]);
    }

    return ngx_redis_submit(redis, cmd, p);
}


void
ngx_redis_script_init(ngx_redis_script_t *script)
{
    u_char      digest[20];
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, script->text.data, script->text.len);
    ngx_sha1_final(digest, &sha1);

    ngx_hex_dump(script->sha1, digest, sizeof(digest));
}


void
ngx_redis_cancel(ngx_redis_command_t *cmd)
{
    cmd->handler = NULL;
}


void
ngx_redis_count(ngx_redis_t *redis, ngx_redis_stats_t *stats)
{
    redis->stats = stats;
}


ngx_uint_t
ngx_redis_connection(ngx_redis_t *redis)
{
    return redis->conn.connects;
}


const ngx_str_t *
ngx_redis_server(ngx_redis_t *redis)
{
    return redis->conn.ready ? &redis->conn.server : &ngx_redis_nobody;
}


/* A command with room for its bytes, unless it is of no use to send one. */

static ngx_redis_command_t *
ngx_redis_command(ngx_redis_t *redis, size_t size,
    ngx_redis_handler_pt handler, void *data)
{
    ngx_redis_conn_t     *conn;
    ngx_redis_command_t  *cmd;

    conn = &redis->conn;

    if (redis->pause
        && !conn->ready
        && !conn->opening
        && (ngx_msec_int_t) (redis->until - ngx_current_msec) > 0)
    {
        return NULL;
    }

    if (conn->ncommands >= NGX_REDIS_MAX_QUEUE) {

        if (ngx_redis_conn_tell(conn, NGX_REDIS_FULL)) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "too many commands wait for redis \"%V\"",
                          &redis->conf->address);
        }

        return NULL;
    }

    cmd = ngx_redis_alloc(redis, sizeof(ngx_redis_command_t) + size);
    if (cmd == NULL) {
        return NULL;
    }

    cmd->handler = handler;
    cmd->data = data;
    cmd->pos = (u_char *) cmd + sizeof(ngx_redis_command_t);

    return cmd;
}


static ngx_redis_command_t *
ngx_redis_alloc(ngx_redis_t *redis, size_t size)
{
    ngx_uint_t            big;
    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;

    big = (size > NGX_REDIS_COMMAND);

    if (big || redis->nfree == 0) {
        cmd = ngx_alloc(big ? size : NGX_REDIS_COMMAND, ngx_cycle->log);
        if (cmd == NULL) {
            return NULL;
        }

    } else {
        q = ngx_queue_head(&redis->free);
        ngx_queue_remove(q);
        redis->nfree--;

        cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
    }

    ngx_memzero(cmd, sizeof(ngx_redis_command_t));

    cmd->big = big;

    return cmd;
}


static void
ngx_redis_free(ngx_redis_t *redis, ngx_redis_command_t *cmd)
{
    if (cmd->eval) {
        ngx_free(cmd->eval);
    }

    if (cmd->big || redis->nfree >= NGX_REDIS_KEEP) {
        ngx_free(cmd);
        return;
    }

    ngx_queue_insert_head(&redis->free, &cmd->queue);
    redis->nfree++;
}


static ngx_redis_command_t *
ngx_redis_submit(ngx_redis_t *redis, ngx_redis_command_t *cmd, u_char *last)
{
    cmd->last = last;

    ngx_redis_conn_submit(&redis->conn, cmd);

    return cmd;
}


static void
ngx_redis_open(ngx_redis_conn_t *conn)
{
    ngx_redis_t  *redis;

    redis = conn->data;

    ngx_redis_place_open(&redis->place, conn);
}


static ngx_int_t
ngx_redis_greeted(ngx_redis_conn_t *conn)
{
    ngx_redis_conn_ready(conn);

    return NGX_OK;
}


static void
ngx_redis_lost(ngx_redis_conn_t *conn)
{
    ngx_redis_t  *redis;

    redis = conn->data;

    redis->until = ngx_current_msec + ngx_redis_pause(&redis->pause);
}


ngx_msec_t
ngx_redis_pause(ngx_msec_t *last)
{
    *last = *last ? ngx_min(*last * 2, NGX_REDIS_PAUSE_MAX)
                  : NGX_REDIS_PAUSE_MIN;

    return *last * (75 + ngx_random() % 51) / 100;
}


static void
ngx_redis_done(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd,
    const ngx_redis_reply_t *reply)
{
    ngx_redis_t  *redis;

    redis = conn->data;

    if (reply == NULL) {
        ngx_redis_finish(redis, cmd, NULL);
        return;
    }

    redis->pause = 0;

    if (reply->type == NGX_REDIS_ERROR) {

        if (cmd->script
            && reply->str.len >= sizeof("NOSCRIPT") - 1
            && ngx_strncmp(reply->str.data, "NOSCRIPT",
                           sizeof("NOSCRIPT") - 1) == 0
            && ngx_redis_send_eval(conn, cmd) == NGX_OK)
        {
            return;
        }

        ngx_redis_refuse(conn, &reply->str);
        reply = NULL;
    }

    ngx_redis_time(redis, cmd);
    ngx_redis_finish(redis, cmd, reply);
}


static void
ngx_redis_refuse(ngx_redis_conn_t *conn, const ngx_str_t *error)
{
    size_t                      len;
    u_char                      text[NGX_REDIS_ERROR_LEN];
    ngx_uint_t                  fault;
    const ngx_redis_refusal_t  *refusal;

    refusal = ngx_redis_refusal(error, &fault);

    if (ngx_redis_conn_tell(conn, fault)) {
        len = ngx_redis_error_text(error, text);

        ngx_log_error(NGX_LOG_ERR, &conn->log, 0,
                      "redis answered \"%*s\": %s", len, text, refusal->mend);
    }
}


static void
ngx_redis_time(ngx_redis_t *redis, ngx_redis_command_t *cmd)
{
    ngx_uint_t          i, took;
    ngx_redis_stats_t  *stats;

    stats = redis->stats;

    if (stats == NULL) {
        return;
    }

    took = redis->conn.now - cmd->start;

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


static void
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
