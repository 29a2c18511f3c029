
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * memory: what is known of changes, and what it says of a record that is read.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/wait.h>

#include <ngx_access_token_memory.h>

#include "tap.h"
#include "shm.h"


#define NOW   UNIT_NOW
#define V     UINT64_C(1790000000000)

#define REVOKED  NGX_ACCESS_TOKEN_MEMORY_REVOKED
#define DELETED  NGX_ACCESS_TOKEN_MEMORY_DELETED
#define ROTATED  NGX_ACCESS_TOKEN_MEMORY_ROTATED
#define OTHER    NGX_ACCESS_TOKEN_MEMORY_OTHER


static void test_parse(void);
static void test_verdicts(void);
static void test_newer(void);
static void test_twice(void);
static void test_race(void);
static void test_read(void);
static void test_rotated(void);
static void test_older(void);
static void test_age(void);
static void test_log(void);
static void test_room(void);
static void test_lock(void);
static void test_shared(void);
static void test_cached(void);
static void test_crash(void);

static void begin(void);
static void finish(void);
static void keep(uint64_t n, uint64_t version, ngx_access_token_memory_e state,
    int64_t now);
static ngx_int_t check_at(uint64_t n, uint64_t version, int64_t sent,
    int64_t now);
static ngx_int_t check(uint64_t n, uint64_t version);
static ngx_uint_t state(void);
static ngx_int_t parse(const char *text);


static ngx_pool_t               *pool;
static ngx_access_token_zone_t  *zone;

static ngx_uint_t                revoked;       /* of the record checked */

static ngx_str_t                  key;
static uint64_t                   parsed_version;
static ngx_access_token_memory_e  parsed_state;


int
main(void)
{
    unit_init();
    (void) alarm(120);

    pool = ngx_create_pool(0, NULL);

    test_parse();
    test_verdicts();
    test_newer();
    test_twice();
    test_race();
    test_read();
    test_rotated();
    test_older();
    test_age();
    test_log();
    test_room();
    test_lock();
    test_shared();
    test_cached();
    test_crash();

    ngx_destroy_pool(pool);

    return tap_done();
}


static void
test_parse(void)
{
    ngx_uint_t   i;

    static const char  *wrong[] = {
        "k", "k ", "k 1", "k 1 ", "k  a", "k a", "k 1 b", "k 1 aa", "k 1 a ",
        "k -1 a", "k 1  a", "k 1234567890123456 a", "k 0x1 a", "k 1\ta", "k 1 A"
    };

    tap_test("what a script tells is taken apart");

    tap_is(parse("at:t:{abcd}:x 1790000000000 r"), NGX_OK, "parse");
    tap_ok(key.len == 13 && ngx_memcmp(key.data, "at:t:{abcd}:x", 13) == 0,
           "key");
    tap_is(parsed_version, V, "version");
    tap_is(parsed_state, REVOKED, "state");

    tap_is(parse("k 999999999999999 d"), NGX_OK, "parse");
    tap_is(parsed_version, UINT64_C(999999999999999), "version");
    tap_is(parsed_state, DELETED, "state");
    tap_is(parse("k 2 k"), NGX_OK, "parse");
    tap_is(parsed_state, ROTATED, "state");
    tap_is(parse("k 2 a"), NGX_OK, "parse");
    tap_is(parsed_state, OTHER, "state");

    tap_test("a bare key is one, and what is malformed leaves the key");

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        tap_ok(parse(wrong[i]) == NGX_DECLINED, "\"%s\"", wrong[i]);
        tap_is(key.len, 1, "key");
    }

    tap_is(parse(""), NGX_DECLINED, "nothing");
}


