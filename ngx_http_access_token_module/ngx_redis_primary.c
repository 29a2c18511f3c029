
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Where the primary is, as Sentinels say, and who is to know it.
 *
 * Whoever opens a connection to the primary is told the address: that of an
 * answer that has just come, or of the next one.  Such a place stays on the
 * list; when the primary is another one its connection is left, and it is told
 * that there is no need for a pause.
 *
 * A Sentinel may be the last one to know.  So what one says is no reason to
 * leave a primary that serves well, nor to go back where it was before: the
 * next one has to say so too, or the same one again while nothing is served.
 * It is reason enough where the primary is not there or has no replicas, and
 * when a Sentinel tells of it as news.  What a wrong answer may do is limited
 * elsewhere: a replica is found out by its ROLE, and a primary that is cut off
 * refuses to write.
 *
 * What always holds: who waits for an address is told once, not from inside the
 * call, and only while the connection is being opened.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_redis_internal.h>


#define NGX_REDIS_PRIMARY_FRESH   1000      /* ms: it is not asked for anew */
#define NGX_REDIS_PRIMARY_REASON  256       /* bytes */


struct ngx_redis_primary_s {
    ngx_redis_conf_t          *conf;
    ngx_redis_sentinel_t      *sentinel;

    ngx_queue_t                places;      /* that were or will be told */
    ngx_redis_endpoint_t       endpoint;
    ngx_redis_endpoint_t       before;      /* it was there */
    ngx_redis_endpoint_t       rival;       /* one has told of it, and no two */
    ngx_uint_t                 answers;
    ngx_msec_t                 answered;    /* when the last one came */

    ngx_uint_t                 bare;        /* it has no replicas, it says */
};


static ngx_redis_place_t *ngx_redis_primary_next(
    const ngx_redis_primary_t *primary, const ngx_redis_place_t *place);
static void ngx_redis_primary_tell(ngx_redis_primary_t *primary,
    ngx_redis_place_t *place);
static void ngx_redis_primary_tell_all(ngx_redis_primary_t *primary);
static void ngx_redis_primary_fail_all(ngx_redis_primary_t *primary);
static ngx_uint_t ngx_redis_primary_believes(ngx_redis_primary_t *primary,
    const ngx_redis_endpoint_t *endpoint);
static ngx_uint_t ngx_redis_primary_waits(ngx_redis_primary_t *primary);
static ngx_uint_t ngx_redis_primary_in_use(ngx_redis_primary_t *primary);
static void ngx_redis_primary_confirm(ngx_redis_primary_t *primary);
static void ngx_redis_primary_adopt(ngx_redis_primary_t *primary,
    const ngx_redis_endpoint_t *endpoint, ngx_log_t *log);
static void ngx_redis_primary_move(ngx_redis_place_t *place);
static ngx_uint_t ngx_redis_primary_same(const ngx_redis_endpoint_t *a,
    const ngx_redis_endpoint_t *b);


ngx_redis_primary_t *
ngx_redis_primary_create(ngx_conf_t *cf, ngx_redis_conf_t *conf)
{
    ngx_redis_primary_t  *primary;

    primary = ngx_pcalloc(cf->pool, sizeof(ngx_redis_primary_t));
    if (primary == NULL) {
        return NULL;
    }

    primary->conf = conf;

    ngx_queue_init(&primary->places);

    primary->sentinel = ngx_redis_sentinel_create(cf, conf, primary);
    if (primary->sentinel == NULL) {
        return NULL;
    }

    return primary;
}


/*
 * An answer that has just come will do, but not twice for the same connection:
 * it wants to be opened again because something is wrong there.  A worker that
 * quits has no Sentinel any more, but commands to finish.
 */

