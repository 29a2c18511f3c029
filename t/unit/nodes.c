
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cluster: nodes come, fail and go.  Each command is answered once, and each
 * link that was up is down.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "wire.h"


#define HEARD  256
#define NODES  NGX_REDIS_NODES


static void test_no_slots(void);
static void test_lost(void);
static void test_once(void);
static void test_leaves(void);
static void test_numbers(void);
static void test_links(void);
static void test_fellow(void);
static void test_exit(void);

static void fail(const char *name);
static void listen_to(void);
static void link_takes(const char *name, const char *kind);
static void link_up(const char *name);
static void heard_is(const char *expected, const char *what);
static void hear_up(void *data, ngx_uint_t node);
static void hear_changed(void *data, ngx_uint_t node, const ngx_str_t *key);
static void hear_message(void *data, ngx_uint_t node, const ngx_str_t *channel,
    const ngx_str_t *text);
static void hear_down(void *data, ngx_uint_t node);


static const wire_range_t  without_b[] = {
    { 0, 10922, "a", 7000 },
    { 10923, 16383, "c", 7000 }
};

static char                   heard[HEARD];
static ngx_redis_link_conf_t  link_conf;


int
main(void)
{
    unit_init();
    srandom(1);
    (void) alarm(120);

    test_no_slots();
    test_lost();
    test_once();
    test_leaves();
    test_numbers();
    test_links();
    test_fellow();
    test_exit();

    return tap_done();
}


static void
test_no_slots(void)
{
    wire_sent_t  *sent;

    tap_test("a slot that no node has is waited for until the time is up");

    wire_begin();
    sent = wire_send(KEY_B);
    unit_wait(1);
    wire_map(wire_asked(), wire_three, 1);
    unit_wait(WIRE_TIMEOUT - 30);
    tap_is(sent->answers, 0, "answers");

    if (wire_asked()) {
        wire_map(wire_asked(), wire_three, 1);
    }

    unit_wait(50);
    wire_is_error(sent, "in the end");

    tap_test("or until a node has it");

    (void) wire_send(KEY_B);
    unit_wait(200);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    wire_ok(wire_conn(WIRE_B));
    unit_wait(200);
    (void) wire_pass(0);

    tap_test("one that has lost all slots, as after a reset, is not believed");

    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "CLUSTERDOWN ");
    unit_wait(1);
    wire_map(wire_asked(), NULL, 0);
    tap_is(ngx_redis_has_node(wire_redis, 0), 1, "nodes");
    tap_ok(wire_asked() == unit_conn_to(WIRE_SEED_TWO, 0), "a seed is asked");

    tap_test("nor if the seeds have none: what was known holds");

    wire_map(wire_asked(), NULL, 0);
    unit_wait(1);
    tap_ok(wire_asked() == unit_conn_to(WIRE_SEED, 0), "the other seed");
    wire_map(wire_asked(), NULL, 0);
    tap_ok(wire_asked() == NULL, "no third try");
    tap_is(ngx_redis_has_node(wire_redis, 0), 1, "nodes");

    unit_wait(20);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "afterwards");
    wire_end();
}


static void
test_lost(void)
{
    ngx_uint_t    i;
    wire_sent_t  *sent[4];

    tap_test("a node that fails fails what it was asked, and no other does");

    wire_begin_three();
    sent[0] = wire_send(KEY_A);
    sent[1] = wire_send(KEY_A_TOO);
    sent[2] = wire_send(KEY_B);
    wire_conn(WIRE_B);
    fail(WIRE_A);
    wire_is_error(sent[0], "the first");
    wire_is_error(sent[1], "the second");
    tap_is(sent[2]->answers, 0, "of another node");

    tap_test("in its pause commands for it are refused");

    sent[3] = wire_send(KEY_A);
    tap_ok(sent[3]->cmd == NULL, "taken");
    sent[3] = wire_send_to(0, "PING");
    tap_ok(sent[3]->cmd == NULL, "taken");

    tap_test("another node is asked for the map");

    wire_ok(wire_conn(WIRE_B));
    wire_is_ok(sent[2], "of another node");
    unit_wait(1);
    tap_ok(wire_asked() == unit_conn_to(WIRE_B, 0), "not the other node");

    tap_test("if that one fails too, the seeds are");

    fail(WIRE_B);
    tap_ok(wire_asked() == unit_conn_to(WIRE_SEED_TWO, 0)
           || wire_asked() == unit_conn_to(WIRE_SEED, 0), "not a seed");
    wire_map(wire_asked(), without_b, 2);

    tap_test("what is redirected to one in its pause waits for its end");

    sent[0] = wire_send(KEY_C);
    wire_error(wire_conn(WIRE_C), "MOVED 12182 a:7000");
    tap_is(sent[0]->answers, 0, "answers");
    tap_ok(unit_conn_to(WIRE_A, 0) == NULL, "a connection");

    for (i = 0; i < 100 && wire_conn(WIRE_A) == NULL; i++) {
        unit_wait(1);
    }

    tap_ok(i > 10 && i < 100, "after %lu ms", (u_long) i);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent[0], "redirected");
    (void) wire_pass(200);
    wire_end();
}


