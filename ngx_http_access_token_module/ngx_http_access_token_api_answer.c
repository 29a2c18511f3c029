
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The answer of the admin API: its status, its headers, and where something
 * is wrong a problem of RFC 9457 whose detail names the mend.
 *
 * What always holds: an answer is never cached, and error_page is not applied
 * to it.  A refusal is logged once, at info, with what was wrong but nothing
 * that the client has sent.  Each answer is counted once, by route and status,
 * before it is sent: whoever has it finds it counted.
 */


#include <ngx_http_access_token_api.h>


typedef struct {
    ngx_uint_t                           status;
    ngx_str_t                            title;     /* RFC 9110 section 15 */
} ngx_http_access_token_api_title_t;


static void ngx_http_access_token_api_count(
    ngx_http_access_token_api_ctx_t *ctx, ngx_uint_t status);
static ngx_uint_t ngx_http_access_token_api_column(ngx_uint_t status);
static ngx_int_t ngx_http_access_token_api_problem(
    ngx_http_access_token_api_ctx_t *ctx, ngx_uint_t status);
static ngx_int_t ngx_http_access_token_api_add_error(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *where,
    ngx_uint_t parameter, const char *fmt, va_list args);
static ngx_int_t ngx_http_access_token_api_format(ngx_pool_t *pool,
    ngx_str_t *text, const char *fmt, va_list args);


/* the columns of what is counted; a status that is not here is in the last */

static const ngx_http_access_token_api_title_t
    ngx_http_access_token_api_titles[NGX_HTTP_ACCESS_TOKEN_API_STATUSES] =
{
    { NGX_HTTP_OK, ngx_string("OK") },
    { NGX_HTTP_CREATED, ngx_string("Created") },
    { NGX_HTTP_ACCEPTED, ngx_string("Accepted") },
    { NGX_HTTP_NO_CONTENT, ngx_string("No Content") },
    { NGX_HTTP_BAD_REQUEST, ngx_string("Bad Request") },
    { NGX_HTTP_UNAUTHORIZED, ngx_string("Unauthorized") },
    { NGX_HTTP_FORBIDDEN, ngx_string("Forbidden") },
    { NGX_HTTP_NOT_FOUND, ngx_string("Not Found") },
    { NGX_HTTP_NOT_ALLOWED, ngx_string("Method Not Allowed") },
    { NGX_HTTP_CONFLICT, ngx_string("Conflict") },
    { NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, ngx_string("Content Too Large") },
    { NGX_HTTP_UNSUPPORTED_MEDIA_TYPE, ngx_string("Unsupported Media Type") },
    { NGX_HTTP_ACCESS_TOKEN_API_INVALID, ngx_string("Unprocessable Content") },
    { NGX_HTTP_SERVICE_UNAVAILABLE, ngx_string("Service Unavailable") },
    { NGX_HTTP_INTERNAL_SERVER_ERROR, ngx_string("Internal Server Error") },

    { 0, ngx_string("Error") }
};


static const ngx_str_t  ngx_http_access_token_api_no_store =
    ngx_string("no-store");
static const ngx_str_t  ngx_http_access_token_api_retry_after =
    ngx_string(NGX_HTTP_ACCESS_TOKEN_RETRY_AFTER);


ngx_int_t
ngx_http_access_token_api_refuse(ngx_http_access_token_api_ctx_t *ctx,
    ngx_int_t status, const char *fmt, ...)
{
    va_list    args;
    ngx_int_t  rc;

    va_start(args, fmt);
    rc = ngx_http_access_token_api_format(ctx->request->pool, &ctx->detail,
                                          fmt, args);
    va_end(args);

    return rc == NGX_OK ? status : NGX_ERROR;
}


ngx_int_t
ngx_http_access_token_api_invalid(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *where, const char *fmt, ...)
{
    va_list    args;
    ngx_int_t  rc;

    va_start(args, fmt);
    rc = ngx_http_access_token_api_add_error(ctx, where, 0, fmt, args);
    va_end(args);

    return rc;
}


ngx_int_t
ngx_http_access_token_api_bad_parameter(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *where, const char *fmt, ...)
{
    va_list    args;
    ngx_int_t  rc;

    va_start(args, fmt);
    rc = ngx_http_access_token_api_add_error(ctx, where, 1, fmt, args);
    va_end(args);

    return rc;
}


