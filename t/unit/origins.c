
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cache: servers share a zone, and each has a place in it.  What one of them
 * has is not found where another one was to be asked.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "tap.h"
#include "shm.h"


#define NOW     UNIT_NOW
#define PLACES  NGX_ACCESS_TOKEN_ORIGINS


static void test_apart(void);
static void test_same_id(void);
static void test_flush(void);
static void test_nobody(void);
static void test_crash(void);
static void test_epochs(void);
static void test_hear(void);

static ngx_uint_t claim(uint64_t source, ngx_access_token_origin_t *origin);
static ngx_access_token_server_t *server_of(
    const ngx_access_token_origin_t *origin);
static int64_t heard(const ngx_access_token_origin_t *origin);
static void hear(const ngx_access_token_origin_t *origin, int64_t until);

static void as(const ngx_access_token_origin_t *origin);
static ngx_int_t put(uint64_t n, uint64_t number);
static ngx_int_t put_absent(uint64_t n);
static ngx_int_t find(uint64_t n);
static void check(uint64_t n, uint64_t number);
static void crash(void);


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

    test_apart();
    test_same_id();
    test_flush();
    test_nobody();
    test_crash();
    test_epochs();
    test_hear();

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
test_apart(void)
{
    uint64_t  n;

    tap_test("what one server has is not found where another one is asked");

    begin();
    as(&first);

    for (n = 1; n < 20; n++) {
        tap_is(put(n, n), NGX_OK, "put");
        tap_is(put_absent(n + 100), NGX_OK, "put");
    }

    as(&second);

    for (n = 1; n < 20; n++) {
        tap_is(find(n), NGX_AGAIN, "a record");
        tap_is(find(n + 100), NGX_AGAIN, "that there is none");
        tap_is(put(n + 20, n + 20), NGX_OK, "put");
    }

    as(&first);

    for (n = 1; n < 20; n++) {
        check(n, n);
        tap_is(find(n + 100), NGX_DECLINED, "that there is none");
        tap_is(find(n + 20), NGX_AGAIN, "the other's");
    }

    end();
}


/* As when a slot migrates, or the same id is in two of them. */

static void
test_same_id(void)
{
    u_char                     id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t                   n;
    unit_made_t                made;
    ngx_access_token_stamp_t   stamp;

    tap_test("two servers take turns at an id: who put it last finds it");

    begin();

    for (n = 0; n < 50; n += 2) {
        as(&first);
        tap_is(put(1, n), NGX_OK, "put");
        check(1, n);
        as(&second);
        tap_is(find(1), NGX_AGAIN, "the other's");
        tap_is(put(1, n + 1), NGX_OK, "put");
        check(1, n + 1);
        as(&first);
        tap_is(find(1), NGX_AGAIN, "the other's");
    }

    tap_is(zone->header->entries, 1, "entries");

    tap_test("the same if one of them has none");

    as(&first);
    tap_is(put_absent(1), NGX_OK, "put");
    tap_is(find(1), NGX_DECLINED, "none");
    as(&second);
    tap_is(find(1), NGX_AGAIN, "the other's");
    put(1, 3);
    check(1, 3);
    put_absent(1);
    as(&first);
    tap_is(find(1), NGX_AGAIN, "the other's");
    put(1, 4);
    check(1, 4);

    tap_test("what was read from one is not put as the other's");

    unit_id(id, 5);
    unit_make(&made, 5, 10);
    ngx_access_token_cache_stamp(zone, &first, id, &stamp);
    tap_is(ngx_access_token_cache_current(zone, &first, id, &stamp), 1,
           "its own");
    tap_is(ngx_access_token_cache_current(zone, &second, id, &stamp), 0,
           "the other's");
    tap_is(ngx_access_token_cache_put(zone, &second, id, &stamp, NOW, &made.t),
           NGX_DECLINED, "put");
    tap_is(ngx_access_token_cache_put(zone, &first, id, &stamp, NOW, &made.t),
           NGX_OK, "put");

    tap_test("a change is one of the id, whoever tells of it");

    as(&second);
    tap_is(put(6, 6), NGX_OK, "put");
    unit_id(id, 6);
    ngx_access_token_cache_stamp(zone, &first, id, &stamp);
    ngx_access_token_cache_forget(zone, id);
    tap_is(find(6), NGX_AGAIN, "found");
    tap_is(ngx_access_token_cache_current(zone, &first, id, &stamp), 0,
           "current");
    end();
}


static void
test_flush(void)
{
    u_char                     id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t                   n;
    ngx_access_token_stamp_t   one, other;

    tap_test("a flush of one server leaves what the others have");

    begin();
    unit_id(id, 1000);

    for (n = 1; n < 20; n++) {
        as(&first);
        put(n, n);
        put_absent(n + 100);
        as(&second);
        put(n + 20, n);
        put_absent(n + 120);
    }

    ngx_access_token_cache_stamp(zone, &first, id, &one);
    ngx_access_token_cache_stamp(zone, &second, id, &other);
    ngx_access_token_cache_flush(zone, &first, NGX_ACCESS_TOKEN_LINK);

    tap_is(ngx_access_token_cache_current(zone, &first, id, &one), 0,
           "what was read of it");
    tap_is(ngx_access_token_cache_current(zone, &second, id, &other), 1,
           "what was read of the other");

    for (n = 1; n < 20; n++) {
        as(&first);
        tap_is(find(n), NGX_AGAIN, "a record");
        tap_is(find(n + 100), NGX_AGAIN, "that there is none");
        as(&second);
        check(n + 20, n);
        tap_is(find(n + 120), NGX_DECLINED, "that there is none");
    }

    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_LINK], 1, "counted");
    end();
}


