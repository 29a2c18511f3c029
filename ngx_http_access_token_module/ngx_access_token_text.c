
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Texts: what UTF-8 is, and how the texts of a record lie in chunks.
 *
 * Redis triples the memory of a hash when a value exceeds 64 bytes, so long
 * texts lie in chunks: n, n1, n2 …, 64 bytes each but for the last.  A chunk
 * may end in the middle of a UTF-8 character.
 *
 * Chunks come in any order: each is copied to its place, and has a bit in
 * "seen", and one in "full" if its length is 64.  A text is whole if its
 * chunks have no gap and none but the last is short.
 *
 * No text is written that would not be read back: both ways go through
 * ngx_access_token_text_valid().
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>
#include <ngx_access_token_record.h>


#define NGX_ACCESS_TOKEN_BAD_UTF8  0xffffffff


/* The bits of one field, the first chunk lowest. */

#define ngx_access_token_bits(bits, f)                                        \
    ((bits) >> (f)->bit & (((uint64_t) 1 << (f)->chunks) - 1))


static ngx_int_t ngx_access_token_text_valid(
    const ngx_access_token_field_t *f, const ngx_str_t *text);
static uint32_t ngx_access_token_text_char(const u_char **p,
    const u_char *last);
static ngx_int_t ngx_access_token_text_push_name(ngx_array_t *args,
    u_char field, ngx_uint_t chunk);


/*
 * A text that is one short chunk, as nearly all are, takes its own length of
 * memory; any other, room for all its chunks.
 */

ngx_int_t
ngx_access_token_text_set(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, ngx_uint_t chunk,
    const ngx_str_t *value)
{
    size_t      start, size;
    uint64_t    seen, full;
    ngx_str_t  *text;

    text = ngx_access_token_member(t, f, ngx_str_t);
    seen = ngx_access_token_bits(t->seen, f);
    full = ngx_access_token_bits(t->full, f);

    if ((chunk > 0 && value->len == 0)
        || (seen & ~full & 1))
    {
        return NGX_DECLINED;
    }

    if (pool == NULL) {

        if (chunk > 0 || value->len == NGX_ACCESS_TOKEN_CHUNK) {
            return NGX_ERROR;
        }

        *text = *value;

        return NGX_OK;
    }

    if (seen == 0) {
        size = f->chunks * NGX_ACCESS_TOKEN_CHUNK;

        if (chunk == 0 && value->len < NGX_ACCESS_TOKEN_CHUNK) {
            size = value->len;
        }

        text->data = ngx_pnalloc(pool, size);
        if (text->data == NULL) {
            return NGX_ERROR;
        }
    }

    start = chunk * NGX_ACCESS_TOKEN_CHUNK;

    ngx_memcpy(text->data + start, value->data, value->len);
    text->len = ngx_max(text->len, start + value->len);

    if (value->len == NGX_ACCESS_TOKEN_CHUNK) {
        t->full |= (uint64_t) 1 << (f->bit + chunk);
    }

    return NGX_OK;
}


ngx_int_t
ngx_access_token_text_check(const ngx_access_token_t *t,
    const ngx_access_token_field_t *f)
{
    uint64_t  seen, full;

    seen = ngx_access_token_bits(t->seen, f);
    full = ngx_access_token_bits(t->full, f);

    if (seen == 0) {
        return NGX_OK;
    }

    /* each chunk but the first follows a full one: so there is no gap */

    if ((seen >> 1) & ~full) {
        return NGX_DECLINED;
    }

    return ngx_access_token_text_valid(f,
                                  ngx_access_token_member(t, f, ngx_str_t));
}


ngx_int_t
ngx_access_token_text_push(ngx_array_t *args,
    const ngx_access_token_field_t *f, const ngx_str_t *text)
{
    size_t  n, size;

    if (text->len > f->chunks * NGX_ACCESS_TOKEN_CHUNK
        || ngx_access_token_text_valid(f, text) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    for (n = 0; n < text->len; n += size) {
        size = ngx_min(text->len - n, NGX_ACCESS_TOKEN_CHUNK);

        if (ngx_access_token_text_push_name(args, f->name.data[0],
                                            n / NGX_ACCESS_TOKEN_CHUNK)
            != NGX_OK
            || ngx_access_token_push(args, text->data + n, size) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_access_token_text_push_names(ngx_array_t *args,
    const ngx_access_token_field_t *f)
{
    ngx_uint_t  i;

    for (i = 0; i < f->chunks; i++) {
        if (ngx_access_token_text_push_name(args, f->name.data[0], i)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_access_token_push(ngx_array_t *args, const void *data, size_t len)
{
    ngx_str_t  *arg;

    arg = ngx_array_push(args);
    if (arg == NULL) {
        return NGX_ERROR;
    }

    arg->len = len;
    arg->data = (u_char *) data;

    return NGX_OK;
}


/* A description may have lines. */

static ngx_int_t
ngx_access_token_text_valid(const ngx_access_token_field_t *f,
    const ngx_str_t *text)
{
    ngx_int_t  n;

    n = ngx_access_token_text_length(text,
                                     f->name.data[0] == 'd' ? "\n\t" : "");

    return (n >= (ngx_int_t) f->min && n <= (ngx_int_t) f->max)
           ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_access_token_text_length(const ngx_str_t *text, const char *allow)
{
    uint32_t       c;
    ngx_int_t      n;
    const u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    for (n = 0; p < last; n++) {
        c = ngx_access_token_text_char(&p, last);

        if (c == NGX_ACCESS_TOKEN_BAD_UTF8 || (c >= 0x7f && c < 0xa0)) {
            return NGX_ERROR;
        }

        if (c < 0x20 && (c == 0 || ngx_strchr(allow, c) == NULL)) {
            return NGX_ERROR;
        }
    }

    return n;
}


/*
 * One character (RFC 3629): no longer spelling than needed, no surrogates.
 * ngx_utf8_decode() takes those, and any byte above 0x7f as a trailing one.
 */

static uint32_t
ngx_access_token_text_char(const u_char **p, const u_char *last)
{
    u_char    c;
    size_t    trailing;
    uint32_t  u, min;

    c = *(*p)++;

    if (c < 0x80) {
        return c;
    }

    if (c >= 0xf0) {
        trailing = 3;
        u = c & 0x0f;
        min = 0x10000;

    } else if (c >= 0xe0) {
        trailing = 2;
        u = c & 0x0f;
        min = 0x800;

    } else {
        trailing = 1;
        u = c & 0x1f;
        min = 0x80;
    }

    if (c < 0xc0 || (size_t) (last - *p) < trailing) {
        return NGX_ACCESS_TOKEN_BAD_UTF8;
    }

    while (trailing--) {
        c = *(*p)++;

        if ((c & 0xc0) != 0x80) {
            return NGX_ACCESS_TOKEN_BAD_UTF8;
        }

        u = u << 6 | (c & 0x3f);
    }

    if (u < min || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff)) {
        return NGX_ACCESS_TOKEN_BAD_UTF8;
    }

    return u;
}


static ngx_int_t
ngx_access_token_text_push_name(ngx_array_t *args, u_char field,
    ngx_uint_t chunk)
{
    u_char  *name, *p;

    name = ngx_pnalloc(args->pool, 3);
    if (name == NULL) {
        return NGX_ERROR;
    }

    p = name;
    *p++ = field;

    if (chunk >= 10) {
        *p++ = '0' + chunk / 10;
    }

    if (chunk > 0) {
        *p++ = '0' + chunk % 10;
    }

    return ngx_access_token_push(args, name, p - name);
}
