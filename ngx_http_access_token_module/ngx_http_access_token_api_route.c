
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The routes of the admin API: which there are, and which one a request means.
 *
 * A path is only ever taken in the one plain spelling.  So no two readers of
 * it, such as a rule in front of the API and the API, can find two different
 * owners in it.
 */


#include <ngx_http_access_token_api.h>


static ngx_int_t ngx_http_access_token_api_find_route(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_uint_t ngx_http_access_token_api_is_plain(const ngx_str_t *uri);
static ngx_uint_t ngx_http_access_token_api_match(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *pattern,
    const ngx_str_t *path);
static ngx_uint_t ngx_http_access_token_api_segment(ngx_str_t *path,
    ngx_str_t *segment);
static ngx_http_access_token_api_pt ngx_http_access_token_api_method(
    const ngx_http_access_token_api_route_t *route, ngx_uint_t method);
static ngx_int_t ngx_http_access_token_api_allow(
    ngx_http_access_token_api_ctx_t *ctx, ngx_int_t status);


/*
 * Below the prefix of the location.  A segment in braces is the id of an
 * organization, of a group, of a token; any other is itself.
 */

static const ngx_http_access_token_api_route_t
    ngx_http_access_token_api_routes[NGX_HTTP_ACCESS_TOKEN_API_ROUTES] =
{
    /* path, right,
       GET, POST, PATCH, DELETE */

    { ngx_string("/organizations"),
      NGX_HTTP_ACCESS_TOKEN_API_ORGANIZATIONS,
      ngx_http_access_token_api_organizations, NULL, NULL, NULL },

    { ngx_string("/organizations/{o}/groups"),
      NGX_HTTP_ACCESS_TOKEN_API_GROUPS,
      ngx_http_access_token_api_groups, NULL, NULL, NULL },

    { ngx_string("/organizations/{o}/access-tokens"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      ngx_http_access_token_api_list, ngx_http_access_token_api_create,
      NULL, NULL },

    { ngx_string("/organizations/{o}/access-tokens/{id}"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      ngx_http_access_token_api_get, NULL,
      ngx_http_access_token_api_patch, ngx_http_access_token_api_delete },

    { ngx_string("/organizations/{o}/access-tokens/{id}/revoke"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      NULL, ngx_http_access_token_api_revoke, NULL, NULL },

    { ngx_string("/organizations/{o}/access-tokens/{id}/activate"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      NULL, ngx_http_access_token_api_activate, NULL, NULL },

    { ngx_string("/organizations/{o}/access-tokens/{id}/rotate"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      NULL, ngx_http_access_token_api_rotate, NULL, NULL },

    { ngx_string("/organizations/{o}/groups/{g}/access-tokens"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      ngx_http_access_token_api_list, ngx_http_access_token_api_create,
      NULL, NULL },

    { ngx_string("/organizations/{o}/groups/{g}/access-tokens/{id}"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      ngx_http_access_token_api_get, NULL,
      ngx_http_access_token_api_patch, ngx_http_access_token_api_delete },

    { ngx_string("/organizations/{o}/groups/{g}/access-tokens/{id}/revoke"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      NULL, ngx_http_access_token_api_revoke, NULL, NULL },

    { ngx_string("/organizations/{o}/groups/{g}/access-tokens/{id}/activate"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      NULL, ngx_http_access_token_api_activate, NULL, NULL },

    { ngx_string("/organizations/{o}/groups/{g}/access-tokens/{id}/rotate"),
      NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
      NULL, ngx_http_access_token_api_rotate, NULL, NULL },

    { ngx_string("/caller"),
      NGX_HTTP_ACCESS_TOKEN_API_CALLER,
      ngx_http_access_token_api_get_caller, NULL, NULL, NULL },

    { ngx_string("/self"),
      NGX_HTTP_ACCESS_TOKEN_API_SELF,
      ngx_http_access_token_api_get, NULL,
      NULL, ngx_http_access_token_api_delete },

    { ngx_string("/self/revoke"),
      NGX_HTTP_ACCESS_TOKEN_API_SELF,
      NULL, ngx_http_access_token_api_revoke, NULL, NULL },

    { ngx_string("/self/rotate"),
      NGX_HTTP_ACCESS_TOKEN_API_SELF,
      NULL, ngx_http_access_token_api_rotate, NULL, NULL },

    { ngx_null_string, NGX_HTTP_ACCESS_TOKEN_API_NOTHING,
      NULL, NULL, NULL, NULL }
};


ngx_int_t
ngx_http_access_token_api_route(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    rc = ngx_http_access_token_api_find_route(ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if (r->method == NGX_HTTP_OPTIONS) {
        return ngx_http_access_token_api_allow(ctx, NGX_HTTP_NO_CONTENT);
    }

    ctx->handler = ngx_http_access_token_api_method(ctx->route, r->method);

    if (ctx->handler == NULL) {
        return ngx_http_access_token_api_allow(ctx, NGX_HTTP_NOT_ALLOWED);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_find_route(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_str_t                                 base, path;
    ngx_http_request_t                       *r;
    ngx_http_core_loc_conf_t                 *clcf;
    const ngx_http_access_token_api_route_t  *route;

    r = ctx->request;

    /*
     * nginx has unescaped and normalised r->uri; what it was made of could
     * mean another owner to whatever else reads the path, such as a rule in
     * front of us.  So it has to be written in the one plain way.
     */

    if (!ngx_http_access_token_api_is_plain(&r->unparsed_uri)) {
        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                   "Write the path plainly: no percent-escapes, no empty "
                   "segments, no \".\" or \"..\", no slash at the end");
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    base = clcf->name;

    if (base.len && base.data[base.len - 1] == '/') {
        base.len--;
    }

    if (r->uri.len > base.len
        && ngx_strncmp(r->uri.data, base.data, base.len) == 0)
    {
        path.len = r->uri.len - base.len;
        path.data = r->uri.data + base.len;

        for (route = ngx_http_access_token_api_routes;
             route->path.len;
             route++)
        {
            if (ngx_http_access_token_api_match(ctx, &route->path, &path)) {
                ctx->route = route;
                return NGX_OK;
            }
        }
    }

    return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
               "There is no such path; see the documentation of the API for "
               "those that there are");
}


ngx_uint_t
ngx_http_access_token_api_row(const ngx_http_access_token_api_ctx_t *ctx)
{
    if (ctx->route == NULL) {
        return NGX_HTTP_ACCESS_TOKEN_API_ROUTES - 1;
    }

    return ctx->route - ngx_http_access_token_api_routes;
}


const ngx_str_t *
ngx_http_access_token_api_row_path(ngx_uint_t row)
{
    static const ngx_str_t  unknown = ngx_string("unknown");

    const ngx_str_t  *path;

    path = &ngx_http_access_token_api_routes[row].path;

    return path->len ? path : &unknown;
}


static ngx_uint_t
ngx_http_access_token_api_is_plain(const ngx_str_t *uri)
{
    u_char     *p;
    ngx_str_t   path, segment;

    path = *uri;

    p = ngx_strlchr(path.data, path.data + path.len, '?');
    if (p) {
        path.len = p - path.data;
    }

    for (p = path.data; p < path.data + path.len; p++) {
        if (*p <= ' ' || *p >= 0x7f || *p == '%' || *p == '#' || *p == '\\') {
            return 0;
        }
    }

    while (ngx_http_access_token_api_segment(&path, &segment)) {
        if (segment.len == 0
            || (segment.len == 1 && segment.data[0] == '.')
            || (segment.len == 2 && ngx_strncmp(segment.data, "..", 2) == 0))
        {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_http_access_token_api_match(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *pattern, const ngx_str_t *path)
{
    ngx_int_t                 rc;
    ngx_str_t                 want, have, pattern_rest, path_rest, id;
    ngx_access_token_owner_t  owner;

    ngx_memzero(&owner, sizeof(ngx_access_token_owner_t));
    ngx_str_null(&id);

    pattern_rest = *pattern;
    path_rest = *path;

    while (ngx_http_access_token_api_segment(&pattern_rest, &want)) {

        if (!ngx_http_access_token_api_segment(&path_rest, &have)) {
            return 0;
        }

        if (want.data[0] != '{') {
            rc = ngx_access_token_same(&want, &have) ? NGX_OK
                                                              : NGX_DECLINED;

        } else if (want.data[1] == 'o') {
            owner.organization = have;
            rc = ngx_access_token_check_owner(&have);

        } else if (want.data[1] == 'g') {
            owner.group = have;
            rc = ngx_access_token_check_owner(&have);

        } else {
            id = have;
            rc = ngx_access_token_check_id(&have);
        }

        if (rc != NGX_OK) {
            return 0;
        }
    }

    if (path_rest.len) {
        return 0;
    }

    ctx->owner = owner;
    ctx->id = id;

    return 1;
}


/* Takes "/segment" from the front of path; 0 if there is none. */

static ngx_uint_t
ngx_http_access_token_api_segment(ngx_str_t *path, ngx_str_t *segment)
{
    u_char  *p, *last;

    if (path->len == 0 || path->data[0] != '/') {
        return 0;
    }

    last = path->data + path->len;
    segment->data = path->data + 1;

    p = ngx_strlchr(segment->data, last, '/');
    if (p == NULL) {
        p = last;
    }

    segment->len = p - segment->data;
    path->data = p;
    path->len = last - p;

    return 1;
}


static ngx_http_access_token_api_pt
ngx_http_access_token_api_method(
    const ngx_http_access_token_api_route_t *route, ngx_uint_t method)
{
    switch (method) {

    case NGX_HTTP_GET:
    case NGX_HTTP_HEAD:
        return route->get;

    case NGX_HTTP_POST:
        return route->post;

    case NGX_HTTP_PATCH:
        return route->patch;

    case NGX_HTTP_DELETE:
        return route->delete;

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_http_access_token_api_allow(ngx_http_access_token_api_ctx_t *ctx,
    ngx_int_t status)
{
    u_char                                   *p;
    ngx_str_t                                 allow;
    const ngx_http_access_token_api_route_t  *route;

    route = ctx->route;

    allow.data = ngx_pnalloc(ctx->request->pool,
                       sizeof("GET, HEAD, POST, PATCH, DELETE, OPTIONS") - 1);
    if (allow.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(allow.data, "%s%s%s%sOPTIONS",
                    route->get ? "GET, HEAD, " : "",
                    route->post ? "POST, " : "",
                    route->patch ? "PATCH, " : "",
                    route->delete ? "DELETE, " : "");

    allow.len = p - allow.data;

    if (ngx_http_access_token_api_header(ctx->request, "Allow", &allow)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (status == NGX_HTTP_NO_CONTENT) {
        return status;
    }

    return ngx_http_access_token_api_refuse(ctx, status,
                                            "This path allows %V", &allow);
}
