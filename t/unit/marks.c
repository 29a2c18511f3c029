
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * usage: which last uses are kept in the zone.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "tap.h"
#include "shm.h"


#define START     1800000000        /* seconds */
#define INTERVAL  60


static void test_mark(void);
static void test_room(void);
static void test_off(void);


static ngx_pool_t               *pool;
static ngx_access_token_zone_t  *zone;


int
main(void)
{
    unit_init();

    pool = ngx_create_pool(0, NULL);

    test_mark();
    test_room();
    test_off();

    ngx_destroy_pool(pool);

    return tap_done();
}


static void
test_mark(void)
{
    uint32_t                  time;
    u_char                    id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_access_token_slot_t  *slot;

    tap_test("a token in the zone is marked once in an interval");

    zone = unit_zone(pool, 512 * 1024, 10000, 1000, INTERVAL);
    (void) unit_put(zone, 1, 1, 10);
    unit_mark(zone, 1, START);
    tap_is(unit_marks_of(zone, 1, &time), 1, "marks");
    tap_is(time, START, "time");

    unit_mark(zone, 1, START + INTERVAL - 1);
    tap_is(unit_marks_of(zone, 1, &time), 1, "marks");
    tap_is(time, START, "time, before the interval's end");

    unit_id(id, 1);
    slot = ngx_access_token_slots_find_locked(zone, id);
    tap_is(slot->used, START, "the record knows");

    ngx_memzero(zone->uses, zone->nuses * sizeof(zone->uses[0]));
    unit_mark(zone, 1, START + INTERVAL - 1);
    tap_is(unit_marks_of(zone, 1, &time), 0, "marks, after it was taken out");

    unit_mark(zone, 1, START + INTERVAL);
    tap_is(unit_marks_of(zone, 1, &time), 1, "marks");
    tap_is(time, START + INTERVAL, "time, at its end");
    tap_is(slot->used, START + INTERVAL, "the record knows");

    tap_test("one that is not in the zone has one mark, of its last use");

    unit_mark(zone, 2, START);
    unit_mark(zone, 2, START + 5);
    tap_is(unit_marks_of(zone, 2, &time), 1, "marks");
    tap_is(time, START + 5, "time");
    unit_mark(zone, 2, START + 3);
    tap_is(unit_marks_of(zone, 2, &time), 1, "marks");
    tap_is(time, START + 5, "an earlier one");

    tap_is(zone->counters->uses_lost, 0, "lost");
    unit_zone_free(zone);
}


static void
test_room(void)
{
    uint32_t    time;
    ngx_uint_t  n;

    tap_test("without room the one that was used the longest ago goes");

    zone = unit_zone(pool, 512 * 1024, 10000, 1000, INTERVAL);
    zone->nuses = 4;

    unit_mark(zone, 1, START + 10);
    unit_mark(zone, 2, START + 5);
    unit_mark(zone, 3, START + 20);
    unit_mark(zone, 4, START + 15);
    tap_is(unit_marks(zone), 4, "marks");
    tap_is(zone->counters->uses_lost, 0, "lost");

    unit_mark(zone, 5, START + 30);
    tap_is(unit_marks(zone), 4, "marks");
    tap_is(zone->counters->uses_lost, 1, "lost");
    tap_is(unit_marks_of(zone, 2, &time), 0, "the oldest");
    tap_is(unit_marks_of(zone, 5, &time), 1, "the new one");
    tap_is(time, START + 30, "time");
    tap_is(unit_marks_of(zone, 1, &time), 1, "another one");
    tap_is(unit_marks_of(zone, 3, &time), 1, "another one");
    tap_is(unit_marks_of(zone, 4, &time), 1, "another one");

    tap_test("there is room for as many as there are places");

    unit_zone_free(zone);
    zone = unit_zone(pool, 512 * 1024, 10000, 1000, INTERVAL);

    for (n = 0; n < 100000; n++) {
        unit_mark(zone, n, START + n);
    }

    tap_is(unit_marks(zone), zone->nuses, "marks");
    tap_is(unit_marks(zone) + zone->counters->uses_lost, 100000, "and lost");
    unit_zone_free(zone);
}


static void
test_off(void)
{
    tap_test("with no interval nothing is marked, and no lock taken");

    zone = unit_zone(pool, 512 * 1024, 10000, 1000, 0);
    unit_locks = 0;
    unit_mark(zone, 1, START);
    tap_is(unit_marks(zone), 0, "marks");
    tap_is(unit_locks, 0, "locks");
    unit_zone_free(zone);
}
