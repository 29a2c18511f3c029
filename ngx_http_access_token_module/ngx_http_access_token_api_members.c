
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The members of a body of the admin API.  All that is bad is found at once,
 * and each entry says what the member has to be: so the table has the mends.
 */


#include <ngx_http_access_token_api.h>


/* check returns NGX_OK; NGX_DECLINED: see mend; 422: it said why itself. */

typedef struct {
    ngx_str_t                            pointer;       /* RFC 6901 */
    ngx_uint_t                           bit;
    ngx_int_t                          (*check)(
        ngx_http_access_token_api_ctx_t *ctx,
        const ngx_http_access_token_api_value_t *value,
        ngx_http_access_token_api_members_t *m);
    const char                          *mend;
} ngx_http_access_token_api_member_t;


static ngx_int_t ngx_http_access_token_api_check_name(
    ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m);
static ngx_int_t ngx_http_access_token_api_check_description(
    ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m);
static ngx_int_t ngx_http_access_token_api_check_expires(
    ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m);
static ngx_int_t ngx_http_access_token_api_check_admin(
    ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m);
static ngx_int_t ngx_http_access_token_api_check_grace(
    ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m);

static ngx_int_t ngx_http_access_token_api_missing(
    ngx_http_access_token_api_ctx_t *ctx, ngx_uint_t bits);
static ngx_int_t ngx_http_access_token_api_unknown(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
    ngx_uint_t allowed);
static ngx_int_t ngx_http_access_token_api_pointer(ngx_pool_t *pool,
    const ngx_str_t *name, ngx_str_t *pointer);
static ngx_int_t ngx_http_access_token_api_copy(ngx_pool_t *pool,
    const ngx_str_t *from, ngx_str_t *to);


static const ngx_http_access_token_api_member_t
    ngx_http_access_token_api_member_table[] =
{
    { ngx_string("/name"), NGX_HTTP_ACCESS_TOKEN_API_NAME,
      ngx_http_access_token_api_check_name,
      "has to be a string of 1 to 100 characters, not only spaces, without "
      "control characters" },

    { ngx_string("/description"), NGX_HTTP_ACCESS_TOKEN_API_DESCRIPTION,
      ngx_http_access_token_api_check_description,
      "has to be null or a string of up to 255 characters, without control "
      "characters other than line feed and tab" },

    { ngx_string("/expires_at"), NGX_HTTP_ACCESS_TOKEN_API_EXPIRES,
      ngx_http_access_token_api_check_expires,
      "has to be a date that exists, such as \"2027-01-31\", or a date-time "
      "with \"Z\" or an offset, such as \"2027-01-31T18:30:00+01:00\"" },

    { ngx_string("/admin"), NGX_HTTP_ACCESS_TOKEN_API_ADMIN,
      ngx_http_access_token_api_check_admin,
      "has to be true or false" },

    { ngx_string("/grace_seconds"), NGX_HTTP_ACCESS_TOKEN_API_GRACE,
      ngx_http_access_token_api_check_grace,
      "has to be a whole number from 0 to 86400" },

    { ngx_null_string, 0, NULL, NULL }
};


