
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * map: the slot of a key is the one that Redis says; an answer to CLUSTER SLOTS
 * is taken as it is if it is well-formed, and else refused.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "unit.h"


#define RANGES  32768

#define word(s)     { NGX_REDIS_STRING, ngx_string(s), 0, 0, NULL }
#define number(n)   { NGX_REDIS_INTEGER, ngx_null_string, n, 0, NULL }
#define nil         { NGX_REDIS_NIL, ngx_null_string, 0, 0, NULL }
#define array(elts)                                                           \
    { NGX_REDIS_ARRAY, ngx_null_string, 0, sizeof(elts) / sizeof(elts[0]),    \
      elts }


typedef struct {
    ngx_uint_t    first;
    ngx_uint_t    last;
    ngx_str_t     host;
    ngx_uint_t    port;
} range_t;


static void test_slots(void);
static void test_tags(void);
static void test_reads(void);
static void test_hosts(void);
static void test_bad_hosts(void);
static void test_extra(void);
static void test_numbers(void);
static void test_types(void);
static void test_short(void);
static void test_many(void);
static void test_refused(void);

static void begin(void);
static ngx_int_t reads(void);
static ngx_int_t take(void *data, ngx_uint_t first, ngx_uint_t last,
    const ngx_str_t *host, in_port_t port);


/* [[first, last, [host, port, id, metadata], replica]] */

static ngx_redis_reply_t  node[4];
static ngx_redis_reply_t  replica[3];
static ngx_redis_reply_t  entry[4];
static ngx_redis_reply_t  whole[1];
static ngx_redis_reply_t  reply;

static range_t     ranges[RANGES];
static ngx_uint_t  nranges, refuse_at;


int
main(void)
{
    unit_init();
    (void) alarm(120);

    test_slots();
    test_tags();
    test_reads();
    test_hosts();
    test_bad_hosts();
    test_extra();
    test_numbers();
    test_types();
    test_short();
    test_many();
    test_refused();

    return tap_done();
}


/* Copies of the keys, so that a sanitizer sees who reads behind their end. */

static void
test_slots(void)
{
    ngx_str_t    key;
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    tap_test("a key has the slot that Redis says");

    pool = ngx_create_pool(0, NULL);

    for (i = 0; i < unit_nkeys; i++) {
        key.len = unit_keys[i].key.len;
        key.data = ngx_pstrdup(pool, (ngx_str_t *) &unit_keys[i].key);

        tap_ok(ngx_redis_slot(&key) == unit_keys[i].slot,
               "key %lu \"%.*s\": %lu, not %lu", (u_long) i, (int) key.len,
               key.data, (u_long) ngx_redis_slot(&key),
               (u_long) unit_keys[i].slot);
    }

    tap_ok(unit_nkeys > 100, "so few keys");
    ngx_destroy_pool(pool);
}


static void
test_tags(void)
{
    char         text[64];
    ngx_str_t    key;
    ngx_uint_t   i, k;

    static const char  *forms[] = {
        "%s", "{%s}", "at:u:{%s}", "at:t:{%s}abcdef{}", "}at:{%s}", "{%s}}{x}"
    };

    tap_test("all keys of a tag have the slot of the tag alone");

    for (i = 0; i < unit_ntags; i++) {
        for (k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
            key.data = (u_char *) text;
            key.len = snprintf(text, sizeof(text), forms[k],
                               unit_tags[i].tag);

            tap_ok(ngx_redis_slot(&key) == unit_tags[i].slot,
                   "%s: %lu, not %lu", text, (u_long) ngx_redis_slot(&key),
                   (u_long) unit_tags[i].slot);
        }
    }

    tap_ok(unit_ntags > 200, "so few tags");
}


