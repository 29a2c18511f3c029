
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The admin API: I am a request to it, and this is my way.
 *
 *     handler ---> begin: route 404 405, OPTIONS
 *                    |
 *                  caller 400 401 503 --NGX_AGAIN--> await_caller
 *                    |                                  |
 *                  admit: rights 403  <-----------------+
 *                    |
 *                  read: type 415, size 413 -------> await_body
 *                    |                                  | back to caller, if
 *                    |                                  | it kept us waiting
 *                  the route's own function  <----------+
 *                    | NGX_AGAIN: the store was asked
 *                  resume, and ctx->step of the route
 *                    |
 *                  answer, finalize
 *
 * What always holds: nothing but Redis comes between the finding that the
 * caller may do it and the doing; a client that holds its body back does not
 * hold on to rights.  A request is finalized once, in run(); whatever waits is
 * cancelled by the cleanup when the request goes away first.  A change that
 * was sent goes on in Redis all the same.  The context is not the module's
 * (that one is the edge's): it is found through the request's cleanup.
 */


#include <ngx_http_access_token_api.h>


static ngx_http_access_token_api_ctx_t *ngx_http_access_token_api_create_ctx(
    ngx_http_request_t *r);
static ngx_http_access_token_api_ctx_t *ngx_http_access_token_api_get_ctx(
    ngx_http_request_t *r);
static void ngx_http_access_token_api_cleanup(void *data);
static void ngx_http_access_token_api_wipe(
    ngx_http_access_token_api_ctx_t *ctx);

static void ngx_http_access_token_api_run(
    ngx_http_access_token_api_ctx_t *ctx, ngx_http_access_token_api_pt step);
static void ngx_http_access_token_api_resume(ngx_http_request_t *r);

static ngx_int_t ngx_http_access_token_api_begin(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_identify(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_await_caller(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_admit(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_read(
    ngx_http_access_token_api_ctx_t *ctx);
static void ngx_http_access_token_api_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_access_token_api_await_body(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_collect(
    ngx_http_access_token_api_ctx_t *ctx);
static ngx_int_t ngx_http_access_token_api_check_body(
    ngx_http_access_token_api_ctx_t *ctx, off_t size);
static void ngx_http_access_token_api_answered(ngx_access_token_op_t *op);


ngx_int_t
ngx_http_access_token_api_handler(ngx_http_request_t *r)
{
    ngx_http_access_token_api_ctx_t  *ctx;

    if (r != r->main) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "access_token_api does not answer subrequests");
        return NGX_HTTP_FORBIDDEN;
    }

    ctx = ngx_http_access_token_api_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->main->count++;

    ngx_http_access_token_api_run(ctx, ngx_http_access_token_api_begin);

    return NGX_DONE;
}


static ngx_http_access_token_api_ctx_t *
ngx_http_access_token_api_create_ctx(ngx_http_request_t *r)
{
    ngx_http_cleanup_t               *cln;
    ngx_http_access_token_api_ctx_t  *ctx;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_access_token_api_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->main = ngx_http_get_module_main_conf(r,
                                              ngx_http_access_token_module);

    cln->handler = ngx_http_access_token_api_cleanup;
    cln->data = ctx;

    return ctx;
}


static ngx_http_access_token_api_ctx_t *
ngx_http_access_token_api_get_ctx(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;

    for (cln = r->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_access_token_api_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


static void
ngx_http_access_token_api_cleanup(void *data)
{
    ngx_http_access_token_api_ctx_t  *ctx = data;

    if (ctx->lookup_waits) {
        ctx->lookup_waits = 0;
        ngx_access_token_lookup_cancel(&ctx->lookup);
    }

    if (ctx->op_waits) {
        ctx->op_waits = 0;
        ngx_access_token_store_cancel(&ctx->op);
    }

    if (ctx->token.len) {
        ngx_http_access_token_api_wipe(ctx);
    }
}


/* A new token, and what nginx has copied of it on the way to TLS. */

static void
ngx_http_access_token_api_wipe(ngx_http_access_token_api_ctx_t *ctx)
{
#if (NGX_HTTP_SSL)
    ngx_buf_t         *b;
    ngx_connection_t  *c;
#endif

    ngx_explicit_memzero(ctx->token_buf, sizeof(ctx->token_buf));

    if (ctx->reply.len) {
        ngx_explicit_memzero(ctx->reply.data, ctx->reply.len);
    }

#if (NGX_HTTP_SSL)

    c = ctx->request->connection;
    b = c->ssl ? c->ssl->buf : NULL;

    if (b && b->start) {
        /* between pos and last, frames of other streams may wait */
        ngx_explicit_memzero(b->start, b->pos - b->start);
        ngx_explicit_memzero(b->last, b->end - b->last);
    }

#endif
}


/* NGX_DONE from a step: another call of run() goes on with the request. */

static void
ngx_http_access_token_api_run(ngx_http_access_token_api_ctx_t *ctx,
    ngx_http_access_token_api_pt step)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    rc = step(ctx);

    if (rc == NGX_DONE) {
        return;
    }

    if (rc == NGX_AGAIN) {
        r->write_event_handler = ngx_http_access_token_api_resume;
        ngx_http_access_token_wait(r);
        return;
    }

    ngx_http_finalize_request(r, ngx_http_access_token_api_answer(ctx, rc));
}


static void
ngx_http_access_token_api_resume(ngx_http_request_t *r)
{
    ngx_http_access_token_api_ctx_t  *ctx;

    ctx = ngx_http_access_token_api_get_ctx(r);

    if (ctx == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (ctx->lookup_waits || ctx->op_waits) {
        /* the socket became writable */
        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_access_token_api_run(ctx, ctx->step);
}


static ngx_int_t
ngx_http_access_token_api_begin(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_access_token_api_route(ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_access_token_api_identify(ctx);
}


static ngx_int_t
ngx_http_access_token_api_identify(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    ngx_memzero(&ctx->caller, sizeof(ngx_http_access_token_api_caller_t));

    rc = ngx_http_access_token_api_caller(ctx);

    if (rc == NGX_AGAIN) {
        ctx->step = ngx_http_access_token_api_await_caller;
        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_access_token_api_admit(ctx);
}


static ngx_int_t
ngx_http_access_token_api_await_caller(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_access_token_api_caller_verdict(ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_access_token_api_admit(ctx);
}


static ngx_int_t
ngx_http_access_token_api_admit(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (!ngx_http_access_token_api_may(&ctx->caller, ctx->route->right,
                                       &ctx->owner))
    {
        if (ctx->route->right == NGX_HTTP_ACCESS_TOKEN_API_SELF) {
            return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                       "\"self\" is the access token that a request presents; "
                       "this one was made without one");
        }

        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                   "The caller has no rights here: it takes an admin role of "
                   "the organization, or of the group where it is the "
                   "group's own");
    }

    if (ctx->route->right == NGX_HTTP_ACCESS_TOKEN_API_SELF) {
        ctx->owner = ctx->caller.token->owner;
        ctx->id.data = (u_char *) ctx->caller.token->id;
        ctx->id.len = NGX_ACCESS_TOKEN_ID_LEN;
    }

    ctx->op.store = &ctx->main->store;
    ctx->op.pool = r->pool;
    ctx->op.handler = ngx_http_access_token_api_answered;
    ctx->op.data = ctx;
    ctx->op.actor = ctx->caller.actor;
    ctx->op.address = r->connection->addr_text;

    if ((r->method & (NGX_HTTP_POST|NGX_HTTP_PATCH)) && !ctx->body_read) {
        return ngx_http_access_token_api_read(ctx);
    }

    return ctx->handler(ctx);
}


static ngx_int_t
ngx_http_access_token_api_read(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    rc = ngx_http_access_token_api_check_body(ctx,
                                           r->headers_in.content_length_n);

    if (rc != NGX_OK) {
        return rc;
    }

    r->request_body_in_single_buf = 1;

    ctx->body_reading = 1;

    rc = ngx_http_read_client_request_body(r,
                                      ngx_http_access_token_api_body_handler);

    ctx->body_reading = 0;

    /* it has counted the request once more, but for an error */

    ngx_http_finalize_request(r, rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc
                                                                 : NGX_DONE);
    return NGX_DONE;
}


static void
ngx_http_access_token_api_body_handler(ngx_http_request_t *r)
{
    ngx_http_access_token_api_ctx_t  *ctx;

    ctx = ngx_http_access_token_api_get_ctx(r);

    if (ctx == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_access_token_api_run(ctx, ngx_http_access_token_api_await_body);
}


static ngx_int_t
ngx_http_access_token_api_await_body(ngx_http_access_token_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_access_token_api_collect(ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx->body_read = 1;

    if (ctx->body_reading) {
        /* it was there with the header */
        return ctx->handler(ctx);
    }

    return ngx_http_access_token_api_identify(ctx);
}


/* The body as one string, whether nginx has it in buffers or in a file. */

static ngx_int_t
ngx_http_access_token_api_collect(ngx_http_access_token_api_ctx_t *ctx)
{
    off_t                size;
    u_char              *p;
    ssize_t              n;
    ngx_int_t            rc;
    ngx_buf_t           *b;
    ngx_chain_t         *cl, *in;
    ngx_http_request_t  *r;

    r = ctx->request;

    in = r->request_body ? r->request_body->bufs : NULL;
    size = 0;

    for (cl = in; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    rc = ngx_http_access_token_api_check_body(ctx, size);

    if (rc != NGX_OK) {
        return rc;
    }

    if (size == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->body.data = p;
    ctx->body.len = size;

    for (cl = in; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        if (!b->in_file) {
            /* the last one of a chunked body only says that it is the last */
            continue;
        }

        n = ngx_read_file(b->file, p, b->file_last - b->file_pos,
                          b->file_pos);

        if (n != b->file_last - b->file_pos) {
            return NGX_ERROR;
        }

        p += n;
    }

    return NGX_OK;
}


/*
 * The type and the size, 415 or 413.  A body that is empty needs no type; one
 * whose size is not known before it was read (-1: chunked, or HTTP/2 without a
 * length) may turn out to be empty.
 */

static ngx_int_t
ngx_http_access_token_api_check_body(ngx_http_access_token_api_ctx_t *ctx,
    off_t size)
{
    if (size <= 0) {
        return NGX_OK;
    }

    if (!ngx_http_access_token_api_is_json(ctx->request)) {
        return ngx_http_access_token_api_refuse(ctx,
                   NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                   "Send the body as JSON, with Content-Type: "
                   "application/json");
    }

    if (size > NGX_HTTP_ACCESS_TOKEN_API_BODY_MAX) {
        /* the rest of it is not worth waiting for */
        ctx->request->keepalive = 0;

        return ngx_http_access_token_api_refuse(ctx,
                   NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                   "A body may have at most 64 KiB");
    }

    return NGX_OK;
}


/* The store's answer; the request goes on in a turn of its own. */

static void
ngx_http_access_token_api_answered(ngx_access_token_op_t *op)
{
    ngx_http_access_token_api_ctx_t  *ctx;

    ctx = op->data;
    ctx->op_waits = 0;

    ngx_http_access_token_resume(ctx->request);
}
