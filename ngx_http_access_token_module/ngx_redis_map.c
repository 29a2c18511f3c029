
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The map of a cluster: the slot of a key, and what nodes say of where slots
 * are.  What they say is not trusted to be well-formed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>


#define NGX_REDIS_HOST_LEN  255


static ngx_int_t ngx_redis_map_host(ngx_str_t *host);
static ngx_int_t ngx_redis_map_port(int64_t number, in_port_t *port);


/* CRC-16/XMODEM of four bits, as in the specification of Redis Cluster. */

static const uint16_t  ngx_redis_crc16[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef
};


/* The hash tag is between the first "{" and the next "}", unless empty. */

ngx_uint_t
ngx_redis_slot(const ngx_str_t *key)
{
    u_char    *p, *last, *open, *close;
    uint16_t   crc;

    p = key->data;
    last = p + key->len;

    open = ngx_strlchr(p, last, '{');

    if (open) {
        close = ngx_strlchr(open + 1, last, '}');

        if (close && close > open + 1) {
            p = open + 1;
            last = close;
        }
    }

    crc = 0;

    while (p < last) {
        crc = (uint16_t) (crc << 4) ^ ngx_redis_crc16[(crc >> 12) ^ (*p >> 4)];
        crc = (uint16_t) (crc << 4) ^ ngx_redis_crc16[(crc >> 12) ^ (*p & 15)];
        p++;
    }

    return crc % NGX_REDIS_SLOTS;
}


/* [[first, last, [host, port, id, …], replica, …], …] */

ngx_int_t
ngx_redis_map_read(const ngx_redis_reply_t *reply, ngx_redis_range_pt range,
    void *data)
{
    ngx_str_t           host;
    in_port_t           port;
    ngx_uint_t          i;
    ngx_redis_reply_t  *elts, *node;

    if (reply->type != NGX_REDIS_ARRAY) {
        return NGX_ERROR;
    }

    for (i = 0; i < reply->nelts; i++) {
        elts = reply->elts[i].elts;

        if (reply->elts[i].type != NGX_REDIS_ARRAY
            || reply->elts[i].nelts < 3
            || elts[0].type != NGX_REDIS_INTEGER
            || elts[1].type != NGX_REDIS_INTEGER
            || elts[2].type != NGX_REDIS_ARRAY
            || elts[2].nelts < 2)
        {
            return NGX_ERROR;
        }

        if (elts[0].integer < 0
            || elts[1].integer < elts[0].integer
            || elts[1].integer >= NGX_REDIS_SLOTS)
        {
            return NGX_ERROR;
        }

        node = elts[2].elts;

        if ((node[0].type != NGX_REDIS_STRING && node[0].type != NGX_REDIS_NIL)
            || node[1].type != NGX_REDIS_INTEGER
            || ngx_redis_map_port(node[1].integer, &port) != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_str_null(&host);

        if (node[0].type == NGX_REDIS_STRING) {
            host = node[0].str;
        }

        if (ngx_redis_map_host(&host) != NGX_OK
            || range(data, elts[0].integer, elts[1].integer, &host, port)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* An address of IPv6 has colons too: the last one is before the port. */

ngx_int_t
ngx_redis_map_target(const ngx_str_t *error, ngx_uint_t *slot,
    ngx_str_t *host, in_port_t *port)
{
    u_char     *p, *last, *colon;
    ngx_int_t   n;

    p = error->data;
    last = p + error->len;

    if (ngx_redis_says(error, "MOVED ")) {
        p += sizeof("MOVED ") - 1;

    } else if (ngx_redis_says(error, "ASK ")) {
        p += sizeof("ASK ") - 1;

    } else {
        return NGX_DECLINED;
    }

    host->data = ngx_strlchr(p, last, ' ');

    if (host->data == NULL) {
        return NGX_DECLINED;
    }

    n = ngx_atoi(p, host->data - p);

    if (n == NGX_ERROR || n >= NGX_REDIS_SLOTS) {
        return NGX_DECLINED;
    }

    *slot = n;
    host->data++;

    for (colon = last - 1; colon >= host->data && *colon != ':'; colon--) {
        /* void */
    }

    if (colon < host->data) {
        return NGX_DECLINED;
    }

    host->len = colon - host->data;
    n = ngx_atoi(colon + 1, last - colon - 1);

    if (n == NGX_ERROR || ngx_redis_map_host(host) != NGX_OK) {
        return NGX_DECLINED;
    }

    return ngx_redis_map_port(n, port);
}


/* It is asked for, and logged; "?": its node does not know its own name. */

static ngx_int_t
ngx_redis_map_host(ngx_str_t *host)
{
    size_t  i;

    if (host->len > NGX_REDIS_HOST_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < host->len; i++) {
        if (host->data[i] <= 0x20 || host->data[i] >= 0x7f) {
            return NGX_DECLINED;
        }
    }

    if (host->len == 1 && host->data[0] == '?') {
        ngx_str_null(host);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_redis_map_port(int64_t number, in_port_t *port)
{
    if (number < 1 || number > 65535) {
        return NGX_DECLINED;
    }

    *port = (in_port_t) number;

    return NGX_OK;
}
