
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The store: where tokens lie in Redis and how they change there.  All keys
 * begin with a prefix ("at:"); {tag}, from the organization's id, keeps the
 * keys of one organization on one server of a cluster.
 *
 *     t:{tag}:ID                 hash        a record
 *     i:{tag}:ORGANIZATION       sorted set  ids of its own level's tokens
 *     i:{tag}:ORGANIZATION/GROUP sorted set  ids of a group's tokens
 *     g:{tag}:ORGANIZATION       sorted set  its groups
 *     a:{tag}:ORGANIZATION       stream      audit, the last 10,000 or so
 *     u:{tag}                    sorted set  last use of a token, by id
 *     o                          sorted set  organizations
 *     inv                        channel     records that changed
 *
 * Scores are 0 (but of last use), so a set is in byte order and pages by its
 * last member.  The edge loads a record with one HMGET.  The admin API asks
 * and changes with one script each; lists are in ngx_access_token_list.c.  A
 * record that is not whole, or whose organization does not fit its id, is an
 * error that names it, never a guess.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_call.h>
#include <ngx_access_token_cache.h>
#include <ngx_access_token_memory.h>


static ngx_access_token_call_t *ngx_access_token_store_begin(
    ngx_access_token_op_t *op, const ngx_access_token_owner_t *owner,
    const u_char *id);
static ngx_access_token_call_t *ngx_access_token_store_change(
    ngx_access_token_op_t *op, const ngx_access_token_owner_t *owner,
    const u_char *id);
static void ngx_access_token_store_owner_keys(ngx_access_token_call_t *call);
static void ngx_access_token_store_args(ngx_access_token_call_t *call);
static void ngx_access_token_store_change_args(ngx_access_token_call_t *call);
static void ngx_access_token_store_drop_at(ngx_access_token_call_t *call,
    time_t expires);
