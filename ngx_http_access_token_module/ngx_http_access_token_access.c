
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The edge: I am a token in a request.  The handler takes me from the request,
 * has format turn me away if I am malformed, and asks lookup.  If lookup knows
 * at once, I am judged at once; if not, the request is suspended, and the
 * handler runs again when the answer is there.
 *
 *     take --> parse --> lookup --> require --> let in, or refuse
 *                          |  ^
 *                 NGX_AGAIN|  | resume: a posted write event
 *                          v  |
 *                        waiting
 *
 * What always holds: NGX_OK is returned in one place, for a verdict that is
 * ACTIVE; whatever is not known, or not expected, is refused.  A request that
 * waits has a non-cancelable timer under it (that of the Redis command), so a
 * worker that quits gracefully waits for it too.
 *
 * The phase runs again after an internal redirect, and in it the module's
 * context is cleared.  The verdict on the same token is then found through the
 * pool cleanup and is not asked for again; access_token_require is always
 * that of the location at hand.  nginx skips the phase for subrequests.
 */


#include <ngx_http_access_token.h>


typedef struct {
    ngx_access_token_lookup_t        lookup;
    ngx_http_request_t              *request;
    ngx_str_t                        token;     /* that lookup is about */
    ngx_access_token_verdict_e       verdict;   /* in the latest location */
    unsigned                         asked:1;
    unsigned                         looked_up:1;
    unsigned                         waiting:1;
} ngx_http_access_token_ctx_t;


static ngx_http_access_token_ctx_t *ngx_http_access_token_get_ctx(
    ngx_http_request_t *r);
static ngx_http_access_token_ctx_t *ngx_http_access_token_find_ctx(
    ngx_http_request_t *r);
static ngx_http_access_token_ctx_t *ngx_http_access_token_create_ctx(
    ngx_http_request_t *r);
static void ngx_http_access_token_cleanup(void *data);

static ngx_int_t ngx_http_access_token_ask(ngx_http_access_token_ctx_t *ctx,
    const ngx_str_t *token);
static void ngx_http_access_token_answered(ngx_access_token_lookup_t *l);

static ngx_int_t ngx_http_access_token_conclude(
    ngx_http_access_token_ctx_t *ctx, ngx_access_token_verdict_e verdict);
static void ngx_http_access_token_set_verdict(
    ngx_http_access_token_ctx_t *ctx, ngx_access_token_verdict_e verdict);
static ngx_int_t ngx_http_access_token_cover(ngx_http_request_t *r,
    const ngx_array_t *require, const ngx_access_token_t *token);
static ngx_int_t ngx_http_access_token_cover_one(ngx_http_request_t *r,
    const ngx_http_access_token_require_t *require,
    const ngx_access_token_t *token);
static ngx_int_t ngx_http_access_token_cover_owner(ngx_http_request_t *r,
    const ngx_http_access_token_require_t *require,
    const ngx_access_token_t *token);
static ngx_int_t ngx_http_access_token_cover_role(ngx_http_request_t *r,
    const ngx_http_access_token_require_t *require,
    const ngx_access_token_t *token);
static ngx_int_t ngx_http_access_token_cover_level(ngx_http_request_t *r,
    const ngx_http_access_token_require_t *require,
    const ngx_access_token_t *token);