static void
test_once(void)
{
    ngx_uint_t  n;

    tap_test("while a node fails the map is asked for often");

    wire_begin_three();
    (void) wire_send(KEY_B);
    wire_conn(WIRE_B);
    fail(WIRE_B);
    n = wire_pass(5000);
    tap_ok(n >= 15 && n <= 21, "%lu times in 5 seconds", (u_long) n);

    tap_test("but not for ever if nobody asks whether it still does");

    (void) wire_pass(10000);
    n = wire_pass(60000);
    tap_ok(n <= 6, "%lu times in a minute", (u_long) n);
    wire_end();
}


static void
test_leaves(void)
{
    ngx_uint_t         n;
    wire_sent_t       *sent[3], *refused;
    ngx_redis_conn_t  *conn;

    tap_test("a node without a slot leaves; what it was asked it answers");

    wire_begin_three();
    wire_doubt();
    n = wire_number("b", 7000);
    sent[0] = wire_send(KEY_B);
    sent[1] = wire_send_to(n, "PING");
    sent[2] = wire_send(KEY_B);
    conn = wire_conn(WIRE_B);
    wire_map(wire_asked(), without_b, 2);

    tap_is(ngx_redis_has_node(wire_redis, n), 0, "its number");
    tap_is(wire_number("b", 7000), NODES, "the node");
    refused = wire_send_to(n, "PING");
    tap_ok(refused->cmd == NULL, "a command for it");

    wire_ok(conn);
    wire_is_ok(sent[0], "the first");
    tap_is(sent[0]->node, NODES, "who answers");
    wire_error(conn, "ERR");
    wire_is_error(sent[1], "the second");
    tap_is(sent[1]->node, NODES, "who answers");

    tap_test("it may still say where a slot has gone");

    wire_error(conn, "MOVED 6794 a:7000");
    wire_expect(wire_conn(WIRE_A), "GET " KEY_B " ");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent[2], "the third");
    tap_is(sent[2]->node, wire_number("a", 7000), "who answers");

    tap_test("when it has answered it is closed");

    tap_ok(unit_conn_to(WIRE_B, 0) == conn, "too early");
    unit_wait(1500);
    tap_ok(unit_conn_to(WIRE_B, 0) == NULL, "too late");
    wire_map(wire_asked(), without_b, 2);

    tap_test("a node that fails when it has left fails what it was asked");

    wire_doubt();
    sent[0] = wire_send(KEY_C);
    sent[1] = wire_send(KEY_A);
    wire_conn(WIRE_C);
    wire_map(wire_asked(), without_b, 1);
    fail(WIRE_C);
    wire_is_error(sent[0], "in flight");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent[1], "of another one");
    wire_end();
}


static void
test_numbers(void)
{
    ngx_uint_t           n;
    wire_sent_t         *sent, *other;
    ngx_redis_conn_t    *old;

    static wire_range_t  with_d[] = {
        { 0, 5460, "a", 7000 },
        { 5461, 10922, "d", 7000 },
        { 10923, 16383, "c", 7000 }
    };

    tap_test("the number of one that has left is the next one's");

    wire_begin_three();
    wire_doubt();
    n = wire_number("b", 7000);
    sent = wire_send(KEY_B);
    old = wire_conn(WIRE_B);
    wire_map(wire_asked(), without_b, 2);

    wire_doubt();
    wire_map(wire_asked(), with_d, 3);
    tap_is(wire_number("d", 7000), n, "number");

    tap_test("what the old one answers is not taken for the new one's");

    other = wire_send(KEY_B);
    wire_ok(wire_conn("d:7000"));
    wire_is_ok(other, "to the new one");
    tap_is(other->node, n, "who answers");

    wire_ok(old);
    wire_is_ok(sent, "to the old one");
    tap_is(sent->node, NODES, "who answers");

    tap_test("one that comes back is a new one");

    unit_wait(1500);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    tap_ok(wire_number("b", 7000) < NODES, "the number");
    other = wire_send(KEY_B);
    wire_ok(wire_conn(WIRE_B));
    wire_is_ok(other, "to the one that came back");
    wire_end();
}


