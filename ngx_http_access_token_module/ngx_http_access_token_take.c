
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The token of a request.  Every place that the configuration names is
 * looked at, and all of them are looked through: a request with two tokens is
 * refused (RFC 6750 section 2), since the upstream might believe the other
 * one.  Two Authorization headers do not come this far: nginx refuses them.
 *
 * No value is decoded.  A token has only letters, digits and "_", so one that
 * needs decoding is none.  Names of arguments are, or the upstream, which does
 * so, might see a token that was not counted.  For the same reason no fragment
 * is cut off, which has no place in a request (RFC 9112 section 3.2).
 *
 * The query is the one that the client sent: "set $args" and internal redirects
 * change neither the client nor its token.
 */


#include <ngx_http_access_token.h>


typedef struct {
    ngx_str_t                       *token;
    ngx_uint_t                       tokens;
} ngx_http_access_token_taken_t;


static ngx_int_t ngx_http_access_token_taken(
    const ngx_http_access_token_taken_t *taken);
static void ngx_http_access_token_take_header(
    ngx_http_access_token_taken_t *taken, const ngx_array_t *sources,
    ngx_table_elt_t *h);
static void ngx_http_access_token_take_bearer(
    ngx_http_access_token_taken_t *taken, const ngx_str_t *value);
static void ngx_http_access_token_take_cookie(
    ngx_http_access_token_taken_t *taken, const ngx_str_t *name,
    const ngx_str_t *value);
static void ngx_http_access_token_take_query(
    ngx_http_access_token_taken_t *taken, const ngx_str_t *name,
    const ngx_str_t *uri);
static u_char *ngx_http_access_token_skip_name(u_char *p, u_char *last,
    const ngx_str_t *name);
static void ngx_http_access_token_take_one(
    ngx_http_access_token_taken_t *taken, u_char *data, u_char *last);
static ngx_uint_t ngx_http_access_token_header_is(const ngx_table_elt_t *h,
    const char *name, size_t len);


ngx_int_t
ngx_http_access_token_take(ngx_http_request_t *r, const ngx_array_t *sources,
    ngx_str_t *token)
{
    ngx_uint_t                       i;
    ngx_list_part_t                 *part;
    ngx_table_elt_t                 *h;
    ngx_http_access_token_taken_t    taken;
    ngx_http_access_token_source_t  *source;

    ngx_memzero(&taken, sizeof(ngx_http_access_token_taken_t));
    taken.token = token;

    source = sources->elts;

    if (sources->nelts == 1 && source->type == NGX_HTTP_ACCESS_TOKEN_BEARER) {

        /* nginx has found it already, and that there is no other one */

        if (r->headers_in.authorization) {
            ngx_http_access_token_take_bearer(&taken,
                                        &r->headers_in.authorization->value);
        }

        return ngx_http_access_token_taken(&taken);
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            ngx_http_access_token_take_header(&taken, sources, &h[i]);
        }
    }

    for (i = 0; i < sources->nelts; i++) {
        if (source[i].type == NGX_HTTP_ACCESS_TOKEN_QUERY) {
            ngx_http_access_token_take_query(&taken, &source[i].name,
                                             &r->unparsed_uri);
        }
    }

    return ngx_http_access_token_taken(&taken);
}