ngx_int_t
ngx_http_access_token_access_handler(ngx_http_request_t *r)
{
    ngx_int_t                                rc;
    ngx_str_t                                token;
    ngx_http_access_token_ctx_t             *ctx;
    const ngx_http_access_token_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_access_token_module);

    if (alcf->enforce == NGX_HTTP_ACCESS_TOKEN_OFF
        || r->content_handler == ngx_http_access_token_api_handler)
    {
        return NGX_DECLINED;
    }

    ctx = ngx_http_access_token_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->waiting) {
        /* the socket became writable */
        return NGX_AGAIN;
    }

    rc = ngx_http_access_token_take(r, alcf->sources, &token);

    if (rc == NGX_DECLINED) {
        return ngx_http_access_token_conclude(ctx, NGX_ACCESS_TOKEN_MISSING);
    }

    if (rc == NGX_HTTP_BAD_REQUEST) {
        ngx_http_access_token_set_verdict(ctx, NGX_ACCESS_TOKEN_MALFORMED);

        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "client sent more than one access token");

        return ngx_http_access_token_refuse(r,
                                        NGX_HTTP_ACCESS_TOKEN_REFUSE_SEVERAL);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!ctx->asked || !ngx_access_token_same(&ctx->token, &token)) {

        if (ngx_http_access_token_ask(ctx, &token) == NGX_AGAIN) {
            ngx_http_access_token_wait(r);
            return NGX_AGAIN;
        }
    }

    return ngx_http_access_token_conclude(ctx, ctx->lookup.verdict);
}


static ngx_http_access_token_ctx_t *
ngx_http_access_token_get_ctx(ngx_http_request_t *r)
{
    ngx_http_access_token_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_access_token_module);
    if (ctx) {
        return ctx;
    }

    ctx = r->internal ? ngx_http_access_token_find_ctx(r) : NULL;

    if (ctx == NULL) {
        ctx = ngx_http_access_token_create_ctx(r);
        if (ctx == NULL) {
            return NULL;
        }
    }

    ngx_http_set_ctx(r, ctx, ngx_http_access_token_module);

    return ctx;
}


static ngx_http_access_token_ctx_t *
ngx_http_access_token_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_access_token_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


static ngx_http_access_token_ctx_t *
ngx_http_access_token_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_access_token_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_access_token_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_access_token_ctx_t));

    ctx->request = r;
    cln->handler = ngx_http_access_token_cleanup;

    return ctx;
}


static void
ngx_http_access_token_cleanup(void *data)
{
    ngx_http_access_token_ctx_t  *ctx = data;

    if (ctx->waiting) {
        ctx->waiting = 0;
        ngx_access_token_lookup_cancel(&ctx->lookup);
    }
}


/* NGX_AGAIN: the answer will come; else it is in ctx->lookup.verdict */

static ngx_int_t
ngx_http_access_token_ask(ngx_http_access_token_ctx_t *ctx,
    const ngx_str_t *token)
{
    ngx_int_t                           rc;
    ngx_http_request_t                 *r;
    ngx_http_access_token_main_conf_t  *amcf;

    r = ctx->request;
    amcf = ngx_http_get_module_main_conf(r, ngx_http_access_token_module);

    /* zeroed, the verdict is UNAVAILABLE */
    ngx_memzero(&ctx->lookup, sizeof(ngx_access_token_lookup_t));

    ctx->lookup.pool = r->pool;
    ctx->lookup.handler = ngx_http_access_token_answered;
    ctx->lookup.data = ctx;

    ctx->verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;
    ctx->token = *token;
    ctx->asked = 1;
    ctx->looked_up = 0;

    ngx_access_token_lookup_soon(&amcf->store, token);

    if (ngx_access_token_parse(&amcf->store.token_prefix, token,
                               &ctx->lookup.key)
        != NGX_OK)
    {
        ctx->lookup.verdict = NGX_ACCESS_TOKEN_MALFORMED;
        return NGX_OK;
    }

    ctx->looked_up = 1;

    rc = ngx_access_token_lookup(&amcf->store, &ctx->lookup);

    if (rc == NGX_AGAIN) {
        ctx->waiting = 1;
        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {
        ctx->lookup.verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;
    }

    return NGX_OK;
}


static void
ngx_http_access_token_answered(ngx_access_token_lookup_t *l)
{
    ngx_http_access_token_ctx_t  *ctx;

    ctx = l->data;
    ctx->waiting = 0;

    ngx_http_access_token_resume(ctx->request);
}


void
ngx_http_access_token_wait(ngx_http_request_t *r)
{
    ngx_event_t  *rev;

    rev = r->connection->read;

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);

    } else {

        /*
         * should this fail, which is logged as an alert, the client's going
         * away is noticed only when the answer is sent
         */

        (void) ngx_handle_read_event(rev, 0);
    }

    r->read_event_handler = ngx_http_test_reading;
}


