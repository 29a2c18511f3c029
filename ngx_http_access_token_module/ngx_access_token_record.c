
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The record to and from the fields of a Redis hash.
 *
 * One table says what each field is.  Reading is strict: a value has one
 * spelling, and whatever else is found there is refused and named, never
 * guessed, for a guess here could let somebody in.
 *
 * Fields come in any order, and each has a bit in "seen".  When all are there,
 * it is checked that none is missing and none contradicts another.  Texts are
 * the work of ngx_access_token_text.c.
 *
 * The verdict is here too: it takes no more than a record, the digest that was
 * presented and a clock.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>
#include <ngx_access_token_record.h>


#define NGX_ACCESS_TOKEN_MAX_TIME    253402300799   /* 9999-12-31T23:59:59Z */
/* bits of seen: h o g a s e u v and n; of all, c and b too */

#define NGX_ACCESS_TOKEN_EDGE_NEEDS  (0x3f9 | (uint64_t) 1 << 16)
#define NGX_ACCESS_TOKEN_FULL_NEEDS  (NGX_ACCESS_TOKEN_EDGE_NEEDS             \
                                      | 1 << 10 | (uint64_t) 1 << 24)

/* What scripts count on from: nobody could revoke what has a later version. */

#define NGX_ACCESS_TOKEN_MAX_VERSION 999999999999999


static ngx_int_t ngx_access_token_set(ngx_access_token_t *t,
    ngx_pool_t *pool, const ngx_access_token_field_t *f, ngx_uint_t chunk,
    const ngx_str_t *value);
static const ngx_access_token_field_t *ngx_access_token_field(u_char letter);
static ngx_int_t ngx_access_token_chunk(const ngx_access_token_field_t *f,
    const ngx_str_t *name, ngx_uint_t *chunk);

static ngx_int_t ngx_access_token_set_digest(ngx_access_token_t *t,
    ngx_pool_t *pool, const ngx_access_token_field_t *f,
    const ngx_str_t *value);
static ngx_int_t ngx_access_token_set_owner(ngx_access_token_t *t,
    ngx_pool_t *pool, const ngx_access_token_field_t *f,
    const ngx_str_t *value);
static ngx_int_t ngx_access_token_set_user(ngx_access_token_t *t,
    ngx_pool_t *pool, const ngx_access_token_field_t *f,
    const ngx_str_t *value);
static ngx_int_t ngx_access_token_set_admin(ngx_access_token_t *t,
    ngx_pool_t *pool, const ngx_access_token_field_t *f,
    const ngx_str_t *value);
static ngx_int_t ngx_access_token_set_status(ngx_access_token_t *t,
    ngx_pool_t *pool, const ngx_access_token_field_t *f,
    const ngx_str_t *value);
static ngx_int_t ngx_access_token_set_time(ngx_access_token_t *t,
    ngx_pool_t *pool, const ngx_access_token_field_t *f,
    const ngx_str_t *value);
static ngx_int_t ngx_access_token_set_version(ngx_access_token_t *t,
    ngx_pool_t *pool, const ngx_access_token_field_t *f,
    const ngx_str_t *value);

static ngx_int_t ngx_access_token_copy(ngx_str_t *dst, ngx_pool_t *pool,
    const ngx_str_t *value);
static ngx_int_t ngx_access_token_number(const ngx_str_t *value, uint64_t min,
    uint64_t max, uint64_t *number);

static ngx_int_t ngx_access_token_check_pair(const ngx_access_token_t *t,
    u_char a, u_char b, ngx_str_t *field);

static ngx_int_t ngx_access_token_push_field(ngx_array_t *args,
    const char *field, const void *data, size_t len);
static ngx_int_t ngx_access_token_push_number(ngx_array_t *args,
    const char *field, uint64_t number);
static ngx_int_t ngx_access_token_push_required(ngx_array_t *args,
    const ngx_access_token_t *t);
static ngx_int_t ngx_access_token_push_optional(ngx_array_t *args,
    const ngx_access_token_t *t);


