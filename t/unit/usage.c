
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * usage: when last uses are told to Redis, and how.  What is sent is caught
 * here; a test answers it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "tap.h"
#include "shm.h"


#define START     1800000000        /* seconds */
#define INTERVAL  60
#define TICK      1000              /* ms */
#define WORKERS   2
#define SENT      16384
#define BATCH     64


typedef struct {
    char              tag[NGX_ACCESS_TOKEN_TAG_LEN + 1];
    char              id[NGX_ACCESS_TOKEN_ID_LEN + 1];
    uint32_t          time;
} told_t;


static void test_when(void);
static void test_2038(void);
static void test_batches(void);
static void test_error(void);
static void test_give_back(void);
static void test_two_workers(void);
static void other_tick(void);
static void test_end(void);
static void test_memory(void);

static void begin(time_t usage);
static void finish(void);
static void begin_size(time_t usage, size_t size);
static void tick(ngx_uint_t worker);
static void answer(ngx_int_t rc);
static ngx_uint_t told(uint64_t n, uint32_t time);
static ngx_uint_t tell_all(void);
static void check_command(const ngx_str_t *key, const ngx_str_t *argv,
    ngx_uint_t argc);


static ngx_pool_t                *pool;
static ngx_cycle_t                cycle;
static ngx_log_t                  log_;
static ngx_access_token_zone_t   *zone;
static ngx_access_token_store_t   stores[WORKERS];
static ngx_event_t               *timers[WORKERS];
static ngx_uint_t                 ntimers;

static told_t                     sent[SENT];
static ngx_uint_t                 nsent, ncommands, refuse;
static ngx_redis_handler_pt       handler;      /* of a command on the way */
static void                      *handler_data;
static ngx_str_t                  argv0;

volatile ngx_msec_t               ngx_current_msec;
ngx_rbtree_t                      ngx_event_timer_rbtree;
ngx_uint_t                        ngx_exiting;
sig_atomic_t                      ngx_terminate;


int
main(void)
{
    unit_init();
    (void) alarm(120);

    ngx_cycle = &cycle;
    cycle.log = &log_;

    test_when();
    test_2038();
    test_batches();
    test_error();
    test_give_back();
    test_two_workers();
    test_end();
    test_memory();

    return tap_done();
}


static void
test_when(void)
{
    ngx_uint_t  i, round;
    time_t      last;

    tap_test("what was used is told after an interval, or a sixth more");

    begin(INTERVAL);
    last = START;

    for (round = 0; round < 50; round++) {
        unit_mark(zone, round, START + round);

        for (i = 0; i < 2 * INTERVAL && ncommands == 0; i++) {
            tick(0);

            if (ncommands == 0) {
                unit_time.sec++;
            }
        }

        tap_is(ncommands, 1, "commands");
        tap_ok(unit_time.sec - last >= INTERVAL
               && unit_time.sec - last <= INTERVAL + INTERVAL / 6,
               "after %ld seconds", (long) (unit_time.sec - last));
        last = unit_time.sec;

        answer(NGX_OK);
        tap_is(told(round, START + round), 1, "told");
        tap_is(unit_marks(zone), 0, "marks");
        ncommands = 0;
        nsent = 0;
    }

    tap_test("if nothing was used nothing is told");

    for (i = 0; i < 5 * INTERVAL; i++) {
        unit_time.sec++;
        tick(0);
    }

    tap_is(ncommands, 0, "commands");
    finish();
}


static void
test_2038(void)
{
    ngx_uint_t  i;

    tap_test("time goes on when 31 bits do not hold it");

    begin(INTERVAL);
    unit_time.sec = 0x7fffffff - 30;
    tick(0);
    unit_mark(zone, 1, unit_time.sec);

    for (i = 0; i < 2 * INTERVAL; i++) {
        unit_time.sec++;
        tick(0);
    }

    tap_is(ncommands, 1, "commands");
    tap_is(told(1, 0x7fffffff - 30), 1, "told");
    answer(NGX_OK);

    unit_mark(zone, 1, unit_time.sec);

    for (i = 0; i < 2 * INTERVAL; i++) {
        unit_time.sec++;
        tick(0);
    }

    tap_is(ncommands, 2, "commands");
    finish();
}


