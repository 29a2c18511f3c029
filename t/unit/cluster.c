
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cluster: a command goes to the node of its slot, and to another one if that
 * says that the slot was moved.  Whatever happens, it is answered once.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "wire.h"


#define MANY  20


static void test_first(void);
static void test_routes(void);
static void test_moved(void);
static void test_moved_many(void);
static void test_moved_far(void);
static void test_moved_in_vain(void);
static void redirect(const char *name);
static void tell_map(void);
static void test_moved_other_slot(void);
static void test_moved_hosts(void);
static void test_errors(void);


static const char  moved_b[] = "MOVED 866 b:7000";


int
main(void)
{
    unit_init();
    srandom(1);
    (void) alarm(120);

    test_first();
    test_routes();
    test_moved();
    test_moved_many();
    test_moved_far();
    test_moved_in_vain();
    test_moved_other_slot();
    test_moved_hosts();
    test_errors();

    return tap_done();
}


static void
test_first(void)
{
    wire_sent_t       *sent[4];
    ngx_redis_conn_t  *conn;

    tap_test("a command waits for the map, and goes out when it is told");

    wire_begin();
    sent[0] = wire_send(KEY_A);
    sent[1] = wire_send(KEY_B);
    tap_is(unit_opened, 0, "opened from inside the call");

    unit_wait(1);
    sent[2] = wire_send(KEY_A_TOO);
    unit_wait(1);
    tap_is(unit_opened, 1, "connections");

    conn = wire_asked();
    tap_ok(conn != NULL && conn == wire_conn(WIRE_SEED_TWO), "of a seed");
    wire_expect(conn, "CLUSTER SLOTS ");
    tap_is(conn->ncommands, 1, "commands of a seed");
    tap_is(wire_answered, 0, "answers");
    tap_is(ngx_redis_node(wire_redis, &unit_keys[0].key), NGX_REDIS_NODES,
           "a node before the map");

    wire_map(conn, wire_three, WIRE_THREE);
    tap_is(wire_answered, 0, "answers");
    sent[3] = wire_send(KEY_C);

    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_A));
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A_TOO " ");
    wire_ok(wire_conn(WIRE_A));
    wire_expect(wire_conn(WIRE_B), "GET " KEY_B " ");
    wire_ok(wire_conn(WIRE_B));
    wire_expect(wire_conn(WIRE_C), "GET " KEY_C " ");
    wire_ok(wire_conn(WIRE_C));

    wire_is_ok(sent[0], "the first");
    wire_is_ok(sent[1], "of another node");
    wire_is_ok(sent[2], "while the map is asked for");
    wire_is_ok(sent[3], "after it is told");
    tap_is(sent[0]->node, wire_number("a", 7000), "who answers");
    tap_is(sent[1]->node, wire_number("b", 7000), "who answers");
    tap_is(sent[3]->node, wire_number("c", 7000), "who answers");

    unit_wait(200);
    wire_map(wire_asked(), wire_three, WIRE_THREE);

    tap_test("a map that is not in doubt is asked for every ten seconds or so");

    unit_wait(9800);
    tap_ok(wire_asked() == NULL, "too early");
    unit_wait(2700);
    tap_ok(wire_asked() != NULL, "too late");
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    wire_end();
}


static void
test_routes(void)
{
    ngx_str_t   key;
    ngx_uint_t  i, n;

    tap_test("the node of a key is that of its slot");

    wire_begin_three();

    for (i = 0; i < unit_nkeys; i++) {
        key = unit_keys[i].key;
        n = unit_keys[i].slot <= 5460 ? wire_number("a", 7000)
            : unit_keys[i].slot <= 10922 ? wire_number("b", 7000)
            : wire_number("c", 7000);

        tap_is(ngx_redis_node(wire_redis, &key), n, "node");
    }

    tap_is(ngx_redis_is_cluster(wire_redis), 1, "it is a cluster");
    wire_end();
}


