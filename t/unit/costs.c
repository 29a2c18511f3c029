
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cache: which record goes when there is no room, and what a look-up costs.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "tap.h"
#include "shm.h"


#define NOW      UNIT_NOW
#define MAX_AGE  10000          /* ms */


static void test_flood(void);
static void test_newest(void);
static void test_lock(void);
static void test_memory(void);
static void test_bounds(void);
static void test_chain(void);

static ngx_int_t put(uint64_t n, uint64_t number, size_t len);
static ngx_int_t put_absent(uint64_t n);
static ngx_int_t find_at(uint64_t n, int64_t now);
static ngx_int_t find(uint64_t n);
static void check(uint64_t n, uint64_t number, size_t len);
static void forget(uint64_t n);


static ngx_pool_t               *pool;
static ngx_access_token_zone_t  *zone;
static ngx_access_token_t       *found;


int
main(void)
{
    unit_init();
    (void) alarm(120);

    pool = ngx_create_pool(0, NULL);

    test_flood();
    test_newest();
    test_lock();
    test_memory();
    test_bounds();
    test_chain();

    ngx_destroy_pool(pool);

    return tap_done();
}


static void
begin(void)
{
    zone = unit_zone_small(pool);
}


static void
end(void)
{
    unit_zone_end(zone, &pool);
}


static void
test_flood(void)
{
    uint64_t                        n;
    ngx_uint_t                      before;
    ngx_access_token_zone_usage_t   usage;

    tap_test("a flood of ids that do not exist pushes out no record");

    begin();

    for (n = 0; n < 100; n++) {
        put(n, n, unit_made_len(n));
    }

    for (before = 0, n = 0; n < 100; n++) {
        before += (find(n) == NGX_OK);
    }

    for (n = 1000; n < 1001000; n++) {
        put_absent(n);
    }

    tap_is(find(1000999), NGX_DECLINED, "the last of them");

    for (n = 0; n < 100; n++) {
        check(n, n, unit_made_len(n));
    }

    ngx_access_token_zone_usage(zone, &usage);
    tap_is(before, 100, "before");
    tap_is(usage.entries, 100, "entries");
    tap_is(zone->counters->evictions, 0, "evictions");
    end();
}


static void
test_newest(void)
{
    uint64_t                  n;
    u_char                    id[NGX_ACCESS_TOKEN_ID_LEN];
    uint32_t                  moves;
    ngx_access_token_slot_t  *slot;

    tap_test("one that is used again and again stays, one that is not goes");

    begin();
    put(1, 1, 10);
    put(2, 2, 10);

    for (n = 10; n < 10 + 4 * zone->nslots; n++) {
        put(n, n, 10);

        if (n % 50 == 0) {
            check(1, 1, 10);
        }
    }

    check(1, 1, 10);
    tap_is(find(2), NGX_AGAIN, "not used");
    check(10 + 3 * zone->nslots + 2, 10 + 3 * zone->nslots + 2, 10);
    tap_is(find(10 + 3 * zone->nslots - 1), NGX_AGAIN, "an older one");
    end();

    tap_test("one of the newest is not moved, an older one is");

    begin();
    put(1, 1, 10);
    unit_id(id, 1);
    slot = ngx_access_token_slots_find_locked(zone, id);

    for (n = 0; n < zone->nslots / NGX_ACCESS_TOKEN_NEWEST; n++) {
        put(n + 10, n, 10);
        moves = zone->header->moves;
        find(1);
        tap_is(zone->header->moves, moves, "moves");
        tap_ok(zone->header->newest != slot - zone->slots, "moved");
    }

    put(n + 10, n, 10);
    moves = zone->header->moves;
    find(1);
    tap_is(zone->header->moves, moves + 1, "moves");
    tap_ok(zone->header->newest == slot - zone->slots, "not moved");
    end();

    tap_test("what is void, too old or absent is not moved");

    begin();
    put(1, 1, 10);

    for (n = 0; n < zone->nslots / 2; n++) {
        put(n + 10, n, 10);
    }

    moves = zone->header->moves;
    find_at(1, NOW + MAX_AGE * 1000);
    tap_is(zone->header->moves, moves, "too old");
    ngx_access_token_cache_flush(zone, &unit_origin, NGX_ACCESS_TOKEN_FLUSH);
    find(1);
    tap_is(zone->header->moves, moves, "void");
    end();
}