static void
test_batches(void)
{
    uint64_t    n;
    ngx_uint_t  i, missed, commands;

    tap_test("each one is told once, in commands of one tag");

    begin(INTERVAL);

    for (n = 0; n < 300; n++) {
        unit_mark(zone, n, START + n);
    }

    missed = zone->counters->uses_lost;
    commands = tell_all();

    tap_is(nsent, 300 - missed, "told");
    tap_is(unit_marks(zone), 0, "marks left");
    tap_is(zone->counters->uses, nsent, "counted");

    for (n = 0; n < 300; n++) {
        missed -= (told(n, START + n) == 0);
        tap_ok(told(n, START + n) <= 1, "told twice");
    }

    tap_is(missed, 0, "not told, and not lost");
    tap_ok(commands >= 5 && commands <= 30, "%lu commands",
           (u_long) commands);

    tap_test("the whole zone is told");

    finish();
    begin_size(INTERVAL, 4 * 1024 * 1024);
    tap_ok(zone->nuses > 4096, "one lock would do");

    for (n = 0; n < 200000; n++) {
        unit_mark(zone, n, START);
    }

    nsent = 0;
    n = unit_marks(zone);
    (void) tell_all();
    tap_is(nsent, n, "told");
    tap_is(unit_marks(zone), 0, "marks left");
    tap_is(nsent, zone->nuses, "all places");

    tap_test("one that is alone behind many empty places is told");

    for (n = 0; n < 10000 && unit_marks(zone) == 0; n++) {
        unit_mark(zone, n, START);

        for (i = 0; i < 4096; i++) {
            zone->uses[i].time = 0;
        }
    }

    nsent = 0;
    (void) tell_all();
    tap_is(nsent, 1, "told");
    tap_is(unit_marks(zone), 0, "marks left");
    finish();
}


static void
test_error(void)
{
    uint64_t    n, told_id;
    uint32_t    time;
    ngx_uint_t  i;

    tap_test("what Redis does not take goes back, and is told later");

    begin(INTERVAL);
    tick(0);

    for (n = 0; n < 20; n++) {
        unit_mark(zone, n, START + n);
    }

    unit_time.sec += 2 * INTERVAL;
    tick(0);
    tap_is(ncommands, 1, "commands");
    tap_is(unit_marks(zone), 0, "taken out");
    answer(NGX_ERROR);
    tap_is(ncommands, 1, "no other follows");
    tap_is(unit_marks(zone), 20, "given back");
    tap_is(zone->counters->uses, 0, "counted");

    for (n = 0; n < 20; n++) {
        tap_is(unit_marks_of(zone, n, &time), 1, "marks");
        tap_is(time, START + n, "time");
    }

    for (i = 0; i < 10; i++) {
        tick(0);
    }

    tap_is(ncommands, 1, "not at once");

    tap_test("what cannot be sent goes back too");

    refuse = 1;
    unit_time.sec += 2 * INTERVAL;
    tick(0);
    tap_is(ncommands, 1, "commands");
    tap_is(unit_marks(zone), 20, "given back");

    refuse = 0;
    nsent = 0;
    (void) tell_all();
    tap_is(nsent, 20, "told later");
    tap_is(zone->counters->uses, 20, "counted");

    tap_test("after an error in the middle no more than the rest goes back");

    for (n = 0; n < 20; n++) {
        unit_mark(zone, n, START + 1000 + n);
    }

    nsent = 0;
    unit_time.sec += 2 * INTERVAL;
    tick(0);
    i = nsent;
    answer(NGX_OK);
    answer(NGX_ERROR);
    tap_is(unit_marks(zone), 20 - i, "given back");

    for (n = 0; n < i; n++) {
        told_id = strtoul(sent[n].id + 4, NULL, 10);
        tap_is(unit_marks_of(zone, told_id, &time), 0, "one that was told");
    }

    finish();
}


static void
test_give_back(void)
{
    uint32_t  time;

    tap_test("one that was used again meanwhile keeps its later use");

    begin(INTERVAL);
    tick(0);
    unit_mark(zone, 1, START);
    unit_time.sec += 2 * INTERVAL;
    tick(0);
    unit_mark(zone, 1, START + 100);
    answer(NGX_ERROR);
    tap_is(unit_marks(zone), 1, "marks");
    tap_is(unit_marks_of(zone, 1, &time), 1, "marks");
    tap_is(time, START + 100, "time");

    tap_test("one that was used after it was told is told again");

    nsent = 0;
    unit_time.sec += 2 * INTERVAL;
    tick(0);
    unit_mark(zone, 1, START + 300);
    answer(NGX_OK);
    tap_is(told(1, START + 100), 1, "told");
    tap_is(unit_marks(zone), 1, "marks");
    finish();
}