static void
test_moved(void)
{
    wire_sent_t  *sent, *next;

    tap_test("after MOVED a command is sent again, as it was, to that node");

    wire_begin_three();
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), moved_b);
    tap_is(sent->answers, 0, "answers");
    wire_expect_none(wire_conn(WIRE_A));
    wire_expect(wire_conn(WIRE_B), "GET " KEY_A " ");

    tap_test("the next command of the slot goes there at once, no other does");

    next = wire_send(KEY_A);
    wire_ok(wire_conn(WIRE_B));
    wire_expect(wire_conn(WIRE_B), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_B));
    wire_is_ok(sent, "moved");
    wire_is_ok(next, "the next");
    tap_is(sent->node, wire_number("b", 7000), "who answers");

    sent = wire_send(KEY_A_TOO);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A_TOO " ");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "of another slot");

    tap_test("the map is asked for, and what it says holds from then on");

    unit_wait(1);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    sent = wire_send(KEY_A);
    wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "as the map says");
    wire_end();
}


static void
test_moved_many(void)
{
    ngx_str_t     key = ngx_string(KEY_A);
    ngx_uint_t    i, asked;
    wire_sent_t  *sent[MANY];

    tap_test("however many were moved, the map is asked for once");

    wire_begin_three();

    for (i = 0; i < MANY; i++) {
        sent[i] = wire_send(KEY_A);
    }

    for (i = 0; i < MANY; i++) {
        wire_error(wire_conn(WIRE_A), moved_b);

        if (i == MANY / 2) {
            unit_wait(1);       /* the map is asked for, others come later */
        }
    }

    for (i = 0; i < MANY; i++) {
        wire_ok(wire_conn(WIRE_B));
        wire_is_ok(sent[i], "moved");
    }

    unit_wait(5);
    tap_ok(wire_asked() != NULL, "the map");
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    tap_is(wire_maps, 1, "maps");

    tap_test("and not again so soon, whatever comes");

    for (asked = 0, i = 0; i < 1000; i++) {
        wire_send(KEY_A);

        if (ngx_redis_node(wire_redis, &key) == wire_number("a", 7000)) {
            wire_error(wire_conn(WIRE_A), moved_b);
            wire_ok(wire_conn(WIRE_B));

        } else {
            wire_error(wire_conn(WIRE_B), "MOVED 866 a:7000");
            wire_ok(wire_conn(WIRE_A));
        }

        asked += wire_pass(1);
    }

    tap_ok(asked >= 7 && asked <= 10, "%lu times in a second", (u_long) asked);
    wire_end();
}


static void
test_moved_far(void)
{
    ngx_uint_t    i, n;
    wire_sent_t  *sent;

    tap_test("a command is redirected five times at once");

    for (n = 0; n <= 5; n++) {
        wire_begin_three();
        sent = wire_send(KEY_A);

        for (i = 0; i < n; i++) {
            tap_is(sent->answers, 0, "answers");
            redirect(i & 1 ? WIRE_B : WIRE_A);
        }

        wire_ok(wire_conn(n & 1 ? WIRE_B : WIRE_A));
        wire_is_ok(sent, "redirected");
        wire_end();
    }

    tap_test("then it waits, and is redirected once more each 20 ms");

    wire_begin_three();
    tell_map();
    sent = wire_send(KEY_A);

    for (i = 0; i < 6; i++) {
        redirect(i & 1 ? WIRE_B : WIRE_A);
    }

    for (n = 0; n < 4; n++) {
        tap_is(sent->answers, 0, "answers");
        unit_wait(19);
        wire_expect_none(wire_conn(WIRE_A));
        wire_expect_none(wire_conn(WIRE_B));
        unit_wait(1);

        redirect(n & 1 ? WIRE_A : WIRE_B);
        redirect(n & 1 ? WIRE_B : WIRE_A);
    }

    unit_wait(20);
    wire_expect(wire_conn(WIRE_B), "GET " KEY_A " ");
    wire_ok(wire_conn(WIRE_B));
    wire_is_ok(sent, "when they agree");
    wire_end();
}


/* Two nodes that say MOVED to each other, or one that says so of itself. */

