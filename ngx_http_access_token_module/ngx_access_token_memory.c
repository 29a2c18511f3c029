
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A short memory of changes.  A primary that dies takes with it what it had
 * confirmed and no replica had heard; the one that takes its place knows a
 * revoked token as active.  An nginx that knew better must not let it in.
 *
 *     a script publishes it    --+
 *     the API gets an answer   --+--> memories <--check-- a record is read
 *     a record is newer        --+
 *
 * Each change gives a record a version above the one before, and not below the
 * time in ms: so a change that is made after some were lost has a version above
 * those, and what an admin says once more is believed.
 *
 *     the record read is                    verdict
 *     not before the one remembered         as it says
 *     as old, but revoked as was told       revoked
 *     before it, and revoked by either      revoked
 *     there, though it was deleted          unknown
 *     before it otherwise                   unavailable: what it has become, of
 *                                           secrets and times, nobody knows
 *
 * A change that was heard of after the read was sent may have come between: the
 * read is sent once more, and then both are of one time.  What is cached of
 * before a change goes when that is heard of: it is of another server, if the
 * cache has not heard of the change as well.
 *
 * A set of four has room for those whose hash is the same.  One that is too old
 * goes first, then the oldest of those that tell of no revocation, deletion or
 * rotation; reads bring them again.  These push out none of the graver ones.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_zone.h>
#include <ngx_access_token_memory.h>


#define NGX_ACCESS_TOKEN_MEMORY_DIGITS  15


static ngx_uint_t ngx_access_token_memory_agrees(
    const ngx_access_token_memory_t *memory, const ngx_access_token_t *t);
static ngx_uint_t ngx_access_token_memory_known(
    const ngx_access_token_zone_t *zone, const u_char *id);
static ngx_access_token_memory_t *ngx_access_token_memory_set(
    const ngx_access_token_zone_t *zone, const u_char *id);
static ngx_access_token_memory_t *ngx_access_token_memory_find_locked(
    ngx_access_token_zone_t *zone, const u_char *id, int64_t now);
static void ngx_access_token_memory_put_locked(ngx_access_token_zone_t *zone,
    const u_char *id, uint64_t version, ngx_access_token_memory_e state,
    ngx_uint_t heard, int64_t now);
static ngx_access_token_memory_t *ngx_access_token_memory_place_locked(
    ngx_access_token_zone_t *zone, const u_char *id,
    ngx_access_token_memory_e state, int64_t now);
static void ngx_access_token_memory_outdate_locked(
    ngx_access_token_zone_t *zone, const u_char *id, uint64_t version);
static ngx_int_t ngx_access_token_memory_lost(ngx_access_token_zone_t *zone,
    ngx_access_token_t *t, const ngx_access_token_memory_t *known);
static const char *ngx_access_token_memory_word(u_char state);


ngx_int_t
ngx_access_token_memory_parse(ngx_str_t *text, uint64_t *version,
    ngx_access_token_memory_e *state)
{
    u_char     *p, *last;
    uint64_t    n;
    ngx_uint_t  digits;

    last = text->data + text->len;

    p = ngx_strlchr(text->data, last, ' ');
    if (p == NULL) {
        return NGX_DECLINED;
    }

    text->len = p - text->data;

    n = 0;
    digits = 0;

    for (p++; p < last && *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (*p - '0');

        if (++digits > NGX_ACCESS_TOKEN_MEMORY_DIGITS) {
            return NGX_DECLINED;
        }
    }

    if (digits == 0 || last - p != 2 || *p != ' ') {
        return NGX_DECLINED;
    }

    switch (p[1]) {

    case NGX_ACCESS_TOKEN_MEMORY_REVOKED:
    case NGX_ACCESS_TOKEN_MEMORY_DELETED:
    case NGX_ACCESS_TOKEN_MEMORY_ROTATED:
    case NGX_ACCESS_TOKEN_MEMORY_OTHER:
        break;

    default:
        return NGX_DECLINED;
    }

    *version = n;
    *state = p[1];

    return NGX_OK;
}


/* Nothing is before the first version. */

