
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * record, reading: which fields make a record.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "tap.h"
#include "unit.h"


#define A64  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


static void test_members(void);
static void test_any_order(void);
static void test_missing(void);
static void test_optional(void);
static void test_nil(void);
static void test_pairs(void);
static void test_no_group(void);
static void test_twice(void);
static void test_unknown(void);
static void test_edge_fields(void);
static void test_no_memory(void);

static ngx_int_t read_but(ngx_access_token_t *t, const char *without);
static ngx_int_t check(ngx_access_token_t *t, ngx_uint_t edge);


static ngx_pool_t  *pool;
static ngx_str_t    named;      /* by the last check() */


int
main(void)
{
    unit_init();
    pool = ngx_create_pool(0, NULL);

    test_members();
    test_any_order();
    test_missing();
    test_optional();
    test_nil();
    test_pairs();
    test_no_group();
    test_twice();
    test_unknown();
    test_edge_fields();
    test_no_memory();

    ngx_destroy_pool(pool);

    return tap_done();
}


static void
test_members(void)
{
    ngx_access_token_t  t;

    tap_test("each field goes to its member");

    tap_is(read_but(&t, ""), NGX_OK, "read");
    tap_is(check(&t, 0), NGX_OK, "check");
    tap_is(named.len, 0, "nothing is named");

    tap_ok(ngx_memcmp(t.digest, unit_digest, 32) == 0, "digest");
    tap_ok(ngx_memcmp(t.previous, unit_previous, 32) == 0, "previous");
    tap_is(t.previous_until, 1800000600, "previous_until");
    tap_is_str(&t.owner.organization, "acme", 4, "organization");
    tap_is_str(&t.owner.group, "team-1", 6, "group");
    tap_is(t.admin, 1, "admin");
    tap_is(t.revoked, 1, "revoked");
    tap_is(t.expires, 1900000000, "expires");
    tap_is_str(&t.technical_user, "tu_0123456789abcdef", 19, "user");
    tap_is(t.version, 7, "version");
    tap_is_str(&t.name, A64 "end of the name", 79, "name");
    tap_is(t.created, 1700000000, "created");
    tap_is_str(&t.created_by, A64 "creator", 71, "created_by");
    tap_is(t.revoked_at, 1800000000, "revoked_at");
    tap_is_str(&t.revoked_by, "user:somebody", 13, "revoked_by");
    tap_is_str(&t.description, A64 A64 "end of\n\tthe description", 151,
               "description");
}


static void
test_any_order(void)
{
    const char          *difference;
    ngx_uint_t           i;
    unit_field_t         fields[64];
    ngx_access_token_t   t, expected;

    tap_test("fields may come in any order");

    read_but(&expected, "");
    ngx_memcpy(fields, unit_record, unit_nrecord * sizeof(unit_field_t));

    for (i = 0; i < 2000; i++) {
        unit_shuffle(fields, unit_nrecord);

        tap_is(unit_read(&t, pool, fields, unit_nrecord), NGX_OK, "read");
        tap_is(check(&t, 0), NGX_OK, "check");

        difference = unit_difference(&t, &expected);
        tap_ok(difference == NULL, "%s", difference);
    }
}


static void
test_missing(void)
{
    const char          *p;
    char                 field[2];
    ngx_access_token_t   t;

    field[1] = '\0';

    tap_test("an edge refuses a record without a field it needs, and names it");

    for (p = "hogaseuvn"; *p; p++) {
        field[0] = *p;
        tap_is(read_but(&t, field), NGX_OK, "read");
        tap_is(check(&t, 1), NGX_DECLINED, field);
        tap_is_str(&named, field, 1, "named");
    }

    tap_test("a record without a field it needs is refused, and named");

    for (p = "hogaseuvncb"; *p; p++) {
        field[0] = *p;
        tap_is(read_but(&t, field), NGX_OK, "read");
        tap_is(check(&t, 0), NGX_DECLINED, field);
        tap_is_str(&named, field, 1, "named");
    }

    tap_test("no field at all is no record");

    ngx_memzero(&t, sizeof(t));
    tap_is(check(&t, 1), NGX_DECLINED, "edge");
    tap_is_str(&named, "h", 1, "named");
    tap_is(check(&t, 0), NGX_DECLINED, "full");
    tap_is_str(&named, "h", 1, "named");
}


