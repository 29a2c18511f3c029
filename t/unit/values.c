
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * record, reading: which values a field may have.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "tap.h"
#include "unit.h"


#define A64  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


typedef struct {
    const char   *field;
    ngx_str_t     value;
} value_t;


static void test_numbers(void);
static void test_wrong_values(void);
static void test_one_byte_values(void);
static void test_long_values(void);
static void test_right_values(void);

static int64_t number_of(const ngx_access_token_t *t, u_char field);


static ngx_pool_t  *pool;


int
main(void)
{
    unit_init();
    pool = ngx_create_pool(0, NULL);

    test_numbers();
    test_wrong_values();
    test_one_byte_values();
    test_long_values();
    test_right_values();

    ngx_destroy_pool(pool);

    return tap_done();
}


static void
test_numbers(void)
{
    const char          *p;
    char                 field[2];
    ngx_uint_t           i;
    ngx_access_token_t   t, zero;

    static const ngx_str_t  numbers[] = {
        ngx_string(""), ngx_string("01"), ngx_string("00"),
        ngx_string("01700000000"), ngx_string("+1"), ngx_string("-1"),
        ngx_string("-0"), ngx_string(" 1"), ngx_string("1 "),
        ngx_string("1\n"), ngx_string("1\0"), ngx_string("\0" "1"),
        ngx_string("1x"), ngx_string("x"), ngx_string("0x10"),
        ngx_string("1.0"), ngx_string("1e3"), ngx_string("1,000"),
        ngx_string("1/"), ngx_string("1:"), ngx_string("nan"),
        ngx_string("1000000000000000"),
        ngx_string("9223372036854775807"),
        ngx_string("9223372036854775808"),
        ngx_string("9223372036854775809"),
        ngx_string("9999999999999999999"),
        ngx_string("18446744073709551615"),
        ngx_string("18446744073709551616"),
        ngx_string("18446744073709551617"),
        ngx_string("99999999999999999999"),
        ngx_string("184467440737095516170"),
        ngx_string("1000000000000000000000000000000000000000000000001"),
    };

    tap_test("a number has one spelling");

    field[1] = '\0';
    ngx_memzero(&zero, sizeof(zero));

    for (p = "qevcx"; *p; p++) {
        field[0] = *p;
        ngx_memzero(&t, sizeof(t));

        for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            tap_ok(unit_set_str(&t, pool, field, (char *) numbers[i].data,
                                numbers[i].len)
                   == NGX_DECLINED, "%s \"%s\"", field, numbers[i].data);
            tap_ok(ngx_memcmp(&t, &zero, sizeof(t)) == 0, "%s was taken",
                   numbers[i].data);
        }
    }
}


static void
test_wrong_values(void)
{
    ngx_uint_t          i;
    ngx_access_token_t  t, zero;

    static const value_t  values[] = {
        { "e", ngx_string("253402300800") },
        { "e", ngx_string("2534023008000") },
        { "q", ngx_string("253402300800") },
        { "c", ngx_string("253402300800") },
        { "x", ngx_string("253402300800") },
        { "q", ngx_string("0") },
        { "v", ngx_string("0") },
        { "c", ngx_string("0") },
        { "x", ngx_string("0") },
        { "h", ngx_string("") },
        { "h", ngx_string("0123456789abcdef0123456789abcde") },
        { "h", ngx_string("0123456789abcdef0123456789abcdef0") },
        { "h", ngx_string(A64) },
        { "p", ngx_string("") },
        { "p", ngx_string("0123456789abcdef0123456789abcde") },
        { "p", ngx_string("0123456789abcdef0123456789abcdef0") },
        { "a", ngx_string("") },
        { "a", ngx_string("00") },
        { "a", ngx_string("01") },
        { "a", ngx_string("10") },
        { "a", ngx_string("true") },
        { "s", ngx_string("") },
        { "s", ngx_string("aa") },
        { "s", ngx_string("ar") },
        { "s", ngx_string("active") },
        { "s", ngx_string("revoked") },
        { "o", ngx_string("") },
        { "o", ngx_string(".acme") },
        { "o", ngx_string("acme/team") },
        { "o", ngx_string("ac me") },
        { "o", ngx_string("acme\0") },
        { "o", ngx_string("acm\303\251") },
        { "g", ngx_string(".team") },
        { "g", ngx_string("team/1") },
        { "g", ngx_string(" ") },
        { "g", ngx_string("\0") },
        { "u", ngx_string("") },
        { "u", ngx_string("tu_") },
        { "u", ngx_string("tu_0123456789abcde") },
        { "u", ngx_string("tu_0123456789abcdefg") },
        { "u", ngx_string("tx_0123456789abcdef") },
        { "u", ngx_string("tu_0123456789abcde-") },
        { "n1", ngx_string("") },
        { "d15", ngx_string("") },
    };

    tap_test("a value of the wrong form is refused");

    ngx_memzero(&zero, sizeof(zero));

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        ngx_memzero(&t, sizeof(t));

        tap_ok(unit_set_str(&t, pool, values[i].field,
                            (char *) values[i].value.data,
                            values[i].value.len)
               == NGX_DECLINED, "%s \"%s\"", values[i].field,
               values[i].value.data);
        tap_ok(ngx_memcmp(&t, &zero, sizeof(t)) == 0, "%s was taken",
               values[i].field);
    }
}


