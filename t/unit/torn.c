
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cache: readers without a lock, while other processes change what they read.
 * All of a record is made of its version, so that a mix of two is known.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tap.h"
#include "shm.h"


#define NOW      1000000
#define IDS      40
#define READERS  2
#define WRITERS  2
#define TIME     700        /* ms, of a test */


typedef struct {
    ngx_atomic_t      stop;
    ngx_atomic_t      done[READERS + WRITERS];     /* iterations */
    ngx_atomic_t      found;
    ngx_atomic_t      torn;
    ngx_atomic_t      absent;
    ngx_atomic_t      newest[IDS];  /* round in which it was forgotten */
    ngx_atomic_t      old;
} results_t;


static void test_records(void);
static void test_one_writer(void);
static void test_absents(void);

static void run(ngx_uint_t writers, void (*write)(ngx_uint_t worker),
    void (*read)(ngx_uint_t worker));
static void write_records(ngx_uint_t writer);
static void read_records(ngx_uint_t reader);
static void write_newer(ngx_uint_t writer);
static void read_newer(ngx_uint_t reader);
static void write_absents(ngx_uint_t writer);
static void read_absents(ngx_uint_t reader);

static void put(const u_char *id, const ngx_access_token_t *t);
static ngx_uint_t none_at(u_char *id, uint64_t n, uint32_t place);


static ngx_pool_t               *pool;
static ngx_access_token_zone_t  *zone;
static results_t                *results;
static u_char                    ids[3][NGX_ACCESS_TOKEN_ID_LEN];


int
main(void)
{
    unit_init();
    (void) alarm(120);

    pool = ngx_create_pool(0, NULL);

    test_records();
    test_one_writer();
    test_absents();

    ngx_destroy_pool(pool);

    return tap_done();
}


static void
test_records(void)
{
    const char  *fault;

    tap_test("who reads while others write never finds a mix of two records");

    zone = unit_zone_small(pool);
    zone->nslots = 64;
    zone->nbuckets = 4;

    run(WRITERS, write_records, read_records);

    fault = unit_zone_fault(zone);
    tap_ok(fault == NULL, "%s", fault);
    tap_is(results->torn, 0, "torn records");
    tap_is(results->absent, 0, "records that are called absent");
    tap_ok(results->found > 1000, "only %lu records were found",
           (u_long) results->found);
    tap_ok(zone->counters->evictions > 0, "nothing was evicted");
    tap_is(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH], 0, "crashes");

    unit_zone_free(zone);
}


static void
test_one_writer(void)
{
    tap_test("what was forgotten is never found again");

    zone = unit_zone_small(pool);

    run(1, write_newer, read_newer);

    tap_is(results->old, 0, "older than what was forgotten");
    tap_ok(results->found > 1000, "only %lu records were found",
           (u_long) results->found);

    unit_zone_free(zone);
}


static void
test_absents(void)
{
    uint64_t  n;

    tap_test("who reads that there is none never mixes two ids");

    zone = unit_zone_small(pool);
    zone->nabsents = 4;

    /* the third begins as the first, and ends as the second */

    for (n = 0; none_at(ids[0], n, 1) == 0; n++) { /* void */ }

    for (n++; /* void */ ; n++) {
        if (!none_at(ids[1], n * 1000003, 1)) {
            continue;
        }

        ngx_memcpy(ids[2], ids[0], 16);
        ngx_memcpy(&ids[2][16], &ids[1][16], 4);

        if ((ngx_access_token_zone_hash(zone, ids[2]) & 3) == 1
            && ngx_memcmp(&ids[0][16], &ids[1][16], 4) != 0
            && ngx_memcmp(ids[0], ids[1], 16) != 0)
        {
            break;
        }
    }

    run(1, write_absents, read_absents);

    tap_is(results->torn, 0, "ids that were never put");
    tap_ok(results->found > 1000, "only %lu were found",
           (u_long) results->found);

    unit_zone_free(zone);
}


/* As many processes as there are readers and writers, for a while. */

static void
run(ngx_uint_t writers, void (*write)(ngx_uint_t worker),
    void (*read)(ngx_uint_t worker))
{
    int         status;
    ngx_uint_t  i;
    pid_t       pids[READERS + WRITERS];

    if (results == NULL) {
        results = mmap(NULL, sizeof(results_t), PROT_READ|PROT_WRITE,
                       MAP_SHARED|MAP_ANONYMOUS, -1, 0);
        if (results == MAP_FAILED) {
            abort();
        }
    }

    ngx_memzero(results, sizeof(results_t));

    for (i = 0; i < READERS + writers; i++) {
        pids[i] = unit_fork();

        if (pids[i] == 0) {
            (void) alarm(60);

            while (!*(volatile ngx_atomic_t *) &results->stop) {
                if (i < READERS) {
                    read(i);
                } else {
                    write(i - READERS);
                }

                results->done[i]++;
            }

            _exit(0);
        }
    }

    (void) usleep(TIME * 1000);
    results->stop = 1;

    for (i = 0; i < READERS + writers; i++) {
        (void) waitpid(pids[i], &status, 0);
        tap_is(status, 0, "a process ended otherwise");
        tap_ok(results->done[i] > 0, "process %lu did nothing", (u_long) i);
    }
}


