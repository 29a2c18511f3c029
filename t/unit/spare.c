
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cluster: the connection to a node is lost, or not even made.  What was
 * written may have been carried out, and has failed; what was not waits for
 * that node, or for another one.  All are answered once.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "wire.h"


static void test_other_node(void);
static void test_same_node(void);
static void test_no_node(void);
static void test_written(void);
static void test_not_spared(void);
static void test_redirected(void);
static void test_script(void);
static void test_within(void);
static void test_exit(void);

static ngx_uint_t refuse(const char *name);
static void handler(void *data, ngx_int_t rc, const ngx_redis_reply_t *reply);


static const wire_range_t  without_b[] = {
    { 0, 10922, "a", 7000 },
    { 10923, 16383, "c", 7000 }
};

static wire_sent_t  *within;


int
main(void)
{
    unit_init();
    srandom(1);
    (void) alarm(120);

    test_other_node();
    test_same_node();
    test_no_node();
    test_written();
    test_not_spared();
    test_redirected();
    test_script();
    test_within();
    test_exit();

    return tap_done();
}


static void
test_other_node(void)
{
    ngx_uint_t    i;
    wire_sent_t  *sent[3], *refused;

    tap_test("what a node that does not connect was asked goes to the next");

    wire_begin_three();

    for (i = 0; i < 3; i++) {
        sent[i] = wire_send(KEY_B);
    }

    tap_is(refuse(WIRE_B), 1, "it connects");
    tap_is(wire_answered, 1, "answers");
    wire_expect_none(wire_conn(WIRE_A));

    refused = wire_send(KEY_B);
    tap_ok(refused->cmd == NULL, "taken in its pause");

    unit_wait(1);
    tap_ok(wire_asked() == unit_conn_to(WIRE_A, 0), "the map");
    wire_map(wire_asked(), without_b, 2);

    for (i = 0; i < 3; i++) {
        wire_expect(wire_conn(WIRE_A), "GET " KEY_B " ");
        wire_ok(wire_conn(WIRE_A));
        wire_is_ok(sent[i], "in its order");
        tap_is(sent[i]->node, wire_number("a", 7000), "who answers");
    }

    (void) wire_pass(100);
    wire_end();
}


static void
test_same_node(void)
{
    ngx_msec_t    since;
    wire_sent_t  *sent;

    tap_test("or waits for its pause to end, if the slot is still its own");

    wire_begin_three();
    sent = wire_send(KEY_B);
    tap_is(refuse(WIRE_B), 1, "it connects");

    for (since = ngx_current_msec;
         unit_conn_to(WIRE_B, 0) == NULL && sent->answers == 0;
         (void) wire_pass(1))
    {
        /* void */
    }

    tap_ok(ngx_current_msec - since >= 37 && ngx_current_msec - since <= 83,
           "after %lu ms", (u_long) (ngx_current_msec - since));
    wire_expect(wire_conn(WIRE_B), "GET " KEY_B " ");
    wire_ok(wire_conn(WIRE_B));
    wire_is_ok(sent, "after the pause");
    tap_is(wire_answered, 2, "answers");
    wire_end();
}


static void
test_no_node(void)
{
    ngx_msec_t    since;
    ngx_uint_t    n, told;
    wire_sent_t  *sent;

    tap_test("until its time is up, and then it has failed");

    wire_begin_three();
    since = ngx_current_msec;
    told = unit_told;
    sent = wire_send(KEY_B);

    for (n = 0; sent->answers == 0; (void) wire_pass(1)) {
        n += refuse(WIRE_B);
    }

    wire_is_error(sent, "in the end");
    tap_is(ngx_current_msec - since, WIRE_TIMEOUT, "ms");
    tap_ok(n >= 3 && n <= 5, "it connects %lu times", (u_long) n);
    tap_is(unit_told - told, 1, "lines of the log");
    tap_ok(wire_maps >= 3 && wire_maps <= 6, "%lu maps", (u_long) wire_maps);
    wire_end();
}


