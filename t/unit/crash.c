
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * zone: a worker dies while it has the lock, which nginx' master then frees.
 * Nobody hangs, nothing torn is found, the zone is emptied and works on.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tap.h"
#include "shm.h"


#define KILLS  300
#define IDS    100


static void test_scribble(const char *title, void (*scribble)(void));
static void test_trylock(void);
static void test_unlocked(void);
static void test_waiting_reader(void);
static void test_sequence(void);
static void test_kills(void);

static void nothing(void);
static void half_a_chain(void);
static void half_a_record(void);
static void half_an_absent(void);
static void half_a_list(void);
static void junk(void);

static void die_with_lock(void (*scribble)(void));
static void free_lock_of(pid_t pid);
static void put(uint64_t n, uint64_t number);
static ngx_int_t find(uint64_t n);
static void bury(void);
static void change_for_ever(void);
static uint64_t generations(void);


static ngx_pool_t               *pool, *zones;
static ngx_access_token_zone_t  *zone;
static ngx_access_token_t       *found;


int
main(void)
{
    unit_init();
    (void) alarm(120);

    pool = ngx_create_pool(0, NULL);
    zones = ngx_create_pool(0, NULL);

    test_scribble("one dies before it has changed anything", nothing);
    test_scribble("one dies within a chain", half_a_chain);
    test_scribble("one dies within a record", half_a_record);
    test_scribble("one dies while it keeps that there is none",
                  half_an_absent);
    test_scribble("one dies within the list", half_a_list);
    test_scribble("one dies and leaves nothing as it was", junk);
    test_trylock();
    test_unlocked();
    test_waiting_reader();
    test_sequence();
    test_kills();

    ngx_destroy_pool(pool);
    ngx_destroy_pool(zones);

    return tap_done();
}


static void
test_scribble(const char *title, void (*scribble)(void))
{
    u_char                     id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t                   n, before;
    uint32_t                   epoch;
    unit_made_t                made;
    const char                *fault;
    ngx_access_token_stamp_t   stamp;

    tap_test(title);

    zone = unit_zone_small(zones);

    for (n = 0; n < 80; n++) {
        put(n, n);
        unit_id(id, n);
        ngx_access_token_cache_forget(zone, id);
        put(n, n);
    }

    unit_id(id, 1000);
    ngx_access_token_cache_stamp(zone, &unit_origin, id, &stamp);
    (void) ngx_access_token_cache_put(zone, &unit_origin, id, &stamp,
                                      UNIT_NOW, NULL);
    ngx_access_token_usage_mark(zone, id, 1000);

    unit_id(id, 1);
    ngx_access_token_cache_stamp(zone, &unit_origin, id, &stamp);

    epoch = zone->header->epoch;
    before = generations();

    die_with_lock(scribble);

    /* who only reads now must not find what is torn; a lock is taken at once */

    for (n = 0; n < 80; n++) {
        (void) find(n);
    }

    ngx_access_token_zone_lock(zone);
    ngx_access_token_zone_unlock(zone);

    fault = unit_zone_fault(zone);
    tap_ok(fault == NULL, "%s", fault);
    tap_is(zone->header->entries, 0, "entries");
    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH], 1, "crashes");
    tap_ok(zone->header->epoch > epoch, "the epoch has not grown");
    tap_ok(generations() >= before, "a generation has shrunk");

    for (n = 0; n < zone->nuses; n++) {
        tap_is(zone->uses[n].time, 0, "uses");
    }

    for (n = 0; n < zone->nabsents; n++) {
        tap_is(zone->absents[n].seq & 1, 0, "a place for none");
        tap_is(zone->absents[n].epoch, 0, "what is in it");
    }

    for (n = 0; n < 80; n++) {
        tap_is(find(n), NGX_AGAIN, "a record");
    }

    tap_is(find(1000), NGX_AGAIN, "that there is none");

    unit_make(&made, 1, 100);
    tap_is(ngx_access_token_cache_put(zone, &unit_origin, id, &stamp,
                                      UNIT_NOW, &made.t),
           NGX_DECLINED, "what was read before");

    for (n = 0; n < 1000; n++) {
        put(n, n + 1);
        tap_is(find(n), NGX_OK, "afterwards");
    }

    unit_id(id, 1000);
    ngx_access_token_cache_stamp(zone, &unit_origin, id, &stamp);
    (void) ngx_access_token_cache_put(zone, &unit_origin, id, &stamp,
                                      UNIT_NOW, NULL);
    tap_is(find(1000), NGX_DECLINED, "that there is none, afterwards");

    fault = unit_zone_fault(zone);
    tap_ok(fault == NULL, "%s", fault);
    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH], 1, "crashes");

    bury();
}