const ngx_str_t
    ngx_access_token_edge_fields[NGX_ACCESS_TOKEN_EDGE_FIELDS] =
{
    ngx_string("h"), ngx_string("p"), ngx_string("q"), ngx_string("o"),
    ngx_string("g"), ngx_string("a"), ngx_string("s"), ngx_string("e"),
    ngx_string("u"), ngx_string("v"), ngx_string("n"), ngx_string("n1"),
    ngx_string("n2"), ngx_string("n3"), ngx_string("n4"), ngx_string("n5"),
    ngx_string("n6")
};


/* The order is that in which a missing field is named. */

static const ngx_access_token_field_t  ngx_access_token_fields[] = {

    { ngx_string("h"), 0, offsetof(ngx_access_token_t, digest),
      ngx_access_token_set_digest, 0, 0, 0 },

    { ngx_string("p"), 1, offsetof(ngx_access_token_t, previous),
      ngx_access_token_set_digest, 0, 0, 0 },

    { ngx_string("q"), 2, offsetof(ngx_access_token_t, previous_until),
      ngx_access_token_set_time, 1, 0, 0 },

    { ngx_string("o"), 3, offsetof(ngx_access_token_t, owner.organization),
      ngx_access_token_set_owner, 1, 0, 0 },

    { ngx_string("g"), 4, offsetof(ngx_access_token_t, owner.group),
      ngx_access_token_set_owner, 0, 0, 0 },

    { ngx_string("a"), 5, 0, ngx_access_token_set_admin, 0, 0, 0 },

    { ngx_string("s"), 6, 0, ngx_access_token_set_status, 0, 0, 0 },

    { ngx_string("e"), 7, offsetof(ngx_access_token_t, expires),
      ngx_access_token_set_time, 0, 0, 0 },

    { ngx_string("u"), 8, offsetof(ngx_access_token_t, technical_user),
      ngx_access_token_set_user, 0, 0, 0 },

    { ngx_string("v"), 9, offsetof(ngx_access_token_t, version),
      ngx_access_token_set_version, 1, 0, 0 },

    { ngx_string("n"), 16, offsetof(ngx_access_token_t, name),
      NULL, 1, NGX_ACCESS_TOKEN_NAME_MAX, 7 },

    { ngx_string("c"), 10, offsetof(ngx_access_token_t, created),
      ngx_access_token_set_time, 1, 0, 0 },

    { ngx_string("b"), 24, offsetof(ngx_access_token_t, created_by),
      NULL, 1, NGX_ACCESS_TOKEN_ACTOR_MAX, 2 },

    { ngx_string("x"), 11, offsetof(ngx_access_token_t, revoked_at),
      ngx_access_token_set_time, 1, 0, 0 },

    { ngx_string("y"), 28, offsetof(ngx_access_token_t, revoked_by),
      NULL, 1, NGX_ACCESS_TOKEN_ACTOR_MAX, 2 },

    { ngx_string("d"), 32, offsetof(ngx_access_token_t, description),
      NULL, 0, NGX_ACCESS_TOKEN_DESCR_MAX, 16 },

    { ngx_null_string, 0, 0, NULL, 0, 0, 0 }
};


ngx_int_t
ngx_access_token_record_set(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_str_t *field, const ngx_str_t *value)
{
    ngx_uint_t                       chunk;
    const ngx_access_token_field_t  *f;

    if (value == NULL || field->len == 0) {
        return NGX_OK;
    }

    f = ngx_access_token_field(field->data[0]);

    if (f == NULL || ngx_access_token_chunk(f, field, &chunk) != NGX_OK) {
        return NGX_OK;
    }

    return ngx_access_token_set(t, pool, f, chunk, value);
}


/* They are the first ones of the table, and then the chunks of the name. */

