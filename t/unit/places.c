
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cache: each server has a place in the zone.  There are so many; if they are
 * taken, a new server gets that of one of which nothing was heard for long.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "tap.h"
#include "shm.h"


#define NOW     UNIT_NOW
#define PLACES  NGX_ACCESS_TOKEN_ORIGINS


static void test_claim(void);
static void test_full(void);
static void test_oldest(void);
static void test_new_ones(void);
static void test_lost(void);
static void test_lost_first(void);
static void lose_first(void);

static ngx_uint_t claim(uint64_t source, ngx_access_token_origin_t *origin);
static void claim_all(ngx_access_token_origin_t *origins, uint64_t source);
static void claimed_long_ago(void);
static ngx_access_token_server_t *server_of(
    const ngx_access_token_origin_t *origin);
static int64_t heard(const ngx_access_token_origin_t *origin);
static void hear(const ngx_access_token_origin_t *origin, int64_t until);

static void as(const ngx_access_token_origin_t *origin);
static ngx_int_t put(uint64_t n, uint64_t number);
static ngx_int_t put_absent(uint64_t n);
static ngx_int_t find(uint64_t n);
static void check(uint64_t n, uint64_t number);


static ngx_pool_t                *pool;
static ngx_access_token_zone_t   *zone;
static ngx_access_token_t        *found;
static ngx_access_token_origin_t  first, second;


int
main(void)
{
    unit_init();
    (void) alarm(120);

    pool = ngx_create_pool(0, NULL);

    test_claim();
    test_full();
    test_oldest();
    test_new_ones();
    test_lost();
    test_lost_first();

    ngx_destroy_pool(pool);

    return tap_done();
}


/* A zone with two servers. */

static void
begin(void)
{
    zone = unit_zone_small(pool);

    /* the same places in each run: two ids may share that for none */

    zone->header->seed = 2;

    first = unit_origin;
    claim(UNIT_SOURCE + 1, &second);
}


static void
end(void)
{
    unit_zone_end(zone, &pool);
}


static void
test_claim(void)
{
    ngx_access_token_zone_t    *other;
    ngx_access_token_origin_t   again, third;

    tap_test("a server has the same place for all, and another one another");

    begin();
    put(1, 1);
    put_absent(2);
    hear(&first, 5);
    other = unit_zone_share(pool, zone);

    tap_is(first.n, 0, "the first has the first cache line");
    tap_is(second.n, 1, "the second");
    tap_is(first.source, UNIT_SOURCE, "source");

    tap_is(claim(UNIT_SOURCE, &again), 0, "it is not new");
    tap_is(again.n, first.n, "place");
    tap_is(again.source, UNIT_SOURCE, "source");
    tap_is(ngx_access_token_cache_claim(other, UNIT_SOURCE, &again), 0,
           "nor for another worker");
    tap_is(again.n, first.n, "place");

    tap_is(claim(UNIT_SOURCE + 2, &third), 1, "a new one");
    tap_is(third.n, 2, "place");
    tap_is(claim(UNIT_SOURCE + 1, &again), 0, "not the last that came");
    tap_is(again.n, second.n, "place");
    tap_is(zone->header->epoch, 3, "epochs");

    tap_test("who claims it again finds what is there");

    zone = other;
    as(&again);
    tap_is(find(1), NGX_AGAIN, "of the second");
    as(&first);
    check(1, 1);
    tap_is(find(2), NGX_DECLINED, "none");
    tap_is(heard(&first), 5, "heard");
    tap_ok(ngx_memcmp(ngx_access_token_cache_edge(zone), zone->header->edge,
                      NGX_ACCESS_TOKEN_EDGE_LEN) == 0, "edge");
    end();

    tap_test("the first server of a zone is none that came beside others");

    begin();
    server_of(&first)->source = 0;
    server_of(&second)->source = 0;
    tap_is(claim(UNIT_SOURCE, &first), 0, "the first");
    tap_is(claim(UNIT_SOURCE + 1, &second), 1, "the second");
    end();
}


static void
test_full(void)
{
    ngx_uint_t                 i;
    ngx_access_token_origin_t  origins[PLACES], again;

    tap_test("as many servers have a place as there are places");

    begin();
    claim_all(origins, UNIT_SOURCE);

    for (i = 0; i < PLACES; i++) {
        tap_is(origins[i].n, i, "place");
        as(&origins[i]);
        tap_is(put(i, i), NGX_OK, "put");
    }

    for (i = 0; i < PLACES; i++) {
        as(&origins[i]);
        check(i, i);
        tap_is(find((i + 1) % PLACES), NGX_AGAIN, "the next one's");

        tap_is(claim(origins[i].source, &again), 0, "claimed again");
        tap_is(again.n, i, "place");
    }

    end();
}