static void
test_optional(void)
{
    ngx_access_token_t  t;

    tap_test("an edge needs not what it does not ask for");

    tap_is(read_but(&t, "cb"), NGX_OK, "read");
    tap_is(check(&t, 1), NGX_OK, "check");
    tap_is(check(&t, 0), NGX_DECLINED, "full check");

    tap_test("a record needs no previous digest, revocation or description");

    tap_is(read_but(&t, "pqxyd"), NGX_OK, "read");
    tap_is(check(&t, 1), NGX_OK, "edge");
    tap_is(check(&t, 0), NGX_OK, "full");
    tap_is(t.previous_until, 0, "previous_until");
    tap_is(t.revoked_at, 0, "revoked_at");
    tap_is(t.description.len, 0, "description");
}


static void
test_nil(void)
{
    ngx_str_t           name, value;
    ngx_uint_t          i;
    ngx_access_token_t  t, zero;

    tap_test("a nil value is an absent field");

    ngx_memzero(&t, sizeof(t));
    ngx_memzero(&zero, sizeof(t));

    for (i = 0; i < unit_nrecord; i++) {
        tap_is(ngx_access_token_record_set(&t, pool, &unit_record[i].name,
                                           NULL),
               NGX_OK, "set");
    }

    tap_ok(ngx_memcmp(&t, &zero, sizeof(t)) == 0, "it left something");

    read_but(&t, "p");
    ngx_str_set(&name, "p");
    ngx_access_token_record_set(&t, pool, &name, NULL);
    tap_is(check(&t, 0), NGX_DECLINED, "q beside a nil p");
    tap_is_str(&named, "p", 1, "named");

    tap_test("a field without a name is ignored");

    ngx_memzero(&t, sizeof(t));
    ngx_str_set(&name, "");
    ngx_str_set(&value, "1");
    tap_is(unit_set(&t, pool, &name, &value), NGX_OK, "set");
    tap_ok(ngx_memcmp(&t, &zero, sizeof(t)) == 0, "it left something");
}


static void
test_pairs(void)
{
    ngx_uint_t          i, edge;
    ngx_access_token_t  t;

    tap_test("a field of a pair without the other is refused");

    for (i = 0; i < 4; i++) {
        for (edge = 0; edge < 2; edge++) {
            char  field[] = { "pqxy"[i], '\0' };

            tap_is(read_but(&t, field), NGX_OK, "read");
            tap_is(check(&t, edge), NGX_DECLINED, field);
            tap_is_str(&named, field, 1, "named");
        }
    }

    tap_is(read_but(&t, "pq"), NGX_OK, "read");
    tap_is(check(&t, 0), NGX_OK, "without p and q");

    tap_is(read_but(&t, "xy"), NGX_OK, "read");
    tap_is(check(&t, 0), NGX_OK, "without x and y");
}


static void
test_no_group(void)
{
    ngx_access_token_t  t;

    tap_test("without a group a token is the organization's");

    tap_is(read_but(&t, "g"), NGX_OK, "read");
    tap_is(unit_set_str(&t, pool, "g", "", 0), NGX_OK, "set");
    tap_is(check(&t, 0), NGX_OK, "check");
    tap_is(t.owner.group.len, 0, "group");
    tap_is_str(&t.owner.organization, "acme", 4, "organization");
}


static void
test_twice(void)
{
    ngx_uint_t          i;
    ngx_access_token_t  t, before;

    tap_test("a field that comes twice is refused");

    for (i = 0; i < unit_nrecord; i++) {
        read_but(&t, "");
        before = t;

        tap_ok(unit_set(&t, pool, &unit_record[i].name, &unit_record[i].value)
               == NGX_DECLINED, "%s", unit_record[i].name.data);
        tap_ok(ngx_memcmp(&t, &before, sizeof(t)) == 0, "%s was taken",
               unit_record[i].name.data);
    }

    tap_test("an empty group that comes twice is refused");

    ngx_memzero(&t, sizeof(t));
    tap_is(unit_set_str(&t, pool, "g", "", 0), NGX_OK, "first");
    tap_is(unit_set_str(&t, pool, "g", "team", 4), NGX_DECLINED, "second");
}


