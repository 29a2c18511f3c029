
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cluster: who is asked for the map, and what if nobody tells it, or what is
 * told is none, or there is no memory for it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "wire.h"


#define NODES  NGX_REDIS_NODES


static void test_seeds(void);
static void test_second_seed(void);
static void test_pause(void);
static void test_after_pause(void);
static void test_slow_seed(void);
static void test_full(void);
static void test_hosts(void);
static void test_malformed(void);
static void test_too_many(void);
static void test_memory(void);
static void test_no_client(void);

static void fail(const char *name);


static const wire_range_t  bad[] = {
    { 0, 5460, "a", 7000 },
    { 5461, 10922, "e", 7000 },
    { 10923, 16384, "c", 7000 }
};


int
main(void)
{
    unit_init();
    srandom(1);
    (void) alarm(120);

    test_seeds();
    test_second_seed();
    test_pause();
    test_after_pause();
    test_slow_seed();
    test_full();
    test_hosts();
    test_malformed();
    test_too_many();
    test_memory();
    test_no_client();

    return tap_done();
}


/* --- seeds */

static void
test_seeds(void)
{
    wire_sent_t  *one, *two;

    tap_test("seeds are tried in turn; if all fail what waits has failed");

    wire_begin();
    one = wire_send(KEY_A);
    unit_wait(1);
    two = wire_send(KEY_B);

    tap_ok(wire_asked() == unit_conn_to(WIRE_SEED_TWO, 0), "the first try");
    fail(WIRE_SEED_TWO);
    tap_is(wire_answered, 0, "answers");
    tap_ok(wire_asked() == unit_conn_to(WIRE_SEED, 0), "the second try");
    fail(WIRE_SEED);

    wire_is_error(one, "the first");
    wire_is_error(two, "the second");
    tap_ok(wire_asked() == NULL, "no third try");
    tap_is(unit_opened, 2, "connections");
    wire_end();
}


static void
test_second_seed(void)
{
    wire_sent_t  *sent;

    tap_test("the second one may tell what the first one did not");

    wire_begin();
    sent = wire_send(KEY_A);
    unit_wait(1);
    wire_error(wire_asked(), "ERR This instance has cluster support disabled");
    tap_is(wire_answered, 0, "answers");
    unit_wait(1);
    tap_ok(unit_conn_to(WIRE_SEED_TWO, 0) == NULL, "it is left");
    tap_ok(wire_asked() == unit_conn_to(WIRE_SEED, 0), "the other seed");
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "when it is told");
    wire_end();

    tap_test("so it may if that one is in no cluster, or has no slots yet");

    wire_begin();
    sent = wire_send(KEY_A);
    unit_wait(1);
    wire_map(wire_asked(), NULL, 0);
    tap_ok(unit_told > 0, "not logged");
    unit_wait(1);
    tap_ok(wire_asked() == unit_conn_to(WIRE_SEED, 0), "the other seed");
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "when it is told");

    tap_test("where none has slots what waits has failed");

    wire_end();
    wire_begin();
    sent = wire_send(KEY_A);
    unit_wait(1);
    wire_map(wire_asked(), NULL, 0);
    unit_wait(1);
    wire_map(wire_asked(), NULL, 0);
    wire_is_error(sent, "after both");
    tap_ok(wire_asked() == NULL, "no third try");
    wire_end();
}


static void
test_pause(void)
{
    ngx_uint_t    i, n;
    wire_sent_t  *sent;

    tap_test("where no node tells the map a command is refused in the pause");

    wire_begin();
    sent = wire_send(KEY_A);
    unit_wait(1);
    wire_asked();
    fail(WIRE_SEED_TWO);
    wire_asked();
    fail(WIRE_SEED);
    wire_is_error(sent, "the first");

    sent = wire_send(KEY_A);
    tap_ok(sent->cmd == NULL, "taken");

    tap_test("nobody has to send: the map is asked for by itself");

    for (n = 0, i = 0; i < 10000; i++) {
        unit_wait(1);

        if (wire_asked()) {
            fail(wire_asked() == unit_conn_to(WIRE_SEED, 0)
                 ? WIRE_SEED : WIRE_SEED_TWO);
            n++;
        }
    }

    tap_ok(n / 2 >= 30 && n / 2 <= 42, "%lu times in 10 seconds",
           (u_long) n / 2);

    unit_wait(400);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    sent = wire_send(KEY_A);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "when it is told");
    wire_end();
}