static void
test_trylock(void)
{
    pid_t  pid;

    tap_test("trylock empties the zone too");

    zone = unit_zone_small(zones);
    put(1, 1);
    die_with_lock(half_a_chain);

    tap_is(ngx_access_token_zone_trylock(zone), 1, "trylock");
    ngx_access_token_zone_unlock(zone);

    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH], 1, "crashes");
    tap_is(find(1), NGX_AGAIN, "found");

    tap_test("one that took the lock without waiting is known to be dead too");

    pid = unit_fork();

    if (pid == 0) {
        _exit(!ngx_access_token_zone_trylock(zone));
    }

    free_lock_of(pid);

    ngx_access_token_zone_lock(zone);
    ngx_access_token_zone_unlock(zone);

    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH], 2, "crashes");
    bury();
}


static void
test_unlocked(void)
{
    pid_t  pid;

    tap_test("one that dies without the lock does no harm");

    zone = unit_zone_small(zones);
    put(1, 1);

    pid = unit_fork();

    if (pid == 0) {
        put(2, 2);
        _exit(0);
    }

    free_lock_of(pid);

    tap_is(find(1), NGX_OK, "found");
    tap_is(find(2), NGX_OK, "found");
    put(3, 3);
    tap_is(find(1), NGX_OK, "found");
    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH], 0, "crashes");
    bury();
}


static void
test_waiting_reader(void)
{
    int    status;
    pid_t  dead, reader;

    tap_test("who waits for a change that never ends goes on when it is freed");

    zone = unit_zone_small(zones);
    put(1, 1);

    dead = unit_fork();

    if (dead == 0) {
        ngx_access_token_zone_lock(zone);
        half_a_chain();
        _exit(0);
    }

    (void) waitpid(dead, NULL, 0);

    reader = unit_fork();

    if (reader == 0) {
        _exit(find(1) == NGX_AGAIN ? 17 : 1);
    }

    (void) usleep(20000);
    tap_is(waitpid(reader, &status, WNOHANG), 0, "it did not wait");

    (void) ngx_shmtx_force_unlock(&zone->pool->mutex, dead);

    tap_is(waitpid(reader, &status, 0), reader, "it is done");
    tap_is(status, 17 << 8, "nothing is found");
    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH], 1, "crashes");
    bury();
}


static void
test_sequence(void)
{
    uint32_t  i, *seqs;

    tap_test("who was reading when it was emptied can tell");

    zone = unit_zone_small(zones);
    seqs = ngx_palloc(pool, (zone->nbuckets + zone->nabsents)
                            * sizeof(uint32_t));

    put(1, 1);
    put(2, 1);

    for (i = 0; i < zone->nbuckets; i++) {
        seqs[i] = zone->buckets[i].seq;
    }

    for (i = 0; i < zone->nabsents; i++) {
        seqs[zone->nbuckets + i] = zone->absents[i].seq;
    }

    die_with_lock(half_an_absent);
    ngx_access_token_zone_lock(zone);
    ngx_access_token_zone_unlock(zone);

    for (i = 0; i < zone->nbuckets; i++) {
        tap_ok(zone->buckets[i].seq > seqs[i]
               && (zone->buckets[i].seq & 1) == 0, "a bucket");
    }

    for (i = 0; i < zone->nabsents; i++) {
        tap_ok(zone->absents[i].seq > seqs[zone->nbuckets + i]
               && (zone->absents[i].seq & 1) == 0, "a place for none");
    }

    bury();
}


/* Wherever it was: most of the time one that does nothing else has the lock. */

