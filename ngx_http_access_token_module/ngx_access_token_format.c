
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The string that is a token: taken apart, and made.
 *
 *     at_ KkQ2 0TqX8zBc r4Wm0Pq7 <32 characters> <6 characters>
 *         tag  time     random   secret          CRC-32 of id and secret
 *         \------- id --------/
 *
 * All of it is base62 in the order of ASCII, the most significant digit
 * first.  So ids of one organization sort by time, bytewise, and the checksum
 * has one spelling: a token of which one character was changed never passes,
 * and no two strings are the same token.
 *
 * The digest is SHA-256 of id and secret, 52 bytes: one block.  The prefix and
 * the checksum are not in it, so tokens outlive a change of the prefix.
 *
 * This is the only file that asks OpenSSL for digests and random bytes.  What
 * OpenSSL complains of is logged here, which also empties its error queue.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_access_token.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/sha.h>


#define NGX_ACCESS_TOKEN_HASHED_LEN                                           \
    (NGX_ACCESS_TOKEN_ID_LEN + NGX_ACCESS_TOKEN_SECRET_LEN)

/* a multiple of 4 */
typedef char  ngx_access_token_hashed_is_even[
    NGX_ACCESS_TOKEN_HASHED_LEN % 4 == 0 ? 1 : -1];

#define NGX_ACCESS_TOKEN_BODY_LEN                                             \
    (NGX_ACCESS_TOKEN_HASHED_LEN + NGX_ACCESS_TOKEN_CHECKSUM_LEN)

#define NGX_ACCESS_TOKEN_USER_PREFIX  "tu_"

/* The greatest multiple of 62 that a byte can be below: no modulo bias. */

#define NGX_ACCESS_TOKEN_FAIR         (256 / 62 * 62)


static ngx_uint_t ngx_access_token_is_base62(const u_char *p, size_t n);
static uint64_t ngx_access_token_number_of(const u_char *p, size_t digits);
static u_char *ngx_access_token_put_number(u_char *p, uint64_t number,
    size_t digits);
static ngx_int_t ngx_access_token_put_id(u_char *p,
    const ngx_str_t *organization, uint64_t now);
static uint32_t ngx_access_token_crc32(const u_char *p);
static void ngx_access_token_crc32_init(uint32_t (*t)[256]);
static void ngx_access_token_digest_of(const u_char *p, u_char *digest);
static ngx_int_t ngx_access_token_sha256(const u_char *p, size_t n,
    u_char *digest);
static EVP_MD_CTX *ngx_access_token_sha256_ctx(const EVP_MD **md);


static const u_char  ngx_access_token_base62[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* The reverse: what a character is worth; 0x80 and above if it is no digit. */

static const u_char  ngx_access_token_digits[256] = {
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,128,128,128,128,128,128,
    128, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
     25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35,128,128,128,128,128,
    128, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50,
     51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,
    128,128,128,128,128,128,128,128,128,128,128,128,128,128,128,128
};


ngx_int_t
ngx_access_token_parse(const ngx_str_t *prefix, const ngx_str_t *token,
    ngx_access_token_key_t *key)
{
    u_char  *p;

    if (token->len != prefix->len + 1 + NGX_ACCESS_TOKEN_BODY_LEN
        || ngx_memcmp(token->data, prefix->data, prefix->len) != 0
        || token->data[prefix->len] != '_')
    {
        return NGX_DECLINED;
    }

    p = token->data + prefix->len + 1;

    /* one number has one spelling, so to compare numbers will do */

    if (!ngx_access_token_is_base62(p, NGX_ACCESS_TOKEN_BODY_LEN)
        || ngx_access_token_number_of(p + NGX_ACCESS_TOKEN_HASHED_LEN,
                                      NGX_ACCESS_TOKEN_CHECKSUM_LEN)
           != ngx_access_token_crc32(p))
    {
        return NGX_DECLINED;
    }

    ngx_memcpy(key->id, p, NGX_ACCESS_TOKEN_ID_LEN);
    key->hashed = p;

    return NGX_OK;
}


void
ngx_access_token_key_digest(ngx_access_token_key_t *key)
{
    ngx_access_token_digest_of(key->hashed, key->digest);
}


ngx_int_t
ngx_access_token_generate(const ngx_str_t *prefix,
    const ngx_str_t *organization, const u_char *id, uint64_t now,
    ngx_str_t *token, ngx_access_token_key_t *key)
{
    u_char  *p, *hashed;

    token->len = 0;

    p = ngx_cpymem(token->data, prefix->data, prefix->len);
    *p++ = '_';

    hashed = p;

    if (id != NULL) {
        ngx_memcpy(p, id, NGX_ACCESS_TOKEN_ID_LEN);

    } else if (ngx_access_token_put_id(p, organization, now) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memcpy(key->id, p, NGX_ACCESS_TOKEN_ID_LEN);
    p += NGX_ACCESS_TOKEN_ID_LEN;

    if (ngx_access_token_generate_random(p, NGX_ACCESS_TOKEN_SECRET_LEN)
        != NGX_OK)
    {
        ngx_explicit_memzero(p, NGX_ACCESS_TOKEN_SECRET_LEN);
        return NGX_ERROR;
    }

    ngx_access_token_digest_of(hashed, key->digest);

    p += NGX_ACCESS_TOKEN_SECRET_LEN;
    p = ngx_access_token_put_number(p,
                                    ngx_access_token_crc32(hashed),
                                    NGX_ACCESS_TOKEN_CHECKSUM_LEN);

    token->len = p - token->data;

    return NGX_OK;
}


/* Rejection sampling: every character is as likely as any other. */

ngx_int_t
ngx_access_token_generate_random(u_char *p, size_t n)
{
    u_char     *last;
    u_char      bytes[64];
    ngx_uint_t  i;

    last = p + n;

    while (p < last) {

        if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
            ngx_ssl_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                          "RAND_bytes() failed");
            ngx_explicit_memzero(bytes, sizeof(bytes));
            return NGX_ERROR;
        }

        for (i = 0; i < sizeof(bytes) && p < last; i++) {
            if (bytes[i] < NGX_ACCESS_TOKEN_FAIR) {
                *p++ = ngx_access_token_base62[bytes[i] % 62];
            }
        }
    }

    ngx_explicit_memzero(bytes, sizeof(bytes));

    return NGX_OK;
}


