
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The slots of the zone and how they hang together: for those who hold the
 * lock.  See ngx_access_token_zone.h for a picture.
 *
 * A record is one slot, or up to three if its texts are long.  It is in the
 * chain of its bucket and in the list from the newest to the oldest, a slot
 * with more of its text in neither.  What is in no record is free: in a list,
 * or fresh, which begins where no slot was ever used.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_zone.h>


static void ngx_access_token_slots_write_locked(ngx_access_token_zone_t *zone,
    uint32_t index, const ngx_access_token_t *t);
static void ngx_access_token_slots_text_locked(ngx_access_token_zone_t *zone,
    uint32_t index, const u_char *text, size_t len);
static uint32_t ngx_access_token_slots_take_locked(
    ngx_access_token_zone_t *zone);
static void ngx_access_token_slots_newest_locked(ngx_access_token_zone_t *zone,
    uint32_t index);
static void ngx_access_token_slots_unlink_locked(ngx_access_token_zone_t *zone,
    uint32_t index);


/* The text of a record is spread over more slots; the first is the shortest. */

typedef char  ngx_access_token_slot_is_of_its_size[
    sizeof(ngx_access_token_slot_t) == NGX_ACCESS_TOKEN_SLOT
    && NGX_ACCESS_TOKEN_SLOT_TEXT + 2 * NGX_ACCESS_TOKEN_MORE_TEXT
       >= NGX_ACCESS_TOKEN_TEXT_MAX ? 1 : -1];


ngx_access_token_slot_t *
ngx_access_token_slots_find_locked(ngx_access_token_zone_t *zone,
    const u_char *id)
{
    uint32_t                    index;
    ngx_access_token_slot_t    *slot;
    ngx_access_token_bucket_t  *bucket;

    bucket = ngx_access_token_bucket(zone,
                                     ngx_access_token_zone_hash(zone, id));

    for (index = bucket->head; index; index = slot->next) {
        slot = &zone->slots[index];

        if (ngx_memcmp(slot->id, id, NGX_ACCESS_TOKEN_ID_LEN) == 0) {
            return slot;
        }
    }

    return NULL;
}


void
ngx_access_token_slots_put_locked(ngx_access_token_zone_t *zone,
    const u_char *id, uint32_t hash, uint32_t epoch, int64_t sent,
    uint32_t used, const ngx_access_token_t *t)
{
    uint32_t                    index;
    ngx_access_token_slot_t    *slot;
    ngx_access_token_bucket_t  *bucket;

    index = ngx_access_token_slots_take_locked(zone);
    ngx_access_token_slots_write_locked(zone, index, t);

    bucket = ngx_access_token_bucket(zone, hash);

    slot = &zone->slots[index];
    slot->bucket = hash & (zone->nbuckets - 1);
    slot->epoch = epoch;
    slot->sent = sent;
    slot->used = used;
    ngx_memcpy(slot->id, id, NGX_ACCESS_TOKEN_ID_LEN);

    ngx_access_token_slots_newest_locked(zone, index);
    zone->header->entries++;

    /* all of it has been written before a reader can find it */

    ngx_access_token_begin(&bucket->seq);

    slot->next = bucket->head;
    bucket->head = index;

    ngx_access_token_end(&bucket->seq);
}


/* The record itself; how it hangs together with others is the caller's. */

static void
ngx_access_token_slots_write_locked(ngx_access_token_zone_t *zone,
    uint32_t index, const ngx_access_token_t *t)
{
    u_char                   *p, text[NGX_ACCESS_TOKEN_TEXT_MAX];
    ngx_access_token_slot_t  *slot;

    slot = &zone->slots[index];

    slot->expires = t->expires;
    slot->previous_until = t->previous_until;
    slot->version = t->version;
    slot->admin = t->admin;
    slot->revoked = t->revoked;
    slot->organization = (u_char) t->owner.organization.len;
    slot->group = (u_char) t->owner.group.len;
    slot->name = (uint16_t) t->name.len;

    ngx_memcpy(slot->digest, t->digest, NGX_ACCESS_TOKEN_DIGEST_LEN);
    ngx_memcpy(slot->previous, t->previous, NGX_ACCESS_TOKEN_DIGEST_LEN);
    ngx_memcpy(slot->user, t->technical_user.data, NGX_ACCESS_TOKEN_USER_LEN);

    p = ngx_cpymem(text, t->owner.organization.data,
                   t->owner.organization.len);

    if (t->owner.group.len) {
        p = ngx_cpymem(p, t->owner.group.data, t->owner.group.len);
    }

    p = ngx_cpymem(p, t->name.data, t->name.len);

    ngx_access_token_slots_text_locked(zone, index, text, p - text);
}