static ngx_int_t
ngx_http_access_token_taken(const ngx_http_access_token_taken_t *taken)
{
    if (taken->tokens > 1) {
        return NGX_HTTP_BAD_REQUEST;
    }

    return taken->tokens ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_access_token_take_header(ngx_http_access_token_taken_t *taken,
    const ngx_array_t *sources, ngx_table_elt_t *h)
{
    ngx_uint_t                       i;
    ngx_http_access_token_source_t  *source;

    source = sources->elts;

    for (i = 0; i < sources->nelts; i++) {

        switch (source[i].type) {

        case NGX_HTTP_ACCESS_TOKEN_BEARER:
            if (ngx_http_access_token_header_is(h, "authorization", 13)) {
                ngx_http_access_token_take_bearer(taken, &h->value);
            }

            break;

        case NGX_HTTP_ACCESS_TOKEN_COOKIE:
            if (ngx_http_access_token_header_is(h, "cookie", 6)) {
                ngx_http_access_token_take_cookie(taken, &source[i].name,
                                                  &h->value);
            }

            break;

        case NGX_HTTP_ACCESS_TOKEN_HEADER:
            if (ngx_http_access_token_header_is(h,
                                            (char *) source[i].name.data,
                                            source[i].name.len))
            {
                ngx_http_access_token_take_one(taken, h->value.data,
                                               h->value.data + h->value.len);
            }

            break;

        default: /* NGX_HTTP_ACCESS_TOKEN_QUERY */
            break;
        }
    }
}


/*
 * RFC 9110 section 11.4: the scheme is case-insensitive, and one or more
 * spaces follow it.  Another scheme is no token; a value that has no scheme
 * at all, or none but a tab after it, is a malformed one.
 */

static void
ngx_http_access_token_take_bearer(ngx_http_access_token_taken_t *taken,
    const ngx_str_t *value)
{
    u_char  *p, *last;

    p = value->data;
    last = p + value->len;

    if (value->len == 0) {
        ngx_http_access_token_take_one(taken, p, last);
        return;
    }

    if (value->len < 6
        || (ngx_memcmp(p, "Bearer", 6) != 0
            && ngx_strncasecmp(p, (u_char *) "bearer", 6) != 0))
    {
        return;
    }

    p += 6;

    if (p < last && *p != ' ' && *p != '\t') {
        return;
    }

    while (p < last && *p == ' ') {
        p++;
    }

    ngx_http_access_token_take_one(taken, p, last);
}


/* RFC 6265 section 4.2.1: pairs, separated by ";" and a space */

static void
ngx_http_access_token_take_cookie(ngx_http_access_token_taken_t *taken,
    const ngx_str_t *name, const ngx_str_t *value)
{
    u_char  *p, *end, *eq, *last;

    last = value->data + value->len;

    for (p = value->data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, ';');
        if (end == NULL) {
            end = last;
        }

        while (p < end && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if ((size_t) (end - p) <= name->len
            || ngx_memcmp(p, name->data, name->len) != 0)
        {
            continue;
        }

        eq = p + name->len;

        if (*eq == '=') {
            ngx_http_access_token_take_one(taken, eq + 1, end);
        }
    }
}


/* an argument without "=" is one with an empty value */

static void
ngx_http_access_token_take_query(ngx_http_access_token_taken_t *taken,
    const ngx_str_t *name, const ngx_str_t *uri)
{
    u_char  *p, *end, *eq, *last;

    last = uri->data + uri->len;

    p = ngx_strlchr(uri->data, last, '?');
    if (p == NULL) {
        return;
    }

    for (p++; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;
        }

        eq = ngx_http_access_token_skip_name(p, end, name);

        if (eq == end) {
            ngx_http_access_token_take_one(taken, end, end);

        } else if (eq && *eq == '=') {
            ngx_http_access_token_take_one(taken, eq + 1, end);
        }
    }
}


/*
 * Returns where what follows the name begins, or NULL: it begins otherwise.
 * "%41" is an "A"; "+" may be a space or itself, and a name has neither.
 */

static u_char *
ngx_http_access_token_skip_name(u_char *p, u_char *last,
    const ngx_str_t *name)
{
    size_t     i;
    ngx_int_t  ch;

    for (i = 0; i < name->len; i++) {

        if (p == last) {
            return NULL;
        }

        ch = *p++;

        if (ch == '%' && last - p >= 2) {
            ch = ngx_hextoi(p, 2);
            p += 2;
        }

        if (ch != name->data[i]) {
            return NULL;
        }
    }

    return p;
}


/* a comma joins what were several header lines (RFC 9110 section 5.3) */

static void
ngx_http_access_token_take_one(ngx_http_access_token_taken_t *taken,
    u_char *data, u_char *last)
{
    while (data < last && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    taken->token->data = data;
    taken->token->len = last - data;
    taken->tokens++;

    if (last > data && memchr(data, ',', last - data)) {
        taken->tokens++;
    }
}


static ngx_uint_t
ngx_http_access_token_header_is(const ngx_table_elt_t *h, const char *name,
    size_t len)
{
    return h->key.len == len && ngx_memcmp(h->lowcase_key, name, len) == 0;
}
