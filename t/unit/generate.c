
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * format, on tokens that it makes itself, and when OpenSSL fails it.
 *
 * The known tokens are made as format.c says, with random characters from
 * bytes that count upward, 64 a call, those above 247 left out.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "tap.h"
#include "unit.h"


#define NTOKENS          20000
#define TIME             1700000000000      /* 0Tvcokgi */

/* Beyond it lies 1e-9 of chi-square with 61 degrees of freedom: 152.9. */

#define CHI_SQUARE_MAX   160


static void test_not_available(void);
static void test_known(void);
static void test_round_trip(void);
static void test_distinct(void);
static void test_distribution(void);
static void test_sorted(void);
static void test_old_id(void);
static void test_room(void);
static void test_random_fails(void);
static void test_digest_fails(void);

static ngx_int_t generate(const u_char *id, uint64_t now);
static void count(ngx_uint_t *counts, const u_char *p, size_t n);
static ngx_uint_t flat(const ngx_uint_t *counts);
static int compare_tokens(const void *a, const void *b);


static ngx_str_t  prefix = ngx_string("at");
static ngx_str_t  acme = ngx_string("acme");

/* Of the last generate(). */

static u_char                  text[NGX_ACCESS_TOKEN_MAX_LEN];
static ngx_str_t               token = { 0, text };
static ngx_access_token_key_t  key;

static u_char  tokens[NTOKENS][NGX_ACCESS_TOKEN_MAX_LEN];


int
main(void)
{
    unit_init();

    test_not_available();       /* before anything has worked */
    test_known();
    test_round_trip();
    test_distinct();
    test_distribution();
    test_sorted();
    test_old_id();
    test_room();
    test_random_fails();
    test_digest_fails();

    return tap_done();
}


/* What is kept for the life of a process is asked for again if it failed. */

static void
test_not_available(void)
{
    u_char      digest[NGX_ACCESS_TOKEN_DIGEST_LEN];
    ngx_uint_t  i;

    static const char  *functions[] = {
#if (OPENSSL_VERSION_NUMBER >= 0x30000000L)
        "EVP_MD_fetch",
#endif
        "EVP_MD_CTX_new",
    };

    tap_test("without SHA-256 there is no digest, and with it there is again");

    for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        unit_fail_openssl(functions[i], 1);
        unit_logged = 0;

        tap_is(ngx_access_token_digest(&acme, digest), NGX_ERROR,
               functions[i]);
        tap_is(unit_logged, 1, "logged");
    }

    tap_is(ngx_access_token_digest(&acme, digest), NGX_OK, "with it");
}


static void
test_known(void)
{
    u_char     user[NGX_ACCESS_TOKEN_USER_LEN];
    ngx_str_t  s;

    static const char  id[] = "KkQ20TqX8zBcr4Wm0Pq7";

    tap_test("known bytes make a known token");

    unit_count_from(0);
    generate(NULL, TIME);
    tap_is_str(&token, "at_8UvA0Tvcokgi0123456723456789ABCDEFGHIJKLMNOPQRST"
               "UVWX1kP23I", 61, "token");

    unit_count_from(244);
    generate(NULL, TIME);
    tap_is_str(&token, "at_8UvA0Tvcokgiwxyz0123qrstuvwxyz0123456789ABCDEFGH"
               "IJKL44CJGd", 61, "token");

    unit_count_from(0);
    generate((u_char *) id, TIME);
    tap_is_str(&token, "at_KkQ20TqX8zBcr4Wm0Pq70123456789ABCDEFGHIJKLMNOPQR"
               "STUV3q5lvl", 61, "token of an old id");

    tap_test("known bytes make a known technical user");

    s.data = user;
    s.len = NGX_ACCESS_TOKEN_USER_LEN;

    unit_count_from(0);
    tap_is(ngx_access_token_generate_user(user), NGX_OK, "made");
    tap_is_str(&s, "tu_0123456789ABCDEF", 19, "user");

    unit_count_from(240);
    tap_is(ngx_access_token_generate_user(user), NGX_OK, "made");
    tap_is_str(&s, "tu_stuvwxyz01234567", 19, "user, without 248 to 255");

    unit_count_from(-1);
}


