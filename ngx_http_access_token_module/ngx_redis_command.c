
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A command from the caller to its connection: which server it is for, whether
 * it is of use to send it at all, and its bytes.
 *
 * It is one piece of memory with its bytes behind it, so it can be sent again:
 * where Redis does not know a script (ngx_redis_client.c), or where a node of a
 * cluster does not have the key (ngx_redis_cluster.c).
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_sha1.h>
#include <ngx_redis_internal.h>


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


/* What a command is for. */

typedef struct {
    ngx_redis_t          *redis;
    ngx_redis_node_t     *node;             /* NULL: it is not known */
    ngx_uint_t            slot;             /* NGX_REDIS_SLOTS: any */
    ngx_redis_handler_pt  handler;
    void                 *data;
} ngx_redis_purpose_t;


static void ngx_redis_purpose(ngx_redis_purpose_t *purpose,
    ngx_redis_t *redis, const ngx_str_t *key, ngx_redis_handler_pt handler,
    void *data);
static ngx_redis_command_t *ngx_redis_write(const ngx_redis_purpose_t *purpose,
    const ngx_str_t *argv, ngx_uint_t argc);
static ngx_redis_command_t *ngx_redis_command(
    const ngx_redis_purpose_t *purpose, size_t size);
static ngx_uint_t ngx_redis_full(const ngx_redis_purpose_t *purpose);
static ngx_redis_command_t *ngx_redis_alloc(ngx_redis_t *redis, size_t size);
static ngx_redis_command_t *ngx_redis_submit(ngx_redis_t *redis,
    ngx_redis_command_t *cmd, u_char *last);


ngx_redis_command_t *
ngx_redis_send(ngx_redis_t *redis, const ngx_str_t *key,
    const ngx_str_t *argv, ngx_uint_t argc, ngx_redis_handler_pt handler,
    void *data)
{
    ngx_redis_purpose_t  purpose;

    ngx_redis_purpose(&purpose, redis, key, handler, data);

    return ngx_redis_write(&purpose, argv, argc);
}


ngx_redis_command_t *
ngx_redis_send_to(ngx_redis_t *redis, ngx_uint_t node, const ngx_str_t *argv,
    ngx_uint_t argc, ngx_redis_handler_pt handler, void *data)
{
    ngx_redis_node_t  *to;

    to = ngx_redis_at(redis, node);

    if (to == NULL || ngx_redis_node_pauses(to)) {
        return NULL;
    }

    return ngx_redis_ask(to, argv, argc, handler, data);
}