static void
test_two_workers(void)
{
    uint64_t    n;
    ngx_uint_t  i, by[WORKERS], first;

    tap_test("one worker tells what all have marked");

    begin(INTERVAL);
    by[0] = 0;
    by[1] = 0;

    for (n = 0; n < 40; n++) {
        ngx_access_token_zone_t  *z = stores[n % 2].zone;
        u_char                    id[NGX_ACCESS_TOKEN_ID_LEN];

        unit_id(id, n * 5);
        ngx_access_token_usage_mark(z, id, START);
    }

    for (i = 0; i < 2 * INTERVAL; i++) {
        unit_time.sec++;

        first = i % 2;
        n = ncommands;
        tick(first);
        by[first] += ncommands - n;

        n = ncommands;
        tick(1 - first);
        by[1 - first] += ncommands - n;
    }

    tap_is(by[0] + by[1], 1, "commands");
    tap_is(nsent, 40, "told");
    tap_is(unit_marks(zone), 0, "marks");

    tap_test("while its command is on the way it begins no other one");

    unit_mark(zone, 1, START);
    n = by[0] ? 0 : 1;
    unit_time.sec += 2 * INTERVAL;
    tick(n);
    tap_is(ncommands, 1, "commands");
    answer(NGX_OK);
    tap_is(unit_marks(zone), 1, "what was marked meanwhile waits");
    tick(n);
    tap_is(ncommands, 2, "commands");
    tap_is(unit_marks(zone), 0, "until the next time");
    answer(NGX_OK);

    tap_test("if two find that it is time, one of them tells");

    unit_mark(zone, 1, START + 500);
    unit_mark(zone, 2, START + 500);
    ncommands = 0;
    unit_time.sec += 2 * INTERVAL;
    unit_before_lock = other_tick;
    tick(0);
    tap_is(ncommands, 1, "commands");
    tap_is(unit_marks(zone), 1, "marks");

    finish();
}


static void
other_tick(void)
{
    tick(1);
    unit_mark(zone, 3, START + 500);
}


static void
test_end(void)
{
    ngx_pool_cleanup_t  *cln;

    tap_test("a worker that ends begins nothing");

    begin(INTERVAL);
    tick(0);
    unit_mark(zone, 1, START);
    unit_time.sec += 2 * INTERVAL;

    tap_ok(timers[0]->cancelable, "its timer keeps it alive");
    tap_ok(timers[0]->timer_set, "the timer is not set");

    ngx_exiting = 1;
    tick(0);
    ngx_exiting = 0;
    tap_is(ncommands, 0, "commands");
    tap_is(timers[0]->timer_set, 0, "the timer is set again");
    tap_is(unit_marks(zone), 1, "marks");

    tick(1);
    tap_is(ncommands, 1, "another one tells it");

    tap_test("the timer goes with the worker");

    tap_is(timers[1]->timer_set, 1, "before");

    for (cln = pool->cleanup; cln; cln = cln->next) {
        if (cln->handler) {
            cln->handler(cln->data);
        }
    }

    tap_is(timers[1]->timer_set, 0, "after");
    finish();
}


static void
test_memory(void)
{
    ngx_uint_t  n;

    tap_test("without memory a worker does not begin");

    begin(INTERVAL);

    for (n = 1; n < 3; n++) {
        unit_fail_alloc(n);
        tap_is(ngx_access_token_usage_start(&stores[0]), NGX_ERROR, "start");
        unit_fail_alloc(0);
    }

    finish();
}


/* --- a zone, and two workers */

static void
begin(time_t usage)
{
    begin_size(usage, 512 * 1024);
}


static void
finish(void)
{
    unit_zone_free(zone);
    ngx_destroy_pool(pool);
}


static void
begin_size(time_t usage, size_t size)
{
    ngx_uint_t  i;

    pool = ngx_create_pool(0, NULL);
    cycle.pool = pool;

    ntimers = 0;
    nsent = 0;
    ncommands = 0;
    refuse = 0;
    handler = NULL;
    unit_time.sec = START;

    zone = unit_zone(pool, size, 10000, 1000, usage);

    for (i = 0; i < WORKERS; i++) {
        ngx_memzero(&stores[i], sizeof(stores[i]));
        ngx_str_set(&stores[i].key_prefix, "at:");
        stores[i].zone = i ? unit_zone_share(pool, zone) : zone;

        if (usage) {
            tap_is(ngx_access_token_usage_start(&stores[i]), NGX_OK, "start");
        }
    }

    if (usage) {
        tick(0);
        tap_is(timers[0]->timer.key - ngx_current_msec, TICK, "tick");
    }
}


