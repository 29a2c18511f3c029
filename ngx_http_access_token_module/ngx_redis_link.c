
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The link: a connection on which nobody asks and Redis talks.
 *
 *     pause > connect > take_id > take_tracking > take_subscribed > take_news
 *       ^        |         |            |   ^           |              |
 *       |        |         `--refused---'---'           |              |
 *       `--------+--------------- lost <----------------+--------------'
 *
 * It goes where the commands go: to the address of their connection if there is
 * one, else to the first that answers.  It is one of ngx_redis_conn.c with no
 * command; nginx may close it whenever a worker quits, and its timers are
 * cancelable.
 *
 * What always holds: up and down alternate; what is said to the caller is said
 * between them.  A reset is carried out by a posted event, and until then what
 * comes is dropped: it may be called from within a handler, while the reply
 * that is being handled lies in the reader.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_redis_internal.h>


/* A link that broke sooner was of no use: the next pause is longer. */

#define NGX_REDIS_LINK_LASTED  1000         /* ms */

#define NGX_REDIS_LINK_REASON  128


struct ngx_redis_link_s {
    ngx_redis_node_t       *node;
    ngx_redis_link_conf_t  *conf;
    ngx_redis_conn_t        conn;
    ngx_redis_place_t       place;

    ngx_addr_t              same;           /* where the commands go */
    ngx_sockaddr_t          sockaddr;
    u_char                  name[NGX_SOCKADDR_STRLEN];

    ngx_event_t             timer;          /* of the pause */
    ngx_msec_t              pause;          /* the last one; 0: all is well */
    ngx_msec_t              since;          /* it is up */

    ngx_event_t             doubt;          /* posted by a reset */
    u_char                  reason[NGX_REDIS_LINK_REASON];  /* empty: none */

    ngx_uint_t              due;            /* channels to be confirmed */

    unsigned                up:1;
    unsigned                tracked:1;      /* it tells of keys */
    unsigned                gone:1;         /* for good */
};


