
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * One connection to Redis, and the commands that travel on it.
 *
 *     submit > waiting ---fill---> out ---flush---> the socket
 *        |     ^  |                                    |
 *        v     |  `--> sent (in the order of replies) <-'--take--> done
 *        slow -'                                             |
 *              `------------------ next_slow <---------------'
 *
 * ngx_redis_connect.c opens it; here are its life when it is open, and its
 * end.  What the commands of one turn of the event loop have written is sent
 * by one posted event, in one system call.
 *
 * What always holds: a command is in one of the three queues, and leaves them
 * once; slow is empty unless a slow command is in waiting or in sent; nothing
 * is in flight while sent is empty; c->idle says so to nginx, which may then
 * close us; the timer on c->read runs while something is awaited and is not
 * cancelable, so a worker does not exit under a waiting request.  Any doubt
 * about the stream ends in ngx_redis_conn_fail(): a reply that came late would
 * be taken for another command's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_redis_internal.h>


#define NGX_REDIS_SLOW_WAIT     10          /* timeouts, for its turn */


static void ngx_redis_conn_turn(ngx_event_t *ev);
static void ngx_redis_conn_await_writable(ngx_event_t *wev);
static void ngx_redis_conn_flush(ngx_redis_conn_t *conn);
static void ngx_redis_conn_fill(ngx_redis_conn_t *conn);
static void ngx_redis_conn_await_bytes(ngx_event_t *rev);
static ngx_int_t ngx_redis_conn_read(ngx_redis_conn_t *conn);
static void ngx_redis_conn_closed(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_conn_parse(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_conn_take_reply(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static void ngx_redis_conn_next_slow(ngx_redis_conn_t *conn);
static void ngx_redis_conn_rest(ngx_redis_conn_t *conn);
static void ngx_redis_conn_close(ngx_redis_conn_t *conn);


/* Of connections that became ready, in this worker. */

static ngx_uint_t  ngx_redis_serial;


void
ngx_redis_conn_init(ngx_redis_conn_t *conn, ngx_redis_conf_t *conf)
{
    conn->conf = conf;

    ngx_queue_init(&conn->waiting);
    ngx_queue_init(&conn->sent);
    ngx_queue_init(&conn->slow);

    conn->turn.handler = ngx_redis_conn_turn;
    conn->turn.data = conn;
    conn->turn.log = &conn->log;
}


int64_t
ngx_redis_conn_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


void
ngx_redis_conn_submit(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd)
{
    if (conn->log.data == NULL) {

        /* the first command of this worker */

        ngx_redis_conn_log(conn);
    }

    conn->ncommands++;
    conn->commands++;

    if (cmd->slow && conn->slow_out) {
        cmd->start = ngx_redis_conn_clock();
        ngx_queue_insert_tail(&conn->slow, &cmd->queue);
        return;
    }

    conn->slow_out |= cmd->slow;
    ngx_queue_insert_tail(&conn->waiting, &cmd->queue);

    if (conn->peer.connection) {
        conn->peer.connection->idle = 0;
    }

    ngx_post_event(&conn->turn, &ngx_posted_events);
}


static void
ngx_redis_conn_turn(ngx_event_t *ev)
{
    ngx_redis_conn_t  *conn;

    conn = ev->data;

    if (conn->take) {
        ngx_redis_conn_flush(conn);
        return;
    }

    if (!conn->opening && !ngx_queue_empty(&conn->waiting)) {
        conn->opening = 1;
        conn->open(conn);
    }
}


void
ngx_redis_conn_start(ngx_redis_conn_t *conn, ngx_redis_conn_take_pt take)
{
    ngx_connection_t  *c;

    c = conn->peer.connection;

    conn->take = take;

    c->read->handler = ngx_redis_conn_await_bytes;
    c->write->handler = ngx_redis_conn_await_writable;

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_post_event(&conn->turn, &ngx_posted_events);
}


void
ngx_redis_conn_ready(ngx_redis_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->peer.connection;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    conn->opening = 0;
    conn->ready = 1;
    conn->take = ngx_redis_conn_take_reply;
    conn->serial = ++ngx_redis_serial;

    ngx_redis_add(*conn->stats, connects, 1);
    ngx_redis_conn_acts(conn, NGX_REDIS_READY);

    ngx_post_event(&conn->turn, &ngx_posted_events);
}


static void
ngx_redis_conn_await_writable(ngx_event_t *wev)
{
    ngx_connection_t  *c;

    c = wev->data;

    ngx_redis_conn_flush(c->data);
}


static void
ngx_redis_conn_flush(ngx_redis_conn_t *conn)
{
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    b = conn->out;
    c = conn->peer.connection;

    /* nginx' own clock may be stale: that would cut the timeout */

    conn->now = ngx_redis_conn_clock();

    while (c->write->ready) {

        if (conn->ready) {
            ngx_redis_conn_fill(conn);
        }

        if (b->pos == b->last) {
            break;
        }

        n = c->send(c, b->pos, b->last - b->pos);

        if (n == NGX_ERROR) {
            if (ngx_redis_tls_fail(conn) != NGX_OK) {
                ngx_redis_conn_fail(conn, NGX_REDIS_CLOSED, 0,
                                    "connection was broken");
            }
            return;
        }

        if (n == NGX_AGAIN) {
            break;
        }

        conn->writes++;
        b->pos += n;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_redis_conn_fail(conn, NGX_REDIS_INTERNAL, 0,
                            "write event failed");
        return;
    }

    if (conn->ready) {
        ngx_redis_conn_rest(conn);
    }
}


/* Moves commands to sent and their bytes to out, as many as there is room. */

static void
ngx_redis_conn_fill(ngx_redis_conn_t *conn)
{
    size_t                size;
    ngx_buf_t            *b;
    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;

    b = conn->out;

    if (b->pos == b->last) {
        b->pos = b->start;
        b->last = b->start;
    }

    while (b->last < b->end) {

        cmd = conn->writing;

        if (cmd == NULL) {

            if (ngx_queue_empty(&conn->waiting)) {
                return;
            }

            q = ngx_queue_head(&conn->waiting);
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&conn->sent, q);

            cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
            cmd->start = conn->now;
        }

        size = ngx_min(b->end - b->last, cmd->last - cmd->pos);

        b->last = ngx_cpymem(b->last, cmd->pos, size);
        cmd->pos += size;

        conn->writing = (cmd->pos < cmd->last) ? cmd : NULL;
    }
}


static void
ngx_redis_conn_await_bytes(ngx_event_t *rev)
{
    ngx_connection_t  *c;
    ngx_redis_conn_t  *conn;

    c = rev->data;
    conn = c->data;

    if (c->close) {
        ngx_redis_conn_end(conn, "worker is shutting down");
        return;
    }

    conn->now = ngx_redis_conn_clock();

    /* a timer may fire before what has arrived in time is read */

    if (ngx_redis_conn_read(conn) != NGX_OK) {
        return;
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_redis_conn_fail(conn, NGX_REDIS_INTERNAL, 0, "read event failed");
        return;
    }

    if (conn->ready) {
        rev->timedout = 0;
        ngx_redis_conn_rest(conn);
        return;
    }

    if (rev->timedout) {
        ngx_redis_conn_fail(conn, NGX_REDIS_TIMEOUT, NGX_ETIMEDOUT,
                            "handshake timed out");
    }
}


/* NGX_OK, or NGX_ERROR: the connection is gone. */

static ngx_int_t
ngx_redis_conn_read(ngx_redis_conn_t *conn)
{
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    b = conn->in;
    c = conn->peer.connection;

    while (c->read->ready) {

        n = c->recv(c, b->start, b->end - b->start);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == 0 || n == NGX_ERROR) {
            ngx_redis_conn_closed(conn);
            return NGX_ERROR;
        }

        conn->heard = 1;

        ngx_redis_reader_feed(conn->reader, b->start, n);

        if (ngx_redis_conn_parse(conn) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* What speaks TLS says nothing to those who do not. */

static void
ngx_redis_conn_closed(ngx_redis_conn_t *conn)
{
    if (ngx_redis_tls_fail(conn) == NGX_OK) {
        return;
    }

    if (!conn->heard && !conn->conf->tls.on) {
        ngx_redis_conn_end(conn, "connection was closed by redis, which has "
                                 "said nothing (does it want tls?)");
        return;
    }

    ngx_redis_conn_end(conn, "connection was closed by redis");
}


static ngx_int_t
ngx_redis_conn_parse(ngx_redis_conn_t *conn)
{
    u_char                    text[NGX_REDIS_ERROR_LEN + 32];
    ngx_int_t                 rc;
    ngx_str_t                 error;
    const ngx_redis_reply_t  *reply;

    for ( ;; ) {
        rc = ngx_redis_reader_next(conn->reader, &reply);

        if (rc == NGX_AGAIN) {
            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            break;
        }

        if (conn->take(conn, reply) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    error.data = (u_char *) ngx_redis_reader_error(conn->reader);
    error.len = ngx_strlen(error.data);

    ngx_sprintf(text, "bad reply: %V%Z", &error);

    ngx_redis_conn_fail(conn, NGX_REDIS_PROTOCOL, 0, (char *) text);

    return NGX_ERROR;
}


static ngx_int_t
ngx_redis_conn_take_reply(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    ngx_uint_t            fault;
    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;

    if (reply->type == NGX_REDIS_ERROR
        && ngx_redis_refusal(&reply->str, &fault)->drop)
    {
        ngx_redis_conn_refused(conn, &reply->str);
        return NGX_ERROR;
    }

    conn->answered = 1;

    q = ngx_queue_head(&conn->sent);
    cmd = ngx_queue_data(q, ngx_redis_command_t, queue);

    if (ngx_queue_empty(&conn->sent) || cmd == conn->writing) {
        ngx_redis_conn_fail(conn, NGX_REDIS_PROTOCOL, 0,
                            "bad reply: nothing was asked");
        return NGX_ERROR;
    }

    ngx_queue_remove(q);
    conn->ncommands--;

    if (cmd->slow) {
        ngx_redis_conn_next_slow(conn);
    }

    if (reply->type != NGX_REDIS_ERROR) {
        conn->told &= NGX_REDIS_LASTING;
    }

    if (conn->down) {
        conn->down = 0;
        ngx_log_error(NGX_LOG_NOTICE, &conn->log, 0, "redis answers again");
    }

    conn->done(conn, cmd, reply);

    if (conn->garbled) {
        ngx_redis_conn_fail(conn, NGX_REDIS_PROTOCOL, 0,
                            "bad reply: not one to what was asked");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Those that were cancelled meanwhile are not worth Redis' time.  Nor are those
 * that have waited too long for their turn: there are more than Redis can do,
 * and a worker that quits would wait for them all.
 */

static void
ngx_redis_conn_next_slow(ngx_redis_conn_t *conn)
{
    int64_t               waited;           /* milliseconds */
    ngx_queue_t          *q;
    ngx_redis_command_t  *cmd;

    conn->slow_out = 0;

    while (!conn->slow_out && !ngx_queue_empty(&conn->slow)) {
        q = ngx_queue_head(&conn->slow);
        ngx_queue_remove(q);

        cmd = ngx_queue_data(q, ngx_redis_command_t, queue);

        waited = (conn->now - cmd->start) / 1000;

        if (cmd->handler == NULL
            || waited >= (int64_t) conn->conf->timeout * NGX_REDIS_SLOW_WAIT)
        {

            if (cmd->handler && ngx_redis_conn_tell(conn, NGX_REDIS_BEHIND)) {
                ngx_log_error(NGX_LOG_ERR, &conn->log, 0,
                              "a slow script waited %L ms for its turn and "
                              "was not sent, commands that wait: %ui",
                              waited, conn->ncommands);
            }

            conn->ncommands--;
            conn->done(conn, cmd, NULL);
            continue;
        }

        conn->slow_out = 1;
        ngx_queue_insert_tail(&conn->waiting, q);

        ngx_post_event(&conn->turn, &ngx_posted_events);
    }
}


/* Sets the clock for the oldest command in flight, or rests. */

static void
ngx_redis_conn_rest(ngx_redis_conn_t *conn)
{
    ngx_queue_t          *q;
    ngx_event_t          *rev;
    int64_t               left;             /* microseconds */
    ngx_redis_command_t  *cmd;

    rev = conn->peer.connection->read;

    if (ngx_queue_empty(&conn->sent)) {

        if (conn->out->pos < conn->out->last) {

            /* what waits behind it would wait without a timer */

            ngx_redis_conn_fail(conn, NGX_REDIS_PROTOCOL, 0,
                                "bad reply: what was asked is not yet sent");
            return;
        }

        if (rev->timer_set) {
            ngx_del_timer(rev);
        }

        if (!ngx_queue_empty(&conn->waiting)) {
            return;
        }

        if (ngx_exiting) {
            ngx_redis_conn_end(conn, "worker is shutting down");
            return;
        }

        conn->peer.connection->idle = 1;
        return;
    }

    q = ngx_queue_head(&conn->sent);
    cmd = ngx_queue_data(q, ngx_redis_command_t, queue);

    left = cmd->start + (int64_t) conn->conf->timeout * 1000 - conn->now;

    if (left <= 0) {
        ngx_redis_conn_fail(conn, NGX_REDIS_TIMEOUT, NGX_ETIMEDOUT,
                            "no reply in time");
        return;
    }

    /* a timer that fires too early for the present head comes here again */

    if (!rev->timer_set) {
        ngx_add_timer(rev, (left + 999) / 1000);
    }
}


/*
 * The other side, or nginx, ends the connection.  With nothing in flight that
 * is nobody's fault; commands that are not yet written get a new one.  But one
 * that never answered is no Redis: what accepts and closes would be asked
 * again without a pause.  And a link that ends is always a loss.
 */

void
ngx_redis_conn_end(ngx_redis_conn_t *conn, const char *reason)
{
    ngx_connection_t  *c;

    c = conn->peer.connection;

    if (!conn->ready
        || conn->listens
        || !ngx_queue_empty(&conn->sent)
        || ((c->close || !conn->answered)
            && !ngx_queue_empty(&conn->waiting)))
    {
        ngx_redis_conn_fail(conn,
                            c->close ? NGX_REDIS_SHUTDOWN : NGX_REDIS_CLOSED,
                            0, reason);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, &conn->log, 0,
                  "%s, with nothing in flight, after %ui commands in "
                  "%ui writes", reason, conn->commands, conn->writes);

    ngx_redis_conn_close(conn);

    if (!ngx_queue_empty(&conn->waiting)) {
        ngx_post_event(&conn->turn, &ngx_posted_events);
    }
}


void
ngx_redis_conn_fail(ngx_redis_conn_t *conn, ngx_redis_fault_e fault,
    ngx_err_t err, const char *reason)
{
    ngx_uint_t  level;

    if (fault == NGX_REDIS_SHUTDOWN) {
        level = NGX_LOG_INFO;

    } else {
        level = (fault == NGX_REDIS_RESET || fault == NGX_REDIS_MOVED
                 || conn->asks)
                ? NGX_LOG_WARN : NGX_LOG_ERR;
        ngx_redis_add(*conn->stats, failures, 1);
    }

    if (ngx_redis_conn_tell(conn, fault)) {
        conn->down = 1;

        if (conn->listens) {
            ngx_log_error(level, &conn->log, err, "%s", reason);

        } else {
            ngx_log_error(level, &conn->log, err, "%s, commands failed: %ui",
                          reason, conn->ncommands);
        }
    }

    conn->naddr++;

    ngx_redis_conn_drop(conn);
}


void
ngx_redis_conn_leave(ngx_redis_conn_t *conn, const char *reason)
{
    if (conn->listens || !ngx_queue_empty(&conn->sent)) {
        ngx_redis_conn_fail(conn, NGX_REDIS_MOVED, 0, reason);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, &conn->log, 0, "%s", reason);

    ngx_redis_conn_close(conn);

    if (!ngx_queue_empty(&conn->waiting)) {
        ngx_post_event(&conn->turn, &ngx_posted_events);
    }
}


/* The handlers of the commands may send again: they find all in order. */

void
ngx_redis_conn_drop(ngx_redis_conn_t *conn)
{
    ngx_queue_t           failed, *q;
    ngx_redis_command_t  *cmd;

    ngx_redis_conn_close(conn);

    conn->lost(conn);

    ngx_queue_init(&failed);

    if (!ngx_queue_empty(&conn->sent)) {
        ngx_queue_add(&failed, &conn->sent);
        ngx_queue_init(&conn->sent);
    }

    if (!ngx_queue_empty(&conn->waiting)) {
        ngx_queue_add(&failed, &conn->waiting);
        ngx_queue_init(&conn->waiting);
    }

    if (!ngx_queue_empty(&conn->slow)) {
        ngx_queue_add(&failed, &conn->slow);
        ngx_queue_init(&conn->slow);
    }

    conn->ncommands = 0;
    conn->slow_out = 0;

    while (!ngx_queue_empty(&failed)) {
        q = ngx_queue_head(&failed);
        ngx_queue_remove(q);

        cmd = ngx_queue_data(q, ngx_redis_command_t, queue);
        conn->done(conn, cmd, NULL);
    }
}


static void
ngx_redis_conn_close(ngx_redis_conn_t *conn)
{
    if (conn->peer.connection) {
        ngx_redis_tls_close(conn);
        ngx_close_connection(conn->peer.connection);
        conn->peer.connection = NULL;
    }

    if (conn->reader) {
        ngx_redis_reader_destroy(conn->reader);
        conn->reader = NULL;
    }

    if (conn->pool) {
        ngx_destroy_pool(conn->pool);
        conn->pool = NULL;
    }

    conn->peer.name = NULL;
    conn->take = NULL;
    conn->writing = NULL;
    conn->log.connection = 0;
    conn->server.len = 0;
    conn->product[0] = '\0';
    conn->opening = 0;
    conn->ready = 0;
    conn->heard = 0;
    conn->answered = 0;
    conn->garbled = 0;

    ngx_redis_conn_acts(conn, NGX_REDIS_CONNECTING);
}
