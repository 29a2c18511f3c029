
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * slots: whatever is done to them, they hang together, and it is the record
 * that was used the longest ago that goes.  After each step the zone is
 * compared with a model, a list from the newest to the oldest.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "tap.h"
#include "shm.h"


#define STEPS  15000
#define IDS    700


typedef struct {
    uint64_t          n;            /* of its id */
    uint64_t          number;
    size_t            len;
    uint32_t          epoch;
    int64_t           sent;
    uint32_t          used;
} entry_t;


static void test_lengths(void);
static void test_oldest(void);
static void test_steps(const char *title, ngx_uint_t put, ngx_uint_t remove);
static void test_sequence(void);
static void test_places(void);
static void test_too_small(void);

static void put(uint64_t n, uint64_t number, size_t len);
static void discard(ngx_uint_t i);
static void touch(ngx_uint_t i);
static ngx_int_t known(uint64_t n);
static void model_remove(ngx_uint_t i);
static void compare(void);
static void compare_entry(const entry_t *entry);


static ngx_pool_t               *pool;
static ngx_access_token_zone_t  *zone;

static entry_t                   model[512];
static ngx_uint_t                nmodel, nfree, nevicted;


int
main(void)
{
    unit_init();
    pool = ngx_create_pool(0, NULL);

    test_lengths();
    test_oldest();
    test_steps("records come and go, the zone is mostly full", 60, 10);
    test_steps("records come and go, the zone is mostly not full", 35, 35);
    test_steps("records are mostly used", 10, 2);
    test_sequence();
    test_places();
    test_too_small();

    ngx_destroy_pool(pool);

    return tap_done();
}


static void
begin(void)
{
    zone = unit_zone_small(pool);
    nmodel = 0;
    nfree = zone->nslots;
    nevicted = 0;
}


static void
test_lengths(void)
{
    size_t  len;

    tap_test("a text of any length is kept, in 1, 2 or 3 slots");

    begin();

    for (len = 0; len <= NGX_ACCESS_TOKEN_TEXT_MAX; len++) {
        put(len, len, len);
        compare();
        compare_entry(&model[0]);
    }

    unit_zone_free(zone);

    tap_test("a text is as long as it was when another one's slots are taken");

    begin();

    for (len = 0; len < 3000; len++) {
        put(len, len, len * 523 % (NGX_ACCESS_TOKEN_TEXT_MAX + 1));
    }

    compare();

    for (len = 0; len < nmodel; len++) {
        compare_entry(&model[len]);
    }

    unit_zone_free(zone);
}


static void
test_oldest(void)
{
    ngx_uint_t  i;

    tap_test("exactly the record that was used the longest ago goes");

    begin();

    for (i = 0; i < zone->nslots; i++) {
        put(i, i, 0);
    }

    compare();
    tap_is(nevicted, 0, "evicted while there was room");
    tap_is(zone->header->used, zone->nslots, "used");

    touch(nmodel - 1);
    put(1000, 0, 0);
    compare();

    tap_ok(known(0) != -1, "one that was used again is gone");
    tap_ok(known(1) == -1, "the oldest is still there");
    tap_ok(known(2) != -1, "another one is gone");

    tap_test("for a long record as many go as have to");

    put(1001, 0, NGX_ACCESS_TOKEN_TEXT_MAX);
    compare();
    compare_entry(&model[0]);
    tap_ok(known(4) == -1 && known(5) != -1, "not three of them");

    tap_test("a long record leaves its room to the next ones");

    while (known(1001) != -1) {
        put(2000 + i++, 0, 0);
        compare();
    }

    put(2000 + i++, 0, 0);
    put(2000 + i++, 0, 0);
    compare();
    tap_is(nmodel, zone->nslots, "records");

    unit_zone_free(zone);
}


/* put and remove are percents of the steps; the others are uses. */