static void
test_verdicts(void)
{
    tap_test("of what nothing is known is as it is read");

    begin();
    tap_is(check(1, 1), NGX_OK, "check");
    tap_is(check(2, V), NGX_OK, "check");
    tap_is(zone->counters->lost, 0, "lost");

    tap_test("a revocation that is lost still holds");

    keep(1, V, REVOKED, NOW);
    tap_is(check(1, 1), NGX_DONE, "check");
    tap_is(revoked, 1, "revoked");
    tap_is(check(1, V - 1), NGX_DONE, "check");
    tap_is(zone->counters->lost, 2, "lost");

    tap_test("a deletion that is lost still holds, whatever is there");

    keep(3, V, DELETED, NOW);
    tap_is(check(3, 1), NGX_DECLINED, "check");
    tap_is(check(3, V), NGX_DECLINED, "check");

    tap_test("after another change that is lost nobody knows");

    keep(4, V, ROTATED, NOW);
    keep(5, V, OTHER, NOW);
    tap_is(check(4, V - 1), NGX_ERROR, "rotated");
    tap_is(check(5, V - 1), NGX_ERROR, "changed");
    tap_is(revoked, 0, "revoked");

    tap_test("but one that is read to be revoked is");

    revoked = 1;
    tap_is(check(5, V - 1), NGX_DONE, "check");
    tap_is(revoked, 1, "revoked");
    revoked = 1;
    tap_is(check(3, V - 1), NGX_DECLINED, "and a deleted one is none");
    finish();
}


static void
test_newer(void)
{
    tap_test("what is said once more is believed");

    begin();
    keep(1, V, OTHER, NOW);
    tap_is(check(1, V), NGX_OK, "the same version");
    keep(1, V, REVOKED, NOW);
    tap_is(check(1, V + 1), NGX_OK, "a later one");
    tap_is(revoked, 0, "revoked");
    tap_is(check(1, V), NGX_ERROR, "it is the one that counts");

    keep(2, V, DELETED, NOW);
    tap_is(check(2, V + 1), NGX_OK, "a deletion that was lost, and a change");
    tap_is(check(2, V + 1), NGX_OK, "again");
    finish();
}


/* As when one was lost, and clocks differ. */

static void
test_twice(void)
{
    tap_test("a version that two changes were given does not undo the graver");

    begin();
    keep(1, V, REVOKED, NOW);
    tap_is(check(1, V), NGX_DONE, "what is read is not revoked");
    keep(1, V, OTHER, NOW);
    revoked = 0;
    tap_is(check(1, V), NGX_DONE, "nor what is told");
    tap_is(check(1, V), NGX_OK, "one that is");
    tap_is(check(1, V + 1), NGX_OK, "and one of a later version");

    keep(2, V, DELETED, NOW);
    keep(2, V, OTHER, NOW);
    tap_is(check(2, V), NGX_DECLINED, "one that was deleted");

    tap_test("but what nobody has told of was written by hand, and is again");

    revoked = 1;
    tap_is(check(3, V), NGX_OK, "revoked");
    revoked = 0;
    tap_is(check(3, V), NGX_OK, "and not");
    tap_is(check(3, V), NGX_OK, "as before");
    keep(3, V, REVOKED, NOW);
    tap_is(check(3, V), NGX_DONE, "when it is told of");
    finish();
}


static void
test_race(void)
{
    tap_test("a change that was heard of after the read was sent is no loss");

    begin();
    keep(1, V, REVOKED, NOW);
    tap_is(check_at(1, 1, NOW - 1, NOW + 2), NGX_AGAIN, "sent before");
    tap_is(check_at(1, 1, NOW, NOW + 2), NGX_AGAIN, "sent at the same time");
    tap_is(revoked, 0, "revoked");
    tap_is(zone->counters->lost, 0, "lost");
    revoked = 1;
    tap_is(check_at(1, V, NOW - 1, NOW + 2), NGX_OK, "the record has it");
    tap_is(check_at(1, 1, NOW + 3, NOW + 4), NGX_DONE, "sent after");
    tap_is(zone->counters->lost, 1, "lost");
    finish();
}


static void
test_read(void)
{
    tap_test("what is read is known from then on");

    begin();
    revoked = 1;
    tap_is(check(1, V), NGX_OK, "a revoked one");
    tap_is(check(1, V - 1), NGX_DONE, "before it was");

    revoked = 0;
    tap_is(check(2, V), NGX_OK, "another one");
    tap_is(check(2, V - 1), NGX_ERROR, "before");

    tap_is(check(3, 1), NGX_OK, "a new one");
    tap_is(zone->counters->lost, 2, "lost");
    finish();
}


