
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * client, and when it sends nothing: in the pause after a failure, and when
 * too many commands wait; and what it counts.  The clocks are the test's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "unit.h"


#define NOW     1000000
#define ROUNDS  200
#define NEVER   100000


static void test_no_pause(void);
static void test_growth(void);
static void test_jitter(void);
static void test_answer(void);
static void test_connection(void);
static void test_overflow(void);
static void test_too_many(void);
static void test_prepared(void);
static void test_memory(void);
static void test_count(void);
static void test_latency(void);
static void test_server(void);

static void create(void);
static ngx_uint_t sends(void);
static ngx_uint_t sends_text(const ngx_str_t *text);
static ngx_msec_t pause_after_failure(void);
static void count_answer(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);


static const ngx_redis_reply_t  good = {
    NGX_REDIS_STATUS, ngx_string("OK"), 0, 0, NULL
};

static const ngx_redis_reply_t  error = {
    NGX_REDIS_ERROR, ngx_string("ERR"), 0, 0, NULL
};

static ngx_redis_t  *redis;
static ngx_uint_t    answers;
static ngx_uint_t    failures;


int
main(void)
{
    unit_init();
    srandom(1);

    test_no_pause();
    test_growth();
    test_jitter();
    test_answer();
    test_connection();
    test_overflow();
    test_too_many();
    test_prepared();
    test_memory();
    test_count();
    test_latency();
    test_server();

    return tap_done();
}


static void
test_no_pause(void)
{
    ngx_uint_t  i;

    tap_test("where nothing has failed a command is taken");

    create();

    for (i = 0; i < 10; i++) {
        tap_is(sends(), 1, "send");
    }

    tap_is(answers, 0, "answered from inside the call");

    tap_test("a failure fails each that waits, once, and begins a pause");

    unit_fail_conn();

    tap_is(answers, 10, "answers");
    tap_is(failures, 10, "failures");
    tap_is(sends(), 0, "send");
    tap_is(answers, 10, "answers of those that were not taken");

    tap_test("the pause ends when the server is elsewhere");

    unit_conn->moved(unit_conn);
    tap_is(sends(), 1, "send");
}


/* Nominal, with a quarter more or less. */

static void
test_growth(void)
{
    ngx_msec_t  pause;
    ngx_uint_t  i, n;

    static const ngx_msec_t  nominal[] = {
        50, 100, 200, 400, 750, 750, 750, 750
    };

    tap_test("pauses double, and stay under a second");

    for (n = 0; n < ROUNDS; n++) {
        create();

        for (i = 0; i < sizeof(nominal) / sizeof(nominal[0]); i++) {
            pause = pause_after_failure();

            tap_ok(pause >= nominal[i] * 3 / 4 && pause <= nominal[i] * 5 / 4,
                   "pause %lu is of %lu ms", (u_long) i, (u_long) pause);
            tap_ok(pause < 1000, "%lu ms", (u_long) pause);
        }
    }
}


static void
test_jitter(void)
{
    ngx_msec_t  pause, min, max;
    ngx_uint_t  i, k, n;

    tap_test("no crowd comes back at once: pauses are spread");

    for (n = 1; n <= 5; n++) {
        min = NEVER;
        max = 0;
        pause = 0;

        for (i = 0; i < ROUNDS; i++) {
            create();

            for (k = 0; k < n; k++) {
                pause = pause_after_failure();
            }

            min = ngx_min(min, pause);
            max = ngx_max(max, pause);
        }

        tap_ok(max * 10 > min * 15, "pause %lu is of %lu to %lu ms",
               (u_long) n, (u_long) min, (u_long) max);
    }
}


static void
test_answer(void)
{
    ngx_uint_t                i, n;
    const ngx_redis_reply_t  *replies[] = { &good, &error };

    tap_test("whatever Redis answers, the next pause is the first again");

    for (n = 0; n < 2; n++) {
        create();

        for (i = 0; i < 6; i++) {
            pause_after_failure();
        }

        unit_answer(replies[n]);

        tap_ok(pause_after_failure() < 75, "after %s", n ? "error" : "OK");
    }
}


