
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * format and record, fed with noise: the same in each run.  Most of it is
 * nearly right, since what is wrong altogether is refused at the first look.
 *
 * Besides that nothing crashes, what is accepted has to be what was meant: a
 * record that passes is written, and is the same when it is read again.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "tap.h"
#include "unit.h"


#define NRECORDS  200000
#define NTOKENS   200000


static void test_records(void);
static void test_tokens(void);

static void feed(ngx_access_token_t *t);
static void spoil(unit_field_t *field);
static void noise(ngx_str_t *s, size_t max);
static const char *write_and_read(const ngx_access_token_t *t);


static ngx_pool_t  *pool;


int
main(void)
{
    unit_init();

    test_records();
    test_tokens();

    return tap_done();
}


static void
test_records(void)
{
    ngx_str_t            named;
    ngx_int_t            rc;
    const char          *problem;
    ngx_uint_t           i, accepted, refused;
    ngx_access_token_t   t;

    tap_test("a record of noise is refused, or is what it is");

    accepted = 0;
    refused = 0;

    for (i = 0; i < NRECORDS; i++) {
        pool = ngx_create_pool(0, NULL);

        feed(&t);

        rc = ngx_access_token_record_check(&t, unit_random(4) == 0, &named);

        tap_ok(rc == NGX_OK || rc == NGX_DECLINED, "check: %d", (int) rc);
        tap_ok((rc == NGX_OK) == (named.len == 0), "a fault without a name");

        if (rc != NGX_OK) {
            refused++;

        } else {
            accepted++;
            problem = write_and_read(&t);
            tap_ok(problem == NULL, "record %d: %s", (int) i, problem);
        }

        ngx_destroy_pool(pool);
    }

    tap_ok(accepted > NRECORDS / 20, "%d accepted", (int) accepted);
    tap_ok(refused > NRECORDS / 20, "%d refused", (int) refused);
}


static void
test_tokens(void)
{
    u_char                  text[128], buf[NGX_ACCESS_TOKEN_MAX_LEN];
    ngx_str_t               prefix, acme, good, token;
    ngx_uint_t              i, n;
    ngx_access_token_key_t  key;

    tap_test("a token of noise is refused");

    ngx_str_set(&prefix, "at");
    ngx_str_set(&acme, "acme");
    good.data = buf;
    unit_count_from(17);

    for (i = 0; i < NTOKENS; i++) {
        tap_is(ngx_access_token_generate(&prefix, &acme, NULL, i, &good, &key),
               NGX_OK, "generate");

        ngx_memcpy(text, good.data, good.len);
        token.data = text;
        token.len = good.len;

        for (n = 1 + unit_random(4); n > 0; n--) {
            text[unit_random(good.len)] = unit_random(2)
                ? (u_char) UNIT_BASE62[unit_random(62)] : unit_random(256);
        }

        if (unit_random(8) == 0) {
            token.len += unit_random(5) - 2;
        }

        if (token.len == good.len
            && ngx_memcmp(token.data, good.data, good.len) == 0)
        {
            continue;
        }

        tap_ok(ngx_access_token_parse(&prefix, &token, &key) == NGX_DECLINED,
               "%.*s for %.*s", (int) token.len, token.data, (int) good.len,
               good.data);
    }

    unit_count_from(-1);
}


/* The sample, some of whose fields are spoilt, left out or there twice. */

static void
feed(ngx_access_token_t *t)
{
    ngx_int_t      rc;
    ngx_uint_t     i, n, m;
    unit_field_t   fields[64];

    ngx_memzero(t, sizeof(ngx_access_token_t));
    ngx_memcpy(fields, unit_record, unit_nrecord * sizeof(unit_field_t));
    n = unit_nrecord;

    for (m = unit_random(4); m > 0; m--) {
        i = unit_random(n);

        switch (unit_random(4)) {
        case 0:
            fields[i] = fields[--n];
            break;
        case 1:
            fields[n++] = fields[i];
            spoil(&fields[n - 1]);
            break;
        default:
            spoil(&fields[i]);
        }
    }

    unit_shuffle(fields, n);

    for (i = 0; i < n; i++) {
        rc = unit_set(t, pool, &fields[i].name, &fields[i].value);

        tap_ok(rc == NGX_OK || rc == NGX_DECLINED, "set: %d", (int) rc);
    }
}


static void
spoil(unit_field_t *field)
{
    static u_char  letters[] = "hpqogaseuvncbxyd0123456789";

    switch (unit_random(6)) {
    case 0:
        noise(&field->name, 4);
        break;
    case 1:
        field->name.data = ngx_pnalloc(pool, 3);
        field->name.len = 1 + unit_random(3);
        field->name.data[0] = letters[unit_random(16)];
        field->name.data[1] = letters[16 + unit_random(10)];
        field->name.data[2] = letters[16 + unit_random(10)];
        break;
    case 2:
        field->value = unit_record[unit_random(unit_nrecord)].value;
        break;
    case 3:
        field->value.len = unit_random(field->value.len + 1);
        break;
    default:
        noise(&field->value, unit_random(3) ? 8 : 80);
    }
}


/* Bytes, digits, letters or UTF-8. */

static void
noise(ngx_str_t *s, size_t max)
{
    size_t      len;
    u_char      kind;

    s->data = ngx_pnalloc(pool, max + 4);
    s->len = 0;
    len = unit_random(max + 1);
    kind = unit_random(4);

    while (s->len < len) {
        switch (kind) {
        case 0:
            s->data[s->len++] = unit_random(256);
            break;
        case 1:
            s->data[s->len++] = '0' + unit_random(10);
            break;
        case 2:
            s->data[s->len++] = UNIT_BASE62[unit_random(62)];
            break;
        default:
            s->len += unit_encode(s->data + s->len,
                                  unit_characters[unit_random(4)]);
        }
    }
}


/* An edge's record may lack what is needed to write it. */

static const char *
write_and_read(const ngx_access_token_t *t)
{
    ngx_str_t           named;
    ngx_array_t         args;
    ngx_access_token_t  got;

    if (t->created == 0 || t->created_by.len == 0) {
        return NULL;
    }

    ngx_array_init(&args, pool, 8, sizeof(ngx_str_t));

    if (ngx_access_token_record_fields(&args, t) != NGX_OK) {
        return "it is not written";
    }

    if (unit_read_args(&got, pool, &args) != NGX_OK
        || ngx_access_token_record_check(&got, 0, &named) != NGX_OK)
    {
        return "it is not read";
    }

    return unit_difference(t, &got);
}