static void
test_rotated(void)
{
    tap_test("that one was rotated is known when it has been read");

    begin();
    keep(1, V, ROTATED, NOW);
    tap_is(check(1, V), NGX_OK, "check");
    keep(1, V, OTHER, NOW);
    tap_is(check(1, V - 1), NGX_ERROR, "check");
    tap_is(state(), ROTATED, "state");

    tap_test("but not when it was changed again");

    keep(1, V + 1, OTHER, NOW);
    tap_is(state(), OTHER, "state");
    finish();
}


static void
test_older(void)
{
    tap_test("what is told late does not undo what is known");

    begin();
    keep(1, V, REVOKED, NOW);
    keep(1, V - 1, OTHER, NOW + 1);
    tap_is(check(1, V - 1), NGX_DONE, "check");

    tap_test("the first version is not kept");

    keep(2, 1, OTHER, NOW);
    keep(3, 0, DELETED, NOW);
    tap_is(check(2, 1), NGX_OK, "check");
    tap_is(check(3, 1), NGX_OK, "check");
    finish();
}


static void
test_age(void)
{
    int64_t  late;

    tap_test("after an hour it is forgotten");

    begin();
    late = NOW + NGX_ACCESS_TOKEN_MEMORY_AGE;
    keep(1, V, REVOKED, NOW);
    tap_is(check_at(1, 1, late - 2, late - 1), NGX_DONE, "before");
    tap_is(check_at(1, 1, late - 1, late), NGX_OK, "then");
    tap_is(check_at(1, 2, late - 1, late), NGX_OK, "and what is read is kept");
    tap_is(check_at(1, 1, late + 1, late + 2), NGX_ERROR, "check");

    tap_test("what is read again is known for longer");

    keep(2, V, OTHER, NOW);
    tap_is(check_at(2, V, late - 2, late - 1), NGX_OK, "read");
    tap_is(check_at(2, 1, late, late + 1), NGX_ERROR, "check");

    tap_test("what is lost is not");

    keep(3, V, REVOKED, NOW);
    tap_is(check_at(3, 1, late - 2, late - 1), NGX_DONE, "check");
    tap_is(check_at(3, 1, late, late + 1), NGX_OK, "check");
    finish();
}


static void
test_log(void)
{
    tap_test("it is logged once of each change, and counted each time");

    begin();
    ngx_cycle->log->log_level = NGX_LOG_ERR;
    unit_lines = 0;

    keep(1, V, REVOKED, NOW);
    tap_is(check_at(1, 1, NOW, NOW + 1), NGX_AGAIN, "again");
    tap_is(unit_lines, 0, "lines");
    (void) check(1, 1);
    (void) check(1, 1);
    keep(1, V, REVOKED, NOW);
    (void) check(1, 1);
    tap_is(unit_lines, 1, "lines");
    tap_is(zone->counters->lost, 3, "lost");

    keep(2, V, DELETED, NOW);
    (void) check(2, 1);
    tap_is(unit_lines, 2, "another token");

    keep(1, V + 1, OTHER, NOW);
    (void) check(1, V);
    tap_is(unit_lines, 3, "another change");

    ngx_cycle->log->log_level = 0;
    finish();
}


/* Ids of one set: those whose hash has the same end. */