void
ngx_http_access_token_resume(ngx_http_request_t *r)
{
    r->read_event_handler = ngx_http_block_reading;

    ngx_post_event(r->connection->write, &ngx_posted_events);
}


static ngx_int_t
ngx_http_access_token_conclude(ngx_http_access_token_ctx_t *ctx,
    ngx_access_token_verdict_e verdict)
{
    ngx_int_t                                rc;
    ngx_log_t                               *log;
    ngx_str_t                                id;
    ngx_http_request_t                      *r;
    const ngx_http_access_token_loc_conf_t  *alcf;

    r = ctx->request;
    log = r->connection->log;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_access_token_module);

    id.data = ctx->lookup.key.id;
    id.len = NGX_ACCESS_TOKEN_ID_LEN;

    if (verdict == NGX_ACCESS_TOKEN_ACTIVE) {

        rc = ngx_http_access_token_cover(r, alcf->require, ctx->lookup.token);

        if (rc == NGX_DECLINED) {
            verdict = NGX_ACCESS_TOKEN_FORBIDDEN;

        } else if (rc != NGX_OK) {
            ngx_http_access_token_set_verdict(ctx,
                                              NGX_ACCESS_TOKEN_UNAVAILABLE);
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ngx_http_access_token_set_verdict(ctx, verdict);

    switch (verdict) {

    case NGX_ACCESS_TOKEN_ACTIVE:
        return NGX_OK;

    case NGX_ACCESS_TOKEN_MISSING:

        if (alcf->enforce == NGX_HTTP_ACCESS_TOKEN_OPTIONAL) {
            return NGX_DECLINED;
        }

        ngx_log_error(NGX_LOG_INFO, log, 0, "client sent no access token");

        return ngx_http_access_token_refuse(r,
                                        NGX_HTTP_ACCESS_TOKEN_REFUSE_MISSING);

    case NGX_ACCESS_TOKEN_MALFORMED:
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "client sent malformed access token");
        break;

    case NGX_ACCESS_TOKEN_UNKNOWN:
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "client sent unknown access token \"%V\"", &id);
        break;

    case NGX_ACCESS_TOKEN_REVOKED:
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "client sent revoked access token \"%V\"", &id);
        break;

    case NGX_ACCESS_TOKEN_EXPIRED:
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "client sent expired access token \"%V\"", &id);
        break;

    case NGX_ACCESS_TOKEN_FORBIDDEN:
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "access token \"%V\" does not cover the resource", &id);

        return ngx_http_access_token_refuse(r,
                                        NGX_HTTP_ACCESS_TOKEN_REFUSE_SCOPE);

    default: /* NGX_ACCESS_TOKEN_UNAVAILABLE; why is logged where it is known */
        return ngx_http_access_token_refuse(r,
                                    NGX_HTTP_ACCESS_TOKEN_REFUSE_UNAVAILABLE);
    }

    return ngx_http_access_token_refuse(r,
                                        NGX_HTTP_ACCESS_TOKEN_REFUSE_INVALID);
}


/* The end of a check: what the request is told is what is counted. */

static void
ngx_http_access_token_set_verdict(ngx_http_access_token_ctx_t *ctx,
    ngx_access_token_verdict_e verdict)
{
    ngx_access_token_zone_t            *zone;
    ngx_access_token_counters_t        *counters;
    ngx_http_access_token_main_conf_t  *amcf;

    ctx->verdict = verdict;

    amcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_access_token_module);
    zone = amcf->store.zone;

    if (zone) {
        counters = ngx_access_token_zone_mine(zone);
        ngx_access_token_count(counters->requests[verdict]);
    }
}


