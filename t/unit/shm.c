
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What nginx provides to the zone: shared memory, in one piece before a page
 * that nobody may touch, and a lock that says if it is misused.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/mman.h>

#include "shm.h"
#include "tap.h"


#define UNIT_SLOTS    256       /* of a small zone */
#define UNIT_BUCKETS  64

#define UNIT_IN_CHAIN  1
#define UNIT_IN_LIST   2
#define UNIT_MORE      3
#define UNIT_FREE      4


static ngx_access_token_zone_t *unit_zone_create(ngx_pool_t *pool, size_t size,
    ngx_msec_t max_age, ngx_msec_t negative, time_t usage);
static const char *unit_zone_chains(ngx_access_token_zone_t *zone,
    u_char *marks);
static const char *unit_zone_texts(ngx_access_token_zone_t *zone,
    const ngx_access_token_slot_t *slot, u_char *marks);
static const char *unit_zone_list(ngx_access_token_zone_t *zone,
    u_char *marks);
static const char *unit_zone_counts(ngx_access_token_zone_t *zone,
    u_char *marks);
static uint64_t unit_mix(uint64_t *state);


ngx_uint_t  unit_locks;
void      (*unit_before_lock)(void);

ngx_access_token_origin_t  unit_origin;

ngx_pid_t   ngx_pid;
ngx_uint_t  ngx_pagesize = 4096;
ngx_uint_t  ngx_worker;
ngx_time_t  unit_time;

volatile ngx_time_t  *ngx_cached_time = &unit_time;


/* --- nginx */

ngx_shm_zone_t *
ngx_shared_memory_add(ngx_conf_t *cf, ngx_str_t *name, size_t size, void *tag)
{
    ngx_shm_zone_t  *shm;

    shm = ngx_pcalloc(cf->pool, sizeof(ngx_shm_zone_t));
    if (shm == NULL) {
        return NULL;
    }

    shm->shm.size = size;
    shm->shm.log = ngx_cycle->log;
    shm->shm.name = *name;
    shm->tag = tag;

    return shm;
}


void *
ngx_slab_calloc(ngx_slab_pool_t *pool, size_t size)
{
    return size && size <= pool->pfree * ngx_pagesize ? pool->start : NULL;
}


ngx_uint_t
ngx_shmtx_trylock(ngx_shmtx_t *mtx)
{
    if (!__sync_bool_compare_and_swap(mtx->lock, 0, ngx_pid)) {
        return 0;
    }

    unit_locks++;

    return 1;
}


void
ngx_shmtx_lock(ngx_shmtx_t *mtx)
{
    void  (*before)(void);

    before = unit_before_lock;

    if (before) {
        unit_before_lock = NULL;
        before();
    }

    if (*mtx->lock == (ngx_atomic_uint_t) ngx_pid) {
        printf("Bail out! the lock is taken twice\n");
        exit(2);
    }

    while (!ngx_shmtx_trylock(mtx)) {
        sched_yield();
    }
}


void
ngx_shmtx_unlock(ngx_shmtx_t *mtx)
{
    if (!__sync_bool_compare_and_swap(mtx->lock, ngx_pid, 0)) {
        printf("Bail out! a lock is freed that was not held\n");
        exit(2);
    }
}


ngx_uint_t
ngx_shmtx_force_unlock(ngx_shmtx_t *mtx, ngx_pid_t pid)
{
    return __sync_bool_compare_and_swap(mtx->lock, pid, 0);
}


pid_t
unit_fork(void)
{
    pid_t  pid;

    fflush(stdout);

    pid = fork();

    if (pid == -1) {
        abort();
    }

    if (pid == 0) {
        ngx_pid = getpid();
    }

    return pid;
}


/* --- the zone */

ngx_access_token_zone_t *
unit_zone(ngx_pool_t *pool, size_t size, ngx_msec_t max_age,
    ngx_msec_t negative, time_t usage)
{
    u_char                   *p;
    size_t                    whole;
    ngx_slab_pool_t          *slab;
    ngx_access_token_zone_t  *zone;

    ngx_pid = getpid();

    whole = ngx_align(size, ngx_pagesize) + 2 * ngx_pagesize;

    p = mmap(NULL, whole, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1,
             0);
    if (p == MAP_FAILED
        || mprotect(p + whole - ngx_pagesize, ngx_pagesize, PROT_NONE) != 0)
    {
        abort();
    }

    slab = (ngx_slab_pool_t *) p;
    slab->mutex.lock = &slab->lock.lock;
    slab->start = p + ngx_pagesize;
    slab->end = p + whole - ngx_pagesize;
    slab->pfree = (slab->end - slab->start) / ngx_pagesize;

    zone = unit_zone_create(pool, whole, max_age, negative, usage);
    zone->shm->shm.addr = p;

    if (zone->shm->init(zone->shm, NULL) != NGX_OK) {
        (void) munmap(p, whole);
        return NULL;
    }

    ngx_access_token_zone_start(zone);
    (void) ngx_access_token_cache_claim(zone, UNIT_SOURCE, &unit_origin);

    return zone;
}


