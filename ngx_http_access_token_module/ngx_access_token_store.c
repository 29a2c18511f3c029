
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
 *     inv                        channel     keys of records that changed
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


#define NGX_ACCESS_TOKEN_LOAD_POOL  1024


typedef struct {
    ngx_pool_t                   *pool;         /* holds this, too */
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_access_token_load_pt      handler;
    void                         *data;
} ngx_access_token_load_t;


static void ngx_access_token_load_await_record(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_access_token_load_read(ngx_access_token_load_t *load,
    const ngx_redis_reply_t *reply, ngx_access_token_t *t);

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
static ngx_int_t ngx_access_token_store_send(ngx_access_token_call_t *call,
    const ngx_redis_script_t *script);
static void ngx_access_token_store_await_answer(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_access_token_store_answer(ngx_access_token_call_t *call,
    const ngx_redis_reply_t *reply);

static const ngx_str_t  ngx_access_token_no_text = ngx_null_string;


void
ngx_access_token_store_init(ngx_access_token_store_t *store)
{
    ngx_access_token_script_init();

    ngx_rbtree_init(&store->flights, &store->sentinel,
                    ngx_str_rbtree_insert_value);
}


/* --- load: what the edge asks for -------------------------------------- */

ngx_int_t
ngx_access_token_store_load(ngx_access_token_store_t *store, const u_char *id,
    ngx_access_token_load_pt handler, void *data)
{
    ngx_str_t                *argv, name;
    ngx_uint_t                i, argc;
    ngx_pool_t               *pool;
    ngx_access_token_load_t  *load;

    pool = ngx_create_pool(NGX_ACCESS_TOKEN_LOAD_POOL, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    argc = 2 + ngx_access_token_edge_nfields;

    load = ngx_palloc(pool, sizeof(ngx_access_token_load_t));
    argv = ngx_palloc(pool, argc * sizeof(ngx_str_t));
    if (load == NULL || argv == NULL) {
        goto failed;
    }

    load->pool = pool;
    load->handler = handler;
    load->data = data;
    ngx_memcpy(load->id, id, NGX_ACCESS_TOKEN_ID_LEN);

    name.data = load->id;
    name.len = NGX_ACCESS_TOKEN_ID_LEN;

    ngx_str_set(&argv[0], "HMGET");

    if (ngx_access_token_call_make_key(store, pool, 't', load->id, &name,
                                       NULL, &argv[1])
        != NGX_OK)
    {
        goto failed;
    }

    for (i = 2; i < argc; i++) {
        argv[i] = ngx_access_token_edge_fields[i - 2];
    }

    if (ngx_redis_send(store->redis, &argv[1], argv, argc,
                       ngx_access_token_load_await_record, load)
        != NULL)
    {
        return NGX_AGAIN;
    }

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


static void
ngx_access_token_load_await_record(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_load_t *load = data;

    ngx_access_token_t  *t;

    t = ngx_pcalloc(load->pool, sizeof(ngx_access_token_t));

    if (rc == NGX_OK) {
        rc = (t != NULL) ? ngx_access_token_load_read(load, reply, t)
                         : NGX_ERROR;
    }

    load->handler(load->data, rc, (rc == NGX_OK) ? t : NULL);

    ngx_destroy_pool(load->pool);
}


static ngx_int_t
ngx_access_token_load_read(ngx_access_token_load_t *load,
    const ngx_redis_reply_t *reply, ngx_access_token_t *t)
{
    u_char                    tag[NGX_ACCESS_TOKEN_TAG_LEN];
    ngx_int_t                 rc;
    ngx_str_t                 field;
    ngx_uint_t                i, found;
    const ngx_redis_reply_t  *value;

    if (reply->type != NGX_REDIS_ARRAY
        || reply->nelts != ngx_access_token_edge_nfields)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "redis answered HMGET with something else "
                      "while loading access token \"%*s\"",
                      (size_t) NGX_ACCESS_TOKEN_ID_LEN, load->id);
        return NGX_ERROR;
    }

    found = 0;

    for (i = 0; i < reply->nelts; i++) {
        value = &reply->elts[i];
        field = ngx_access_token_edge_fields[i];

        if (value->type == NGX_REDIS_NIL) {
            rc = ngx_access_token_record_set(t, load->pool, &field, NULL);

        } else if (value->type == NGX_REDIS_STRING) {
            found = 1;
            rc = ngx_access_token_record_set(t, load->pool, &field,
                                             &value->str);
        } else {
            rc = NGX_DECLINED;
        }

        if (rc == NGX_DECLINED) {
            goto damaged;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!found) {
        return NGX_DECLINED;
    }

    ngx_memcpy(t->id, load->id, NGX_ACCESS_TOKEN_ID_LEN);

    if (ngx_access_token_record_check(t, 1, &field) != NGX_OK) {
        goto damaged;
    }

    if (ngx_access_token_tag(&t->owner.organization, tag) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_memcmp(tag, load->id, NGX_ACCESS_TOKEN_TAG_LEN) != 0) {
        ngx_str_set(&field, "o");
        goto damaged;
    }

    return NGX_OK;

damaged:

    ngx_access_token_call_damaged(ngx_cycle->log, load->id, &field);

    return NGX_ERROR;
}


/* --- one token: what the admin API asks for and changes ---------------- */

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

    return ngx_access_token_store_send(call, &ngx_access_token_script_create);
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

    return ngx_access_token_store_send(call, &ngx_access_token_script_delete);
}


void
ngx_access_token_store_cancel(ngx_access_token_op_t *op)
{
    if (op->command) {
        ngx_redis_cancel(op->command);
        op->command = NULL;
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
    ngx_access_token_call_key_organizations(call);
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
    ngx_str_t  *prefix, channel;

    ngx_access_token_store_args(call);
    ngx_access_token_call_num(call, ngx_time());

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
    return ngx_access_token_call_eval(call, script,
                                      ngx_access_token_store_await_answer);
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

    return NGX_ERROR;
}
