
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cache: what is put is found as it was, until it is void, too old, or gone.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "tap.h"
#include "shm.h"


#define NOW      UNIT_NOW
#define MAX_AGE  10000          /* ms */
#define NEGATIVE 1000


static void test_found(void);
static void test_found_again(void);
static void test_generation(void);
static void forget_first(void);
static void flush_first(void);
static void test_epoch(void);
static void test_age(void);
static void test_absent(void);

static ngx_int_t put(uint64_t n, uint64_t number, size_t len);
static ngx_int_t put_absent(uint64_t n);
static ngx_int_t find_at(uint64_t n, int64_t now);
static ngx_int_t find(uint64_t n);
static void check(uint64_t n, uint64_t number, size_t len);
static void forget(uint64_t n);
static void read_stamp(const u_char *id, ngx_access_token_stamp_t *stamp);
static ngx_uint_t current(const u_char *id,
    const ngx_access_token_stamp_t *stamp);
static ngx_int_t put_read(const u_char *id,
    const ngx_access_token_stamp_t *stamp, const ngx_access_token_t *t);
static uint32_t bucket_of(uint64_t n);


static ngx_pool_t               *pool;
static ngx_access_token_zone_t  *zone;
static ngx_access_token_t       *found;


int
main(void)
{
    unit_init();
    (void) alarm(120);

    pool = ngx_create_pool(0, NULL);

    test_found();
    test_found_again();
    test_generation();
    test_epoch();
    test_age();
    test_absent();

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
test_found(void)
{
    size_t    len;
    uint64_t  n;

    tap_test("what is put is found, with texts of any length");

    begin();

    for (len = 0; len <= NGX_ACCESS_TOKEN_TEXT_MAX; len++) {
        tap_is(find(len), NGX_AGAIN, "before");
        tap_is(put(len, len + 7, len), NGX_OK, "put");
        check(len, len + 7, len);
    }

    end();

    tap_test("what is found is a copy");

    begin();
    put(1, 1, NGX_ACCESS_TOKEN_TEXT_MAX);
    put(2, 1, 10);
    find(1);
    ngx_memset(found->name.data, 0, found->name.len);
    ngx_memset(found->owner.organization.data, 0,
               found->owner.organization.len);
    check(1, 1, NGX_ACCESS_TOKEN_TEXT_MAX);
    find(2);
    ngx_memset(found->name.data, 0, found->name.len);
    ngx_memset(found->technical_user.data, 0, found->technical_user.len);
    check(2, 1, 10);
    end();

    tap_test("among many others each one is found");

    zone = unit_zone(pool, 4 * 1024 * 1024, MAX_AGE, NEGATIVE, 60);

    for (n = 0; n < 4000; n++) {
        put(n, n, unit_made_len(n));
    }

    for (n = 0; n < 4000; n++) {
        check(n, n, unit_made_len(n));
    }

    for (n = 4000; n < 8000; n++) {
        tap_is(find(n), NGX_AGAIN, "one that was not put");
    }

    tap_is(zone->counters->evictions, 0, "evictions");
    end();
}


static void
test_found_again(void)
{
    u_char                          id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_access_token_slot_t        *slot;
    ngx_access_token_zone_usage_t   usage;

    tap_test("what is put again takes the place of what was there");

    begin();
    put(1, 1, 500);
    put(1, 2, 20);
    check(1, 2, 20);
    put(1, 3, 400);
    check(1, 3, 400);

    ngx_access_token_zone_usage(zone, &usage);
    tap_is(usage.entries, 1, "entries");
    tap_is(usage.used, 3 * 256, "used");

    tap_test("its last use that was told is kept, and a new one has none");

    unit_id(id, 1);
    slot = ngx_access_token_slots_find_locked(zone, id);
    tap_is(slot->used, 0, "used");
    slot->used = 12345;
    put(1, 4, 20);
    find(1);
    tap_is(found->used, 12345, "put again");
    forget(1);
    put(1, 4, 20);
    find(1);
    tap_is(found->used, 0, "put anew");
    end();
}


static void
test_generation(void)
{
    u_char                     id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t                   other;
    unit_made_t                made;
    ngx_access_token_stamp_t   stamp;

    begin();
    unit_id(id, 1);
    unit_make(&made, 1, 10);

    tap_test("what was read before a change is not put after it");

    read_stamp(id, &stamp);
    tap_is(current(id, &stamp), 1, "before");
    forget(1);
    tap_is(current(id, &stamp), 0, "after");
    tap_is(put_read(id, &stamp, &made.t), NGX_DECLINED, "a record");
    tap_is(find(1), NGX_AGAIN, "found");
    tap_is(put_read(id, &stamp, NULL), NGX_DECLINED, "none");
    tap_is(find(1), NGX_AGAIN, "found");
    tap_is(zone->counters->refusals, 2, "refusals");

    tap_test("what was read after it is put");

    tap_is(put(1, 1, 10), NGX_OK, "put");
    check(1, 1, 10);
    tap_is(zone->counters->refusals, 2, "refusals");

    tap_test("a change takes away what was there, and that only");

    for (other = 2; bucket_of(other) != bucket_of(1); other++) { /* void */ }

    put(other, other, 10);
    forget(1);
    tap_is(find(1), NGX_AGAIN, "the one");
    check(other, other, 10);

    put(1, 1, 10);
    forget(other);
    tap_is(find(other), NGX_AGAIN, "the other one");
    check(1, 1, 10);

    tap_test("a change of another token of the bucket refuses it");

    read_stamp(id, &stamp);
    forget(other);
    tap_is(put_read(id, &stamp, &made.t), NGX_DECLINED, "put");

    tap_test("a change in another bucket does not");

    for (other = 2; bucket_of(other) == bucket_of(1); other++) { /* void */ }

    read_stamp(id, &stamp);
    forget(other);
    tap_is(current(id, &stamp), 1, "current");
    tap_is(put_read(id, &stamp, &made.t), NGX_OK, "put");

    tap_test("nor if the change comes just before it would be put");

    read_stamp(id, &stamp);
    unit_before_lock = forget_first;
    tap_is(put_read(id, &stamp, &made.t), NGX_DECLINED, "a change");
    tap_is(find(1), NGX_AGAIN, "found");

    read_stamp(id, &stamp);
    unit_before_lock = flush_first;
    tap_is(put_read(id, &stamp, &made.t), NGX_DECLINED, "a flush");
    tap_is(find(1), NGX_AGAIN, "found");

    tap_test("a stamp is good for more than one put");

    read_stamp(id, &stamp);

    tap_is(put_read(id, &stamp, &made.t), NGX_OK, "put");
    tap_is(put_read(id, &stamp, NULL), NGX_OK, "put");
    end();
}


static void
forget_first(void)
{
    forget(1);
}


static void
flush_first(void)
{
    ngx_access_token_cache_flush(unit_zone_share(pool, zone), &unit_origin,
                                 NGX_ACCESS_TOKEN_LINK);
}


static void
test_epoch(void)
{
    u_char                     id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t                   n;
    unit_made_t                made;
    ngx_access_token_stamp_t   stamp;

    begin();
    unit_id(id, 1);
    unit_make(&made, 1, 10);

    tap_test("after a flush nothing is found");

    for (n = 1; n < 50; n++) {
        put(n, n, 100);
        put_absent(n + 100);
    }

    read_stamp(id, &stamp);
    ngx_access_token_cache_flush(zone, &unit_origin, NGX_ACCESS_TOKEN_FLUSH);

    for (n = 1; n < 50; n++) {
        tap_is(find(n), NGX_AGAIN, "a record");
        tap_is(find(n + 100), NGX_AGAIN, "none");
    }

    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_FLUSH], 1, "counted");

    tap_test("what was read before a flush is not put after it");

    tap_is(current(id, &stamp), 0, "current");
    tap_is(put_read(id, &stamp, &made.t), NGX_DECLINED, "put");
    tap_is(put_read(id, &stamp, NULL), NGX_DECLINED, "put");

    tap_test("after a flush all goes on");

    for (n = 1; n < 50; n++) {
        tap_is(put(n, n + 1, 200), NGX_OK, "put");
        check(n, n + 1, 200);
        tap_is(put_absent(n + 100), NGX_OK, "put");
        tap_is(find(n + 100), NGX_DECLINED, "none");
    }

    end();
}


