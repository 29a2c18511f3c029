
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The query of a list of the admin API: a page, and what it is to show.  All
 * parameters that are bad are found at once.
 */


#include <ngx_http_access_token_api.h>


/* A parameter of a list; the setter returns NGX_OK, 422 or NGX_ERROR. */

typedef struct {
    ngx_str_t                            name;
    ngx_int_t                          (*set)(
        ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
        ngx_str_t *value, ngx_access_token_filter_t *filter);
    unsigned                             tokens:1;  /* of lists of tokens */
} ngx_http_access_token_api_parameter_t;


static ngx_int_t ngx_http_access_token_api_set_parameter(
    ngx_http_access_token_api_ctx_t *ctx, ngx_str_t *arg, ngx_uint_t tokens,
    ngx_uint_t *seen, ngx_access_token_filter_t *filter);
static ngx_int_t ngx_http_access_token_api_unknown_parameter(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
    ngx_uint_t tokens);
static ngx_int_t ngx_http_access_token_api_set_limit(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
    ngx_str_t *value, ngx_access_token_filter_t *filter);
static ngx_int_t ngx_http_access_token_api_set_cursor(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
    ngx_str_t *value, ngx_access_token_filter_t *filter);
static ngx_int_t ngx_http_access_token_api_set_status(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
    ngx_str_t *value, ngx_access_token_filter_t *filter);
static ngx_int_t ngx_http_access_token_api_set_role(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
    ngx_str_t *value, ngx_access_token_filter_t *filter);
static ngx_int_t ngx_http_access_token_api_set_search(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
    ngx_str_t *value, ngx_access_token_filter_t *filter);
static ngx_int_t ngx_http_access_token_api_unescape(ngx_pool_t *pool,
    ngx_str_t *value);


static const ngx_http_access_token_api_parameter_t
    ngx_http_access_token_api_parameters[] =
{
    { ngx_string("limit"), ngx_http_access_token_api_set_limit, 0 },
    { ngx_string("cursor"), ngx_http_access_token_api_set_cursor, 0 },
    { ngx_string("status"), ngx_http_access_token_api_set_status, 1 },
    { ngx_string("role"), ngx_http_access_token_api_set_role, 1 },
    { ngx_string("search"), ngx_http_access_token_api_set_search, 1 },
    { ngx_null_string, NULL, 0 }
};