static ngx_int_t
ngx_http_access_token_api_add_error(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *where, ngx_uint_t parameter, const char *fmt,
    va_list args)
{
    ngx_pool_t                         *pool;
    ngx_http_access_token_api_error_t  *error;

    pool = ctx->request->pool;

    if (ctx->errors.elts == NULL
        && ngx_array_init(&ctx->errors, pool, 4,
                          sizeof(ngx_http_access_token_api_error_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    error = ngx_array_push(&ctx->errors);
    if (error == NULL) {
        return NGX_ERROR;
    }

    error->where = *where;
    error->parameter = parameter;

    if (ngx_http_access_token_api_format(pool, &error->detail, fmt, args)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (parameter) {
        ngx_str_set(&ctx->detail, "The query is not valid; \"errors\" names "
                                  "each bad parameter");
    } else {
        ngx_str_set(&ctx->detail, "The body is not valid; \"errors\" names "
                                  "each bad member");
    }

    return NGX_HTTP_ACCESS_TOKEN_API_INVALID;
}


static ngx_int_t
ngx_http_access_token_api_format(ngx_pool_t *pool, ngx_str_t *text,
    const char *fmt, va_list args)
{
    u_char  *p, buf[NGX_MAX_ERROR_STR];

    p = ngx_vslprintf(buf, buf + sizeof(buf), fmt, args);

    text->len = p - buf;
    text->data = ngx_pnalloc(pool, text->len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(text->data, buf, text->len);

    return NGX_OK;
}


ngx_int_t
ngx_http_access_token_api_header(ngx_http_request_t *r, const char *key,
    const ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) key;
    h->key.len = ngx_strlen(key);
    h->value = *value;
    h->lowcase_key = NULL;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


ngx_int_t
ngx_http_access_token_api_answer(ngx_http_access_token_api_ctx_t *ctx,
    ngx_int_t status)
{
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_chain_t          out;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (status < NGX_HTTP_OK) {
        ngx_http_access_token_api_count(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_access_token_api_count(ctx, status);

    if (status >= NGX_HTTP_BAD_REQUEST
        && ngx_http_access_token_api_problem(ctx, status) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* the answer is final: a client that waits for 100 needs no other */
    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    if (ngx_http_access_token_api_header(r, "Cache-Control",
                                         &ngx_http_access_token_api_no_store)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = status;

#if (NGX_HTTP_GZIP)
    if (ctx->token.len) {
        /* what compresses keeps a copy that nobody would wipe */
        r->gzip_tested = 1;
        r->gzip_ok = 0;
    }
#endif

    if (status == NGX_HTTP_NO_CONTENT) {
        r->header_only = 1;
        return ngx_http_send_header(r);
    }

    if (status < NGX_HTTP_BAD_REQUEST) {
        ngx_str_set(&r->headers_out.content_type, "application/json");
    } else {
        ngx_str_set(&r->headers_out.content_type, "application/problem+json");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_length_n = ctx->reply.len;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = ctx->reply.data;
    b->last = b->pos + ctx->reply.len;
    b->temporary = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_access_token_api_problem(ngx_http_access_token_api_ctx_t *ctx,
    ngx_uint_t status)
{
    ngx_uint_t           column;
    ngx_http_request_t  *r;

    r = ctx->request;
    column = ngx_http_access_token_api_column(status);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "access token API refused with %ui: %V, caller: \"%V\"",
                  status, &ctx->detail, &ctx->caller.actor);

    if (status == NGX_HTTP_ACCESS_TOKEN_API_INVALID) {
        /* nginx has no reason phrase for it */
        ngx_str_set(&r->headers_out.status_line, "422 Unprocessable Content");
    }

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE
        && ngx_http_access_token_api_header(r, "Retry-After",
                                      &ngx_http_access_token_api_retry_after)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_access_token_api_json_problem(ctx, status,
                             &ngx_http_access_token_api_titles[column].title);
}


static void
ngx_http_access_token_api_count(ngx_http_access_token_api_ctx_t *ctx,
    ngx_uint_t status)
{
    ngx_uint_t                n;
    ngx_atomic_t             *counters;
    ngx_access_token_zone_t  *zone;

    zone = ctx->main->store.zone;

    if (zone) {
        n = ngx_http_access_token_api_row(ctx)
                * NGX_HTTP_ACCESS_TOKEN_API_STATUSES
            + ngx_http_access_token_api_column(status);

        counters = ngx_access_token_zone_extra(zone);
        ngx_access_token_count(counters[n]);
    }
}


void
ngx_http_access_token_api_counter(ngx_uint_t n, ngx_str_t *route,
    ngx_uint_t *status)
{
    ngx_uint_t  row, column;

    row = n / NGX_HTTP_ACCESS_TOKEN_API_STATUSES;
    column = n % NGX_HTTP_ACCESS_TOKEN_API_STATUSES;

    *route = *ngx_http_access_token_api_row_path(row);
    *status = ngx_http_access_token_api_titles[column].status;
}


static ngx_uint_t
ngx_http_access_token_api_column(ngx_uint_t status)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_ACCESS_TOKEN_API_STATUSES - 1; i++) {
        if (ngx_http_access_token_api_titles[i].status == status) {
            break;
        }
    }

    return i;
}