static void
test_written(void)
{
    ngx_uint_t    i;
    wire_sent_t  *sent[4];

    tap_test("what was written fails at once; what comes behind it does not");

    wire_begin_three();
    sent[0] = wire_send(KEY_A);
    sent[1] = wire_send(KEY_A_TOO);
    unit_run_posted();
    sent[2] = wire_send(KEY_A);
    sent[3] = wire_send(KEY_A_TOO);

    ngx_redis_conn_fail(unit_conn_to(WIRE_A, 0), NGX_REDIS_CLOSED, 0, "closed");

    wire_is_error(sent[0], "the first");
    wire_is_error(sent[1], "the second");
    tap_is(sent[2]->answers, 0, "answers to the third");
    tap_is(sent[3]->answers, 0, "answers to the fourth");

    for (i = 0; i < 100 && unit_conn_to(WIRE_A, 0) == NULL; i++) {
        (void) wire_pass(1);
    }

    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_A));
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A_TOO " ");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent[2], "the third");
    wire_is_ok(sent[3], "the fourth");
    wire_expect_none(wire_conn(WIRE_A));

    tap_test("so does what was written in part, or all but a byte");

    for (i = 0; i < 2; i++) {
        sent[0] = wire_send(KEY_A);
        sent[0]->cmd->pos = i ? sent[0]->cmd->last - 1
                              : sent[0]->cmd->pos + 1;
        ngx_redis_conn_fail(unit_conn_to(WIRE_A, 0), NGX_REDIS_CLOSED, 0,
                            "closed");
        wire_is_error(sent[0], "written in part");
        (void) wire_pass(200);

        /* connected, for the next one */

        sent[0] = wire_send(KEY_A);
        wire_ok(wire_conn(WIRE_A));
        wire_is_ok(sent[0], "afterwards");
    }

    wire_end();
}


static void
test_not_spared(void)
{
    wire_sent_t  *sent;

    tap_test("what was to go nowhere else has failed, written or not");

    wire_begin_three();
    sent = wire_send_to(wire_number("b", 7000), "PING");
    tap_is(refuse(WIRE_B), 1, "it connects");
    wire_is_error(sent, "of one node");
    (void) wire_pass(200);
    tap_ok(unit_conn_to(WIRE_B, 0) == NULL, "a connection");

    tap_test("what was cancelled is not sent again, nor answered");

    sent = wire_send(KEY_B);
    wire_cancel(sent);
    tap_is(refuse(WIRE_B), 1, "it connects");
    tap_is(wire_redis->cluster->nwaiting, 0, "it waits");
    (void) wire_pass(200);
    tap_ok(unit_conn_to(WIRE_B, 0) == NULL, "a connection");

    tap_test("nor if it is cancelled while it waits");

    sent = wire_send(KEY_B);
    tap_is(refuse(WIRE_B), 1, "it connects");
    tap_is(wire_redis->cluster->nwaiting, 1, "it waits");
    wire_cancel(sent);
    (void) wire_pass(400);
    tap_ok(unit_conn_to(WIRE_B, 0) == NULL, "a connection");
    tap_is(wire_redis->cluster->nwaiting, 0, "it still waits");

    tap_test("when its time is up it has failed at once");

    sent = wire_send(KEY_B);
    unit_run_posted();
    ngx_current_msec += WIRE_TIMEOUT;
    tap_is(refuse(WIRE_B), 1, "it connects");
    wire_is_error(sent, "late");
    (void) wire_pass(0);
    wire_end();
}


static void
test_redirected(void)
{
    wire_sent_t  *sent;

    tap_test("a node that MOVED leads to, and that does not connect");

    wire_begin_three();
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "MOVED 866 b:7000");
    tap_is(refuse(WIRE_B), 1, "it connects");
    tap_is(sent->answers, 0, "answers");
    unit_wait(1);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "where the map says");

    tap_test("or ASK: it begins anew where the slot is, ASKING again");

    (void) wire_pass(200);
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "ASK 866 d:7000");
    tap_is(refuse("d:7000"), 1, "it connects");
    tap_is(sent->answers, 0, "answers");
    (void) wire_pass(20);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_error(wire_conn(WIRE_A), "ASK 866 c:7000");
    wire_expect(wire_conn(WIRE_C), "ASKING ");
    wire_ok(wire_conn(WIRE_C));
    wire_expect(wire_conn(WIRE_C), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_C));
    wire_is_ok(sent, "asked");
    wire_end();
}


