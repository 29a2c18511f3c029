
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * primary: which Sentinel is believed, and who is told.  The test is the
 * Sentinels, and has the clock.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "sentinels.h"


static void test_fresh(void);
static void test_moved(void);
static void test_second_opinion(void);
static void test_doubt(void);
static void test_not_back(void);
static void test_stuck(void);
static void test_forget(void);
static void test_exit(void);


int
main(void)
{
    unit_init();
    srandom(1);

    test_fresh();
    test_moved();
    test_second_opinion();
    test_doubt();
    test_not_back();
    test_stuck();
    test_forget();
    test_exit();

    return tap_done();
}


static void
test_fresh(void)
{
    tap_test("an answer of the last second will do, but not twice for one");

    create(2);
    knows("a");

    ngx_current_msec += 999;
    waits(&link_place);
    is_told(&link_place, "a");

    waits(&link_place);
    tap_is(link_place.waits, 1, "it waits");
    connected();
    says("a", "6379");
    is_told(&link_place, "a");

    ngx_current_msec += 1000;
    waits(&place);
    tap_is(place.waits, 1, "it waits");
}


static void
test_moved(void)
{
    tap_test("an answer for one is an answer for the other");

    create(2);
    knows("a");
    link_conn.opening = 0;

    ngx_current_msec += 1000;
    waits(&place);
    connected();
    says("b", "6379");
    is_told(&place, "b");
    tap_is(unit_left, 0, "one that is closed is not left");

    link_conn.ready = 1;
    ngx_current_msec += 1000;
    waits(&place);
    connected();
    says("c", "6379");
    tap_is(unit_left, 1, "one that is there is");
}


static void
test_second_opinion(void)
{
    ngx_msec_t  after;

    tap_test("in a check it takes two to leave what serves well");

    create(3);
    knows("a");
    commands.opening = 0;
    commands.ready = 1;

    after = unit_run_timer();
    tap_ok(after > 7000 && after < 13000, "%lu ms", (u_long) after);
    connected();
    says("b", "6379");
    tap_is(unit_left, 0, "not yet");
    subscribed();

    after = unit_run_timer();
    tap_ok(after > 700 && after < 1500, "%lu ms", (u_long) after);
    connected();
    says("a", "6379");
    subscribed();
    unit_run_timer();
    connected();
    says("b", "6379");
    tap_is(unit_left, 0, "nor after the second one has said otherwise");
    subscribed();

    unit_run_timer();
    connected();
    says("b", "6379");
    tap_is(unit_left, 2, "but when two agree");

    tap_test("where there is but one Sentinel it is believed");

    create(1);
    knows("a");
    commands.ready = 1;
    unit_run_timer();
    connected();
    says("b", "6379");
    tap_is(unit_left, 2, "left");
}


static void
test_doubt(void)
{
    ngx_msec_t        after;
    static ngx_str_t  replicas = ngx_string("NOREPLICAS Not enough");
    static ngx_str_t  other = ngx_string("NOREPLICASX ");

    tap_test("a primary without replicas is a reason to ask, and to go");

    create(3);
    knows("a");
    commands.opening = 0;
    commands.ready = 1;
    ngx_current_msec += 2000;

    ngx_redis_primary_refused(primary, &other);
    ngx_redis_primary_refused(primary, &replicas);
    ngx_redis_primary_refused(primary, &replicas);
    after = unit_run_timer();
    tap_ok(after < 300, "%lu ms", (u_long) after);
    connected();
    says("b", "6379");
    tap_is(unit_left, 2, "left");
    subscribed();

    tap_test("but no more than once a second");

    ngx_redis_primary_refused(primary, &replicas);
    after = unit_run_timer();
    tap_ok(after >= 1000 && after < 1300, "%lu ms", (u_long) after);
}


static void
test_not_back(void)
{
    tap_test("it takes two to go back, whoever waits");

    create(3);
    knows("a");
    tells("mymaster a 6379 b 6379");
    unit_left = 0;
    ngx_current_msec += 1000;

    waits(&place);
    connected();
    says("a", "6379");
    tap_is(place.waits, 1, "it waits");
    subscribed();

    tap_is(unit_run_timer(), 1, "for the next one, at once");
    connected();
    says("b", "6379");
    is_told(&place, "b");
    subscribed();

    ngx_current_msec += 1000;
    waits(&place);
    connected();
    says("a", "6379");
    unit_run_timer();
    connected();
    says("a", "6379");
    is_told(&place, "a");
}


/* The second one is wrong, and says so each time. */

static void
test_stuck(void)
{
    ngx_uint_t  i;

    tap_test("two that contradict each other keep nobody where nothing is");

    create(2);
    knows("a");
    tells("mymaster a 6379 b 6379");
    commands.opening = 0;

    for (i = 0; i < 2; i++) {
        ngx_current_msec += 1000;
        waits(&place);
        connected();
        says("a", "6379");

        if (place.waits) {
            subscribed();
            unit_run_timer();
            connected();
            says("b", "6379");
            is_told(&place, "b");
        }
    }

    is_told(&place, "a");
}


static void
test_forget(void)
{
    tap_test("one that is gone is not told");

    create(2);
    waits(&place);
    waits(&link_place);
    connected();
    ngx_redis_primary_forget(&place);
    says("a", "6379");
    tap_ok(unit_found == &link_place, "the other one is");
    tap_is(place.naddrs + place.host.len, 0, "it is not");

    moves = 0;
    subscribed();
    tells("mymaster a 6379 b 6379");
    tap_is(moves, 1, "and of a move hears the other one");

    tap_test("nor is one whose connection was closed meanwhile");

    create(2);
    waits(&place);
    connected();
    commands.opening = 0;
    says("a", "6379");
    tap_ok(unit_found == NULL, "it is not");
}


static void
test_exit(void)
{
    tap_test("a worker that quits asks nobody, and uses what it knows");

    create(2);
    knows("a");
    ngx_current_msec += 5000;
    ngx_exiting = 1;
    waits(&place);
    is_told(&place, "a");
    ngx_redis_primary_doubt(primary);
    unit_run_timer();
    ngx_redis_conn_fail(unit_conn, NGX_REDIS_SHUTDOWN, 0, "exit");
    unit_run_timer();
    tap_ok(unit_timer() == NULL, "no timer");
    ngx_exiting = 0;

    tap_test("and who waits then is told that too, or fails, a moment later");

    create(2);
    knows("a");
    ngx_current_msec += 5000;
    waits(&place);
    connected();
    ngx_exiting = 1;
    ngx_redis_conn_fail(unit_conn, NGX_REDIS_SHUTDOWN, 0, "exit");
    tap_ok(place.waits, "told while nginx closes connections");
    tap_ok(unit_timer() && !unit_timer()->cancelable, "nobody stays for it");
    unit_run_timer();
    is_told(&place, "a");
    tap_is(losses, 0, "failed");
    ngx_exiting = 0;

    create(2);
    waits(&place);
    connected();
    ngx_exiting = 1;
    ngx_redis_conn_fail(unit_conn, NGX_REDIS_SHUTDOWN, 0, "exit");
    tap_is(losses, 0, "failed at once");
    unit_run_timer();
    tap_is(losses, 1, "failed");
    ngx_exiting = 0;
}
