
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What the edge asks for: one record, with one HMGET; or with two, if the
 * first chunk of its name is full, since hardly any name has more than one.
 *
 * A read tells what one server says, and a server that has been replaced does
 * not know that it has been.  Under a lease a plain read will do; without one
 * a write goes before it, on the same connection: if that is accepted, the
 * server is in charge, and the read is of no earlier time.  A record that is
 * not whole, or whose organization does not fit its id, is an error that names
 * it, never a guess.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_call.h>
#include <ngx_access_token_lease.h>
#include <ngx_access_token_record.h>


#define NGX_ACCESS_TOKEN_LOAD_POOL   1024
#define NGX_ACCESS_TOKEN_LOAD_KNOWN  64         /* organizations */
#define NGX_ACCESS_TOKEN_LOAD_ROUNDS 4          /* of a fenced read */

/* of a record, or of a fence */

#define NGX_ACCESS_TOKEN_KEY_LEN                                              \
    (NGX_ACCESS_TOKEN_KEY_PREFIX_MAX + sizeof("t:{}:") - 1                    \
     + NGX_ACCESS_TOKEN_TAG_LEN + NGX_ACCESS_TOKEN_ID_LEN)


typedef struct {
    u_char                        tag[NGX_ACCESS_TOKEN_TAG_LEN];
    u_char                        name[NGX_ACCESS_TOKEN_OWNER_MAX];
    size_t                        len;
} ngx_access_token_known_t;


static ngx_int_t ngx_access_token_load_send(ngx_access_token_load_t *load);
static ngx_int_t ngx_access_token_load_send_fence(
    ngx_access_token_load_t *load);
