
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * $access_token_*: what the token that let the request in says of itself, and
 * the verdict on the request.  A token that was refused says nothing here: an
 * upstream that trusts these variables must not hear it where another module
 * lets the request in ("satisfy any").
 *
 * Nothing is cached: a variable may be asked for before the access phase, and
 * the verdict may change with an internal redirect.
 */


#include <ngx_http_access_token.h>


static ngx_int_t ngx_http_access_token_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_access_token_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_access_token_level_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_access_token_role_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_access_token_expires_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_access_token_verdict_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_access_token_cache_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static const ngx_access_token_t *ngx_http_access_token_of(
    ngx_http_request_t *r, ngx_http_variable_value_t *v);
static void ngx_http_access_token_set_value(ngx_http_variable_value_t *v,
    u_char *data, size_t len);


static ngx_http_variable_t  ngx_http_access_token_variables[] = {

    { ngx_string("access_token_id"), NULL,
      ngx_http_access_token_id_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("access_token_name"), NULL,
      ngx_http_access_token_text_variable,
      offsetof(ngx_access_token_t, name), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("access_token_organization"), NULL,
      ngx_http_access_token_text_variable,
      offsetof(ngx_access_token_t, owner.organization),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("access_token_group"), NULL,
      ngx_http_access_token_text_variable,
      offsetof(ngx_access_token_t, owner.group),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("access_token_level"), NULL,
      ngx_http_access_token_level_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("access_token_role"), NULL,
      ngx_http_access_token_role_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("access_token_technical_user"), NULL,
      ngx_http_access_token_text_variable,
      offsetof(ngx_access_token_t, technical_user),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("access_token_expires"), NULL,
      ngx_http_access_token_expires_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("access_token_verdict"), NULL,
      ngx_http_access_token_verdict_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("access_token_cache"), NULL,
      ngx_http_access_token_cache_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_int_t
ngx_http_access_token_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const ngx_str_t           *text;
    const ngx_access_token_t  *token;

    token = ngx_http_access_token_of(r, v);

    if (token) {
        text = (const ngx_str_t *) ((const u_char *) token + data);
        ngx_http_access_token_set_value(v, text->data, text->len);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const ngx_access_token_t  *token;

    token = ngx_http_access_token_of(r, v);

    if (token) {
        ngx_http_access_token_set_value(v, (u_char *) token->id,
                                        NGX_ACCESS_TOKEN_ID_LEN);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_level_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  text;
    const ngx_access_token_t  *token;

    token = ngx_http_access_token_of(r, v);

    if (token) {
        if (token->owner.group.len) {
            ngx_str_set(&text, "group");

        } else {
            ngx_str_set(&text, "organization");
        }

        ngx_http_access_token_set_value(v, text.data, text.len);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_role_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  text;
    const ngx_access_token_t  *token;

    token = ngx_http_access_token_of(r, v);

    if (token) {
        if (token->owner.group.len && token->admin) {
            ngx_str_set(&text, "group_admin");

        } else if (token->owner.group.len) {
            ngx_str_set(&text, "group_user");

        } else if (token->admin) {
            ngx_str_set(&text, "organization_admin");

        } else {
            ngx_str_set(&text, "organization_user");
        }

        ngx_http_access_token_set_value(v, text.data, text.len);
    }

    return NGX_OK;
}


/* 0: never */

static ngx_int_t
ngx_http_access_token_expires_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                    *p;
    const ngx_access_token_t  *token;

    token = ngx_http_access_token_of(r, v);

    if (token == NULL) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_http_access_token_set_value(v, p,
                                    ngx_sprintf(p, "%T", token->expires) - p);

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_verdict_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                    text;
    const ngx_access_token_t    *token;
    ngx_access_token_verdict_e   verdict;

    if (ngx_http_access_token_result(r, &verdict, &token) != NGX_OK) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (verdict) {

    case NGX_ACCESS_TOKEN_ACTIVE:
        ngx_str_set(&text, "active");
        break;

    case NGX_ACCESS_TOKEN_MISSING:
        ngx_str_set(&text, "missing");
        break;

    case NGX_ACCESS_TOKEN_MALFORMED:
        ngx_str_set(&text, "malformed");
        break;

    case NGX_ACCESS_TOKEN_UNKNOWN:
        ngx_str_set(&text, "unknown");
        break;

    case NGX_ACCESS_TOKEN_REVOKED:
        ngx_str_set(&text, "revoked");
        break;

    case NGX_ACCESS_TOKEN_EXPIRED:
        ngx_str_set(&text, "expired");
        break;

    case NGX_ACCESS_TOKEN_FORBIDDEN:
        ngx_str_set(&text, "forbidden");
        break;

    default: /* NGX_ACCESS_TOKEN_UNAVAILABLE */
        ngx_str_set(&text, "unavailable");
    }

    ngx_http_access_token_set_value(v, text.data, text.len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_cache_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  text;
    ngx_access_token_cached_e  cached;

    if (ngx_http_access_token_cached(r, &cached) != NGX_OK) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (cached) {

    case NGX_ACCESS_TOKEN_HIT:
        ngx_str_set(&text, "HIT");
        break;

    case NGX_ACCESS_TOKEN_MISS:
        ngx_str_set(&text, "MISS");
        break;

    default: /* NGX_ACCESS_TOKEN_BYPASS */
        ngx_str_set(&text, "BYPASS");
    }

    ngx_http_access_token_set_value(v, text.data, text.len);

    return NGX_OK;
}


/* NULL, and v is not found, if no token let the request in */

static const ngx_access_token_t *
ngx_http_access_token_of(ngx_http_request_t *r, ngx_http_variable_value_t *v)
{
    const ngx_access_token_t    *token;
    ngx_access_token_verdict_e   verdict;

    if (ngx_http_access_token_result(r, &verdict, &token) != NGX_OK
        || token == NULL)
    {
        v->not_found = 1;
        return NULL;
    }

    return token;
}


static void
ngx_http_access_token_set_value(ngx_http_variable_value_t *v, u_char *data,
    size_t len)
{
    v->data = data;
    v->len = len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
}


ngx_int_t
ngx_http_access_token_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_access_token_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}