/* What one byte means, of all 256. */

static void
test_one_byte_values(void)
{
    char                 c;
    ngx_uint_t           i, field, good;
    ngx_access_token_t   t;

    static const char  *fields[] = { "a", "s", "q", "e", "v", "c", "x" };
    static const char  *right[] = {
        "01", "ar", "123456789", "0123456789", "123456789", "123456789",
        "123456789"
    };

    tap_test("a flag is 0 or 1, a status is a or r, a number is a number");

    for (field = 0; field < 7; field++) {
        for (i = 0; i < 256; i++) {
            c = i;
            good = (c != '\0' && strchr(right[field], c) != NULL);

            ngx_memzero(&t, sizeof(t));
            tap_ok(unit_set_str(&t, pool, fields[field], &c, 1)
                   == (good ? NGX_OK : NGX_DECLINED),
                   "%s is byte %d", fields[field], (int) i);
            tap_is(t.admin, field == 0 && c == '1', "admin");
            tap_is(t.revoked, field == 1 && c == 'r', "revoked");
        }
    }
}


static void
test_long_values(void)
{
    size_t              len;
    ngx_uint_t          i;
    ngx_access_token_t  t;
    char                text[1024];

    static const char  *fields[] = {
        "h", "p", "q", "o", "g", "a", "s", "e", "u", "v", "n", "n6", "c", "b",
        "b1", "x", "y", "y1", "d", "d15"
    };

    tap_test("a value of more than 64 bytes is refused");

    ngx_memset(text, '1', sizeof(text));

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        for (len = 65; len <= sizeof(text); len++) {
            ngx_memzero(&t, sizeof(t));
            tap_ok(unit_set_str(&t, pool, fields[i], text, len)
                   == NGX_DECLINED, "%s of %d bytes", fields[i], (int) len);
        }
    }

    tap_test("a value of 64 bytes is not too long");

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        ngx_memzero(&t, sizeof(t));
        tap_ok(unit_set_str(&t, pool, fields[i], text, 64)
               == (strchr("ognbyd", fields[i][0]) ? NGX_OK : NGX_DECLINED),
               "%s", fields[i]);
    }
}


static void
test_right_values(void)
{
    ngx_uint_t          i;
    ngx_access_token_t  t;

    static const struct {
        const char   *field;
        const char   *value;
        int64_t       number;
    } values[] = {
        { "e", "0", 0 },
        { "e", "1", 1 },
        { "e", "10", 10 },
        { "e", "253402300799", 253402300799 },
        { "q", "1", 1 },
        { "q", "253402300799", 253402300799 },
        { "c", "1", 1 },
        { "c", "253402300799", 253402300799 },
        { "x", "1", 1 },
        { "x", "253402300799", 253402300799 },
        { "v", "1", 1 },
        { "v", "1234567890", 1234567890 },
        { "v", "999999999999999", 999999999999999 },
    };

    tap_test("a number is taken up to the greatest");

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        ngx_memzero(&t, sizeof(t));
        tap_is(unit_set_str(&t, pool, values[i].field, values[i].value,
                            strlen(values[i].value)),
               NGX_OK, values[i].value);
        tap_is(number_of(&t, values[i].field[0]), values[i].number,
               values[i].field);
    }
}


static int64_t
number_of(const ngx_access_token_t *t, u_char field)
{
    switch (field) {
    case 'e':
        return t->expires;
    case 'q':
        return t->previous_until;
    case 'c':
        return t->created;
    case 'x':
        return t->revoked_at;
    default:
        return t->version;
    }
}