static ngx_int_t ngx_access_token_store_enlist(ngx_access_token_call_t *call);
static void ngx_access_token_store_await_enlisted(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static void ngx_access_token_store_unlisted(
    const ngx_access_token_call_t *call);
static ngx_int_t ngx_access_token_store_send(ngx_access_token_call_t *call,
    const ngx_redis_script_t *script);
static void ngx_access_token_store_await_change(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static void ngx_access_token_store_remember(ngx_access_token_call_t *call);
static void ngx_access_token_store_await_answer(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_access_token_store_answer(ngx_access_token_call_t *call,
    const ngx_redis_reply_t *reply);

static const ngx_str_t  ngx_access_token_no_text = ngx_null_string;


ngx_int_t
ngx_access_token_store_init(ngx_access_token_store_t *store, ngx_pool_t *pool)
{
    ngx_access_token_script_init();

    ngx_rbtree_init(&store->flights, &store->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&store->unreplicated);

    return ngx_access_token_load_init(store, pool);
}


ngx_int_t
ngx_access_token_store_get(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id)
{
    ngx_access_token_call_t  *call;

    call = ngx_access_token_store_begin(op, owner, id);
    if (call == NULL) {
        return NGX_ERROR;
    }

    ngx_access_token_store_args(call);

    return ngx_access_token_store_send(call, &ngx_access_token_script_get);
}


ngx_int_t
ngx_access_token_store_create(ngx_access_token_op_t *op,
    const ngx_access_token_t *t)
{
    ngx_access_token_t        record;
    ngx_access_token_call_t  *call;

    record = *t;
    record.version = 1;

    call = ngx_access_token_store_begin(op, &t->owner, t->id);
    if (call == NULL) {
        return NGX_ERROR;
    }

    ngx_access_token_call_key(call, 'a', &call->owner.organization, NULL);
    ngx_access_token_store_owner_keys(call);
    ngx_access_token_store_change_args(call);
    ngx_access_token_store_drop_at(call, t->expires);

    if (ngx_access_token_record_fields(&call->argv, &record) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_redis_is_cluster(op->store->redis)) {
        return ngx_access_token_store_enlist(call);
    }

    return ngx_access_token_store_send(call, &ngx_access_token_script_create);
}


/*
 * In a cluster the list of organizations is on a server of its own, beyond the
 * reach of a script.  It is written before a token, so that no organization is
 * missing as long as that server is there; one whose last token is gone stays.
 */

static ngx_int_t
ngx_access_token_store_enlist(ngx_access_token_call_t *call)
{
    u_char                     buf[NGX_ACCESS_TOKEN_KEY_PREFIX_MAX + 1];
    ngx_str_t                  argv[4], *args;
    ngx_uint_t                 i;
    ngx_access_token_op_t     *op;
    ngx_access_token_store_t  *store;

    if (call->failed) {
        return NGX_ERROR;
    }

    op = call->op;
    store = op->store;

    /* what they point to may be gone when the script is sent */

    args = call->argv.elts;

    for (i = 0; i < call->argv.nelts; i++) {
        args[i].data = ngx_pstrdup(op->pool, &args[i]);
        if (args[i].data == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&argv[0], "ZADD");
    argv[1].data = buf;
    argv[1].len = ngx_sprintf(buf, "%Vo", &store->key_prefix) - buf;
    ngx_str_set(&argv[2], "0");
    argv[3] = call->owner.organization;

    op->command = ngx_redis_send(store->redis, &argv[1], argv, 4,
                                 ngx_access_token_store_await_enlisted, call);

    if (op->command) {
        return NGX_AGAIN;
    }

    ngx_access_token_store_unlisted(call);

    return ngx_access_token_store_send(call, &ngx_access_token_script_create);
}


static void
ngx_access_token_store_await_enlisted(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_call_t *call = data;

    call->op->command = NULL;

    if (rc != NGX_OK) {
        ngx_access_token_store_unlisted(call);
    }

    if (ngx_access_token_store_send(call, &ngx_access_token_script_create)
        != NGX_AGAIN)
    {
        ngx_access_token_call_done(call, NGX_ERROR);
    }
}


static void
ngx_access_token_store_unlisted(const ngx_access_token_call_t *call)
{
    ngx_log_error(NGX_LOG_ERR, call->op->pool->log, 0,
                  "organization \"%V\" could not be added to the list of "
                  "organizations, which is on another node of the cluster: "
                  "it will be with its next token",
                  &call->owner.organization);
}


ngx_int_t
ngx_access_token_store_patch(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id,
    const ngx_access_token_patch_t *patch)
{
    ngx_int_t                 rc;
    ngx_str_t                 field;
    ngx_array_t               gone;
    ngx_uint_t                i;
    ngx_access_token_call_t  *call;

    call = ngx_access_token_store_change(op, owner, id);
    if (call == NULL
        || ngx_array_init(&gone, op->pool, 32, sizeof(ngx_str_t)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (patch->expires) {
        ngx_access_token_store_drop_at(call, *patch->expires);

    } else {
        ngx_access_token_call_arg(call, &ngx_access_token_no_text);
    }

    rc = NGX_OK;

    if (patch->name) {
        rc = ngx_access_token_record_chunks(&gone, 'n');
    }

    if (patch->description && rc == NGX_OK) {
        rc = ngx_access_token_record_chunks(&gone, 'd');
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_access_token_call_num(call, gone.nelts);

    for (i = 0; i < gone.nelts; i++) {
        ngx_access_token_call_arg(call, (ngx_str_t *) gone.elts + i);
    }

    if (patch->name) {
        ngx_access_token_call_text(call, 'n', patch->name);
    }

    if (patch->description) {
        ngx_access_token_call_text(call, 'd', patch->description);
    }

    if (patch->expires) {
        ngx_str_set(&field, "e");
        ngx_access_token_call_arg(call, &field);
        ngx_access_token_call_num(call, *patch->expires);
    }

    return ngx_access_token_store_send(call, &ngx_access_token_script_patch);
}


ngx_int_t
ngx_access_token_store_revoke(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id)
{
    ngx_access_token_call_t  *call;

    call = ngx_access_token_store_change(op, owner, id);
    if (call == NULL) {
        return NGX_ERROR;
    }

    ngx_access_token_call_text(call, 'y', &op->actor);

    return ngx_access_token_store_send(call, &ngx_access_token_script_revoke);
}


ngx_int_t
ngx_access_token_store_activate(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id)
{
    ngx_access_token_call_t  *call;

    call = ngx_access_token_store_change(op, owner, id);
    if (call == NULL) {
        return NGX_ERROR;
    }

    return ngx_access_token_store_send(call,
                                       &ngx_access_token_script_activate);
}


ngx_int_t
ngx_access_token_store_rotate(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const ngx_access_token_key_t *key,
    time_t grace)
{
    ngx_str_t                 digest;
    ngx_access_token_call_t  *call;

    call = ngx_access_token_store_change(op, owner, key->id);
    if (call == NULL) {
        return NGX_ERROR;
    }

    digest.data = (u_char *) key->digest;
    digest.len = NGX_ACCESS_TOKEN_DIGEST_LEN;

    call->rotates = 1;

    ngx_access_token_call_arg(call, &digest);
    ngx_access_token_call_num(call, (grace > 0) ? ngx_time() + grace : 0);

    return ngx_access_token_store_send(call, &ngx_access_token_script_rotate);
}


ngx_int_t
ngx_access_token_store_delete(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id)
{
    ngx_access_token_call_t  *call;

    call = ngx_access_token_store_begin(op, owner, id);
    if (call == NULL) {
        return NGX_ERROR;
    }

    ngx_access_token_call_key(call, 'a', &call->owner.organization, NULL);
    ngx_access_token_store_owner_keys(call);
    ngx_access_token_store_change_args(call);

    call->deletes = 1;

    return ngx_access_token_store_send(call, &ngx_access_token_script_delete);
}


void
ngx_access_token_store_cancel(ngx_access_token_op_t *op)
{
    if (op->command) {
        ngx_redis_cancel(op->command);
        op->command = NULL;
    }

    if (op->state) {
        ngx_access_token_wait_cancel(op->state);
    }
}


/* --- keys and arguments, in the order of ngx_access_token_script.c ----- */

static ngx_access_token_call_t *
ngx_access_token_store_begin(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id)
{
    ngx_str_t                 name;
    ngx_access_token_call_t  *call;

    call = ngx_access_token_call_create(op, sizeof(ngx_access_token_call_t),
                                        owner);
    if (call == NULL) {
        return NULL;
    }

    ngx_memcpy(call->id, id, NGX_ACCESS_TOKEN_ID_LEN);

    name.data = call->id;
    name.len = NGX_ACCESS_TOKEN_ID_LEN;

    /* the organization's tag: with that of the id, keys could lie apart */

    ngx_access_token_call_key(call, 't', &name, NULL);
    ngx_access_token_call_key(call, 'u', NULL, NULL);

    return call;
}


static ngx_access_token_call_t *
ngx_access_token_store_change(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner, const u_char *id)
{
    ngx_access_token_call_t  *call;

    call = ngx_access_token_store_begin(op, owner, id);
    if (call == NULL) {
        return NULL;
    }

    ngx_access_token_call_key(call, 'a', &call->owner.organization, NULL);
    ngx_access_token_store_change_args(call);

    return call;
}


static void
ngx_access_token_store_owner_keys(ngx_access_token_call_t *call)
{
    ngx_str_t  *organization, *group;

    organization = &call->owner.organization;
    group = &call->owner.group;

    ngx_access_token_call_key(call, 'i', organization, group);
    ngx_access_token_call_key(call, 'i', organization, NULL);
    ngx_access_token_call_key(call, 'g', organization, NULL);

    if (!ngx_redis_is_cluster(call->op->store->redis)) {
        ngx_access_token_call_key_organizations(call);
    }
}


static void
ngx_access_token_store_args(ngx_access_token_call_t *call)
{
    ngx_str_t  id;

    id.data = call->id;
    id.len = NGX_ACCESS_TOKEN_ID_LEN;

    ngx_access_token_call_arg(call, &id);
    ngx_access_token_call_arg(call, &call->owner.organization);
    ngx_access_token_call_arg(call, &call->owner.group);
}


static void
ngx_access_token_store_change_args(ngx_access_token_call_t *call)
{
    ngx_str_t   *prefix, channel;
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    ngx_access_token_store_args(call);
    ngx_access_token_call_num(call, tp->sec);

    prefix = &call->op->store->key_prefix;

    channel.len = prefix->len + sizeof("inv") - 1;
    channel.data = ngx_pnalloc(call->op->pool, channel.len);
    if (channel.data == NULL) {
        call->failed = 1;
        return;
    }

    ngx_sprintf(channel.data, "%Vinv", prefix);

    ngx_access_token_call_arg(call, &channel);
    ngx_access_token_call_arg(call, &call->op->actor);
    ngx_access_token_call_arg(call, &call->op->address);
    ngx_access_token_call_num(call, (int64_t) tp->sec * 1000 + tp->msec);
}


/* When Redis drops a record that expires then, 0 for never. */

static void
ngx_access_token_store_drop_at(ngx_access_token_call_t *call, time_t expires)
{
    if (expires) {
        expires += NGX_ACCESS_TOKEN_RETENTION;
    }

    ngx_access_token_call_num(call, expires);
}


/* --- the answer -------------------------------------------------------- */

static ngx_int_t
ngx_access_token_store_send(ngx_access_token_call_t *call,
    const ngx_redis_script_t *script)
{
    ngx_int_t                  rc;
    ngx_access_token_store_t  *store;

    store = call->op->store;

    if (script == &ngx_access_token_script_get) {
        return ngx_access_token_call_eval(call, store->redis, script,
                                          ngx_access_token_store_await_answer);
    }

    if (!call->failed) {
        call->key = *(ngx_str_t *) call->argv.elts;
    }

    rc = ngx_access_token_call_eval(call, store->changes, script,
                                    ngx_access_token_store_await_change);

    if (rc == NGX_AGAIN && store->wait_replicas) {
        ngx_access_token_wait_soon(call);
    }

    return rc;
}


/*
 * It may have been made whatever came of the answer.  That there is no such
 * token any more, replicas have to know too.
 */

static void
ngx_access_token_store_await_change(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_call_t *call = data;

    ngx_access_token_store_t  *store;

    store = call->op->store;

    if (rc == NGX_OK) {
        rc = ngx_access_token_store_answer(call, reply);
    }

    if (store->zone) {
        if (rc == NGX_OK) {
            ngx_access_token_store_remember(call);
        }

        ngx_access_token_cache_forget(store->zone, call->id);
    }

    if (store->wait_replicas
        && (rc == NGX_OK || (rc == NGX_DECLINED && call->deletes)))
    {
        ngx_access_token_wait(call, rc);
        return;
    }

    ngx_access_token_call_done(call, rc);
}


/* Before what was cached goes: whoever reads from then on is to know. */

static void
ngx_access_token_store_remember(ngx_access_token_call_t *call)
{
    uint64_t                   version;
    ngx_access_token_op_t     *op;
    ngx_access_token_memory_e  state;

    op = call->op;

    if (op->n == 0) {
        version = call->version;
        state = NGX_ACCESS_TOKEN_MEMORY_DELETED;

    } else {
        version = op->tokens[0].version;
        state = call->rotates ? NGX_ACCESS_TOKEN_MEMORY_ROTATED
                              : NGX_ACCESS_TOKEN_MEMORY_OTHER;

        if (op->tokens[0].revoked) {
            state = NGX_ACCESS_TOKEN_MEMORY_REVOKED;
        }
    }

    ngx_access_token_memory_keep(op->store->zone, call->id, version, state,
                                 ngx_access_token_clock());
}


static void
ngx_access_token_store_await_answer(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_call_t *call = data;

    if (rc == NGX_OK) {
        rc = ngx_access_token_store_answer(call, reply);
    }

    ngx_access_token_call_done(call, rc);
}


static ngx_int_t
ngx_access_token_store_answer(ngx_access_token_call_t *call,
    const ngx_redis_reply_t *reply)
{
    ngx_int_t               rc;
    ngx_access_token_op_t  *op;

    op = call->op;

    if (reply->type != NGX_REDIS_ARRAY || reply->nelts == 0
        || reply->elts[0].type != NGX_REDIS_INTEGER)
    {
        goto unexpected;
    }

    switch (reply->elts[0].integer) {

    case NGX_ACCESS_TOKEN_SCRIPT_ABSENT:
        return NGX_DECLINED;

    case NGX_ACCESS_TOKEN_SCRIPT_DONE:
        rc = NGX_OK;
        break;

    case NGX_ACCESS_TOKEN_SCRIPT_BUSY:
        rc = NGX_BUSY;
        break;

    case NGX_ACCESS_TOKEN_SCRIPT_EXISTS:
        ngx_log_error(NGX_LOG_ERR, op->pool->log, 0,
                      "access token \"%*s\" exists already",
                      (size_t) NGX_ACCESS_TOKEN_ID_LEN, call->id);
        return NGX_ERROR;

    default:
        goto unexpected;
    }

    if (reply->nelts == 1) {
        return rc;
    }

    if (call->deletes && reply->elts[1].type == NGX_REDIS_INTEGER) {
        call->version = reply->elts[1].integer;
        return rc;
    }

    op->tokens = ngx_palloc(op->pool, sizeof(ngx_access_token_t));
    if (op->tokens == NULL
        || ngx_access_token_call_record(call, call->id, reply, op->tokens)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    op->n = 1;

    return rc;

unexpected:

    ngx_log_error(NGX_LOG_ERR, op->pool->log, 0,
                  "redis answered a script with something else");

    /* it is the one whose handler this is */

    ngx_redis_garbled(op->store->redis);
    ngx_redis_garbled(op->store->changes);

    return NGX_ERROR;
}