ngx_access_token_zone_t *
unit_zone_small(ngx_pool_t *pool)
{
    ngx_access_token_zone_t  *zone;

    zone = unit_zone(pool, 512 * 1024, 10000, 1000, 60);
    zone->nslots = UNIT_SLOTS;
    zone->nbuckets = UNIT_BUCKETS;

    return zone;
}


ngx_access_token_zone_t *
unit_zone_share(ngx_pool_t *pool, ngx_access_token_zone_t *zone)
{
    ngx_access_token_zone_t  *other;

    other = unit_zone_create(pool, zone->shm->shm.size, zone->max_age / 1000,
                             zone->negative / 1000, zone->usage);
    other->shm->shm.addr = zone->shm->shm.addr;

    if (other->shm->init(other->shm, zone) != NGX_OK) {
        abort();
    }

    other->nslots = zone->nslots;
    other->nbuckets = zone->nbuckets;

    ngx_access_token_zone_start(other);

    return other;
}


static ngx_access_token_zone_t *
unit_zone_create(ngx_pool_t *pool, size_t size, ngx_msec_t max_age,
    ngx_msec_t negative, time_t usage)
{
    static u_char                 tag;
    ngx_conf_t                    cf;
    ngx_access_token_zone_t      *zone;
    ngx_access_token_zone_conf_t  conf;

    ngx_memzero(&cf, sizeof(cf));
    cf.pool = pool;

    ngx_str_set(&conf.name, "unit");
    conf.size = size;
    conf.max_age = max_age;
    conf.negative = negative;
    conf.usage = usage;
    conf.nextra = 3;

    zone = ngx_access_token_zone_create(&cf, &conf, &tag);
    if (zone == NULL) {
        abort();
    }

    return zone;
}


void
unit_zone_free(ngx_access_token_zone_t *zone)
{
    (void) munmap(zone->shm->shm.addr, zone->shm->shm.size);
}


void
unit_zone_end(ngx_access_token_zone_t *zone, ngx_pool_t **pool)
{
    const char  *fault;

    fault = unit_zone_fault(zone);
    tap_ok(fault == NULL, "%s", fault);

    unit_zone_free(zone);
    ngx_destroy_pool(*pool);
    *pool = ngx_create_pool(0, NULL);
}


/* --- what always holds */

const char *
unit_zone_fault(ngx_access_token_zone_t *zone)
{
    u_char      *marks;
    const char  *fault;

    marks = calloc(1, (size_t) zone->nslots + 1);
    if (marks == NULL) {
        abort();
    }

    fault = unit_zone_chains(zone, marks);

    if (fault == NULL) {
        fault = unit_zone_list(zone, marks);
    }

    if (fault == NULL) {
        fault = unit_zone_counts(zone, marks);
    }

    free(marks);

    return fault;
}


static const char *
unit_zone_chains(ngx_access_token_zone_t *zone, u_char *marks)
{
    uint32_t                   i, index, other, hash;
    const char                *fault;
    ngx_access_token_slot_t   *slot;

    for (i = 0; i < zone->nbuckets; i++) {

        if (zone->buckets[i].seq & 1) {
            return "a bucket is as if it was being changed";
        }

        for (index = zone->buckets[i].head; index; index = slot->next) {

            if (index >= zone->header->fresh || index > zone->nslots) {
                return "a chain leads to where no slot was used";
            }

            if (marks[index]) {
                return "a slot is in two chains";
            }

            marks[index] = UNIT_IN_CHAIN;
            slot = &zone->slots[index];
            hash = ngx_access_token_zone_hash(zone, slot->id);

            if (slot->bucket != i || (hash & (zone->nbuckets - 1)) != i) {
                return "a slot is in another's bucket";
            }

            for (other = zone->buckets[i].head; other != index;
                 other = zone->slots[other].next)
            {
                if (ngx_memcmp(zone->slots[other].id, slot->id,
                               NGX_ACCESS_TOKEN_ID_LEN) == 0)
                {
                    return "an id has two records";
                }
            }
        }
    }

    for (i = 0; i < zone->nbuckets; i++) {
        for (index = zone->buckets[i].head; index; index = slot->next) {
            slot = &zone->slots[index];
            fault = unit_zone_texts(zone, slot, marks);

            if (fault) {
                return fault;
            }
        }
    }

    return NULL;
}