static void
test_unknown(void)
{
    char                 name[2];
    ngx_uint_t           i;
    ngx_access_token_t   t, zero;

    static const char  *names[] = {
        "h0", "h1", "p1", "q1", "o1", "g1", "a1", "s1", "e1", "u1", "v1",
        "c1", "x1", "n0", "n7", "n8", "n01", "n001", "n-1", "n+1", "n 1",
        "n1 ", "n1x", "nn", "n1.0", "n65536", "n4294967297",
        "n18446744073709551616", "n18446744073709551617", "b0", "b2", "b01",
        "y0", "y2", "d0", "d16", "d17", "d015", "d99", "name", "digest",
        "status", "expires", A64, "n" A64
    };

    ngx_memzero(&t, sizeof(t));
    ngx_memzero(&zero, sizeof(t));

    tap_test("a field of another name is ignored");

    for (i = 0; i < 256; i++) {
        name[0] = i;
        name[1] = '\0';

        if (i && strchr("hpqogaseuvncbxyd", i)) {
            continue;
        }

        tap_is(unit_set_str(&t, pool, name, "1", 1), NGX_OK, name);
        tap_is(unit_set_str(&t, pool, name, A64 "1", 65), NGX_OK, name);
    }

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        tap_is(unit_set_str(&t, pool, names[i], "1", 1), NGX_OK, names[i]);
        tap_ok(ngx_memcmp(&t, &zero, sizeof(t)) == 0, "%s was taken",
               names[i]);
    }

    tap_ok(ngx_memcmp(&t, &zero, sizeof(t)) == 0, "something was taken");

    tap_test("chunks up to the last one are known");

    tap_is(read_but(&t, "nbyd"), NGX_OK, "read");

    for (i = 0; i < 4; i++) {
        static const char  *last[] = { "n6", "b1", "y1", "d15" };

        tap_is(unit_set_str(&t, pool, last[i], "1", 1), NGX_OK, last[i]);
        tap_is(check(&t, 0), NGX_DECLINED, "alone");
        tap_is_str(&named, last[0], 1, "named");
    }
}


static void
test_edge_fields(void)
{
    size_t              len;
    ngx_str_t           name;
    ngx_uint_t          i, j;
    ngx_access_token_t  t;

    static const char  expected[] = "h p q o g a s e u v n n1 n2 n3 n4 n5 n6 ";

    char  got[256];

    tap_test("an edge asks for what it needs and for the whole name");

    tap_is(NGX_ACCESS_TOKEN_EDGE_FIELDS, 17, "fields");
    tap_is_str(&ngx_access_token_edge_fields[NGX_ACCESS_TOKEN_EDGE_FIRST - 1],
               "n", 1, "the last of those that are asked for first");

    for (len = 0, i = 0; i < NGX_ACCESS_TOKEN_EDGE_FIELDS; i++) {
        len += sprintf(got + len, "%.*s ",
                       (int) ngx_access_token_edge_fields[i].len,
                       (char *) ngx_access_token_edge_fields[i].data);
    }

    tap_ok(strcmp(got, expected) == 0, "%s, not %s", got, expected);

    tap_test("what an edge asks for is enough for it");

    ngx_memzero(&t, sizeof(t));

    for (i = 0; i < NGX_ACCESS_TOKEN_EDGE_FIELDS; i++) {
        name = ngx_access_token_edge_fields[i];

        for (j = 0; j < unit_nrecord; j++) {
            if (unit_is(&name, (char *) unit_record[j].name.data)) {
                unit_set(&t, pool, &name, &unit_record[j].value);
            }
        }
    }

    tap_is(check(&t, 1), NGX_OK, "check");
    tap_is_str(&t.name, A64 "end of the name", 79, "name");
}


static void
test_no_memory(void)
{
    ngx_int_t           rc;
    ngx_uint_t          n;
    ngx_access_token_t  t;

    tap_test("without memory a record is not called damaged");

    for (n = 1; n < 100; n++) {
        unit_fail_alloc(n);
        rc = read_but(&t, "");
        unit_fail_alloc(0);

        if (rc == NGX_OK) {
            break;
        }

        tap_is(rc, NGX_ERROR, "read");
    }

    tap_is(n - 1, 7, "allocations: o g u n b y d");
}


/* The sample without the fields of these letters. */

static ngx_int_t
read_but(ngx_access_token_t *t, const char *without)
{
    ngx_uint_t    i, n;
    unit_field_t  fields[64];

    for (n = 0, i = 0; i < unit_nrecord; i++) {
        if (strchr(without, unit_record[i].name.data[0]) == NULL) {
            fields[n++] = unit_record[i];
        }
    }

    return unit_read(t, pool, fields, n);
}


static ngx_int_t
check(ngx_access_token_t *t, ngx_uint_t edge)
{
    ngx_str_set(&named, "junk");

    return ngx_access_token_record_check(t, edge, &named);
}