static void
tick(ngx_uint_t worker)
{
    ngx_event_t  *ev;

    ev = timers[worker];
    ev->timer_set = 0;
    ev->handler(ev);
}


static void
answer(ngx_int_t rc)
{
    ngx_redis_handler_pt  h;

    h = handler;
    handler = NULL;

    if (h) {
        h(handler_data, rc, NULL);
    } else {
        tap_ok(0, "there is no command");
    }
}


static ngx_uint_t
told(uint64_t n, uint32_t time)
{
    char        id[64];
    ngx_uint_t  i, found;

    unit_id((u_char *) id, n);
    id[NGX_ACCESS_TOKEN_ID_LEN] = '\0';

    for (found = 0, i = 0; i < nsent; i++) {
        found += (strcmp(sent[i].id, id) == 0 && sent[i].time == time);
    }

    return found;
}


/* Until nothing is on the way; how many commands that took. */

static ngx_uint_t
tell_all(void)
{
    ngx_uint_t  before;

    before = ncommands;
    unit_time.sec += 2 * INTERVAL;
    tick(0);

    while (handler) {
        answer(NGX_OK);
    }

    return ncommands - before;
}


/* --- the wire, and nginx */

ngx_redis_command_t *
ngx_redis_send(ngx_redis_t *redis, const ngx_str_t *key,
    const ngx_str_t *argv, ngx_uint_t argc, ngx_redis_handler_pt h, void *data)
{
    if (refuse) {
        return NULL;
    }

    tap_ok(handler == NULL, "two commands on the way");
    check_command(key, argv, argc);

    ncommands++;
    handler = h;
    handler_data = data;

    return (ngx_redis_command_t *) &argv0;
}


static void
check_command(const ngx_str_t *key, const ngx_str_t *argv, ngx_uint_t argc)
{
    told_t      *t;
    char         expected[64];
    ngx_uint_t   i;

    tap_ok(argc >= 6 && argc % 2 == 0 && argc <= 4 + 2 * BATCH,
           "%lu arguments", (u_long) argc);
    tap_is_str(&argv[0], "ZADD", 4, "command");
    tap_is_str(&argv[2], "XX", 2, "only one that is there");
    tap_is_str(&argv[3], "GT", 2, "only a later one");

    (void) snprintf(expected, sizeof(expected), "at:u:{%.4s}",
                    (char *) argv[5].data);
    tap_is_str(&argv[1], expected, strlen(expected), "key");
    tap_is_str(key, expected, strlen(expected), "key");

    for (i = 4; i < argc && nsent < SENT; i += 2) {
        t = &sent[nsent++];
        tap_is(argv[i + 1].len, NGX_ACCESS_TOKEN_ID_LEN, "id");
        ngx_memcpy(t->id, argv[i + 1].data, NGX_ACCESS_TOKEN_ID_LEN);
        ngx_memcpy(t->tag, t->id, NGX_ACCESS_TOKEN_TAG_LEN);
        t->time = strtoul((char *) argv[i].data, NULL, 10);

        tap_ok(ngx_memcmp(t->tag, argv[5].data, NGX_ACCESS_TOKEN_TAG_LEN) == 0,
               "another tag: %s", t->id);
    }
}


u_char * ngx_cdecl
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    va_list     args;
    size_t      len;
    u_char     *p;
    ngx_str_t  *s;

    va_start(args, fmt);

    if (strcmp(fmt, "%uD") == 0) {
        p = buf + sprintf((char *) buf, "%u", va_arg(args, unsigned));

    } else if (strcmp(fmt, "%Vu:{%*s}") == 0) {
        s = va_arg(args, ngx_str_t *);
        len = va_arg(args, size_t);
        p = buf + sprintf((char *) buf, "%.*su:{%.*s}", (int) s->len,
                          (char *) s->data, (int) len,
                          va_arg(args, char *));
    } else {
        abort();
    }

    va_end(args);

    return p;
}


void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    ngx_uint_t    i;
    ngx_event_t  *ev;

    ev = ngx_rbtree_data(node, ngx_event_t, timer);

    for (i = 0; i < ntimers; i++) {
        if (timers[i] == ev) {
            return;
        }
    }

    if (ntimers < WORKERS) {
        timers[ntimers++] = ev;
    }
}


void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
}
