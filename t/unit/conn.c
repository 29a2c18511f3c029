
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What stands below the client, its cluster, the link and Sentinels: there are
 * connections that keep their commands until the test answers them or fails,
 * and that have written them at the end of the turn if they are open, the
 * clock, and the little of nginx that is called besides.  Bytes are the
 * arguments, each with a space behind it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_sha1.h>

#include "unit.h"


#define UNIT_OUT     1024
#define UNIT_TIMERS  256
#define UNIT_NAME    320


/* An open connection, or one that is being opened, and where it goes. */

typedef struct {
    ngx_redis_conn_t  *conn;
    ngx_str_t          name;
    char               text[UNIT_NAME];
} unit_open_t;


static void unit_turn(ngx_event_t *ev);
static void unit_write(ngx_redis_conn_t *conn);
static void unit_close(ngx_redis_conn_t *conn);


ngx_redis_conn_t   *unit_conn;
ngx_uint_t          unit_told;
ngx_uint_t          unit_opened;
ngx_uint_t          unit_fault;
ngx_uint_t          unit_left;
ngx_redis_place_t  *unit_found;

static unit_open_t   unit_opens[UNIT_CONNS];
static ngx_event_t  *unit_timers[UNIT_TIMERS];

volatile ngx_msec_t    ngx_current_msec;
ngx_queue_t            ngx_posted_events;
ngx_rbtree_t           ngx_event_timer_rbtree;
ngx_uint_t             ngx_exiting;
sig_atomic_t           ngx_terminate;


void
ngx_redis_conn_init(ngx_redis_conn_t *conn, ngx_redis_conf_t *conf)
{
    conn->conf = conf;
    conn->turn.handler = unit_turn;
    conn->turn.data = conn;
    conn->turn.log = &conn->log;

    ngx_queue_init(&conn->waiting);

    if (ngx_posted_events.next == NULL) {
        ngx_queue_init(&ngx_posted_events);
    }

    unit_conn = conn;
}


void
ngx_redis_conn_submit(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd)
{
    cmd->start = conn->now;

    ngx_queue_insert_tail(&conn->waiting, &cmd->queue);
    conn->ncommands++;

    ngx_post_event(&conn->turn, &ngx_posted_events);
}


static void
unit_turn(ngx_event_t *ev)
{
    ngx_redis_conn_t  *conn;

    conn = ev->data;

    if (conn->ready) {
        unit_write(conn);
        return;
    }

    if (!conn->opening && !ngx_queue_empty(&conn->waiting)) {
        conn->opening = 1;
        conn->open(conn);
    }
}


/* From now on they may have been carried out. */

static void
unit_write(ngx_redis_conn_t *conn)
{
    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;

    for (q = ngx_queue_head(&conn->waiting);
         q != ngx_queue_sentinel(&conn->waiting);
         q = ngx_queue_next(q))
    {
        cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
        cmd->pos = cmd->last;
    }
}


ngx_redis_command_t *
unit_first(const ngx_redis_conn_t *conn)
{
    return ngx_queue_empty(&conn->waiting)
           ? NULL
           : ngx_queue_data(ngx_queue_head(&conn->waiting),
                            ngx_redis_command_t, queue);
}


ngx_str_t
unit_bytes(const ngx_redis_command_t *cmd)
{
    ngx_str_t  s;

    s.data = cmd->eval ? cmd->eval
                       : (u_char *) cmd + sizeof(ngx_redis_command_t);
    s.len = cmd->last - s.data;

    return s;
}


size_t
unit_answer_on(ngx_redis_conn_t *conn, const ngx_redis_reply_t *reply)
{
    size_t                size;
    ngx_redis_command_t  *cmd;

    cmd = unit_first(conn);
    size = unit_bytes(cmd).len;

    ngx_queue_remove(&cmd->queue);
    conn->ncommands--;

    conn->done(conn, cmd, reply);

    return size;
}


size_t
unit_answer(const ngx_redis_reply_t *reply)
{
    return unit_answer_on(unit_conn, reply);
}


void
unit_fail_conn(void)
{
    ngx_redis_conn_drop(unit_conn);
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
    ngx_uint_t    i;
    unit_open_t  *open;

    for (i = 0; i < UNIT_CONNS && unit_opens[i].conn; i++) { /* void */ }

    if (i == UNIT_CONNS || conn->pool) {
        abort();
    }

    open = &unit_opens[i];
    open->conn = conn;
    open->name.data = (u_char *) open->text;
    open->name.len = snprintf(open->text, UNIT_NAME, "%.*s",
                                   (int) addrs->name.len, addrs->name.data);

    conn->addrs = addrs;
    conn->naddrs = naddrs;
    conn->peer.name = &open->name;
    conn->peer.sockaddr = addrs->sockaddr;

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

    unit_write(conn);
}


void
ngx_redis_conn_fail(ngx_redis_conn_t *conn, ngx_redis_fault_e fault,
    ngx_err_t err, const char *reason)
{
    unit_fault = fault;

    ngx_redis_conn_drop(conn);
}


void
ngx_redis_conn_refused(ngx_redis_conn_t *conn, const ngx_str_t *error)
{
    ngx_redis_conn_fail(conn, NGX_REDIS_LOADING, 0, "refused");
}


/* What the handlers send meanwhile is for the next connection. */

