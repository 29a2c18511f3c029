
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A primary for the unit tests, with Sentinels that the test plays, and two
 * who want to know where it is: a connection for commands, and that of a link.
 */


#ifndef _SENTINELS_H_INCLUDED_
#define _SENTINELS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "unit.h"


#define NOW  1000000


#define word(s)    { NGX_REDIS_STRING, ngx_string(s), 0, 0, NULL }
#define number(n)  { NGX_REDIS_INTEGER, ngx_null_string, n, 0, NULL }
#define nil        { NGX_REDIS_NIL, ngx_null_string, 0, 0, NULL }
#define array(n, elts)                                                        \
    { NGX_REDIS_ARRAY, ngx_null_string, 0, n, elts }


static ngx_redis_conf_t      conf;
static ngx_redis_primary_t  *primary;

static ngx_redis_conn_t      commands;
static ngx_redis_conn_t      link_conn;
static ngx_redis_place_t     place;         /* of the one and the other */
static ngx_redis_place_t     link_place;

static ngx_uint_t            losses;        /* connections that have failed */
static ngx_uint_t            moves;         /* owners who heard of a move */


static ngx_inline void
lost(ngx_redis_conn_t *conn)
{
    losses++;
}


static ngx_inline void
moved(ngx_redis_conn_t *conn)
{
    moves++;
}


/* So many Sentinels, and nobody knows anything. */

static ngx_inline void
create(ngx_uint_t sentinels)
{
    static ngx_conf_t   cf;
    static ngx_array_t  addresses;
    static ngx_str_t    names[3];

    if (cf.pool) {
        ngx_redis_conn_drop(unit_conn);
        ngx_redis_place_free(&place);
        ngx_redis_place_free(&link_place);
        ngx_destroy_pool(cf.pool);

        tap_ok(unit_timer() == NULL, "a timer is left behind");
        tap_ok(ngx_queue_empty(&ngx_posted_events),
               "an event is left behind");
    }

    cf.pool = ngx_create_pool(1024, ngx_cycle->log);

    addresses.elts = names;
    addresses.nelts = sentinels;
    conf.addresses = &addresses;
    conf.topology = NGX_REDIS_SENTINEL;
    conf.connect_timeout = 1000;
    ngx_str_set(&conf.primary, "mymaster");
    ngx_str_set(&conf.password, "redis");
    ngx_str_set(&conf.sentinel.password, "no");

    primary = ngx_redis_primary_create(&cf, &conf);
    tap_ok(primary != NULL, "a primary");

    ngx_memzero(&commands, sizeof(ngx_redis_conn_t));
    commands.lost = lost;
    commands.moved = moved;
    link_conn = commands;
    link_conn.listens = 1;

    ngx_memzero(&place, sizeof(ngx_redis_place_t));
    place.primary = primary;
    link_place = place;
    place.conn = &commands;
    link_place.conn = &link_conn;

    ngx_current_msec = NOW;
    unit_opened = 0;
    unit_told = 0;
    unit_left = 0;
    unit_found = NULL;
    unit_fault = NGX_REDIS_INTERNAL;
    losses = 0;
    moves = 0;
}


/* Its connection is to be opened. */

static ngx_inline void
waits(ngx_redis_place_t *place)
{
    unit_found = NULL;
    place->conn->opening = 1;
    ngx_redis_primary_open(place);
}


/* The next Sentinel is there; what it answers, confirms, and tells then. */

static ngx_inline void
connected(void)
{
    unit_run_posted();
    tap_is(unit_conn->greeted(unit_conn), NGX_OK, "greeted");
}


static ngx_inline ngx_int_t
says(const char *host, const char *port)
{
    ngx_redis_reply_t  elts[] = { word(""), word("") };
    ngx_redis_reply_t  reply = array(2, elts);

    elts[0].str.data = (u_char *) host;
    elts[0].str.len = ngx_strlen(host);
    elts[1].str.data = (u_char *) port;
    elts[1].str.len = ngx_strlen(port);

    return unit_conn->take(unit_conn, &reply);
}


static ngx_inline ngx_int_t
subscribed(void)
{
    ngx_redis_reply_t  elts[] = {
        word("subscribe"), word("+switch-master"), number(1)
    };
    ngx_redis_reply_t  reply = array(3, elts);

    return unit_conn->take(unit_conn, &reply);
}


static ngx_inline ngx_int_t
tells(const char *text)
{
    ngx_redis_reply_t  elts[] = {
        word("message"), word("+switch-master"), word("")
    };
    ngx_redis_reply_t  reply = array(3, elts);

    elts[2].str.data = (u_char *) text;
    elts[2].str.len = ngx_strlen(text);

    return unit_conn->take(unit_conn, &reply);
}


static ngx_inline void
is_told(ngx_redis_place_t *place, const char *host)
{
    tap_is(place->waits, 0, "it does not wait");
    tap_ok(unit_is(&place->host, host), "told \"%.*s\", not \"%s\"",
           (int) place->host.len, place->host.data, host);
}


/* Commands and link lead to that host; a Sentinel tells more. */

static ngx_inline void
knows(const char *host)
{
    waits(&place);
    connected();
    says(host, "6379");
    subscribed();
    is_told(&place, host);

    link_conn.opening = 1;
    ngx_redis_primary_follow(&link_place);
}


#endif /* _SENTINELS_H_INCLUDED_ */
