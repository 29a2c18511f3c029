
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The zone: shared memory, laid out once; its lock; and what is counted in it.
 *
 * It survives a reload if its name and its size stay: nginx hands the old
 * memory on, and old workers go on in it beside the new ones.  nginx compares
 * the tag too, which is an address in this module, so that another build of
 * it, with another layout, gets memory of its own.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_zone.h>


#define NGX_ACCESS_TOKEN_LINE  64               /* bytes of a cache line */


static ngx_int_t ngx_access_token_zone_init(ngx_shm_zone_t *shm, void *data);
static ngx_int_t ngx_access_token_zone_layout(ngx_access_token_zone_t *zone,
    u_char *p, size_t size);
static void *ngx_access_token_zone_take(u_char **p, size_t size);
static uint32_t ngx_access_token_zone_power(size_t n);
static void ngx_access_token_zone_enter(ngx_access_token_zone_t *zone);
static void ngx_access_token_zone_empty(ngx_access_token_zone_t *zone);


ngx_access_token_zone_t *
ngx_access_token_zone_create(ngx_conf_t *cf,
    const ngx_access_token_zone_conf_t *conf, void *tag)
{
    ngx_str_t                 name;
    ngx_shm_zone_t           *shm;
    ngx_access_token_zone_t  *zone;

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_access_token_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    name = conf->name;

    shm = ngx_shared_memory_add(cf, &name, conf->size, tag);
    if (shm == NULL) {
        return NULL;
    }

    zone->shm = shm;
    zone->nextra = conf->nextra;
    zone->max_age = (int64_t) conf->max_age * 1000;
    zone->negative = (int64_t) conf->negative * 1000;
    zone->usage = conf->usage;

    shm->init = ngx_access_token_zone_init;
    shm->data = zone;

    return zone;
}


static ngx_int_t
ngx_access_token_zone_init(ngx_shm_zone_t *shm, void *data)
{
    size_t                    size;
    u_char                   *p;
    ngx_slab_pool_t          *pool;
    ngx_access_token_zone_t  *zone;

    zone = shm->data;
    pool = (ngx_slab_pool_t *) shm->shm.addr;

    zone->pool = pool;

    if (data) {
        size = ((ngx_access_token_zone_t *) data)->size;

        return ngx_access_token_zone_layout(zone, pool->data, size);
    }

    /* all of it in one piece */

    size = pool->pfree * ngx_pagesize;

    p = ngx_slab_calloc(pool, size);
    if (p == NULL
        || ngx_access_token_zone_layout(zone, p, size) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, shm->shm.log, 0,
                      "zone \"%V\" is too small", &shm->shm.name);
        return NGX_ERROR;
    }

    pool->data = p;

    zone->header->fresh = 1;

    if (ngx_access_token_generate_random((u_char *) &zone->header->seed,
                                         sizeof(zone->header->seed))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_access_token_generate_random(zone->header->edge,
                                            NGX_ACCESS_TOKEN_EDGE_LEN);
}


/* Finds the same places for the same size and the same nextra. */

static ngx_int_t
ngx_access_token_zone_layout(ngx_access_token_zone_t *zone, u_char *p,
    size_t size)
{
    u_char    *last;
    size_t     left;
    uint32_t   n;

    zone->size = size;
    last = p + size;

    zone->header = ngx_access_token_zone_take(&p,
                                           sizeof(ngx_access_token_header_t));
    zone->workers = ngx_access_token_zone_take(&p,
                                     NGX_ACCESS_TOKEN_WORKERS
                                     * sizeof(ngx_access_token_counters_t));
    zone->counters = zone->workers;
    zone->extra = ngx_access_token_zone_take(&p,
                                       zone->nextra * sizeof(ngx_atomic_t));

    zone->nuses = ngx_access_token_zone_power(size / 16
                                            / sizeof(ngx_access_token_use_t));
    zone->uses = ngx_access_token_zone_take(&p, zone->nuses
                                          * sizeof(ngx_access_token_use_t));

    zone->nmemories = ngx_access_token_zone_power(size / 64
                                         / sizeof(ngx_access_token_memory_t));
    zone->memories = ngx_access_token_zone_take(&p, zone->nmemories
                                        * sizeof(ngx_access_token_memory_t));

    zone->nabsents = ngx_access_token_zone_power(size / 14
                                         / sizeof(ngx_access_token_absent_t));
    zone->absents = ngx_access_token_zone_take(&p, zone->nabsents
                                        * sizeof(ngx_access_token_absent_t));

    left = (p < last) ? last - p : 0;

    n = ngx_access_token_zone_power(left / (NGX_ACCESS_TOKEN_SLOT
                                        + sizeof(ngx_access_token_bucket_t)));

    zone->nbuckets = ngx_max(n, NGX_ACCESS_TOKEN_BUCKETS);
    zone->buckets = ngx_access_token_zone_take(&p, zone->nbuckets
                                        * sizeof(ngx_access_token_bucket_t));

    if (p + NGX_ACCESS_TOKEN_SLOTS_MIN * NGX_ACCESS_TOKEN_SLOT > last) {
        return NGX_ERROR;
    }

    zone->nslots = ngx_min((size_t) (last - p) / NGX_ACCESS_TOKEN_SLOT,
                           NGX_ACCESS_TOKEN_SLOTS_MAX);
    zone->slots = (ngx_access_token_slot_t *) p - 1;

    return NGX_OK;
}


