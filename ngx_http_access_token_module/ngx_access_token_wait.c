
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Waiting for replicas: a change counts as confirmed when so many of them have
 * acknowledged it.
 *
 *     change ---script---> unreplicated ---WAIT is answered---> done
 *        '-------WAIT, in the same write-------^
 *
 * Redis answers nothing else on a connection whose WAIT waits.  So changes have
 * a client of their own (store->changes), and one WAIT is under way in it at a
 * time: what is changed meanwhile shares the next one, and nobody waits for
 * more than two.
 *
 * What a WAIT says: all that was done on its connection before has so many
 * replicas.  Redis counts from the end of what it had replicated when the last
 * command before was over, whether that wrote or not and whoever wrote it; so
 * a change that is repeated, and finds nothing to change, waits for what the
 * first one wrote.  Replies come in the order of commands: a script that has
 * been answered before a WAIT, on the same connection, was run before it.  One
 * that had to be sent again (EVAL, another server) is not, and gets the next.
 *
 * What always holds: a call is in store->unreplicated from its answer until it
 * is done, and as long as one is there a WAIT is under way.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_call.h>


static ngx_int_t ngx_access_token_wait_send(ngx_access_token_store_t *store,
    const ngx_str_t *key);
static void ngx_access_token_wait_await_replicas(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static void ngx_access_token_wait_next(ngx_access_token_store_t *store);
static void ngx_access_token_wait_done(ngx_access_token_call_t *call,
    ngx_int_t replicas);


void
ngx_access_token_wait_soon(ngx_access_token_call_t *call)
{
    /* if it cannot be sent, it will be when the change is answered */

    (void) ngx_access_token_wait_send(call->op->store, &call->key);
}


void
ngx_access_token_wait(ngx_access_token_call_t *call, ngx_int_t rc)
{
    ngx_access_token_store_t  *store;

    store = call->op->store;

    call->op->command = NULL;
    call->op->rc = rc;
    call->connection = ngx_redis_connection(store->changes);
    call->waits = 1;

    ngx_queue_insert_tail(&store->unreplicated, &call->queue);

    ngx_access_token_wait_next(store);
}


void
ngx_access_token_wait_cancel(ngx_access_token_call_t *call)
{
    if (call->waits) {
        ngx_queue_remove(&call->queue);
        call->waits = 0;
    }
}


/* NGX_OK: one is under way. */

static ngx_int_t
ngx_access_token_wait_send(ngx_access_token_store_t *store,
    const ngx_str_t *key)
{
    u_char     replicas[NGX_INT_T_LEN], time[NGX_INT_T_LEN];
    ngx_str_t  argv[3];

    if (store->waiting) {
        return NGX_OK;
    }

    ngx_str_set(&argv[0], "WAIT");

    argv[1].data = replicas;
    argv[1].len = ngx_sprintf(replicas, "%ui", store->wait_replicas)
                  - replicas;

    argv[2].data = time;
    argv[2].len = ngx_sprintf(time, "%M", store->wait_time) - time;

    if (ngx_redis_send(store->changes, key, argv, 3,
                       ngx_access_token_wait_await_replicas, store)
        == NULL)
    {
        return NGX_ERROR;
    }

    store->waiting = 1;

    return NGX_OK;
}


/*
 * What was answered on the same connection is done, and so is the one whose
 * key led the WAIT there.  If it failed, nobody knows, and all are.  They get
 * a queue of their own, for the handlers may begin others.
 */

static void
ngx_access_token_wait_await_replicas(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_store_t *store = data;

    ngx_int_t                 replicas;
    ngx_uint_t                connection;
    ngx_queue_t              *q, *next, done;
    ngx_access_token_call_t  *call;

    store->waiting = 0;
    connection = ngx_redis_connection(store->changes);

    replicas = (rc == NGX_OK && reply->type == NGX_REDIS_INTEGER)
               ? (ngx_int_t) reply->integer : NGX_ERROR;

    ngx_queue_init(&done);

    for (q = ngx_queue_head(&store->unreplicated);
         q != ngx_queue_sentinel(&store->unreplicated);
         q = next)
    {
        next = ngx_queue_next(q);
        call = ngx_queue_data(q, ngx_access_token_call_t, queue);

        if (replicas == NGX_ERROR || call->connection == connection
            || call->leads)
        {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&done, q);
        }
    }

    while (!ngx_queue_empty(&done)) {
        q = ngx_queue_head(&done);
        call = ngx_queue_data(q, ngx_access_token_call_t, queue);

        ngx_access_token_wait_done(call, call->connection == connection
                                         ? replicas : NGX_ERROR);
    }

    ngx_access_token_wait_next(store);
}


/* The next WAIT goes where the one that waits the longest was changed. */

static void
ngx_access_token_wait_next(ngx_access_token_store_t *store)
{
    ngx_queue_t              *q;
    ngx_access_token_call_t  *call;

    while (!store->waiting && !ngx_queue_empty(&store->unreplicated)) {
        q = ngx_queue_head(&store->unreplicated);
        call = ngx_queue_data(q, ngx_access_token_call_t, queue);

        call->leads = 1;

        if (ngx_access_token_wait_send(store, &call->key) != NGX_OK) {
            ngx_access_token_wait_done(call, NGX_ERROR);
        }
    }
}


/* replicas: how many have it; NGX_ERROR: it is not known. */

static void
ngx_access_token_wait_done(ngx_access_token_call_t *call, ngx_int_t replicas)
{
    ngx_access_token_op_t     *op;
    ngx_access_token_store_t  *store;

    op = call->op;
    store = op->store;

    ngx_access_token_wait_cancel(call);

    if (replicas == NGX_ERROR) {
        op->unreplicated = 1;

        ngx_log_error(NGX_LOG_WARN, op->pool->log, 0,
                      "access token \"%*s\" was changed, but it is not known "
                      "which replicas of redis have it",
                      (size_t) NGX_ACCESS_TOKEN_ID_LEN, call->id);

    } else if ((ngx_uint_t) replicas < store->wait_replicas) {
        op->unreplicated = 1;

        ngx_log_error(NGX_LOG_WARN, op->pool->log, 0,
                      "access token \"%*s\" was changed, but %i of %ui "
                      "replicas of redis had it after %M ms",
                      (size_t) NGX_ACCESS_TOKEN_ID_LEN, call->id, replicas,
                      store->wait_replicas, store->wait_time);
    }

    ngx_access_token_call_done(call, op->rc);
}
