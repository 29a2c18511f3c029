
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * wait: which changes an answer to WAIT is of.  What is sent is caught here; a
 * test answers it, from whichever connection.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <ngx_access_token_call.h>

#include "tap.h"
#include "unit.h"


#define CALLS  8


static void test_one(void);
static void test_shared(void);
static void test_again(void);
static void test_nodes(void);
static void test_gone(void);
static void test_fails(void);
static void test_refused(void);
static void test_cancel(void);

static void begin(void);
static void change(ngx_uint_t n);
static void answer(ngx_uint_t n, ngx_uint_t from);
static void replicas(ngx_int_t n, ngx_uint_t from);


static ngx_access_token_store_t  store;
static ngx_access_token_op_t     ops[CALLS];
static ngx_access_token_call_t   calls[CALLS];
static ngx_str_t                 names[CALLS];
static u_char                    bytes[CALLS];
static ngx_pool_t                pool;          /* for its log */

static ngx_uint_t                sent, refuse, connection, done;
static ngx_str_t                 asked;         /* the key of the last WAIT */
static ngx_redis_handler_pt      handler;
static void                     *handler_data;
static ngx_access_token_call_t  *cancel;        /* by the next handler */


int
main(void)
{
    unit_init();

    pool.log = ngx_cycle->log;

    test_one();
    test_shared();
    test_again();
    test_nodes();
    test_gone();
    test_fails();
    test_refused();
    test_cancel();

    return tap_done();
}


static void
test_one(void)
{
    tap_test("a change is done when enough replicas have it");

    begin();
    change(0);
    tap_is(sent, 1, "sent right behind it");
    tap_ok(asked.data == names[0].data, "with another key");
    answer(0, 1);
    tap_is(done, 0, "done");
    tap_is(sent, 1, "sent once");
    replicas(2, 1);
    tap_is(done, 1, "done");
    tap_is(ops[0].unreplicated, 0, "unreplicated");
    tap_is(ops[0].rc, NGX_DECLINED, "its answer");

    tap_test("and when too few have it");

    begin();
    change(0);
    answer(0, 1);
    replicas(1, 1);
    tap_is(done, 1, "done");
    tap_is(ops[0].unreplicated, 1, "unreplicated");
}


static void
test_shared(void)
{
    tap_test("one is under way at a time, and is of all that went before it");

    begin();
    change(0);
    change(1);
    change(2);
    tap_is(sent, 1, "sent");
    answer(0, 1);
    replicas(2, 1);
    tap_is(done, 1, "done");
    answer(1, 1);
    tap_is(sent, 2, "sent");
    answer(2, 1);
    tap_is(sent, 2, "sent");
    replicas(2, 1);
    tap_is(done, 3, "done");
    tap_is(ops[1].unreplicated + ops[2].unreplicated, 0, "unreplicated");

    tap_test("and nothing is sent when all are done");

    tap_is(sent, 2, "sent");
    tap_is(store.waiting, 0, "waiting");
}


static void
test_again(void)
{
    tap_test("what was answered before the change says nothing of it");

    begin();
    change(0);
    replicas(2, 1);
    tap_is(done, 0, "done");
    answer(0, 1);
    tap_is(sent, 2, "sent");
    tap_is(done, 0, "done");
    replicas(1, 1);
    tap_is(done, 1, "done");
    tap_is(ops[0].unreplicated, 1, "unreplicated");
}


static void
test_nodes(void)
{
    tap_test("what another connection says is not of it");

    begin();
    change(0);
    change(1);
    answer(0, 1);
    answer(1, 2);
    replicas(2, 1);
    tap_is(done, 1, "done");
    tap_is(calls[0].waits, 0, "the one of that connection");
    tap_is(sent, 2, "sent");
    tap_ok(asked.data == names[1].data, "with another key");
    replicas(1, 2);
    tap_is(done, 2, "done");
    tap_is(ops[0].unreplicated, 0, "unreplicated");
    tap_is(ops[1].unreplicated, 1, "unreplicated");
}


static void
test_gone(void)
{
    tap_test("one whose connection is gone is not known");

    begin();
    change(0);
    replicas(2, 1);
    answer(0, 1);
    change(1);
    answer(1, 3);
    replicas(2, 3);
    tap_is(done, 2, "done");
    tap_is(ops[0].unreplicated, 1, "unreplicated");
    tap_is(ops[1].unreplicated, 0, "unreplicated");
    tap_is(sent, 2, "sent");
}