static void
test_connection(void)
{
    tap_test("a connection that is there, or comes to be, ends the pause");

    create();
    sends();
    unit_fail_conn();

    tap_is(sends(), 0, "without");

    unit_conn->opening = 1;
    tap_is(sends(), 1, "opening");

    unit_conn->opening = 0;
    unit_conn->ready = 1;
    tap_is(sends(), 1, "ready");

    unit_conn->ready = 0;
    tap_is(sends(), 0, "without it again");
}


static void
test_overflow(void)
{
    ngx_msec_t  pause;

    tap_test("a pause ends where the clock begins anew");

    create();
    ngx_current_msec = (ngx_msec_t) -20;

    pause = pause_after_failure();

    tap_ok(pause > 20 && pause < 75, "%lu ms", (u_long) pause);
    tap_ok(ngx_current_msec < 75, "the clock");
}


static void
test_too_many(void)
{
    ngx_uint_t  i, taken;

    tap_test("no more commands wait than may");

    create();
    unit_conn->ready = 1;
    unit_told = 0;
    taken = 0;

    for (i = 0; i < NGX_REDIS_MAX_QUEUE; i++) {
        taken += sends();
    }

    tap_is(taken, NGX_REDIS_MAX_QUEUE, "taken");
    tap_is(unit_told, 0, "logged");

    tap_is(sends(), 0, "one more");
    tap_is(unit_told, 1, "logged");

    unit_answer(&good);
    tap_is(sends(), 1, "when one is answered");
    tap_is(sends(), 0, "and one more");

    unit_fail_conn();
    tap_is(answers, NGX_REDIS_MAX_QUEUE + 1, "answers");
    tap_is(failures, NGX_REDIS_MAX_QUEUE, "failures");
}


static void
test_prepared(void)
{
    size_t                len, n;
    u_char                sent[128];
    ngx_conf_t            cf;
    ngx_uint_t            argc;
    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;
    ngx_redis_prepared_t  prepared;

    ngx_str_t  argv[] = {
        ngx_string("HMGET"), ngx_string("a key"), ngx_string("h"),
        ngx_string("p"), ngx_string("of thirteen b")
    };

    tap_test("a prepared command has the bytes of one that is not");

    create();
    cf.pool = ngx_create_pool(1024, ngx_cycle->log);

    for (argc = 2; argc <= 5; argc++) {
        tap_is(ngx_redis_prepare(cf.pool, argv, argc, &prepared), NGX_OK,
               "prepare");

        ngx_redis_send(redis, &argv[1], argv, argc, count_answer, NULL);

        q = ngx_queue_head(&unit_conn->waiting);
        cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
        len = cmd->last - cmd->pos;
        ngx_memcpy(sent, cmd->pos, len);
        unit_answer(&good);

        for (n = 0; n < 2; n++) {
            tap_ok(ngx_redis_send_prepared(redis, &prepared, &argv[1],
                                           count_answer, NULL)
                   != NULL, "sent");

            q = ngx_queue_head(&unit_conn->waiting);
            cmd = ngx_queue_data(q, ngx_redis_command_t, queue);

            tap_is(cmd->last - cmd->pos, len, "bytes");
            tap_ok(ngx_memcmp(sent, cmd->pos, len) == 0, "other bytes");
            unit_answer(&good);
        }
    }

    tap_is(answers, 12, "answers");

    unit_fail_alloc(1);
    tap_is(ngx_redis_prepare(cf.pool, argv, 5, &prepared), NGX_ERROR,
           "without memory");

    ngx_destroy_pool(cf.pool);
}


/* What is kept of those that are done is of one size; others are bigger. */

static void
test_memory(void)
{
    u_char      bytes[4096];
    size_t      len;
    ngx_str_t   text;
    ngx_uint_t  i, n;

    tap_test("a command of any size finds room, and its bytes are its own");

    create();
    ngx_memset(bytes, 'x', sizeof(bytes));
    text.data = bytes;

    for (n = 0; n < 3; n++) {

        for (len = 0; len <= sizeof(bytes); len += 64) {
            text.len = len;
            tap_is(sends_text(&text), 1, "send");
        }

        for (i = 0; i <= sizeof(bytes) / 64; i++) {
            len = unit_answer(&good);
            tap_is(len, i * 64 + 1, "bytes");
        }
    }

    tap_is(failures, 0, "failures");
}