void
ngx_redis_primary_open(ngx_redis_place_t *place)
{
    ngx_redis_primary_t  *primary;

    primary = place->primary;

    ngx_redis_primary_follow(place);

    if (ngx_exiting || ngx_terminate) {

        if (primary->endpoint.len == 0) {
            ngx_redis_conn_fail(place->conn, NGX_REDIS_SHUTDOWN, 0,
                                "worker is shutting down");
            return;
        }

        ngx_redis_primary_tell(primary, place);
        return;
    }

    if (primary->endpoint.len
        && place->answer != primary->answers
        && ngx_current_msec - primary->answered < NGX_REDIS_PRIMARY_FRESH)
    {
        ngx_redis_primary_tell(primary, place);
        return;
    }

    place->waits = 1;

    ngx_redis_sentinel_ask(primary->sentinel);
}


void
ngx_redis_primary_follow(ngx_redis_place_t *place)
{
    if (!place->listed) {
        place->listed = 1;
        ngx_queue_insert_tail(&place->primary->places, &place->queue);
    }
}


void
ngx_redis_primary_forget(ngx_redis_place_t *place)
{
    if (place->listed) {
        ngx_queue_remove(&place->queue);
        place->listed = 0;
    }

    place->waits = 0;
}


void
ngx_redis_primary_doubt(ngx_redis_primary_t *primary)
{
    ngx_redis_sentinel_ask_soon(primary->sentinel, 0);
}


/* One that was cut off from its replicas may have been replaced by one. */

void
ngx_redis_primary_refused(ngx_redis_primary_t *primary, const ngx_str_t *error)
{
    if (ngx_redis_says(error, "NOREPLICAS ")) {
        primary->bare = 1;
        ngx_redis_primary_doubt(primary);
    }
}


/* The place on the list after this one; the first one after NULL. */

static ngx_redis_place_t *
ngx_redis_primary_next(const ngx_redis_primary_t *primary,
    const ngx_redis_place_t *place)
{
    ngx_queue_t  *q;

    q = place ? ngx_queue_next(&place->queue)
              : ngx_queue_head(&primary->places);

    return (q == ngx_queue_sentinel(&primary->places))
           ? NULL : ngx_queue_data(q, ngx_redis_place_t, queue);
}


static void
ngx_redis_primary_tell(ngx_redis_primary_t *primary,
    ngx_redis_place_t *place)
{
    ngx_str_t    host;
    ngx_pool_t  *pool;

    place->answer = primary->answers;
    place->waits = 0;

    pool = ngx_create_pool(1024, ngx_cycle->log);

    if (pool) {

        if (place->pool) {
            ngx_destroy_pool(place->pool);
        }

        place->pool = pool;
        place->naddrs = 0;
        ngx_str_null(&place->host);

        host.data = primary->endpoint.host;
        host.len = primary->endpoint.len;

        if (ngx_redis_place_set(place, pool, &host, primary->endpoint.port)
            == NGX_OK)
        {
            ngx_redis_place_find(place);
            return;
        }
    }

    ngx_redis_conn_fail(place->conn, NGX_REDIS_INTERNAL, 0,
                        "no memory for addresses");
}


static void
ngx_redis_primary_tell_all(ngx_redis_primary_t *primary)
{
    ngx_redis_place_t  *place;

    place = NULL;

    while ((place = ngx_redis_primary_next(primary, place)) != NULL) {
        if (place->waits && place->conn->opening) {
            ngx_redis_primary_tell(primary, place);
        }
    }
}


static void
ngx_redis_primary_fail_all(ngx_redis_primary_t *primary)
{
    u_char             *p, text[NGX_REDIS_PRIMARY_REASON];
    ngx_redis_place_t  *place;

    p = ngx_snprintf(text, sizeof(text) - 1,
                     "no sentinel tells where primary \"%V\" is",
                     &primary->conf->primary);
    *p = '\0';

    place = NULL;

    while ((place = ngx_redis_primary_next(primary, place)) != NULL) {
        if (place->waits && place->conn->opening) {
            place->waits = 0;
            ngx_redis_conn_fail(place->conn, NGX_REDIS_UNTOLD, 0,
                                (char *) text);
        }
    }
}


/* --- what Sentinels say ------------------------------------------------ */