static void
test_steps(const char *title, ngx_uint_t puts, ngx_uint_t removes)
{
    ngx_int_t   i;
    uint64_t    n;
    ngx_uint_t  step, what;

    tap_test(title);

    begin();

    for (step = 0; step < STEPS; step++) {
        n = unit_random(IDS);
        what = unit_random(100);
        i = known(n);

        if (what < puts || nmodel == 0) {

            if (i != -1) {
                discard(i);
            }

            put(n, step, unit_made_len(step));

        } else if (what < puts + removes) {
            discard(unit_random(nmodel));

        } else {
            touch(unit_random(nmodel));
        }

        if (step % 5000 == 4999) {
            while (nmodel) {
                discard(unit_random(nmodel));
            }
        }

        compare();

        if (nmodel) {
            compare_entry(&model[unit_random(nmodel)]);
        }
    }

    tap_ok(puts < 50 || nevicted, "nothing was evicted");

    unit_zone_free(zone);
}


static void
test_sequence(void)
{
    uint32_t                    seq, other;
    u_char                      id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_access_token_bucket_t  *bucket;

    tap_test("a bucket says that it was changed, to those who read meanwhile");

    begin();
    unit_id(id, 1);
    bucket = ngx_access_token_bucket(zone,
                                     ngx_access_token_zone_hash(zone, id));

    seq = bucket->seq;
    put(1, 1, 10);
    tap_is(bucket->seq, seq + 2, "after a put");

    touch(0);
    tap_is(bucket->seq, seq + 2, "after a use");

    other = zone->buckets[0].seq + zone->buckets[1].seq;
    discard(0);
    tap_is(bucket->seq, seq + 4, "after it was removed");

    if (bucket > &zone->buckets[1]) {
        tap_is(zone->buckets[0].seq + zone->buckets[1].seq, other,
               "of others");
    }

    unit_zone_free(zone);
}


static void
test_places(void)
{
    u_char                   *p, *last;
    size_t                    size;
    ngx_uint_t                i;
    ngx_access_token_zone_t  *other;

    tap_test("what is in the zone has a place of its own, within it");

    for (size = NGX_ACCESS_TOKEN_ZONE_MIN; size < 64 * 1024 * 1024;
         size = size * 3 / 2)
    {
        zone = unit_zone(pool, size, 1000, 1000, 60);

        p = zone->pool->start;
        last = p + zone->size;

        tap_ok((u_char *) zone->header == p
               && (u_char *) (zone->header + 1) <= (u_char *) zone->workers
               && (u_char *) (zone->workers + NGX_ACCESS_TOKEN_WORKERS)
                  <= (u_char *) zone->extra
               && (u_char *) (zone->extra + zone->nextra)
                  <= (u_char *) zone->uses
               && (u_char *) (zone->uses + zone->nuses)
                  <= (u_char *) zone->absents
               && (u_char *) (zone->absents + zone->nabsents)
                  <= (u_char *) zone->buckets
               && (u_char *) (zone->buckets + zone->nbuckets)
                  <= (u_char *) (zone->slots + 1)
               && (u_char *) (zone->slots + zone->nslots + 1) <= last,
               "overlapping at %lu", (u_long) size);

        tap_ok((u_char *) (zone->slots + zone->nslots + 2) > last,
               "room is left at %lu", (u_long) size);
        tap_ok(((uintptr_t) (zone->slots + 1) & 63) == 0, "slots: alignment");
        tap_ok((zone->nbuckets & (zone->nbuckets - 1)) == 0
               && (zone->nabsents & (zone->nabsents - 1)) == 0
               && (zone->nuses & (zone->nuses - 1)) == 0, "powers of 2");
        tap_ok(zone->nslots >= NGX_ACCESS_TOKEN_SLOTS_MIN
               && zone->nbuckets >= NGX_ACCESS_TOKEN_BUCKETS, "too few");

        /* the last byte can be written */

        ngx_memset(&zone->slots[zone->nslots], 1, NGX_ACCESS_TOKEN_SLOT);

        tap_is(zone->header->epoch, 1, "epoch, of the first claim");
        tap_is(zone->header->servers[0].epoch, 1, "the same, of its server");
        tap_ok(zone->header->seed != 0, "no seed");

        for (i = 0; i < NGX_ACCESS_TOKEN_EDGE_LEN; i++) {
            tap_ok(ngx_strchr(UNIT_BASE62, zone->header->edge[i])
                   && zone->header->edge[i], "edge");
        }

        other = unit_zone_share(pool, zone);

        tap_ok(other->header == zone->header && other->slots == zone->slots
               && other->uses == zone->uses && other->extra == zone->extra
               && other->absents == zone->absents
               && other->buckets == zone->buckets
               && other->nslots == zone->nslots, "a reload finds others");

        unit_zone_free(zone);
    }

    tap_test("each worker counts in its own block");

    zone = unit_zone(pool, NGX_ACCESS_TOKEN_ZONE_MIN, 1000, 1000, 60);

    ngx_worker = 3;
    ngx_access_token_zone_start(zone);
    tap_ok(ngx_access_token_zone_mine(zone)
           == ngx_access_token_zone_counters(zone, 3), "worker 3");

    ngx_worker = 64 + 3;
    ngx_access_token_zone_start(zone);
    tap_ok(ngx_access_token_zone_mine(zone)
           == ngx_access_token_zone_counters(zone, 3), "worker 67");
    tap_ok(ngx_access_token_zone_counters(zone, 63) != NULL
           && ngx_access_token_zone_counters(zone, 64) == NULL,
           "blocks that are not there");

    ngx_worker = 0;
    unit_zone_free(zone);
}


