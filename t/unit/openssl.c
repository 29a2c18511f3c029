
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Functions of OpenSSL that fail when a test wants it, and random bytes that
 * are not.  The linker finds these first, and they find OpenSSL's.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "unit.h"


static ngx_uint_t unit_fails(const char *function);


static const char  *unit_failing;
static ngx_uint_t   unit_calls_left;
static ngx_int_t    unit_next_byte = -1;


void
unit_fail_openssl(const char *function, ngx_uint_t n)
{
    unit_failing = function;
    unit_calls_left = n;
}


void
unit_count_from(ngx_int_t first)
{
    unit_next_byte = first;
}


static ngx_uint_t
unit_fails(const char *function)
{
    return unit_calls_left
           && strcmp(function, unit_failing) == 0
           && --unit_calls_left == 0;
}


int
RAND_bytes(unsigned char *buf, int num)
{
    int    i;
    int  (*real)(unsigned char *, int);

    if (unit_fails("RAND_bytes")) {
        return 0;
    }

    if (unit_next_byte == -1) {
        real = dlsym(RTLD_NEXT, "RAND_bytes");
        return real(buf, num);
    }

    for (i = 0; i < num; i++) {
        buf[i] = unit_next_byte++ & 0xff;
    }

    return 1;
}


#if (OPENSSL_VERSION_NUMBER >= 0x30000000L)

EVP_MD *
EVP_MD_fetch(OSSL_LIB_CTX *ctx, const char *algorithm, const char *properties)
{
    EVP_MD  *(*real)(OSSL_LIB_CTX *, const char *, const char *);

    if (unit_fails("EVP_MD_fetch")) {
        return NULL;
    }

    real = dlsym(RTLD_NEXT, "EVP_MD_fetch");

    return real(ctx, algorithm, properties);
}

#endif


EVP_MD_CTX *
EVP_MD_CTX_new(void)
{
    EVP_MD_CTX  *(*real)(void);

    if (unit_fails("EVP_MD_CTX_new")) {
        return NULL;
    }

    real = dlsym(RTLD_NEXT, "EVP_MD_CTX_new");

    return real();
}


int
EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *type, ENGINE *impl)
{
    int  (*real)(EVP_MD_CTX *, const EVP_MD *, ENGINE *);

    if (unit_fails("EVP_DigestInit_ex")) {
        return 0;
    }

    real = dlsym(RTLD_NEXT, "EVP_DigestInit_ex");

    return real(ctx, type, impl);
}


int
EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *data, size_t len)
{
    int  (*real)(EVP_MD_CTX *, const void *, size_t);

    if (unit_fails("EVP_DigestUpdate")) {
        return 0;
    }

    real = dlsym(RTLD_NEXT, "EVP_DigestUpdate");

    return real(ctx, data, len);
}


int
EVP_DigestFinal_ex(EVP_MD_CTX *ctx, unsigned char *md, unsigned int *size)
{
    int  (*real)(EVP_MD_CTX *, unsigned char *, unsigned int *);

    if (unit_fails("EVP_DigestFinal_ex")) {
        return 0;
    }

    real = dlsym(RTLD_NEXT, "EVP_DigestFinal_ex");

    return real(ctx, md, size);
}