static const char *
unit_zone_texts(ngx_access_token_zone_t *zone,
    const ngx_access_token_slot_t *slot, u_char *marks)
{
    size_t      len;
    uint32_t    index;
    ngx_uint_t  n;

    len = (size_t) slot->organization + slot->group + slot->name;

    n = unit_made_slots(len);

    for (index = slot->more; --n; index = zone->slots[index].more) {

        if (index == 0 || index >= zone->header->fresh
            || index > zone->nslots)
        {
            return "a text ends before its end";
        }

        if (marks[index]) {
            return "a slot with more text is somewhere else too";
        }

        marks[index] = UNIT_MORE;
    }

    return index ? "a text goes on behind its end" : NULL;
}


static const char *
unit_zone_list(ngx_access_token_zone_t *zone, u_char *marks)
{
    uint32_t                   index, newer, n;
    ngx_access_token_slot_t   *slot;

    newer = 0;
    n = 0;

    for (index = zone->header->newest; index; index = slot->older) {

        if (index > zone->nslots || marks[index] != UNIT_IN_CHAIN) {
            return "one in the list is in no chain, or twice in the list";
        }

        marks[index] = UNIT_IN_LIST;
        slot = &zone->slots[index];

        if (slot->newer != newer) {
            return "the list is another one the other way";
        }

        if (newer && (int32_t) (zone->slots[newer].touched - slot->touched)
                     <= 0)
        {
            return "an older one was touched later";
        }

        newer = index;
        n++;
    }

    if (zone->header->oldest != newer) {
        return "the list does not end with the oldest";
    }

    return n == zone->header->entries ? NULL : "entries are miscounted";
}


static const char *
unit_zone_counts(ngx_access_token_zone_t *zone, u_char *marks)
{
    uint32_t  index, used;

    for (index = zone->header->free; index; index = zone->slots[index].next) {

        if (index >= zone->header->fresh || index > zone->nslots
            || marks[index])
        {
            return "a free slot is in use, or fresh, or free twice";
        }

        marks[index] = UNIT_FREE;
    }

    if (zone->header->fresh == 0 || zone->header->fresh > zone->nslots + 1) {
        return "fresh is out of bounds";
    }

    for (used = 0, index = 1; index < zone->header->fresh; index++) {

        switch (marks[index]) {

        case UNIT_IN_LIST:
        case UNIT_MORE:
            used++;
            break;

        case UNIT_FREE:
            break;

        default:
            return "a slot is lost, or in no list";
        }
    }

    return used == zone->header->used ? NULL : "used slots are miscounted";
}


/* --- records */

/* splitmix64, of Sebastiano Vigna. */