ngx_int_t
ngx_http_access_token_api_query(ngx_http_access_token_api_ctx_t *ctx,
    ngx_access_token_filter_t *filter)
{
    u_char      *p, *last;
    ngx_str_t    arg;
    ngx_uint_t   seen, tokens;

    ngx_memzero(filter, sizeof(ngx_access_token_filter_t));

    filter->limit = NGX_HTTP_ACCESS_TOKEN_API_LIMIT;
    filter->admin = -1;

    seen = 0;
    tokens = (ctx->route->right == NGX_HTTP_ACCESS_TOKEN_API_TOKENS);

    p = ctx->request->args.data;
    last = p + ctx->request->args.len;

    while (p < last) {
        arg.data = p;

        while (p < last && *p != '&') {
            p++;
        }

        arg.len = p - arg.data;
        p++;

        if (arg.len
            && ngx_http_access_token_api_set_parameter(ctx, &arg, tokens,
                                                       &seen, filter)
               == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    return ctx->errors.nelts ? NGX_HTTP_ACCESS_TOKEN_API_INVALID : NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_set_parameter(ngx_http_access_token_api_ctx_t *ctx,
    ngx_str_t *arg, ngx_uint_t tokens, ngx_uint_t *seen,
    ngx_access_token_filter_t *filter)
{
    u_char                                       *p;
    ngx_str_t                                     name, value;
    ngx_uint_t                                    bit;
    const ngx_http_access_token_api_parameter_t  *parameter;

    name = *arg;
    ngx_str_null(&value);

    p = ngx_strlchr(arg->data, arg->data + arg->len, '=');

    if (p) {
        name.len = p - arg->data;
        value.data = p + 1;
        value.len = arg->len - name.len - 1;
    }

    bit = 1;

    for (parameter = ngx_http_access_token_api_parameters;
         parameter->name.len;
         parameter++)
    {
        if (ngx_access_token_same(&parameter->name, &name)
            && (tokens || !parameter->tokens))
        {
            break;
        }

        bit <<= 1;
    }

    if (parameter->name.len == 0) {
        return ngx_http_access_token_api_unknown_parameter(ctx, &name,
                                                           tokens);
    }

    if (*seen & bit) {
        return ngx_http_access_token_api_bad_parameter(ctx, &parameter->name,
                                                       "is given twice");
    }

    *seen |= bit;

    if (ngx_http_access_token_api_unescape(ctx->request->pool, &value)
        != NGX_OK)
    {
        return ngx_http_access_token_api_bad_parameter(ctx, &parameter->name,
                   "has a percent-escape that is not two hexadecimal digits");
    }

    return parameter->set(ctx, &parameter->name, &value, filter);
}


static ngx_int_t
ngx_http_access_token_api_unknown_parameter(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
    ngx_uint_t tokens)
{
    ngx_str_t  where;

    /* what cannot be said in JSON, or is long, is not repeated */

    where = *name;

    if (where.len > NGX_HTTP_ACCESS_TOKEN_API_ECHO_MAX
        || ngx_access_token_text_length(&where, "") == NGX_ERROR)
    {
        where.len = 0;
    }

    return ngx_http_access_token_api_bad_parameter(ctx, &where,
               "is not known here: use limit, cursor%s",
               tokens ? ", status, role, search" : "");
}


static ngx_int_t
ngx_http_access_token_api_set_limit(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *name, ngx_str_t *value,
    ngx_access_token_filter_t *filter)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > NGX_HTTP_ACCESS_TOKEN_API_LIMIT_MAX) {
        return ngx_http_access_token_api_bad_parameter(ctx, name,
                   "has to be a number from 1 to %d",
                   NGX_HTTP_ACCESS_TOKEN_API_LIMIT_MAX);
    }

    filter->limit = n;

    return NGX_OK;
}


/* The last id or name of the page before. */

static ngx_int_t
ngx_http_access_token_api_set_cursor(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *name, ngx_str_t *value,
    ngx_access_token_filter_t *filter)
{
    ngx_int_t  rc;

    if (ctx->route->right == NGX_HTTP_ACCESS_TOKEN_API_TOKENS) {
        rc = ngx_access_token_check_id(value);

    } else {
        rc = ngx_access_token_check_owner(value);
    }

    if (rc != NGX_OK) {
        return ngx_http_access_token_api_bad_parameter(ctx, name,
                   "has to be the next_cursor of the page before");
    }

    filter->cursor = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_set_status(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *name, ngx_str_t *value,
    ngx_access_token_filter_t *filter)
{
    if (ngx_access_token_is(value, "active")) {
        filter->status = NGX_ACCESS_TOKEN_ACTIVE;

    } else if (ngx_access_token_is(value, "revoked")) {
        filter->status = NGX_ACCESS_TOKEN_REVOKED;

    } else if (ngx_access_token_is(value, "expired")) {
        filter->status = NGX_ACCESS_TOKEN_EXPIRED;

    } else {
        return ngx_http_access_token_api_bad_parameter(ctx, name,
                   "has to be active, revoked or expired");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_set_role(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *name, ngx_str_t *value,
    ngx_access_token_filter_t *filter)
{
    if (ngx_access_token_is(value, "admin")) {
        filter->admin = 1;

    } else if (ngx_access_token_is(value, "user")) {
        filter->admin = 0;

    } else {
        return ngx_http_access_token_api_bad_parameter(ctx, name,
                   "has to be admin or user");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_set_search(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *name, ngx_str_t *value,
    ngx_access_token_filter_t *filter)
{
    ngx_int_t  n;

    n = ngx_access_token_text_length(value, "");

    if (n < 1 || n > NGX_ACCESS_TOKEN_NAME_MAX) {
        return ngx_http_access_token_api_bad_parameter(ctx, name,
                   "has to be 1 to %d characters of UTF-8 without control "
                   "characters", NGX_ACCESS_TOKEN_NAME_MAX);
    }

    filter->search = *value;

    return NGX_OK;
}


/* As forms are: %XX, and + for a space.  NGX_DECLINED: a bad escape. */

static ngx_int_t
ngx_http_access_token_api_unescape(ngx_pool_t *pool, ngx_str_t *value)
{
    u_char     *p, *dst, *last;
    ngx_int_t   ch;

    p = value->data;
    last = p + value->len;

    dst = ngx_pnalloc(pool, value->len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    value->data = dst;

    while (p < last) {

        if (*p == '%') {
            ch = (last - p > 2) ? ngx_hextoi(p + 1, 2) : NGX_ERROR;

            if (ch == NGX_ERROR) {
                return NGX_DECLINED;
            }

            *dst++ = (u_char) ch;
            p += 3;
            continue;
        }

        *dst++ = (*p == '+') ? ' ' : *p;
        p++;
    }

    value->len = dst - value->data;

    return NGX_OK;
}