static void
test_age(void)
{
    begin();

    tap_test("a record is found until it is as old as max_age");

    put(1, 1, 10);
    tap_is(find_at(1, NOW - 1), NGX_OK, "before it was read");
    tap_is(find_at(1, NOW), NGX_OK, "at once");
    tap_is(find_at(1, NOW + MAX_AGE * 1000 - 1), NGX_OK, "1 us before");
    tap_is(find_at(1, NOW + MAX_AGE * 1000), NGX_AGAIN, "at the end");
    tap_is(find_at(1, NOW + MAX_AGE * 1000 + 1), NGX_AGAIN, "after it");

    tap_test("that there is none is believed as long as negative says");

    put_absent(2);
    tap_is(find_at(2, NOW), NGX_DECLINED, "at once");
    tap_is(find_at(2, NOW + NEGATIVE * 1000 - 1), NGX_DECLINED, "1 us before");
    tap_is(find_at(2, NOW + NEGATIVE * 1000), NGX_AGAIN, "at the end");

    tap_test("one that is too old is replaced");

    put(1, 2, 10);
    check(1, 2, 10);
    end();

    tap_test("negative 0: that there is none is not kept");

    zone = unit_zone(pool, NGX_ACCESS_TOKEN_ZONE_MIN, MAX_AGE, 0, 60);
    put_absent(1);
    tap_is(find(1), NGX_AGAIN, "found");
    end();
}


