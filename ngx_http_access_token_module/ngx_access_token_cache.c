
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The cache: records in the zone.  See ngx_access_token_zone.h for a picture.
 *
 *     find     reads without the lock, and copies; if a change came between,
 *              it reads once more with the lock
 *     put      into the newest slot; if none is free, the oldest record goes
 *     forget   one more generation of the bucket, and the record goes
 *     flush    one more epoch: all that is there is of another one
 *
 * A record becomes the newest again when it is used, unless it is among the
 * newest anyway: so the records that are used most are not moved at all.
 *
 * Ids that are not in Redis have places of their own, one for each hash: so a
 * flood of them pushes out nothing but each other.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_zone.h>
#include <ngx_access_token_memory.h>


/* What was copied out of the zone, and is the reader's own. */

typedef struct {
    ngx_access_token_slot_t       slot;
    u_char                        text[NGX_ACCESS_TOKEN_TEXT_MAX];
                                                /* if it is not in the slot */
} ngx_access_token_copy_t;


static ngx_int_t ngx_access_token_cache_read(ngx_access_token_zone_t *zone,
    const u_char *id, uint32_t hash, ngx_access_token_copy_t *copy);
static ngx_int_t ngx_access_token_cache_walk(ngx_access_token_zone_t *zone,
    const u_char *id, uint32_t head, ngx_access_token_copy_t *copy);
static ngx_int_t ngx_access_token_cache_copy(ngx_access_token_zone_t *zone,
    uint32_t index, ngx_access_token_copy_t *copy);
static ngx_int_t ngx_access_token_cache_gather(ngx_access_token_zone_t *zone,
    ngx_access_token_copy_t *copy, size_t len);
static ngx_int_t ngx_access_token_cache_absent(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id, uint32_t hash,
    int64_t now);
static ngx_access_token_t *ngx_access_token_cache_record(ngx_pool_t *pool,
    const ngx_access_token_copy_t *copy);
static void ngx_access_token_cache_touch(ngx_access_token_zone_t *zone,
    const ngx_access_token_copy_t *copy);

static void ngx_access_token_cache_absent_locked(
    ngx_access_token_zone_t *zone, const u_char *id, uint32_t epoch,
    int64_t sent);


static ngx_inline size_t
ngx_access_token_text_len(const ngx_access_token_slot_t *slot)
{
    return (size_t) slot->organization + slot->group + slot->name;
}


/* Seconds; of a place that is free 0. */

static ngx_inline uint32_t
ngx_access_token_heard_of(const ngx_access_token_server_t *server)
{
    return ngx_max(server->claimed, (uint32_t) (server->heard / 1000000));
}


/*
 * The epoch of what was read from the server; 0: its place is another one's.
 * Whoever takes a place away gives it another epoch before it changes source,
 * so what is read before source is not of the new one.
 */

static ngx_inline uint32_t
ngx_access_token_epoch(const ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin)
{
    uint32_t                          epoch;
    const ngx_access_token_server_t  *server;

    server = &zone->header->servers[origin->n];

    epoch = __atomic_load_n(&server->epoch, __ATOMIC_ACQUIRE);

    return (origin->source
            && __atomic_load_n(&server->source, __ATOMIC_ACQUIRE)
               == origin->source)
           ? epoch : 0;
}


void
ngx_access_token_cache_stamp(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id,
    ngx_access_token_stamp_t *stamp)
{
    ngx_access_token_bucket_t  *bucket;

    bucket = ngx_access_token_bucket(zone,
                                     ngx_access_token_zone_hash(zone, id));

    stamp->generation = __atomic_load_n(&bucket->generation, __ATOMIC_ACQUIRE);
    stamp->epoch = ngx_access_token_epoch(zone, origin);
}


ngx_uint_t
ngx_access_token_cache_current(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id,
    const ngx_access_token_stamp_t *stamp)
{
    ngx_access_token_stamp_t  now;

    ngx_access_token_cache_stamp(zone, origin, id, &now);

    return now.generation == stamp->generation && now.epoch == stamp->epoch;
}