static void
test_reads(void)
{
    ngx_redis_reply_t  elts[3], entries[3][3];
    ngx_uint_t         i;

    tap_test("a range has its slots and its primary");

    begin();
    tap_is(reads(), NGX_OK, "read");
    tap_is(nranges, 1, "ranges");
    tap_is(ranges[0].first, 0, "first");
    tap_is(ranges[0].last, 5460, "last");
    tap_is(ranges[0].port, 7000, "port");
    tap_is_str(&ranges[0].host, "192.0.2.1", 9, "host");

    tap_test("ranges are told in their order");

    for (i = 0; i < 3; i++) {
        ngx_memcpy(entries[i], entry, sizeof(entries[i]));
        entries[i][0].integer = i * 100;
        entries[i][1].integer = i * 100 + 99 - i;
        elts[i] = (ngx_redis_reply_t) array(entries[i]);
    }

    reply.nelts = 3;
    reply.elts = elts;

    tap_is(reads(), NGX_OK, "read");
    tap_is(nranges, 3, "ranges");

    for (i = 0; i < 3; i++) {
        tap_is(ranges[i].first, i * 100, "first");
        tap_is(ranges[i].last, i * 100 + 99 - i, "last");
    }

    tap_test("a cluster without a slot has a map without a range");

    reply.nelts = 0;
    reply.elts = NULL;
    tap_is(reads(), NGX_OK, "read");
    tap_is(nranges, 0, "ranges");

    tap_test("any slot can be the first and the last");

    static const int64_t  bounds[][2] = {
        { 0, 0 }, { 16383, 16383 }, { 0, 16383 }, { 5, 5 }, { 1, 16382 }
    };

    for (i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        begin();
        entry[0].integer = bounds[i][0];
        entry[1].integer = bounds[i][1];
        tap_is(reads(), NGX_OK, "read");
        tap_is(ranges[0].first, bounds[i][0], "first");
        tap_is(ranges[0].last, bounds[i][1], "last");
    }
}


/* Empty: that of whoever was asked. */

static void
test_hosts(void)
{
    ngx_uint_t  i;

    static const struct {
        ngx_redis_reply_t  host;
        ngx_str_t          expected;
    } hosts[] = {
        { word("192.0.2.1"), ngx_string("192.0.2.1") },
        { word("2001:db8::1"), ngx_string("2001:db8::1") },
        { word("::1"), ngx_string("::1") },
        { word("redis-0.example"), ngx_string("redis-0.example") },
        { word("r"), ngx_string("r") },
        { word("under_score.example"), ngx_string("under_score.example") },
        { word(""), ngx_string("") },
        { word("?"), ngx_string("") },
        { nil, ngx_string("") }
    };

    tap_test("a host is a name or an address, or not known to who was asked");

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        begin();
        node[0] = hosts[i].host;
        tap_is(reads(), NGX_OK, "read");
        tap_is_str(&ranges[0].host, (char *) hosts[i].expected.data,
                   hosts[i].expected.len, "host");
        tap_is(ranges[0].port, 7000, "port");
    }
}


static void
test_bad_hosts(void)
{
    u_char      bytes[256];
    ngx_uint_t  i;

    static const ngx_redis_reply_t  hosts[] = {
        word(" "), word("a b"), word("a\n"), word("\ta"), word("a\000"),
        word("\000"), word("\177"), word("a\377"), word("\303\251.example")
    };

    tap_test("a host that is neither, and unfit for the log, is refused");

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        begin();
        node[0] = hosts[i];
        tap_is(reads(), NGX_ERROR, "read");
        tap_is(nranges, 0, "ranges");
    }

    ngx_memset(bytes, 'a', sizeof(bytes));
    node[0].str.data = bytes;
    node[0].str.len = 255;
    tap_is(reads(), NGX_OK, "255 bytes");
    node[0].str.len = 256;
    tap_is(reads(), NGX_ERROR, "256 bytes");
}


static void
test_extra(void)
{
    ngx_redis_reply_t  pairs[] = { word("hostname"), word("redis-0") };

    tap_test("what is told of a primary besides is not looked at");

    begin();
    node[3] = (ngx_redis_reply_t) array(pairs);
    tap_is(reads(), NGX_OK, "metadata");
    node[2] = (ngx_redis_reply_t) number(1);
    tap_is(reads(), NGX_OK, "an id of another type");
    entry[2].nelts = 2;
    tap_is(reads(), NGX_OK, "no id");
    tap_is(nranges, 1, "ranges");

    tap_test("nor are replicas");

    entry[3] = (ngx_redis_reply_t) number(1);
    tap_is(reads(), NGX_OK, "a number");
    entry[3] = (ngx_redis_reply_t) nil;
    tap_is(reads(), NGX_OK, "nil");
    reply.elts[0].nelts = 3;
    tap_is(reads(), NGX_OK, "none");
    tap_is(nranges, 1, "ranges");
}