static void
test_absent(void)
{
    u_char                      id[NGX_ACCESS_TOKEN_ID_LEN];
    uint32_t                    seq;
    uint64_t                    n;
    ngx_access_token_absent_t  *absent;

    begin();

    tap_test("that there is none is found, until it changes");

    tap_is(put_absent(1), NGX_OK, "put");
    tap_is(find(1), NGX_DECLINED, "found");
    tap_is(find(2), NGX_AGAIN, "another id");
    forget(2);
    tap_is(find(1), NGX_DECLINED, "after another one was changed");
    forget(1);
    tap_is(find(1), NGX_AGAIN, "after it was changed");

    tap_test("a record takes the place of there being none, and back");

    put_absent(1);
    put(1, 1, 300);
    check(1, 1, 300);
    put_absent(1);
    tap_is(find(1), NGX_DECLINED, "found");
    tap_is(zone->header->entries, 0, "entries");
    put(1, 2, 300);
    check(1, 2, 300);
    forget(1);
    tap_is(find(1), NGX_AGAIN, "found");

    tap_test("its place says that it was changed, to those who read meanwhile");

    unit_id(id, 1);
    absent = ngx_access_token_absent(zone,
                                     ngx_access_token_zone_hash(zone, id));
    seq = absent->seq;
    put_absent(1);
    tap_is(absent->seq, seq + 2, "put");
    forget(1);
    tap_is(absent->seq, seq + 4, "forgotten");

    tap_test("a change of another id at the same place leaves it");

    zone->nabsents = 4;
    put_absent(1);

    for (n = 2; n < 50; n++) {
        forget(n);
        tap_is(find(1), NGX_DECLINED, "found");
        tap_is(find(n), NGX_AGAIN, "another");
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


static void
read_stamp(const u_char *id, ngx_access_token_stamp_t *stamp)
{
    ngx_access_token_cache_stamp(zone, &unit_origin, id, stamp);
}


static ngx_uint_t
current(const u_char *id, const ngx_access_token_stamp_t *stamp)
{
    return ngx_access_token_cache_current(zone, &unit_origin, id, stamp);
}


static ngx_int_t
put_read(const u_char *id, const ngx_access_token_stamp_t *stamp,
    const ngx_access_token_t *t)
{
    return ngx_access_token_cache_put(zone, &unit_origin, id, stamp, NOW, t);
}


static uint32_t
bucket_of(uint64_t n)
{
    u_char  id[NGX_ACCESS_TOKEN_ID_LEN];

    unit_id(id, n);

    return ngx_access_token_zone_hash(zone, id) & (zone->nbuckets - 1);
}