ngx_int_t
ngx_http_access_token_api_members(ngx_http_access_token_api_ctx_t *ctx,
    ngx_uint_t allowed, ngx_uint_t required,
    ngx_http_access_token_api_members_t *m)
{
    ngx_int_t  rc;

    ngx_memzero(m, sizeof(ngx_http_access_token_api_members_t));

    if (ctx->body.len == 0) {

        if (required == 0) {
            return NGX_OK;
        }

        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "The body is empty: send a JSON object");
    }

    rc = ngx_http_access_token_api_json_read(ctx, allowed, m);

    if (rc != NGX_OK && rc != NGX_HTTP_ACCESS_TOKEN_API_INVALID) {
        return rc;
    }

    if (ngx_http_access_token_api_missing(ctx, required & ~m->set)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ctx->errors.nelts ? NGX_HTTP_ACCESS_TOKEN_API_INVALID : NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_missing(ngx_http_access_token_api_ctx_t *ctx,
    ngx_uint_t bits)
{
    const ngx_http_access_token_api_member_t  *member;

    for (member = ngx_http_access_token_api_member_table;
         member->bit;
         member++)
    {
        if ((member->bit & bits)
            && ngx_http_access_token_api_invalid(ctx, &member->pointer,
                                         "is required, and %s", member->mend)
               == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_access_token_api_member(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *name, const ngx_http_access_token_api_value_t *value,
    ngx_uint_t allowed, ngx_http_access_token_api_members_t *m)
{
    ngx_int_t                                  rc;
    ngx_str_t                                  known;
    const ngx_http_access_token_api_member_t  *member;

    for (member = ngx_http_access_token_api_member_table;
         member->bit;
         member++)
    {
        known.data = member->pointer.data + 1;
        known.len = member->pointer.len - 1;

        if ((member->bit & allowed)
            && ngx_access_token_same(&known, name))
        {
            break;
        }
    }

    if (member->bit == 0) {
        return ngx_http_access_token_api_unknown(ctx, name, allowed);
    }

    m->set |= member->bit;

    rc = member->check(ctx, value, m);

    if (rc == NGX_DECLINED) {
        return ngx_http_access_token_api_invalid(ctx, &member->pointer, "%s",
                                                 member->mend);
    }

    return rc;
}


/* A typing error, most likely: so it says what there is. */

static ngx_int_t
ngx_http_access_token_api_unknown(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *name, ngx_uint_t allowed)
{
    u_char                                    *p, buf[128];
    ngx_str_t                                  list, pointer;
    const ngx_http_access_token_api_member_t  *member;

    if (ngx_http_access_token_api_pointer(ctx->request->pool, name, &pointer)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = buf;

    for (member = ngx_http_access_token_api_member_table;
         member->bit;
         member++)
    {
        if (member->bit & allowed) {
            p = ngx_slprintf(p, buf + sizeof(buf), "%s%s",
                             p == buf ? "" : ", ", member->pointer.data + 1);
        }
    }

    list.data = buf;
    list.len = p - buf;

    if (list.len == 0) {
        return ngx_http_access_token_api_invalid(ctx, &pointer,
                   "is not known here: send no members");
    }

    return ngx_http_access_token_api_invalid(ctx, &pointer,
               "is not known here: use %V", &list);
}


/* RFC 6901 section 3; a long name is not repeated. */

static ngx_int_t
ngx_http_access_token_api_pointer(ngx_pool_t *pool, const ngx_str_t *name,
    ngx_str_t *pointer)
{
    u_char  *p;
    size_t   i;

    ngx_str_null(pointer);

    if (name->len > NGX_HTTP_ACCESS_TOKEN_API_ECHO_MAX) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, 1 + 2 * name->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    pointer->data = p;

    *p++ = '/';

    for (i = 0; i < name->len; i++) {

        switch (name->data[i]) {

        case '~':
            *p++ = '~';
            *p++ = '0';
            break;

        case '/':
            *p++ = '~';
            *p++ = '1';
            break;

        default:
            *p++ = name->data[i];
        }
    }

    pointer->len = p - pointer->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_check_name(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m)
{
    size_t      i;
    ngx_int_t   n;

    if (value->type != NGX_HTTP_ACCESS_TOKEN_API_STRING) {
        return NGX_DECLINED;
    }

    n = ngx_access_token_text_length(&value->string, "");

    for (i = 0; i < value->string.len; i++) {
        if (value->string.data[i] != ' ') {
            break;
        }
    }

    if (n < 1 || n > NGX_ACCESS_TOKEN_NAME_MAX || i == value->string.len) {
        return NGX_DECLINED;
    }

    return ngx_http_access_token_api_copy(ctx->request->pool, &value->string,
                                          &m->name);
}


static ngx_int_t
ngx_http_access_token_api_check_description(
    ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m)
{
    ngx_int_t  n;

    if (value->type == NGX_HTTP_ACCESS_TOKEN_API_NULL) {
        return NGX_OK;
    }

    if (value->type != NGX_HTTP_ACCESS_TOKEN_API_STRING) {
        return NGX_DECLINED;
    }

    n = ngx_access_token_text_length(&value->string, "\n\t");

    if (n == NGX_ERROR || n > NGX_ACCESS_TOKEN_DESCR_MAX) {
        return NGX_DECLINED;
    }

    return ngx_http_access_token_api_copy(ctx->request->pool, &value->string,
                                          &m->description);
}


static ngx_int_t
ngx_http_access_token_api_check_expires(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m)
{
    u_char                 *p, buf[NGX_HTTP_ACCESS_TOKEN_API_TIME_LEN];
    time_t                  now, max;
    ngx_str_t               last;
    static const ngx_str_t  pointer = ngx_string("/expires_at");

    max = ctx->main->max_lifetime;

    if (value->type == NGX_HTTP_ACCESS_TOKEN_API_NULL && max == 0) {
        return NGX_OK;
    }

    if (value->type != NGX_HTTP_ACCESS_TOKEN_API_STRING
        || ngx_http_access_token_api_parse_time(&value->string, &m->expires)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    now = ngx_time();

    if (m->expires <= now) {
        return ngx_http_access_token_api_invalid(ctx, &pointer,
                   "has to lie ahead; a date is its beginning in UTC");
    }

    if (max == 0 || m->expires - now <= max) {
        return NGX_OK;
    }

    p = ngx_http_access_token_api_print_time(buf, now + max);
    last.data = buf;
    last.len = p - buf;

    if (max % 86400) {
        return ngx_http_access_token_api_invalid(ctx, &pointer,
                   "has to be at most %T seconds from now: %V", max, &last);
    }

    return ngx_http_access_token_api_invalid(ctx, &pointer,
               "has to be at most %T days from now: %V", max / 86400, &last);
}


static ngx_int_t
ngx_http_access_token_api_check_admin(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m)
{
    if (value->type != NGX_HTTP_ACCESS_TOKEN_API_BOOLEAN) {
        return NGX_DECLINED;
    }

    m->admin = (value->integer != 0);

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_check_grace(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_http_access_token_api_value_t *value,
    ngx_http_access_token_api_members_t *m)
{
    if (value->type != NGX_HTTP_ACCESS_TOKEN_API_INTEGER
        || value->integer < 0
        || value->integer > NGX_ACCESS_TOKEN_GRACE_MAX)
    {
        return NGX_DECLINED;
    }

    m->grace = (time_t) value->integer;

    return NGX_OK;
}


/* NGX_ERROR, not NGX_DECLINED, if there is no memory */

static ngx_int_t
ngx_http_access_token_api_copy(ngx_pool_t *pool, const ngx_str_t *from,
    ngx_str_t *to)
{
    to->len = from->len;

    /* an empty text has to have an address as well */
    to->data = ngx_pnalloc(pool, from->len + 1);
    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, from->data, from->len);

    return NGX_OK;
}