static void
test_room(void)
{
    u_char      id[NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t    n, same[6];
    ngx_uint_t  found;
    uint32_t    mask;

    begin();
    mask = (zone->nmemories - 1) & ~(NGX_ACCESS_TOKEN_MEMORY_WAYS - 1);
    found = 0;

    for (n = 0; found < 6; n++) {
        unit_id(id, n);

        if ((ngx_access_token_zone_hash(zone, id) & mask) == 0) {
            same[found++] = n;
        }
    }

    tap_test("the oldest goes");

    for (n = 0; n < 5; n++) {
        keep(same[n], V, REVOKED, NOW + (n == 2 ? 0 : 10 + n));
    }

    for (n = 0; n < 5; n++) {
        tap_is(check_at(same[n], 1, NOW + 100, NOW + 101),
               n == 2 ? NGX_OK : NGX_DONE, "check");
    }

    tap_test("but before it those that tell of nothing grave");

    ngx_memzero(zone->memories, NGX_ACCESS_TOKEN_MEMORY_WAYS
                                * sizeof(ngx_access_token_memory_t));

    keep(same[0], V, REVOKED, NOW);
    keep(same[1], V, DELETED, NOW + 1);
    keep(same[2], V, OTHER, NOW + 20);
    keep(same[3], V, OTHER, NOW + 10);
    keep(same[4], V, ROTATED, NOW + 30);
    tap_is(check_at(same[3], 1, NOW + 100, NOW + 101), NGX_OK, "the older one");
    keep(same[5], V, REVOKED, NOW + 30);
    tap_is(check_at(same[2], 1, NOW + 100, NOW + 101), NGX_OK, "the other one");
    tap_is(check_at(same[0], 1, NOW + 100, NOW + 101), NGX_DONE, "revoked");
    tap_is(check_at(same[1], 1, NOW + 100, NOW + 101), NGX_DECLINED, "deleted");
    tap_is(check_at(same[4], 1, NOW + 100, NOW + 101), NGX_ERROR, "rotated");
    tap_is(check_at(same[5], 1, NOW + 100, NOW + 101), NGX_DONE, "revoked");

    tap_test("which push out nothing that is grave");

    keep(same[2], V, OTHER, NOW + 40);
    revoked = 0;
    tap_is(check_at(same[3], V, NOW + 100, NOW + 101), NGX_OK, "nor when read");
    tap_is(check_at(same[0], 1, NOW + 100, NOW + 101), NGX_DONE, "revoked");
    tap_is(check_at(same[1], 1, NOW + 100, NOW + 101), NGX_DECLINED, "deleted");
    tap_is(check_at(same[4], 1, NOW + 100, NOW + 101), NGX_ERROR, "rotated");
    tap_is(check_at(same[5], 1, NOW + 100, NOW + 101), NGX_DONE, "revoked");

    tap_test("and before all those that are too old");

    ngx_memzero(zone->memories, NGX_ACCESS_TOKEN_MEMORY_WAYS
                                * sizeof(ngx_access_token_memory_t));

    n = NOW + NGX_ACCESS_TOKEN_MEMORY_AGE;
    keep(same[0], V, REVOKED, n - 10);
    keep(same[1], V, REVOKED, NOW);
    keep(same[2], V, OTHER, n - 10);
    keep(same[3], V, REVOKED, n - 20);
    keep(same[4], V, REVOKED, n);
    revoked = 0;
    tap_is(check_at(same[2], 1, n + 1, n + 2), NGX_ERROR, "check");
    tap_is(check_at(same[0], 1, n + 1, n + 2), NGX_DONE, "check");
    tap_is(check_at(same[3], 1, n + 1, n + 2), NGX_DONE, "check");
    tap_is(check_at(same[4], 1, n + 1, n + 2), NGX_DONE, "check");

    tap_test("all places are used, and none beyond");

    for (n = 0; n < 64 * (uint64_t) zone->nmemories; n++) {
        keep(n, V, REVOKED, NOW + n);
    }

    found = 0;

    for (n = 0; n < zone->nmemories; n++) {
        found += (zone->memories[n].when != 0);
    }

    tap_is(found, zone->nmemories, "places");
    tap_ok(zone->nmemories * sizeof(ngx_access_token_memory_t)
           <= zone->size / 64, "its share of the zone");
    tap_ok(unit_zone_fault(zone) == NULL, "%s", unit_zone_fault(zone));
    finish();
}


static void
test_lock(void)
{
    ngx_uint_t  locks;

    tap_test("a token that is as it was made costs no lock");

    begin();
    locks = unit_locks;
    tap_is(check(1, 1), NGX_OK, "check");
    tap_is(unit_locks - locks, 0, "locks");
    tap_is(check(2, V), NGX_OK, "check");
    tap_is(unit_locks - locks, 1, "locks of another");
    finish();
}


static void
test_shared(void)
{
    ngx_access_token_zone_t    *other;
    ngx_access_token_origin_t   another;

    tap_test("workers share it, and those after a reload");

    begin();
    other = unit_zone_share(pool, zone);
    keep(1, V, REVOKED, NOW);
    zone = other;
    tap_is(check(1, 1), NGX_DONE, "check");
    ngx_access_token_cache_flush(zone, &unit_origin, NGX_ACCESS_TOKEN_FLUSH);
    tap_is(check(1, 1), NGX_DONE, "after a flush");
    (void) ngx_access_token_cache_claim(zone, UNIT_SOURCE + 1, &another);
    tap_is(check(1, 1), NGX_DONE, "at another server");
    finish();
}


/* Of a server that has lost the change, and was read before it was heard of. */

static void
test_cached(void)
{
    ngx_access_token_t  *t;

    tap_test("what is cached of before a change goes when that is heard of");

    begin();
    tap_is(unit_put(zone, 1, 1, 10), NGX_OK, "put");
    keep(1, V, REVOKED, NOW);
    tap_is(unit_find(zone, 1, NOW, pool, &t), NGX_AGAIN, "told");

    tap_is(unit_put(zone, 2, 1, 10), NGX_OK, "put");
    revoked = 1;
    tap_is(check(2, V), NGX_OK, "another server has it");
    tap_is(unit_find(zone, 2, NOW, pool, &t), NGX_AGAIN, "read");

    tap_test("nor is it cached if it was read before, and checked");

    tap_is(check(4, V), NGX_OK, "check");
    keep(4, V + 1, REVOKED, NOW);
    tap_is(unit_put(zone, 4, V, 10), NGX_DECLINED, "put");
    tap_is(unit_find(zone, 4, NOW, pool, &t), NGX_AGAIN, "find");

    tap_test("and what is cached of after it stays");

    tap_is(unit_put(zone, 3, V, 10), NGX_OK, "put");
    keep(3, V, OTHER, NOW);
    keep(3, V - 1, OTHER, NOW);
    tap_is(check(3, V), NGX_OK, "check");
    tap_is(unit_find(zone, 3, NOW, pool, &t), NGX_OK, "find");
    tap_ok(unit_zone_fault(zone) == NULL, "%s", unit_zone_fault(zone));
    finish();
}


static void
test_crash(void)
{
    pid_t  pid;

    tap_test("it is empty after one has died with the lock");

    begin();
    keep(1, V, REVOKED, NOW);

    pid = unit_fork();

    if (pid == 0) {
        ngx_access_token_zone_lock(zone);
        ngx_memset(zone->memories, 0x5a, zone->nmemories
                                  * sizeof(ngx_access_token_memory_t));
        _exit(0);
    }

    (void) waitpid(pid, NULL, 0);
    (void) ngx_shmtx_force_unlock(&zone->pool->mutex, pid);

    tap_is(check(1, V), NGX_OK, "check");
    tap_is(check(1, V - 1), NGX_ERROR, "and used on");
    finish();
}


/* --- a zone */

static void
begin(void)
{
    zone = unit_zone(pool, 512 * 1024, 10000, 1000, 60);
    revoked = 0;
}


static void
finish(void)
{
    unit_zone_free(zone);
}


static void
keep(uint64_t n, uint64_t version, ngx_access_token_memory_e state,
    int64_t now)
{
    u_char  id[NGX_ACCESS_TOKEN_ID_LEN];

    unit_id(id, n);

    ngx_access_token_memory_keep(zone, id, version, state, now);
}


static ngx_int_t
check_at(uint64_t n, uint64_t version, int64_t sent, int64_t now)
{
    ngx_int_t           rc;
    ngx_access_token_t  t;

    ngx_memzero(&t, sizeof(ngx_access_token_t));

    unit_id(t.id, n);
    t.version = version;
    t.revoked = revoked;

    rc = ngx_access_token_memory_check(zone, &t, sent, now);

    revoked = t.revoked;

    if (rc != NGX_DONE) {
        revoked = 0;
    }

    return rc;
}


/* As of a moment after all that was kept. */

static ngx_int_t
check(uint64_t n, uint64_t version)
{
    static int64_t  now = NOW + 1000;

    ngx_int_t  rc;

    rc = check_at(n, version, now, now + 1);
    now += 2;

    if (rc == NGX_DONE) {
        tap_is(revoked, 1, "revoked");
    }

    return rc;
}


/* Of the only one that there is. */

static ngx_uint_t
state(void)
{
    ngx_uint_t  i;

    for (i = 0; i < zone->nmemories; i++) {
        if (zone->memories[i].when) {
            return zone->memories[i].state;
        }
    }

    return 0;
}


static ngx_int_t
parse(const char *text)
{
    key.data = (u_char *) text;
    key.len = ngx_strlen(text);

    return ngx_access_token_memory_parse(&key, &parsed_version, &parsed_state);
}
