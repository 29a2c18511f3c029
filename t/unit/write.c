
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * record, writing: what is written is read back as it was.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "tap.h"
#include "unit.h"


#define NRECORDS  5000


static void test_sample(void);
static void test_least(void);
static void test_round_trip(void);
static void test_refused(void);
static void test_no_memory(void);

static ngx_int_t write_record(const ngx_access_token_t *t);
static void make_record(ngx_access_token_t *t);
static void make_text(ngx_str_t *text, ngx_uint_t i);
static void make_owner(ngx_str_t *owner);
static ngx_uint_t count_of(const char *field);
static void fresh_pool(void);


static ngx_pool_t   *pool;
static ngx_array_t   args;      /* of the last write_record() */


int
main(void)
{
    unit_init();
    fresh_pool();

    test_sample();
    test_least();
    test_round_trip();
    test_refused();
    test_no_memory();

    ngx_destroy_pool(pool);

    return tap_done();
}


static void
test_sample(void)
{
    ngx_str_t           *arg;
    ngx_uint_t           i, j, n;
    ngx_access_token_t   t;

    tap_test("a record is written with the fields it was read from");

    tap_is(unit_read(&t, pool, unit_record, unit_nrecord), NGX_OK, "read");
    tap_is(write_record(&t), NGX_OK, "write");
    tap_is(args.nelts, 2 * unit_nrecord, "fields and values");

    arg = args.elts;

    for (i = 0; i < unit_nrecord; i++) {
        n = 0;

        for (j = 0; j < args.nelts; j += 2) {
            if (unit_is(&arg[j], (char *) unit_record[i].name.data)) {
                tap_is_str(&arg[j + 1], (char *) unit_record[i].value.data,
                           unit_record[i].value.len,
                           (char *) unit_record[i].name.data);
                n++;
            }
        }

        tap_is(n, 1, (char *) unit_record[i].name.data);
    }
}


static void
test_least(void)
{
    ngx_str_t           *arg;
    ngx_uint_t           i;
    ngx_access_token_t   t, got;

    static const char  *absent[] = { "p", "q", "x", "y", "d", "n1", "b1" };

    ngx_memzero(&t, sizeof(t));
    ngx_str_set(&t.owner.organization, "acme");
    ngx_str_set(&t.technical_user, "tu_0123456789abcdef");
    ngx_str_set(&t.name, "n");
    ngx_str_set(&t.created_by, "root");
    ngx_str_set(&t.revoked_by, "of old");
    t.created = 1700000000;

    tap_test("a new record has version 1, and no field it does not need");

    tap_is(write_record(&t), NGX_OK, "write");
    tap_is(args.nelts, 2 * 11, "fields and values");

    for (i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        tap_is(count_of(absent[i]), 0, absent[i]);
    }

    arg = args.elts;

    for (i = 0; i < args.nelts; i += 2) {
        if (unit_is(&arg[i], "v")) {
            tap_is_str(&arg[i + 1], "1", 1, "version");

        } else if (unit_is(&arg[i], "e")) {
            tap_is_str(&arg[i + 1], "0", 1, "expires");

        } else if (unit_is(&arg[i], "g")) {
            tap_is(arg[i + 1].len, 0, "group");
        }
    }

    tap_is(unit_read_args(&got, pool, &args), NGX_OK, "read");

    t.version = 1;
    ngx_str_null(&t.revoked_by);
    tap_ok(unit_difference(&t, &got) == NULL, "%s",
           unit_difference(&t, &got));
}


static void
test_round_trip(void)
{
    size_t               len;
    ngx_str_t            named, *arg;
    const char          *difference;
    ngx_uint_t           i, n;
    ngx_access_token_t   t, got;

    tap_test("any record is read as it was written, in whatever order");

    for (n = 0; n < NRECORDS; n++) {
        make_record(&t);

        tap_is(write_record(&t), NGX_OK, "write");

        arg = args.elts;
        len = 0;

        for (i = 0; i < args.nelts; i++) {
            len = ngx_max(len, arg[i].len);
        }

        tap_ok(len <= 64, "a value of %d bytes", (int) len);

        unit_shuffle(args.elts, args.nelts / 2);

        tap_is(unit_read_args(&got, pool, &args), NGX_OK, "read");
        tap_is(ngx_access_token_record_check(&got, 0, &named), NGX_OK,
               "check");

        difference = unit_difference(&t, &got);
        tap_ok(difference == NULL, "%s", difference);

        fresh_pool();
    }
}