static void
test_fails(void)
{
    tap_test("if it fails, nobody knows");

    begin();
    change(0);
    change(1);
    answer(0, 1);
    answer(1, 2);
    replicas(NGX_ERROR, 1);
    tap_is(done, 2, "done");
    tap_is(ops[0].unreplicated + ops[1].unreplicated, 2, "unreplicated");
    tap_is(sent, 1, "sent");
}


static void
test_refused(void)
{
    tap_test("if it cannot be sent, nobody knows");

    begin();
    refuse = 1;
    change(0);
    tap_is(sent, 0, "sent");
    answer(0, 1);
    tap_is(done, 1, "done");
    tap_is(ops[0].unreplicated, 1, "unreplicated");

    tap_test("if it can, once the change is answered, that is enough");

    begin();
    refuse = 1;
    change(0);
    refuse = 0;
    answer(0, 1);
    tap_is(sent, 1, "sent");
    replicas(2, 1);
    tap_is(done, 1, "done");
    tap_is(ops[0].unreplicated, 0, "unreplicated");
}


static void
test_cancel(void)
{
    tap_test("one that is cancelled is not told");

    begin();
    change(0);
    answer(0, 1);
    ngx_access_token_wait_cancel(&calls[0]);
    ngx_access_token_wait_cancel(&calls[0]);
    replicas(2, 1);
    tap_is(done, 0, "done");
    tap_is(sent, 1, "sent");

    tap_test("nor one that a handler cancels, and the rest is");

    begin();
    change(0);
    answer(0, 1);
    answer(1, 1);
    answer(2, 1);
    cancel = &calls[1];
    replicas(2, 1);
    tap_is(done, 2, "done");
    tap_is(calls[1].waits, 0, "waits");
    tap_ok(ngx_queue_empty(&store.unreplicated), "some are left");
}


/* --- changes */

static void
begin(void)
{
    ngx_uint_t  n;

    ngx_memzero(&store, sizeof(store));
    ngx_memzero(ops, sizeof(ops));
    ngx_memzero(calls, sizeof(calls));

    ngx_queue_init(&store.unreplicated);
    store.wait_replicas = 2;
    store.wait_time = 100;

    for (n = 0; n < CALLS; n++) {
        names[n].data = &bytes[n];
        names[n].len = 1;
        ops[n].store = &store;
        ops[n].pool = &pool;
        calls[n].op = &ops[n];
        calls[n].key = names[n];
    }

    sent = 0;
    refuse = 0;
    done = 0;
    cancel = NULL;
    handler = NULL;
}


static void
change(ngx_uint_t n)
{
    ngx_access_token_wait_soon(&calls[n]);
}


static void
answer(ngx_uint_t n, ngx_uint_t from)
{
    connection = from;
    ngx_access_token_wait(&calls[n], NGX_DECLINED);
}


static void
replicas(ngx_int_t n, ngx_uint_t from)
{
    ngx_redis_reply_t     reply;
    ngx_redis_handler_pt  h;

    ngx_memzero(&reply, sizeof(reply));
    reply.type = NGX_REDIS_INTEGER;
    reply.integer = n;

    connection = from;
    h = handler;
    handler = NULL;

    if (h == NULL) {
        tap_ok(0, "nothing was asked");
        return;
    }

    h(handler_data, n == NGX_ERROR ? NGX_ERROR : NGX_OK,
      n == NGX_ERROR ? NULL : &reply);
}


void
ngx_access_token_call_done(ngx_access_token_call_t *call, ngx_int_t rc)
{
    done++;
    call->op->rc = rc;

    if (cancel) {
        ngx_access_token_wait_cancel(cancel);
        cancel = NULL;
    }
}


/* --- the wire */

ngx_redis_command_t *
ngx_redis_send(ngx_redis_t *redis, const ngx_str_t *key, const ngx_str_t *argv,
    ngx_uint_t argc, ngx_redis_handler_pt h, void *data)
{
    if (refuse) {
        return NULL;
    }

    tap_ok(handler == NULL, "two are under way");
    tap_ok(argc == 3 && ngx_access_token_is(&argv[0], "WAIT")
           && ngx_access_token_is(&argv[1], "2")
           && ngx_access_token_is(&argv[2], "100"), "the command");

    sent++;
    asked = *key;
    handler = h;
    handler_data = data;

    return (ngx_redis_command_t *) &sent;
}


ngx_uint_t
ngx_redis_connection(const ngx_redis_t *redis)
{
    return connection;
}
