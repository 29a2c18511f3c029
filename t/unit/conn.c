
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What stands below the client and the link: a connection that keeps its
 * commands until the test answers them or fails, and the little of nginx that
 * is called besides.  Bytes are the arguments, each with a space behind it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_sha1.h>

#include "unit.h"


#define UNIT_OUT  1024


static void unit_close(ngx_redis_conn_t *conn);


ngx_redis_conn_t  *unit_conn;
ngx_uint_t         unit_told;
ngx_uint_t         unit_opened;
ngx_uint_t         unit_fault;
ngx_event_t       *unit_timer;
ngx_uint_t         unit_left;
ngx_redis_place_t  *unit_found;

volatile ngx_msec_t    ngx_current_msec;
ngx_queue_t            ngx_posted_events;
ngx_rbtree_t           ngx_event_timer_rbtree;
ngx_uint_t             ngx_exiting;
sig_atomic_t           ngx_terminate;


void
ngx_redis_conn_init(ngx_redis_conn_t *conn, ngx_redis_conf_t *conf)
{
    conn->conf = conf;
    conn->turn.log = &conn->log;

    ngx_queue_init(&conn->waiting);
    ngx_queue_init(&ngx_posted_events);

    unit_conn = conn;
}


void
ngx_redis_conn_submit(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd)
{
    cmd->start = conn->now;

    ngx_queue_insert_tail(&conn->waiting, &cmd->queue);
    conn->ncommands++;
}


size_t
unit_answer(const ngx_redis_reply_t *reply)
{
    size_t                size;
    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;

    q = ngx_queue_head(&unit_conn->waiting);
    ngx_queue_remove(q);
    unit_conn->ncommands--;

    cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
    size = cmd->last - cmd->pos;

    unit_conn->done(unit_conn, cmd, reply);

    return size;
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
ngx_redis_conn_open(ngx_redis_conn_t *conn, ngx_addr_t *addrs,
    ngx_uint_t naddrs)
{
    conn->addrs = addrs;
    conn->naddrs = naddrs;

    conn->pool = ngx_create_pool(UNIT_OUT, ngx_cycle->log);
    conn->out = ngx_palloc(conn->pool, sizeof(ngx_buf_t));
    conn->out->start = ngx_palloc(conn->pool, UNIT_OUT);
    conn->out->end = conn->out->start + UNIT_OUT;

    unit_opened++;
}


void
ngx_redis_conn_ready(ngx_redis_conn_t *conn)
{
    conn->opening = 0;
    conn->ready = 1;
}


void
ngx_redis_conn_fail(ngx_redis_conn_t *conn, ngx_redis_fault_e fault,
    ngx_err_t err, const char *reason)
{
    unit_fault = fault;

    unit_close(conn);
    conn->lost(conn);
}


void
ngx_redis_conn_refused(ngx_redis_conn_t *conn, const ngx_str_t *error)
{
    ngx_redis_conn_fail(conn, NGX_REDIS_LOADING, 0, "refused");
}


static void
unit_close(ngx_redis_conn_t *conn)
{
    if (conn->pool) {
        ngx_destroy_pool(conn->pool);
        conn->pool = NULL;
    }

    conn->opening = 0;
    conn->ready = 0;
    conn->take = NULL;
}


void
unit_run_posted(void)
{
    ngx_queue_t  *q;
    ngx_event_t  *ev;

    while (!ngx_queue_empty(&ngx_posted_events)) {
        q = ngx_queue_head(&ngx_posted_events);
        ev = ngx_queue_data(q, ngx_event_t, queue);

        ngx_delete_posted_event(ev);

        if (ev != &unit_conn->turn) {
            ev->handler(ev);
        }
    }
}


ngx_msec_t
unit_run_timer(void)
{
    ngx_msec_t    after;
    ngx_event_t  *ev;

    ev = unit_timer;

    if (ev == NULL) {
        return 0;
    }

    after = ev->timer.key - ngx_current_msec;

    unit_timer = NULL;
    ev->timer_set = 0;
    ngx_current_msec += after;

    ev->handler(ev);

    return after;
}


void
ngx_redis_conn_drop(ngx_redis_conn_t *conn)
{
    unit_close(conn);
    conn->lost(conn);
}


void
ngx_redis_conn_leave(ngx_redis_conn_t *conn, const char *reason)
{
    unit_left++;
}


void
ngx_redis_conn_log(ngx_redis_conn_t *conn)
{
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
    ngx_redis_conn_open(conn, NULL, 0);
}


void
ngx_redis_place_free(ngx_redis_place_t *place)
{
    if (place->pool) {
        ngx_destroy_pool(place->pool);
        place->pool = NULL;
    }
}


void
ngx_redis_tls_forget(ngx_redis_conn_t *conn)
{
    abort();
}


void
ngx_redis_place_follow(ngx_redis_place_t *place, ngx_redis_conn_t *conn)
{
}


void
ngx_redis_place_doubt(ngx_redis_place_t *place)
{
}


void
ngx_redis_place_find(ngx_redis_place_t *place)
{
    unit_found = place;
}


void
ngx_redis_place_cancel(ngx_redis_place_t *place)
{
}


const ngx_redis_refusal_t *
ngx_redis_refusal(const ngx_str_t *error, ngx_uint_t *fault)
{
    static const ngx_redis_refusal_t  refusal = { ngx_null_string, "", 0 };
    static const ngx_redis_refusal_t  loading = { ngx_null_string, "", 1 };

    *fault = NGX_REDIS_LOADING;

    return (ngx_strncmp(error->data, "LOADING", sizeof("LOADING") - 1) == 0)
           ? &loading : &refusal;
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
    p = ngx_cpymem(p, s->data, s->len);
    *p++ = ' ';

    return p;
}


/* --- nginx */

u_char * ngx_cdecl
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    va_list  args;

    if (strcmp(fmt, "%L") != 0 && strcmp(fmt, "%ui") != 0
        && strcmp(fmt, "%M") != 0)
    {
        abort();
    }

    va_start(args, fmt);
    buf += vsprintf((char *) buf, "%ld", args);
    va_end(args);

    return buf;
}


u_char *
ngx_cpystrn(u_char *dst, u_char *src, size_t n)
{
    return dst + snprintf((char *) dst, n, "%s", src);
}


u_char * ngx_cdecl
ngx_snprintf(u_char *buf, size_t max, const char *fmt, ...)
{
    return buf;
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {
        if (*line < '0' || *line > '9' || value > 1000000) {
            return NGX_ERROR;
        }

        value = value * 10 + (*line - '0');
    }

    return value;
}


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    while (n--) {
        *dst++ = ngx_tolower(*src);
        src++;
    }
}


/* All hosts are names here. */

ngx_int_t
ngx_parse_addr(ngx_pool_t *pool, ngx_addr_t *addr, u_char *text, size_t len)
{
    return NGX_DECLINED;
}


void
ngx_inet_set_port(struct sockaddr *sa, in_port_t port)
{
    abort();
}


size_t
ngx_sock_ntop(struct sockaddr *sa, socklen_t socklen, u_char *text, size_t len,
    ngx_uint_t port)
{
    abort();
}


/* There is one timer at most, that of a pause or of the next question. */

void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    unit_timer = ngx_rbtree_data(node, ngx_event_t, timer);
}


void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    unit_timer = NULL;
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