/* --- find -------------------------------------------------------------- */

void
ngx_access_token_cache_fetch_bucket(const ngx_access_token_zone_t *zone,
    const u_char *id)
{
    __builtin_prefetch(ngx_access_token_bucket(zone,
                                      ngx_access_token_zone_hash(zone, id)));
}


/* The first in the chain, which nearly always is the one, and most of it. */

void
ngx_access_token_cache_fetch_record(const ngx_access_token_zone_t *zone,
    const u_char *id)
{
    u_char                     *p;
    uint32_t                    index;
    ngx_access_token_bucket_t  *bucket;

    bucket = ngx_access_token_bucket(zone,
                                     ngx_access_token_zone_hash(zone, id));

    index = __atomic_load_n(&bucket->head, __ATOMIC_RELAXED);

    if (index && index <= zone->nslots) {
        p = (u_char *) &zone->slots[index];

        __builtin_prefetch(p);
        __builtin_prefetch(p + 64);
        __builtin_prefetch(p + 128);
    }
}


ngx_int_t
ngx_access_token_cache_find(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id, int64_t now,
    ngx_pool_t *pool, ngx_access_token_t **t)
{
    uint32_t                 hash;
    ngx_int_t                rc;
    ngx_access_token_copy_t  copy;

    hash = ngx_access_token_zone_hash(zone, id);

    rc = ngx_access_token_cache_read(zone, id, hash, &copy);

    if (rc == NGX_AGAIN) {
        ngx_access_token_zone_lock(zone);
        rc = ngx_access_token_cache_read(zone, id, hash, &copy);
        ngx_access_token_zone_unlock(zone);
    }

    if (rc != NGX_OK) {
        return ngx_access_token_cache_absent(zone, origin, id, hash, now);
    }

    /* that of another server is found to be one here */

    if (now - copy.slot.sent >= zone->max_age
        || copy.slot.epoch != ngx_access_token_epoch(zone, origin))
    {
        return NGX_AGAIN;
    }

    if (zone->header->moves - copy.slot.touched
        > zone->nslots / NGX_ACCESS_TOKEN_NEWEST)
    {
        ngx_access_token_cache_touch(zone, &copy);
    }

    *t = ngx_access_token_cache_record(pool, &copy);

    return *t ? NGX_OK : NGX_ERROR;
}


/* NGX_OK, NGX_DECLINED; NGX_AGAIN: the bucket was changed meanwhile. */

static ngx_int_t
ngx_access_token_cache_read(ngx_access_token_zone_t *zone, const u_char *id,
    uint32_t hash, ngx_access_token_copy_t *copy)
{
    uint32_t                    seq;
    ngx_int_t                   rc;
    ngx_access_token_bucket_t  *bucket;

    bucket = ngx_access_token_bucket(zone, hash);

    seq = __atomic_load_n(&bucket->seq, __ATOMIC_ACQUIRE);

    if (seq & 1) {
        return NGX_AGAIN;
    }

    rc = ngx_access_token_cache_walk(zone, id,
                        __atomic_load_n(&bucket->head, __ATOMIC_RELAXED),
                        copy);

    if (!ngx_access_token_unchanged(&bucket->seq, seq)) {
        return NGX_AGAIN;
    }

    return rc;
}


/* What is read here may change under us; so an index is looked at twice. */

