
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cluster: what a node says of a slot that is on its way, or that nobody has;
 * and commands that are not to be sent again.  All are answered once.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "wire.h"


#define SHA1  "ffffffffffffffffffffffffffffffffffffffff"


static void test_ask(void);
static void test_ask_order(void);
static void test_ask_new(void);
static ngx_uint_t sends_until(wire_sent_t *sent, const char *error);
static void test_again(void);
static void test_down(void);
static void test_cancel(void);
static void test_bound(void);
static void test_script(void);


static const char  moved_b[] = "MOVED 866 b:7000";


int
main(void)
{
    unit_init();
    srandom(1);
    (void) alarm(120);

    test_ask();
    test_ask_order();
    test_ask_new();
    test_again();
    test_down();
    test_cancel();
    test_bound();
    test_script();

    return tap_done();
}


static void
test_ask(void)
{
    wire_sent_t  *sent;

    tap_test("after ASK a command is sent to that node, after ASKING");

    wire_begin_three();
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "ASK 866 b:7000");
    wire_expect_none(wire_conn(WIRE_A));
    wire_expect(wire_conn(WIRE_B), "ASKING ");
    wire_ok(wire_conn(WIRE_B));
    tap_is(wire_answered, 1, "the answer to ASKING is nobody's");
    wire_expect(wire_conn(WIRE_B), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_B));
    wire_is_ok(sent, "asked");
    tap_is(sent->node, wire_number("b", 7000), "who answers");

    tap_test("it holds for that one only: the slot stays where it is");

    sent = wire_send(KEY_A);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "the next");
    unit_wait(200);
    tap_ok(wire_asked() == NULL, "the map is asked for");

    tap_test("if ASKING is refused the command has its own answer");

    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "ASK 866 b:7000");
    wire_error(wire_conn(WIRE_B), "NOPERM");
    wire_error(wire_conn(WIRE_B), "MOVED 866 a:7000");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "asked in vain");

    tap_test("ASK counts as MOVED does: the sixth waits, as others do");

    unit_wait(200);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "ASK 866 b:7000");
    wire_ok(wire_conn(WIRE_B));
    wire_error(wire_conn(WIRE_B), "MOVED 866 a:7000");
    wire_error(wire_conn(WIRE_A), "ASK 866 b:7000");
    wire_ok(wire_conn(WIRE_B));
    wire_error(wire_conn(WIRE_B), "MOVED 866 a:7000");
    wire_error(wire_conn(WIRE_A), "ASK 866 b:7000");
    wire_ok(wire_conn(WIRE_B));
    wire_expect(wire_conn(WIRE_B), "GET " KEY_A " ");
    tap_is(sent->answers, 0, "answers");
    wire_error(wire_conn(WIRE_B), "MOVED 866 a:7000");
    tap_is(sent->answers, 0, "answers");
    wire_expect_none(wire_conn(WIRE_A));
    wire_expect_none(wire_conn(WIRE_B));

    tap_test("and is redirected once more then");

    (void) wire_pass(20);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_error(wire_conn(WIRE_A), "ASK 866 b:7000");
    wire_expect(wire_conn(WIRE_B), "ASKING ");
    wire_ok(wire_conn(WIRE_B));
    wire_expect(wire_conn(WIRE_B), "GET " KEY_A " ");
    wire_error(wire_conn(WIRE_B), "MOVED 866 a:7000");
    wire_expect_none(wire_conn(WIRE_A));
    wire_expect_none(wire_conn(WIRE_B));
    (void) wire_pass(20);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "in the end");
    wire_end();
}


static void
test_ask_order(void)
{
    ngx_uint_t    i;
    wire_sent_t  *sent[4];

    tap_test("nothing comes between ASKING and its command");

    wire_begin_three();
    sent[0] = wire_send(KEY_A);
    sent[1] = wire_send(KEY_A);
    sent[2] = wire_send(KEY_B);
    wire_error(wire_conn(WIRE_A), "ASK 866 b:7000");
    wire_error(wire_conn(WIRE_A), "ASK 866 b:7000");
    sent[3] = wire_send(KEY_B);

    wire_expect(wire_conn(WIRE_B), "GET " KEY_B " ");
    wire_ok(wire_conn(WIRE_B));

    for (i = 0; i < 2; i++) {
        wire_expect(wire_conn(WIRE_B), "ASKING ");
        wire_ok(wire_conn(WIRE_B));
        wire_expect(wire_conn(WIRE_B), "GET " KEY_A " ");
        wire_ok(wire_conn(WIRE_B));
    }

    wire_expect(wire_conn(WIRE_B), "GET " KEY_B " ");
    wire_ok(wire_conn(WIRE_B));

    for (i = 0; i < 4; i++) {
        wire_is_ok(sent[i], "in its order");
    }

    wire_end();
}