static void
ngx_access_token_slots_text_locked(ngx_access_token_zone_t *zone,
    uint32_t index, const u_char *text, size_t len)
{
    size_t     n;
    u_char    *to;
    uint32_t  *more;

    more = &zone->slots[index].more;
    to = zone->slots[index].text;
    n = ngx_min(len, NGX_ACCESS_TOKEN_SLOT_TEXT);

    for ( ;; ) {
        ngx_memcpy(to, text, n);
        text += n;
        len -= n;

        if (len == 0) {
            break;
        }

        *more = ngx_access_token_slots_take_locked(zone);

        to = ((ngx_access_token_more_t *) &zone->slots[*more])->text;
        more = &zone->slots[*more].more;
        n = ngx_min(len, NGX_ACCESS_TOKEN_MORE_TEXT);
    }

    *more = 0;
}


/*
 * A slot that nobody has.  One that is being filled is not yet in the list of
 * the newest and oldest, so that it cannot be taken away again here.
 */

static uint32_t
ngx_access_token_slots_take_locked(ngx_access_token_zone_t *zone)
{
    uint32_t                    index;
    ngx_access_token_header_t  *header;

    header = zone->header;

    if (header->free == 0 && header->fresh > zone->nslots) {
        ngx_access_token_slots_remove_locked(zone,
                                             &zone->slots[header->oldest]);
        ngx_access_token_count(zone->counters->evictions);
    }

    if (header->free) {
        index = header->free;
        header->free = zone->slots[index].next;

    } else {
        index = header->fresh++;
    }

    header->used++;

    return index;
}


/* Out of its bucket and all lists, to the free ones, with all its text. */

void
ngx_access_token_slots_remove_locked(ngx_access_token_zone_t *zone,
    ngx_access_token_slot_t *slot)
{
    uint32_t                   *link, index, more;
    ngx_access_token_bucket_t  *bucket;
    ngx_access_token_header_t  *header;

    header = zone->header;
    index = slot - zone->slots;
    bucket = &zone->buckets[slot->bucket];

    ngx_access_token_begin(&bucket->seq);

    for (link = &bucket->head; *link != index;
         link = &zone->slots[*link].next)
    {
        /* void */
    }

    *link = slot->next;

    ngx_access_token_end(&bucket->seq);

    ngx_access_token_slots_unlink_locked(zone, index);
    header->entries--;

    for ( /* void */ ; index; index = more) {
        more = zone->slots[index].more;

        zone->slots[index].next = header->free;
        header->free = index;
        header->used--;
    }
}


void
ngx_access_token_slots_touch_locked(ngx_access_token_zone_t *zone,
    ngx_access_token_slot_t *slot)
{
    ngx_access_token_slots_unlink_locked(zone, slot - zone->slots);
    ngx_access_token_slots_newest_locked(zone, slot - zone->slots);
}


static void
ngx_access_token_slots_newest_locked(ngx_access_token_zone_t *zone,
    uint32_t index)
{
    ngx_access_token_slot_t    *slot;
    ngx_access_token_header_t  *header;

    header = zone->header;
    slot = &zone->slots[index];

    slot->touched = ++header->moves;
    slot->newer = 0;
    slot->older = header->newest;

    if (header->newest) {
        zone->slots[header->newest].newer = index;

    } else {
        header->oldest = index;
    }

    header->newest = index;
}


static void
ngx_access_token_slots_unlink_locked(ngx_access_token_zone_t *zone,
    uint32_t index)
{
    ngx_access_token_slot_t    *slot;
    ngx_access_token_header_t  *header;

    header = zone->header;
    slot = &zone->slots[index];

    if (slot->newer) {
        zone->slots[slot->newer].older = slot->older;

    } else {
        header->newest = slot->older;
    }

    if (slot->older) {
        zone->slots[slot->older].newer = slot->newer;

    } else {
        header->oldest = slot->newer;
    }
}
