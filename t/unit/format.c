
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * format, on strings that others wrote: tokens, ids, digests.
 *
 * The known tokens and tags are made by these lines of Python:
 *
 *     import hashlib, string, zlib
 *     A = string.digits + string.ascii_uppercase + string.ascii_lowercase
 *     b62 = lambda n, k: "".join(A[n // 62**i % 62] for i in range(k)[::-1])
 *     sha = lambda s: hashlib.sha256(s.encode()).hexdigest()
 *     tag = lambda org: b62(int(sha(org)[:16], 16), 4)
 *     crc = lambda s: b62(zlib.crc32(s.encode()), 6)
 *     token = lambda prefix, s: prefix + "_" + s + crc(s)
 *
 * where s is id and secret; sha(s) is the digest.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "tap.h"
#include "unit.h"


typedef struct {
    ngx_str_t     prefix;
    ngx_str_t     token;
    const char   *digest;
} known_token_t;


static void test_known_tokens(void);
static void test_changed(void);
static void test_other_characters(void);
static void test_swapped(void);
static void test_longer_and_shorter(void);
static void test_prefix(void);
static void test_lengths(void);
static void test_tag(void);
static void test_digest(void);
static void test_digest_equal(void);
static void test_check_id(void);
static void test_check_user(void);
static void test_check_owner(void);

static ngx_int_t parse(const char *prefix, const u_char *token, size_t len);
static void flip(u_char *a, u_char *b);
static ngx_uint_t in_base62(ngx_uint_t c);
static void hex(char *dst, const u_char *digest);


/* The second one's checksum begins with zeros. */

static const known_token_t  known[] = {

    { ngx_string("at"),
      ngx_string("at_KkQ20TqX8zBcr4Wm0Pq7ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
                 "2D3EG1"),
      "23c5f2f58e8f51125c27df3234118c3305e9618a912203169311484e8251c667" },

    { ngx_string("at"),
      ngx_string("at_KkQ20TqX8zBcr4Wm0Pq7abcdefghijklmnopqrstuvwxyz000415"
                 "00hFAr"),
      "2b2a6dedaa97a8860bb06a5d19b2f3096b3d6c0f92017de364c86de21a39b0e7" },

    { ngx_string("acme-live"),
      ngx_string("acme-live_"
                 "0000000000000000000000000000000000000000000000000000"
                 "24g4nn"),
      "656a83b6dfc4346db225e65c41ed93a34e143371db41f8dd4b9739c9e27344af" },

    { ngx_string(""),
      ngx_string("_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
                 "3I6IRx"),
      "7451f3fef8b57fd500c92f02a669b4693042e7fb2caa6c4da070381b953567cc" },
};

#define NKNOWN  (sizeof(known) / sizeof(known[0]))


int
main(void)
{
    unit_init();

    test_known_tokens();
    test_changed();
    test_other_characters();
    test_swapped();
    test_longer_and_shorter();
    test_prefix();
    test_lengths();
    test_tag();
    test_digest();
    test_digest_equal();
    test_check_id();
    test_check_user();
    test_check_owner();

    return tap_done();
}


static void
test_known_tokens(void)
{
    char                    digest[2 * NGX_ACCESS_TOKEN_DIGEST_LEN + 1];
    ngx_str_t               id;
    ngx_uint_t              i;
    ngx_access_token_key_t  key;

    tap_test("a known token has its id and its digest");

    for (i = 0; i < NKNOWN; i++) {
        ngx_memzero(&key, sizeof(key));

        tap_is(ngx_access_token_parse(&known[i].prefix, &known[i].token, &key),
               NGX_OK, (char *) known[i].token.data);
        ngx_access_token_key_digest(&key);

        id.data = key.id;
        id.len = NGX_ACCESS_TOKEN_ID_LEN;
        tap_is_str(&id, (char *) known[i].token.data + known[i].prefix.len + 1,
                   NGX_ACCESS_TOKEN_ID_LEN, "id");

        hex(digest, key.digest);
        tap_ok(strcmp(digest, known[i].digest) == 0, "digest: %s, not %s",
               digest, known[i].digest);
    }
}


/* All of the other 255 bytes at each place. */

static void
test_changed(void)
{
    u_char      token[128];
    size_t      i;
    ngx_str_t   t;
    ngx_uint_t  n, d;

    tap_test("a token with one byte changed is refused");

    for (n = 0; n < NKNOWN; n++) {
        t = known[n].token;

        for (i = 0; i < t.len; i++) {
            ngx_memcpy(token, t.data, t.len);

            for (d = 1; d < 256; d++) {
                token[i] = t.data[i] + d;

                tap_is(parse((char *) known[n].prefix.data, token, t.len),
                       NGX_DECLINED, "changed");
            }
        }
    }
}


static void
test_other_characters(void)
{
    u_char      token[128], *hashed;
    size_t      i;
    uint32_t    crc;
    ngx_uint_t  c, n;

    tap_test("a token has base62 alone, though the checksum fits");

    hashed = token + 3;

    for (i = 0; i < 52; i++) {
        ngx_memcpy(token, known[0].token.data, known[0].token.len);

        for (c = 0; c < 256; c++) {
            hashed[i] = c;
            crc = ngx_crc32_long(hashed, 52);

            for (n = 6; n > 0; n--) {
                hashed[52 + n - 1] = UNIT_BASE62[crc % 62];
                crc /= 62;
            }

            tap_ok(parse("at", token, known[0].token.len)
                   == (in_base62(c) ? NGX_OK : NGX_DECLINED),
                   "byte %d is %d", (int) i, (int) c);
        }
    }
}


static void
test_swapped(void)
{
    u_char      token[128];
    size_t      i, j;
    ngx_str_t   t;
    ngx_uint_t  n;

    tap_test("a token with two characters swapped is refused");

    for (n = 0; n < NKNOWN; n++) {
        t = known[n].token;

        for (i = 0; i < t.len; i++) {
            for (j = i + 1; j < t.len; j++) {

                if (t.data[i] == t.data[j]) {
                    continue;
                }

                ngx_memcpy(token, t.data, t.len);
                flip(&token[i], &token[j]);

                tap_ok(parse((char *) known[n].prefix.data, token, t.len)
                       == NGX_DECLINED, "%d and %d", (int) i, (int) j);
            }
        }
    }
}


static void
test_longer_and_shorter(void)
{
    u_char      token[128];
    size_t      i, len;
    ngx_str_t   t;
    ngx_uint_t  c;

    t = known[0].token;
    len = t.len;

    tap_test("a token of which a part is missing is refused");

    for (i = 0; i < len; i++) {
        tap_is(parse("at", t.data, i), NGX_DECLINED, "the end is missing");
        tap_is(parse("at", t.data + i + 1, len - i - 1), NGX_DECLINED,
               "the beginning is missing");

        ngx_memcpy(token, t.data, i);
        ngx_memcpy(token + i, t.data + i + 1, len - i - 1);
        tap_is(parse("at", token, len - 1), NGX_DECLINED, "one is missing");
    }

    tap_test("a token with a byte more is refused");

    for (i = 0; i <= len; i++) {
        for (c = 0; c < 256; c++) {
            ngx_memcpy(token, t.data, i);
            token[i] = c;
            ngx_memcpy(token + i + 1, t.data + i, len - i);
            tap_is(parse("at", token, len + 1), NGX_DECLINED, "one more");
        }
    }

    tap_test("two tokens in a row are refused");

    ngx_memcpy(token, t.data, len);
    ngx_memcpy(token + len, t.data, len);
    tap_is(parse("at", token, 2 * len), NGX_DECLINED, "twice");
}


static void
test_prefix(void)
{
    ngx_uint_t              i;
    ngx_access_token_key_t  a, b;

    static const char  body[] = "KkQ20TqX8zBcr4Wm0Pq7"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123452D3EG1";

    static const char  *wrong[][2] = {
        { "at", "bt_" }, { "at", "aT_" }, { "at", "AT_" }, { "at", "at-" },
        { "at", "att" }, { "at", "ata" }, { "at", "a__" }, { "at", "_at" },
        { "at", "a_" }, { "at", "att_" }, { "at", "at__" }, { "at", "_" },
        { "at", "" }, { "a", "at_" }, { "att", "at_" }, { "at_", "at_" },
        { "at_x", "at_y_" }, { "", "at_" }, { "", "" }, { "", "a" },
        { "0123456789abcdef", "0123456789abcdeg_" },
        { "0123456789abcdef", "1123456789abcdef_" },
    };

    static const char  *right[][2] = {
        { "", "_" }, { "a", "a_" }, { "_", "__" }, { "at_x", "at_x_" },
        { "at-", "at-_" }, { "0123456789abcdef", "0123456789abcdef_" },
    };

    u_char     text[128];
    ngx_str_t  prefix, token;

    tap_test("a token with another prefix is refused");

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        token.len = sprintf((char *) text, "%s%s", wrong[i][1], body);

        tap_ok(parse(wrong[i][0], text, token.len) == NGX_DECLINED,
               "prefix \"%s\", token %s", wrong[i][0], text);
    }

    tap_test("a token is the same under any configured prefix");

    ngx_access_token_parse(&known[0].prefix, &known[0].token, &a);
    ngx_access_token_key_digest(&a);

    for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        prefix.data = (u_char *) right[i][0];
        prefix.len = strlen(right[i][0]);
        token.data = text;
        token.len = sprintf((char *) text, "%s%s", right[i][1], body);

        ngx_memzero(&b, sizeof(b));
        tap_is(ngx_access_token_parse(&prefix, &token, &b), NGX_OK,
               (char *) text);
        ngx_access_token_key_digest(&b);
        tap_ok(unit_same_key(&a, &b), "another key: %s", text);
    }
}