static uint64_t
unit_mix(uint64_t *state)
{
    uint64_t  x;

    x = (*state += 0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;

    return x ^ (x >> 31);
}


/* The name is of characters of all sizes, in UTF-8. */

void
unit_make(unit_made_t *made, uint64_t number, size_t len)
{
    size_t               n, owner, i;
    u_char              *p, *last;
    uint64_t             state, x;
    ngx_access_token_t  *t;

    static const uint32_t  first[] = { 0x30, 0x80, 0x800, 0x10000 };

    state = number * 1000 + len;
    t = &made->t;

    ngx_memzero(t, sizeof(ngx_access_token_t));

    for (i = 0; i < NGX_ACCESS_TOKEN_DIGEST_LEN; i += 8) {
        x = unit_mix(&state);
        ngx_memcpy(t->digest + i, &x, 8);
        x = unit_mix(&state);
        ngx_memcpy(t->previous + i, &x, 8);
    }

    t->version = number;
    t->expires = unit_mix(&state) >> 2;
    t->previous_until = unit_mix(&state) >> 2;
    t->admin = unit_mix(&state) & 1;
    t->revoked = unit_mix(&state) & 1;

    for (i = 0; i < NGX_ACCESS_TOKEN_USER_LEN; i++) {
        made->user[i] = 'a' + unit_mix(&state) % 26;
    }

    t->technical_user.data = made->user;
    t->technical_user.len = NGX_ACCESS_TOKEN_USER_LEN;

    /* how long the three texts are */

    n = len > 4 * NGX_ACCESS_TOKEN_NAME_MAX
        ? len - 4 * NGX_ACCESS_TOKEN_NAME_MAX : 0;
    owner = n + unit_mix(&state)
                % (ngx_min(len, 2 * NGX_ACCESS_TOKEN_OWNER_MAX) - n + 1);

    n = owner > NGX_ACCESS_TOKEN_OWNER_MAX
        ? owner - NGX_ACCESS_TOKEN_OWNER_MAX : 0;
    n += unit_mix(&state) % (ngx_min(owner, NGX_ACCESS_TOKEN_OWNER_MAX) - n
                             + 1);

    p = made->text;

    t->owner.organization.data = p;
    t->owner.organization.len = n;
    p += n;

    t->owner.group.data = (owner > n) ? p : NULL;
    t->owner.group.len = owner - n;
    p += owner - n;

    t->name.data = p;
    t->name.len = len - owner;

    for (p = made->text; p < t->name.data; p++) {
        *p = 'a' + unit_mix(&state) % 26;
    }

    last = made->text + len;

    while (p < last) {
        x = unit_mix(&state);
        n = ngx_min((size_t) (last - p), 1 + x % 4);
        p += unit_encode(p, first[n - 1] + (x >> 8) % 32);
    }
}


const char *
unit_not_made(const ngx_access_token_t *t, const u_char *id, uint64_t number,
    size_t len)
{
    unit_made_t  made;

    if (ngx_memcmp(t->id, id, NGX_ACCESS_TOKEN_ID_LEN) != 0) {
        return "id";
    }

    unit_make(&made, number, len);

    return unit_difference(t, &made.t);
}


size_t
unit_made_len(uint64_t number)
{
    uint64_t  state;

    state = number;

    return unit_mix(&state) % (NGX_ACCESS_TOKEN_TEXT_MAX + 1);
}


ngx_uint_t
unit_made_slots(size_t len)
{
    return len <= 84 ? 1 : len <= 84 + 252 ? 2 : 3;
}


/* Five tags. */

void
unit_id(u_char *id, uint64_t n)
{
    char  text[64];

    (void) snprintf(text, sizeof(text), "tag%u%016llu", (unsigned) (n % 5),
                    (unsigned long long) n);

    ngx_memcpy(id, text, NGX_ACCESS_TOKEN_ID_LEN);
}


ngx_int_t
unit_put(ngx_access_token_zone_t *zone, uint64_t n, uint64_t number,
    size_t len)
{
    u_char                     id[NGX_ACCESS_TOKEN_ID_LEN];
    unit_made_t                made;
    ngx_access_token_stamp_t   stamp;

    unit_id(id, n);
    unit_make(&made, number, len);
    ngx_memcpy(made.t.id, id, NGX_ACCESS_TOKEN_ID_LEN);
    ngx_access_token_cache_stamp(zone, &unit_origin, id, &stamp);

    return ngx_access_token_cache_put(zone, &unit_origin, id, &stamp, UNIT_NOW,
                                      &made.t);
}


ngx_int_t
unit_put_absent(ngx_access_token_zone_t *zone, uint64_t n)
{
    u_char                     id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_access_token_stamp_t   stamp;

    unit_id(id, n);
    ngx_access_token_cache_stamp(zone, &unit_origin, id, &stamp);

    return ngx_access_token_cache_put(zone, &unit_origin, id, &stamp, UNIT_NOW,
                                      NULL);
}


ngx_int_t
unit_find(ngx_access_token_zone_t *zone, uint64_t n, int64_t now,
    ngx_pool_t *pool, ngx_access_token_t **t)
{
    u_char  id[NGX_ACCESS_TOKEN_ID_LEN];

    unit_id(id, n);

    return ngx_access_token_cache_find(zone, &unit_origin, id, now, pool, t);
}


void
unit_check(ngx_access_token_zone_t *zone, uint64_t n, uint64_t number,
    size_t len, int64_t now, ngx_pool_t *pool)
{
    u_char               id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_int_t            rc;
    const char          *member;
    ngx_access_token_t  *t;

    rc = unit_find(zone, n, now, pool, &t);
    tap_is(rc, NGX_OK, "found");

    if (rc == NGX_OK) {
        unit_id(id, n);
        member = unit_not_made(t, id, number, len);
        tap_ok(member == NULL, "%s is not as it was put", member);
        tap_is(t->last_used + t->seen + t->full, 0, "the rest");
    }
}


void
unit_mark(ngx_access_token_zone_t *zone, uint64_t n, time_t now)
{
    u_char  id[NGX_ACCESS_TOKEN_ID_LEN];

    unit_id(id, n);
    ngx_access_token_usage_mark(zone, id, now);
}


ngx_uint_t
unit_marks_of(ngx_access_token_zone_t *zone, uint64_t n, uint32_t *time)
{
    u_char      id[NGX_ACCESS_TOKEN_ID_LEN];
    uint32_t    i;
    ngx_uint_t  found;

    unit_id(id, n);

    for (found = 0, i = 0; i < zone->nuses; i++) {
        if (zone->uses[i].time
            && ngx_memcmp(zone->uses[i].id, id, sizeof(id)) == 0)
        {
            *time = zone->uses[i].time;
            found++;
        }
    }

    return found;
}


ngx_uint_t
unit_marks(ngx_access_token_zone_t *zone)
{
    uint32_t    i;
    ngx_uint_t  found;

    for (found = 0, i = 0; i < zone->nuses; i++) {
        found += (zone->uses[i].time != 0);
    }

    return found;
}
