
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What Sentinels say of the primary.
 *
 *     closed ---ask---> connecting > take_address > take_subscribed > take_news
 *       ^                   |             |               |              |
 *       |                   `--the next---'               |              |
 *       `------ pause <-- all have failed <---------------+---- lost ----'
 *
 * Each worker listens to one Sentinel, which tells when the primary is another
 * one.  It is not trusted for ever: a Sentinel that hangs or is cut off says
 * nothing.  So whenever somebody wants to know, when the primary fails or has
 * lost its replicas, and every ten seconds or so anyhow, it is another one's
 * turn to be asked and listened to.  One that is silent costs a part of the
 * time in which a connection has to be there.
 *
 * What always holds: a round ends with one answer, or with all having failed;
 * the connection listens, so nothing here keeps a worker alive.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_redis_internal.h>


#define NGX_REDIS_SENTINEL_PORT    26379

#define NGX_REDIS_SENTINEL_SOON    1000     /* ms, from one round to ... */
#define NGX_REDIS_SENTINEL_CHECK   10000    /* ... the next, in doubt or not */

/* One that closed sooner was of no use: the next pause is longer. */

#define NGX_REDIS_SENTINEL_LASTED  1000     /* ms */

#define NGX_REDIS_SENTINEL_REASON  256      /* bytes */


struct ngx_redis_sentinel_s {
    ngx_redis_conf_t          *conf;
    ngx_redis_primary_t       *primary;     /* is told */

    ngx_redis_conf_t           own;         /* of connections to Sentinels */
    ngx_redis_conn_t           conn;
    ngx_redis_stats_t         *stats;       /* NULL: they are not counted */

    ngx_redis_place_t         *places;      /* of the Sentinels */
    ngx_uint_t                 n;
    ngx_uint_t                 turn;        /* whose it is, modulo n */
    ngx_uint_t                 left;        /* to be asked in this round */

    ngx_msec_t                 asked;       /* when the last round began */
    ngx_msec_t                 answered;    /* when the last answer came */

    ngx_event_t                next;        /* posted: ask the next one */
    ngx_event_t                timer;       /* of the next round */
    ngx_msec_t                 pause;       /* the last one; 0: all is well */

    unsigned                   asking:1;
    unsigned                   aside:1;     /* we close, and mean to */
    unsigned                   gone:1;      /* the worker exits */
};


static void ngx_redis_sentinel_cleanup(void *data);
static void ngx_redis_sentinel_after(ngx_redis_sentinel_t *sentinel,
    ngx_msec_t after, ngx_uint_t needed);