static void
test_lock(void)
{
    u_char                      id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t                    n;
    ngx_uint_t                  locks;
    ngx_access_token_absent_t  *absent;
    ngx_access_token_bucket_t  *bucket;

    begin();
    put(1, 1, 400);
    put_absent(2);

    tap_test("a look-up takes no lock");

    locks = unit_locks;
    check(1, 1, 400);
    tap_is(find(2), NGX_DECLINED, "none");
    tap_is(find(3), NGX_AGAIN, "neither");
    tap_is(unit_locks, locks, "locks");

    tap_test("to make it the newest it takes one, if nobody else has it");

    for (n = 10; n < 100; n++) {
        put(n, n, 10);
    }

    ngx_access_token_zone_lock(zone);
    locks = unit_locks;
    check(1, 1, 400);
    tap_is(unit_locks, locks, "locks");
    tap_is(ngx_access_token_zone_trylock(zone), 0, "trylock");
    ngx_access_token_zone_unlock(zone);

    check(1, 1, 400);
    tap_is(unit_locks, locks + 1, "locks");
    check(1, 1, 400);
    tap_is(unit_locks, locks + 1, "locks");

    tap_test("what is being changed is read with the lock, and not believed");

    unit_id(id, 1);
    bucket = ngx_access_token_bucket(zone,
                                     ngx_access_token_zone_hash(zone, id));
    locks = unit_locks;
    ngx_access_token_begin(&bucket->seq);
    tap_is(find(1), NGX_AGAIN, "a record");
    tap_is(unit_locks, locks + 1, "locks");
    ngx_access_token_end(&bucket->seq);
    check(1, 1, 400);

    unit_id(id, 2);
    absent = ngx_access_token_absent(zone,
                                     ngx_access_token_zone_hash(zone, id));
    ngx_access_token_begin(&absent->seq);
    tap_is(find(2), NGX_AGAIN, "none");
    ngx_access_token_end(&absent->seq);
    tap_is(find(2), NGX_DECLINED, "none");
    end();
}


static void
test_memory(void)
{
    begin();
    put(1, 1, 400);
    put_absent(2);

    tap_test("without memory a record that is there is not called absent");

    unit_fail_alloc(1);
    tap_is(find(1), NGX_ERROR, "found");
    unit_fail_alloc(0);
    check(1, 1, 400);

    tap_test("one allocation is all it takes");

    unit_fail_alloc(2);
    tap_is(find(1), NGX_OK, "found");
    tap_ok(ngx_palloc(pool, 1) == NULL, "another number of allocations");

    tap_test("what is not found takes no memory");

    unit_fail_alloc(1);
    tap_is(find(2), NGX_DECLINED, "none");
    tap_is(find(3), NGX_AGAIN, "neither");
    tap_is(find_at(1, NOW + MAX_AGE * 1000), NGX_AGAIN, "too old");
    tap_ok(ngx_palloc(pool, 1) == NULL, "some was taken");
    unit_fail_alloc(0);
    end();
}


/* As one may find it who reads while a slot is given to another record. */

static void
test_bounds(void)
{
    u_char                    id[NGX_ACCESS_TOKEN_ID_LEN];
    uint16_t                  name;
    uint32_t                  more, next, last;
    ngx_access_token_slot_t  *slot;

    tap_test("what leads out of the zone, or has no end, is not followed");

    begin();
    zone->nbuckets = 1;
    put(1, 1, NGX_ACCESS_TOKEN_TEXT_MAX);
    put(2, 2, NGX_ACCESS_TOKEN_TEXT_MAX);

    unit_id(id, 2);
    slot = ngx_access_token_slots_find_locked(zone, id);
    more = slot->more;
    next = slot->next;
    name = slot->name;

    slot->more = 0x7fffffff;
    tap_is(find(2), NGX_AGAIN, "more text");
    slot->more = 0;
    tap_is(find(2), NGX_AGAIN, "no more text");
    slot->more = more;

    last = zone->slots[more].more;
    zone->slots[more].more = more;
    slot->name = 0xffff;
    tap_is(find(2), NGX_AGAIN, "a length");
    slot->name = name;
    zone->slots[more].more = last;

    slot->next = 0x7fffffff;
    tap_is(find(1), NGX_AGAIN, "the next in the chain");
    slot->next = slot - zone->slots;
    tap_is(find(1), NGX_AGAIN, "a chain without an end");
    slot->next = next;

    check(1, 1, NGX_ACCESS_TOKEN_TEXT_MAX);
    check(2, 2, NGX_ACCESS_TOKEN_TEXT_MAX);
    end();
}


/* Seldom, since there are as many buckets as records, or more. */

static void
test_chain(void)
{
    uint64_t    n;
    ngx_uint_t  i;

    tap_test("in a chain that is too long the last are not found, no other is");

    begin();
    zone->nbuckets = 1;

    for (n = 0; n < 70; n++) {
        put(n, n, 10);
    }

    for (n = 0; n < 6; n++) {
        tap_is(find(n), NGX_AGAIN, "behind the end");
    }

    for ( /* void */ ; n < 70; n++) {
        check(n, n, 10);
    }

    tap_test("they can be put again, and forgotten");

    for (i = 0; i < 200; i++) {
        n = unit_random(70);
        put(n, n, 20);
        check(n, n, 20);
        n = unit_random(70);
        forget(n);
        tap_is(find(n), NGX_AGAIN, "forgotten");
    }

    end();
}


/* --- the cache, with ids and records made of numbers */

static ngx_int_t
put(uint64_t n, uint64_t number, size_t len)
{
    return unit_put(zone, n, number, len);
}


static ngx_int_t
put_absent(uint64_t n)
{
    return unit_put_absent(zone, n);
}


static ngx_int_t
find_at(uint64_t n, int64_t now)
{
    return unit_find(zone, n, now, pool, &found);
}


static ngx_int_t
find(uint64_t n)
{
    return find_at(n, NOW + 1);
}


static void
check(uint64_t n, uint64_t number, size_t len)
{
    unit_check(zone, n, number, len, NOW + 1, pool);
}


static void
forget(uint64_t n)
{
    u_char  id[NGX_ACCESS_TOKEN_ID_LEN];

    unit_id(id, n);
    ngx_access_token_cache_forget(zone, id);
}