static ngx_int_t
ngx_access_token_cache_walk(ngx_access_token_zone_t *zone, const u_char *id,
    uint32_t head, ngx_access_token_copy_t *copy)
{
    uint32_t                  index;
    ngx_uint_t                n;
    ngx_access_token_slot_t  *slot;

    index = head;

    for (n = 0; n < NGX_ACCESS_TOKEN_CHAIN_MAX; n++) {

        if (index == 0) {
            return NGX_DECLINED;
        }

        if (index > zone->nslots) {
            return NGX_AGAIN;
        }

        slot = &zone->slots[index];

        if (ngx_memcmp(slot->id, id, NGX_ACCESS_TOKEN_ID_LEN) == 0) {
            return ngx_access_token_cache_copy(zone, index, copy);
        }

        index = __atomic_load_n(&slot->next, __ATOMIC_RELAXED);
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_access_token_cache_copy(ngx_access_token_zone_t *zone, uint32_t index,
    ngx_access_token_copy_t *copy)
{
    size_t                          len;
    const u_char                   *from;
    ngx_access_token_slot_t        *to;

    from = (const u_char *) &zone->slots[index];
    to = &copy->slot;

    ngx_memcpy(to, from, NGX_ACCESS_TOKEN_SLOT_HEAD);

    len = ngx_access_token_text_len(to);

    if (to->previous_until == 0
        && len <= NGX_ACCESS_TOKEN_SLOT_HEAD
                  - offsetof(ngx_access_token_slot_t, text))
    {
        return NGX_OK;
    }

    ngx_memcpy((u_char *) to + NGX_ACCESS_TOKEN_SLOT_HEAD,
               from + NGX_ACCESS_TOKEN_SLOT_HEAD,
               NGX_ACCESS_TOKEN_SLOT - NGX_ACCESS_TOKEN_SLOT_HEAD);

    if (len <= NGX_ACCESS_TOKEN_SLOT_TEXT) {
        return NGX_OK;
    }

    return ngx_access_token_cache_gather(zone, copy, len);
}


static ngx_int_t
ngx_access_token_cache_gather(ngx_access_token_zone_t *zone,
    ngx_access_token_copy_t *copy, size_t len)
{
    size_t                    n;
    u_char                   *p;
    uint32_t                  index;
    ngx_access_token_more_t  *more;

    if (len > NGX_ACCESS_TOKEN_TEXT_MAX) {
        return NGX_AGAIN;
    }

    p = ngx_cpymem(copy->text, copy->slot.text, NGX_ACCESS_TOKEN_SLOT_TEXT);
    len -= NGX_ACCESS_TOKEN_SLOT_TEXT;

    for (index = copy->slot.more; len;
         index = __atomic_load_n(&more->more, __ATOMIC_RELAXED))
    {

        if (index == 0 || index > zone->nslots) {
            return NGX_AGAIN;
        }

        more = (ngx_access_token_more_t *) &zone->slots[index];

        n = ngx_min(len, NGX_ACCESS_TOKEN_MORE_TEXT);
        p = ngx_cpymem(p, more->text, n);
        len -= n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_access_token_cache_absent(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id, uint32_t hash,
    int64_t now)
{
    uint32_t                    seq;
    ngx_uint_t                  same;
    ngx_access_token_absent_t  *place, absent;

    place = ngx_access_token_absent(zone, hash);

    seq = __atomic_load_n(&place->seq, __ATOMIC_ACQUIRE);

    absent = *place;

    same = (ngx_memcmp(absent.id, id, NGX_ACCESS_TOKEN_ID_LEN) == 0);

    if (!same || (seq & 1) || !ngx_access_token_unchanged(&place->seq, seq)) {
        return NGX_AGAIN;
    }

    if (now - absent.sent >= zone->negative
        || absent.epoch == 0
        || absent.epoch != ngx_access_token_epoch(zone, origin))
    {
        return NGX_AGAIN;
    }

    return NGX_DECLINED;
}


static ngx_access_token_t *
ngx_access_token_cache_record(ngx_pool_t *pool,
    const ngx_access_token_copy_t *copy)
{
    size_t                          len;
    u_char                         *p;
    const u_char                   *text;
    ngx_access_token_t             *t;
    const ngx_access_token_slot_t  *slot;

    slot = &copy->slot;

    len = ngx_access_token_text_len(slot);
    text = (len <= NGX_ACCESS_TOKEN_SLOT_TEXT) ? slot->text : copy->text;

    t = ngx_palloc(pool, sizeof(ngx_access_token_t)
                         + NGX_ACCESS_TOKEN_USER_LEN + len);
    if (t == NULL) {
        return NULL;
    }

    ngx_memcpy(t->id, slot->id, NGX_ACCESS_TOKEN_ID_LEN);
    ngx_memcpy(t->digest, slot->digest, NGX_ACCESS_TOKEN_DIGEST_LEN);

    /* what the edge does not load is not set */

    ngx_memzero((u_char *) t + NGX_ACCESS_TOKEN_HEAD,
                sizeof(ngx_access_token_t) - NGX_ACCESS_TOKEN_HEAD);

    if (slot->previous_until) {
        t->previous_until = (time_t) slot->previous_until;
        ngx_memcpy(t->previous, slot->previous, NGX_ACCESS_TOKEN_DIGEST_LEN);
    }

    t->expires = (time_t) slot->expires;
    t->version = slot->version;
    t->admin = slot->admin;
    t->revoked = slot->revoked;
    t->used = slot->used;

    p = (u_char *) t + sizeof(ngx_access_token_t);

    t->technical_user.data = p;
    t->technical_user.len = NGX_ACCESS_TOKEN_USER_LEN;
    p = ngx_cpymem(p, slot->user, NGX_ACCESS_TOKEN_USER_LEN);

    ngx_memcpy(p, text, len);

    t->owner.organization.data = p;
    t->owner.organization.len = slot->organization;
    p += slot->organization;

    t->owner.group.data = p;
    t->owner.group.len = slot->group;
    p += slot->group;

    t->name.data = p;
    t->name.len = slot->name;

    return t;
}


/* It is no loss if another one holds the lock: the next use will do it. */

static void
ngx_access_token_cache_touch(ngx_access_token_zone_t *zone,
    const ngx_access_token_copy_t *copy)
{
    ngx_access_token_slot_t  *slot;

    if (!ngx_access_token_zone_trylock(zone)) {
        return;
    }

    slot = ngx_access_token_slots_find_locked(zone, copy->slot.id);

    if (slot) {
        ngx_access_token_slots_touch_locked(zone, slot);
    }

    ngx_access_token_zone_unlock(zone);
}


/* --- put --------------------------------------------------------------- */

ngx_int_t
ngx_access_token_cache_put(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, const u_char *id,
    const ngx_access_token_stamp_t *stamp, int64_t sent,
    const ngx_access_token_t *t)
{
    uint32_t                  used, epoch;
    ngx_uint_t                current;
    ngx_access_token_slot_t  *slot;

    ngx_access_token_zone_lock(zone);

    epoch = ngx_access_token_epoch(zone, origin);

    if (epoch == 0) {
        ngx_access_token_zone_unlock(zone);
        return NGX_DECLINED;
    }

    current = ngx_access_token_cache_current(zone, origin, id, stamp)
              && (t == NULL
                  || ngx_access_token_memory_allows_locked(zone, t, sent));

#if (NGX_ACCESS_TOKEN_MUTATION == 2)
    current = 1;
#endif

    if (!current) {
        ngx_access_token_zone_unlock(zone);
        ngx_access_token_count(zone->counters->refusals);
        return NGX_DECLINED;
    }

    used = 0;

    /* it is there still if it is too old, or of another epoch */

    slot = ngx_access_token_slots_find_locked(zone, id);
    if (slot) {
        used = slot->used;
        ngx_access_token_slots_remove_locked(zone, slot);
    }

    if (t) {
        ngx_access_token_slots_put_locked(zone, id,
                                        ngx_access_token_zone_hash(zone, id),
                                        epoch, sent, used, t);

    } else {
        ngx_access_token_cache_absent_locked(zone, id, epoch, sent);
    }

    ngx_access_token_zone_unlock(zone);

    return NGX_OK;
}


static void
ngx_access_token_cache_absent_locked(ngx_access_token_zone_t *zone,
    const u_char *id, uint32_t epoch, int64_t sent)
{
    ngx_access_token_absent_t  *absent;

    absent = ngx_access_token_absent(zone,
                                     ngx_access_token_zone_hash(zone, id));

    ngx_access_token_begin(&absent->seq);

    absent->epoch = epoch;
    absent->sent = sent;
    ngx_memcpy(absent->id, id, NGX_ACCESS_TOKEN_ID_LEN);

    ngx_access_token_end(&absent->seq);
}


/* --- forget ------------------------------------------------------------ */

void
ngx_access_token_cache_forget(ngx_access_token_zone_t *zone, const u_char *id)
{
    uint32_t                    hash;
    ngx_access_token_slot_t    *slot;
    ngx_access_token_absent_t  *absent;
    ngx_access_token_bucket_t  *bucket;

    hash = ngx_access_token_zone_hash(zone, id);
    bucket = ngx_access_token_bucket(zone, hash);
    absent = ngx_access_token_absent(zone, hash);

    ngx_access_token_zone_lock(zone);

    __atomic_store_n(&bucket->generation, bucket->generation + 1,
                     __ATOMIC_RELEASE);

    slot = ngx_access_token_slots_find_locked(zone, id);
    if (slot) {
        ngx_access_token_slots_remove_locked(zone, slot);
    }

    if (ngx_memcmp(absent->id, id, NGX_ACCESS_TOKEN_ID_LEN) == 0) {
        ngx_access_token_begin(&absent->seq);
        absent->epoch = 0;
        ngx_access_token_end(&absent->seq);
    }

    ngx_access_token_zone_unlock(zone);
}


/* --- all of it --------------------------------------------------------- */

void
ngx_access_token_cache_flush(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, ngx_access_token_cause_e cause)
{
    ngx_access_token_server_t  *server;

    server = &zone->header->servers[origin->n];

    ngx_access_token_zone_lock(zone);

    if (ngx_access_token_epoch(zone, origin)) {
        __atomic_store_n(&server->epoch,
                         ngx_access_token_zone_epoch_locked(zone),
                         __ATOMIC_RELEASE);
    }

    ngx_access_token_zone_unlock(zone);

    ngx_access_token_count(zone->counters->flushes[cause]);
}


ngx_uint_t
ngx_access_token_cache_claim(ngx_access_token_zone_t *zone, uint64_t source,
    ngx_access_token_origin_t *origin)
{
    uint32_t                    now;
    ngx_uint_t                  i, n, others;
    ngx_access_token_server_t  *servers;

    servers = zone->header->servers;
    now = (uint32_t) (ngx_access_token_clock() / 1000000);

    ngx_access_token_zone_lock(zone);

    n = 0;
    others = 0;

    for (i = 0; i < NGX_ACCESS_TOKEN_ORIGINS; i++) {

        if (servers[i].source == source) {
            n = i;
            break;
        }

        others |= (servers[i].source != 0);

        if (ngx_access_token_heard_of(&servers[i])
            < ngx_access_token_heard_of(&servers[n]))
        {
            n = i;
        }
    }

    if (servers[n].source != source) {
        __atomic_store_n(&servers[n].epoch,
                         ngx_access_token_zone_epoch_locked(zone),
                         __ATOMIC_RELEASE);
        __atomic_store_n(&servers[n].source, source, __ATOMIC_RELEASE);
        servers[n].heard = 0;
        servers[n].claimed = now;

    } else {
        others = 0;
    }

    ngx_access_token_zone_unlock(zone);

    origin->n = n;
    origin->source = source;

    return others;
}


const u_char *
ngx_access_token_cache_edge(ngx_access_token_zone_t *zone)
{
    return zone->header->edge;
}


int64_t
ngx_access_token_cache_heard(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin)
{
    ngx_access_token_server_t  *server;

    server = &zone->header->servers[origin->n];

    return ngx_access_token_epoch(zone, origin)
           ? __atomic_load_n(&server->heard, __ATOMIC_ACQUIRE) : 0;
}


void
ngx_access_token_cache_hear(ngx_access_token_zone_t *zone,
    const ngx_access_token_origin_t *origin, int64_t until)
{
    ngx_access_token_server_t  *server;

    server = &zone->header->servers[origin->n];

    ngx_access_token_zone_lock(zone);

    if (ngx_access_token_epoch(zone, origin) && server->heard < until) {
        server->heard = until;
    }

    ngx_access_token_zone_unlock(zone);
}