static void
test_ask_new(void)
{
    wire_sent_t  *sent;

    tap_test("a node that fails while it is asked fails the command once");

    wire_begin_three();
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "ASK 866 d:7000");
    ngx_redis_conn_fail(wire_conn("d:7000"), NGX_REDIS_CLOSED, 0, "closed");
    wire_is_error(sent, "asked");

    tap_test("in its pause a command waits, and asks again where the slot is");

    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "ASK 866 d:7000");
    tap_is(sent->answers, 0, "answers");
    tap_ok(wire_conn("d:7000") == NULL, "a connection in the pause");
    (void) wire_pass(20);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "after the pause");
    wire_end();
}


/* How often the command was sent until it was answered. */

static ngx_uint_t
sends_until(wire_sent_t *sent, const char *error)
{
    ngx_uint_t  n;

    for (n = 0; sent->answers == 0 && n < 1000; n++) {
        wire_error(wire_conn(WIRE_A), error);
        wire_expect_none(wire_conn(WIRE_A));

        if (sent->answers == 0) {
            (void) wire_pass(19);
            wire_expect_none(wire_conn(WIRE_A));
            (void) wire_pass(1);
        }
    }

    return n;
}


static void
test_again(void)
{
    ngx_uint_t    n;
    wire_sent_t  *sent, *other;

    static const char  *errors[] = {
        "MOVED 866 b:7000", "ASK 866 b:7000", "TRYAGAIN ", "CLUSTERDOWN "
    };

    tap_test("after TRYAGAIN a command is sent again, 20 ms later");

    wire_begin_three();
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "TRYAGAIN Multiple keys request");
    unit_wait(19);
    wire_expect_none(wire_conn(WIRE_A));
    unit_wait(1);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "again");
    unit_wait(200);
    tap_ok(wire_asked() == NULL, "the map is asked for");

    tap_test("until its time is up, and then it has failed");

    sent = wire_send(KEY_A);
    n = sends_until(sent, "TRYAGAIN ");
    tap_is(n, WIRE_TIMEOUT / 20, "sent");
    wire_is_error(sent, "in the end");

    tap_test("each has its own time");

    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "TRYAGAIN ");
    ngx_current_msec += WIRE_TIMEOUT;
    other = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "TRYAGAIN ");
    unit_wait(1);
    wire_is_error(sent, "the first");
    tap_is(other->answers, 0, "the second");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(other, "the second");

    tap_test("when its time is up it is not sent again, whatever is answered");

    for (n = 0; n < sizeof(errors) / sizeof(errors[0]); n++) {
        sent = wire_send(KEY_A);
        wire_conn(WIRE_A);
        ngx_current_msec += WIRE_TIMEOUT;
        wire_error(unit_conn_to(WIRE_A, 0), errors[n]);
        wire_is_error(sent, errors[n]);
        (void) wire_pass(200);
        wire_expect_none(wire_conn(WIRE_A));
        wire_expect_none(wire_conn(WIRE_B));
    }

    tap_test("what only looks so is an error like any other");

    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "TRYAGAINST");
    wire_is_error(sent, "TRYAGAINST");
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "TRYAGAIN");
    wire_is_error(sent, "a cut one");
    wire_end();
}


static void
test_down(void)
{
    ngx_msec_t           since;
    ngx_uint_t           n;
    wire_sent_t         *sent;

    static wire_range_t  one[] = { { 0, 16383, "b", 7000 } };

    tap_test("after CLUSTERDOWN too, and the map is asked for");

    wire_begin_three();
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "CLUSTERDOWN The cluster is down");
    unit_wait(1);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");

    /* sooner than 20 ms later if the map is told before */

    since = ngx_current_msec;

    for (n = 0; sent->answers == 0; (void) wire_pass(1)) {
        if (unit_first(wire_conn(WIRE_A))) {
            wire_error(wire_conn(WIRE_A), "CLUSTERDOWN Hash slot not served");
            n++;
        }
    }

    tap_ok(n >= 25 && n <= 40, "%lu times", (u_long) n);
    tap_ok(ngx_current_msec - since >= WIRE_TIMEOUT - 20
           && ngx_current_msec - since <= WIRE_TIMEOUT + 1, "after %lu ms",
           (u_long) (ngx_current_msec - since));
    wire_is_error(sent, "in the end");

    tap_test("it goes where the map says by then");

    (void) wire_pass(200);
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "CLUSTERDOWN Hash slot not served");
    unit_wait(1);
    wire_map(wire_asked(), one, 1);
    unit_wait(20);
    wire_expect(wire_conn(WIRE_B), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_B));
    wire_is_ok(sent, "again");
    wire_end();
}