static void
test_after_pause(void)
{
    ngx_msec_t    pause;
    wire_sent_t  *sent;

    tap_test("one that is taken after the pause waits for the next answer");

    wire_begin();
    sent = wire_send(KEY_A);
    unit_wait(1);
    wire_asked();
    fail(WIRE_SEED_TWO);
    wire_asked();
    fail(WIRE_SEED);

    for (pause = 0; sent->cmd == NULL || pause == 0; pause++) {
        unit_wait(1);
        sent = wire_send(KEY_A);
    }

    tap_ok(pause >= 37 && pause <= 63, "%lu ms", (u_long) pause);
    tap_ok(unit_conn_to(WIRE_SEED, 0) == NULL
           && unit_conn_to(WIRE_SEED_TWO, 0) == NULL, "asked before");

    unit_wait(200);
    tap_is(sent->answers, 0, "answers, while a seed is asked");
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "after the pause");
    wire_end();
}


static void
test_slow_seed(void)
{
    wire_sent_t  *sent;

    tap_test("where no seed says anything its time is up");

    wire_begin();
    sent = wire_send(KEY_A);
    unit_wait(WIRE_TIMEOUT - 1);
    tap_is(sent->answers, 0, "answers");
    unit_wait(21);
    wire_is_error(sent, "in the end");
    tap_is(unit_opened, 1, "connections");
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    wire_end();
}


static void
test_full(void)
{
    ngx_uint_t    i, taken;
    wire_sent_t  *sent;

    tap_test("no more commands wait for the map than may");

    wire_begin();

    for (taken = 0, i = 0; i < NGX_REDIS_MAX_QUEUE; i++) {
        sent = wire_send(KEY_A);
        taken += (sent->cmd != NULL);
    }

    tap_is(taken, NGX_REDIS_MAX_QUEUE, "taken");
    sent = wire_send(KEY_A);
    tap_ok(sent->cmd == NULL, "one more");

    unit_wait(1);
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    sent = wire_send(KEY_B);
    tap_ok(sent->cmd != NULL, "when it is told");
    wire_ok(wire_conn(WIRE_B));

    while (unit_first(wire_conn(WIRE_A))) {
        wire_ok(wire_conn(WIRE_A));
    }

    tap_is(wire_answered, NGX_REDIS_MAX_QUEUE + 1, "answers");
    wire_end();
}


static void
test_hosts(void)
{
    wire_sent_t                *sent;

    static const wire_range_t   nameless[] = {
        { 0, 5460, NULL, 7001 },
        { 5461, 10922, "", 7002 },
        { 10923, 16383, "?", 7003 }
    };

    tap_test("a node without a name is where the seed was, at its own port");

    wire_begin();
    sent = wire_send(KEY_A);
    unit_wait(1);
    wire_map(wire_asked(), nameless, 3);
    wire_ok(wire_conn("seed-2:7001"));
    wire_is_ok(sent, "to the seed's host");
    tap_is(wire_number("seed-2", 7002), 1, "the second");
    tap_is(wire_number("seed-2", 7003), 2, "the third");

    tap_test("and then where the node was that was asked");

    unit_wait(12500);
    tap_ok(wire_asked() == unit_conn_to("seed-2:7001", 0), "a node is asked");
    wire_map(wire_asked(), nameless, 3);
    tap_is(wire_number("seed-2", 7003), 2, "the same");
    wire_end();
}


/* --- maps */

static void
test_malformed(void)
{
    ngx_uint_t    told;
    wire_sent_t  *sent;

    tap_test("if what is told is no map, what waits has failed");

    wire_begin();
    sent = wire_send(KEY_A);
    unit_wait(1);
    wire_map(wire_asked(), bad, 3);
    wire_is_error(sent, "the first");
    tap_ok(unit_told > 0, "not logged");
    tap_is(wire_number("e", 7000), NODES, "a node of what is no map");

    tap_test("the next time it is the next one who is asked");

    unit_wait(1000);
    tap_ok(wire_asked() == unit_conn_to(WIRE_SEED, 0), "the other seed");
    wire_map(wire_asked(), wire_three, WIRE_THREE);
    sent = wire_send(KEY_A);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "when it is told");

    tap_test("a map that was good holds if another one is not");

    told = unit_told;
    wire_doubt();
    wire_map(wire_asked(), bad, 3);
    tap_ok(unit_told > told, "not logged");
    tap_is(wire_number("b", 7000), 1, "a node of the map");
    tap_is(wire_number("e", 7000), NODES, "a node of what is no map");
    sent = wire_send(KEY_A);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "as the map says");
    wire_end();
}


