
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The routes of the admin API, one function each.  A route reads its input,
 * asks the store, and has what comes back written in its "await" function.
 *
 * What always holds: the caller has the right to do it here (api.c has seen to
 * that), so what is left to find out is whether the owner has such a token.
 * A change is answered with success only once Redis has made it, and with 202
 * if replicas were to have it and are not known to.
 */


#include <ngx_http_access_token_api.h>


static ngx_uint_t ngx_http_access_token_api_sees_all(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_own_names(
    ngx_http_access_token_api_ctx_t *ctx, ngx_access_token_filter_t *filter);
static ngx_str_t *ngx_http_access_token_api_own_name(
    ngx_http_access_token_api_ctx_t *ctx,
    ngx_http_access_token_api_grant_t *grant);
static int ngx_libc_cdecl ngx_http_access_token_api_cmp_names(const void *one,
    const void *two);
static ngx_int_t ngx_http_access_token_api_await_organizations(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_await_groups(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_await_list(
    ngx_http_access_token_api_ctx_t *ctx);

static ngx_int_t ngx_http_access_token_api_await_create(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_location(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *id);
static ngx_int_t ngx_http_access_token_api_await_get(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_await_change(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_await_delete(
    ngx_http_access_token_api_ctx_t *ctx);

static ngx_int_t ngx_http_access_token_api_await(
    ngx_http_access_token_api_ctx_t *ctx, ngx_int_t rc,
    ngx_http_access_token_api_pt step);
static ngx_int_t ngx_http_access_token_api_lost(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_failed(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_render(
    ngx_http_access_token_api_ctx_t *ctx, ngx_int_t status);


ngx_int_t
ngx_http_access_token_api_organizations(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_access_token_filter_t  filter;

    rc = ngx_http_access_token_api_query(ctx, &filter);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_http_access_token_api_sees_all(ctx)) {
        rc = ngx_http_access_token_api_own_names(ctx, &filter);

        if (rc == NGX_OK) {
            rc = ngx_http_access_token_api_json_organizations(ctx);
        }

        return rc == NGX_OK ? NGX_HTTP_OK : rc;
    }

    rc = ngx_access_token_store_organizations(&ctx->op, filter.limit,
                                              &filter.cursor);

    return ngx_http_access_token_api_await(ctx, rc,
                                ngx_http_access_token_api_await_organizations);
}


ngx_int_t
ngx_http_access_token_api_groups(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_access_token_filter_t  filter;

    rc = ngx_http_access_token_api_query(ctx, &filter);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_http_access_token_api_sees_all(ctx)) {
        rc = ngx_http_access_token_api_own_names(ctx, &filter);

        if (rc == NGX_OK) {
            rc = ngx_http_access_token_api_json_groups(ctx);
        }

        return rc == NGX_OK ? NGX_HTTP_OK : rc;
    }

    rc = ngx_access_token_store_groups(&ctx->op, &ctx->owner.organization,
                                       filter.limit, &filter.cursor);

    return ngx_http_access_token_api_await(ctx, rc,
                                       ngx_http_access_token_api_await_groups);
}


/*
 * Whether the caller sees all names, or only those of its own roles.  Who may
 * do what they like with the organization's tokens sees all its groups.
 */

static ngx_uint_t
ngx_http_access_token_api_sees_all(ngx_http_access_token_api_ctx_t *ctx)
{
    if (ctx->route->right == NGX_HTTP_ACCESS_TOKEN_API_ORGANIZATIONS) {
        return ctx->caller.root;
    }

    return ngx_http_access_token_api_may(&ctx->caller,
                                         NGX_HTTP_ACCESS_TOKEN_API_TOKENS,
                                         &ctx->owner);
}


/* Those of the caller's own roles, as a page of the store's form. */

static ngx_int_t
ngx_http_access_token_api_own_names(ngx_http_access_token_api_ctx_t *ctx,
    ngx_access_token_filter_t *filter)
{
    ngx_str_t                          *names, *name;
    ngx_uint_t                          i, n;
    ngx_access_token_op_t              *op;
    ngx_http_access_token_api_grant_t  *grants;

    op = &ctx->op;
    grants = ctx->caller.grants.elts;

    names = ngx_palloc(ctx->request->pool,
                       ctx->caller.grants.nelts * sizeof(ngx_str_t));
    if (names == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    for (i = 0; i < ctx->caller.grants.nelts; i++) {
        name = ngx_http_access_token_api_own_name(ctx, &grants[i]);

        if (name
            && (filter->cursor.len == 0
                || ngx_http_access_token_api_cmp_names(name, &filter->cursor)
                   > 0))
        {
            names[n++] = *name;
        }
    }

    ngx_qsort(names, n, sizeof(ngx_str_t),
              ngx_http_access_token_api_cmp_names);

    op->names = names;

    for (i = 0; i < n; i++) {

        if (op->n
            && ngx_access_token_same(&names[op->n - 1], &names[i]))
        {
            continue;
        }

        if (op->n == filter->limit) {
            op->next_cursor = names[op->n - 1];
            break;
        }

        names[op->n++] = names[i];
    }

    return NGX_OK;
}


static ngx_str_t *
ngx_http_access_token_api_own_name(ngx_http_access_token_api_ctx_t *ctx,
    ngx_http_access_token_api_grant_t *grant)
{
    if (!grant->admin) {
        return NULL;
    }

    if (ctx->route->right == NGX_HTTP_ACCESS_TOKEN_API_ORGANIZATIONS) {
        return grant->owner.group.len ? NULL : &grant->owner.organization;
    }

    if (grant->owner.group.len
        && ngx_access_token_same(&grant->owner.organization,
                                          &ctx->owner.organization))
    {
        return &grant->owner.group;
    }

    return NULL;
}


static int ngx_libc_cdecl
ngx_http_access_token_api_cmp_names(const void *one, const void *two)
{
    ngx_int_t         rc;
    const ngx_str_t  *first, *second;

    first = one;
    second = two;

    rc = ngx_memcmp(first->data, second->data,
                    ngx_min(first->len, second->len));

    if (rc == 0) {
        rc = (ngx_int_t) first->len - (ngx_int_t) second->len;
    }

    return rc < 0 ? -1 : rc > 0;
}


static ngx_int_t
ngx_http_access_token_api_await_organizations(
    ngx_http_access_token_api_ctx_t *ctx)
{
    if (ctx->op.rc != NGX_OK) {
        return ngx_http_access_token_api_failed(ctx);
    }

    return ngx_http_access_token_api_json_organizations(ctx) == NGX_OK
           ? NGX_HTTP_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_access_token_api_await_groups(ngx_http_access_token_api_ctx_t *ctx)
{
    if (ctx->op.rc != NGX_OK) {
        return ngx_http_access_token_api_failed(ctx);
    }

    return ngx_http_access_token_api_json_groups(ctx) == NGX_OK
           ? NGX_HTTP_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_access_token_api_list(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_access_token_filter_t  filter;

    rc = ngx_http_access_token_api_query(ctx, &filter);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_access_token_store_list(&ctx->op, &ctx->owner, &filter);

    return ngx_http_access_token_api_await(ctx, rc,
                                         ngx_http_access_token_api_await_list);
}


static ngx_int_t
ngx_http_access_token_api_await_list(ngx_http_access_token_api_ctx_t *ctx)
{
    if (ctx->op.rc != NGX_OK) {
        return ngx_http_access_token_api_failed(ctx);
    }

    return ngx_http_access_token_api_json_tokens(ctx) == NGX_OK
           ? NGX_HTTP_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_access_token_api_create(ngx_http_access_token_api_ctx_t *ctx)
{
    u_char                               user[NGX_ACCESS_TOKEN_USER_LEN];
    ngx_int_t                            rc;
    ngx_uint_t                           required;
    ngx_time_t                          *tp;
    ngx_access_token_t                   t;
    ngx_access_token_key_t               key;
    ngx_http_access_token_api_members_t  m;

    required = NGX_HTTP_ACCESS_TOKEN_API_NAME;

    if (ctx->main->max_lifetime) {
        required |= NGX_HTTP_ACCESS_TOKEN_API_EXPIRES;
    }

    rc = ngx_http_access_token_api_members(ctx,
                                       NGX_HTTP_ACCESS_TOKEN_API_NAME
                                       |NGX_HTTP_ACCESS_TOKEN_API_DESCRIPTION
                                       |NGX_HTTP_ACCESS_TOKEN_API_EXPIRES
                                       |NGX_HTTP_ACCESS_TOKEN_API_ADMIN,
                                       required, &m);
    if (rc != NGX_OK) {
        return rc;
    }

    tp = ngx_timeofday();
    ctx->token.data = ctx->token_buf;

    if (ngx_access_token_generate_user(user) != NGX_OK
        || ngx_access_token_generate(&ctx->main->store.token_prefix,
                                     &ctx->owner.organization, NULL,
                                     (uint64_t) tp->sec * 1000 + tp->msec,
                                     &ctx->token, &key)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&t, sizeof(ngx_access_token_t));

    ngx_memcpy(t.id, key.id, NGX_ACCESS_TOKEN_ID_LEN);
    ngx_memcpy(t.digest, key.digest, NGX_ACCESS_TOKEN_DIGEST_LEN);

    t.owner = ctx->owner;
    t.name = m.name;
    t.description = m.description;
    t.technical_user.data = user;
    t.technical_user.len = NGX_ACCESS_TOKEN_USER_LEN;
    t.expires = m.expires;
    t.admin = m.admin;
    t.created = tp->sec;
    t.created_by = ctx->caller.actor;

    rc = ngx_access_token_store_create(&ctx->op, &t);

    return ngx_http_access_token_api_await(ctx, rc,
                                       ngx_http_access_token_api_await_create);
}


static ngx_int_t
ngx_http_access_token_api_await_create(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_str_t  id;

    if (ctx->op.rc != NGX_OK || ctx->op.n == 0) {
        return ngx_http_access_token_api_failed(ctx);
    }

    id.data = ctx->op.tokens[0].id;
    id.len = NGX_ACCESS_TOKEN_ID_LEN;

    if (ngx_http_access_token_api_location(ctx, &id) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_access_token_api_render(ctx, ctx->op.unreplicated
                                                 ? NGX_HTTP_ACCEPTED
                                                 : NGX_HTTP_CREATED);
}


/* The path that the client has asked for, and the id below it. */

static ngx_int_t
ngx_http_access_token_api_location(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *id)
{
    u_char     *p;
    ngx_str_t   path, value;

    path = ctx->request->unparsed_uri;

    p = ngx_strlchr(path.data, path.data + path.len, '?');
    if (p) {
        path.len = p - path.data;
    }

    value.len = path.len + 1 + id->len;
    value.data = ngx_pnalloc(ctx->request->pool, value.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(value.data, "%V/%V", &path, id);

    return ngx_http_access_token_api_header(ctx->request, "Location", &value);
}


ngx_int_t
ngx_http_access_token_api_get(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_access_token_store_get(&ctx->op, &ctx->owner, ctx->id.data);

    return ngx_http_access_token_api_await(ctx, rc,
                                          ngx_http_access_token_api_await_get);
}


static ngx_int_t
ngx_http_access_token_api_await_get(ngx_http_access_token_api_ctx_t *ctx)
{
    if (ctx->op.rc != NGX_OK) {
        return ngx_http_access_token_api_failed(ctx);
    }

    return ngx_http_access_token_api_render(ctx, NGX_HTTP_OK);
}


ngx_int_t
ngx_http_access_token_api_patch(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t                            rc;
    static const ngx_str_t               root = ngx_null_string;
    ngx_access_token_patch_t             patch;
    ngx_http_access_token_api_members_t  m;

    rc = ngx_http_access_token_api_members(ctx,
                                       NGX_HTTP_ACCESS_TOKEN_API_NAME
                                       |NGX_HTTP_ACCESS_TOKEN_API_DESCRIPTION
                                       |NGX_HTTP_ACCESS_TOKEN_API_EXPIRES,
                                       0, &m);
    if (rc != NGX_OK) {
        return rc;
    }

    if (m.set == 0) {
        return ngx_http_access_token_api_invalid(ctx, &root,
                   "has to hold one at least of name, description, "
                   "expires_at");
    }

    ngx_memzero(&patch, sizeof(ngx_access_token_patch_t));

    if (m.set & NGX_HTTP_ACCESS_TOKEN_API_NAME) {
        patch.name = &m.name;
    }

    if (m.set & NGX_HTTP_ACCESS_TOKEN_API_DESCRIPTION) {
        patch.description = &m.description;
    }

    if (m.set & NGX_HTTP_ACCESS_TOKEN_API_EXPIRES) {
        patch.expires = &m.expires;
    }

    rc = ngx_access_token_store_patch(&ctx->op, &ctx->owner, ctx->id.data,
                                      &patch);

    return ngx_http_access_token_api_await(ctx, rc,
                                       ngx_http_access_token_api_await_change);
}


ngx_int_t
ngx_http_access_token_api_revoke(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t                            rc;
    ngx_http_access_token_api_members_t  m;

    rc = ngx_http_access_token_api_members(ctx, 0, 0, &m);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_access_token_store_revoke(&ctx->op, &ctx->owner, ctx->id.data);

    return ngx_http_access_token_api_await(ctx, rc,
                                       ngx_http_access_token_api_await_change);
}


ngx_int_t
ngx_http_access_token_api_activate(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t                            rc;
    ngx_http_access_token_api_members_t  m;

    rc = ngx_http_access_token_api_members(ctx, 0, 0, &m);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_access_token_store_activate(&ctx->op, &ctx->owner, ctx->id.data);

    return ngx_http_access_token_api_await(ctx, rc,
                                       ngx_http_access_token_api_await_change);
}


ngx_int_t
ngx_http_access_token_api_rotate(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t                            rc;
    ngx_time_t                          *tp;
    ngx_access_token_key_t               key;
    ngx_http_access_token_api_members_t  m;

    rc = ngx_http_access_token_api_members(ctx,
                                       NGX_HTTP_ACCESS_TOKEN_API_GRACE, 0,
                                       &m);
    if (rc != NGX_OK) {
        return rc;
    }

    tp = ngx_timeofday();
    ctx->token.data = ctx->token_buf;

    if (ngx_access_token_generate(&ctx->main->store.token_prefix,
                                  &ctx->owner.organization, ctx->id.data,
                                  (uint64_t) tp->sec * 1000 + tp->msec,
                                  &ctx->token, &key)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_access_token_store_rotate(&ctx->op, &ctx->owner, &key, m.grace);

    return ngx_http_access_token_api_await(ctx, rc,
                                       ngx_http_access_token_api_await_change);
}


static ngx_int_t
ngx_http_access_token_api_await_change(ngx_http_access_token_api_ctx_t *ctx)
{
    if (ctx->op.rc != NGX_OK) {
        return ngx_http_access_token_api_failed(ctx);
    }

    return ngx_http_access_token_api_render(ctx, ctx->op.unreplicated
                                                 ? NGX_HTTP_ACCEPTED
                                                 : NGX_HTTP_OK);
}


ngx_int_t
ngx_http_access_token_api_delete(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_access_token_store_delete(&ctx->op, &ctx->owner, ctx->id.data);

    return ngx_http_access_token_api_await(ctx, rc,
                                       ngx_http_access_token_api_await_delete);
}


static ngx_int_t
ngx_http_access_token_api_await_delete(ngx_http_access_token_api_ctx_t *ctx)
{
    if (ctx->op.unreplicated) {
        return ngx_http_access_token_api_json_deleted(ctx) == NGX_OK
               ? NGX_HTTP_ACCEPTED : NGX_ERROR;
    }

    if (ctx->op.rc != NGX_OK) {
        return ngx_http_access_token_api_failed(ctx);
    }

    return NGX_HTTP_NO_CONTENT;
}


/* All of it is known by now: Redis is not asked again. */

ngx_int_t
ngx_http_access_token_api_get_caller(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_http_access_token_api_distinct(&ctx->caller);

    return ngx_http_access_token_api_json_caller(ctx) == NGX_OK
           ? NGX_HTTP_OK : NGX_ERROR;
}


/* The store was asked, and rc is what it said: wait for the answer. */

static ngx_int_t
ngx_http_access_token_api_await(ngx_http_access_token_api_ctx_t *ctx,
    ngx_int_t rc, ngx_http_access_token_api_pt step)
{
    if (rc != NGX_AGAIN) {
        return ngx_http_access_token_api_refuse(ctx,
                   NGX_HTTP_SERVICE_UNAVAILABLE,
                   "Redis cannot be asked at present, and nothing was "
                   "changed: repeat the request");
    }

    ctx->op_waits = 1;
    ctx->step = step;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_access_token_api_lost(ngx_http_access_token_api_ctx_t *ctx)
{
    if (ctx->request->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return ngx_http_access_token_api_refuse(ctx,
                   NGX_HTTP_SERVICE_UNAVAILABLE,
                   "Redis does not answer at present: repeat the request");
    }

    return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
               "Redis did not confirm the change: it may or may not have "
               "been made; repeat the request");
}


/* The store's answer is not NGX_OK. */

static ngx_int_t
ngx_http_access_token_api_failed(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_access_token_op_t  *op;

    op = &ctx->op;

    if (op->rc == NGX_DECLINED) {
        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                   "The owner has no such access token, or no longer");
    }

    if (op->rc != NGX_BUSY || op->n == 0) {
        return ngx_http_access_token_api_lost(ctx);
    }

    if (ngx_access_token_status(&op->tokens[0], ngx_time())
        == NGX_ACCESS_TOKEN_EXPIRED)
    {
        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_CONFLICT,
                   "The access token has expired: give it a later expires_at "
                   "first, with PATCH");
    }

    return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_CONFLICT,
               "The access token is revoked: activate it first");
}


static ngx_int_t
ngx_http_access_token_api_render(ngx_http_access_token_api_ctx_t *ctx,
    ngx_int_t status)
{
    if (ctx->op.n == 0) {
        return ngx_http_access_token_api_lost(ctx);
    }

    if (ngx_http_access_token_api_json_token(ctx, &ctx->op.tokens[0])
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return status;
}