/* Each of the writers has versions of its own. */

static void
write_records(ngx_uint_t writer)
{
    u_char           id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t         n;
    unit_made_t      made;

    static uint64_t  round;

    if (round == 0) {
        round = writer;
    }

    round += WRITERS;
    n = round * 7 % IDS;
    unit_id(id, n);

    if (round % 5 == 0) {
        ngx_access_token_cache_forget(zone, id);
        return;
    }

    unit_make(&made, round * IDS + n, unit_made_len(round * IDS + n));
    put(id, &made.t);
}


static void
read_records(ngx_uint_t reader)
{
    u_char               id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t             n;
    ngx_int_t            rc;
    ngx_pool_t          *p;
    const char          *member;
    ngx_access_token_t  *t;

    static uint64_t      round;

    n = (round++ * 3 + reader) % IDS;
    unit_id(id, n);

    p = ngx_create_pool(0, NULL);
    rc = ngx_access_token_cache_find(zone, &unit_origin, id, NOW, p, &t);

    if (rc == NGX_OK) {
        (void) ngx_atomic_fetch_add(&results->found, 1);
        member = unit_not_made(t, id, t->version, unit_made_len(t->version));

        if (member || t->version % IDS != n) {
            (void) ngx_atomic_fetch_add(&results->torn, 1);
        }

    } else if (rc == NGX_DECLINED) {
        (void) ngx_atomic_fetch_add(&results->absent, 1);
    }

    ngx_destroy_pool(p);
}


/* Says after the forgetting that what was before is void. */

static void
write_newer(ngx_uint_t writer)
{
    u_char           id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t         n;
    unit_made_t      made;

    static uint64_t  round;

    n = ++round % IDS;
    unit_id(id, n);

    ngx_access_token_cache_forget(zone, id);
    __atomic_store_n(&results->newest[n], round, __ATOMIC_RELEASE);

    unit_make(&made, round * IDS + n, unit_made_len(round * IDS + n));
    put(id, &made.t);
}


static void
read_newer(ngx_uint_t reader)
{
    u_char               id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t             n, newest;
    ngx_pool_t          *p;
    ngx_access_token_t  *t;

    static uint64_t      round;

    n = (round++ * 3 + reader) % IDS;
    unit_id(id, n);

    p = ngx_create_pool(0, NULL);
    newest = __atomic_load_n(&results->newest[n], __ATOMIC_ACQUIRE);

    if (ngx_access_token_cache_find(zone, &unit_origin, id, NOW, p, &t)
        == NGX_OK)
    {
        (void) ngx_atomic_fetch_add(&results->found, 1);

        if (t->version / IDS < newest) {
            (void) ngx_atomic_fetch_add(&results->old, 1);
        }
    }

    ngx_destroy_pool(p);
}


static void
write_absents(ngx_uint_t writer)
{
    put(ids[0], NULL);
    put(ids[1], NULL);
}


static void
read_absents(ngx_uint_t reader)
{
    ngx_uint_t           i;
    ngx_access_token_t  *t;

    static ngx_uint_t    round;

    i = round++ % 4;

    if (ngx_access_token_cache_find(zone, &unit_origin, ids[i < 2 ? i : 2],
                                    NOW, pool, &t)
        == NGX_DECLINED)
    {
        (void) ngx_atomic_fetch_add(i < 2 ? &results->found : &results->torn,
                                    1);
    }
}


static void
put(const u_char *id, const ngx_access_token_t *t)
{
    ngx_access_token_stamp_t  stamp;

    ngx_access_token_cache_stamp(zone, &unit_origin, id, &stamp);
    (void) ngx_access_token_cache_put(zone, &unit_origin, id, &stamp, NOW, t);
}


static ngx_uint_t
none_at(u_char *id, uint64_t n, uint32_t place)
{
    char  text[64];

    (void) snprintf(text, sizeof(text), "%010llu%010llu",
                    (unsigned long long) (n % 10000000000),
                    (unsigned long long) (n * 7919 % 10000000000));
    ngx_memcpy(id, text, NGX_ACCESS_TOKEN_ID_LEN);

    return (ngx_access_token_zone_hash(zone, id) & 3) == place;
}
