
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What stands below the client: a connection that keeps its commands until the
 * test answers them or fails, and the little of nginx that is called besides.
 * It is never opened, so no address is looked for.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_sha1.h>

#include "unit.h"


ngx_redis_conn_t  *unit_conn;
ngx_uint_t         unit_told;

volatile ngx_msec_t  ngx_current_msec;


void
ngx_redis_conn_init(ngx_redis_conn_t *conn, ngx_redis_conf_t *conf)
{
    conn->conf = conf;

    ngx_queue_init(&conn->waiting);

    unit_conn = conn;
}


void
ngx_redis_conn_submit(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd)
{
    ngx_queue_insert_tail(&conn->waiting, &cmd->queue);
    conn->ncommands++;
}


void
unit_answer(const ngx_redis_reply_t *reply)
{
    ngx_queue_t  *q;

    q = ngx_queue_head(&unit_conn->waiting);
    ngx_queue_remove(q);
    unit_conn->ncommands--;

    unit_conn->done(unit_conn, ngx_queue_data(q, ngx_redis_command_t, queue),
                    reply);
}


void
unit_fail_conn(void)
{
    unit_conn->lost(unit_conn);

    while (!ngx_queue_empty(&unit_conn->waiting)) {
        unit_answer(NULL);
    }
}


ngx_uint_t
ngx_redis_conn_tell(ngx_redis_conn_t *conn, ngx_uint_t fault)
{
    unit_told++;

    return 1;
}


void
ngx_redis_conn_ready(ngx_redis_conn_t *conn)
{
    abort();
}


void
ngx_redis_conn_drop(ngx_redis_conn_t *conn)
{
    abort();
}


ngx_int_t
ngx_redis_place_init(ngx_conf_t *cf, ngx_redis_place_t *place,
    const ngx_str_t *address)
{
    return NGX_OK;
}


void
ngx_redis_place_open(ngx_redis_place_t *place, ngx_redis_conn_t *conn)
{
    abort();
}


void
ngx_redis_place_free(ngx_redis_place_t *place)
{
    abort();
}


const ngx_redis_refusal_t *
ngx_redis_refusal(const ngx_str_t *error, ngx_uint_t *fault)
{
    static const ngx_redis_refusal_t  refusal = { ngx_null_string, "", 0 };

    *fault = NGX_REDIS_LOADING;

    return &refusal;
}


size_t
ngx_redis_error_text(const ngx_str_t *error, u_char text[NGX_REDIS_ERROR_LEN])
{
    return 0;
}


u_char *
ngx_redis_write_array(u_char *p, ngx_uint_t n)
{
    return p;
}


u_char *
ngx_redis_write_bulk(u_char *p, const ngx_str_t *s)
{
    return ngx_cpymem(p, s->data, s->len);
}


/* --- nginx */

void *
ngx_alloc(size_t size, ngx_log_t *log)
{
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
    return ngx_palloc(pool, sizeof(ngx_pool_cleanup_t));
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
}


u_char * ngx_cdecl
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    abort();
}


u_char *
ngx_hex_dump(u_char *dst, u_char *src, size_t len)
{
    abort();
}


void
ngx_sha1_init(ngx_sha1_t *ctx)
{
    abort();
}


void
ngx_sha1_update(ngx_sha1_t *ctx, const void *data, size_t size)
{
    abort();
}


void
ngx_sha1_final(u_char result[20], ngx_sha1_t *ctx)
{
    abort();
}