ngx_int_t
ngx_access_token_generate_user(u_char *buf)
{
    u_char  *p;

    p = ngx_cpymem(buf, NGX_ACCESS_TOKEN_USER_PREFIX,
                   sizeof(NGX_ACCESS_TOKEN_USER_PREFIX) - 1);

    return ngx_access_token_generate_random(p,
                                        buf + NGX_ACCESS_TOKEN_USER_LEN - p);
}


/*
 * The first 64 bits of SHA-256 of the organization's id, modulo 62^4.  Two
 * organizations may have the same tag: it says where to look, and no more.
 */

ngx_int_t
ngx_access_token_tag(const ngx_str_t *organization, u_char *buf)
{
    u_char      digest[NGX_ACCESS_TOKEN_DIGEST_LEN];
    uint64_t    number;
    ngx_uint_t  i;

    if (ngx_access_token_digest(organization, digest) != NGX_OK) {
        return NGX_ERROR;
    }

    number = 0;

    for (i = 0; i < 8; i++) {
        number = number << 8 | digest[i];
    }

    ngx_access_token_put_number(buf, number, NGX_ACCESS_TOKEN_TAG_LEN);

    return NGX_OK;
}


ngx_int_t
ngx_access_token_check_id(const ngx_str_t *id)
{
    if (id->len != NGX_ACCESS_TOKEN_ID_LEN
        || !ngx_access_token_is_base62(id->data, id->len))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_access_token_check_user(const ngx_str_t *id)
{
    size_t  n;

    n = sizeof(NGX_ACCESS_TOKEN_USER_PREFIX) - 1;

    if (id->len != NGX_ACCESS_TOKEN_USER_LEN
        || ngx_memcmp(id->data, NGX_ACCESS_TOKEN_USER_PREFIX, n) != 0
        || !ngx_access_token_is_base62(id->data + n, id->len - n))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_access_token_check_owner(const ngx_str_t *id)
{
    u_char  c;
    size_t  i;

    if (id->len == 0
        || id->len > NGX_ACCESS_TOKEN_OWNER_MAX
        || id->data[0] == '.')
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < id->len; i++) {
        c = id->data[i];

        if (c != '.' && c != '_' && c != '-'
            && !ngx_access_token_is_base62(&c, 1))
        {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_access_token_digest(const ngx_str_t *text, u_char *digest)
{
    return ngx_access_token_sha256(text->data, text->len, digest);
}


ngx_uint_t
ngx_access_token_digest_equal(const u_char *a, const u_char *b)
{
    uint64_t    x[4], y[4];

    ngx_memcpy(x, a, NGX_ACCESS_TOKEN_DIGEST_LEN);
    ngx_memcpy(y, b, NGX_ACCESS_TOKEN_DIGEST_LEN);

    /* no branch: how much is equal takes no time to tell */

    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}


static ngx_uint_t
ngx_access_token_is_base62(const u_char *p, size_t n)
{
    u_char  bad;

    for (bad = 0; n; n--) {
        bad |= ngx_access_token_digits[*p++];
    }

    return (bad & 0x80) == 0;
}


static uint64_t
ngx_access_token_number_of(const u_char *p, size_t digits)
{
    uint64_t  number;

    for (number = 0; digits; digits--) {
        number = number * 62 + ngx_access_token_digits[*p++];
    }

    return number;
}


/* Writes the last digits of a number, and returns where they end. */

static u_char *
ngx_access_token_put_number(u_char *p, uint64_t number, size_t digits)
{
    size_t  i;

    for (i = digits; i > 0; i--) {
        p[i - 1] = ngx_access_token_base62[number % 62];
        number /= 62;
    }

    return p + digits;
}


/* 62^8 ms are 6918 years. */

static ngx_int_t
ngx_access_token_put_id(u_char *p, const ngx_str_t *organization, uint64_t now)
{
    if (ngx_access_token_tag(organization, p) != NGX_OK) {
        return NGX_ERROR;
    }

    p += NGX_ACCESS_TOKEN_TAG_LEN;
    p = ngx_access_token_put_number(p, now, NGX_ACCESS_TOKEN_TIME_LEN);

    return ngx_access_token_generate_random(p, NGX_ACCESS_TOKEN_ID_LEN
                                               - NGX_ACCESS_TOKEN_TAG_LEN
                                               - NGX_ACCESS_TOKEN_TIME_LEN);
}


/*
 * CRC-32 of id and secret, four bytes at a time, which is twice as fast as the
 * way of nginx: a table says what a byte does that three, two, one or no other
 * one follows.
 */

static uint32_t
ngx_access_token_crc32(const u_char *p)
{
    uint32_t       crc, word;
    const u_char  *last;

    static uint32_t  t[4][256];

    if (t[3][1] == 0) {
        ngx_access_token_crc32_init(t);
    }

    crc = 0xffffffff;

    for (last = p + NGX_ACCESS_TOKEN_HASHED_LEN; p < last; p += 4) {
        word = crc ^ ((uint32_t) p[0] | (uint32_t) p[1] << 8
                      | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24);

        crc = t[3][word & 0xff] ^ t[2][word >> 8 & 0xff]
              ^ t[1][word >> 16 & 0xff] ^ t[0][word >> 24];
    }

    return crc ^ 0xffffffff;
}


static void
ngx_access_token_crc32_init(uint32_t (*t)[256])
{
    ngx_uint_t  i, k;

    for (i = 0; i < 256; i++) {
        t[0][i] = ngx_crc32_table256[i];

        for (k = 1; k < 4; k++) {
            t[k][i] = t[k - 1][i] >> 8 ^ ngx_crc32_table256[t[k - 1][i] & 0xff];
        }
    }
}


/*
 * SHA-256 of id and secret, which are one block (FIPS 180-4 section 5.1.1): the
 * bytes, a bit, and how many bits there were.  It is computed for each request;
 * with the functions that take any length it would be half as long again.
 */

static void
ngx_access_token_digest_of(const u_char *p, u_char *digest)
{
    u_char      block[SHA256_CBLOCK];
    uint32_t    word;
    ngx_uint_t  i;
    SHA256_CTX  ctx;

    ngx_memcpy(block, p, NGX_ACCESS_TOKEN_HASHED_LEN);
    ngx_memzero(block + NGX_ACCESS_TOKEN_HASHED_LEN,
                SHA256_CBLOCK - NGX_ACCESS_TOKEN_HASHED_LEN);

    block[NGX_ACCESS_TOKEN_HASHED_LEN] = 0x80;
    block[SHA256_CBLOCK - 2] = (NGX_ACCESS_TOKEN_HASHED_LEN * 8) >> 8;
    block[SHA256_CBLOCK - 1] = (NGX_ACCESS_TOKEN_HASHED_LEN * 8) & 0xff;

    (void) SHA256_Init(&ctx);
    SHA256_Transform(&ctx, block);

    for (i = 0; i < 8; i++) {
        word = htonl(ctx.h[i]);
        digest = ngx_cpymem(digest, &word, sizeof(word));
    }

    ngx_explicit_memzero(block, NGX_ACCESS_TOKEN_HASHED_LEN);
}


static ngx_int_t
ngx_access_token_sha256(const u_char *p, size_t n, u_char *digest)
{
    EVP_MD_CTX    *ctx;
    const EVP_MD  *md;

    ctx = ngx_access_token_sha256_ctx(&md);

    if (ctx == NULL
        || EVP_DigestInit_ex(ctx, md, NULL) != 1
        || EVP_DigestUpdate(ctx, p, n) != 1
        || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
    {
        ngx_ssl_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "SHA-256 of an access token failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * One context serves a process, which has one thread that hashes: EVP_Digest()
 * would allocate and look its algorithm up each time, in four times as long.
 */

static EVP_MD_CTX *
ngx_access_token_sha256_ctx(const EVP_MD **md)
{
    static EVP_MD_CTX    *ctx;
    static const EVP_MD  *sha256;

    if (sha256 == NULL) {
#if (OPENSSL_VERSION_NUMBER >= 0x30000000L)
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
#else
        sha256 = EVP_sha256();
#endif
    }

    if (ctx == NULL && sha256 != NULL) {
        ctx = EVP_MD_CTX_create();
    }

    *md = sha256;

    return ctx;
}
