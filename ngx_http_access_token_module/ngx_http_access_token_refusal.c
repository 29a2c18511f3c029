
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The answer to a request that the edge refuses: the headers, pushed when it
 * is refused, and the body, a problem of RFC 9457.
 *
 * The access handler only returns a status.  Were it to send the body, it
 * would take the request from those who may still decide on it: the other
 * handlers under "satisfy any", auth_delay, error_page.  So nginx makes its
 * own page in the end, and this filter puts the problem in its place.  A page
 * is ours if the request was refused here, has the status of that refusal, and
 * is still in the access phase: nobody has let it in.  What error_page leads
 * to has a context of its own, and is left alone.
 *
 * This is a module of its own, since a filter and a handler that runs after
 * allow and deny have different places in the order of modules.
 */


#include <ngx_http_access_token.h>


typedef struct {
    ngx_uint_t                       status;
    const char                      *error;         /* RFC 6750 section 3.1 */
    const char                      *description;
    ngx_str_t                        body;
} ngx_http_access_token_problem_t;


typedef struct {
    const ngx_http_access_token_problem_t  *problem;
    unsigned                         ours:1;        /* the body is to come */
    unsigned                         sent:1;
} ngx_http_access_token_refusal_ctx_t;


static size_t ngx_http_access_token_quote(u_char *dst, const ngx_str_t *text);
static void ngx_http_access_token_unpush(ngx_http_request_t *r,
    const ngx_str_t *key);
static ngx_uint_t ngx_http_access_token_let_in(ngx_http_request_t *r);
static ngx_int_t ngx_http_access_token_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_access_token_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_access_token_refusal_init(ngx_conf_t *cf);


static ngx_http_module_t  ngx_http_access_token_refusal_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_access_token_refusal_init,    /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_access_token_refusal_module = {
    NGX_MODULE_V1,
    &ngx_http_access_token_refusal_module_ctx, /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/* a key that we pushed is known by its address */

static const ngx_str_t  ngx_http_access_token_www_authenticate =
    ngx_string("WWW-Authenticate");
static const ngx_str_t  ngx_http_access_token_retry_after =
    ngx_string("Retry-After");
static const ngx_str_t  ngx_http_access_token_cache_control =
    ngx_string("Cache-Control");


/* in the order of ngx_http_access_token_refusal_e */

static const ngx_http_access_token_problem_t
    ngx_http_access_token_problems[] =
{
    { NGX_HTTP_UNAUTHORIZED, NULL, NULL,
      ngx_string("{\"type\":\"about:blank\",\"title\":\"Unauthorized\","
                 "\"status\":401,"
                 "\"detail\":\"An access token is required\"}\n") },

    { NGX_HTTP_BAD_REQUEST, "invalid_request",
      "The request carries more than one access token",
      ngx_string("{\"type\":\"about:blank\",\"title\":\"Bad Request\","
                 "\"status\":400,"
                 "\"detail\":\"The request carries more than one access "
                 "token\"}\n") },

    { NGX_HTTP_UNAUTHORIZED, "invalid_token",
      "The access token is invalid",
      ngx_string("{\"type\":\"about:blank\",\"title\":\"Unauthorized\","
                 "\"status\":401,"
                 "\"detail\":\"The access token is invalid\"}\n") },

    { NGX_HTTP_FORBIDDEN, "insufficient_scope",
      "The access token does not cover this resource",
      ngx_string("{\"type\":\"about:blank\",\"title\":\"Forbidden\","
                 "\"status\":403,"
                 "\"detail\":\"The access token does not cover this "
                 "resource\"}\n") },

    { NGX_HTTP_SERVICE_UNAVAILABLE, NULL, NULL,
      ngx_string("{\"type\":\"about:blank\","
                 "\"title\":\"Service Unavailable\","
                 "\"status\":503,"
                 "\"detail\":\"Access tokens cannot be checked at "
                 "present\"}\n") }
};


ngx_int_t
ngx_http_access_token_refuse(ngx_http_request_t *r,
    ngx_http_access_token_refusal_e why)
{
    ngx_table_elt_t                        *h;
    ngx_http_access_token_refusal_ctx_t    *ctx;
    const ngx_http_access_token_problem_t  *problem;

    problem = &ngx_http_access_token_problems[why];

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_access_token_refusal_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->problem = problem;
    ngx_http_set_ctx(r, ctx, ngx_http_access_token_refusal_module);

    /* those of a refusal before an internal redirect are still there */

    ngx_http_access_token_unpush(r, &ngx_http_access_token_www_authenticate);
    ngx_http_access_token_unpush(r, &ngx_http_access_token_retry_after);

    if (problem->status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        h = ngx_http_access_token_push(r, &ngx_http_access_token_retry_after);
        if (h == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_str_set(&h->value, NGX_HTTP_ACCESS_TOKEN_RETRY_AFTER);

    } else if (ngx_http_access_token_challenge(r, problem->error,
                                               problem->description)
               != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return problem->status;
}


ngx_int_t
ngx_http_access_token_challenge(ngx_http_request_t *r, const char *error,
    const char *description)
{
    size_t                                   len;
    u_char                                  *p;
    ngx_str_t                                realm;
    ngx_table_elt_t                         *h;
    const ngx_http_access_token_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_access_token_module);

    if (ngx_http_complex_value(r, alcf->realm, &realm) != NGX_OK) {
        return NGX_ERROR;
    }

    len = sizeof("Bearer realm=\"\"") - 1
          + ngx_http_access_token_quote(NULL, &realm);

    if (error) {
        len += sizeof(", error=\"\", error_description=\"\"") - 1
               + ngx_strlen(error) + ngx_strlen(description);
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    h = ngx_http_access_token_push(r, &ngx_http_access_token_www_authenticate);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->value.data = p;
    h->value.len = len;

    p = ngx_cpymem(p, "Bearer realm=\"", sizeof("Bearer realm=\"") - 1);
    p += ngx_http_access_token_quote(p, &realm);
    *p++ = '"';

    if (error) {
        ngx_sprintf(p, ", error=\"%s\", error_description=\"%s\"", error,
                    description);
    }

#if (nginx_version >= 1023000)
    /* "satisfy any" walks along these once somebody lets the request in */
    h->next = r->headers_out.www_authenticate;
#endif

    r->headers_out.www_authenticate = h;

    return NGX_OK;
}


/*
 * A quoted-string (RFC 9110 section 5.6.4) without its quotes; a control
 * character, which has no place in a header, is left out.  Returns the length,
 * and with dst NULL nothing else.
 */

static size_t
ngx_http_access_token_quote(u_char *dst, const ngx_str_t *text)
{
    u_char  ch;
    size_t  i, len;

    len = 0;

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if (ch < 0x20 || ch == 0x7f) {
            continue;
        }

        if (ch == '"' || ch == '\\') {
            if (dst) {
                dst[len] = '\\';
            }

            len++;
        }

        if (dst) {
            dst[len] = ch;
        }

        len++;
    }

    return len;
}


ngx_table_elt_t *
ngx_http_access_token_push(ngx_http_request_t *r, const ngx_str_t *key)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key = *key;

    return h;
}


/* takes back all that were pushed with the very key */

static void
ngx_http_access_token_unpush(ngx_http_request_t *r, const ngx_str_t *key)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.data == key->data) {
                h[i].hash = 0;
            }
        }
    }
}