static void
test_cancel(void)
{
    ngx_uint_t    i;
    wire_sent_t  *sent;

    static const char  *errors[] = {
        "MOVED 866 b:7000", "ASK 866 b:7000", "TRYAGAIN ", "CLUSTERDOWN ",
        "ERR"
    };

    tap_test("a command that was cancelled is not sent again, nor answered");

    for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        wire_begin_three();
        sent = wire_send(KEY_A);
        wire_cancel(sent);
        wire_error(wire_conn(WIRE_A), errors[i]);
        unit_wait(90);
        wire_expect_none(wire_conn(WIRE_A) == wire_asked()
                         ? NULL : wire_conn(WIRE_A));
        wire_expect_none(wire_conn(WIRE_B));
        tap_is(wire_answered, 1, "answers");
        wire_end();
    }

    tap_test("nor if it is cancelled while it waits");

    wire_begin_three();
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "TRYAGAIN ");
    wire_cancel(sent);
    unit_wait(30);
    wire_expect_none(wire_conn(WIRE_A));
    wire_end();

    wire_begin();
    sent = wire_send(KEY_A);
    unit_wait(1);
    wire_cancel(sent);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    tap_ok(wire_conn(WIRE_A) == NULL, "a connection");
    wire_end();
}


static void
test_bound(void)
{
    ngx_uint_t    i, n;
    wire_sent_t  *sent;

    static const char  *errors[] = {
        "MOVED 866 b:7000", "ASK 866 b:7000", "TRYAGAIN ", "CLUSTERDOWN ",
        "ERR"
    };

    tap_test("a command for one node is never sent to another one, or again");

    for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        wire_begin_three();
        n = wire_number("a", 7000);

        sent = wire_send_to(n, "PING");
        wire_expect(wire_conn(WIRE_A), "PING ");
        wire_error(wire_conn(WIRE_A), errors[i]);
        wire_is_error(sent, errors[i]);
        wire_expect_none(wire_conn(WIRE_B));
        unit_wait(1);

        if (wire_asked()) {
            tap_ok(errors[i][0] == 'M' || errors[i][0] == 'C', "the map");
            wire_map(wire_asked(), wire_three, WIRE_THREE);
        } else {
            tap_ok(errors[i][0] != 'M' && errors[i][0] != 'C', "no map");
        }

        unit_wait(90);
        wire_expect_none(wire_conn(WIRE_A));

        sent = wire_send_to(n, "PING");
        wire_ok(wire_conn(WIRE_A));
        wire_is_ok(sent, "the next one");
        tap_is(sent->node, n, "who answers");
        wire_end();
    }

    tap_test("one for a node that there is not is refused");

    wire_begin_three();
    sent = wire_send_to(63, "PING");
    tap_ok(sent->cmd == NULL, "taken");
    wire_end();
}


/* Of slow ones the conn sends one at a time, but not behind ASKING. */

static void
test_script(void)
{
    wire_sent_t         *sent;
    ngx_str_t            argv[2];
    ngx_redis_script_t   script;

    tap_test("a script is sent as EVAL where it is not known, to another node");

    ngx_memzero(&script, sizeof(script));
    ngx_str_set(&script.text, "return 1");
    ngx_memset(script.sha1, 'f', sizeof(script.sha1));
    script.slow = 1;

    ngx_str_set(&argv[0], KEY_A);
    ngx_str_set(&argv[1], "x");

    wire_begin_three();
    sent = wire_note();
    sent->cmd = ngx_redis_eval(wire_redis, &script, 1, argv, 2, wire_handler,
                               sent);

    wire_expect(wire_conn(WIRE_A), "EVALSHA " SHA1 " 1 " KEY_A " x ");
    wire_error(wire_conn(WIRE_A), moved_b);
    wire_expect(wire_conn(WIRE_B), "EVALSHA " SHA1 " 1 " KEY_A " x ");
    tap_is(unit_first(wire_conn(WIRE_B))->slow, 1, "slow");
    wire_error(wire_conn(WIRE_B), "NOSCRIPT No matching script");
    wire_expect(wire_conn(WIRE_B), "EVAL return 1 1 " KEY_A " x ");
    wire_error(wire_conn(WIRE_B), "TRYAGAIN ");
    (void) wire_pass(20);
    wire_expect(wire_conn(WIRE_A), "EVAL return 1 1 " KEY_A " x ");
    wire_error(wire_conn(WIRE_A), "ASK 866 c:7000");
    wire_expect(wire_conn(WIRE_C), "ASKING ");
    wire_ok(wire_conn(WIRE_C));
    wire_expect(wire_conn(WIRE_C), "EVAL return 1 1 " KEY_A " x ");
    tap_is(unit_first(wire_conn(WIRE_C))->slow, 0, "slow, behind ASKING");
    wire_ok(wire_conn(WIRE_C));
    wire_is_ok(sent, "in the end");
    wire_end();
}