ngx_redis_command_t *
ngx_redis_ask(ngx_redis_node_t *node, const ngx_str_t *argv, ngx_uint_t argc,
    ngx_redis_handler_pt handler, void *data)
{
    ngx_redis_purpose_t  purpose;

    purpose.redis = node->redis;
    purpose.node = node;
    purpose.slot = NGX_REDIS_SLOTS;
    purpose.handler = handler;
    purpose.data = data;

    return ngx_redis_write(&purpose, argv, argc);
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
    ngx_redis_purpose_t   purpose;

    ngx_redis_purpose(&purpose, redis, key, handler, data);

    cmd = ngx_redis_command(&purpose, prepared->head.len + prepared->tail.len
                                      + ngx_redis_command_len(0, key->len));
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
    ngx_str_t             name, what, number;
    ngx_uint_t            i, whole;
    ngx_redis_command_t  *cmd;
    ngx_redis_purpose_t   purpose;

    ngx_redis_purpose(&purpose, redis, &argv[0], handler, data);

    whole = purpose.node && purpose.node->whole;

    if (whole) {
        ngx_str_set(&name, "EVAL");
        what = script->text;

    } else {
        ngx_str_set(&name, "EVALSHA");
        what.data = (u_char *) script->sha1;
        what.len = sizeof(script->sha1);
    }

    number.data = digits;
    number.len = ngx_sprintf(digits, "%ui", nkeys) - digits;

    size = name.len + what.len + number.len;

    for (i = 0; i < argc; i++) {
        size += argv[i].len;
    }

    cmd = ngx_redis_command(&purpose, ngx_redis_command_len(argc + 3, size));
    if (cmd == NULL) {
        return NULL;
    }

    cmd->script = whole ? NULL : script;
    cmd->slow = script->slow;
    cmd->argc = argc + 3;

    p = ngx_redis_write_array(cmd->pos, cmd->argc);
    p = ngx_redis_write_bulk(p, &name);
    p = ngx_redis_write_bulk(p, &what);

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


static ngx_inline u_char *
ngx_redis_bytes(const ngx_redis_command_t *cmd)
{
    return cmd->eval ? cmd->eval
                     : (u_char *) cmd + sizeof(ngx_redis_command_t);
}


ngx_uint_t
ngx_redis_is_unsent(const ngx_redis_command_t *cmd)
{
    return cmd->pos == ngx_redis_bytes(cmd);
}


void
ngx_redis_again(ngx_redis_command_t *cmd, ngx_redis_node_t *node)
{
    cmd->node = node;
    cmd->pos = ngx_redis_bytes(cmd);

    ngx_redis_conn_submit(&node->conn, cmd);
}


static void
ngx_redis_purpose(ngx_redis_purpose_t *purpose, ngx_redis_t *redis,
    const ngx_str_t *key, ngx_redis_handler_pt handler, void *data)
{
    purpose->redis = redis;
    purpose->handler = handler;
    purpose->data = data;

    if (redis->cluster == NULL) {
        purpose->node = redis->nodes[0];
        purpose->slot = NGX_REDIS_SLOTS;
        return;
    }

    purpose->slot = ngx_redis_slot(key);
    purpose->node = ngx_redis_cluster_route(redis->cluster, purpose->slot);
}


static ngx_redis_command_t *
ngx_redis_write(const ngx_redis_purpose_t *purpose, const ngx_str_t *argv,
    ngx_uint_t argc)
{
    size_t                size;
    u_char               *p;
    ngx_uint_t            i;
    ngx_redis_command_t  *cmd;

    size = 0;

    for (i = 0; i < argc; i++) {
        size += argv[i].len;
    }

    cmd = ngx_redis_command(purpose, ngx_redis_command_len(argc, size));
    if (cmd == NULL) {
        return NULL;
    }

    p = ngx_redis_write_array(cmd->pos, argc);

    for (i = 0; i < argc; i++) {
        p = ngx_redis_write_bulk(p, &argv[i]);
    }

    return ngx_redis_submit(purpose->redis, cmd, p);
}


/* A command with room for its bytes, unless it is of no use to send one. */

static ngx_redis_command_t *
ngx_redis_command(const ngx_redis_purpose_t *purpose, size_t size)
{
    ngx_redis_command_t  *cmd;

    if (ngx_redis_full(purpose)) {
        return NULL;
    }

    cmd = ngx_redis_alloc(purpose->redis, sizeof(ngx_redis_command_t) + size);
    if (cmd == NULL) {
        return NULL;
    }

    cmd->handler = purpose->handler;
    cmd->data = purpose->data;
    cmd->node = purpose->node;
    cmd->slot = purpose->slot;
    cmd->pos = (u_char *) cmd + sizeof(ngx_redis_command_t);

    return cmd;
}


/* A command that is for one node, whatever its slot, is asked for knowingly. */

static ngx_uint_t
ngx_redis_full(const ngx_redis_purpose_t *purpose)
{
    ngx_redis_conn_t  *conn;

    if (purpose->node == NULL) {
        return !ngx_redis_cluster_takes(purpose->redis->cluster);
    }

    conn = &purpose->node->conn;

    if (conn->ncommands >= NGX_REDIS_MAX_QUEUE) {

        if (ngx_redis_conn_tell(conn, NGX_REDIS_FULL)) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "too many commands wait for redis \"%V\"",
                          &purpose->redis->conf->address);
        }

        return 1;
    }

    return ngx_redis_node_pauses(purpose->node);
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


void
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

    if (redis->cluster) {
        cmd->bound = (cmd->slot == NGX_REDIS_SLOTS);
        cmd->deadline = ngx_current_msec + redis->conf->timeout;
    }

    if (cmd->node) {
        ngx_redis_conn_submit(&cmd->node->conn, cmd);

    } else {
        ngx_redis_cluster_keep(redis->cluster, cmd);
        ngx_redis_cluster_doubt(redis->cluster);
    }

    return cmd;
}