static void
test_count(void)
{
    ngx_redis_stats_t  stats;

    tap_test("each command is counted when it is done, and if it failed");

    create();
    sends();
    unit_answer(&good);

    ngx_memzero(&stats, sizeof(ngx_redis_stats_t));
    ngx_redis_count(redis, &stats);

    sends();
    sends();
    sends();
    tap_is(stats.commands, 0, "commands in flight");

    unit_answer(&good);
    tap_is(stats.commands, 1, "commands");
    tap_is(stats.errors, 0, "errors");

    unit_answer(&error);
    tap_is(stats.commands, 2, "commands");
    tap_is(stats.errors, 1, "errors");

    unit_fail_conn();
    tap_is(stats.commands, 3, "commands");
    tap_is(stats.errors, 2, "errors");

    ngx_redis_count(redis, NULL);
    ngx_current_msec += NEVER;
    tap_is(sends(), 1, "send");
    unit_answer(&good);
    tap_is(stats.commands, 3, "commands after the end of it");
}


static void
test_latency(void)
{
    ngx_uint_t         i, n;
    ngx_redis_stats_t  stats;

    static const struct {
        ngx_uint_t     took;        /* microseconds */
        ngx_uint_t     i;
    } times[] = {
        { 0, 0 }, { 1, 0 }, { 100, 0 }, { 101, 1 }, { 250, 1 }, { 251, 2 },
        { 1000, 3 }, { 50000, 8 }, { 999999, 12 }, { 1000000, 12 },
        { 1000001, 13 }, { 60000000, 13 }
    };

    tap_test("a latency is counted once, below its bound");

    for (n = 0; n < sizeof(times) / sizeof(times[0]); n++) {
        create();
        ngx_memzero(&stats, sizeof(ngx_redis_stats_t));
        ngx_redis_count(redis, &stats);

        sends();
        unit_conn->now += times[n].took;
        unit_answer(n & 1 ? &error : &good);

        for (i = 0; i < NGX_REDIS_LATENCIES; i++) {
            tap_ok(stats.latency[i] == (i == times[n].i), "%lu us: %lu of %lu",
                   (u_long) times[n].took, (u_long) stats.latency[i],
                   (u_long) i);
        }

        tap_is(stats.latency_sum, times[n].took, "sum");
    }

    tap_test("a command without a reply has no latency");

    sends();
    unit_conn->now += 1000;
    unit_fail_conn();
    tap_is(stats.commands, 2, "commands");
    tap_is(stats.latency_sum, times[n - 1].took, "sum");
}


static void
test_server(void)
{
    tap_test("the server is known while the connection is ready");

    create();
    tap_is(ngx_redis_connection(redis), 0, "connections");

    ngx_str_set(&unit_conn->server, "id");
    unit_conn->opening = 1;
    tap_is(ngx_redis_server(redis, 0)->len, 0, "while it opens");

    unit_conn->opening = 0;
    unit_conn->ready = 1;
    tap_is(ngx_redis_server(redis, 0)->len, 2, "ready");
}


static void
create(void)
{
    static ngx_conf_t        cf;
    static ngx_array_t       addresses;
    static ngx_redis_conf_t  conf;

    if (cf.pool) {
        unit_fail_conn();
        ngx_destroy_pool(cf.pool);
    }

    conf.addresses = &addresses;
    cf.pool = ngx_create_pool(1024, ngx_cycle->log);
    redis = ngx_redis_create(&cf, &conf);

    tap_ok(redis != NULL, "a client");

    ngx_current_msec = NOW;
    answers = 0;
    failures = 0;
}


/* Whether a command is taken. */

static ngx_uint_t
sends(void)
{
    ngx_str_t  ping = ngx_string("PING");

    return sends_text(&ping);
}


static ngx_uint_t
sends_text(const ngx_str_t *text)
{
    return ngx_redis_send(redis, NULL, text, 1, count_answer, NULL) != NULL;
}


/* How long no command is taken; the first one that is waits afterwards. */

static ngx_msec_t
pause_after_failure(void)
{
    ngx_msec_t  pause;

    unit_fail_conn();

    for (pause = 0; !sends() && pause < NEVER; pause++) {
        ngx_current_msec++;
    }

    return pause;
}


static void
count_answer(void *data, ngx_int_t rc, const ngx_redis_reply_t *reply)
{
    answers++;
    failures += (rc == NGX_ERROR && reply == NULL);
}