static void *
ngx_access_token_zone_take(u_char **p, size_t size)
{
    void  *taken;

    taken = *p;
    *p += ngx_align(size, NGX_ACCESS_TOKEN_LINE);

    return taken;
}


/* The greatest power of 2 that is not above n; 4 at least. */

static uint32_t
ngx_access_token_zone_power(size_t n)
{
    uint32_t  power;

    for (power = 4; power <= n / 2 && power < 0x80000000; power *= 2) {
        /* void */
    }

    return power;
}


void
ngx_access_token_zone_start(ngx_access_token_zone_t *zone)
{
    zone->counters = &zone->workers[ngx_worker % NGX_ACCESS_TOKEN_WORKERS];
}


void
ngx_access_token_zone_lock(ngx_access_token_zone_t *zone)
{
    ngx_shmtx_lock(&zone->pool->mutex);

    ngx_access_token_zone_enter(zone);
}


ngx_uint_t
ngx_access_token_zone_trylock(ngx_access_token_zone_t *zone)
{
    if (!ngx_shmtx_trylock(&zone->pool->mutex)) {
        return 0;
    }

    ngx_access_token_zone_enter(zone);

    return 1;
}


/* The lock was just taken; whoever left busy behind died with it. */

static void
ngx_access_token_zone_enter(ngx_access_token_zone_t *zone)
{
    if (zone->header->busy) {
        ngx_access_token_zone_empty(zone);
    }

    zone->header->busy = 1;

    ngx_memory_barrier();
}


void
ngx_access_token_zone_unlock(ngx_access_token_zone_t *zone)
{
    ngx_memory_barrier();

    zone->header->busy = 0;

    ngx_shmtx_unlock(&zone->pool->mutex);
}


/*
 * The holder of the lock has died.  Generations stay: they may only grow.  A
 * sequence number becomes even, and one that no reader has seen.
 */

static void
ngx_access_token_zone_empty(ngx_access_token_zone_t *zone)
{
    uint32_t                    i;
    ngx_access_token_header_t  *header;

    header = zone->header;

    for (i = 0; i < zone->nbuckets; i++) {
        zone->buckets[i].head = 0;
        zone->buckets[i].seq = (zone->buckets[i].seq + 2) & ~1;
    }

    for (i = 0; i < zone->nabsents; i++) {
        zone->absents[i].epoch = 0;
        zone->absents[i].seq = (zone->absents[i].seq + 2) & ~1;
    }

    ngx_memzero(zone->uses, zone->nuses * sizeof(ngx_access_token_use_t));
    ngx_memzero(zone->memories,
                zone->nmemories * sizeof(ngx_access_token_memory_t));

    for (i = 0; i < NGX_ACCESS_TOKEN_ORIGINS; i++) {
        header->servers[i].epoch = ngx_access_token_zone_epoch_locked(zone);
    }

    header->fresh = 1;
    header->free = 0;
    header->newest = 0;
    header->oldest = 0;
    header->used = 0;
    header->entries = 0;

    ngx_access_token_count(zone->counters->flushes[NGX_ACCESS_TOKEN_CRASH]);
}


uint32_t
ngx_access_token_zone_epoch_locked(ngx_access_token_zone_t *zone)
{
    ngx_access_token_header_t  *header;

    header = zone->header;

    /* that of nobody is 0 */

    header->epoch += (header->epoch == 0xffffffff) ? 2 : 1;

    return header->epoch;
}


/* --- for the status ---------------------------------------------------- */

void
ngx_access_token_zone_usage(ngx_access_token_zone_t *zone,
    ngx_access_token_zone_usage_t *usage)
{
    usage->entries = zone->header->entries;
    usage->used = (size_t) zone->header->used * NGX_ACCESS_TOKEN_SLOT;
    usage->size = (size_t) zone->nslots * NGX_ACCESS_TOKEN_SLOT;
}


ngx_access_token_counters_t *
ngx_access_token_zone_counters(ngx_access_token_zone_t *zone, ngx_uint_t n)
{
    return n < NGX_ACCESS_TOKEN_WORKERS ? &zone->workers[n] : NULL;
}


ngx_access_token_counters_t *
ngx_access_token_zone_mine(ngx_access_token_zone_t *zone)
{
    return zone->counters;
}


ngx_atomic_t *
ngx_access_token_zone_extra(ngx_access_token_zone_t *zone)
{
    return zone->extra;
}