static void
test_lengths(void)
{
    u_char  text[8192];
    size_t  len;

    tap_test("what has not a token's length is refused, and not read on");

    ngx_memset(text, 'a', sizeof(text));
    ngx_memcpy(text, known[0].token.data, known[0].token.len);

    for (len = 0; len <= sizeof(text); len++) {
        if (len != known[0].token.len) {
            tap_ok(parse("at", text, len) == NGX_DECLINED, "%d bytes",
                   (int) len);
        }
    }

    tap_is(parse("at", text, known[0].token.len), NGX_OK, "its own length");
}


static void
test_tag(void)
{
    u_char      tag[NGX_ACCESS_TOKEN_TAG_LEN];
    ngx_str_t   name;
    ngx_uint_t  i;

    static const char  *tags[][2] = {
        { "acme", "8UvA" },
        { "a", "ihbO" },
        { "umbrella.co_2-x", "Stdn" },
        { "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
          "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "QKCq" },
    };

    tap_test("an organization has its tag");

    for (i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        name.data = (u_char *) tags[i][0];
        name.len = strlen(tags[i][0]);

        tap_is(ngx_access_token_tag(&name, tag), NGX_OK, tags[i][0]);
        tap_ok(ngx_memcmp(tag, tags[i][1], sizeof(tag)) == 0,
               "%s: %.4s, not %s", tags[i][0], tag, tags[i][1]);
    }
}


/* Of FIPS 180-4 and its examples. */

static void
test_digest(void)
{
    char        got[2 * NGX_ACCESS_TOKEN_DIGEST_LEN + 1];
    u_char      digest[NGX_ACCESS_TOKEN_DIGEST_LEN];
    ngx_str_t   text;
    ngx_uint_t  i;

    static const char  *known_digests[][2] = {
        { "",
          "e3b0c44298fc1c149afbf4c8996fb924"
          "27ae41e4649b934ca495991b7852b855" },
        { "abc",
          "ba7816bf8f01cfea414140de5dae2223"
          "b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039"
          "a33ce45964ff2167f6ecedd419db06c1" },
    };

    tap_test("a digest is SHA-256, time after time");

    for (i = 0; i < 9; i++) {
        text.data = (u_char *) known_digests[i % 3][0];
        text.len = strlen(known_digests[i % 3][0]);

        tap_is(ngx_access_token_digest(&text, digest), NGX_OK, "digest");

        hex(got, digest);
        tap_ok(strcmp(got, known_digests[i % 3][1]) == 0, "\"%s\": %s",
               known_digests[i % 3][0], got);
    }
}


static void
test_digest_equal(void)
{
    u_char      a[NGX_ACCESS_TOKEN_DIGEST_LEN], b[NGX_ACCESS_TOKEN_DIGEST_LEN];
    ngx_uint_t  i;

    tap_test("digests are equal if no bit differs");

    for (i = 0; i < sizeof(a); i++) {
        a[i] = b[i] = i;
    }

    tap_is(ngx_access_token_digest_equal(a, b), 1, "equal");

    for (i = 0; i < 8 * sizeof(b); i++) {
        b[i / 8] ^= 1 << i % 8;
        tap_ok(!ngx_access_token_digest_equal(a, b), "bit %d", (int) i);
        b[i / 8] ^= 1 << i % 8;
    }

    ngx_memzero(a, sizeof(a));
    tap_is(ngx_access_token_digest_equal(a, b), 0, "all but the first zero");
}


static void
test_check_id(void)
{
    u_char      text[64];
    ngx_str_t   id;
    ngx_uint_t  i, c;

    tap_test("an id is 20 characters of base62");

    id.data = text;
    ngx_memset(text, 'x', sizeof(text));

    for (id.len = 0; id.len <= sizeof(text); id.len++) {
        tap_ok(ngx_access_token_check_id(&id)
               == (id.len == 20 ? NGX_OK : NGX_DECLINED),
               "%d characters", (int) id.len);
    }

    id.len = 20;

    for (i = 0; i < id.len; i++) {
        for (c = 0; c < 256; c++) {
            text[i] = c;
            tap_ok(ngx_access_token_check_id(&id)
                   == (in_base62(c) ? NGX_OK : NGX_DECLINED),
                   "byte %d is %d", (int) i, (int) c);
        }
        text[i] = 'x';
    }
}


static void
test_check_user(void)
{
    u_char      text[64];
    ngx_str_t   id;
    ngx_uint_t  i, c, good;

    tap_test("the id of a technical user is tu_ and 16 of base62");

    id.data = text;
    ngx_memset(text, 'x', sizeof(text));
    ngx_memcpy(text, "tu_", 3);

    for (id.len = 0; id.len <= sizeof(text); id.len++) {
        tap_ok(ngx_access_token_check_user(&id)
               == (id.len == 19 ? NGX_OK : NGX_DECLINED),
               "%d characters", (int) id.len);
    }

    id.len = 19;

    for (i = 0; i < id.len; i++) {
        for (c = 0; c < 256; c++) {
            text[i] = c;
            good = (i < 3) ? c == (u_char) "tu_"[i] : in_base62(c);
            tap_ok(ngx_access_token_check_user(&id)
                   == (good ? NGX_OK : NGX_DECLINED),
                   "byte %d is %d", (int) i, (int) c);
        }
        text[i] = (i < 3) ? "tu_"[i] : 'x';
    }
}


static void
test_check_owner(void)
{
    u_char      text[256];
    ngx_str_t   id;
    ngx_uint_t  i, c, good;

    tap_test("the id of an owner has 1 to 64 characters");

    id.data = text;
    ngx_memset(text, 'x', sizeof(text));

    for (id.len = 0; id.len <= sizeof(text); id.len++) {
        good = (id.len >= 1 && id.len <= 64);
        tap_ok(ngx_access_token_check_owner(&id)
               == (good ? NGX_OK : NGX_DECLINED),
               "%d characters", (int) id.len);
    }

    tap_test("the id of an owner has base62, _, - and inside a dot");

    for (id.len = 1; id.len <= 64; id.len += 21) {
        for (i = 0; i < id.len; i++) {
            for (c = 0; c < 256; c++) {
                text[i] = c;
                good = in_base62(c) || c == '_' || c == '-'
                       || (c == '.' && i > 0);
                tap_ok(ngx_access_token_check_owner(&id)
                       == (good ? NGX_OK : NGX_DECLINED),
                       "byte %d of %d is %d", (int) i, (int) id.len, (int) c);
            }
            text[i] = 'x';
        }
    }
}


/* Of a copy that ends where the token does. */

static ngx_int_t
parse(const char *prefix, const u_char *token, size_t len)
{
    ngx_int_t               rc;
    ngx_str_t               p, t;
    ngx_access_token_key_t  key;

    p.data = (u_char *) prefix;
    p.len = strlen(prefix);

    t.len = len;
    t.data = malloc(len);
    if (len && t.data == NULL) {
        abort();
    }

    ngx_memcpy(t.data, token, len);

    rc = ngx_access_token_parse(&p, &t, &key);

    free(t.data);

    return rc;
}


static void
flip(u_char *a, u_char *b)
{
    u_char  c;

    c = *a;
    *a = *b;
    *b = c;
}


static ngx_uint_t
in_base62(ngx_uint_t c)
{
    return c != 0 && strchr(UNIT_BASE62, c) != NULL;
}


static void
hex(char *dst, const u_char *digest)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_ACCESS_TOKEN_DIGEST_LEN; i++) {
        dst += sprintf(dst, "%02x", digest[i]);
    }
}