ngx_int_t
ngx_access_token_record_set_edge(ngx_access_token_t *t, ngx_pool_t *pool,
    ngx_uint_t i, const ngx_str_t *value)
{
    ngx_uint_t  name;

    name = NGX_ACCESS_TOKEN_EDGE_FIRST - 1;

    if (i <= name) {
        return ngx_access_token_set(t, pool, &ngx_access_token_fields[i], 0,
                                    value);
    }

    return ngx_access_token_set(t, pool, &ngx_access_token_fields[name],
                                i - name, value);
}


static ngx_int_t
ngx_access_token_set(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, ngx_uint_t chunk,
    const ngx_str_t *value)
{
    uint64_t   bit;
    ngx_int_t  rc;

    bit = (uint64_t) 1 << (f->bit + chunk);

    if ((t->seen & bit) || value->len > NGX_ACCESS_TOKEN_CHUNK) {
        return NGX_DECLINED;
    }

    if (f->set) {
        rc = f->set(t, pool, f, value);

    } else {
        rc = ngx_access_token_text_set(t, pool, f, chunk, value);
    }

    if (rc == NGX_OK) {
        t->seen |= bit;
    }

    return rc;
}


ngx_int_t
ngx_access_token_record_check(ngx_access_token_t *t, ngx_uint_t edge,
    ngx_str_t *field)
{
    uint64_t                         needs;
    const ngx_access_token_field_t  *f;

    needs = edge ? NGX_ACCESS_TOKEN_EDGE_NEEDS : NGX_ACCESS_TOKEN_FULL_NEEDS;
    needs &= ~t->seen;

    for (f = ngx_access_token_fields; f->name.len; f++) {
        *field = f->name;

        if (needs >> f->bit & 1) {
            return NGX_DECLINED;
        }

        if (f->set == NULL && ngx_access_token_text_check(t, f) != NGX_OK) {
            return NGX_DECLINED;
        }
    }

    if (ngx_access_token_check_pair(t, 'p', 'q', field) != NGX_OK
        || ngx_access_token_check_pair(t, 'x', 'y', field) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_str_null(field);

    return NGX_OK;
}


ngx_int_t
ngx_access_token_record_text(ngx_array_t *args, u_char field,
    const ngx_str_t *text)
{
    const ngx_access_token_field_t  *f;

    f = ngx_access_token_field(field);

    if (f == NULL || f->set != NULL) {
        return NGX_ERROR;
    }

    return ngx_access_token_text_push(args, f, text);
}


ngx_int_t
ngx_access_token_record_fields(ngx_array_t *args, const ngx_access_token_t *t)
{
    ngx_int_t                        rc;
    const ngx_access_token_field_t  *f;

    for (f = ngx_access_token_fields; f->name.len; f++) {

        if (f->set != NULL
            || (f->name.data[0] == 'y' && t->revoked_at == 0))
        {
            continue;
        }

        rc = ngx_access_token_text_push(args, f,
                                  ngx_access_token_member(t, f, ngx_str_t));
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ngx_access_token_push_required(args, t) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_access_token_push_optional(args, t);
}


ngx_int_t
ngx_access_token_record_chunks(ngx_array_t *args, u_char field)
{
    const ngx_access_token_field_t  *f;

    f = ngx_access_token_field(field);

    if (f == NULL || f->set != NULL) {
        return NGX_ERROR;
    }

    return ngx_access_token_text_push_names(args, f);
}


ngx_access_token_verdict_e
ngx_access_token_status(const ngx_access_token_t *t, time_t now)
{
    if (t->expires != 0 && now >= t->expires) {
        return NGX_ACCESS_TOKEN_EXPIRED;
    }

    return t->revoked ? NGX_ACCESS_TOKEN_REVOKED : NGX_ACCESS_TOKEN_ACTIVE;
}


/*
 * Nobody learns anything of a token who does not hold it, so the digest comes
 * before the status.
 */

ngx_access_token_verdict_e
ngx_access_token_judge(const ngx_access_token_t *t,
    const ngx_access_token_key_t *key, time_t now)
{
    if (ngx_access_token_digest_equal(t->digest, key->digest)) {
        return ngx_access_token_status(t, now);
    }

    if (now < t->previous_until
        && ngx_access_token_digest_equal(t->previous, key->digest))
    {
        return ngx_access_token_status(t, now);
    }

    return NGX_ACCESS_TOKEN_UNKNOWN;
}


static const ngx_access_token_field_t *
ngx_access_token_field(u_char letter)
{
    /* by letter, from "a": where it is in the table, from 1 */

    static const u_char  places[26] = {
        6, 13, 12, 16, 8, 0, 5, 1, 0, 0, 0, 0, 0,
        11, 4, 2, 3, 0, 7, 0, 9, 10, 0, 14, 15, 0
    };

    letter -= 'a';

    if (letter >= sizeof(places) || places[letter] == 0) {
        return NULL;
    }

    return &ngx_access_token_fields[places[letter] - 1];
}


/* Which chunk of the field a name means; other names are of no field. */

static ngx_int_t
ngx_access_token_chunk(const ngx_access_token_field_t *f,
    const ngx_str_t *name, ngx_uint_t *chunk)
{
    uint64_t   n;
    ngx_str_t  digits;

    *chunk = 0;

    if (name->len == 1) {
        return NGX_OK;
    }

    if (f->chunks == 0) {
        return NGX_DECLINED;
    }

    digits.len = name->len - 1;
    digits.data = name->data + 1;

    if (ngx_access_token_number(&digits, 1, f->chunks - 1, &n) != NGX_OK) {
        return NGX_DECLINED;
    }

    *chunk = n;

    return NGX_OK;
}


static ngx_int_t
ngx_access_token_set_digest(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, const ngx_str_t *value)
{
    if (value->len != NGX_ACCESS_TOKEN_DIGEST_LEN) {
        return NGX_DECLINED;
    }

    ngx_memcpy(ngx_access_token_member(t, f, u_char), value->data,
               NGX_ACCESS_TOKEN_DIGEST_LEN);

    return NGX_OK;
}


/* Without a group the token is the organization's. */

static ngx_int_t
ngx_access_token_set_owner(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, const ngx_str_t *value)
{
    if (value->len == 0 && f->min == 0) {
        return NGX_OK;
    }

    if (ngx_access_token_check_owner(value) != NGX_OK) {
        return NGX_DECLINED;
    }

    return ngx_access_token_copy(ngx_access_token_member(t, f, ngx_str_t),
                                 pool, value);
}


static ngx_int_t
ngx_access_token_set_user(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, const ngx_str_t *value)
{
    if (ngx_access_token_check_user(value) != NGX_OK) {
        return NGX_DECLINED;
    }

    return ngx_access_token_copy(ngx_access_token_member(t, f, ngx_str_t),
                                 pool, value);
}


static ngx_int_t
ngx_access_token_set_admin(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, const ngx_str_t *value)
{
    if (value->len != 1 || (value->data[0] != '0' && value->data[0] != '1')) {
        return NGX_DECLINED;
    }

    t->admin = (value->data[0] == '1');

    return NGX_OK;
}


static ngx_int_t
ngx_access_token_set_status(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, const ngx_str_t *value)
{
    if (value->len != 1 || (value->data[0] != 'a' && value->data[0] != 'r')) {
        return NGX_DECLINED;
    }

    t->revoked = (value->data[0] == 'r');

    return NGX_OK;
}


static ngx_int_t
ngx_access_token_set_time(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, const ngx_str_t *value)
{
    uint64_t  n;

    if (ngx_access_token_number(value, f->min, NGX_ACCESS_TOKEN_MAX_TIME, &n)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    *ngx_access_token_member(t, f, time_t) = (time_t) n;

    return NGX_OK;
}


static ngx_int_t
ngx_access_token_set_version(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, const ngx_str_t *value)
{
    return ngx_access_token_number(value, f->min,
                                   NGX_ACCESS_TOKEN_MAX_VERSION, &t->version);
}


static ngx_int_t
ngx_access_token_copy(ngx_str_t *dst, ngx_pool_t *pool,
    const ngx_str_t *value)
{
    if (pool == NULL) {
        *dst = *value;
        return NGX_OK;
    }

    dst->data = ngx_pnalloc(pool, value->len);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, value->data, value->len);
    dst->len = value->len;

    return NGX_OK;
}


/* Decimal digits and nothing else; no zero in front, so one spelling. */

static ngx_int_t
ngx_access_token_number(const ngx_str_t *value, uint64_t min, uint64_t max,
    uint64_t *number)
{
    size_t    i;
    u_char    c;
    uint64_t  n;

    if (value->len == 0 || (value->len > 1 && value->data[0] == '0')) {
        return NGX_DECLINED;
    }

    n = 0;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (c < '0' || c > '9' || n > max / 10) {
            return NGX_DECLINED;
        }

        n = n * 10 + (c - '0');
    }

    if (n < min || n > max) {
        return NGX_DECLINED;
    }

    *number = n;

    return NGX_OK;
}


/* Two fields that mean nothing one without the other. */

static ngx_int_t
ngx_access_token_check_pair(const ngx_access_token_t *t, u_char a, u_char b,
    ngx_str_t *field)
{
    ngx_uint_t                       has_a, has_b;
    const ngx_access_token_field_t  *fa, *fb;

    fa = ngx_access_token_field(a);
    fb = ngx_access_token_field(b);

    has_a = t->seen >> fa->bit & 1;
    has_b = t->seen >> fb->bit & 1;

    if (has_a == has_b) {
        return NGX_OK;
    }

    *field = has_a ? fb->name : fa->name;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_access_token_push_field(ngx_array_t *args, const char *field,
    const void *data, size_t len)
{
    if (ngx_access_token_push(args, field, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_access_token_push(args, data, len);
}


static ngx_int_t
ngx_access_token_push_number(ngx_array_t *args, const char *field,
    uint64_t number)
{
    u_char  *p, *last;

    p = ngx_pnalloc(args->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = p + NGX_INT64_LEN;
    p = last;

    do {
        *--p = '0' + number % 10;
        number /= 10;
    } while (number);

    return ngx_access_token_push_field(args, field, p, last - p);
}


/* A record that has no version yet is a new one. */

static ngx_int_t
ngx_access_token_push_required(ngx_array_t *args, const ngx_access_token_t *t)
{
    const ngx_str_t  *o, *g, *u;

    o = &t->owner.organization;
    g = &t->owner.group;
    u = &t->technical_user;

    if (ngx_access_token_push_field(args, "h", t->digest,
                                    NGX_ACCESS_TOKEN_DIGEST_LEN) != NGX_OK
        || ngx_access_token_push_field(args, "o", o->data, o->len) != NGX_OK
        || ngx_access_token_push_field(args, "g", g->data, g->len) != NGX_OK
        || ngx_access_token_push_field(args, "a", t->admin ? "1" : "0", 1)
           != NGX_OK
        || ngx_access_token_push_field(args, "s", t->revoked ? "r" : "a", 1)
           != NGX_OK
        || ngx_access_token_push_number(args, "e", t->expires) != NGX_OK
        || ngx_access_token_push_field(args, "u", u->data, u->len) != NGX_OK
        || ngx_access_token_push_number(args, "v", ngx_max(t->version, 1))
           != NGX_OK
        || ngx_access_token_push_number(args, "c", t->created) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_access_token_push_optional(ngx_array_t *args, const ngx_access_token_t *t)
{
    if (t->previous_until != 0
        && (ngx_access_token_push_field(args, "p", t->previous,
                                        NGX_ACCESS_TOKEN_DIGEST_LEN)
            != NGX_OK
            || ngx_access_token_push_number(args, "q", t->previous_until)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (t->revoked_at != 0) {
        return ngx_access_token_push_number(args, "x", t->revoked_at);
    }

    return NGX_OK;
}