static void
test_oldest(void)
{
    int64_t                    now;
    uint64_t                   n;
    ngx_uint_t                 i, goes;
    ngx_access_token_origin_t  origins[PLACES], new;

    tap_test("if there is no place, who was heard of the longest ago goes");

    begin();
    claim_all(origins, UNIT_SOURCE);
    now = ngx_access_token_clock() + 1000000000;

    /* 7 and the number of places have no divisor */

    for (i = 0; i < PLACES; i++) {
        goes = i * 7 % PLACES;
        hear(&origins[goes], now + i * 1000000);
    }

    for (i = 0; i < PLACES; i++) {
        goes = i * 7 % PLACES;

        as(&origins[goes]);
        tap_is(put(1, 1), NGX_OK, "before it goes");
        check(1, 1);

        tap_is(claim(1000 + i, &new), 1, "a new one");
        tap_is(new.n, goes, "place");
        tap_is(find(1), NGX_AGAIN, "after it has gone");
        tap_is(put(1, 1), NGX_DECLINED, "after it has gone");

        as(&new);
        tap_is(find(1), NGX_AGAIN, "by the new one");
        tap_is(heard(&new), 0, "heard of the new one");
        tap_is(put(1, 2), NGX_OK, "by the new one");
        hear(&new, now + 1000000000 + i);
    }

    tap_test("one of which nobody has heard goes by when it was claimed");

    for (i = 0; i < PLACES; i++) {
        zone->header->servers[i].claimed = 1000 + i * 7 % PLACES;
        zone->header->servers[i].heard = 0;
    }

    claim(5000, &new);
    tap_is(new.n, 0, "place");

    zone->header->servers[0].claimed = 100000;

    for (n = 1, i = 0; i < PLACES; i++) {
        n = (i * 7 % PLACES == 1) ? i : n;
    }

    claim(5001, &new);
    tap_is(new.n, n, "place");
    end();
}


static void
test_new_ones(void)
{
    ngx_uint_t                 i, k;
    ngx_access_token_origin_t  old[PLACES], origins[PLACES];

    tap_test("who was just claimed does not go for the next one");

    begin();
    claim_all(old, UNIT_SOURCE);
    claimed_long_ago();

    /* and this one is old, but was heard of now */

    hear(&old[5], ngx_access_token_clock() + 1000000000);

    for (i = 0; i < PLACES - 1; i++) {
        tap_is(claim(1000 + i, &origins[i]), 1, "a new one");

        for (k = 0; k < i; k++) {
            tap_ok(origins[k].n != origins[i].n, "%lu took the place of %lu",
                   (u_long) i, (u_long) k);
        }

        tap_ok(origins[i].n != old[5].n, "%lu took that of one heard of now",
               (u_long) i);
    }

    for (i = 0; i < PLACES - 1; i++) {
        as(&origins[i]);
        tap_is(put(i, i), NGX_OK, "put");
        check(i, i);
    }

    as(&old[5]);
    tap_is(put(1, 1), NGX_OK, "put");
    end();
}


