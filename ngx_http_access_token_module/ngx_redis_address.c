
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * From the configured address to those that a connection may try.  At each
 * connect a name is resolved anew where there is a resolver, without blocking;
 * if that fails, the addresses known so far are used.
 *
 * A place belongs to one connection, whose address stays where it is until the
 * next ngx_redis_place_open().  Where there are Sentinels, these are asked
 * before, and may tell a name too.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_redis_internal.h>


#define NGX_REDIS_PORT  6379


static ngx_uint_t ngx_redis_is_name(ngx_url_t *u);
static ngx_int_t ngx_redis_resolve(ngx_redis_place_t *place);
static void ngx_redis_resolved(ngx_resolver_ctx_t *ctx);
static ngx_int_t ngx_redis_take_addresses(ngx_redis_place_t *place,
    ngx_resolver_ctx_t *ctx);


ngx_int_t
ngx_redis_place_init(ngx_conf_t *cf, ngx_redis_place_t *place,
    const ngx_str_t *address)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *address;
    u.default_port = place->port ? place->port : NGX_REDIS_PORT;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in redis address \"%V\"",
                           u.err ? u.err : "no memory", &u.url);
        return NGX_ERROR;
    }

    place->port = u.port;
    place->addrs = u.addrs;
    place->naddrs = u.naddrs;

    if (ngx_redis_is_name(&u)) {
        place->host = u.host;
    }

    return NGX_OK;
}


ngx_int_t
ngx_redis_place_set(ngx_redis_place_t *place, ngx_pool_t *pool,
    const ngx_str_t *host, in_port_t port)
{
    u_char      *p;
    ngx_int_t    rc;
    ngx_addr_t  *addr;

    addr = ngx_pcalloc(pool, sizeof(ngx_addr_t));
    if (addr == NULL) {
        return NGX_ERROR;
    }

    place->port = port;

    rc = ngx_parse_addr(pool, addr, host->data, host->len);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        place->host = *host;
        return NGX_OK;
    }

    ngx_inet_set_port(addr->sockaddr, port);

    p = ngx_pnalloc(pool, NGX_SOCKADDR_STRLEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    addr->name.data = p;
    addr->name.len = ngx_sock_ntop(addr->sockaddr, addr->socklen, p,
                                   NGX_SOCKADDR_STRLEN, 1);

    place->addrs = addr;
    place->naddrs = 1;

    return NGX_OK;
}


static ngx_uint_t
ngx_redis_is_name(ngx_url_t *u)
{
    if (u->family == AF_UNIX || u->host.data[0] == '[') {
        return 0;
    }

    return ngx_inet_addr(u->host.data, u->host.len) == INADDR_NONE;
}


void
ngx_redis_place_open(ngx_redis_place_t *place, ngx_redis_conn_t *conn)
{
    place->conn = conn;

    if (place->primary) {
        ngx_redis_primary_open(place);
        return;
    }

    ngx_redis_place_find(place);
}


void
ngx_redis_place_find(ngx_redis_place_t *place)
{
    ngx_redis_conn_t  *conn;

    conn = place->conn;
    conn->host = place->host;

    if (ngx_redis_resolve(place) == NGX_AGAIN) {
        return;
    }

    if (place->naddrs == 0) {
        ngx_redis_conn_fail(conn, NGX_REDIS_RESOLVE, 0,
                            "redis tells a name, and not an address: add a "
                            "\"resolver\" to the http block");
        return;
    }

    ngx_redis_conn_open(conn, place->addrs, place->naddrs);
}


void
ngx_redis_place_cancel(ngx_redis_place_t *place)
{
    if (place->ctx) {
        ngx_resolve_name_done(place->ctx);
        place->ctx = NULL;
    }
}


void
ngx_redis_place_follow(ngx_redis_place_t *place, ngx_redis_conn_t *conn)
{
    place->conn = conn;

    if (place->primary) {
        ngx_redis_primary_follow(place);
    }
}


void
ngx_redis_place_doubt(ngx_redis_place_t *place)
{
    if (place->primary) {
        ngx_redis_primary_doubt(place->primary);
    }
}