static void ngx_access_token_load_await_fence(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static ngx_redis_command_t *ngx_access_token_load_send_read(
    ngx_access_token_load_t *load);
static ngx_uint_t ngx_access_token_load_is_fenced(
    ngx_access_token_load_t *load);
static void ngx_access_token_load_end_fence(ngx_access_token_load_t *load);
static void ngx_access_token_load_await_record(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static ngx_uint_t ngx_access_token_load_has_more(
    const ngx_access_token_load_t *load, const ngx_redis_reply_t *reply);
static ngx_int_t ngx_access_token_load_read(ngx_access_token_load_t *load,
    const ngx_redis_reply_t *reply, ngx_pool_t *pool, ngx_access_token_t *t);
static ngx_int_t ngx_access_token_load_tag(const ngx_str_t *organization,
    const u_char *id);


ngx_int_t
ngx_access_token_load_init(ngx_access_token_store_t *store, ngx_pool_t *pool)
{
    ngx_str_t  argv[2 + NGX_ACCESS_TOKEN_EDGE_FIELDS];

    ngx_str_set(&argv[0], "HMGET");
    ngx_str_null(&argv[1]);

    ngx_memcpy(&argv[2], ngx_access_token_edge_fields,
               NGX_ACCESS_TOKEN_EDGE_FIELDS * sizeof(ngx_str_t));

    if (ngx_redis_prepare(pool, argv, 2 + NGX_ACCESS_TOKEN_EDGE_FIRST,
                          &store->read_first)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_redis_prepare(pool, argv, 2 + NGX_ACCESS_TOKEN_EDGE_FIELDS,
                             &store->read_all);
}


ngx_int_t
ngx_access_token_load(ngx_access_token_store_t *store,
    ngx_access_token_load_t *load, ngx_uint_t fenced)
{
    ngx_str_t  tag;

    load->store = store;
    load->fenced = fenced;
    load->fencing = NULL;
    load->rounds = 0;
    load->nfields = NGX_ACCESS_TOKEN_EDGE_FIRST;

    if (fenced) {
        tag.data = load->id;
        tag.len = NGX_ACCESS_TOKEN_TAG_LEN;

        load->node = ngx_redis_node(store->redis, &tag);
    }

    return ngx_access_token_load_send(load);
}


static ngx_int_t
ngx_access_token_load_send(ngx_access_token_load_t *load)
{
    if (load->fenced && ngx_access_token_load_send_fence(load) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_access_token_load_send_read(load) == NULL) {
        ngx_access_token_load_end_fence(load);
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


/*
 * The key of the server's heartbeat, which is not there, is deleted.  That
 * changes nothing, and yet is refused wherever a write is: by a replica, and by
 * a primary that has too few of them (but not by one that is merely full).
 *
 * A server without slots has no such key, as one has that gets its first one,
 * nor is one known before the map is.  Then it is a key of the record's own
 * slot: that leads to where the slot goes, if it is on its way.
 */

static ngx_int_t
ngx_access_token_load_send_fence(ngx_access_token_load_t *load)
{
    u_char                     buf[NGX_ACCESS_TOKEN_KEY_LEN];
    ngx_str_t                  argv[2];
    const ngx_str_t           *key;
    ngx_access_token_store_t  *store;

    store = load->store;
    load->fence = 0;
    load->rounds++;

    ngx_str_set(&argv[0], "DEL");

    key = (load->node < NGX_REDIS_NODES)
          ? ngx_access_token_lease_fence(store->lease, load->node) : NULL;

    if (key) {
        argv[1] = *key;

        load->fencing = ngx_redis_send_to(store->redis, load->node, argv, 2,
                                          ngx_access_token_load_await_fence,
                                          load);

    } else {
        argv[1].data = buf;
        argv[1].len = ngx_sprintf(buf, "%Vz:{%*s}", &store->key_prefix,
                                  (size_t) NGX_ACCESS_TOKEN_TAG_LEN, load->id)
                      - buf;

        load->fencing = ngx_redis_send(store->redis, &argv[1], argv, 2,
                                       ngx_access_token_load_await_fence,
                                       load);
    }

    return load->fencing ? NGX_OK : NGX_ERROR;
}


static void
ngx_access_token_load_await_fence(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_load_t *load = data;

    load->fencing = NULL;

    if (rc == NGX_OK && reply->type == NGX_REDIS_INTEGER) {
        load->fence = ngx_redis_connection(load->store->redis);

    } else if (load->node < NGX_REDIS_NODES) {
        ngx_access_token_lease_refused(load->store->lease, load->node);
    }
}


/* Whether the write was accepted by whoever answers the read, before it. */

static ngx_uint_t
ngx_access_token_load_is_fenced(ngx_access_token_load_t *load)
{
    return load->fence
           && load->fence == ngx_redis_connection(load->store->redis);
}


/* It may be under way still, if another server has answered the read. */

static void
ngx_access_token_load_end_fence(ngx_access_token_load_t *load)
{
    if (load->fencing) {
        ngx_redis_cancel(load->fencing);
        load->fencing = NULL;
    }
}


static ngx_redis_command_t *
ngx_access_token_load_send_read(ngx_access_token_load_t *load)
{
    u_char                    *p, buf[NGX_ACCESS_TOKEN_KEY_LEN];
    ngx_str_t                  key;
    ngx_redis_prepared_t      *read;
    ngx_access_token_store_t  *store;

    store = load->store;

    p = ngx_cpymem(buf, store->key_prefix.data, store->key_prefix.len);
    *p++ = 't'; *p++ = ':'; *p++ = '{';
    p = ngx_cpymem(p, load->id, NGX_ACCESS_TOKEN_TAG_LEN);
    *p++ = '}'; *p++ = ':';
    p = ngx_cpymem(p, load->id, NGX_ACCESS_TOKEN_ID_LEN);

    key.data = buf;
    key.len = p - buf;

    read = (load->nfields == NGX_ACCESS_TOKEN_EDGE_FIRST)
           ? &store->read_first : &store->read_all;

    return ngx_redis_send_prepared(store->redis, read, &key,
                                   ngx_access_token_load_await_record, load);
}


static void
ngx_access_token_load_await_record(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_load_t *load = data;

    ngx_pool_t          *pool;
    ngx_access_token_t   t;

    ngx_access_token_load_end_fence(load);

    if (rc == NGX_OK
        && load->fenced
        && !ngx_access_token_load_is_fenced(load))
    {
        /* either key may be on its way: the next fence goes where this was */

        load->node = ngx_redis_answering(load->store->redis);

        if (ngx_redis_is_cluster(load->store->redis)
            && load->rounds < NGX_ACCESS_TOKEN_LOAD_ROUNDS
            && ngx_access_token_load_send(load) == NGX_AGAIN)
        {
            return;
        }

        rc = NGX_ERROR;
    }

    if (rc == NGX_OK && ngx_access_token_load_has_more(load, reply)) {
        load->nfields = NGX_ACCESS_TOKEN_EDGE_FIELDS;

        if (ngx_access_token_load_send_read(load) != NULL) {
            return;
        }

        rc = NGX_ERROR;
    }

    /* a text of several chunks is put together; others stay in the reply */

    pool = NULL;

    if (rc == NGX_OK && load->nfields == NGX_ACCESS_TOKEN_EDGE_FIELDS) {
        pool = ngx_create_pool(NGX_ACCESS_TOKEN_LOAD_POOL, ngx_cycle->log);
        if (pool == NULL) {
            rc = NGX_ERROR;
        }
    }

    if (rc == NGX_OK) {
        ngx_memzero(&t, sizeof(ngx_access_token_t));
        rc = ngx_access_token_load_read(load, reply, pool, &t);
    }

    load->handler(load, rc, (rc == NGX_OK) ? &t : NULL);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


/* Whether the last field, the beginning of the name, is full. */

static ngx_uint_t
ngx_access_token_load_has_more(const ngx_access_token_load_t *load,
    const ngx_redis_reply_t *reply)
{
    const ngx_redis_reply_t  *name;

    if (load->nfields != NGX_ACCESS_TOKEN_EDGE_FIRST
        || reply->type != NGX_REDIS_ARRAY
        || reply->nelts != NGX_ACCESS_TOKEN_EDGE_FIRST)
    {
        return 0;
    }

    name = &reply->elts[NGX_ACCESS_TOKEN_EDGE_FIRST - 1];

    return name->type == NGX_REDIS_STRING
           && name->str.len == NGX_ACCESS_TOKEN_CHUNK;
}


static ngx_int_t
ngx_access_token_load_read(ngx_access_token_load_t *load,
    const ngx_redis_reply_t *reply, ngx_pool_t *pool, ngx_access_token_t *t)
{
    ngx_int_t                 rc;
    ngx_str_t                 field;
    ngx_uint_t                i, found;
    const ngx_redis_reply_t  *value;

    if (reply->type != NGX_REDIS_ARRAY
        || reply->nelts != load->nfields)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "redis answered HMGET with something else "
                      "while loading access token \"%*s\"",
                      (size_t) NGX_ACCESS_TOKEN_ID_LEN, load->id);
        ngx_redis_garbled(load->store->redis);
        return NGX_ERROR;
    }

    found = 0;

    for (i = 0; i < reply->nelts; i++) {
        value = &reply->elts[i];

        if (value->type == NGX_REDIS_NIL) {
            continue;
        }

        rc = NGX_DECLINED;

        if (value->type == NGX_REDIS_STRING) {
            found = 1;
            rc = ngx_access_token_record_set_edge(t, pool, i, &value->str);
        }

        if (rc == NGX_DECLINED) {
            field = ngx_access_token_edge_fields[i];
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

    rc = ngx_access_token_load_tag(&t->owner.organization, load->id);

    if (rc == NGX_DECLINED) {
        ngx_str_set(&field, "o");
        goto damaged;
    }

    return rc;

damaged:

    ngx_access_token_call_damaged(ngx_cycle->log, load->id, &field);

    return NGX_ERROR;
}


/*
 * NGX_OK: the id has the organization's tag; NGX_DECLINED, NGX_ERROR.  A tag
 * takes a digest, so those of late are kept: most tokens are of few
 * organizations.
 */

static ngx_int_t
ngx_access_token_load_tag(const ngx_str_t *organization, const u_char *id)
{
    u_char                    tag[NGX_ACCESS_TOKEN_TAG_LEN];
    ngx_access_token_known_t  *known;

    static ngx_access_token_known_t  all[NGX_ACCESS_TOKEN_LOAD_KNOWN];

    known = &all[(id[2] * 62 + id[3]) % NGX_ACCESS_TOKEN_LOAD_KNOWN];

    if (ngx_memcmp(known->tag, id, NGX_ACCESS_TOKEN_TAG_LEN) == 0
        && known->len == organization->len
        && ngx_memcmp(known->name, organization->data, known->len) == 0)
    {
        return NGX_OK;
    }

    if (ngx_access_token_tag(organization, tag) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_memcmp(tag, id, NGX_ACCESS_TOKEN_TAG_LEN) != 0) {
        return NGX_DECLINED;
    }

    ngx_memcpy(known->tag, tag, NGX_ACCESS_TOKEN_TAG_LEN);
    ngx_memcpy(known->name, organization->data, organization->len);
    known->len = organization->len;

    return NGX_OK;
}