void
ngx_redis_primary_heard(ngx_redis_primary_t *primary,
    const ngx_redis_endpoint_t *endpoint, ngx_uint_t news, ngx_log_t *log)
{
    if (ngx_redis_primary_same(endpoint, &primary->endpoint)) {
        ngx_redis_primary_confirm(primary);
        return;
    }

    if (!news && !ngx_redis_primary_believes(primary, endpoint)) {
        primary->rival = *endpoint;

        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "sentinel says that primary \"%V\" is at %*s:%d, and "
                      "another one is asked", &primary->conf->primary,
                      endpoint->len, endpoint->host, (int) endpoint->port);

        ngx_redis_sentinel_ask_soon(primary->sentinel,
                                    ngx_redis_primary_waits(primary));
        return;
    }

    ngx_redis_primary_adopt(primary, endpoint, log);
}


/* Whether one Sentinel will do. */

static ngx_uint_t
ngx_redis_primary_believes(ngx_redis_primary_t *primary,
    const ngx_redis_endpoint_t *endpoint)
{
    if (primary->conf->addresses->nelts == 1
        || ngx_redis_primary_same(endpoint, &primary->rival))
    {
        return 1;
    }

    if (ngx_redis_primary_same(endpoint, &primary->before)) {
        return 0;
    }

    return primary->bare || !ngx_redis_primary_in_use(primary);
}


static ngx_uint_t
ngx_redis_primary_waits(ngx_redis_primary_t *primary)
{
    ngx_redis_place_t  *place;

    place = NULL;

    while ((place = ngx_redis_primary_next(primary, place)) != NULL) {
        if (place->waits) {
            return 1;
        }
    }

    return 0;
}


void
ngx_redis_primary_unheard(ngx_redis_primary_t *primary)
{
    if ((ngx_exiting || ngx_terminate) && primary->endpoint.len) {
        ngx_redis_primary_tell_all(primary);
        return;
    }

    ngx_redis_primary_fail_all(primary);
}


/* Whether it answers commands. */

static ngx_uint_t
ngx_redis_primary_in_use(ngx_redis_primary_t *primary)
{
    ngx_redis_place_t  *place;

    place = NULL;

    while ((place = ngx_redis_primary_next(primary, place)) != NULL) {
        if (place->conn->ready && !place->conn->listens) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_redis_primary_confirm(ngx_redis_primary_t *primary)
{
    primary->answers++;
    primary->answered = ngx_current_msec;
    primary->bare = 0;

    if (ngx_redis_primary_in_use(primary)) {
        primary->rival.len = 0;
    }

    ngx_redis_primary_tell_all(primary);
}


static void
ngx_redis_primary_adopt(ngx_redis_primary_t *primary,
    const ngx_redis_endpoint_t *endpoint, ngx_log_t *log)
{
    ngx_redis_place_t     *place;
    ngx_redis_endpoint_t  *was;

    was = &primary->endpoint;

    if (was->len == 0) {
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "sentinel says that primary \"%V\" is at %*s:%d",
                      &primary->conf->primary, endpoint->len, endpoint->host,
                      (int) endpoint->port);
    } else {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "sentinel says that primary \"%V\" is at %*s:%d, "
                      "was at %*s:%d", &primary->conf->primary,
                      endpoint->len, endpoint->host, (int) endpoint->port,
                      was->len, was->host, (int) was->port);
    }

    primary->before = *was;
    primary->rival.len = 0;
    *was = *endpoint;

    place = NULL;

    while ((place = ngx_redis_primary_next(primary, place)) != NULL) {
        ngx_redis_primary_move(place);
    }

    ngx_redis_primary_confirm(primary);
}


static void
ngx_redis_primary_move(ngx_redis_place_t *place)
{
    ngx_redis_conn_t  *conn;

    conn = place->conn;

    if (!place->waits && (conn->opening || conn->ready)) {
        ngx_redis_place_cancel(place);
        ngx_redis_conn_leave(conn, "the primary is elsewhere now");
    }

    if (conn->moved) {
        conn->moved(conn);
    }
}


static ngx_uint_t
ngx_redis_primary_same(const ngx_redis_endpoint_t *a,
    const ngx_redis_endpoint_t *b)
{
    return a->port == b->port
           && a->len == b->len
           && ngx_memcmp(a->host, b->host, a->len) == 0;
}
