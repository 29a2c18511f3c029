
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * record, its verdict: of a record, a presented digest and a clock.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "tap.h"
#include "unit.h"


#define NOW      1700000000

#define ACTIVE   NGX_ACCESS_TOKEN_ACTIVE
#define REVOKED  NGX_ACCESS_TOKEN_REVOKED
#define EXPIRED  NGX_ACCESS_TOKEN_EXPIRED
#define UNKNOWN  NGX_ACCESS_TOKEN_UNKNOWN


typedef struct {
    ngx_uint_t                    revoked;
    time_t                        expires;
    ngx_access_token_verdict_e    status;
} status_t;


static void test_nothing(void);
static void test_status(void);
static void test_judge(void);
static void test_grace(void);
static void test_no_previous(void);
static void test_each_bit(void);

static void make(ngx_access_token_t *t, const status_t *s);
static ngx_access_token_verdict_e judge(const ngx_access_token_t *t,
    const char *digest, time_t now);


static const status_t  statuses[] = {
    { 0, 0, ACTIVE },
    { 1, 0, REVOKED },
    { 0, NOW + 1, ACTIVE },
    { 1, NOW + 1, REVOKED },
    { 0, NOW, EXPIRED },
    { 1, NOW, EXPIRED },
    { 0, NOW - 1, EXPIRED },
    { 1, NOW - 1, EXPIRED },
    { 0, 1, EXPIRED },
    { 1, 1, EXPIRED },
    { 0, 253402300799, ACTIVE },
    { 1, 253402300799, REVOKED },
};

#define NSTATUSES  (sizeof(statuses) / sizeof(statuses[0]))


static const char  unknown[] = "this digest is of 32 other bytes";


int
main(void)
{
    unit_init();

    test_nothing();
    test_status();
    test_judge();
    test_grace();
    test_no_previous();
    test_each_bit();

    return tap_done();
}


static void
test_nothing(void)
{
    tap_test("a verdict that nobody gave lets nobody in");

    tap_is(NGX_ACCESS_TOKEN_UNAVAILABLE, 0, "zeroed memory");
    tap_ok(NGX_ACCESS_TOKEN_ACTIVE != 0, "active");
}


static void
test_status(void)
{
    ngx_uint_t          i;
    ngx_access_token_t  t;

    tap_test("a token expires in its second, and before it is revoked");

    for (i = 0; i < NSTATUSES; i++) {
        make(&t, &statuses[i]);

        tap_ok(ngx_access_token_status(&t, NOW) == statuses[i].status,
               "status %d: %d", (int) i,
               (int) ngx_access_token_status(&t, NOW));
    }
}


static void
test_judge(void)
{
    ngx_uint_t          i;
    ngx_access_token_t  t;

    tap_test("who has the secret learns the status, nobody else");

    for (i = 0; i < NSTATUSES; i++) {
        make(&t, &statuses[i]);

        tap_is(judge(&t, unit_digest, NOW), statuses[i].status, "secret");
        tap_is(judge(&t, unknown, NOW), UNKNOWN, "another");
        tap_is(judge(&t, unit_previous, NOW), UNKNOWN, "an old one");
    }
}


static void
test_grace(void)
{
    ngx_uint_t          i;
    ngx_access_token_t  t;

    static const struct {
        time_t        until;
        ngx_uint_t    good;
    } graces[] = {
        { NOW + 86400, 1 },
        { NOW + 1, 1 },
        { NOW, 0 },
        { NOW - 1, 0 },
        { 1, 0 },
        { 0, 0 },
    };

    ngx_uint_t  grace;

    tap_test("the old secret is as good as the new until the grace ends");

    for (grace = 0; grace < 6; grace++) {
        for (i = 0; i < NSTATUSES; i++) {
            make(&t, &statuses[i]);
            ngx_memcpy(t.previous, unit_previous, sizeof(t.previous));
            t.previous_until = graces[grace].until;

            tap_is(judge(&t, unit_previous, NOW),
                   graces[grace].good ? statuses[i].status : UNKNOWN, "old");
            tap_is(judge(&t, unit_digest, NOW), statuses[i].status, "new");
            tap_is(judge(&t, unknown, NOW), UNKNOWN, "another");
        }
    }
}


/* A digest of zeros is what a record without a previous one holds there. */

static void
test_no_previous(void)
{
    ngx_access_token_t  t;

    static const char  zeros[32];

    tap_test("a token that was never rotated has no old secret");

    make(&t, &statuses[0]);

    tap_is(judge(&t, zeros, NOW), UNKNOWN, "now");
    tap_is(judge(&t, zeros, 0), UNKNOWN, "at second 0");
    tap_is(judge(&t, zeros, 1), UNKNOWN, "at second 1");
}


static void
test_each_bit(void)
{
    char                digest[32], previous[32];
    ngx_uint_t          i;
    ngx_access_token_t  t;

    tap_test("a secret that differs in one bit of its digest is unknown");

    make(&t, &statuses[0]);
    ngx_memcpy(t.previous, unit_previous, sizeof(t.previous));
    t.previous_until = NOW + 1;

    ngx_memcpy(digest, unit_digest, sizeof(digest));
    ngx_memcpy(previous, unit_previous, sizeof(previous));

    for (i = 0; i < 8 * sizeof(digest); i++) {
        digest[i / 8] ^= 1 << i % 8;
        previous[i / 8] ^= 1 << i % 8;

        tap_is(judge(&t, digest, NOW), UNKNOWN, "new");
        tap_is(judge(&t, previous, NOW), UNKNOWN, "old");

        digest[i / 8] ^= 1 << i % 8;
        previous[i / 8] ^= 1 << i % 8;
    }

    tap_is(judge(&t, digest, NOW), ACTIVE, "new");
    tap_is(judge(&t, previous, NOW), ACTIVE, "old");
}


static void
make(ngx_access_token_t *t, const status_t *s)
{
    ngx_memzero(t, sizeof(ngx_access_token_t));

    ngx_memcpy(t->digest, unit_digest, sizeof(t->digest));
    t->revoked = s->revoked;
    t->expires = s->expires;
}


static ngx_access_token_verdict_e
judge(const ngx_access_token_t *t, const char *digest, time_t now)
{
    ngx_access_token_key_t  key;

    ngx_memzero(&key, sizeof(key));
    ngx_memcpy(key.digest, digest, sizeof(key.digest));

    return ngx_access_token_judge(t, &key, now);
}