static void
test_round_trip(void)
{
    ngx_uint_t              i;
    ngx_access_token_key_t  parsed;

    tap_test("a token that was made can be parsed, and has the same key");

    for (i = 0; i < NTOKENS; i++) {
        ngx_memzero(&parsed, sizeof(parsed));

        tap_is(generate(NULL, TIME + i), NGX_OK, "generate");
        tap_is(ngx_access_token_parse(&prefix, &token, &parsed), NGX_OK,
               "parse");
        ngx_access_token_key_digest(&parsed);
        tap_ok(unit_same_key(&parsed, &key), "another key");
        tap_ok(ngx_memcmp(token.data + 3, key.id, sizeof(key.id)) == 0,
               "another id");

        ngx_memcpy(tokens[i], text, sizeof(text));
    }
}


static void
test_distinct(void)
{
    ngx_uint_t  i, n;

    tap_test("tokens of the same millisecond are distinct");

    for (i = 0; i < NTOKENS; i++) {
        generate(NULL, TIME);
        ngx_memcpy(tokens[i], text, sizeof(text));
    }

    qsort(tokens, NTOKENS, sizeof(tokens[0]), compare_tokens);

    for (n = 0, i = 1; i < NTOKENS; i++) {
        n += (compare_tokens(tokens[i - 1], tokens[i]) == 0);
    }

    tap_is(n, 0, "tokens that are there twice");
}


static void
test_distribution(void)
{
    u_char      user[NGX_ACCESS_TOKEN_USER_LEN];
    ngx_uint_t  i, ids[256], secrets[256], users[256];

    tap_test("each character is as likely as any other");

    ngx_memzero(ids, sizeof(ids));
    ngx_memzero(secrets, sizeof(secrets));
    ngx_memzero(users, sizeof(users));

    for (i = 0; i < NTOKENS; i++) {
        count(ids, tokens[i] + 3 + 12, 8);
        count(secrets, tokens[i] + 3 + 20, 32);

        ngx_access_token_generate_user(user);
        count(users, user + 3, 16);
    }

    tap_ok(flat(ids), "in ids");
    tap_ok(flat(secrets), "in secrets");
    tap_ok(flat(users), "in technical users");
}


static void
test_sorted(void)
{
    u_char      ids[2][NGX_ACCESS_TOKEN_ID_LEN];
    uint64_t    times[64], power;
    ngx_uint_t  i, n;

    tap_test("ids of an organization sort by time");

    n = 0;
    times[n++] = 0;

    for (power = 62; power < 218340105584896; power *= 62) {
        times[n++] = power - 1;
        times[n++] = power;
        times[n++] = power + 1;
    }

    times[n++] = power - 1;

    for (i = 0; i < n; i++) {
        tap_is(generate(NULL, times[i]), NGX_OK, "generate");
        ngx_memcpy(ids[i % 2], key.id, NGX_ACCESS_TOKEN_ID_LEN);

        if (i > 0) {
            tap_ok(ngx_memcmp(ids[1 - i % 2], ids[i % 2], 12) < 0,
                   "%llu", (unsigned long long) times[i]);
        }
    }

    for (i = 0; i < 10000; i++) {
        times[0] = TIME + unit_random(1000000000);
        times[1] = times[0] + 1 + unit_random(1 << unit_random(30));

        for (n = 0; n < 2; n++) {
            generate(NULL, times[n]);
            ngx_memcpy(ids[n], key.id, NGX_ACCESS_TOKEN_ID_LEN);
        }

        tap_ok(ngx_memcmp(ids[0], ids[1], NGX_ACCESS_TOKEN_ID_LEN) < 0,
               "%llu and %llu", (unsigned long long) times[0],
               (unsigned long long) times[1]);
    }
}


static void
test_old_id(void)
{
    ngx_uint_t              i;
    ngx_access_token_key_t  old;

    tap_test("a token for an old id has that id and another secret");

    generate(NULL, TIME);

    for (i = 0; i < 1000; i++) {
        old = key;
        ngx_memcpy(tokens[0], text, sizeof(text));

        tap_is(generate(old.id, TIME + 1000), NGX_OK, "generate");

        tap_ok(ngx_memcmp(key.id, old.id, sizeof(key.id)) == 0, "key");
        tap_ok(ngx_memcmp(token.data + 3, old.id, sizeof(key.id)) == 0, "id");
        tap_ok(ngx_memcmp(token.data + 23, tokens[0] + 23, 32) != 0, "secret");
        tap_ok(!ngx_access_token_digest_equal(key.digest, old.digest),
               "digest");
    }
}