static void
test_kills(void)
{
    pid_t        pid;
    uint64_t     n, before;
    ngx_uint_t   i, with_lock;
    const char  *fault, *member;
    u_char       id[NGX_ACCESS_TOKEN_ID_LEN];

    tap_test("one is killed at any moment");

    zone = unit_zone_small(zones);
    with_lock = 0;

    for (i = 0; i < KILLS; i++) {
        before = generations();
        pid = unit_fork();

        if (pid == 0) {
            change_for_ever();
        }

        (void) usleep(unit_random(2000));
        (void) kill(pid, SIGKILL);
        free_lock_of(pid);

        with_lock += zone->header->busy;

        for (n = 0; n < IDS; n++) {
            if (find(n) == NGX_OK) {
                unit_id(id, n);
                member = unit_not_made(found, id, found->version,
                                       unit_made_len(found->version));
                tap_ok(member == NULL && found->version % IDS == n,
                       "%s of a record is another's", member);
            }
        }

        ngx_access_token_zone_lock(zone);
        ngx_access_token_zone_unlock(zone);

        fault = unit_zone_fault(zone);
        tap_ok(fault == NULL, "%s", fault);
        tap_ok(generations() >= before, "a generation has shrunk");

        ngx_destroy_pool(pool);
        pool = ngx_create_pool(0, NULL);
    }

    tap_ok(with_lock > 0, "nobody was killed with the lock");
    tap_ok(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH] >= with_lock,
           "crashes are not counted");
    bury();
}


/* --- what a dead one leaves behind */

static void
nothing(void)
{
}


static void
half_a_chain(void)
{
    ngx_access_token_bucket_t  *bucket;

    for (bucket = zone->buckets; bucket < zone->buckets + zone->nbuckets;
         bucket++)
    {
        ngx_access_token_begin(&bucket->seq);
        bucket->head = 0x7ffffff0;
    }
}


static void
half_a_record(void)
{
    uint32_t  i;

    for (i = 0; i < zone->nbuckets; i++) {
        ngx_access_token_begin(&zone->buckets[i].seq);
    }

    for (i = 1; i < zone->header->fresh; i += 2) {
        ngx_memset(&zone->slots[i], 0xff, NGX_ACCESS_TOKEN_SLOT / 2);
    }
}


static void
half_an_absent(void)
{
    uint32_t  i;

    for (i = 0; i < zone->nabsents; i += 2) {
        ngx_access_token_begin(&zone->absents[i].seq);
        zone->absents[i].epoch = zone->header->epoch;
    }
}


static void
half_a_list(void)
{
    zone->header->free = zone->header->newest;
    zone->header->newest = 0;
    zone->header->used = 1;
    zone->header->entries = 1000;
    zone->header->fresh = 3;
}


/* But for what nobody changes, and what may only grow. */

static void
junk(void)
{
    uint32_t  i;

    for (i = 0; i < zone->nbuckets; i++) {
        ngx_access_token_begin(&zone->buckets[i].seq);
        zone->buckets[i].head = unit_random(0x7fffffff);
    }

    half_an_absent();
    ngx_memset(&zone->slots[1], 0x5a, zone->nslots * NGX_ACCESS_TOKEN_SLOT);
    ngx_memset(zone->uses, 0x5a, zone->nuses * sizeof(zone->uses[0]));
    ngx_memset(&zone->header->fresh, 0x5a, 6 * sizeof(uint32_t));
}


static void
die_with_lock(void (*scribble)(void))
{
    pid_t  pid;

    pid = unit_fork();

    if (pid == 0) {
        ngx_access_token_zone_lock(zone);
        scribble();
        _exit(0);
    }

    free_lock_of(pid);
}


/* As the master does when a worker is gone. */

static void
free_lock_of(pid_t pid)
{
    (void) waitpid(pid, NULL, 0);
    (void) ngx_shmtx_force_unlock(&zone->pool->mutex, pid);
}


static void
put(uint64_t n, uint64_t number)
{
    (void) unit_put(zone, n, number, unit_made_len(number));
}


static ngx_int_t
find(uint64_t n)
{
    return unit_find(zone, n, UNIT_NOW, pool, &found);
}


static void
bury(void)
{
    unit_zone_free(zone);
    ngx_destroy_pool(pool);
    pool = ngx_create_pool(0, NULL);
}


static void
change_for_ever(void)
{
    u_char    id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t  n, round;

    for (round = (uint64_t) ngx_pid * 1000000; /* void */ ; round++) {
        n = round * 7 % IDS;

        put(n, round * IDS + n);

        if (round % 3 == 0) {
            unit_id(id, round * 11 % IDS);
            ngx_access_token_cache_forget(zone, id);
        }

        ngx_access_token_usage_mark(zone, id, round % 1000000 + 1);
    }
}


static uint64_t
generations(void)
{
    uint32_t  i;
    uint64_t  sum;

    for (sum = 0, i = 0; i < zone->nbuckets; i++) {
        sum += zone->buckets[i].generation;
    }

    return sum;
}