static void
test_lost(void)
{
    u_char                      id[NGX_ACCESS_TOKEN_ID_LEN];
    uint32_t                    epoch;
    unit_made_t                 made;
    ngx_access_token_stamp_t    stamp, stamp_now;
    ngx_access_token_origin_t   origins[PLACES], new, again;

    tap_test("who has lost its place finds, puts, hears and voids nothing");

    begin();
    unit_id(id, 3);
    unit_make(&made, 3, 10);
    as(&first);
    put(1, 1);
    put_absent(2);
    hear(&first, 5);
    ngx_access_token_cache_stamp(zone, &first, id, &stamp);

    claim_all(origins, UNIT_SOURCE);
    server_of(&first)->claimed = 1;
    claim(5000, &new);
    tap_is(new.n, first.n, "place");

    as(&new);
    tap_is(put(10, 10), NGX_OK, "put");
    hear(&new, 1000);
    epoch = server_of(&new)->epoch;

    as(&first);
    tap_is(find(1), NGX_AGAIN, "a record");
    tap_is(find(2), NGX_AGAIN, "that there is none");
    tap_is(find(10), NGX_AGAIN, "a record of the new one");
    tap_is(ngx_access_token_cache_current(zone, &first, id, &stamp), 0,
           "what was read before");
    tap_is(ngx_access_token_cache_put(zone, &first, id, &stamp, NOW, &made.t),
           NGX_DECLINED, "put");
    tap_is(put(3, 3), NGX_DECLINED, "put");
    tap_is(put_absent(3), NGX_DECLINED, "put");
    tap_is(heard(&first), 0, "heard");
    hear(&first, 2000);
    ngx_access_token_cache_flush(zone, &first, NGX_ACCESS_TOKEN_LINK);

    ngx_access_token_cache_stamp(zone, &first, id, &stamp_now);
    tap_is(ngx_access_token_cache_put(zone, &new, id, &stamp_now, NOW,
                                      &made.t),
           NGX_DECLINED, "what is read now is of nobody");

    as(&new);
    tap_is(server_of(&new)->epoch, epoch, "epoch of the new one");
    tap_is(heard(&new), 1000, "heard of the new one");
    check(10, 10);
    tap_is(find(1), NGX_AGAIN, "a record of the old one");

    tap_test("when it comes back to its place all of that is void");

    server_of(&new)->claimed = 1;
    server_of(&new)->heard = 0;
    tap_is(claim(UNIT_SOURCE, &again), 1, "it is a new one");
    tap_is(again.n, first.n, "place");

    as(&again);
    tap_is(find(1), NGX_AGAIN, "a record");
    tap_is(find(2), NGX_AGAIN, "that there is none");
    tap_is(find(10), NGX_AGAIN, "a record of the other one");
    tap_is(heard(&again), 0, "heard");
    tap_is(ngx_access_token_cache_put(zone, &again, id, &stamp, NOW, &made.t),
           NGX_DECLINED, "what was read before");
    tap_is(put(1, 7), NGX_OK, "put");
    check(1, 7);
    end();
}


static void
test_lost_first(void)
{
    u_char                     id[NGX_ACCESS_TOKEN_ID_LEN];
    unit_made_t                made;
    ngx_access_token_stamp_t   stamp;
    ngx_access_token_origin_t  origins[PLACES];

    tap_test("who loses its place just before it puts, puts nothing");

    begin();
    unit_id(id, 3);
    unit_make(&made, 3, 10);
    claim_all(origins, UNIT_SOURCE);
    server_of(&first)->claimed = 1;

    ngx_access_token_cache_stamp(zone, &first, id, &stamp);
    unit_before_lock = lose_first;
    tap_is(ngx_access_token_cache_put(zone, &first, id, &stamp, NOW, &made.t),
           NGX_DECLINED, "put");
    tap_is(zone->header->entries, 0, "entries");

    tap_test("another server that comes is no reason to put nothing");

    as(&second);
    ngx_access_token_cache_stamp(zone, &second, id, &stamp);
    unit_before_lock = lose_first;
    tap_is(ngx_access_token_cache_put(zone, &second, id, &stamp, NOW, &made.t),
           NGX_OK, "put");
    check(3, 3);
    end();
}


static void
lose_first(void)
{
    ngx_access_token_origin_t  new;

    static uint64_t            source = 7000;

    claim(source++, &new);
    tap_is(new.n, first.n, "place");
    server_of(&new)->claimed = 1;
}


/* --- servers */

static ngx_uint_t
claim(uint64_t source, ngx_access_token_origin_t *origin)
{
    return ngx_access_token_cache_claim(zone, source, origin);
}


/* Those from source on; begin() has claimed two of them. */

static void
claim_all(ngx_access_token_origin_t *origins, uint64_t source)
{
    ngx_uint_t  i;

    for (i = 0; i < PLACES; i++) {
        claim(source + i, &origins[i]);
    }
}


static void
claimed_long_ago(void)
{
    ngx_uint_t  i;

    for (i = 0; i < PLACES; i++) {
        zone->header->servers[i].claimed = 1;
    }
}


static ngx_access_token_server_t *
server_of(const ngx_access_token_origin_t *origin)
{
    return &zone->header->servers[origin->n];
}


static int64_t
heard(const ngx_access_token_origin_t *origin)
{
    return ngx_access_token_cache_heard(zone, origin);
}


static void
hear(const ngx_access_token_origin_t *origin, int64_t until)
{
    ngx_access_token_cache_hear(zone, origin, until);
}


/* --- the cache, with ids and records made of numbers */

static void
as(const ngx_access_token_origin_t *origin)
{
    unit_origin = *origin;
}


static ngx_int_t
put(uint64_t n, uint64_t number)
{
    return unit_put(zone, n, number, 10);
}


static ngx_int_t
put_absent(uint64_t n)
{
    return unit_put_absent(zone, n);
}


static ngx_int_t
find(uint64_t n)
{
    return unit_find(zone, n, NOW + 1, pool, &found);
}


static void
check(uint64_t n, uint64_t number)
{
    unit_check(zone, n, number, 10, NOW + 1, pool);
}