void
ngx_access_token_memory_keep(ngx_access_token_zone_t *zone, const u_char *id,
    uint64_t version, ngx_access_token_memory_e state, int64_t now)
{
    if (version <= 1) {
        return;
    }

    ngx_access_token_zone_lock(zone);

    ngx_access_token_memory_put_locked(zone, id, version, state, 1, now);

    ngx_access_token_zone_unlock(zone);
}


ngx_int_t
ngx_access_token_memory_check(ngx_access_token_zone_t *zone,
    ngx_access_token_t *t, int64_t sent, int64_t now)
{
    ngx_access_token_memory_t  *memory, known;

    /* most tokens are as they were made, and nothing is known of them */

    if (t->version <= 1 && !ngx_access_token_memory_known(zone, t->id)) {
        return NGX_OK;
    }

    ngx_access_token_zone_lock(zone);

    memory = ngx_access_token_memory_find_locked(zone, t->id, now);

    if (memory == NULL || ngx_access_token_memory_agrees(memory, t)) {
        if (t->version > 1) {
            ngx_access_token_memory_put_locked(zone, t->id, t->version,
                                  t->revoked ? NGX_ACCESS_TOKEN_MEMORY_REVOKED
                                             : NGX_ACCESS_TOKEN_MEMORY_OTHER,
                                  0, now);
        }

        ngx_access_token_zone_unlock(zone);

        return NGX_OK;
    }

    known = *memory;

    if (known.when < sent) {
        memory->told = 1;
    }

    ngx_access_token_zone_unlock(zone);

    return (known.when < sent) ? ngx_access_token_memory_lost(zone, t, &known)
                               : NGX_AGAIN;
}


ngx_uint_t
ngx_access_token_memory_allows_locked(ngx_access_token_zone_t *zone,
    const ngx_access_token_t *t, int64_t now)
{
    ngx_access_token_memory_t  *memory;

    memory = ngx_access_token_memory_find_locked(zone, t->id, now);

    return memory == NULL || ngx_access_token_memory_agrees(memory, t);
}


/*
 * What is of one version and of two minds was changed twice from the same one:
 * one change was lost, and the clocks of those that made them differ.  But if
 * nobody has told of the one, it was written past the API, and so is the other.
 */

static ngx_uint_t
ngx_access_token_memory_agrees(const ngx_access_token_memory_t *memory,
    const ngx_access_token_t *t)
{
    if (t->version != memory->version) {
        return t->version > memory->version;
    }

    switch (memory->state) {

    case NGX_ACCESS_TOKEN_MEMORY_DELETED:
        return 0;

    case NGX_ACCESS_TOKEN_MEMORY_REVOKED:
        return t->revoked || !memory->heard;

    default:
        return 1;
    }
}


/*
 * Without the lock: whether a look with it is worth while.  What is just being
 * written is as if it came a moment later.
 */

static ngx_uint_t
ngx_access_token_memory_known(const ngx_access_token_zone_t *zone,
    const u_char *id)
{
    ngx_uint_t                  i;
    ngx_access_token_memory_t  *set;

    set = ngx_access_token_memory_set(zone, id);

    for (i = 0; i < NGX_ACCESS_TOKEN_MEMORY_WAYS; i++) {
        if (ngx_memcmp(set[i].id, id, NGX_ACCESS_TOKEN_ID_LEN) == 0) {
            return 1;
        }
    }

    return 0;
}


static ngx_access_token_memory_t *
ngx_access_token_memory_set(const ngx_access_token_zone_t *zone,
    const u_char *id)
{
    return &zone->memories[ngx_access_token_zone_hash(zone, id)
                           & (zone->nmemories - 1)
                           & ~(NGX_ACCESS_TOKEN_MEMORY_WAYS - 1)];
}


/* NULL: none, or one that is too old. */

static ngx_access_token_memory_t *
ngx_access_token_memory_find_locked(ngx_access_token_zone_t *zone,
    const u_char *id, int64_t now)
{
    ngx_uint_t                  i;
    ngx_access_token_memory_t  *set;

    set = ngx_access_token_memory_set(zone, id);

    for (i = 0; i < NGX_ACCESS_TOKEN_MEMORY_WAYS; i++) {
        if (set[i].when
            && now - set[i].when < NGX_ACCESS_TOKEN_MEMORY_AGE
            && ngx_memcmp(set[i].id, id, NGX_ACCESS_TOKEN_ID_LEN) == 0)
        {
            return &set[i];
        }
    }

    return NULL;
}


