
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The question of the edge: is this token good?  Requests of one worker that
 * ask for the same id while its record is on the way share one flight:
 *
 *     store->flights  --id-->  flight  --waiters-->  lookup, lookup, …
 *
 * A flight leaves the tree before its first waiter is told, so whoever asks
 * from then on gets a newer answer.  Each waiter is judged by the digest that
 * it presented: to share a record is not to share a verdict.  A waiter leaves
 * its queue before its handler runs, and the next is taken from the head
 * after that, so a handler may cancel or free any lookup and start others.  A
 * flight whose waiters have all gone lands on its own.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>


typedef struct {
    ngx_str_node_t                node;         /* by id */
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_access_token_store_t     *store;
    ngx_queue_t                   waiters;      /* of lookups */
} ngx_access_token_flight_t;


static ngx_access_token_flight_t *ngx_access_token_flight_find(
    ngx_access_token_store_t *store, const u_char *id);
static ngx_access_token_flight_t *ngx_access_token_flight_start(
    ngx_access_token_store_t *store, const u_char *id);
static void ngx_access_token_flight_land(void *data, ngx_int_t rc,
    ngx_access_token_t *t);
static void ngx_access_token_lookup_judge(ngx_access_token_lookup_t *l,
    ngx_int_t rc, const ngx_access_token_t *t);
static ngx_access_token_t *ngx_access_token_lookup_copy(ngx_pool_t *pool,
    const ngx_access_token_t *t);
static ngx_int_t ngx_access_token_lookup_text(ngx_pool_t *pool,
    ngx_str_t *text);


ngx_int_t
ngx_access_token_lookup(ngx_access_token_store_t *store,
    ngx_access_token_lookup_t *l)
{
    ngx_access_token_flight_t  *flight;

    l->verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;
    l->token = NULL;
    l->waiting = 0;

    flight = ngx_access_token_flight_find(store, l->key.id);

    if (flight == NULL) {
        flight = ngx_access_token_flight_start(store, l->key.id);
        if (flight == NULL) {
            return NGX_OK;
        }
    }

    ngx_queue_insert_tail(&flight->waiters, &l->queue);
    l->waiting = 1;

    return NGX_AGAIN;
}


void
ngx_access_token_lookup_cancel(ngx_access_token_lookup_t *l)
{
    if (l->waiting) {
        ngx_queue_remove(&l->queue);
        l->waiting = 0;
    }
}


static ngx_access_token_flight_t *
ngx_access_token_flight_find(ngx_access_token_store_t *store, const u_char *id)
{
    ngx_str_t  name;

    name.data = (u_char *) id;
    name.len = NGX_ACCESS_TOKEN_ID_LEN;

    /* node is the first member of a flight */

    return (ngx_access_token_flight_t *)
               ngx_str_rbtree_lookup(&store->flights, &name,
                                     ngx_crc32_short(name.data, name.len));
}


static ngx_access_token_flight_t *
ngx_access_token_flight_start(ngx_access_token_store_t *store,
    const u_char *id)
{
    ngx_access_token_flight_t  *flight;

    flight = ngx_alloc(sizeof(ngx_access_token_flight_t), ngx_cycle->log);
    if (flight == NULL) {
        return NULL;
    }

    flight->store = store;
    ngx_memcpy(flight->id, id, NGX_ACCESS_TOKEN_ID_LEN);
    ngx_queue_init(&flight->waiters);

    if (ngx_access_token_store_load(store, flight->id,
                                    ngx_access_token_flight_land, flight)
        != NGX_AGAIN)
    {
        ngx_free(flight);
        return NULL;
    }

    flight->node.str.data = flight->id;
    flight->node.str.len = NGX_ACCESS_TOKEN_ID_LEN;
    flight->node.node.key = ngx_crc32_short(flight->id,
                                            NGX_ACCESS_TOKEN_ID_LEN);

    ngx_rbtree_insert(&store->flights, &flight->node.node);

    return flight;
}


static void
ngx_access_token_flight_land(void *data, ngx_int_t rc, ngx_access_token_t *t)
{
    ngx_access_token_flight_t *flight = data;

    ngx_queue_t                *q;
    ngx_access_token_lookup_t  *l;

    ngx_rbtree_delete(&flight->store->flights, &flight->node.node);

    while (!ngx_queue_empty(&flight->waiters)) {
        q = ngx_queue_head(&flight->waiters);
        l = ngx_queue_data(q, ngx_access_token_lookup_t, queue);

        ngx_access_token_lookup_cancel(l);
        ngx_access_token_lookup_judge(l, rc, t);

        l->handler(l);
    }

    ngx_free(flight);
}


static void
ngx_access_token_lookup_judge(ngx_access_token_lookup_t *l, ngx_int_t rc,
    const ngx_access_token_t *t)
{
    ngx_access_token_verdict_e  verdict;

    switch (rc) {

    case NGX_OK:
        verdict = ngx_access_token_judge(t, &l->key, ngx_time());
        break;

    case NGX_DECLINED:
        verdict = NGX_ACCESS_TOKEN_UNKNOWN;
        break;

    default:
        verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;
    }

    if (verdict != NGX_ACCESS_TOKEN_UNKNOWN
        && verdict != NGX_ACCESS_TOKEN_UNAVAILABLE)
    {
        l->token = ngx_access_token_lookup_copy(l->pool, t);
        if (l->token == NULL) {
            verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;
        }
    }

    l->verdict = verdict;
}


static ngx_access_token_t *
ngx_access_token_lookup_copy(ngx_pool_t *pool, const ngx_access_token_t *t)
{
    ngx_access_token_t  *copy;

    copy = ngx_palloc(pool, sizeof(ngx_access_token_t));
    if (copy == NULL) {
        return NULL;
    }

    *copy = *t;

    if (ngx_access_token_lookup_text(pool, &copy->owner.organization) != NGX_OK
        || ngx_access_token_lookup_text(pool, &copy->owner.group) != NGX_OK
        || ngx_access_token_lookup_text(pool, &copy->name) != NGX_OK
        || ngx_access_token_lookup_text(pool, &copy->technical_user) != NGX_OK)
    {
        return NULL;
    }

    /* what the edge does not load is not set */

    ngx_str_null(&copy->description);
    ngx_str_null(&copy->created_by);
    ngx_str_null(&copy->revoked_by);

    return copy;
}


static ngx_int_t
ngx_access_token_lookup_text(ngx_pool_t *pool, ngx_str_t *text)
{
    u_char  *p;

    if (text->len == 0) {
        ngx_str_null(text);
        return NGX_OK;
    }

    p = ngx_pstrdup(pool, text);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    return NGX_OK;
}