/* Of n nodes, each of which has a slot; the last one has the rest. */

static const wire_range_t *
many(ngx_uint_t n, ngx_uint_t port)
{
    ngx_uint_t           i;

    static wire_range_t  ranges[NODES + 1];

    for (i = 0; i < n; i++) {
        ranges[i].first = i;
        ranges[i].last = (i == n - 1) ? 16383 : i;
        ranges[i].host = "m";
        ranges[i].port = port + i;
    }

    return ranges;
}


static void
test_too_many(void)
{
    ngx_uint_t    i;
    wire_sent_t  *sent;

    tap_test("64 primaries are known");

    wire_begin();
    sent = wire_send(KEY_C);
    unit_wait(1);
    wire_map(wire_asked(), many(NODES, 1000), NODES);

    for (i = 0; i < NODES; i++) {
        tap_is(wire_number("m", 1000 + i), i, "number");
    }

    wire_ok(wire_conn("m:1063"));
    wire_is_ok(sent, "to the last one");

    tap_test("MOVED to one more is an error");

    sent = wire_send(KEY_C);
    wire_error(wire_conn("m:1063"), "MOVED 12182 d:7000");
    wire_is_error(sent, "moved");
    wire_end();

    tap_test("65 are too many, which is no map");

    wire_begin();
    sent = wire_send(KEY_C);
    unit_wait(1);
    wire_map(wire_asked(), many(NODES + 1, 1000), NODES + 1);
    wire_is_error(sent, "the first");

    for (i = 0; i < NODES; i++) {
        tap_is(ngx_redis_has_node(wire_redis, i), 0, "a node");
    }

    wire_end();
}


/* --- memory */

static void
test_memory(void)
{
    char          key[2048];            /* more than what is kept has */
    ngx_uint_t    n;
    wire_sent_t  *sent;

    tap_test("without memory for a command it is not taken");

    ngx_memset(key, 'x', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';

    wire_begin_three();
    unit_fail_alloc(1);
    sent = wire_send(key);
    tap_ok(sent->cmd == NULL, "taken");

    tap_test("without memory for a node MOVED is an error, and so is ASK");

    for (n = 1; n <= 4; n++) {
        sent = wire_send(KEY_A);
        wire_conn(WIRE_A);
        unit_fail_alloc(n);
        wire_error(unit_conn_to(WIRE_A, 0), n & 1 ? "MOVED 866 d:7000"
                                                 : "ASK 866 d:7000");
        unit_fail_alloc(0);
        wire_is_error(sent, "without memory");
        tap_is(wire_number("d", 7000), NODES, "a node");
        (void) wire_pass(200);
    }

    tap_test("without memory for the nodes of a map it is none");

    for (n = 1; n <= 8; n++) {
        sent = wire_send(KEY_A);
        wire_error(wire_conn(WIRE_A), "CLUSTERDOWN ");
        unit_wait(200);
        wire_asked();
        unit_fail_alloc(n);
        wire_map(wire_asked(), many(3, 1000), 3);
        unit_fail_alloc(0);
        tap_is(wire_number("a", 7000), 0, "the map before holds");
        tap_is(wire_number("m", 1000), NODES, "a node");
        wire_ok(wire_conn(WIRE_A));
        wire_is_ok(sent, "afterwards");
    }

    wire_end();
}


static void
test_no_client(void)
{
    ngx_conf_t    cf;
    ngx_uint_t    n;
    ngx_redis_t  *redis;

    tap_test("without memory there is no client");

    for (n = 1; n < 10; n++) {
        cf.pool = ngx_create_pool(1024, ngx_cycle->log);
        unit_fail_alloc(n);
        redis = ngx_redis_create(&cf, &wire_conf);
        unit_fail_alloc(0);
        ngx_destroy_pool(cf.pool);

        if (redis) {
            break;
        }
    }

    tap_is(n, 5, "allocations that may fail, and one more");
}


/* --- connections, and links */

static void
fail(const char *name)
{
    ngx_redis_conn_fail(unit_conn_to(name, 0), NGX_REDIS_CLOSED, 0, "closed");
}