/* What a change was is not forgotten when it is read, or told of. */

static void
ngx_access_token_memory_put_locked(ngx_access_token_zone_t *zone,
    const u_char *id, uint64_t version, ngx_access_token_memory_e state,
    ngx_uint_t heard, int64_t now)
{
    ngx_access_token_memory_t  *memory;

    memory = ngx_access_token_memory_find_locked(zone, id, now);

    if (memory == NULL) {
        memory = ngx_access_token_memory_place_locked(zone, id, state, now);
        if (memory == NULL) {
            return;
        }

        ngx_memcpy(memory->id, id, NGX_ACCESS_TOKEN_ID_LEN);
        memory->version = 0;
    }

    if (version < memory->version) {
        return;
    }

    if (version > memory->version) {
        memory->told = 0;
        ngx_access_token_memory_outdate_locked(zone, id, version);

    } else if (state == NGX_ACCESS_TOKEN_MEMORY_OTHER) {
        state = memory->state;
        heard = memory->heard;

    } else if (state == memory->state) {
        heard = heard || memory->heard;
    }

    memory->version = version;
    memory->state = state;
    memory->heard = heard;
    memory->when = now;
}


/*
 * Where one goes that is not there: its own that is too old comes first.  NULL:
 * nowhere.
 */

static ngx_access_token_memory_t *
ngx_access_token_memory_place_locked(ngx_access_token_zone_t *zone,
    const u_char *id, ngx_access_token_memory_e state, int64_t now)
{
    ngx_uint_t                  i, rank, best;
    ngx_access_token_memory_t  *set, *to;

    set = ngx_access_token_memory_set(zone, id);
    to = set;
    best = 0;

    for (i = 0; i < NGX_ACCESS_TOKEN_MEMORY_WAYS; i++) {

        if (ngx_memcmp(set[i].id, id, NGX_ACCESS_TOKEN_ID_LEN) == 0) {
            return &set[i];
        }

        if (set[i].when == 0
            || now - set[i].when >= NGX_ACCESS_TOKEN_MEMORY_AGE)
        {
            rank = 2;

        } else {
            rank = (set[i].state == NGX_ACCESS_TOKEN_MEMORY_OTHER);
        }

        if (rank > best || (rank == best && set[i].when < to->when)) {
            to = &set[i];
            best = rank;
        }
    }

    if (best == 0 && state == NGX_ACCESS_TOKEN_MEMORY_OTHER) {
        return NULL;
    }

    return to;
}


static void
ngx_access_token_memory_outdate_locked(ngx_access_token_zone_t *zone,
    const u_char *id, uint64_t version)
{
    ngx_access_token_slot_t  *slot;

    slot = ngx_access_token_slots_find_locked(zone, id);

    if (slot && slot->version < version) {
        ngx_access_token_slots_remove_locked(zone, slot);
    }
}


static ngx_int_t
ngx_access_token_memory_lost(ngx_access_token_zone_t *zone,
    ngx_access_token_t *t, const ngx_access_token_memory_t *known)
{
    ngx_access_token_count(zone->counters->lost);

    if (!known->told) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "redis has lost a change of access token \"%*s\": it "
                      "tells version %uL, and %uL (%s) was known; revoke or "
                      "change it again, or delete it, see docs/operations.md",
                      (size_t) NGX_ACCESS_TOKEN_ID_LEN, t->id, t->version,
                      known->version,
                      ngx_access_token_memory_word(known->state));
    }

    if (known->state == NGX_ACCESS_TOKEN_MEMORY_DELETED) {
        return NGX_DECLINED;
    }

    if (t->revoked || known->state == NGX_ACCESS_TOKEN_MEMORY_REVOKED) {
        t->revoked = 1;
        return NGX_DONE;
    }

    return NGX_ERROR;
}


static const char *
ngx_access_token_memory_word(u_char state)
{
    switch (state) {

    case NGX_ACCESS_TOKEN_MEMORY_REVOKED:
        return "revoked";

    case NGX_ACCESS_TOKEN_MEMORY_DELETED:
        return "deleted";

    case NGX_ACCESS_TOKEN_MEMORY_ROTATED:
        return "rotated";

    default:
        return "changed";
    }
}