static void
test_moved_in_vain(void)
{
    ngx_msec_t    since;
    ngx_uint_t    i, n, told;
    wire_sent_t  *sent;

    tap_test("until its time is up, and then it has failed");

    for (i = 0; i < 2; i++) {
        wire_begin_three();
        since = ngx_current_msec;
        told = unit_told;
        sent = wire_send(KEY_A);

        for (n = 0; sent->answers == 0; /* void */ ) {

            if (wire_conn(WIRE_B) && unit_first(wire_conn(WIRE_B))) {
                redirect(WIRE_B);
                n++;

            } else if (unit_first(wire_conn(WIRE_A))) {
                wire_error(wire_conn(WIRE_A), i ? "MOVED 866 a:7000" : moved_b);
                n++;

            } else {
                (void) wire_pass(1);
            }
        }

        wire_is_error(sent, "in the end");
        wire_expect_none(wire_conn(WIRE_A));
        wire_expect_none(wire_conn(WIRE_B));
        tap_is(ngx_current_msec - since, WIRE_TIMEOUT, "ms");
        tap_is(unit_told - told, 1, "lines of the log");

        /* six at once, two each 20 ms, and two more when a map is told */

        tap_ok(wire_maps >= 4 && wire_maps <= 5, "%lu maps",
               (u_long) wire_maps);
        tap_is(n, 6 + 2 * (WIRE_TIMEOUT / 20 - 1) + 2 * wire_maps, "sent");
        wire_end();
    }
}


/* "a" and "b" each say that the other one has the slot. */

static void
redirect(const char *name)
{
    wire_expect(wire_conn(name), "GET " KEY_A " ");
    wire_error(wire_conn(name),
               strcmp(name, WIRE_A) == 0 ? moved_b : "MOVED 866 a:7000");
}


/* So it is not asked for in the next 100 ms. */

static void
tell_map(void)
{
    wire_sent_t  *sent;

    sent = wire_send_to(0, "PING");
    wire_error(wire_conn(WIRE_A), "CLUSTERDOWN ");
    wire_is_error(sent, "of which there is a doubt");
    unit_wait(1);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
}


static void
test_moved_other_slot(void)
{
    ngx_uint_t    i;
    wire_sent_t  *sent;

    static const char  *errors[] = {
        "MOVED 867 b:7000", "ASK 867 b:7000", "MOVED 16384 b:7000",
        "MOVED 866 b", "MOVED 866", "ASK 866 b:0"
    };

    tap_test("one that tells of another slot, or of none, is not followed");

    for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        wire_begin_three();
        sent = wire_send(KEY_A);
        wire_error(wire_conn(WIRE_A), errors[i]);
        wire_is_error(sent, errors[i]);
        wire_expect_none(wire_conn(WIRE_A));
        wire_expect_none(wire_conn(WIRE_B));

        sent = wire_send(KEY_A);
        wire_expect(wire_conn(WIRE_A), "GET " KEY_A " ");
        wire_ok(wire_conn(WIRE_A));
        wire_end();
    }
}


static void
test_moved_hosts(void)
{
    ngx_uint_t    i;
    wire_sent_t  *sent;

    static const struct {
        const char  *error;
        const char  *to;
    } moves[] = {
        { "MOVED 866 :7001", "a:7001" },
        { "MOVED 866 ?:7001", "a:7001" },
        { "MOVED 866 d:7000", "d:7000" },
        { "MOVED 866 2001:db8::1:7000", "[2001:db8::1]:7000" },
        { "ASK 866 :7001", "a:7001" },
        { "ASK 866 ::1:7000", "[::1]:7000" }
    };

    tap_test("a node that was not known is found, by a host or without one");

    for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        wire_begin_three();
        sent = wire_send(KEY_A);
        wire_error(wire_conn(WIRE_A), moves[i].error);
        tap_is(sent->answers, 0, "answers");

        if (moves[i].error[0] == 'A') {
            wire_expect(wire_conn(moves[i].to), "ASKING ");
            wire_ok(wire_conn(moves[i].to));
        }

        wire_expect(wire_conn(moves[i].to), "GET " KEY_A " ");
        wire_ok(wire_conn(moves[i].to));
        wire_is_ok(sent, moves[i].error);
        tap_is(sent->node, 3, "who answers");
        wire_end();
    }
}


static void
test_errors(void)
{
    wire_sent_t  *sent;

    tap_test("any other error is its sender's, and whose it is is known");

    wire_begin_three();
    sent = wire_send(KEY_A);
    wire_error(wire_conn(WIRE_A), "ERR unknown");
    wire_is_error(sent, "an error");
    tap_is(sent->node, wire_number("a", 7000), "who answers");
    tap_is(ngx_redis_answering(wire_redis), NGX_REDIS_NODES, "afterwards");
    wire_end();
}
