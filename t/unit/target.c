
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * map: where MOVED and ASK send a command, if they are well-formed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "unit.h"


static void test_targets(void);
static void test_other_errors(void);
static void test_cut(void);
static void test_noise(void);

static ngx_int_t target(const char *text, size_t len);


static ngx_uint_t  slot;
static ngx_str_t   host;
static in_port_t   port;


int
main(void)
{
    unit_init();
    (void) alarm(120);

    test_targets();
    test_other_errors();
    test_cut();
    test_noise();

    return tap_done();
}


static void
test_targets(void)
{
    ngx_uint_t  i;

    static const struct {
        ngx_str_t    error;
        ngx_uint_t   slot;
        ngx_str_t    host;
        ngx_uint_t   port;
    } good[] = {
        { ngx_string("MOVED 3999 127.0.0.1:6381"), 3999,
          ngx_string("127.0.0.1"), 6381 },
        { ngx_string("ASK 3999 127.0.0.1:6381"), 3999,
          ngx_string("127.0.0.1"), 6381 },
        { ngx_string("MOVED 0 a:1"), 0, ngx_string("a"), 1 },
        { ngx_string("ASK 0 a:1"), 0, ngx_string("a"), 1 },
        { ngx_string("MOVED 16383 redis-0.example:65535"), 16383,
          ngx_string("redis-0.example"), 65535 },
        { ngx_string("MOVED 1 2001:db8::1:7000"), 1,
          ngx_string("2001:db8::1"), 7000 },
        { ngx_string("ASK 1 ::1:7000"), 1, ngx_string("::1"), 7000 },
        { ngx_string("MOVED 1 :::7000"), 1, ngx_string("::"), 7000 },
        { ngx_string("MOVED 1 :7000"), 1, ngx_string(""), 7000 },
        { ngx_string("ASK 1 :7000"), 1, ngx_string(""), 7000 },
        { ngx_string("MOVED 1 ?:7000"), 1, ngx_string(""), 7000 },
        { ngx_string("MOVED 00001 a:07000"), 1, ngx_string("a"), 7000 }
    };

    tap_test("MOVED and ASK tell of a slot and a node");

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        tap_ok(target((char *) good[i].error.data, good[i].error.len)
               == NGX_OK, "%s", good[i].error.data);
        tap_is(slot, good[i].slot, "slot");
        tap_is(port, good[i].port, "port");
        tap_is_str(&host, (char *) good[i].host.data, good[i].host.len,
                   "host");
    }
}


static void
test_other_errors(void)
{
    ngx_uint_t  i;

    static const ngx_str_t  bad[] = {
        ngx_string(""), ngx_string("M"), ngx_string("MOVED"),
        ngx_string("MOVED "), ngx_string("MOVED  "), ngx_string("ASK"),
        ngx_string("ASK "), ngx_string("ASKING 1 a:1"),
        ngx_string("MOVEDX 1 a:1"), ngx_string("moved 1 a:1"),
        ngx_string("ask 1 a:1"), ngx_string(" MOVED 1 a:1"),
        ngx_string("ERR MOVED 1 a:1"), ngx_string("TRYAGAIN x"),
        ngx_string("CLUSTERDOWN Hash slot not served"),
        ngx_string("MOVED 1"), ngx_string("MOVED 1 "), ngx_string("MOVED a:1"),
        ngx_string("MOVED 1 a"), ngx_string("MOVED 1 a:"),
        ngx_string("MOVED 1 :"), ngx_string("MOVED 1 a:b"),
        ngx_string("MOVED 1 a:1x"), ngx_string("MOVED 1 a:1 "),
        ngx_string("MOVED 1 a:1 b"), ngx_string("MOVED 1 a:-1"),
        ngx_string("MOVED 1 a:+1"), ngx_string("MOVED 1 a: 1"),
        ngx_string("MOVED 1 a:0"), ngx_string("MOVED 1 a:65536"),
        ngx_string("MOVED 1 a:99999999999999999999"),
        ngx_string("MOVED 1 a:4294967297"), ngx_string("MOVED 16384 a:1"),
        ngx_string("MOVED -1 a:1"), ngx_string("MOVED +1 a:1"),
        ngx_string("MOVED 65536 a:1"), ngx_string("MOVED 4294967296 a:1"),
        ngx_string("MOVED 18446744073709551616 a:1"),
        ngx_string("MOVED 99999999999999999999 a:1"),
        ngx_string("MOVED x a:1"), ngx_string("MOVED 1x a:1"),
        ngx_string("MOVED 0x1 a:1"), ngx_string("MOVED 1.0 a:1"),
        ngx_string("MOVED  1 a:1"), ngx_string("MOVED 1\ta:1"),
        ngx_string("MOVED 1:1"), ngx_string("MOVED\0001 a:1"),
        ngx_string("MOVED 1\000 a:1"), ngx_string("MOVED 1 a:1\000"),
        ngx_string("MOVED 1 \377:\377"), ngx_string("\377\376\375"),
        ngx_string("ASK 16384 a:1"), ngx_string("ASK 1 a:65536"),
        ngx_string("ASK 1 a:0"), ngx_string("ASK x a:1"),
        ngx_string("ASK 1 a"), ngx_string("MOVED 1 a b:1"),
        ngx_string("MOVED 1  a:1"), ngx_string("MOVED 1 a\n:1"),
        ngx_string("MOVED 1 a\000:1"), ngx_string("MOVED 1 \177:1"),
        ngx_string("MOVED 1 a\377:1")
    };

    tap_test("any other error tells of none");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tap_ok(target((char *) bad[i].data, bad[i].len) == NGX_DECLINED,
               "%lu: %s", (u_long) i, bad[i].data);
    }
}


/* What ends earlier, and is no good text there, reads nothing behind. */

static void
test_cut(void)
{
    size_t     len;
    ngx_int_t  rc;

    static const char  text[] = "MOVED 16000 10.0.0.255:6379";

    tap_test("what is cut off is not taken, but where a port may end");

    for (len = 0; len < sizeof(text); len++) {
        rc = target(text, len);

        tap_ok(rc == (len > sizeof("MOVED 16000 10.0.0.255:") - 1
                      ? NGX_OK : NGX_DECLINED),
               "%lu bytes", (u_long) len);
    }
}


static void
test_noise(void)
{
    u_char      text[40];
    size_t      len;
    ngx_int_t   rc;
    ngx_uint_t  i, n;

    static const char  parts[] = "MOVEDASK 0123456789:.[]?\000\377";

    tap_test("whatever it is, it tells of what there can be, or of nothing");

    for (i = 0, n = 0; n < 200000; n++) {
        len = sprintf((char *) text, "%s", n & 1 ? "MOVED 1" : "ASK 9");

        while (len < sizeof(text) && unit_random(20)) {
            text[len++] = parts[unit_random(sizeof(parts) - 1)];
        }

        rc = target((char *) text, len);
        i += (rc == NGX_OK);

        tap_ok(rc == NGX_DECLINED
               || (rc == NGX_OK && slot < NGX_REDIS_SLOTS && port > 0
                   && host.len < len), "%.*s", (int) len, text);
    }

    tap_ok(i > 20, "only %lu were good", (u_long) i);
}


/* Of a copy that ends where it ends, and that host points into. */

static ngx_int_t
target(const char *text, size_t len)
{
    ngx_str_t           error, copy;

    static ngx_pool_t  *pool;

    if (pool) {
        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(0, NULL);

    copy.data = (u_char *) text;
    copy.len = len;

    error.data = ngx_pstrdup(pool, &copy);
    error.len = len;

    return ngx_redis_map_target(&error, &slot, &host, &port);
}