void
ngx_redis_conn_drop(ngx_redis_conn_t *conn)
{
    ngx_uint_t  n;

    unit_close(conn);
    conn->lost(conn);

    for (n = conn->ncommands; n; n--) {
        (void) unit_answer_on(conn, NULL);
    }
}


void
ngx_redis_conn_leave(ngx_redis_conn_t *conn, const char *reason)
{
    unit_left++;
}


static void
unit_close(ngx_redis_conn_t *conn)
{
    ngx_uint_t  i;

    for (i = 0; i < UNIT_CONNS; i++) {
        if (unit_opens[i].conn == conn) {
            unit_opens[i].conn = NULL;
        }
    }

    if (conn->pool) {
        ngx_destroy_pool(conn->pool);
        conn->pool = NULL;
    }

    conn->peer.name = NULL;
    conn->opening = 0;
    conn->ready = 0;
    conn->take = NULL;
}


ngx_redis_conn_t *
unit_conn_to(const char *name, ngx_uint_t listens)
{
    ngx_uint_t         i;
    ngx_redis_conn_t  *conn;

    for (i = 0; i < UNIT_CONNS; i++) {
        conn = unit_opens[i].conn;

        if (conn && conn->listens == listens
            && unit_is(&unit_opens[i].name, name))
        {
            return conn;
        }
    }

    return NULL;
}


ngx_redis_conn_t *
unit_conn_at(ngx_uint_t n)
{
    return unit_opens[n].conn;
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
        ev->handler(ev);
    }
}


ngx_event_t *
unit_timer(void)
{
    ngx_uint_t    i;
    ngx_event_t  *first, *ev;

    first = NULL;

    for (i = 0; i < UNIT_TIMERS; i++) {
        ev = unit_timers[i];

        if (ev && (first == NULL
                   || (ngx_msec_int_t) (ev->timer.key - first->timer.key) < 0))
        {
            first = ev;
        }
    }

    return first;
}


ngx_msec_t
unit_run_timer(void)
{
    ngx_msec_t    after;
    ngx_event_t  *ev;

    ev = unit_timer();

    if (ev == NULL) {
        return 0;
    }

    after = ev->timer.key - ngx_current_msec;
    after = (ngx_msec_int_t) after > 0 ? after : 0;

    ngx_del_timer(ev);
    ngx_current_msec += after;

    ev->handler(ev);

    return after;
}


void
unit_wait(ngx_msec_t time)
{
    ngx_msec_t    until;
    ngx_event_t  *ev;

    until = ngx_current_msec + time;

    unit_run_posted();

    while ((ev = unit_timer())
           && (ngx_msec_int_t) (until - ev->timer.key) >= 0)
    {
        unit_run_timer();
        unit_run_posted();
    }

    ngx_current_msec = until;
}


void
ngx_redis_conn_log(ngx_redis_conn_t *conn)
{
    conn->log.data = conn;
}


void
ngx_redis_tls_forget(ngx_redis_conn_t *conn)
{
}


/* A place is its name; nobody has to look for its addresses. */

ngx_int_t
ngx_redis_place_init(ngx_conf_t *cf, ngx_redis_place_t *place,
    const ngx_str_t *address)
{
    if (address) {
        place->host = *address;
    }

    return NGX_OK;
}


ngx_int_t
ngx_redis_place_set(ngx_redis_place_t *place, ngx_pool_t *pool,
    const ngx_str_t *host, in_port_t port)
{
    if (ngx_palloc(pool, 1) == NULL) {
        return NGX_ERROR;
    }

    place->host = *host;
    place->port = port;

    return NGX_OK;
}


void
ngx_redis_place_open(ngx_redis_place_t *place, ngx_redis_conn_t *conn)
{
    const char             *format;

    static char             text[UNIT_NAME];
    static struct sockaddr  nowhere;
    static ngx_addr_t       addr = { &nowhere, 0, { 0, (u_char *) text } };

    format = (place->port == 0) ? "%.*s"
             : ngx_strlchr(place->host.data,
                           place->host.data + place->host.len, ':')
             ? "[%.*s]:%d" : "%.*s:%d";

    addr.name.len = snprintf(text, UNIT_NAME, format, (int) place->host.len,
                             place->host.data, (int) place->port);

    ngx_redis_conn_open(conn, &addr, 1);
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


ngx_str_t
ngx_redis_cause(const ngx_str_t *error)
{
    return *error;
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


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    while (n--) {
        *dst++ = ngx_tolower(*src);
        src++;
    }
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


/* n: the length of s2 but for the first character. */

u_char *
ngx_strlcasestrn(u_char *s1, u_char *last, u_char *s2, size_t n)
{
    for ( /* void */ ; s1 + n < last; s1++) {
        if (strncasecmp((char *) s1, (char *) s2, n + 1) == 0) {
            return s1;
        }
    }

    return NULL;
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


void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    ngx_uint_t  i;

    for (i = 0; i < UNIT_TIMERS; i++) {
        if (unit_timers[i] == NULL) {
            unit_timers[i] = ngx_rbtree_data(node, ngx_event_t, timer);
            return;
        }
    }

    abort();
}


void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    ngx_uint_t  i;

    for (i = 0; i < UNIT_TIMERS; i++) {
        if (unit_timers[i] == ngx_rbtree_data(node, ngx_event_t, timer)) {
            unit_timers[i] = NULL;
            return;
        }
    }

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