static void
test_links(void)
{
    ngx_redis_conn_t  *conn;

    tap_test("each node has a link when it is found, after the start");

    wire_begin();
    listen_to();
    tap_ok(unit_timer() == NULL, "a timer before the start");
    ngx_redis_start(wire_redis);
    unit_wait(1);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    unit_wait(1);
    link_up(WIRE_C);
    link_up(WIRE_A);
    link_up(WIRE_B);
    heard_is("up2 up0 up1 ", "in the order in which they are up");

    tap_test("what is told on a link is told with its node's number");

    link_takes(WIRE_B, "message");
    ngx_redis_conn_fail(unit_conn_to(WIRE_B, 1), NGX_REDIS_CLOSED, 0, "");
    heard_is("key1 down1 ", "of the second");
    ngx_redis_link_reset(wire_redis, 2, "reset");
    unit_run_posted();
    heard_is("down2 ", "of the third");
    unit_wait(100);
    link_up(WIRE_B);
    link_up(WIRE_C);
    heard_is("up1 up2 ", "again");

    tap_test("the link of one that leaves is down, for good");

    unit_wait(12500);
    wire_map(wire_asked(), without_b, 2);
    heard_is("down1 ", "the second");
    tap_ok(unit_conn_to(WIRE_B, 1) == NULL, "its connection");
    unit_wait(2000);
    tap_ok(unit_conn_to(WIRE_B, 1) == NULL, "its connection");
    tap_is(ngx_redis_link_server(wire_redis, 1)->len, 0, "its server");
    tap_is(ngx_redis_server(wire_redis, 1)->len, 0, "its server");
    ngx_redis_link_reset(wire_redis, 1, "reset");
    unit_run_posted();
    heard_is("", "a reset of one that is gone");
    wire_map(wire_asked(), wire_three, WIRE_THREE);

    tap_test("one that was not up when its node leaves is not down");

    unit_wait(1);
    tap_ok(unit_conn_to(WIRE_B, 1) != NULL, "it connects");
    unit_wait(12500);
    wire_map(wire_asked(), without_b, 2);
    heard_is("", "nothing");

    tap_test("a node that MOVED tells of has a link too");

    (void) wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "MOVED 866 d:7000");
    wire_ok(wire_conn("d:7000"));
    unit_wait(1);
    conn = unit_conn_to("d:7000", 1);
    tap_ok(conn != NULL, "it connects");
    link_up("d:7000");
    heard_is("up1 ", "with its number");
    wire_end();
    heard_is("", "at the end");
}


static void
test_fellow(void)
{
    ngx_uint_t         i;
    ngx_redis_t       *fellow;
    static ngx_str_t   a = ngx_string(KEY_A), b = ngx_string(KEY_B);

    tap_test("what one client is told of nodes, another one of them knows");

    wire_begin();
    fellow = wire_fellow();
    tap_is(ngx_redis_node(fellow, &b), NGX_REDIS_NODES, "before it is told");

    (void) wire_send(KEY_A);
    unit_wait(1);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    wire_ok(wire_conn(WIRE_A));
    tap_is(ngx_redis_node(fellow, &a), 0, "the first one's node");
    tap_is(ngx_redis_node(fellow, &b), 1, "the second one's");
    tap_is(unit_opened, 2, "connections: of a seed, and of a node");

    tap_test("so that the map is asked for by one of them");

    unit_wait(9800);
    tap_ok(wire_asked() == NULL, "too early");

    for (i = 0; i < 60 && wire_asked() == NULL; i++) {
        unit_wait(50);
    }

    wire_map(wire_asked(), wire_three, WIRE_THREE);
    unit_wait(9800);
    tap_ok(wire_asked() == NULL, "by the other one too");

    tap_test("a node that leaves the one leaves the other");

    wire_doubt();
    wire_map(wire_asked(), without_b, 2);
    tap_is(ngx_redis_node(fellow, &b), 0, "the node of what has moved");
    tap_is(ngx_redis_has_node(fellow, 1), 0, "the one that has gone");
    wire_end();
}


