
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The status: what there is to be seen of the module, for Prometheus and for
 * people.  Here are the request and its answer; the metrics themselves are in
 * ngx_http_access_token_metrics.c.
 *
 * It tells no secrets, but how busy a gateway is and how it fares: who may see
 * that is for "allow" and "deny" to say, it asks for no credentials itself.
 */


#include <ngx_http_access_token.h>


static ngx_int_t ngx_http_access_token_status_send(ngx_http_request_t *r,
    const ngx_str_t *text);
static ngx_int_t ngx_http_access_token_status_header(ngx_http_request_t *r,
    const ngx_str_t *key, const char *value);
static ngx_uint_t ngx_http_access_token_status_is_json(ngx_http_request_t *r);
static ngx_uint_t ngx_http_access_token_status_weight(
    const ngx_str_t *accept, const char *type);
static ngx_uint_t ngx_http_access_token_status_range(u_char *p, u_char *last,
    const char *type);
static ngx_uint_t ngx_http_access_token_status_q(u_char *p, u_char *last);


static const ngx_str_t  ngx_http_access_token_status_allow =
    ngx_string("Allow");
static const ngx_str_t  ngx_http_access_token_status_cache_control =
    ngx_string("Cache-Control");


ngx_int_t
ngx_http_access_token_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                           rc;
    ngx_str_t                           text;
    ngx_uint_t                          json;
    ngx_http_access_token_main_conf_t  *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_access_token_module);

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        rc = ngx_http_access_token_status_header(r,
                            &ngx_http_access_token_status_allow, "GET, HEAD");

        return rc == NGX_OK ? NGX_HTTP_NOT_ALLOWED
                            : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    json = ngx_http_access_token_status_is_json(r);

    if (amcf->store.zone == NULL
        || ngx_http_access_token_metrics(r->pool, amcf->store.zone, json,
                                         &text)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (json) {
        ngx_str_set(&r->headers_out.content_type, "application/json");
        r->headers_out.content_type_len = r->headers_out.content_type.len;

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "text/plain; version=0.0.4; charset=utf-8");

        /* "gzip_types" and "charset" ask for the type alone */
        r->headers_out.content_type_len = sizeof("text/plain") - 1;
    }

    return ngx_http_access_token_status_send(r, &text);
}


static ngx_int_t
ngx_http_access_token_status_send(ngx_http_request_t *r,
    const ngx_str_t *text)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    if (ngx_http_access_token_status_header(r,
                     &ngx_http_access_token_status_cache_control, "no-store")
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = text->len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_access_token_status_header(ngx_http_request_t *r,
    const ngx_str_t *key, const char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_http_access_token_push(r, key);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->value.data = (u_char *) value;
    h->value.len = ngx_strlen(value);

    return NGX_OK;
}


/*
 * JSON is for those who name it and like it no less than text.  The range of
 * all types, which browsers and Prometheus send too, does not name it.
 */

static ngx_uint_t
ngx_http_access_token_status_is_json(ngx_http_request_t *r)
{
    ngx_uint_t        i, n, json, text;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    json = 0;
    text = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != sizeof("Accept") - 1
                || ngx_strncasecmp(h[i].key.data, (u_char *) "Accept",
                                   sizeof("Accept") - 1)
                   != 0)
            {
                continue;
            }

            n = ngx_http_access_token_status_weight(&h[i].value,
                                                    "application/json");
            json = ngx_max(json, n);

            n = ngx_http_access_token_status_weight(&h[i].value, "text/plain");
            text = ngx_max(text, n);
        }
    }

    return json && json >= text;
}


/* RFC 9110 section 12.5.1: the weight of a type, in thousandths. */

static ngx_uint_t
ngx_http_access_token_status_weight(const ngx_str_t *accept, const char *type)
{
    u_char      *p, *end, *last;
    ngx_uint_t   n, weight;

    p = accept->data;
    last = p + accept->len;
    weight = 0;

    while (p < last) {
        end = ngx_strlchr(p, last, ',');
        if (end == NULL) {
            end = last;
        }

        n = ngx_http_access_token_status_range(p, end, type);
        weight = ngx_max(weight, n);

        p = end + 1;
    }

    return weight;
}


static ngx_uint_t
ngx_http_access_token_status_range(u_char *p, u_char *last, const char *type)
{
    size_t  len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    len = ngx_strlen(type);

    if ((size_t) (last - p) < len
        || ngx_strncasecmp(p, (u_char *) type, len) != 0)
    {
        return 0;
    }

    p += len;

    if (p < last && *p != ';' && *p != ' ' && *p != '\t') {
        /* a longer type */
        return 0;
    }

    while (p < last) {

        if (*p++ != ';') {
            continue;
        }

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if (last - p >= 2 && (*p == 'q' || *p == 'Q') && p[1] == '=') {
            return ngx_http_access_token_status_q(p + 2, last);
        }
    }

    return 1000;
}


static ngx_uint_t
ngx_http_access_token_status_q(u_char *p, u_char *last)
{
    ngx_uint_t  n, scale;

    if (p < last && *p == '1') {
        return 1000;
    }

    /* what is no weight is none: text is never wrong */

    if (last - p < 3 || p[0] != '0' || p[1] != '.') {
        return 0;
    }

    n = 0;
    scale = 100;

    for (p += 2; p < last && *p >= '0' && *p <= '9'; p++) {
        n += (*p - '0') * scale;
        scale /= 10;
    }

    return n;
}
