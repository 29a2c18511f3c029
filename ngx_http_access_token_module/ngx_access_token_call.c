
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A call: one op's way to Redis and back.  It is begun with an owner, which
 * gives the tag for its keys; keys and arguments are appended, each a view of
 * bytes that live until the wire has copied them; it is sent, and the answer
 * comes to a handler of the store, which sends the next round or is done.
 * A call has one command in flight at most, which op->command names, so that
 * to cancel is possible at any time.  A list goes several rounds of some 200
 * keys, so an array serves all of them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_call.h>


#define NGX_ACCESS_TOKEN_CALL_ARGS  48


static ngx_int_t ngx_access_token_call_owner(ngx_access_token_call_t *call,
    const ngx_access_token_owner_t *owner);
static ngx_int_t ngx_access_token_call_fields(ngx_access_token_call_t *call,
    const ngx_redis_reply_t *record, ngx_access_token_t *t, ngx_str_t *field);


void *
ngx_access_token_call_create(ngx_access_token_op_t *op, size_t size,
    const ngx_access_token_owner_t *owner)
{
    ngx_access_token_call_t  *call;

    call = ngx_pcalloc(op->pool, size);
    if (call == NULL) {
        return NULL;
    }

    call->op = op;

    if (ngx_array_init(&call->argv, op->pool, NGX_ACCESS_TOKEN_CALL_ARGS,
                       sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NULL;
    }

    if (owner && ngx_access_token_call_owner(call, owner) != NGX_OK) {
        return NULL;
    }

    op->tokens = NULL;
    op->names = NULL;
    op->n = 0;
    op->unreplicated = 0;
    op->command = NULL;
    op->state = call;
    ngx_str_null(&op->next_cursor);

    return call;
}


static ngx_int_t
ngx_access_token_call_owner(ngx_access_token_call_t *call,
    const ngx_access_token_owner_t *owner)
{
    u_char     *p;
    ngx_str_t  *organization, *group;

    organization = &call->owner.organization;
    group = &call->owner.group;

    organization->len = owner->organization.len;
    group->len = owner->group.len;

    p = ngx_pnalloc(call->op->pool, organization->len + group->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    organization->data = p;
    group->data = ngx_cpymem(p, owner->organization.data, organization->len);

    if (group->len) {
        ngx_memcpy(group->data, owner->group.data, group->len);
    }

    return ngx_access_token_tag(organization, call->tag);
}


ngx_int_t
ngx_access_token_call_make_key(ngx_access_token_store_t *store,
    ngx_pool_t *pool, u_char kind, const u_char *tag, const ngx_str_t *name,
    const ngx_str_t *sub, ngx_str_t *key)
{
    u_char  *p;
    size_t   len;

    len = store->key_prefix.len + sizeof("k:{}:/") - 1
          + NGX_ACCESS_TOKEN_TAG_LEN + (name ? name->len : 0)
          + (sub ? sub->len : 0);

    key->data = ngx_pnalloc(pool, len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(key->data, "%V%c:{%*s}", &store->key_prefix, kind,
                    (size_t) NGX_ACCESS_TOKEN_TAG_LEN, tag);

    if (name && name->len) {
        *p++ = ':';
        p = ngx_cpymem(p, name->data, name->len);
    }

    if (sub && sub->len) {
        *p++ = '/';
        p = ngx_cpymem(p, sub->data, sub->len);
    }

    key->len = p - key->data;

    return NGX_OK;
}


void
ngx_access_token_call_key(ngx_access_token_call_t *call, u_char kind,
    const ngx_str_t *name, const ngx_str_t *sub)
{
    ngx_str_t  key;

    if (ngx_access_token_call_make_key(call->op->store, call->op->pool, kind,
                                       call->tag, name, sub, &key)
        != NGX_OK)
    {
        call->failed = 1;
        return;
    }

    ngx_access_token_call_arg(call, &key);

    call->nkeys++;
}


void
ngx_access_token_call_key_organizations(ngx_access_token_call_t *call)
{
    ngx_str_t  key, *prefix;

    prefix = &call->op->store->key_prefix;

    key.len = prefix->len + 1;
    key.data = ngx_pnalloc(call->op->pool, key.len);
    if (key.data == NULL) {
        call->failed = 1;
        return;
    }

    ngx_sprintf(key.data, "%Vo", prefix);

    ngx_access_token_call_arg(call, &key);

    call->nkeys++;
}


void
ngx_access_token_call_arg(ngx_access_token_call_t *call,
    const ngx_str_t *value)
{
    ngx_str_t  *arg;

    arg = ngx_array_push(&call->argv);
    if (arg == NULL) {
        call->failed = 1;
        return;
    }

    *arg = *value;
}


void
ngx_access_token_call_num(ngx_access_token_call_t *call, int64_t value)
{
    ngx_str_t  arg;

    arg.data = ngx_pnalloc(call->op->pool, NGX_INT64_LEN);
    if (arg.data == NULL) {
        call->failed = 1;
        return;
    }

    arg.len = ngx_sprintf(arg.data, "%L", value) - arg.data;

    ngx_access_token_call_arg(call, &arg);
}


void
ngx_access_token_call_text(ngx_access_token_call_t *call, u_char field,
    const ngx_str_t *text)
{
    if (ngx_access_token_record_text(&call->argv, field, text) != NGX_OK) {
        call->failed = 1;
    }
}


ngx_int_t
ngx_access_token_call_send(ngx_access_token_call_t *call,
    ngx_redis_handler_pt handler)
{
    ngx_str_t              *argv;
    ngx_access_token_op_t  *op;

    if (call->failed) {
        return NGX_ERROR;
    }

    op = call->op;
    argv = call->argv.elts;

    op->command = ngx_redis_send(op->store->redis, &argv[1], argv,
                                 call->argv.nelts, handler, call);

    call->argv.nelts = 0;
    call->nkeys = 0;

    return op->command ? NGX_AGAIN : NGX_ERROR;
}


ngx_int_t
ngx_access_token_call_eval(ngx_access_token_call_t *call,
    ngx_redis_t *redis, const ngx_redis_script_t *script,
    ngx_redis_handler_pt handler)
{
    ngx_access_token_op_t  *op;

    if (call->failed) {
        return NGX_ERROR;
    }

    op = call->op;

    op->command = ngx_redis_eval(redis, script, call->nkeys, call->argv.elts,
                                 call->argv.nelts, handler, call);

    call->argv.nelts = 0;
    call->nkeys = 0;

    return op->command ? NGX_AGAIN : NGX_ERROR;
}


void
ngx_access_token_call_done(ngx_access_token_call_t *call, ngx_int_t rc)
{
    ngx_access_token_op_t  *op;

    op = call->op;

    op->command = NULL;
    op->rc = rc;

    op->handler(op);
}


ngx_int_t
ngx_access_token_call_record(ngx_access_token_call_t *call, const u_char *id,
    const ngx_redis_reply_t *reply, ngx_access_token_t *t)
{
    ngx_int_t                 rc;
    ngx_str_t                 field;
    const ngx_redis_reply_t  *used;

    ngx_memzero(t, sizeof(ngx_access_token_t));
    ngx_memcpy(t->id, id, NGX_ACCESS_TOKEN_ID_LEN);

    rc = NGX_DECLINED;
    ngx_str_set(&field, "*");

    if (reply->nelts > 1) {
        rc = ngx_access_token_call_fields(call, &reply->elts[1], t, &field);
    }

    if (rc == NGX_DECLINED) {
        ngx_access_token_call_damaged(call->op->pool->log, id, &field);
    }

    if (rc == NGX_OK && reply->nelts > 2) {
        used = &reply->elts[2];

        if (used->type == NGX_REDIS_STRING) {
            t->last_used = ngx_max(ngx_atotm(used->str.data, used->str.len),
                                   0);
        }
    }

    return rc;
}


static ngx_int_t
ngx_access_token_call_fields(ngx_access_token_call_t *call,
    const ngx_redis_reply_t *record, ngx_access_token_t *t, ngx_str_t *field)
{
    ngx_int_t   rc;
    ngx_str_t  *value;
    ngx_uint_t  i;

    if (record->type != NGX_REDIS_ARRAY) {
        return NGX_DECLINED;
    }

    for (i = 0; i + 1 < record->nelts; i += 2) {
        *field = record->elts[i].str;
        value = &record->elts[i + 1].str;

        rc = ngx_access_token_record_set(t, call->op->pool, field, value);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ngx_access_token_record_check(t, 0, field) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (!ngx_access_token_same(&t->owner.organization,
                                     &call->owner.organization))
    {
        ngx_str_set(field, "o");
        return NGX_DECLINED;
    }

    if (!ngx_access_token_same(&t->owner.group, &call->owner.group)) {
        ngx_str_set(field, "g");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_access_token_call_damaged(ngx_log_t *log, const u_char *id,
    const ngx_str_t *field)
{
    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "record of access token \"%*s\" is damaged: field \"%V\"",
                  (size_t) NGX_ACCESS_TOKEN_ID_LEN, id, field);
}