static void
test_nobody(void)
{
    ngx_uint_t                 crashed;
    u_char                     id[NGX_ACCESS_TOKEN_ID_LEN];
    unit_made_t                made;
    ngx_access_token_stamp_t   stamp;
    ngx_access_token_origin_t  nobody;

    tap_test("of nobody nothing is found, and nothing put");

    begin();
    hear(&first, 5);

    /* a crash gives an epoch to all places, those of nobody too */

    for (crashed = 0; crashed < 2; crashed++) {

        if (crashed) {
            crash();
        }

        as(&first);
        put(1, 1);
        put_absent(2);

        for (nobody.n = 0; nobody.n < PLACES; nobody.n++) {
            nobody.source = 0;
            as(&nobody);

            tap_is(find(1), NGX_AGAIN, "a record");
            tap_is(find(2), NGX_AGAIN, "none");
            tap_is(put(3, 3), NGX_DECLINED, "put");
            tap_is(put_absent(3), NGX_DECLINED, "put");
            hear(&nobody, 6);
            tap_is(heard(&nobody), 0, "heard");
            ngx_access_token_cache_flush(zone, &nobody, NGX_ACCESS_TOKEN_LINK);
        }

        as(&first);
        check(1, 1);
    }

    tap_is(zone->counters->refusals, 0, "refusals");
    tap_is(heard(&first), 5, "heard of the first");

    tap_test("what was read of nobody is not put by whoever comes");

    unit_id(id, 3);
    unit_make(&made, 3, 10);
    nobody.n = 2;
    ngx_access_token_cache_stamp(zone, &nobody, id, &stamp);
    tap_is(ngx_access_token_cache_put(zone, &first, id, &stamp, NOW, &made.t),
           NGX_DECLINED, "put");
    end();
}


static void
test_crash(void)
{
    uint32_t    epochs[2];
    ngx_uint_t  i, k;

    tap_test("after a crash each server keeps its place, and has nothing");

    begin();
    as(&first);
    put(1, 1);
    put_absent(2);
    as(&second);
    put(3, 3);
    put_absent(4);
    hear(&second, 5);
    epochs[0] = server_of(&first)->epoch;
    epochs[1] = server_of(&second)->epoch;

    crash();

    tap_ok(server_of(&first)->epoch > epochs[1], "epoch of the first");
    tap_ok(server_of(&second)->epoch > epochs[1], "epoch of the second");
    tap_ok(epochs[0] != epochs[1], "epochs before");

    for (i = 0; i < PLACES; i++) {
        for (k = 0; k < i; k++) {
            tap_ok(zone->header->servers[i].epoch
                   != zone->header->servers[k].epoch, "two share an epoch");
        }
    }

    for (i = 1; i <= 4; i++) {
        as(&first);
        tap_is(find(i), NGX_AGAIN, "found of the first");
        as(&second);
        tap_is(find(i), NGX_AGAIN, "found of the second");
    }

    tap_is(heard(&second), 5, "heard");
    as(&first);
    tap_is(put(1, 2), NGX_OK, "put");
    check(1, 2);
    as(&second);
    tap_is(find(1), NGX_AGAIN, "the other's");
    tap_is(put(3, 4), NGX_OK, "put");
    check(3, 4);
    end();
}


static void
test_epochs(void)
{
    ngx_uint_t  i;

    tap_test("when epochs begin anew there is none that means nobody");

    begin();
    zone->header->epoch = 0xfffffffd;

    for (i = 0; i < 5; i++) {
        ngx_access_token_cache_flush(zone, i & 1 ? &first : &second,
                                     NGX_ACCESS_TOKEN_FLUSH);
        as(i & 1 ? &first : &second);
        tap_ok(server_of(&unit_origin)->epoch != 0, "an epoch is 0");
        tap_is(put(i, i), NGX_OK, "put");
        check(i, i);
        tap_is(put_absent(i + 10), NGX_OK, "put");
        tap_is(find(i + 10), NGX_DECLINED, "none");
    }

    tap_is(zone->header->epoch, 3, "the last epoch");
    end();
}


static void
test_hear(void)
{
    tap_test("until when all is heard only grows");

    begin();
    tap_is(heard(&first), 0, "nobody has said so");
    hear(&first, 1000);
    tap_is(heard(&first), 1000, "said");
    hear(&first, 999);
    tap_is(heard(&first), 1000, "less");
    hear(&first, 1001);
    tap_is(heard(&first), 1001, "more");
    ngx_access_token_cache_flush(zone, &first, NGX_ACCESS_TOKEN_LINK);
    tap_is(heard(&first), 1001, "after a flush");

    tap_test("what is heard of one server says nothing of another one");

    tap_is(heard(&second), 0, "the other");
    hear(&second, 50);
    tap_is(heard(&second), 50, "the other");
    tap_is(heard(&first), 1001, "the one");
    end();
}


/* --- servers */

static ngx_uint_t
claim(uint64_t source, ngx_access_token_origin_t *origin)
{
    return ngx_access_token_cache_claim(zone, source, origin);
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


/* As if one had died with the lock. */

static void
crash(void)
{
    zone->header->busy = 1;

    ngx_access_token_zone_lock(zone);
    ngx_access_token_zone_unlock(zone);

    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH], 1, "crashes");
}
