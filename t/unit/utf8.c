
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * record, its texts: what is UTF-8, and which characters a text may have.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "tap.h"
#include "unit.h"


static void test_pairs(void);
static void test_three_and_four(void);
static void test_all_characters(void);
static void test_truncated(void);
static void test_controls(void);
static void test_length(void);

static void both_ways(u_char field, const u_char *text, size_t len,
    ngx_uint_t good);
static ngx_uint_t in_utf8(const u_char *p, size_t len);
static ngx_uint_t has_control(const u_char *p, size_t len);
static void fresh_pool(void);


static ngx_pool_t  *pool;


int
main(void)
{
    unit_init();
    fresh_pool();

    test_pairs();
    test_three_and_four();
    test_all_characters();
    test_truncated();
    test_controls();
    test_length();

    ngx_destroy_pool(pool);

    return tap_done();
}


/* Each pair of bytes. */

static void
test_pairs(void)
{
    u_char      p[2];
    ngx_uint_t  i;

    tap_test("a name is UTF-8 without control characters: two bytes");

    for (i = 0; i < 65536; i++) {
        p[0] = i >> 8;
        p[1] = i & 0xff;

        both_ways('n', p, 2, in_utf8(p, 2) && !has_control(p, 2));

        if (i % 4096 == 0) {
            fresh_pool();
        }
    }
}


/* Each first byte, with bytes at the limits of what may follow it. */

static void
test_three_and_four(void)
{
    u_char      p[4];
    ngx_uint_t  first, i, len;

    static const u_char  next[] = {
        0x00, 0x20, 0x7e, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff
    };

    tap_test("a name is UTF-8 without control characters: three and four");

    for (first = 0; first < 256; first++) {
        p[0] = first;

        for (i = 0; i < 12 * 12 * 12; i++) {
            p[1] = next[i % 12];
            p[2] = next[i / 12 % 12];
            p[3] = next[i / 144];
            len = 3 + (i >= 144);

            both_ways('n', p, len, in_utf8(p, len) && !has_control(p, len));
        }

        fresh_pool();
    }
}


static void
test_all_characters(void)
{
    size_t       len;
    u_char       p[4];
    uint32_t     c;
    ngx_array_t  args;

    tap_test("a name may have any character but surrogates and controls");

    for (c = 0; c <= 0x110fff; c++) {
        len = unit_encode(p, c);

        tap_ok(unit_write_text(&args, pool, 'n', p, len)
               == ((c >= 0x20 && c < 0x7f)
                   || (c >= 0xa0 && c < 0xd800)
                   || (c > 0xdfff && c <= 0x10ffff)
                   ? NGX_OK : NGX_DECLINED), "U+%04x", c);

        if (c % 4096 == 0) {
            fresh_pool();
        }
    }
}


static void
test_truncated(void)
{
    size_t      i, len;
    u_char      p[8];
    ngx_uint_t  width;

    static const uint32_t  character[] = { 0xe9, 0x20ac, 0x1f600, 0x10ffff };

    tap_test("a text does not end in the middle of a character");

    for (width = 0; width < 4; width++) {
        for (i = 0; i < UNIT_NTEXTS; i++) {
            p[0] = 'a';
            len = 1 + unit_encode(p + 1, character[width]);

            both_ways(unit_texts[i].field, p, len, 1);

            while (--len > 1) {
                both_ways(unit_texts[i].field, p, len, 0);
            }
        }
    }
}


static void
test_controls(void)
{
    u_char      p[4];
    uint32_t    c;
    ngx_uint_t  i, good;

    tap_test("a text has no control character, but lines in a description");

    for (i = 0; i < UNIT_NTEXTS; i++) {
        for (c = 0; c < 0x100; c++) {
            good = (c >= 0x20 && c < 0x7f) || c >= 0xa0
                   || (unit_texts[i].field == 'd' && (c == '\n' || c == '\t'));

            both_ways(unit_texts[i].field, p, unit_encode(p, c), good);
        }
    }
}


static void
test_length(void)
{
    u_char      text[600];
    uint32_t    c;
    ngx_str_t   s;
    ngx_uint_t  i, n, good;

    static const char  *allow[] = { "", "\n", "\n\t", "\r\177\302" };

    tap_test("a length is in characters, of which controls may be allowed");

    s.data = text;

    for (i = 0; i < 4; i++) {
        s.len = 0;

        for (n = 0; n < 600 / 4; n++) {
            tap_is(ngx_access_token_text_length(&s, ""), n, "characters");
            s.len += unit_encode(text + s.len, unit_characters[i]);
        }

        for (c = 0; c < 0x100; c++) {
            good = (c >= 0x20 && c < 0x7f) || c >= 0xa0
                   || (c > 0 && c < 0x20 && strchr(allow[i], c) != NULL);

            s.len = unit_encode(text, c);
            tap_ok(ngx_access_token_text_length(&s, allow[i])
                   == (good ? 1 : NGX_ERROR), "U+%04x, %d", c, (int) i);
        }
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


/* Table 3-7 of the Unicode standard. */

static ngx_uint_t
in_utf8(const u_char *p, size_t len)
{
    size_t      i;
    ngx_uint_t  row, n;

    static const u_char  rows[][9] = {
        { 1, 0x00, 0x7f },
        { 2, 0xc2, 0xdf, 0x80, 0xbf },
        { 3, 0xe0, 0xe0, 0xa0, 0xbf, 0x80, 0xbf },
        { 3, 0xe1, 0xec, 0x80, 0xbf, 0x80, 0xbf },
        { 3, 0xed, 0xed, 0x80, 0x9f, 0x80, 0xbf },
        { 3, 0xee, 0xef, 0x80, 0xbf, 0x80, 0xbf },
        { 4, 0xf0, 0xf0, 0x90, 0xbf, 0x80, 0xbf, 0x80, 0xbf },
        { 4, 0xf1, 0xf3, 0x80, 0xbf, 0x80, 0xbf, 0x80, 0xbf },
        { 4, 0xf4, 0xf4, 0x80, 0x8f, 0x80, 0xbf, 0x80, 0xbf },
    };

    for (i = 0; i < len; i += n) {
        for (row = 0; row < 9; row++) {
            for (n = 0; n < rows[row][0] && i + n < len; n++) {
                if (p[i + n] < rows[row][1 + 2 * n]
                    || p[i + n] > rows[row][2 + 2 * n])
                {
                    break;
                }
            }

            if (n == rows[row][0]) {
                break;
            }
        }

        if (row == 9) {
            return 0;
        }
    }

    return 1;
}


/* Of UTF-8: below U+0020, and U+007F to U+009F. */

static ngx_uint_t
has_control(const u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (p[i] < 0x20 || p[i] == 0x7f
            || (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0))
        {
            return 1;
        }
    }

    return 0;
}


static void
fresh_pool(void)
{
    if (pool) {
        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(0, NULL);
}
