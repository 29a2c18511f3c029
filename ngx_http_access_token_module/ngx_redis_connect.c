
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Opens a connection: from an address to a server that takes commands.
 *
 *     open > await_connect > (TLS) > take_hello > ready
 *                  |           |         |
 *                  +-----------+---------+--> fail
 *
 * An address that refuses is followed by the next one; only when all have
 * refused do the commands that wait fail.  The handshake is AUTH, SELECT, ROLE
 * and INFO, as configured, sent in one write, each reply checked; it may be
 * empty.
 * One timer bounds it all, however many addresses there are.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_redis_internal.h>


#define NGX_REDIS_IN_SIZE       16384
#define NGX_REDIS_OUT_SIZE      32768


static ngx_int_t ngx_redis_conn_prepare(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_conn_write_hello(ngx_redis_conn_t *conn);
static void ngx_redis_conn_connect(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_conn_connect_to(ngx_redis_conn_t *conn,
    ngx_addr_t *addr);
static void ngx_redis_conn_await_connect(ngx_event_t *ev);
static void ngx_redis_conn_connected(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_conn_take_hello(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_redis_conn_take_role(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_redis_conn_take_info(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static void ngx_redis_conn_identify(ngx_redis_conn_t *conn,
    const ngx_str_t *info);
static ngx_uint_t ngx_redis_conn_find(const ngx_str_t *info,
    const char *name, ngx_str_t *value);


void
ngx_redis_conn_open(ngx_redis_conn_t *conn, ngx_addr_t *addrs,
    ngx_uint_t naddrs)
{
    conn->addrs = addrs;
    conn->naddrs = naddrs;
    conn->tries = naddrs;
    conn->deadline = ngx_current_msec + conn->conf->connect_timeout;

    if (conn->listens && (ngx_exiting || ngx_terminate)) {
        ngx_redis_conn_fail(conn, NGX_REDIS_SHUTDOWN, 0,
                            "worker is shutting down");
        return;
    }

    if (ngx_redis_conn_prepare(conn) != NGX_OK) {
        ngx_redis_conn_fail(conn, NGX_REDIS_INTERNAL, 0,
                            "no memory for a connection");
        return;
    }

    ngx_redis_conn_connect(conn);
}


static ngx_int_t
ngx_redis_conn_prepare(ngx_redis_conn_t *conn)
{
    conn->pool = ngx_create_pool(1024, &conn->log);
    if (conn->pool == NULL) {
        return NGX_ERROR;
    }

    conn->in = ngx_create_temp_buf(conn->pool, NGX_REDIS_IN_SIZE);
    if (conn->in == NULL) {
        return NGX_ERROR;
    }

    if (ngx_redis_conn_write_hello(conn) != NGX_OK) {
        return NGX_ERROR;
    }

    conn->reader = ngx_redis_reader_create(&conn->log);
    if (conn->reader == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* The out buffer is the handshake's until that is over. */

static ngx_int_t
ngx_redis_conn_write_hello(ngx_redis_conn_t *conn)
{
    u_char            *p, db[NGX_INT_T_LEN];
    size_t             len;
    ngx_str_t          auth, select, number, role, info, section;
    ngx_redis_conf_t  *conf;

    conf = conn->conf;

    ngx_str_set(&auth, "AUTH");
    ngx_str_set(&select, "SELECT");
    ngx_str_set(&role, "ROLE");
    ngx_str_set(&info, "INFO");
    ngx_str_set(&section, "server");

    len = ngx_redis_command_len(3, auth.len + conf->user.len
                                   + conf->password.len)
          + ngx_redis_command_len(2, select.len + NGX_INT_T_LEN)
          + ngx_redis_command_len(1, role.len)
          + ngx_redis_command_len(2, info.len + section.len);

    conn->out = ngx_create_temp_buf(conn->pool,
                                    ngx_max(len, NGX_REDIS_OUT_SIZE));
    if (conn->out == NULL) {
        return NGX_ERROR;
    }

    conn->hello = 0;
    p = conn->out->last;

    if (conf->password.len) {
        conn->hello++;

        p = ngx_redis_write_array(p, conf->user.len ? 3 : 2);
        p = ngx_redis_write_bulk(p, &auth);

        if (conf->user.len) {
            p = ngx_redis_write_bulk(p, &conf->user);
        }

        p = ngx_redis_write_bulk(p, &conf->password);
    }

    if (conf->db) {
        conn->hello++;

        number.data = db;
        number.len = ngx_sprintf(db, "%ui", conf->db) - db;

        p = ngx_redis_write_array(p, 2);
        p = ngx_redis_write_bulk(p, &select);
        p = ngx_redis_write_bulk(p, &number);
    }

    if (conf->topology == NGX_REDIS_SENTINEL) {
        conn->hello++;

        p = ngx_redis_write_array(p, 1);
        p = ngx_redis_write_bulk(p, &role);
    }

    conn->identify = conf->identify;

    if (conn->identify) {
        conn->hello++;

        p = ngx_redis_write_array(p, 2);
        p = ngx_redis_write_bulk(p, &info);
        p = ngx_redis_write_bulk(p, &section);
    }

    conn->out->last = p;

    return NGX_OK;
}


/* All addresses get their chance before the commands that wait fail. */

static void
ngx_redis_conn_connect(ngx_redis_conn_t *conn)
{
    ngx_err_t          err;
    ngx_int_t          rc;
    ngx_addr_t        *addr;
    ngx_connection_t  *c;

    err = 0;

    while (conn->tries) {
        conn->tries--;

        addr = &conn->addrs[conn->naddr % conn->naddrs];

        rc = ngx_redis_conn_connect_to(conn, addr);

        if (rc == NGX_DECLINED || rc == NGX_ERROR) {
            err = (rc == NGX_DECLINED) ? ngx_socket_errno : 0;
            conn->naddr++;
            continue;
        }

        c = conn->peer.connection;

        c->idle = conn->listens;
        c->read->cancelable = conn->listens;

        ngx_add_timer(c->read, ngx_max((ngx_msec_int_t)
                                       (conn->deadline - ngx_current_msec),
                                       1));

        if (rc == NGX_OK) {
            ngx_redis_conn_connected(conn);
        }

        return;
    }

    ngx_redis_conn_fail(conn, NGX_REDIS_CONNECT, err, "connect() failed");
}


/*
 * NGX_OK, NGX_AGAIN; NGX_DECLINED: errno says why; NGX_ERROR: logged, and not
 * the end: a kernel without IPv6 has no socket for one address, but another's.
 */

static ngx_int_t
ngx_redis_conn_connect_to(ngx_redis_conn_t *conn, ngx_addr_t *addr)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    ngx_memzero(&conn->peer, sizeof(ngx_peer_connection_t));

    conn->peer.sockaddr = addr->sockaddr;
    conn->peer.socklen = addr->socklen;
    conn->peer.name = &addr->name;
    conn->peer.get = ngx_event_get_peer;
    conn->peer.log_error = NGX_ERROR_INFO;

    /* its failure is ours to log: once, not at every attempt */

    conn->peer.log = &conn->quiet;

    ngx_set_socket_errno(0);

    rc = ngx_event_connect_peer(&conn->peer);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        return (rc == NGX_ERROR) ? NGX_ERROR : NGX_DECLINED;
    }

    c = conn->peer.connection;

    conn->log.connection = c->number;

    c->data = conn;
    c->pool = conn->pool;
    c->log = &conn->log;
    c->read->log = &conn->log;
    c->write->log = &conn->log;
    c->read->handler = ngx_redis_conn_await_connect;
    c->write->handler = ngx_redis_conn_await_connect;

    return rc;
}


static void
ngx_redis_conn_await_connect(ngx_event_t *ev)
{
    int                err;
    socklen_t          len;
    ngx_connection_t  *c;
    ngx_redis_conn_t  *conn;

    c = ev->data;
    conn = c->data;

    if (c->close) {
        ngx_redis_conn_end(conn, "worker is shutting down");
        return;
    }

    if (ev->timedout) {
        ngx_redis_conn_fail(conn, NGX_REDIS_CONNECT, NGX_ETIMEDOUT,
                            "connect() timed out");
        return;
    }

    if (!ev->write) {
        return;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err == 0) {
        ngx_redis_conn_connected(conn);
        return;
    }

    ngx_close_connection(c);
    conn->peer.connection = NULL;
    conn->naddr++;

    if (conn->tries) {
        ngx_redis_conn_connect(conn);
        return;
    }

    ngx_redis_conn_fail(conn, NGX_REDIS_CONNECT, err, "connect() failed");
}


static void
ngx_redis_conn_connected(ngx_redis_conn_t *conn)
{
    /* a refusal of it is logged, and costs time alone */

    (void) ngx_tcp_nodelay(conn->peer.connection);

    if (conn->conf->tls.on) {
        ngx_redis_tls_handshake(conn);
        return;
    }

    ngx_redis_conn_greet(conn);
}


void
ngx_redis_conn_greet(ngx_redis_conn_t *conn)
{
    ngx_redis_conn_acts(conn, NGX_REDIS_GREETING);

    ngx_redis_conn_start(conn, ngx_redis_conn_take_hello);

    if (conn->hello == 0) {
        (void) conn->greeted(conn);
    }
}


static ngx_int_t
ngx_redis_conn_take_hello(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    if (conn->hello == 1 && conn->identify) {

        if (ngx_redis_conn_take_info(conn, reply) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (conn->hello == 1 + (ngx_uint_t) conn->identify
               && conn->conf->topology == NGX_REDIS_SENTINEL)
    {
        if (ngx_redis_conn_take_role(conn, reply) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (reply->type == NGX_REDIS_ERROR) {
        ngx_redis_conn_refused(conn, &reply->str);
        return NGX_ERROR;

    } else if (reply->type != NGX_REDIS_STATUS) {
        ngx_redis_conn_fail(conn, NGX_REDIS_PROTOCOL, 0,
                            "bad reply to the handshake");
        return NGX_ERROR;
    }

    if (--conn->hello == 0) {
        return conn->greeted(conn);
    }

    return NGX_OK;
}


/* Sentinel says where the primary is, and may be the last one to know. */

static ngx_int_t
ngx_redis_conn_take_role(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    size_t              len;
    u_char              text[NGX_REDIS_ERROR_LEN];
    ngx_uint_t          fault;
    ngx_redis_reply_t  *role;

    if (reply->type == NGX_REDIS_ERROR) {

        if (ngx_redis_refusal(&reply->str, &fault)->drop) {
            ngx_redis_conn_refused(conn, &reply->str);
            return NGX_ERROR;
        }

        ngx_redis_add(*conn->stats, lacks[NGX_REDIS_ROLE], 1);

        if (ngx_redis_conn_tell(conn, NGX_REDIS_ROLELESS)) {
            len = ngx_redis_error_text(&reply->str, text);

            ngx_log_error(NGX_LOG_WARN, &conn->log, 0,
                          "redis does not tell whether it is a primary, it "
                          "answered \"%*s\" to ROLE: give its user +role, "
                          "see ACL SETUSER", len, text);
        }

        return NGX_OK;
    }

    role = reply->elts;

    if (reply->type != NGX_REDIS_ARRAY
        || reply->nelts == 0
        || role->type != NGX_REDIS_STRING)
    {
        ngx_redis_conn_fail(conn, NGX_REDIS_PROTOCOL, 0,
                            "bad reply to the handshake");
        return NGX_ERROR;
    }

    if (role->str.len != sizeof("master") - 1
        || ngx_strncmp(role->str.data, "master", role->str.len) != 0)
    {
        ngx_redis_conn_fail(conn, NGX_REDIS_REPLICA, 0,
                            "it is a replica: it is no primary any more and "
                            "sentinel does not know yet, or not one so far");
        return NGX_ERROR;
    }

    conn->told &= ~((uint64_t) 1 << NGX_REDIS_ROLELESS);

    return NGX_OK;
}


/* A server that does not tell who it is takes commands all the same. */

static ngx_int_t
ngx_redis_conn_take_info(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    size_t      len;
    u_char      text[NGX_REDIS_ERROR_LEN];
    ngx_str_t   answer;
    ngx_uint_t  fault;

    ngx_str_set(&answer, "no run_id");

    if (reply->type == NGX_REDIS_STRING) {
        ngx_redis_conn_identify(conn, &reply->str);

        if (conn->server.len) {
            conn->told &= ~((uint64_t) 1 << NGX_REDIS_UNNAMED);
            return NGX_OK;
        }

    } else if (reply->type != NGX_REDIS_ERROR) {
        ngx_redis_conn_fail(conn, NGX_REDIS_PROTOCOL, 0,
                            "bad reply to the handshake");
        return NGX_ERROR;

    } else {

        if (ngx_redis_refusal(&reply->str, &fault)->drop) {
            ngx_redis_conn_refused(conn, &reply->str);
            return NGX_ERROR;
        }

        answer = reply->str;
    }

    ngx_redis_add(*conn->stats, lacks[NGX_REDIS_IDENTITY], 1);

    if (ngx_redis_conn_tell(conn, NGX_REDIS_UNNAMED)) {
        len = ngx_redis_error_text(&answer, text);

        ngx_log_error(NGX_LOG_WARN, &conn->log, 0,
                      "redis does not tell which server it is, it answered "
                      "\"%*s\" to INFO server: give its user +info, "
                      "see ACL SETUSER", len, text);
    }

    return NGX_OK;
}


/* redis_version:7.0.15 and run_id:<40 hex digits>, among other lines. */

static void
ngx_redis_conn_identify(ngx_redis_conn_t *conn, const ngx_str_t *info)
{
    u_char     *p;
    ngx_str_t   value;

    p = conn->product;

    if (ngx_redis_conn_find(info, "\nvalkey_version:", &value)) {
        ngx_snprintf(p, NGX_REDIS_PRODUCT, "valkey %V%Z", &value);

    } else if (ngx_redis_conn_find(info, "\nredis_version:", &value)) {
        ngx_snprintf(p, NGX_REDIS_PRODUCT, "redis %V%Z", &value);
    }

    p[NGX_REDIS_PRODUCT - 1] = '\0';

    if (ngx_redis_conn_find(info, "\nrun_id:", &value)
        && value.len == NGX_REDIS_RUN_ID)
    {
        ngx_memcpy(conn->run_id, value.data, NGX_REDIS_RUN_ID);

        conn->server.data = conn->run_id;
        conn->server.len = NGX_REDIS_RUN_ID;
    }
}


/* The letters, digits and dots behind a name; 1: there are some. */

static ngx_uint_t
ngx_redis_conn_find(const ngx_str_t *info, const char *name, ngx_str_t *value)
{
    u_char  *p, *last;
    size_t   len;

    last = info->data + info->len;
    len = ngx_strlen(name);

    p = ngx_strlcasestrn(info->data, last, (u_char *) name, len - 1);
    if (p == NULL) {
        return 0;
    }

    value->data = p + len;

    for (p = value->data; p < last; p++) {

        if ((*p < 'a' || *p > 'z') && (*p < 'A' || *p > 'Z')
            && (*p < '0' || *p > '9') && *p != '.')
        {
            break;
        }
    }

    value->len = p - value->data;

    return value->len != 0;
}