static void ngx_redis_sentinel_check(ngx_event_t *ev);
static void ngx_redis_sentinel_ask_next(ngx_event_t *ev);
static ngx_int_t ngx_redis_sentinel_greeted(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_sentinel_take_address(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_redis_sentinel_refuses(ngx_redis_conn_t *conn,
    const ngx_str_t *error);
static ngx_int_t ngx_redis_sentinel_take_subscribed(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_redis_sentinel_take_news(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);
static ngx_int_t ngx_redis_sentinel_garbled(ngx_redis_conn_t *conn);
static void ngx_redis_sentinel_lost(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_endpoint_set(ngx_redis_endpoint_t *endpoint,
    const ngx_str_t *host, const ngx_str_t *port);


static const ngx_str_t  ngx_redis_switch = ngx_string("+switch-master");


ngx_redis_sentinel_t *
ngx_redis_sentinel_create(ngx_conf_t *cf, ngx_redis_conf_t *conf,
    ngx_redis_primary_t *primary)
{
    ngx_str_t             *addresses;
    ngx_uint_t             i;
    ngx_pool_cleanup_t    *cln;
    ngx_redis_sentinel_t  *sentinel;

    sentinel = ngx_pcalloc(cf->pool, sizeof(ngx_redis_sentinel_t));
    if (sentinel == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    sentinel->conf = conf;
    sentinel->primary = primary;
    sentinel->n = conf->addresses->nelts;

    sentinel->places = ngx_pcalloc(cf->pool,
                                   sentinel->n * sizeof(ngx_redis_place_t));
    if (sentinel->places == NULL) {
        return NULL;
    }

    addresses = conf->addresses->elts;

    for (i = 0; i < sentinel->n; i++) {
        sentinel->places[i].port = NGX_REDIS_SENTINEL_PORT;

        if (ngx_redis_place_init(cf, &sentinel->places[i], &addresses[i])
            != NGX_OK)
        {
            return NULL;
        }
    }

    ngx_redis_conn_init(&sentinel->conn, &sentinel->own);

    sentinel->conn.greeted = ngx_redis_sentinel_greeted;
    sentinel->conn.lost = ngx_redis_sentinel_lost;
    sentinel->conn.stats = &sentinel->stats;
    sentinel->conn.listens = 1;
    sentinel->conn.asks = 1;
    sentinel->conn.data = sentinel;

    sentinel->next.handler = ngx_redis_sentinel_ask_next;
    sentinel->next.data = sentinel;
    sentinel->next.log = &sentinel->conn.log;

    sentinel->timer.handler = ngx_redis_sentinel_check;
    sentinel->timer.data = sentinel;
    sentinel->timer.log = &sentinel->conn.log;

    cln->handler = ngx_redis_sentinel_cleanup;
    cln->data = sentinel;

    return sentinel;
}


/* As that of the client: frees, and tells nobody. */

static void
ngx_redis_sentinel_cleanup(void *data)
{
    ngx_redis_sentinel_t *sentinel = data;

    ngx_uint_t  i;

    sentinel->gone = 1;

    ngx_redis_conn_drop(&sentinel->conn);
    ngx_redis_tls_forget(&sentinel->conn);

    for (i = 0; i < sentinel->n; i++) {
        ngx_redis_place_free(&sentinel->places[i]);
    }

    if (sentinel->timer.timer_set) {
        ngx_del_timer(&sentinel->timer);
    }

    if (sentinel->next.posted) {
        ngx_delete_posted_event(&sentinel->next);
    }

    if (sentinel->conn.turn.posted) {
        ngx_delete_posted_event(&sentinel->conn.turn);
    }
}


/* needed: a worker that quits stays for it. */

static void
ngx_redis_sentinel_after(ngx_redis_sentinel_t *sentinel, ngx_msec_t after,
    ngx_uint_t needed)
{
    if (sentinel->timer.timer_set) {
        ngx_del_timer(&sentinel->timer);
    }

    sentinel->timer.cancelable = !needed;

    ngx_add_timer(&sentinel->timer, after);
}


static void
ngx_redis_sentinel_check(ngx_event_t *ev)
{
    ngx_redis_sentinel_t  *sentinel;

    sentinel = ev->data;

    if (ngx_exiting || ngx_terminate) {
        ngx_redis_primary_unheard(sentinel->primary);
        return;
    }

    ngx_redis_sentinel_ask(sentinel);
}


void
ngx_redis_sentinel_ask_soon(ngx_redis_sentinel_t *sentinel, ngx_uint_t now)
{
    ngx_msec_int_t  after, left;

    if (sentinel->asking || ngx_exiting || ngx_terminate) {
        return;
    }

    if (now) {
        ngx_redis_sentinel_after(sentinel, 1, 1);
        return;
    }

    after = sentinel->asked + NGX_REDIS_SENTINEL_SOON - ngx_current_msec;
    after = ngx_max(after, 1) + ngx_random() % (NGX_REDIS_SENTINEL_SOON / 4);

    if (sentinel->timer.timer_set) {
        left = sentinel->timer.timer.key - ngx_current_msec;

        if (left <= NGX_REDIS_SENTINEL_SOON + NGX_REDIS_SENTINEL_SOON / 4) {
            return;
        }
    }

    ngx_redis_sentinel_after(sentinel, after, 0);
}


/* A round: one after the other, until one answers. */

void
ngx_redis_sentinel_ask(ngx_redis_sentinel_t *sentinel)
{
    if (sentinel->asking) {
        return;
    }

    if (sentinel->conn.log.data == NULL) {

        /* the first one of this worker: not all begin with the same */

        ngx_redis_conn_log(&sentinel->conn);
        sentinel->turn = ngx_random() % sentinel->n;
    }

    if (sentinel->timer.timer_set) {
        ngx_del_timer(&sentinel->timer);
    }

    sentinel->aside = 1;
    ngx_redis_conn_drop(&sentinel->conn);
    sentinel->aside = 0;

    sentinel->asking = 1;
    sentinel->left = sentinel->n;
    sentinel->asked = ngx_current_msec;

    ngx_post_event(&sentinel->next, &ngx_posted_events);
}


/* What the configuration says of Redis is true of Sentinels, but for this. */

static void
ngx_redis_sentinel_ask_next(ngx_event_t *ev)
{
    ngx_str_t             *addresses;
    ngx_uint_t             i;
    ngx_redis_conf_t      *own;
    ngx_redis_sentinel_t  *sentinel;

    sentinel = ev->data;
    own = &sentinel->own;
    addresses = sentinel->conf->addresses->elts;

    i = sentinel->turn++ % sentinel->n;
    sentinel->left--;

    *own = *sentinel->conf;

    own->topology = NGX_REDIS_ALONE;
    own->address = addresses[i];
    own->user = own->sentinel.user;
    own->password = own->sentinel.password;
    own->tls.on = own->sentinel.tls;
    own->db = 0;
    own->identify = 0;
    own->connect_timeout = ngx_max(own->connect_timeout / (sentinel->n + 1), 1);

    sentinel->conn.opening = 1;

    ngx_redis_place_open(&sentinel->places[i], &sentinel->conn);
}


/* Both in one write: whatever is not in the answer is told from then on. */

static ngx_int_t
ngx_redis_sentinel_greeted(ngx_redis_conn_t *conn)
{
    u_char                *p;
    size_t                 size;
    ngx_buf_t             *b;
    ngx_str_t              sentinel, get, subscribe;
    const ngx_str_t       *name;

    ngx_str_set(&sentinel, "SENTINEL");
    ngx_str_set(&get, "GET-MASTER-ADDR-BY-NAME");
    ngx_str_set(&subscribe, "SUBSCRIBE");

    b = conn->out;
    name = &((ngx_redis_sentinel_t *) conn->data)->conf->primary;

    size = ngx_redis_command_len(3, sentinel.len + get.len + name->len)
           + ngx_redis_command_len(2, subscribe.len + ngx_redis_switch.len);

    if (size > (size_t) (b->end - b->start)) {
        ngx_redis_conn_fail(conn, NGX_REDIS_INTERNAL, 0,
                            "the primary's name is too long");
        return NGX_ERROR;
    }

    p = ngx_redis_write_array(b->start, 3);
    p = ngx_redis_write_bulk(p, &sentinel);
    p = ngx_redis_write_bulk(p, &get);
    p = ngx_redis_write_bulk(p, name);

    p = ngx_redis_write_array(p, 2);
    p = ngx_redis_write_bulk(p, &subscribe);
    p = ngx_redis_write_bulk(p, &ngx_redis_switch);

    b->pos = b->start;
    b->last = p;

    conn->take = ngx_redis_sentinel_take_address;

    ngx_post_event(&conn->turn, &ngx_posted_events);

    return NGX_OK;
}


static ngx_int_t
ngx_redis_sentinel_take_address(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    u_char                *p, text[NGX_REDIS_SENTINEL_REASON];
    ngx_redis_reply_t     *elts;
    ngx_redis_endpoint_t   endpoint;
    ngx_redis_sentinel_t  *sentinel;

    sentinel = conn->data;
    elts = reply->elts;

    if (reply->type == NGX_REDIS_ERROR) {
        return ngx_redis_sentinel_refuses(conn, &reply->str);
    }

    if (reply->type == NGX_REDIS_NIL) {
        p = ngx_snprintf(text, sizeof(text) - 1,
                         "it knows no primary \"%V\": see \"sentinel=\"",
                         &sentinel->conf->primary);
        *p = '\0';

        ngx_redis_conn_fail(conn, NGX_REDIS_UNKNOWN, 0, (char *) text);
        return NGX_ERROR;
    }

    if (reply->type != NGX_REDIS_ARRAY
        || reply->nelts != 2
        || elts[0].type != NGX_REDIS_STRING
        || elts[1].type != NGX_REDIS_STRING
        || ngx_redis_endpoint_set(&endpoint, &elts[0].str, &elts[1].str)
           != NGX_OK)
    {
        return ngx_redis_sentinel_garbled(conn);
    }

    conn->take = ngx_redis_sentinel_take_subscribed;

    sentinel->asking = 0;
    sentinel->answered = ngx_current_msec;

    ngx_redis_sentinel_after(sentinel, NGX_REDIS_SENTINEL_CHECK
                                       * (75 + ngx_random() % 51) / 100, 0);

    ngx_redis_primary_heard(sentinel->primary, &endpoint, 0, &conn->log);

    return NGX_OK;
}


static ngx_int_t
ngx_redis_sentinel_refuses(ngx_redis_conn_t *conn, const ngx_str_t *error)
{
    if (ngx_redis_says(error, "ERR unknown command")) {
        ngx_redis_conn_fail(conn, NGX_REDIS_UNKNOWN, 0,
                            "it is no Sentinel: is the port right?");

    } else {
        ngx_redis_conn_refused(conn, error);
    }

    return NGX_ERROR;
}


/* Who may not listen has to do with what is asked for now and then. */

static ngx_int_t
ngx_redis_sentinel_take_subscribed(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    size_t                 len;
    u_char                 text[NGX_REDIS_ERROR_LEN];

    if (reply->type == NGX_REDIS_ERROR) {

        if (ngx_redis_conn_tell(conn, NGX_REDIS_UNHEARD)) {
            len = ngx_redis_error_text(&reply->str, text);

            ngx_log_error(NGX_LOG_WARN, &conn->log, 0,
                          "sentinel does not tell when the primary is another "
                          "one, it answered \"%*s\": give its user +subscribe "
                          "and &+switch-master, see ACL SETUSER", len, text);
        }

    } else if (!ngx_redis_is_push(reply, "subscribe")) {
        return ngx_redis_sentinel_garbled(conn);

    } else {
        conn->told &= ~((uint64_t) 1 << NGX_REDIS_UNHEARD);
    }

    ngx_redis_conn_ready(conn);

    conn->take = ngx_redis_sentinel_take_news;
    conn->told &= NGX_REDIS_LASTING;

    if (conn->down) {
        conn->down = 0;
        ngx_log_error(NGX_LOG_NOTICE, &conn->log, 0, "sentinel answers again");
    }

    return NGX_OK;
}


/* name old-host old-port new-host new-port */

static ngx_int_t
ngx_redis_sentinel_take_news(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply)
{
    u_char                *p, *last;
    ngx_str_t              word[5], *text;
    ngx_uint_t             n;
    ngx_redis_endpoint_t   endpoint;
    ngx_redis_sentinel_t  *sentinel;

    sentinel = conn->data;

    if (!ngx_redis_is_push(reply, "message")
        || reply->elts[2].type != NGX_REDIS_STRING)
    {
        return ngx_redis_sentinel_garbled(conn);
    }

    text = &reply->elts[2].str;
    last = text->data + text->len;

    for (n = 0, p = text->data; n < 5; n++) {
        word[n].data = p;

        while (p < last && *p != ' ') {
            p++;
        }

        word[n].len = p - word[n].data;

        if (n < 4 && p++ == last) {
            return ngx_redis_sentinel_garbled(conn);
        }
    }

    if (p < last
        || ngx_redis_endpoint_set(&endpoint, &word[3], &word[4]) != NGX_OK)
    {
        return ngx_redis_sentinel_garbled(conn);
    }

    if (word[0].len == sentinel->conf->primary.len
        && ngx_memcmp(word[0].data, sentinel->conf->primary.data, word[0].len)
           == 0)
    {
        ngx_redis_primary_heard(sentinel->primary, &endpoint, 1, &conn->log);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_redis_sentinel_garbled(ngx_redis_conn_t *conn)
{
    ngx_redis_conn_fail(conn, NGX_REDIS_PROTOCOL, 0,
                        "bad reply: not what a Sentinel tells");

    return NGX_ERROR;
}


static void
ngx_redis_sentinel_lost(ngx_redis_conn_t *conn)
{
    ngx_redis_sentinel_t  *sentinel;

    sentinel = conn->data;

    if (sentinel->gone || sentinel->aside) {
        return;
    }

    /* while nginx closes connections it sends no answer to who waits */

    if (ngx_exiting || ngx_terminate) {
        sentinel->asking = 0;
        ngx_redis_sentinel_after(sentinel, 1, 1);
        return;
    }

    if (sentinel->asking && sentinel->left) {
        ngx_post_event(&sentinel->next, &ngx_posted_events);
        return;
    }

    if (!sentinel->asking
        && ngx_current_msec - sentinel->answered >= NGX_REDIS_SENTINEL_LASTED)
    {
        sentinel->pause = 0;
    }

    ngx_redis_sentinel_after(sentinel, ngx_redis_pause(&sentinel->pause), 0);

    if (sentinel->asking) {
        sentinel->asking = 0;
        ngx_redis_primary_unheard(sentinel->primary);
    }
}


/* NGX_DECLINED: it is none.  In small letters, as a resolver makes names. */

static ngx_int_t
ngx_redis_endpoint_set(ngx_redis_endpoint_t *endpoint, const ngx_str_t *host,
    const ngx_str_t *port)
{
    size_t     i;
    ngx_int_t  n;

    n = ngx_atoi(port->data, port->len);

    if (n < 1 || n > 65535
        || host->len == 0 || host->len > NGX_REDIS_HOST_LEN)
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < host->len; i++) {
        if (host->data[i] <= ' ' || host->data[i] > '~') {
            return NGX_DECLINED;
        }
    }

    ngx_strlow(endpoint->host, host->data, host->len);
    endpoint->len = host->len;
    endpoint->port = (in_port_t) n;

    return NGX_OK;
}