static void
test_too_small(void)
{
    size_t  size;

    tap_test("a zone that is too small is refused");

    for (size = 4096; size <= 160 * 1024; size += 4096) {
        tap_ok(unit_zone(pool, size, 1000, 1000, 60) == NULL, "%lu",
               (u_long) size);
    }
}


/* --- the zone, and the model of it */

static void
put(uint64_t n, uint64_t number, size_t len)
{
    u_char       id[NGX_ACCESS_TOKEN_ID_LEN];
    entry_t      entry;
    ngx_uint_t   i;
    unit_made_t  made;

    unit_id(id, n);
    unit_make(&made, number, len);

    entry.n = n;
    entry.number = number;
    entry.len = len;
    entry.sent = (int64_t) number * 1000003;
    entry.used = number * 17;
    entry.epoch = number * 13 + 5;

    ngx_access_token_zone_lock(zone);
    ngx_access_token_slots_put_locked(zone, id,
                                      ngx_access_token_zone_hash(zone, id),
                                      entry.epoch, entry.sent, entry.used,
                                      &made.t);
    ngx_access_token_zone_unlock(zone);

    for (i = unit_made_slots(len); i; i--) {
        if (nfree == 0) {
            model_remove(nmodel - 1);
            nevicted++;
        }

        nfree--;
    }

    ngx_memmove(&model[1], &model[0], nmodel * sizeof(entry_t));
    model[0] = entry;
    nmodel++;
}


static void
discard(ngx_uint_t i)
{
    u_char                    id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_access_token_slot_t  *slot;

    unit_id(id, model[i].n);

    ngx_access_token_zone_lock(zone);
    slot = ngx_access_token_slots_find_locked(zone, id);

    if (slot) {
        ngx_access_token_slots_remove_locked(zone, slot);
    }

    ngx_access_token_zone_unlock(zone);

    tap_ok(slot != NULL, "one to be removed was not found");
    model_remove(i);
}


static void
touch(ngx_uint_t i)
{
    u_char                    id[NGX_ACCESS_TOKEN_ID_LEN];
    entry_t                   entry;
    ngx_access_token_slot_t  *slot;

    entry = model[i];
    unit_id(id, entry.n);

    ngx_access_token_zone_lock(zone);
    slot = ngx_access_token_slots_find_locked(zone, id);

    if (slot) {
        ngx_access_token_slots_touch_locked(zone, slot);
    }

    ngx_access_token_zone_unlock(zone);

    tap_ok(slot != NULL, "one that is used was not found");

    ngx_memmove(&model[1], &model[0], i * sizeof(entry_t));
    model[0] = entry;
}


