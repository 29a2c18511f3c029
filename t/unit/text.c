
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * record, its texts in chunks, written and read.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "tap.h"
#include "unit.h"


static void test_lengths(void);
static void test_chunks(void);
static void test_wrong_chunks(void);
static void test_cut_character(void);
static void test_names_of_chunks(void);
static void test_appended(void);
static void test_no_text(void);
static void test_no_memory(void);

static void both_ways(u_char field, const u_char *text, size_t len,
    ngx_uint_t good);
static void fresh_pool(void);


static ngx_pool_t   *pool;
static ngx_array_t   args;      /* of what was written */


int
main(void)
{
    unit_init();
    fresh_pool();

    test_lengths();
    test_chunks();
    test_wrong_chunks();
    test_cut_character();
    test_names_of_chunks();
    test_appended();
    test_no_text();
    test_no_memory();

    ngx_destroy_pool(pool);

    return tap_done();
}


/* Of characters of 1 to 4 bytes, up to more than there may be. */

static void
test_lengths(void)
{
    size_t      len;
    u_char      text[2048];
    ngx_uint_t  i, width, n;

    tap_test("a text may be so many characters, and so many bytes");

    for (i = 0; i < UNIT_NTEXTS; i++) {
        for (width = 1; width <= 4; width++) {
            len = 0;

            for (n = 0; n <= 300; n++) {
                both_ways(unit_texts[i].field, text, len,
                          n >= unit_texts[i].min && n <= unit_texts[i].max
                          && len <= 64 * unit_texts[i].chunks);

                len += unit_encode(text + len, unit_characters[width - 1]);
            }

            fresh_pool();
        }
    }
}


static void
test_chunks(void)
{
    char        name[8];
    size_t      size;
    u_char      text[1024];
    ngx_str_t  *arg;
    ngx_uint_t  i, n, len;

    tap_test("chunks have 64 bytes, but for the last");

    ngx_memset(text, 'a', sizeof(text));

    for (i = 0; i < UNIT_NTEXTS; i++) {
        for (len = unit_texts[i].min; len <= unit_texts[i].max; len++) {
            unit_write_text(&args, pool, unit_texts[i].field, text, len);
            arg = args.elts;

            tap_is(args.nelts, 2 * ((len + 63) / 64), "fields and values");

            for (n = 0; n < args.nelts; n += 2) {
                sprintf(name, n ? "%c%d" : "%c", unit_texts[i].field,
                        (int) n / 2);
                tap_is_str(&arg[n], name, strlen(name), "name");

                size = ngx_min(64, len - 32 * n);
                tap_is_str(&arg[n + 1], (char *) text, size, "value");
            }
        }

        fresh_pool();
    }
}


/* Three chunks, each of them absent or of one of four sizes, in any order. */

static void
test_wrong_chunks(void)
{
    char                 name[4], value[64];
    size_t               size;
    ngx_int_t            rc;
    ngx_uint_t           i, n, set, last, good, order, how[3];
    ngx_access_token_t   t;

    static const size_t  sizes[] = { 0, 1, 63, 64 };

    static const ngx_uint_t  orders[][3] = {
        { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 },
        { 2, 1, 0 }
    };

    tap_test("a text with a gap, or a short chunk before the last, is none");

    ngx_memset(value, 'a', sizeof(value));

    for (order = 0; order < 6; order++) {
        for (set = 0; set < 5 * 5 * 5; set++) {
            how[0] = set % 5;
            how[1] = set / 5 % 5;
            how[2] = set / 25;

            last = how[2] ? 2 : how[1] ? 1 : 0;
            good = (how[last] >= (last ? 2 : 1));

            for (n = 0; n < last; n++) {
                good = good && how[n] == 4;
            }

            unit_without_text(&t, 'd');
            rc = NGX_OK;

            for (i = 0; i < 3 && rc == NGX_OK; i++) {
                n = orders[order][i];

                if (how[n] == 0) {
                    continue;
                }

                size = sizes[how[n] - 1];
                sprintf(name, n ? "d%d" : "d", (int) n);
                rc = unit_set_str(&t, pool, name, value, size);
            }

            if (rc == NGX_OK) {
                rc = unit_check_text(&t, 'd');
            }

            /* no chunk at all is a record without a description */

            tap_ok(rc == (good || set == 0 ? NGX_OK : NGX_DECLINED),
                   "order %d, sizes %d %d %d: %d", (int) order,
                   (int) how[0], (int) how[1], (int) how[2], (int) rc);
        }

        fresh_pool();
    }
}