static void
test_refused(void)
{
    ngx_uint_t          i, j;
    ngx_access_token_t  good, t;

    static const struct {
        size_t        offset;
        ngx_uint_t    optional;
    } members[] = {
        { offsetof(ngx_access_token_t, name), 0 },
        { offsetof(ngx_access_token_t, created_by), 0 },
        { offsetof(ngx_access_token_t, revoked_by), 0 },
        { offsetof(ngx_access_token_t, description), 1 },
    };

    static const ngx_str_t  wrong[] = {
        ngx_string(""), ngx_string("\0"), ngx_string("a\r"),
        ngx_string("\177"), ngx_string("\300\200"), ngx_string("a\342\202"),
        ngx_string("\355\240\200"), ngx_string("\364\220\200\200"),
        ngx_string("\302\205"), ngx_string("\377"),
    };

    tap_test("a record with a text that would not be read is not written");

    unit_read(&good, pool, unit_record, unit_nrecord);

    for (i = 0; i < 4; i++) {
        for (j = members[i].optional; j < sizeof(wrong) / sizeof(wrong[0]);
             j++)
        {
            t = good;
            *(ngx_str_t *) (void *) ((u_char *) &t + members[i].offset) =
                wrong[j];

            tap_ok(write_record(&t) == NGX_DECLINED, "member %d, text %d",
                   (int) i, (int) j);
        }
    }

    tap_is(write_record(&good), NGX_OK, "without it");
}


static void
test_no_memory(void)
{
    ngx_int_t           rc;
    ngx_uint_t          n;
    ngx_access_token_t  t;

    tap_test("without memory a record is not written, nor called invalid");

    unit_read(&t, pool, unit_record, unit_nrecord);

    for (n = 1; n < 100; n++) {
        unit_fail_alloc(n);
        rc = write_record(&t);
        unit_fail_alloc(0);

        if (rc == NGX_OK) {
            break;
        }

        tap_is(rc, NGX_ERROR, "write");
        fresh_pool();
        unit_read(&t, pool, unit_record, unit_nrecord);
    }

    /* names of 8 chunks, 5 numbers, the array of 1 and 6 times the double */

    tap_is(n - 1, 8 + 5 + 7, "allocations");
}


/* Into args, which grow from 1. */

static ngx_int_t
write_record(const ngx_access_token_t *t)
{
    args.elts = ngx_pnalloc(pool, sizeof(ngx_str_t));
    args.nelts = 0;
    args.size = sizeof(ngx_str_t);
    args.nalloc = 1;
    args.pool = pool;

    if (args.elts == NULL) {
        return NGX_ERROR;
    }

    return ngx_access_token_record_fields(&args, t);
}


static void
make_record(ngx_access_token_t *t)
{
    ngx_uint_t  i;

    ngx_memzero(t, sizeof(ngx_access_token_t));

    for (i = 0; i < NGX_ACCESS_TOKEN_DIGEST_LEN; i++) {
        t->digest[i] = unit_random(256);
    }

    make_owner(&t->owner.organization);

    if (unit_random(2)) {
        make_owner(&t->owner.group);
    }

    make_text(&t->name, 0);
    make_text(&t->description, 1);
    make_text(&t->created_by, 2);

    ngx_str_set(&t->technical_user, "tu_0123456789abcdef");
    t->admin = unit_random(2);
    t->revoked = unit_random(2);
    t->version = 1 + (unit_random(999999999999999) >> unit_random(50));
    t->expires = unit_random(2) ? 0 : unit_random(253402300800);
    t->created = 1 + unit_random(253402300799);

    if (unit_random(2)) {
        t->previous_until = 1 + unit_random(253402300799);

        for (i = 0; i < NGX_ACCESS_TOKEN_DIGEST_LEN; i++) {
            t->previous[i] = unit_random(256);
        }
    }

    if (unit_random(2)) {
        t->revoked_at = 1 + unit_random(253402300799);
        make_text(&t->revoked_by, 3);
    }
}


/* Of characters of all widths, and often as long as it may be. */

static void
make_text(ngx_str_t *text, ngx_uint_t i)
{
    ngx_uint_t  n, bytes;

    bytes = 64 * unit_texts[i].chunks;
    n = unit_texts[i].min
        + unit_random(unit_texts[i].max - unit_texts[i].min + 1);

    if (unit_random(4) == 0) {
        n = unit_texts[i].max;
    }

    text->data = ngx_pnalloc(pool, bytes);
    text->len = 0;

    while (n-- && text->len + 4 <= bytes) {
        text->len += unit_encode(text->data + text->len,
                                 unit_characters[unit_random(4)]);
    }
}


static void
make_owner(ngx_str_t *owner)
{
    ngx_uint_t  i;

    owner->len = 1 + unit_random(64);
    owner->data = ngx_pnalloc(pool, owner->len);

    for (i = 0; i < owner->len; i++) {
        owner->data[i] = "-_" UNIT_BASE62 "."[unit_random(i ? 65 : 64)];
    }
}


static ngx_uint_t
count_of(const char *field)
{
    ngx_str_t   *arg;
    ngx_uint_t   i, n;

    arg = args.elts;

    for (n = 0, i = 0; i < args.nelts; i += 2) {
        n += unit_is(&arg[i], field);
    }

    return n;
}


static void
fresh_pool(void)
{
    if (pool) {
        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(0, NULL);
}