static void
test_exit(void)
{
    ngx_uint_t    i;
    wire_sent_t  *sent;

    tap_test("a worker that exits calls nobody, and leaves nothing behind");

    for (i = 0; i < 6; i++) {
        wire_begin_three();
        wire_doubt();
        sent = wire_send(i & 1 ? KEY_B : KEY_A);

        switch (i) {
        case 0:
            wire_conn(WIRE_A);
            break;

        case 1:
            break;

        case 2:
            wire_map(wire_asked(), wire_three, WIRE_THREE);
            wire_error(wire_conn(WIRE_A), "ASK 866 b:7000");
            break;

        case 3:
            wire_conn(WIRE_B);
            wire_map(wire_asked(), without_b, 2);
            break;

        case 4:
            wire_map(wire_asked(), wire_three, WIRE_THREE);
            wire_error(wire_conn(WIRE_A), "TRYAGAIN ");
            break;

        default:
            wire_conn(WIRE_B);
            break;
        }

        /* it is not to be answered */

        sent->cancelled = 1;
        tap_is(sent->answers, 0, "answers");
        wire_end();
    }
}


/* --- connections, and links */

static void
fail(const char *name)
{
    ngx_redis_conn_fail(unit_conn_to(name, 0), NGX_REDIS_CLOSED, 0, "closed");
}


static void
listen_to(void)
{
    static ngx_str_t  channels[] = { ngx_string("a") };
    ngx_conf_t        cf;

    ngx_str_set(&link_conf.prefix, "at:");
    link_conf.channels = channels;
    link_conf.nchannels = 1;
    link_conf.up = hear_up;
    link_conf.changed = hear_changed;
    link_conf.message = hear_message;
    link_conf.down = hear_down;

    heard[0] = '\0';

    ngx_memzero(&cf, sizeof(cf));
    tap_is(ngx_redis_listen(&cf, wire_redis, &link_conf), NGX_OK, "listen");
}


/* Redis pushes something of this kind, of a key that has changed. */

static void
link_takes(const char *name, const char *kind)
{
    ngx_redis_conn_t  *conn;

    static ngx_redis_reply_t  key = {
        NGX_REDIS_STRING, ngx_string("at:1"), 0, 0, NULL
    };
    static ngx_redis_reply_t  elts[] = {
        { NGX_REDIS_STRING, ngx_null_string, 0, 0, NULL },
        { NGX_REDIS_STRING, ngx_string("__redis__:invalidate"), 0, 0, NULL },
        { NGX_REDIS_ARRAY, ngx_null_string, 0, 1, &key }
    };
    static ngx_redis_reply_t  push = {
        NGX_REDIS_ARRAY, ngx_null_string, 0, 3, elts
    };

    elts[0].str.data = (u_char *) kind;
    elts[0].str.len = strlen(kind);

    conn = unit_conn_to(name, 1);
    tap_ok(conn != NULL, "no link to %s", name);

    if (conn) {
        (void) conn->take(conn, &push);
    }
}


/* Without tracking, which is the shortest way. */

static void
link_up(const char *name)
{
    ngx_redis_conn_t  *conn;

    static ngx_redis_reply_t  refusal = {
        NGX_REDIS_ERROR, ngx_string("NOPERM"), 0, 0, NULL
    };

    conn = unit_conn_to(name, 1);

    if (conn) {
        (void) conn->greeted(conn);
        (void) conn->take(conn, &refusal);
    }

    link_takes(name, "subscribe");
    unit_run_posted();
}


static void
heard_is(const char *expected, const char *what)
{
    tap_ok(strcmp(heard, expected) == 0, "%s: heard \"%s\", not \"%s\"", what,
           heard, expected);

    heard[0] = '\0';
}


static void
hear(const char *what, ngx_uint_t node)
{
    size_t  len;

    len = strlen(heard);
    snprintf(heard + len, HEARD - len, "%s%lu ", what, (u_long) node);
}


static void
hear_up(void *data, ngx_uint_t node)
{
    hear("up", node);
}


static void
hear_changed(void *data, ngx_uint_t node, const ngx_str_t *key)
{
    hear("key", node);
}


static void
hear_message(void *data, ngx_uint_t node, const ngx_str_t *channel,
    const ngx_str_t *text)
{
    hear("text", node);
}


static void
hear_down(void *data, ngx_uint_t node)
{
    hear("down", node);
}