void
ngx_redis_place_free(ngx_redis_place_t *place)
{
    ngx_redis_place_cancel(place);

    if (place->primary) {
        ngx_redis_primary_forget(place);
    }

    if (place->pool) {
        ngx_destroy_pool(place->pool);
        place->pool = NULL;
    }
}


/* NGX_AGAIN: ngx_redis_resolved() opens, or has; NGX_DECLINED: no need to. */

static ngx_int_t
ngx_redis_resolve(ngx_redis_place_t *place)
{
    ngx_redis_conf_t    *conf;
    ngx_resolver_ctx_t  *ctx, temp;

    conf = place->conn->conf;

    if (place->host.len == 0 || conf->resolver == NULL) {
        return NGX_DECLINED;
    }

    temp.name = place->host;

    ctx = ngx_resolve_start(conf->resolver, &temp);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_DECLINED;
    }

    ctx->name = place->host;
    ctx->handler = ngx_redis_resolved;
    ctx->data = place;
    ctx->cancelable = place->conn->listens && !place->conn->asks;
    ctx->timeout = ngx_min(conf->resolver_timeout, conf->connect_timeout);

    place->ctx = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        place->ctx = NULL;
        return NGX_DECLINED;
    }

    return NGX_AGAIN;
}


static void
ngx_redis_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_redis_conn_t   *conn;
    ngx_redis_place_t  *place;

    place = ctx->data;
    place->ctx = NULL;

    conn = place->conn;

    if (ctx->state && place->naddrs == 0) {
        ngx_resolve_name_done(ctx);
        ngx_redis_conn_fail(conn, NGX_REDIS_RESOLVE, 0,
                            "the name that redis tells could not be resolved");
        return;
    }

    if (ctx->state) {

        if (ngx_redis_conn_tell(conn, NGX_REDIS_RESOLVE)) {
            ngx_log_error(NGX_LOG_WARN, &conn->log, 0,
                          "%V could not be resolved (%i: %s), its last known "
                          "addresses are used", &ctx->name, ctx->state,
                          ngx_resolver_strerror(ctx->state));
        }

    } else if (ngx_redis_take_addresses(place, ctx) != NGX_OK) {
        ngx_resolve_name_done(ctx);
        ngx_redis_conn_fail(conn, NGX_REDIS_INTERNAL, 0,
                            "no memory for addresses");
        return;
    }

    ngx_resolve_name_done(ctx);

    ngx_redis_conn_open(conn, place->addrs, place->naddrs);
}


static ngx_int_t
ngx_redis_take_addresses(ngx_redis_place_t *place, ngx_resolver_ctx_t *ctx)
{
    u_char      *p;
    ngx_uint_t   i;
    ngx_pool_t  *pool;
    ngx_addr_t  *addrs;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    addrs = ngx_pcalloc(pool, ctx->naddrs * sizeof(ngx_addr_t));
    if (addrs == NULL) {
        goto failed;
    }

    for (i = 0; i < ctx->naddrs; i++) {

        addrs[i].socklen = ctx->addrs[i].socklen;

        addrs[i].sockaddr = ngx_palloc(pool, addrs[i].socklen);
        if (addrs[i].sockaddr == NULL) {
            goto failed;
        }

        ngx_memcpy(addrs[i].sockaddr, ctx->addrs[i].sockaddr,
                   addrs[i].socklen);
        ngx_inet_set_port(addrs[i].sockaddr, place->port);

        p = ngx_pnalloc(pool, NGX_SOCKADDR_STRLEN);
        if (p == NULL) {
            goto failed;
        }

        addrs[i].name.data = p;
        addrs[i].name.len = ngx_sock_ntop(addrs[i].sockaddr,
                                          addrs[i].socklen, p,
                                          NGX_SOCKADDR_STRLEN, 1);
    }

    if (place->pool) {
        ngx_destroy_pool(place->pool);
    }

    place->pool = pool;
    place->addrs = addrs;
    place->naddrs = ctx->naddrs;

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}
