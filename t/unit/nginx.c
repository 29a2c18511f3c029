
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The little of nginx that most of the tested files call.
 *
 * Each allocation of a pool is a block of its own, so that a sanitizer knows
 * where it ends; without one, a guard behind the block is looked at when the
 * pool is destroyed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "unit.h"


#define UNIT_GUARD_BYTE  0xa5
#define UNIT_JUNK_BYTE   'j'     /* which a text may have */


typedef struct unit_block_s  unit_block_t;

struct unit_block_s {
    unit_block_t     *next;
    size_t            size;
    u_char           *data;
};

typedef struct {
    ngx_pool_t        pool;
    unit_block_t     *blocks;
} unit_pool_t;


#if defined(__SANITIZE_ADDRESS__)
static size_t       unit_guard = 0;
#else
static size_t       unit_guard = 16;
#endif

static ngx_log_t    unit_log;
static ngx_cycle_t  unit_cycle;
static ngx_uint_t   unit_alloc_left;
static uint64_t     unit_state = 88172645463325252;

ngx_uint_t  unit_logged;
ngx_uint_t  unit_lines;

volatile ngx_cycle_t  *ngx_cycle = &unit_cycle;

uint32_t  ngx_crc32_table256[256];


void
unit_init(void)
{
    uint32_t    crc;
    ngx_uint_t  i, bit;

    unit_cycle.log = &unit_log;

    for (i = 0; i < 256; i++) {
        crc = i;

        for (bit = 0; bit < 8; bit++) {
            crc = (crc & 1) ? crc >> 1 ^ 0xedb88320 : crc >> 1;
        }

        ngx_crc32_table256[i] = crc;
    }
}


void
unit_fail_alloc(ngx_uint_t n)
{
    unit_alloc_left = n;
}


/* xorshift64, of George Marsaglia. */

ngx_uint_t
unit_random(ngx_uint_t n)
{
    unit_state ^= unit_state << 13;
    unit_state ^= unit_state >> 7;
    unit_state ^= unit_state << 17;

    return (unit_state >> 16) % n;
}


ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    unit_pool_t  *pool;

    if (unit_alloc_left && --unit_alloc_left == 0) {
        return NULL;
    }

    pool = calloc(1, sizeof(unit_pool_t));
    if (pool == NULL) {
        abort();
    }

    return &pool->pool;
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    size_t               i;
    unit_block_t        *block, *next;
    ngx_pool_cleanup_t  *cln;

    for (cln = pool->cleanup; cln; cln = cln->next) {
        if (cln->handler) {
            cln->handler(cln->data);
        }
    }

    for (block = ((unit_pool_t *) pool)->blocks; block; block = next) {
        next = block->next;

        for (i = 0; i < unit_guard; i++) {
            if (block->data[block->size + i] != UNIT_GUARD_BYTE) {
                printf("Bail out! written behind %lu bytes of a pool\n",
                       (u_long) block->size);
                exit(2);
            }
        }

        free(block->data);
        free(block);
    }

    free(pool);
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    unit_block_t  *block;

    if (unit_alloc_left && --unit_alloc_left == 0) {
        return NULL;
    }

    block = malloc(sizeof(unit_block_t));
    if (block == NULL) {
        abort();
    }

    block->size = size;
    block->data = malloc(size + unit_guard);
    if (block->data == NULL) {
        abort();
    }

    ngx_memset(block->data, UNIT_JUNK_BYTE, size);
    ngx_memset(block->data + size, UNIT_GUARD_BYTE, unit_guard);

    block->next = ((unit_pool_t *) pool)->blocks;
    ((unit_pool_t *) pool)->blocks = block;

    return block->data;
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return ngx_pnalloc(pool, size);
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    if (unit_alloc_left && --unit_alloc_left == 0) {
        return NULL;
    }

    return malloc(size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    p = ngx_palloc(pool, size);

    if (p) {
        ngx_memzero(p, size);
    }

    return p;
}


ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *pool, size_t size)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pcalloc(pool, sizeof(ngx_pool_cleanup_t));

    if (cln) {
        cln->next = pool->cleanup;
        pool->cleanup = cln;
    }

    return cln;
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    unit_lines++;
}


void *
ngx_array_push(ngx_array_t *a)
{
    void  *elts;

    if (a->nelts == a->nalloc) {
        elts = ngx_palloc(a->pool, 2 * a->size * a->nalloc);
        if (elts == NULL) {
            return NULL;
        }

        ngx_memcpy(elts, a->elts, a->size * a->nelts);
        a->elts = elts;
        a->nalloc *= 2;
    }

    return (u_char *) a->elts + a->size * a->nelts++;
}


u_char *
ngx_pstrdup(ngx_pool_t *pool, ngx_str_t *src)
{
    u_char  *dst;

    dst = ngx_pnalloc(pool, src->len);

    if (dst) {
        ngx_memcpy(dst, src->data, src->len);
    }

    return dst;
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t  value, cutoff;

    cutoff = NGX_MAX_INT_T_VALUE / 10;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {

        if (*line < '0' || *line > '9' || value > cutoff
            || (value == cutoff && *line - '0' > NGX_MAX_INT_T_VALUE % 10))
        {
            return NGX_ERROR;
        }

        value = value * 10 + (*line - '0');
    }

    return value;
}


void
ngx_explicit_memzero(void *buf, size_t n)
{
    ngx_memzero(buf, n);
    ngx_memory_barrier();
}


void ngx_cdecl
ngx_ssl_error(ngx_uint_t level, ngx_log_t *log, ngx_err_t err, char *fmt, ...)
{
    unit_logged++;
    ERR_clear_error();
}
