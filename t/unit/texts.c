
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The texts of a record, written by record_text() and read by record_set().
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "unit.h"


static ngx_int_t unit_read_text(ngx_pool_t *pool, u_char field,
    const u_char *text, size_t len);
static ngx_str_t *unit_text_of(ngx_access_token_t *t, u_char field);


const unit_text_t  unit_texts[UNIT_NTEXTS] = {
    { 'n', 1, 100, 7 },
    { 'd', 0, 255, 16 },
    { 'b', 1, 128, 2 },
    { 'y', 1, 128, 2 },
};

const uint32_t  unit_characters[4] = { 'a', 0xe9, 0x20ac, 0x1f600 };


const char *
unit_both_ways(ngx_pool_t *pool, u_char field, const u_char *text, size_t len,
    ngx_uint_t good)
{
    ngx_str_t           *got;
    ngx_int_t            rc;
    ngx_array_t          args;
    ngx_access_token_t   t;

    rc = unit_write_text(&args, pool, field, text, len);

    if (!good) {
        if (rc != NGX_DECLINED || args.nelts != 0) {
            return "it is written";
        }

        rc = unit_read_text(pool, field, text, len);

        return rc == NGX_DECLINED ? NULL : "it is read";
    }

    if (rc != NGX_OK) {
        return "it is not written";
    }

    unit_without_text(&t, field);

    if (unit_add(&t, pool, args.elts, args.nelts / 2) != NGX_OK
        || unit_check_text(&t, field) != NGX_OK)
    {
        return "it is not read";
    }

    got = unit_text_of(&t, field);

    if (got->len != len || (len && ngx_memcmp(got->data, text, len) != 0)) {
        return "it is read otherwise";
    }

    return NULL;
}


ngx_int_t
unit_write_text(ngx_array_t *args, ngx_pool_t *pool, u_char field,
    const u_char *text, size_t len)
{
    ngx_str_t  s;

    ngx_array_init(args, pool, 2, sizeof(ngx_str_t));

    s.data = (u_char *) text;
    s.len = len;

    return ngx_access_token_record_text(args, field, &s);
}


/* Made once, since all characters there are want it. */

void
unit_without_text(ngx_access_token_t *t, u_char field)
{
    u_char       c;
    ngx_uint_t   i;

    static ngx_pool_t          *pool;
    static ngx_access_token_t   made[256];

    if (made[field].seen == 0) {

        if (pool == NULL) {
            pool = ngx_create_pool(0, NULL);
        }

        for (i = 0; i < unit_nrecord; i++) {
            c = unit_record[i].name.data[0];

            if (c != field && (field == 'y' || (c != 'x' && c != 'y'))) {
                unit_add(&made[field], pool, &unit_record[i], 1);
            }
        }
    }

    *t = made[field];
}


ngx_int_t
unit_check_text(ngx_access_token_t *t, u_char field)
{
    char       letter[] = { field, '\0' };
    ngx_str_t  named;

    if (ngx_access_token_record_check(t, 0, &named) == NGX_OK) {
        return NGX_OK;
    }

    return unit_is(&named, letter) ? NGX_DECLINED : NGX_ERROR;
}


size_t
unit_encode(u_char *p, uint32_t c)
{
    if (c < 0x80) {
        p[0] = c;
        return 1;
    }

    if (c < 0x800) {
        p[0] = 0xc0 | c >> 6;
        p[1] = 0x80 | (c & 0x3f);
        return 2;
    }

    if (c < 0x10000) {
        p[0] = 0xe0 | c >> 12;
        p[1] = 0x80 | (c >> 6 & 0x3f);
        p[2] = 0x80 | (c & 0x3f);
        return 3;
    }

    p[0] = 0xf0 | c >> 18;
    p[1] = 0x80 | (c >> 12 & 0x3f);
    p[2] = 0x80 | (c >> 6 & 0x3f);
    p[3] = 0x80 | (c & 0x3f);
    return 4;
}


/* Without the help of what writes; an empty text is an empty chunk. */

static ngx_int_t
unit_read_text(ngx_pool_t *pool, u_char field, const u_char *text, size_t len)
{
    char                name[24];
    size_t              size;
    ngx_int_t           rc;
    ngx_uint_t          i, chunk;
    ngx_access_token_t  t;

    unit_without_text(&t, field);
    chunk = 0;

    do {
        for (i = 0; i < UNIT_NTEXTS; i++) {
            if (unit_texts[i].field == field
                && unit_texts[i].chunks == chunk)
            {
                return NGX_DECLINED;
            }
        }

        sprintf(name, chunk ? "%c%d" : "%c", field, (int) chunk);
        size = ngx_min(64, len - chunk * 64);

        rc = unit_set_str(&t, pool, name, (char *) text + chunk * 64, size);
        if (rc != NGX_OK) {
            return rc;
        }

    } while (++chunk * 64 < len);

    return unit_check_text(&t, field);
}


static ngx_str_t *
unit_text_of(ngx_access_token_t *t, u_char field)
{
    switch (field) {
    case 'n':
        return &t->name;
    case 'd':
        return &t->description;
    case 'b':
        return &t->created_by;
    default:
        return &t->revoked_by;
    }
}
