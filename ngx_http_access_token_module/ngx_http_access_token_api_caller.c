
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Who calls the admin API, and what they may do.
 *
 *     Authorization: Bearer …  --> root's digest?   --> root
 *                              --> an access token? --> its role
 *     none of it               --> trusted identity --> its roles
 *     none of that             --> 401
 *
 * What always holds: a bearer token decides alone, a bad one never falls back
 * to the identity.  May() is the only place that grants, and whatever it does
 * not know it denies.
 */


#include <ngx_http_access_token_api.h>


static ngx_int_t ngx_http_access_token_api_bearer(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *token);
static ngx_uint_t ngx_http_access_token_api_is_root(
    const ngx_array_t *root, const u_char *digest);
static void ngx_http_access_token_api_known(ngx_access_token_lookup_t *l);
static ngx_int_t ngx_http_access_token_api_bad_token(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_unavailable(
    ngx_http_access_token_api_ctx_t *ctx);

static ngx_int_t ngx_http_access_token_api_identity(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_check_origin(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_uint_t ngx_http_access_token_api_has_header(ngx_http_request_t *r,
    const ngx_str_t *name, const ngx_str_t *value);
static ngx_int_t ngx_http_access_token_api_roles(
    ngx_http_access_token_api_caller_t *caller, const ngx_str_t *roles);
static ngx_int_t ngx_http_access_token_api_role(
    ngx_http_access_token_api_caller_t *caller, const ngx_str_t *entry);
static ngx_int_t ngx_http_access_token_api_grant(
    ngx_http_access_token_api_caller_t *caller,
    const ngx_access_token_owner_t *owner, ngx_uint_t admin);
static ngx_int_t ngx_http_access_token_api_actor(
    ngx_http_access_token_api_ctx_t *ctx, const char *kind,
    const u_char *name, size_t len);
static ngx_uint_t ngx_http_access_token_api_covers(
    const ngx_http_access_token_api_grant_t *grant,
    ngx_http_access_token_api_right_e right,
    const ngx_access_token_owner_t *owner);
static ngx_uint_t ngx_http_access_token_api_same_grant(
    const ngx_http_access_token_api_grant_t *one,
    const ngx_http_access_token_api_grant_t *two);


typedef struct {
    ngx_str_t                            name;
    unsigned                             group:1;
    unsigned                             admin:1;
} ngx_http_access_token_api_role_t;


static const ngx_http_access_token_api_role_t
    ngx_http_access_token_api_role_names[] =
{
    { ngx_string("organization_admin:"), 0, 1 },
    { ngx_string("organization_user:"),  0, 0 },
    { ngx_string("group_admin:"),        1, 1 },
    { ngx_string("group_user:"),         1, 0 },
    { ngx_null_string, 0, 0 }
};


/* at the API a token is looked for in Authorization alone */

static ngx_http_access_token_source_t  ngx_http_access_token_api_source = {
    NGX_HTTP_ACCESS_TOKEN_BEARER, ngx_null_string
};

static const ngx_array_t  ngx_http_access_token_api_sources = {
    &ngx_http_access_token_api_source, 1,
    sizeof(ngx_http_access_token_source_t), 1, NULL
};


static const ngx_str_t  ngx_http_access_token_api_requested_with =
    ngx_string("X-Requested-With");
static const ngx_str_t  ngx_http_access_token_api_fetch_site =
    ngx_string("Sec-Fetch-Site");
static const ngx_str_t  ngx_http_access_token_api_cross_site =
    ngx_string("cross-site");


ngx_int_t
ngx_http_access_token_api_caller(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_str_t   token;

    if (ngx_array_init(&ctx->caller.grants, ctx->request->pool, 2,
                       sizeof(ngx_http_access_token_api_grant_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_access_token_take(ctx->request,
                                    &ngx_http_access_token_api_sources,
                                    &token);

    switch (rc) {

    case NGX_OK:
        return ngx_http_access_token_api_bearer(ctx, &token);

    case NGX_DECLINED:
        return ngx_http_access_token_api_identity(ctx);

    case NGX_HTTP_BAD_REQUEST:

        if (ngx_http_access_token_challenge(ctx->request, "invalid_request",
                             "The request carries more than one access token")
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "The request carries more than one bearer token: send one "
                   "Authorization header");

    default:
        return NGX_ERROR;
    }
}


static ngx_int_t
ngx_http_access_token_api_bearer(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_str_t *token)
{
    u_char                      digest[NGX_ACCESS_TOKEN_DIGEST_LEN];
    ngx_int_t                   rc;
    ngx_access_token_lookup_t  *l;

    /* nothing has a digest too, but is nobody's credential */

    if (ctx->main->root && token->len) {

        if (ngx_access_token_digest(token, digest) != NGX_OK) {
            return ngx_http_access_token_api_unavailable(ctx);
        }

        if (ngx_http_access_token_api_is_root(ctx->main->root, digest)) {
            ctx->caller.root = 1;
            ngx_str_set(&ctx->caller.actor, "root");
            return NGX_OK;
        }
    }

    l = &ctx->lookup;

    if (ngx_access_token_parse(&ctx->main->store.token_prefix, token, &l->key)
        != NGX_OK)
    {
        return ngx_http_access_token_api_bad_token(ctx);
    }

    l->pool = ctx->request->pool;
    l->handler = ngx_http_access_token_api_known;
    l->data = ctx;
    l->verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;

    rc = ngx_access_token_lookup(&ctx->main->store, l);

    if (rc == NGX_AGAIN) {
        ctx->lookup_waits = 1;
        return NGX_AGAIN;
    }

    return ngx_http_access_token_api_caller_verdict(ctx);
}


/* Looks at all of them, however early one fits. */

static ngx_uint_t
ngx_http_access_token_api_is_root(const ngx_array_t *root,
    const u_char *digest)
{
    u_char      *p;
    ngx_uint_t   i, found;

    p = root->elts;
    found = 0;

    for (i = 0; i < root->nelts; i++) {
        found |= ngx_access_token_digest_equal(p, digest);
        p += NGX_ACCESS_TOKEN_DIGEST_LEN;
    }

    return found;
}


static void
ngx_http_access_token_api_known(ngx_access_token_lookup_t *l)
{
    ngx_http_access_token_api_ctx_t  *ctx;

    ctx = l->data;
    ctx->lookup_waits = 0;

    ngx_http_access_token_resume(ctx->request);
}


ngx_int_t
ngx_http_access_token_api_caller_verdict(ngx_http_access_token_api_ctx_t *ctx)
{
    const ngx_access_token_t  *token;

    token = ctx->lookup.token;

    switch (ctx->lookup.verdict) {

    case NGX_ACCESS_TOKEN_ACTIVE:
        break;

    case NGX_ACCESS_TOKEN_MALFORMED:
    case NGX_ACCESS_TOKEN_UNKNOWN:
    case NGX_ACCESS_TOKEN_REVOKED:
    case NGX_ACCESS_TOKEN_EXPIRED:
        return ngx_http_access_token_api_bad_token(ctx);

    default:
        return ngx_http_access_token_api_unavailable(ctx);
    }

    if (token == NULL) {
        return ngx_http_access_token_api_unavailable(ctx);
    }

    ctx->caller.token = token;

    if (ngx_http_access_token_api_grant(&ctx->caller, &token->owner,
                                        token->admin)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_access_token_api_actor(ctx, "token:", token->id,
                                           NGX_ACCESS_TOKEN_ID_LEN);
}


/* One answer for all of them: it tells nothing about the token. */

static ngx_int_t
ngx_http_access_token_api_bad_token(ngx_http_access_token_api_ctx_t *ctx)
{
    if (ngx_http_access_token_challenge(ctx->request, "invalid_token",
                                        "The access token is invalid")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_UNAUTHORIZED,
               "The bearer token is invalid: send an active access token or "
               "a root credential");
}


static ngx_int_t
ngx_http_access_token_api_unavailable(ngx_http_access_token_api_ctx_t *ctx)
{
    return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
               "The bearer token cannot be checked at present; nothing was "
               "changed: repeat the request");
}


static ngx_int_t
ngx_http_access_token_api_identity(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t                                rc;
    ngx_str_t                                user, roles;
    ngx_http_request_t                      *r;
    const ngx_http_access_token_loc_conf_t  *alcf;

    r = ctx->request;
    alcf = ngx_http_get_module_loc_conf(r, ngx_http_access_token_module);

    ngx_str_null(&user);
    ngx_str_null(&roles);

    if (alcf->identity_user && alcf->identity_roles
        && (ngx_http_complex_value(r, alcf->identity_user, &user) != NGX_OK
            || ngx_http_complex_value(r, alcf->identity_roles, &roles)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (user.len == 0) {

        if (ngx_http_access_token_challenge(r, NULL, NULL) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_UNAUTHORIZED,
                   "Send an access token or a root credential: "
                   "Authorization: Bearer ...");
    }

    if (user.len > NGX_ACCESS_TOKEN_ACTOR_MAX - (sizeof("user:") - 1)
        || ngx_access_token_text_length(&user, "") == NGX_ERROR)
    {
        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                   "The user's name in the trusted identity has to be UTF-8 "
                   "without control characters, of at most %uz bytes",
                   NGX_ACCESS_TOKEN_ACTOR_MAX - (sizeof("user:") - 1));
    }

    ctx->caller.identity = 1;

    if (ngx_http_access_token_api_actor(ctx, "user:", user.data, user.len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_access_token_api_check_origin(ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_access_token_api_roles(&ctx->caller, &roles);
}


/*
 * An identity may ride on a cookie, which a browser sends along with what a
 * foreign page asks for.  Such a page cannot set these headers without asking
 * first (CORS), and cannot hide that it is foreign.
 */

static ngx_int_t
ngx_http_access_token_api_check_origin(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return NGX_OK;
    }

    if (ngx_http_access_token_api_has_header(r,
                                       &ngx_http_access_token_api_fetch_site,
                                       &ngx_http_access_token_api_cross_site))
    {
        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                   "A change with a trusted identity cannot be made from "
                   "another site");
    }

    if (ngx_http_access_token_api_is_json(r)
        || ngx_http_access_token_api_has_header(r,
                             &ngx_http_access_token_api_requested_with, NULL))
    {
        return NGX_OK;
    }

    return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
               "A change with a trusted identity needs Content-Type: "
               "application/json or a header X-Requested-With");
}


/* Whether there is such a header with the value (NULL: any but empty). */

static ngx_uint_t
ngx_http_access_token_api_has_header(ngx_http_request_t *r,
    const ngx_str_t *name, const ngx_str_t *value)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != name->len
                || ngx_strncasecmp(h[i].key.data, name->data, name->len) != 0)
            {
                continue;
            }

            if (value == NULL ? h[i].value.len != 0
                              : (h[i].value.len == value->len
                                 && ngx_strncasecmp(h[i].value.data,
                                                    value->data, value->len)
                                    == 0))
            {
                return 1;
            }
        }
    }

    return 0;
}


/* Entries between spaces and commas; one that says nothing grants nothing. */

static ngx_int_t
ngx_http_access_token_api_roles(ngx_http_access_token_api_caller_t *caller,
    const ngx_str_t *roles)
{
    u_char     *p, *last;
    ngx_str_t   entry;

    p = roles->data;
    last = p + roles->len;

    while (p < last) {

        if (*p == ' ' || *p == ',' || *p == '\t') {
            p++;
            continue;
        }

        entry.data = p;

        while (p < last && *p != ' ' && *p != ',' && *p != '\t') {
            p++;
        }

        entry.len = p - entry.data;

        if (ngx_http_access_token_api_role(caller, &entry) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_role(ngx_http_access_token_api_caller_t *caller,
    const ngx_str_t *entry)
{
    u_char                                  *p, *last;
    ngx_access_token_owner_t                 owner;
    const ngx_http_access_token_api_role_t  *role;

    for (role = ngx_http_access_token_api_role_names;
         role->name.len;
         role++)
    {
        if (entry->len > role->name.len
            && ngx_strncmp(entry->data, role->name.data, role->name.len) == 0)
        {
            break;
        }
    }

    if (role->name.len == 0) {
        return NGX_OK;
    }

    last = entry->data + entry->len;

    ngx_memzero(&owner, sizeof(ngx_access_token_owner_t));

    owner.organization.data = entry->data + role->name.len;
    owner.organization.len = last - owner.organization.data;

    if (role->group) {
        p = ngx_strlchr(owner.organization.data, last, '/');

        if (p == NULL) {
            return NGX_OK;
        }

        owner.organization.len = p - owner.organization.data;
        owner.group.data = p + 1;
        owner.group.len = last - owner.group.data;

        if (ngx_access_token_check_owner(&owner.group) != NGX_OK) {
            return NGX_OK;
        }
    }

    if (ngx_access_token_check_owner(&owner.organization) != NGX_OK) {
        return NGX_OK;
    }

    return ngx_http_access_token_api_grant(caller, &owner, role->admin);
}


static ngx_int_t
ngx_http_access_token_api_grant(ngx_http_access_token_api_caller_t *caller,
    const ngx_access_token_owner_t *owner, ngx_uint_t admin)
{
    ngx_http_access_token_api_grant_t  *grant;

    grant = ngx_array_push(&caller->grants);
    if (grant == NULL) {
        return NGX_ERROR;
    }

    grant->owner = *owner;
    grant->admin = admin;

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_actor(ngx_http_access_token_api_ctx_t *ctx,
    const char *kind, const u_char *name, size_t len)
{
    u_char     *p;
    ngx_str_t  *actor;

    actor = &ctx->caller.actor;

    p = ngx_pnalloc(ctx->request->pool, ngx_strlen(kind) + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    actor->data = p;
    actor->len = ngx_strlen(kind) + len;

    p = ngx_cpymem(p, kind, ngx_strlen(kind));
    ngx_memcpy(p, name, len);

    return NGX_OK;
}


/*
 *                        root   organization   organization  group   group
 *                               admin          user          admin   user
 *     tokens of O         yes    yes            no            no      no
 *     tokens of O/G       yes    yes            no            its own no
 *     groups of O         yes    yes            no            its own no
 *     organizations       yes    its own        no            no      no
 *     self                no     yes            yes           yes     yes
 *     caller              yes    yes            yes           yes     yes
 *
 * "Its own" of the lists is theirs to see to.  Caller is for an identity
 * without any role too.
 */

ngx_uint_t
ngx_http_access_token_api_may(
    const ngx_http_access_token_api_caller_t *caller,
    ngx_http_access_token_api_right_e right,
    const ngx_access_token_owner_t *owner)
{
    ngx_uint_t                                i;
    const ngx_http_access_token_api_grant_t  *grants;

    if (right == NGX_HTTP_ACCESS_TOKEN_API_SELF) {
        return caller->token != NULL;
    }

    if (right == NGX_HTTP_ACCESS_TOKEN_API_CALLER) {
        return caller->root || caller->token != NULL || caller->identity;
    }

    if (caller->root) {
        return right != NGX_HTTP_ACCESS_TOKEN_API_NOTHING;
    }

    grants = caller->grants.elts;

    for (i = 0; i < caller->grants.nelts; i++) {
        if (ngx_http_access_token_api_covers(&grants[i], right, owner)) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_access_token_api_covers(
    const ngx_http_access_token_api_grant_t *grant,
    ngx_http_access_token_api_right_e right,
    const ngx_access_token_owner_t *owner)
{
    ngx_uint_t  group;

    if (!grant->admin) {
        return 0;
    }

    group = (grant->owner.group.len != 0);

    if (right == NGX_HTTP_ACCESS_TOKEN_API_ORGANIZATIONS) {
        return !group;
    }

    if (!ngx_access_token_same(&grant->owner.organization,
                                        &owner->organization))
    {
        return 0;
    }

    switch (right) {

    case NGX_HTTP_ACCESS_TOKEN_API_GROUPS:
        return 1;

    case NGX_HTTP_ACCESS_TOKEN_API_TOKENS:
        return !group
               || ngx_access_token_same(&grant->owner.group,
                                                 &owner->group);

    default:
        return 0;
    }
}


void
ngx_http_access_token_api_distinct(ngx_http_access_token_api_caller_t *caller)
{
    ngx_uint_t                          i, k, n;
    ngx_http_access_token_api_grant_t  *grants;

    grants = caller->grants.elts;
    n = 0;

    for (i = 0; i < caller->grants.nelts; i++) {

        for (k = 0; k < n; k++) {
            if (ngx_http_access_token_api_same_grant(&grants[k], &grants[i])) {
                break;
            }
        }

        if (k == n) {
            grants[n++] = grants[i];
        }
    }

    caller->grants.nelts = n;
}


static ngx_uint_t
ngx_http_access_token_api_same_grant(
    const ngx_http_access_token_api_grant_t *one,
    const ngx_http_access_token_api_grant_t *two)
{
    return one->admin == two->admin
           && ngx_access_token_same(&one->owner.organization,
                                    &two->owner.organization)
           && ngx_access_token_same(&one->owner.group, &two->owner.group);
}