static void ngx_redis_link_connect(ngx_event_t *ev);
static ngx_addr_t *ngx_redis_link_same(ngx_redis_link_t *link);
static ngx_int_t ngx_redis_link_greeted(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_link_ask(ngx_redis_conn_t *conn,
    const ngx_str_t *argv, ngx_uint_t argc, ngx_redis_conn_take_pt take);
static ngx_int_t ngx_redis_link_take_id(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_redis_link_take_tracking(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_redis_link_untracked(ngx_redis_conn_t *conn,
    const ngx_str_t *error);
static ngx_int_t ngx_redis_link_subscribe(ngx_redis_conn_t *conn,
    ngx_uint_t tracked);
static ngx_int_t ngx_redis_link_take_subscribed(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static void ngx_redis_link_up(ngx_redis_link_t *link);
static ngx_int_t ngx_redis_link_take_news(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_redis_link_take_keys(ngx_redis_link_t *link,
    const ngx_redis_reply_t *keys);
static ngx_int_t ngx_redis_link_garbled(ngx_redis_conn_t *conn);
static void ngx_redis_link_distrust(ngx_event_t *ev);
static void ngx_redis_link_lost(ngx_redis_conn_t *conn);
static void ngx_redis_link_moved(ngx_redis_conn_t *conn);


static const ngx_str_t  ngx_redis_invalidate =
    ngx_string("__redis__:invalidate");


ngx_redis_link_t *
ngx_redis_link_create(ngx_redis_node_t *node, ngx_pool_t *pool)
{
    ngx_redis_t       *redis;
    ngx_redis_link_t  *link;

    redis = node->redis;

    link = ngx_pcalloc(pool, sizeof(ngx_redis_link_t));
    if (link == NULL) {
        return NULL;
    }

    link->node = node;
    link->conf = redis->listener;
    link->place = node->place;

    ngx_redis_conn_init(&link->conn, redis->conf);

    link->conn.greeted = ngx_redis_link_greeted;
    link->conn.lost = ngx_redis_link_lost;
    link->conn.moved = ngx_redis_link_moved;
    link->conn.stats = &redis->stats;
    link->conn.listens = 1;
    link->conn.data = link;

    link->timer.handler = ngx_redis_link_connect;
    link->timer.data = link;
    link->timer.log = &link->conn.log;
    link->timer.cancelable = 1;

    link->doubt.handler = ngx_redis_link_distrust;
    link->doubt.data = link;
    link->doubt.log = &link->conn.log;

    return link;
}


/* The caller is told, unless the worker exits. */

void
ngx_redis_link_close(ngx_redis_link_t *link)
{
    link->gone = 1;

    ngx_redis_conn_drop(&link->conn);
    ngx_redis_tls_forget(&link->conn);
    ngx_redis_place_free(&link->place);

    if (link->timer.timer_set) {
        ngx_del_timer(&link->timer);
    }

    if (link->doubt.posted) {
        ngx_delete_posted_event(&link->doubt);
    }

    if (link->conn.turn.posted) {
        ngx_delete_posted_event(&link->conn.turn);
    }

    if (link->up) {
        link->up = 0;

        if (!link->node->redis->gone) {
            link->conf->down(link->conf->data, link->node->number);
        }
    }
}


void
ngx_redis_link_start(ngx_redis_link_t *link)
{
    ngx_redis_conn_log(&link->conn);

    ngx_add_timer(&link->timer, 1);
}


static void
ngx_redis_link_connect(ngx_event_t *ev)
{
    ngx_addr_t        *addr;
    ngx_redis_link_t  *link;

    link = ev->data;

    if (ngx_exiting || ngx_terminate) {
        return;
    }

    link->conn.opening = 1;

    addr = ngx_redis_link_same(link);

    if (addr) {
        ngx_redis_place_follow(&link->place, &link->conn);
        link->conn.host = link->node->conn.host;
        ngx_redis_conn_open(&link->conn, addr, 1);
        return;
    }

    ngx_redis_place_open(&link->place, &link->conn);
}


/* A copy: the client's goes when it resolves the name anew. */

static ngx_addr_t *
ngx_redis_link_same(ngx_redis_link_t *link)
{
    ngx_redis_conn_t       *conn;
    ngx_peer_connection_t  *peer;

    conn = &link->node->conn;
    peer = &conn->peer;

    if (!conn->ready) {
        return NULL;
    }

    link->same.sockaddr = &link->sockaddr.sockaddr;
    link->same.socklen = ngx_min(peer->socklen, sizeof(ngx_sockaddr_t));
    ngx_memcpy(&link->sockaddr, peer->sockaddr, link->same.socklen);

    link->same.name.data = link->name;
    link->same.name.len = ngx_min(peer->name->len, NGX_SOCKADDR_STRLEN);
    ngx_memcpy(link->name, peer->name->data, link->same.name.len);

    return &link->same;
}


static ngx_int_t
ngx_redis_link_greeted(ngx_redis_conn_t *conn)
{
    static const ngx_str_t  argv[] = {
        ngx_string("CLIENT"),
        ngx_string("ID")
    };

    return ngx_redis_link_ask(conn, argv, 2, ngx_redis_link_take_id);
}


/* What was asked before has been answered: all of out is free. */

static ngx_int_t
ngx_redis_link_ask(ngx_redis_conn_t *conn, const ngx_str_t *argv,
    ngx_uint_t argc, ngx_redis_conn_take_pt take)
{
    size_t       size;
    u_char      *p;
    ngx_buf_t   *b;
    ngx_uint_t   i;

    b = conn->out;
    size = 0;

    for (i = 0; i < argc; i++) {
        size += argv[i].len;
    }

    if (ngx_redis_command_len(argc, size) > (size_t) (b->end - b->start)) {
        ngx_redis_conn_fail(conn, NGX_REDIS_INTERNAL, 0,
                            "the channels' names are too long");
        return NGX_ERROR;
    }

    p = ngx_redis_write_array(b->start, argc);

    for (i = 0; i < argc; i++) {
        p = ngx_redis_write_bulk(p, &argv[i]);
    }

    b->pos = b->start;
    b->last = p;

    conn->take = take;

    ngx_post_event(&conn->turn, &ngx_posted_events);

    return NGX_OK;
}


static ngx_int_t
ngx_redis_link_take_id(ngx_redis_conn_t *conn, const ngx_redis_reply_t *reply)
{
    u_char             id[NGX_INT64_LEN];
    ngx_str_t          argv[8];
    ngx_redis_link_t  *link;

    link = conn->data;

    if (reply->type == NGX_REDIS_ERROR) {
        return ngx_redis_link_untracked(conn, &reply->str);
    }

    if (reply->type != NGX_REDIS_INTEGER) {
        return ngx_redis_link_garbled(conn);
    }

    ngx_str_set(&argv[0], "CLIENT");
    ngx_str_set(&argv[1], "TRACKING");
    ngx_str_set(&argv[2], "ON");
    ngx_str_set(&argv[3], "REDIRECT");
    ngx_str_set(&argv[5], "BCAST");
    ngx_str_set(&argv[6], "PREFIX");

    argv[4].data = id;
    argv[4].len = ngx_sprintf(id, "%L", reply->integer) - id;
    argv[7] = link->conf->prefix;

    return ngx_redis_link_ask(conn, argv, 8, ngx_redis_link_take_tracking);
}


static ngx_int_t
ngx_redis_link_take_tracking(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    if (reply->type == NGX_REDIS_ERROR) {
        return ngx_redis_link_untracked(conn, &reply->str);
    }

    if (reply->type != NGX_REDIS_STATUS) {
        return ngx_redis_link_garbled(conn);
    }

    conn->told &= ~((uint64_t) 1 << NGX_REDIS_UNTRACKED);

    return ngx_redis_link_subscribe(conn, 1);
}


static ngx_int_t
ngx_redis_link_untracked(ngx_redis_conn_t *conn, const ngx_str_t *error)
{
    size_t      len;
    u_char      text[NGX_REDIS_ERROR_LEN];
    ngx_uint_t  fault;

    if (ngx_redis_refusal(error, &fault)->drop) {
        ngx_redis_conn_refused(conn, error);
        return NGX_ERROR;
    }

    ngx_redis_add(*conn->stats, lacks[NGX_REDIS_TRACKING], 1);

    if (ngx_redis_conn_tell(conn, NGX_REDIS_UNTRACKED)) {
        len = ngx_redis_error_text(error, text);

        ngx_log_error(NGX_LOG_WARN, &conn->log, 0,
                      "redis tracks no keys, it answered \"%*s\", and only "
                      "its channels tell of changes: give its user "
                      "+client|id and +client|tracking, see ACL SETUSER; "
                      "is it Redis 6.2 or later?", len, text);
    }

    return ngx_redis_link_subscribe(conn, 0);
}


static ngx_int_t
ngx_redis_link_subscribe(ngx_redis_conn_t *conn, ngx_uint_t tracked)
{
    ngx_str_t         *argv;
    ngx_uint_t         i, n;
    ngx_redis_link_t  *link;

    link = conn->data;

    argv = ngx_palloc(conn->pool,
                      (link->conf->nchannels + 2) * sizeof(ngx_str_t));
    if (argv == NULL) {
        ngx_redis_conn_fail(conn, NGX_REDIS_INTERNAL, 0,
                            "no memory for a connection");
        return NGX_ERROR;
    }

    n = 0;
    ngx_str_set(&argv[n], "SUBSCRIBE");
    n++;

    if (tracked) {
        argv[n++] = ngx_redis_invalidate;
    }

    for (i = 0; i < link->conf->nchannels; i++) {
        argv[n++] = link->conf->channels[i];
    }

    link->due = n - 1;
    link->tracked = tracked;

    return ngx_redis_link_ask(conn, argv, n, ngx_redis_link_take_subscribed);
}


/* News of a channel that is confirmed before the others come too early. */

static ngx_int_t
ngx_redis_link_take_subscribed(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    ngx_redis_link_t  *link;

    link = conn->data;

    if (reply->type == NGX_REDIS_ERROR) {
        ngx_redis_conn_refused(conn, &reply->str);
        return NGX_ERROR;
    }

    if (ngx_redis_is_push(reply, "message")) {
        return NGX_OK;
    }

    if (!ngx_redis_is_push(reply, "subscribe")) {
        return ngx_redis_link_garbled(conn);
    }

    if (--link->due == 0) {
        ngx_redis_link_up(link);
    }

    return NGX_OK;
}


static void
ngx_redis_link_up(ngx_redis_link_t *link)
{
    ngx_redis_conn_t  *conn;

    conn = &link->conn;

    ngx_redis_conn_ready(conn);

    conn->take = ngx_redis_link_take_news;
    conn->told &= NGX_REDIS_LASTING;

    if (conn->down) {
        conn->down = 0;
        ngx_log_error(NGX_LOG_NOTICE, &conn->log, 0,
                      "redis tells of changes again");
    }

    ngx_log_error(NGX_LOG_INFO, &conn->log, 0, "%s tells of changes, %s",
                  conn->product[0] ? (char *) conn->product : "redis",
                  link->tracked ? "by key tracking and by channels"
                                : "by channels alone");

    link->since = ngx_current_msec;
    link->up = 1;

    link->conf->up(link->conf->data, link->node->number);
}


static ngx_int_t
ngx_redis_link_take_news(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    ngx_redis_link_t   *link;
    ngx_redis_reply_t  *elts;

    link = conn->data;
    elts = reply->elts;

    if (link->reason[0]) {
        return NGX_OK;
    }

    if (!ngx_redis_is_push(reply, "message")) {
        return ngx_redis_link_garbled(conn);
    }

    if (elts[1].str.len == ngx_redis_invalidate.len
        && ngx_memcmp(elts[1].str.data, ngx_redis_invalidate.data,
                      ngx_redis_invalidate.len)
           == 0)
    {
        return ngx_redis_link_take_keys(link, &elts[2]);
    }

    if (elts[2].type != NGX_REDIS_STRING) {
        return ngx_redis_link_garbled(conn);
    }

    link->conf->message(link->conf->data, link->node->number,
                        &elts[1].str, &elts[2].str);

    return NGX_OK;
}


/* Nil: all keys are gone, by FLUSHALL or FLUSHDB. */

static ngx_int_t
ngx_redis_link_take_keys(ngx_redis_link_t *link, const ngx_redis_reply_t *keys)
{
    ngx_uint_t          i;
    ngx_redis_reply_t  *key;

    if (keys->type == NGX_REDIS_NIL) {
        link->conf->changed(link->conf->data, link->node->number, NULL);
        return NGX_OK;
    }

    if (keys->type != NGX_REDIS_ARRAY) {
        return ngx_redis_link_garbled(&link->conn);
    }

    for (i = 0; i < keys->nelts && !link->reason[0]; i++) {
        key = &keys->elts[i];

        if (key->type != NGX_REDIS_STRING) {
            return ngx_redis_link_garbled(&link->conn);
        }

        link->conf->changed(link->conf->data, link->node->number, &key->str);
    }

    return NGX_OK;
}


ngx_uint_t
ngx_redis_is_push(const ngx_redis_reply_t *reply, const char *kind)
{
    ngx_redis_reply_t  *elts;

    if (reply->type != NGX_REDIS_ARRAY || reply->nelts != 3) {
        return 0;
    }

    elts = reply->elts;

    return elts[0].type == NGX_REDIS_STRING
           && elts[1].type == NGX_REDIS_STRING
           && elts[0].str.len == ngx_strlen(kind)
           && ngx_memcmp(elts[0].str.data, kind, elts[0].str.len) == 0;
}


static ngx_int_t
ngx_redis_link_garbled(ngx_redis_conn_t *conn)
{
    ngx_redis_conn_fail(conn, NGX_REDIS_PROTOCOL, 0,
                        "bad reply: not what a subscriber is told");

    return NGX_ERROR;
}


void
ngx_redis_link_reset(ngx_redis_t *redis, ngx_uint_t node, const char *reason)
{
    ngx_redis_link_t  *link;
    ngx_redis_node_t  *at;

    at = ngx_redis_at(redis, node);
    link = at ? at->link : NULL;

    if (link == NULL || !link->up || link->reason[0]) {
        return;
    }

    ngx_cpystrn(link->reason, (u_char *) reason, sizeof(link->reason));

    ngx_post_event(&link->doubt, &ngx_posted_events);
}


static void
ngx_redis_link_distrust(ngx_event_t *ev)
{
    ngx_redis_link_t  *link;

    link = ev->data;

    ngx_redis_conn_fail(&link->conn, NGX_REDIS_RESET, 0,
                        (char *) link->reason);
}


static void
ngx_redis_link_lost(ngx_redis_conn_t *conn)
{
    ngx_uint_t         up;
    ngx_redis_link_t  *link;

    link = conn->data;

    if (link->gone) {
        return;
    }

    up = link->up;

    link->up = 0;
    link->reason[0] = '\0';

    if (link->doubt.posted) {
        ngx_delete_posted_event(&link->doubt);
    }

    if (up && ngx_current_msec - link->since >= NGX_REDIS_LINK_LASTED) {
        link->pause = 0;
    }

    if (!ngx_exiting && !ngx_terminate) {
        ngx_add_timer(&link->timer, ngx_redis_pause(&link->pause));

        if (link->node->redis->cluster) {
            ngx_redis_cluster_doubt(link->node->redis->cluster);
        }
    }

    ngx_redis_place_doubt(&link->place);

    if (up) {
        link->conf->down(link->conf->data, link->node->number);
    }
}


/* It need not wait for the end of the pause. */

static void
ngx_redis_link_moved(ngx_redis_conn_t *conn)
{
    ngx_redis_link_t  *link;

    link = conn->data;

    link->pause = 0;

    if (link->timer.timer_set) {
        ngx_del_timer(&link->timer);
        ngx_add_timer(&link->timer, 1);
    }
}


ngx_uint_t
ngx_redis_link_tracks(const ngx_redis_t *redis, ngx_uint_t node)
{
    ngx_redis_node_t  *at;

    at = ngx_redis_at(redis, node);

    return at && at->link && at->link->tracked;
}


const ngx_str_t *
ngx_redis_link_server(const ngx_redis_t *redis, ngx_uint_t node)
{
    ngx_redis_node_t  *at;

    static const ngx_str_t  nobody = ngx_null_string;

    at = ngx_redis_at(redis, node);

    return (at && at->link && at->link->up) ? &at->link->conn.server : &nobody;
}