static void
test_numbers(void)
{
    ngx_uint_t  i;

    static const int64_t  bad_slots[][2] = {
        { -1, 5 }, { -16384, -1 }, { 0, 16384 }, { 16384, 16384 }, { 6, 5 },
        { 16383, 0 }, { 0, -1 }, { INT64_MIN, INT64_MAX }, { 0, INT64_MAX },
        { INT64_MIN, 0 }, { 0, 65536 }, { 4294967296, 4294967297 },
        { 0, 4294967296 + 5 }
    };

    static const int64_t  bad_ports[] = {
        0, -1, 65536, 65536 + 7000, INT64_MIN, INT64_MAX, 4294967296 + 7000
    };

    static const int64_t  good_ports[] = { 1, 80, 6379, 65535 };

    tap_test("slots that there are not are refused, and the last before first");

    for (i = 0; i < sizeof(bad_slots) / sizeof(bad_slots[0]); i++) {
        begin();
        entry[0].integer = bad_slots[i][0];
        entry[1].integer = bad_slots[i][1];
        tap_is(reads(), NGX_ERROR, "read");
        tap_is(nranges, 0, "ranges");
    }

    tap_test("and so are ports that there are not");

    for (i = 0; i < sizeof(bad_ports) / sizeof(bad_ports[0]); i++) {
        begin();
        node[1].integer = bad_ports[i];
        tap_is(reads(), NGX_ERROR, "read");
        tap_is(nranges, 0, "ranges");
    }

    for (i = 0; i < sizeof(good_ports) / sizeof(good_ports[0]); i++) {
        begin();
        node[1].integer = good_ports[i];
        tap_is(reads(), NGX_OK, "read");
        tap_is(ranges[0].port, good_ports[i], "port");
    }
}


/* In turn, each part that is looked at has each type there is. */

static void
test_types(void)
{
    ngx_uint_t          i, type, nil_too, good;
    ngx_redis_reply_t  *part;

    static ngx_redis_reply_t  pairs[] = { number(1), number(2) };

    static const ngx_redis_reply_t  types[] = {
        nil,
        { NGX_REDIS_STATUS, ngx_string("OK"), 0, 0, NULL },
        { NGX_REDIS_ERROR, ngx_string("ERR"), 0, 0, NULL },
        number(1),
        word("1"),
        array(pairs)
    };

    tap_test("whatever is of another type than it should be is refused");

    for (i = 0; i < 7; i++) {
        for (type = 0; type < sizeof(types) / sizeof(types[0]); type++) {
            begin();
            nil_too = 0;

            switch (i) {
            case 0:  part = &reply;                 break;
            case 1:  part = &reply.elts[0];         break;
            case 2:  part = &entry[0];              break;
            case 3:  part = &entry[1];              break;
            case 4:  part = &entry[2];              break;
            case 5:  part = &node[0]; nil_too = 1;  break;
            default: part = &node[1];               break;
            }

            good = (part->type == types[type].type
                    && part->type != NGX_REDIS_ARRAY)
                   || (nil_too && types[type].type == NGX_REDIS_NIL);

            *part = types[type];

            tap_ok(reads() == (good ? NGX_OK : NGX_ERROR),
                   "part %lu of type %d", (u_long) i, types[type].type);
            tap_is(nranges, good, "ranges");
        }
    }
}


static void
test_short(void)
{
    ngx_uint_t  n;

    tap_test("what is too short is refused");

    for (n = 0; n < 3; n++) {
        begin();
        reply.elts[0].nelts = n;

        if (n == 0) {
            reply.elts[0].elts = NULL;
        }

        tap_is(reads(), NGX_ERROR, "a range");
        tap_is(nranges, 0, "ranges");
    }

    for (n = 0; n < 2; n++) {
        begin();
        entry[2].nelts = n;

        if (n == 0) {
            entry[2].elts = NULL;
        }

        tap_is(reads(), NGX_ERROR, "a primary");
        tap_is(nranges, 0, "ranges");
    }
}