static void
test_room(void)
{
    u_char      buf[16 + NGX_ACCESS_TOKEN_MAX_LEN + 16];
    size_t      i, len;
    ngx_str_t   p, t;

    tap_test("a token takes no more room than it is said to");

    for (len = 0; len <= NGX_ACCESS_TOKEN_PREFIX_MAX; len++) {
        ngx_memset(buf, 0xa5, sizeof(buf));

        p.data = (u_char *) "0123456789abcdef";
        p.len = len;
        t.data = buf + 16;

        tap_is(ngx_access_token_generate(&p, &acme, NULL, TIME, &t, &key),
               NGX_OK, "generate");
        tap_is(t.len, len + 1 + 20 + 32 + 6, "length");
        tap_is(ngx_access_token_parse(&p, &t, &key), NGX_OK, "parse");

        for (i = 0; i < sizeof(buf); i++) {
            if (i < 16 || i >= 16 + t.len) {
                tap_is(buf[i], 0xa5, "a byte outside");
            }
        }
    }
}


static void
test_random_fails(void)
{
    u_char      user[NGX_ACCESS_TOKEN_USER_LEN];
    ngx_uint_t  n;

    tap_test("without random bytes there is no token");

    for (n = 1; n <= 2; n++) {
        unit_fail_openssl("RAND_bytes", n);
        unit_logged = 0;

        tap_is(generate(NULL, TIME), NGX_ERROR, "generate");
        tap_is(token.len, 0, "length");
        tap_is(unit_logged, 1, "logged");
    }

    unit_fail_openssl("RAND_bytes", 1);
    tap_is(generate(key.id, TIME), NGX_ERROR, "generate for an old id");

    unit_fail_openssl("RAND_bytes", 1);
    tap_is(ngx_access_token_generate_user(user), NGX_ERROR, "technical user");

    tap_is(generate(NULL, TIME), NGX_OK, "with them");
}


/* It takes them for the tag; the digest of a token itself cannot fail. */

static void
test_digest_fails(void)
{
    u_char      tag[NGX_ACCESS_TOKEN_TAG_LEN], kept[NGX_ACCESS_TOKEN_MAX_LEN];
    ngx_str_t   good;
    ngx_uint_t  i;

    static const char  *functions[] = {
        "EVP_DigestInit_ex", "EVP_DigestUpdate", "EVP_DigestFinal_ex"
    };

    generate(NULL, TIME);
    ngx_memcpy(kept, text, sizeof(text));
    good.data = kept;
    good.len = token.len;

    tap_test("without OpenSSL's digests there is no tag, and no new id");

    for (i = 0; i < 3; i++) {
        unit_fail_openssl(functions[i], 1);
        unit_logged = 0;

        tap_is(ngx_access_token_tag(&acme, tag), NGX_ERROR, "tag");
        tap_is(unit_logged, 1, "logged");

        unit_fail_openssl(functions[i], 1);
        tap_is(generate(NULL, TIME), NGX_ERROR, "generate");
        tap_is(token.len, 0, "length");
    }

    tap_test("but tokens can be parsed and rotated");

    unit_fail_openssl("EVP_DigestInit_ex", 1);

    tap_is(ngx_access_token_parse(&prefix, &good, &key), NGX_OK, "parse");
    ngx_access_token_key_digest(&key);
    tap_is(generate(kept + 3, TIME), NGX_OK, "generate: an old id");

    tap_is(ngx_access_token_tag(&acme, tag), NGX_ERROR, "it was to fail");
    tap_is(generate(NULL, TIME), NGX_OK, "after it");
}


static ngx_int_t
generate(const u_char *id, uint64_t now)
{
    ngx_memset(text, 0xa5, sizeof(text));
    token.len = 1;

    return ngx_access_token_generate(&prefix, &acme, id, now, &token, &key);
}


static void
count(ngx_uint_t *counts, const u_char *p, size_t n)
{
    while (n--) {
        counts[*p++]++;
    }
}


/* Whether there is base62 and nothing else, and of all about as much. */

static ngx_uint_t
flat(const ngx_uint_t *counts)
{
    double      sum, expected, difference;
    ngx_uint_t  c, all, base62;

    all = 0;
    base62 = 0;

    for (c = 0; c < 256; c++) {
        all += counts[c];

        if (c && strchr(UNIT_BASE62, c)) {
            base62 += counts[c];
        }
    }

    expected = all / 62.0;
    sum = 0;

    for (c = 0; c < 62; c++) {
        difference = counts[(u_char) UNIT_BASE62[c]] - expected;
        sum += difference * difference / expected;
    }

    return all > 0 && base62 == all && sum < CHI_SQUARE_MAX;
}


static int
compare_tokens(const void *a, const void *b)
{
    return ngx_memcmp(a, b, NGX_ACCESS_TOKEN_MAX_LEN);
}