static ngx_int_t
known(uint64_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < nmodel; i++) {
        if (model[i].n == n) {
            return i;
        }
    }

    return -1;
}


static void
model_remove(ngx_uint_t i)
{
    nfree += unit_made_slots(model[i].len);
    nmodel--;
    ngx_memmove(&model[i], &model[i + 1], (nmodel - i) * sizeof(entry_t));
}


static void
compare(void)
{
    u_char                           id[NGX_ACCESS_TOKEN_ID_LEN];
    uint32_t                         index;
    ngx_uint_t                       i;
    const char                      *fault;
    ngx_access_token_zone_usage_t    usage;

    fault = unit_zone_fault(zone);
    tap_ok(fault == NULL, "%s", fault);

    if (fault) {
        return;
    }

    ngx_access_token_zone_usage(zone, &usage);

    tap_is(usage.entries, nmodel, "entries");
    tap_is(usage.used, (zone->nslots - nfree) * 256, "used");
    tap_is(usage.size, zone->nslots * 256, "size");
    tap_is(zone->counters->evictions, nevicted, "evictions");

    for (i = 0, index = zone->header->newest; index && i < nmodel;
         index = zone->slots[index].older, i++)
    {
        unit_id(id, model[i].n);

        if (ngx_memcmp(zone->slots[index].id, id, NGX_ACCESS_TOKEN_ID_LEN)
            != 0)
        {
            break;
        }
    }

    tap_ok(index == 0 && i == nmodel,
           "from the newest on, number %lu is another one", (u_long) i);

    unit_id(id, IDS + 5000);
    tap_ok(ngx_access_token_slots_find_locked(zone, id) == NULL,
           "one that was never put was found");
}


/* As it lies there: text after text. */

static void
compare_entry(const entry_t *entry)
{
    size_t                          len, n;
    u_char                         *p, id[NGX_ACCESS_TOKEN_ID_LEN];
    u_char                          text[NGX_ACCESS_TOKEN_TEXT_MAX];
    uint32_t                        index;
    unit_made_t                     made;
    ngx_access_token_more_t        *more;
    const ngx_access_token_slot_t  *slot;

    unit_id(id, entry->n);
    unit_make(&made, entry->number, entry->len);

    slot = ngx_access_token_slots_find_locked(zone, id);
    if (slot == NULL) {
        tap_ok(0, "a record is not found");
        return;
    }

    tap_ok(slot->sent == entry->sent && slot->used == entry->used
           && slot->epoch == entry->epoch
           && slot->expires == made.t.expires
           && slot->previous_until == made.t.previous_until
           && slot->version == made.t.version && slot->admin == made.t.admin
           && slot->revoked == made.t.revoked
           && ngx_memcmp(slot->digest, made.t.digest, 32) == 0
           && ngx_memcmp(slot->previous, made.t.previous, 32) == 0
           && ngx_memcmp(slot->user, made.user, sizeof(made.user)) == 0,
           "a member is another one");

    tap_ok(slot->organization == made.t.owner.organization.len
           && slot->group == made.t.owner.group.len
           && slot->name == made.t.name.len, "a text has another length");

    n = ngx_min(entry->len, NGX_ACCESS_TOKEN_SLOT_TEXT);
    p = ngx_cpymem(text, slot->text, n);

    for (len = entry->len - n, index = slot->more; len && index; len -= n) {
        more = (ngx_access_token_more_t *) &zone->slots[index];
        n = ngx_min(len, NGX_ACCESS_TOKEN_MORE_TEXT);
        p = ngx_cpymem(p, more->text, n);
        index = more->more;
    }

    tap_ok(len == 0 && index == 0
           && ngx_memcmp(text, made.text, entry->len) == 0,
           "a text of %lu bytes is another one", (u_long) entry->len);
}