static void
test_cut_character(void)
{
    size_t      start, len;
    u_char      text[256];
    uint32_t    c;
    ngx_uint_t  width;

    tap_test("a character may lie across the border of two chunks");

    for (width = 1; width <= 4; width++) {
        c = unit_characters[width - 1];

        for (start = 58; start <= 66; start++) {
            ngx_memset(text, 'a', sizeof(text));
            len = start + unit_encode(text + start, c);
            both_ways('n', text, len, 1);
            both_ways('n', text, len + 20, 1);
            both_ways('n', text, len - 1, width == 1);
        }
    }
}


static void
test_names_of_chunks(void)
{
    char        got[128];
    size_t      len;
    ngx_str_t  *name;
    ngx_uint_t  i, n;

    static const char  *expected[] = {
        "n n1 n2 n3 n4 n5 n6 ",
        "d d1 d2 d3 d4 d5 d6 d7 d8 d9 d10 d11 d12 d13 d14 d15 ",
        "b b1 ",
        "y y1 ",
    };

    tap_test("the chunks of a text are named, all that there may be");

    for (i = 0; i < UNIT_NTEXTS; i++) {
        ngx_array_init(&args, pool, 1, sizeof(ngx_str_t));

        tap_is(ngx_access_token_record_chunks(&args, unit_texts[i].field),
               NGX_OK, "chunks");

        name = args.elts;

        for (len = 0, n = 0; n < args.nelts; n++) {
            len += sprintf(got + len, "%.*s ", (int) name[n].len,
                           (char *) name[n].data);
        }

        tap_ok(strcmp(got, expected[i]) == 0, "%s, not %s", got, expected[i]);
    }
}


static void
test_appended(void)
{
    ngx_str_t  *arg, text;

    tap_test("what was in the array stays in front");

    ngx_array_init(&args, pool, 1, sizeof(ngx_str_t));
    arg = ngx_array_push(&args);
    ngx_str_set(arg, "HSET");
    ngx_str_set(&text, "name");

    tap_is(ngx_access_token_record_text(&args, 'n', &text), NGX_OK, "text");
    tap_is(ngx_access_token_record_chunks(&args, 'y'), NGX_OK, "chunks");

    arg = args.elts;
    tap_is(args.nelts, 5, "strings");
    tap_is_str(&arg[0], "HSET", 4, "first");
    tap_is_str(&arg[1], "n", 1, "second");
    tap_is_str(&arg[2], "name", 4, "third");
    tap_is_str(&arg[3], "y", 1, "fourth");
    tap_is_str(&arg[4], "y1", 2, "fifth");
}


static void
test_no_text(void)
{
    ngx_str_t   text;
    ngx_uint_t  c;

    tap_test("a field that is no text is not written as one");

    ngx_str_set(&text, "1");

    for (c = 0; c < 256; c++) {
        ngx_array_init(&args, pool, 1, sizeof(ngx_str_t));

        if (c && strchr("nbyd", c)) {
            continue;
        }

        tap_is(ngx_access_token_record_text(&args, c, &text), NGX_ERROR,
               "text");
        tap_is(ngx_access_token_record_chunks(&args, c), NGX_ERROR, "chunks");
        tap_is(args.nelts, 0, "strings");
    }
}


static void
test_no_memory(void)
{
    u_char      text[200];
    ngx_int_t   rc;
    ngx_uint_t  n, chunks;

    tap_test("without memory a text is not called invalid");

    ngx_memset(text, 'a', sizeof(text));

    for (chunks = 0; chunks < 2; chunks++) {
        for (n = 1; n < 100; n++) {
            ngx_array_init(&args, pool, 1, sizeof(ngx_str_t));
            unit_fail_alloc(n);

            if (chunks) {
                rc = ngx_access_token_record_chunks(&args, 'd');

            } else {
                ngx_str_t  s = { sizeof(text), text };
                rc = ngx_access_token_record_text(&args, 'd', &s);
            }

            unit_fail_alloc(0);

            if (rc == NGX_OK) {
                break;
            }

            tap_is(rc, NGX_ERROR, "written");
        }

        tap_ok(n > 4 && n < 100, "%d allocations", (int) n - 1);
    }
}


static void
both_ways(u_char field, const u_char *text, size_t len, ngx_uint_t good)
{
    const char  *problem;

    problem = unit_both_ways(pool, field, text, len, good);

    tap_ok(problem == NULL, "%c \"%.*s\" (%d bytes): %s", field, (int) len,
           text, (int) len, problem);
}


static void
fresh_pool(void)
{
    if (pool) {
        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(0, NULL);
}