/*
 * Whether the token covers all that the location requires.  NGX_OK,
 * NGX_DECLINED, or NGX_ERROR: no memory for the values.
 */

static ngx_int_t
ngx_http_access_token_cover(ngx_http_request_t *r, const ngx_array_t *require,
    const ngx_access_token_t *token)
{
    ngx_int_t                               rc;
    ngx_uint_t                              i;
    const ngx_http_access_token_require_t  *one;

    if (token == NULL) {
        return NGX_ERROR;
    }

    if (require == NULL) {
        return NGX_OK;
    }

    one = require->elts;

    for (i = 0; i < require->nelts; i++) {
        rc = ngx_http_access_token_cover_one(r, &one[i], token);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_cover_one(ngx_http_request_t *r,
    const ngx_http_access_token_require_t *require,
    const ngx_access_token_t *token)
{
    ngx_int_t  rc;

    rc = ngx_http_access_token_cover_owner(r, require, token);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_access_token_cover_level(r, require, token);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_access_token_cover_role(r, require, token);
}


/*
 * A token of the organization covers it and its groups, a token of a group
 * that group alone.  So what is asked for an organization without a group is
 * a token of the organization itself, unless level=group says otherwise.
 */

static ngx_int_t
ngx_http_access_token_cover_owner(ngx_http_request_t *r,
    const ngx_http_access_token_require_t *require,
    const ngx_access_token_t *token)
{
    ngx_str_t  value;

    if (require->organization == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, require->organization, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0
        || !ngx_access_token_same(&value, &token->owner.organization))
    {
        return NGX_DECLINED;
    }

    if (require->group) {

        if (ngx_http_complex_value(r, require->group, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len == 0) {
            return NGX_DECLINED;
        }

        if (token->owner.group.len == 0
            || ngx_access_token_same(&value, &token->owner.group))
        {
            return NGX_OK;
        }

        return NGX_DECLINED;
    }

    if (require->level) {
        return NGX_OK;
    }

    return token->owner.group.len == 0 ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_access_token_cover_level(ngx_http_request_t *r,
    const ngx_http_access_token_require_t *require,
    const ngx_access_token_t *token)
{
    ngx_str_t  value;

    if (require->level == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, require->level, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_access_token_is(&value, "organization")) {
        return token->owner.group.len == 0 ? NGX_OK : NGX_DECLINED;
    }

    if (ngx_access_token_is(&value, "group")) {
        return token->owner.group.len ? NGX_OK : NGX_DECLINED;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_access_token_cover_role(ngx_http_request_t *r,
    const ngx_http_access_token_require_t *require,
    const ngx_access_token_t *token)
{
    ngx_str_t  value;

    if (require->role == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, require->role, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_access_token_is(&value, "admin")) {
        return token->admin ? NGX_OK : NGX_DECLINED;
    }

    if (ngx_access_token_is(&value, "user")) {
        return NGX_OK;
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_access_token_result(ngx_http_request_t *r,
    ngx_access_token_verdict_e *verdict, const ngx_access_token_t **token)
{
    ngx_http_access_token_ctx_t  *ctx;

    *verdict = NGX_ACCESS_TOKEN_UNAVAILABLE;
    *token = NULL;

    /* not the module's context: it may be api.c's, or a subrequest's */

    ctx = ngx_http_access_token_find_ctx(r);

    if (ctx == NULL || ctx->waiting) {
        return NGX_DECLINED;
    }

    *verdict = ctx->verdict;

    if (ctx->verdict == NGX_ACCESS_TOKEN_ACTIVE) {
        *token = ctx->lookup.token;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_access_token_cached(ngx_http_request_t *r,
    ngx_access_token_cached_e *cached)
{
    ngx_http_access_token_ctx_t  *ctx;

    ctx = ngx_http_access_token_find_ctx(r);

    if (ctx == NULL || ctx->waiting || !ctx->looked_up) {
        return NGX_DECLINED;
    }

    *cached = ctx->lookup.cached;

    return NGX_OK;
}