static void
test_many(void)
{
    ngx_uint_t          i;
    ngx_redis_reply_t  *elts, *parts;

    tap_test("each slot can have a range of its own, or even two");

    begin();
    elts = calloc(RANGES, sizeof(ngx_redis_reply_t));
    parts = calloc(RANGES * 3, sizeof(ngx_redis_reply_t));

    if (elts == NULL || parts == NULL) {
        abort();
    }

    for (i = 0; i < RANGES; i++) {
        ngx_memcpy(&parts[i * 3], entry, 3 * sizeof(ngx_redis_reply_t));
        parts[i * 3].integer = i % NGX_REDIS_SLOTS;
        parts[i * 3 + 1].integer = i % NGX_REDIS_SLOTS;

        elts[i].type = NGX_REDIS_ARRAY;
        elts[i].nelts = 3;
        elts[i].elts = &parts[i * 3];
    }

    reply.nelts = RANGES;
    reply.elts = elts;

    tap_is(reads(), NGX_OK, "read");
    tap_is(nranges, RANGES, "ranges");

    for (i = 0; i < RANGES; i++) {
        tap_ok(ranges[i].first == i % NGX_REDIS_SLOTS
               && ranges[i].last == ranges[i].first, "range %lu", (u_long) i);
    }

    tap_test("if the last of many is malformed all are");

    parts[RANGES * 3 - 2].integer = NGX_REDIS_SLOTS;
    tap_is(reads(), NGX_ERROR, "read");
    tap_is(nranges, RANGES - 1, "ranges before");

    free(elts);
    free(parts);
}


static void
test_refused(void)
{
    ngx_redis_reply_t  elts[2];

    tap_test("if the caller takes no more, no more is told");

    begin();
    elts[0] = reply.elts[0];
    elts[1] = reply.elts[0];
    reply.elts = elts;
    reply.nelts = 2;

    refuse_at = 1;
    tap_is(reads(), NGX_ERROR, "read");
    tap_is(nranges, 1, "ranges");

    refuse_at = 2;
    tap_is(reads(), NGX_ERROR, "read");
    tap_is(nranges, 2, "ranges");

    refuse_at = 0;
    tap_is(reads(), NGX_OK, "read");
}


/* A good reply, with all that it can have. */

static void
begin(void)
{
    static const ngx_redis_reply_t  a_node[] = {
        word("192.0.2.1"), number(7000), word("id"), nil
    };
    static const ngx_redis_reply_t  a_replica[] = {
        word("192.0.2.2"), number(7001), word("id")
    };

    ngx_memcpy(node, a_node, sizeof(node));
    node[3] = (ngx_redis_reply_t) { NGX_REDIS_ARRAY, ngx_null_string, 0, 0,
                                    NULL };
    ngx_memcpy(replica, a_replica, sizeof(replica));

    entry[0] = (ngx_redis_reply_t) number(0);
    entry[1] = (ngx_redis_reply_t) number(5460);
    entry[2] = (ngx_redis_reply_t) array(node);
    entry[3] = (ngx_redis_reply_t) array(replica);

    whole[0] = (ngx_redis_reply_t) array(entry);
    reply = (ngx_redis_reply_t) array(whole);

    refuse_at = 0;
}


static ngx_int_t
reads(void)
{
    nranges = 0;

    return ngx_redis_map_read(&reply, take, ranges);
}


static ngx_int_t
take(void *data, ngx_uint_t first, ngx_uint_t last, const ngx_str_t *host,
    in_port_t port)
{
    tap_ok(data == ranges && nranges < RANGES, "one range too many");

    ranges[nranges].first = first;
    ranges[nranges].last = last;
    ranges[nranges].host = *host;
    ranges[nranges].port = port;
    nranges++;

    return (nranges == refuse_at) ? NGX_ERROR : NGX_OK;
}
