
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Pages of tokens, of groups and of organizations.  The index gives the ids
 * after the cursor, newest first, at the same cost at any depth; then one
 * script reads their records, filters them, and takes out of the index what
 * Redis has dropped since.  (Two steps, so that no key is made up in Lua.)
 *
 *     range    ids after the cursor, one more than will be read
 *     await_ids        -> read, or the end
 *     read     up to SCAN records, until the page is full
 *     await_records    -> the end, or the next range
 *
 * A filter that fits little would keep Redis busy: a script reads at most
 * SCAN records, a page takes at most ROUNDS scripts, and what was found till
 * then goes out with a cursor.  A damaged record is logged and left out.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_call.h>


#define NGX_ACCESS_TOKEN_LIST_SCAN    200
#define NGX_ACCESS_TOKEN_LIST_ROUNDS  10


typedef struct {
    ngx_access_token_call_t       call;         /* must be first */

    ngx_uint_t                    limit;
    ngx_str_t                     search;
    ngx_str_t                     status;
    ngx_str_t                     admin;

    u_char                        cursor[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_uint_t                    scan;         /* records in a script */
    ngx_uint_t                    rounds;

    u_char                      (*ids)[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_uint_t                    nids;
    u_char                       *keys;         /* of the ids, key_len each */
    size_t                        key_len;

    unsigned                      started:1;    /* cursor is set */
    unsigned                      more:1;       /* the index goes on */
} ngx_access_token_list_t;


typedef struct {
    ngx_access_token_call_t       call;         /* must be first */
    ngx_uint_t                    limit;
} ngx_access_token_names_t;


static ngx_int_t ngx_access_token_list_filter(ngx_access_token_list_t *list,
    const ngx_access_token_filter_t *filter);
static ngx_int_t ngx_access_token_list_buffers(ngx_access_token_list_t *list);
static ngx_int_t ngx_access_token_list_range(ngx_access_token_list_t *list);
static void ngx_access_token_list_await_ids(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_access_token_list_ids(ngx_access_token_list_t *list,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_access_token_list_read(ngx_access_token_list_t *list);
static void ngx_access_token_list_record_keys(ngx_access_token_list_t *list);
static void ngx_access_token_list_await_records(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_access_token_list_records(ngx_access_token_list_t *list,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_access_token_list_end(ngx_access_token_list_t *list);

static ngx_int_t ngx_access_token_names_send(ngx_access_token_names_t *names,
    ngx_uint_t limit, const ngx_str_t *cursor);
static void ngx_access_token_names_await(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_access_token_names_read(ngx_access_token_names_t *names,
    const ngx_redis_reply_t *reply);

static void ngx_access_token_range_command(ngx_access_token_call_t *call,
    const char *name);
static void ngx_access_token_range_bound(ngx_access_token_call_t *call,
    const ngx_str_t *cursor, const char *otherwise);
static void ngx_access_token_range_limit(ngx_access_token_call_t *call,
    ngx_uint_t limit);


/* --- tokens ------------------------------------------------------------ */

ngx_int_t
ngx_access_token_store_list(ngx_access_token_op_t *op,
    const ngx_access_token_owner_t *owner,
    const ngx_access_token_filter_t *filter)
{
    ngx_access_token_list_t  *list;

    list = ngx_access_token_call_create(op, sizeof(ngx_access_token_list_t),
                                        owner);
    if (list == NULL) {
        return NGX_ERROR;
    }

    if (ngx_access_token_list_filter(list, filter) != NGX_OK
        || ngx_access_token_list_buffers(list) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_access_token_list_range(list);
}


static ngx_int_t
ngx_access_token_list_filter(ngx_access_token_list_t *list,
    const ngx_access_token_filter_t *filter)
{
    list->limit = filter->limit;

    switch (filter->status) {

    case NGX_ACCESS_TOKEN_ACTIVE:
        ngx_str_set(&list->status, "active");
        break;

    case NGX_ACCESS_TOKEN_REVOKED:
        ngx_str_set(&list->status, "revoked");
        break;

    case NGX_ACCESS_TOKEN_EXPIRED:
        ngx_str_set(&list->status, "expired");
        break;

    default:
        break;
    }

    if (filter->admin >= 0) {
        list->admin.len = 1;
        list->admin.data = (u_char *) (filter->admin ? "1" : "0");
    }

    if (filter->search.len) {
        list->search.len = filter->search.len;
        list->search.data = ngx_pstrdup(list->call.op->pool,
                                        (ngx_str_t *) &filter->search);
        if (list->search.data == NULL) {
            return NGX_ERROR;
        }
    }

    if (filter->cursor.len) {
        if (ngx_access_token_check_id(&filter->cursor) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_memcpy(list->cursor, filter->cursor.data, NGX_ACCESS_TOKEN_ID_LEN);
        list->started = 1;
    }

    list->scan = NGX_ACCESS_TOKEN_LIST_SCAN;

    if (list->status.len == 0 && list->admin.len == 0 && list->search.len == 0)
    {
        list->scan = list->limit;
    }

    return NGX_OK;
}


/* They serve all rounds.  A key is made once, then only its id is written. */

static ngx_int_t
ngx_access_token_list_buffers(ngx_access_token_list_t *list)
{
    u_char                 *p;
    ngx_str_t               key, id;
    ngx_uint_t              i;
    ngx_access_token_op_t  *op;

    op = list->call.op;

    id.data = list->cursor;
    id.len = NGX_ACCESS_TOKEN_ID_LEN;

    if (ngx_access_token_call_make_key(op->store, op->pool, 't',
                                       list->call.tag, &id, NULL, &key)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    list->key_len = key.len;

    list->ids = ngx_palloc(op->pool, list->scan * NGX_ACCESS_TOKEN_ID_LEN);
    list->keys = ngx_palloc(op->pool, list->scan * key.len);
    op->tokens = ngx_palloc(op->pool,
                            list->limit * sizeof(ngx_access_token_t));

    if (list->ids == NULL || list->keys == NULL || op->tokens == NULL) {
        return NGX_ERROR;
    }

    p = list->keys;

    for (i = 0; i < list->scan; i++) {
        p = ngx_cpymem(p, key.data, key.len);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_access_token_list_range(ngx_access_token_list_t *list)
{
    ngx_str_t                 cursor;
    ngx_access_token_call_t  *call;

    call = &list->call;

    cursor.data = list->cursor;
    cursor.len = list->started ? NGX_ACCESS_TOKEN_ID_LEN : 0;

    ngx_access_token_range_command(call, "ZREVRANGEBYLEX");
    ngx_access_token_call_key(call, 'i', &call->owner.organization,
                              &call->owner.group);
    ngx_access_token_range_bound(call, &cursor, "+");
    ngx_access_token_range_bound(call, NULL, "-");
    ngx_access_token_range_limit(call, list->scan + 1);

    return ngx_access_token_call_send(call, ngx_access_token_list_await_ids);
}


static void
ngx_access_token_list_await_ids(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_list_t *list = data;

    if (rc == NGX_OK) {
        rc = ngx_access_token_list_ids(list, reply);
    }

    if (rc == NGX_OK) {
        rc = list->nids ? ngx_access_token_list_read(list)
                        : ngx_access_token_list_end(list);
    }

    if (rc != NGX_AGAIN) {
        ngx_access_token_call_done(&list->call, rc);
    }
}


static ngx_int_t
ngx_access_token_list_ids(ngx_access_token_list_t *list,
    const ngx_redis_reply_t *reply)
{
    ngx_uint_t   i, n;
    ngx_log_t   *log;
    ngx_str_t   *id;

    log = list->call.op->pool->log;

    if (reply->type != NGX_REDIS_ARRAY) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "redis answered ZREVRANGEBYLEX with something else");
        ngx_redis_garbled(list->call.op->store->redis);
        return NGX_ERROR;
    }

    list->more = reply->nelts > list->scan;
    list->nids = 0;

    n = ngx_min(reply->nelts, list->scan);

    for (i = 0; i < n; i++) {
        id = &reply->elts[i].str;

        if (ngx_access_token_check_id(id) != NGX_OK) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "the index of tokens of organization \"%V\" "
                          "holds something that is no id",
                          &list->call.owner.organization);
            continue;
        }

        ngx_memcpy(list->ids[list->nids++], id->data, NGX_ACCESS_TOKEN_ID_LEN);
    }

    /* without an id there is no cursor to go on from */

    return (n && list->nids == 0) ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_access_token_list_read(ngx_access_token_list_t *list)
{
    ngx_str_t                *organization, *group;
    ngx_access_token_call_t  *call;

    call = &list->call;
    organization = &call->owner.organization;
    group = &call->owner.group;

    ngx_access_token_call_key(call, 'i', organization, group);
    ngx_access_token_call_key(call, 'u', NULL, NULL);
    ngx_access_token_call_key(call, 'i', organization, NULL);
    ngx_access_token_call_key(call, 'g', organization, NULL);
    ngx_access_token_list_record_keys(list);

    if (!ngx_redis_is_cluster(call->op->store->redis)) {
        ngx_access_token_call_key_organizations(call);
    }

    ngx_access_token_call_num(call, list->nids);
    ngx_access_token_call_arg(call, organization);
    ngx_access_token_call_arg(call, group);
    ngx_access_token_call_num(call, ngx_time());
    ngx_access_token_call_num(call, list->limit - call->op->n);
    ngx_access_token_call_arg(call, &list->status);
    ngx_access_token_call_arg(call, &list->admin);
    ngx_access_token_call_arg(call, &list->search);

    return ngx_access_token_call_eval(call, call->op->store->redis,
                                      &ngx_access_token_script_list,
                                      ngx_access_token_list_await_records);
}


static void
ngx_access_token_list_record_keys(ngx_access_token_list_t *list)
{
    u_char                   *p;
    ngx_str_t                 key;
    ngx_uint_t                i;
    ngx_access_token_call_t  *call;

    call = &list->call;

    p = list->keys;
    key.len = list->key_len;

    for (i = 0; i < list->nids; i++) {
        key.data = p;
        p += list->key_len;

        ngx_memcpy(p - NGX_ACCESS_TOKEN_ID_LEN, list->ids[i],
                   NGX_ACCESS_TOKEN_ID_LEN);

        ngx_access_token_call_arg(call, &key);
        call->nkeys++;
    }
}


static void
ngx_access_token_list_await_records(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_list_t *list = data;

    ngx_access_token_op_t  *op;

    op = list->call.op;

    if (rc == NGX_OK) {
        rc = ngx_access_token_list_records(list, reply);
    }

    if (rc == NGX_OK) {
        list->rounds++;

        if (op->n < list->limit && list->more
            && list->rounds < NGX_ACCESS_TOKEN_LIST_ROUNDS)
        {
            rc = ngx_access_token_list_range(list);

        } else {
            rc = ngx_access_token_list_end(list);
        }
    }

    if (rc != NGX_AGAIN) {
        ngx_access_token_call_done(&list->call, rc);
    }
}


static ngx_int_t
ngx_access_token_list_records(ngx_access_token_list_t *list,
    const ngx_redis_reply_t *reply)
{
    int64_t                   i;
    ngx_int_t                 rc;
    ngx_uint_t                scanned;
    ngx_access_token_op_t    *op;
    const ngx_redis_reply_t  *elt, *last;

    op = list->call.op;

    if (reply->type != NGX_REDIS_ARRAY || reply->nelts == 0) {
        goto unexpected;
    }

    elt = reply->elts;
    last = elt + reply->nelts;
    scanned = elt->integer;

    if (elt->type != NGX_REDIS_INTEGER || scanned == 0
        || scanned > list->nids)
    {
        goto unexpected;
    }

    for (elt++; elt < last; elt++) {

        if (elt->type != NGX_REDIS_ARRAY || elt->nelts == 0
            || elt->elts[0].type != NGX_REDIS_INTEGER
            || op->n == list->limit)
        {
            goto unexpected;
        }

        i = elt->elts[0].integer;

        if (i < 1 || i > (int64_t) list->nids) {
            goto unexpected;
        }

        rc = ngx_access_token_call_record(&list->call, list->ids[i - 1], elt,
                                          &op->tokens[op->n]);
        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            op->n++;
        }
    }

    ngx_memcpy(list->cursor, list->ids[scanned - 1], NGX_ACCESS_TOKEN_ID_LEN);
    list->started = 1;

    if (scanned < list->nids) {
        list->more = 1;
    }

    return NGX_OK;

unexpected:

    ngx_log_error(NGX_LOG_ERR, op->pool->log, 0,
                  "redis answered the script of a list with something else");

    ngx_redis_garbled(op->store->redis);

    return NGX_ERROR;
}


static ngx_int_t
ngx_access_token_list_end(ngx_access_token_list_t *list)
{
    ngx_access_token_op_t  *op;

    op = list->call.op;

    if (list->more) {
        op->next_cursor.data = list->cursor;
        op->next_cursor.len = NGX_ACCESS_TOKEN_ID_LEN;
    }

    return NGX_OK;
}


/* --- groups and organizations ------------------------------------------ */

ngx_int_t
ngx_access_token_store_groups(ngx_access_token_op_t *op,
    const ngx_str_t *organization, ngx_uint_t limit, const ngx_str_t *cursor)
{
    ngx_access_token_owner_t   owner;
    ngx_access_token_names_t  *names;

    owner.organization = *organization;
    ngx_str_null(&owner.group);

    names = ngx_access_token_call_create(op, sizeof(ngx_access_token_names_t),
                                         &owner);
    if (names == NULL) {
        return NGX_ERROR;
    }

    ngx_access_token_range_command(&names->call, "ZRANGEBYLEX");
    ngx_access_token_call_key(&names->call, 'g', organization, NULL);

    return ngx_access_token_names_send(names, limit, cursor);
}


ngx_int_t
ngx_access_token_store_organizations(ngx_access_token_op_t *op,
    ngx_uint_t limit, const ngx_str_t *cursor)
{
    ngx_access_token_names_t  *names;

    names = ngx_access_token_call_create(op, sizeof(ngx_access_token_names_t),
                                         NULL);
    if (names == NULL) {
        return NGX_ERROR;
    }

    ngx_access_token_range_command(&names->call, "ZRANGEBYLEX");
    ngx_access_token_call_key_organizations(&names->call);

    return ngx_access_token_names_send(names, limit, cursor);
}


static ngx_int_t
ngx_access_token_names_send(ngx_access_token_names_t *names, ngx_uint_t limit,
    const ngx_str_t *cursor)
{
    names->limit = limit;

    ngx_access_token_range_bound(&names->call, cursor, "-");
    ngx_access_token_range_bound(&names->call, NULL, "+");
    ngx_access_token_range_limit(&names->call, limit + 1);

    return ngx_access_token_call_send(&names->call,
                                      ngx_access_token_names_await);
}


static void
ngx_access_token_names_await(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_names_t *names = data;

    if (rc == NGX_OK) {
        rc = ngx_access_token_names_read(names, reply);
    }

    ngx_access_token_call_done(&names->call, rc);
}


static ngx_int_t
ngx_access_token_names_read(ngx_access_token_names_t *names,
    const ngx_redis_reply_t *reply)
{
    ngx_str_t              *name;
    ngx_uint_t              i, n;
    ngx_access_token_op_t  *op;

    op = names->call.op;

    if (reply->type != NGX_REDIS_ARRAY) {
        goto unexpected;
    }

    n = ngx_min(reply->nelts, names->limit);

    op->names = ngx_palloc(op->pool, (n + 1) * sizeof(ngx_str_t));
    if (op->names == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {

        if (ngx_access_token_check_owner(&reply->elts[i].str) != NGX_OK) {
            goto unexpected;
        }

        name = &op->names[op->n];

        name->len = reply->elts[i].str.len;
        name->data = ngx_pstrdup(op->pool, &reply->elts[i].str);
        if (name->data == NULL) {
            return NGX_ERROR;
        }

        op->n++;
    }

    if (n && reply->nelts > n) {
        op->next_cursor = op->names[n - 1];
    }

    return NGX_OK;

unexpected:

    ngx_log_error(NGX_LOG_ERR, op->pool->log, 0,
                  "redis answered ZRANGEBYLEX with something else "
                  "than names");

    return NGX_ERROR;
}


/* --- a range by bytes: COMMAND key from to LIMIT 0 n ------------------- */

static void
ngx_access_token_range_command(ngx_access_token_call_t *call, const char *name)
{
    ngx_str_t  command;

    command.data = (u_char *) name;
    command.len = ngx_strlen(name);

    ngx_access_token_call_arg(call, &command);
}


/* After the cursor, itself not; without one from the end named otherwise. */

static void
ngx_access_token_range_bound(ngx_access_token_call_t *call,
    const ngx_str_t *cursor, const char *otherwise)
{
    ngx_str_t  bound;

    bound.data = (u_char *) otherwise;
    bound.len = ngx_strlen(otherwise);

    if (cursor && cursor->len) {
        bound.len = cursor->len + 1;
        bound.data = ngx_pnalloc(call->op->pool, bound.len);
        if (bound.data == NULL) {
            call->failed = 1;
            return;
        }

        ngx_sprintf(bound.data, "(%V", cursor);
    }

    ngx_access_token_call_arg(call, &bound);
}


static void
ngx_access_token_range_limit(ngx_access_token_call_t *call, ngx_uint_t limit)
{
    ngx_str_t  word;

    ngx_str_set(&word, "LIMIT");

    ngx_access_token_call_arg(call, &word);
    ngx_access_token_call_num(call, 0);
    ngx_access_token_call_num(call, limit);
}