static void
test_script(void)
{
    ngx_str_t            argv[1];
    ngx_uint_t           i;
    wire_sent_t         *sent;
    ngx_redis_script_t   script;

    tap_test("a script, and one that is sent as a whole, of which none was");

    ngx_memzero(&script, sizeof(script));
    ngx_str_set(&script.text, "return 1");
    ngx_memset(script.sha1, 'f', sizeof(script.sha1));
    ngx_str_set(&argv[0], KEY_A);

    for (i = 0; i < 2; i++) {
        wire_begin_three();
        sent = wire_note();
        sent->cmd = ngx_redis_eval(wire_redis, &script, 1, argv, 1,
                                   wire_handler, sent);

        if (i) {
            wire_error(wire_conn(WIRE_A), "NOSCRIPT No matching script");
        }

        ngx_redis_conn_fail(unit_conn_to(WIRE_A, 0), NGX_REDIS_CLOSED, 0,
                            "closed");
        tap_is(sent->answers, 0, "answers");
        (void) wire_pass(100);
        wire_expect(wire_conn(WIRE_A),
                    i ? "EVAL return 1 1 " KEY_A " "
                      : "EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 "
                        KEY_A " ");
        wire_ok(wire_conn(WIRE_A));
        wire_is_ok(sent, "a script");
        wire_end();
    }

    tap_test("and one of which some was");

    wire_begin_three();
    sent = wire_note();
    sent->cmd = ngx_redis_eval(wire_redis, &script, 1, argv, 1, wire_handler,
                               sent);
    wire_error(wire_conn(WIRE_A), "NOSCRIPT No matching script");
    sent->cmd->pos++;
    ngx_redis_conn_fail(unit_conn_to(WIRE_A, 0), NGX_REDIS_CLOSED, 0, "closed");
    wire_is_error(sent, "a script that was written");
    (void) wire_pass(100);
    wire_end();
}


/* A handler of what has failed sends again: both are in order. */

static void
test_within(void)
{
    wire_sent_t  *sent, *spared;

    tap_test("one that is sent while others fail does not disturb them");

    wire_begin_three();
    sent = wire_note();
    sent->cmd = ngx_redis_send_to(wire_redis, wire_number("b", 7000),
                                  &unit_keys[0].key, 1, handler, sent);
    spared = wire_send(KEY_B);
    within = NULL;
    tap_is(refuse(WIRE_B), 1, "it connects");
    wire_is_error(sent, "of one node");
    tap_is(spared->answers, 0, "answers");
    tap_ok(within && within->cmd, "sent from within");

    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_A));
    unit_wait(1);
    wire_map(wire_asked(), without_b, 2);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_B " ");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(within, "sent from within");
    wire_is_ok(spared, "spared");
    wire_end();
}


static void
test_exit(void)
{
    wire_sent_t  *sent;

    tap_test("a worker that exits calls nobody for what waits");

    wire_begin_three();
    sent = wire_send(KEY_B);
    tap_is(refuse(WIRE_B), 1, "it connects");
    sent->cancelled = 1;            /* it is not to be answered */
    wire_end();

    tap_test("nor for what has only just been taken");

    wire_begin_three();
    sent = wire_send(KEY_B);
    unit_run_posted();
    sent->cancelled = 1;
    wire_end();
}


/* A connection that is being made is not: 1 if there was one. */

static ngx_uint_t
refuse(const char *name)
{
    ngx_redis_conn_t  *conn;

    unit_run_posted();

    conn = unit_conn_to(name, 0);

    if (conn == NULL || !conn->opening) {
        return 0;
    }

    ngx_redis_conn_fail(conn, NGX_REDIS_CONNECT, 0, "refused");

    return 1;
}


static void
handler(void *data, ngx_int_t rc, const ngx_redis_reply_t *reply)
{
    wire_handler(data, rc, reply);

    within = wire_send(KEY_A);
}