/* whether the request has left the access phase for what comes after it */

static ngx_uint_t
ngx_http_access_token_let_in(ngx_http_request_t *r)
{
    ngx_http_phase_handler_pt   checker;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    checker = cmcf->phase_engine.handlers[r->phase_handler].checker;

    return checker != ngx_http_core_access_phase
           && checker != ngx_http_core_post_access_phase;
}


static ngx_int_t
ngx_http_access_token_header_filter(ngx_http_request_t *r)
{
    ngx_table_elt_t                      *h;
    ngx_http_access_token_refusal_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_access_token_refusal_module);

    if (ctx == NULL || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    if (ngx_http_access_token_let_in(r)) {

        /*
         * by another handler under "satisfy any"; up to 1.22 nginx takes back
         * the challenge that was pushed last, and ours may not be that one
         */

        ngx_http_access_token_unpush(r,
                                     &ngx_http_access_token_www_authenticate);

        return ngx_http_next_header_filter(r);
    }

    if (r->headers_out.status != ctx->problem->status) {
        return ngx_http_next_header_filter(r);
    }

    h = ngx_http_access_token_push(r, &ngx_http_access_token_cache_control);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&h->value, "no-store");

    ngx_str_set(&r->headers_out.content_type, "application/problem+json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = ctx->problem->body.len;

    ctx->ours = 1;

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_access_token_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t                            *b;
    ngx_chain_t                           out, *cl;
    ngx_http_access_token_refusal_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_access_token_refusal_module);

    if (in == NULL || ctx == NULL || !ctx->ours || r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    if (ctx->sent) {
        return ngx_http_next_body_filter(r, NULL);
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = ctx->problem->body.data;
    b->last = b->pos + ctx->problem->body.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    ctx->sent = 1;

    return ngx_http_next_body_filter(r, &out);
}


static ngx_int_t
ngx_http_access_token_refusal_init(ngx_conf_t *cf)
{
    ngx_http_access_token_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_access_token_module);

    if (!amcf->used) {
        return NGX_OK;
    }

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_access_token_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_access_token_body_filter;

    return NGX_OK;
}
