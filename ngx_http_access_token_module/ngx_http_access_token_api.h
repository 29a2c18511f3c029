
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What the files of the admin API share; nobody else includes it.
 *
 *     ngx_http_access_token_api.c          the way of a request
 *     ngx_http_access_token_api_route.c    the routes
 *     ngx_http_access_token_api_caller.c   who calls, and what they may do
 *     ngx_http_access_token_api_tokens.c   one function a route
 *     ngx_http_access_token_api_members.c  the members of a body
 *     ngx_http_access_token_api_query.c    the parameters of a list
 *     ngx_http_access_token_api_input.c    times, types
 *     ngx_http_access_token_api_json.c     JSON in and out (jansson)
 *     ngx_http_access_token_api_answer.c   status, headers, problems
 */


#ifndef _NGX_HTTP_ACCESS_TOKEN_API_H_INCLUDED_
#define _NGX_HTTP_ACCESS_TOKEN_API_H_INCLUDED_


#include <ngx_http_access_token.h>


#pragma GCC visibility push(hidden)


#define NGX_HTTP_ACCESS_TOKEN_API_BODY_MAX    65536
#define NGX_HTTP_ACCESS_TOKEN_API_DEPTH_MAX   16
#define NGX_HTTP_ACCESS_TOKEN_API_LIMIT       50    /* of a page */
#define NGX_HTTP_ACCESS_TOKEN_API_LIMIT_MAX   100
#define NGX_HTTP_ACCESS_TOKEN_API_ECHO_MAX    64    /* bytes of a wrong name */

/* a status for which nginx has no name */
#define NGX_HTTP_ACCESS_TOKEN_API_INVALID     422


typedef struct ngx_http_access_token_api_ctx_s
    ngx_http_access_token_api_ctx_t;

/*
 * A step of a request.  It returns the status to answer with (the body is in
 * ctx->reply, or ctx->detail and ctx->errors say what is wrong); NGX_AGAIN:
 * ctx->step is called once the answer is there; NGX_ERROR: no memory, 500.
 */

typedef ngx_int_t (*ngx_http_access_token_api_pt)(
    ngx_http_access_token_api_ctx_t *ctx);


/* What a route asks for; the rights table is in api_caller.c. */

typedef enum {
    NGX_HTTP_ACCESS_TOKEN_API_NOTHING = 0,
    NGX_HTTP_ACCESS_TOKEN_API_TOKENS,           /* of an owner */
    NGX_HTTP_ACCESS_TOKEN_API_GROUPS,           /* of an organization */
    NGX_HTTP_ACCESS_TOKEN_API_ORGANIZATIONS,
    NGX_HTTP_ACCESS_TOKEN_API_CALLER,           /* what is known of it */
    NGX_HTTP_ACCESS_TOKEN_API_SELF
} ngx_http_access_token_api_right_e;


typedef struct {
    ngx_str_t                            path;
    ngx_http_access_token_api_right_e    right;
    ngx_http_access_token_api_pt         get;
    ngx_http_access_token_api_pt         post;
    ngx_http_access_token_api_pt         patch;
    ngx_http_access_token_api_pt         delete;
} ngx_http_access_token_api_route_t;


/* A role at an owner. */

typedef struct {
    ngx_access_token_owner_t             owner;
    ngx_uint_t                           admin;
} ngx_http_access_token_api_grant_t;


typedef struct {
    ngx_str_t                            actor;     /* as the audit names it */
    ngx_array_t                          grants;    /* …_grant_t */
    const ngx_access_token_t            *token;     /* presented, or NULL */
    unsigned                             root:1;
    unsigned                             identity:1;
} ngx_http_access_token_api_caller_t;


/* One bad field. */

typedef struct {
    ngx_str_t                            where;
    ngx_str_t                            detail;
    unsigned                             parameter:1;   /* not a pointer */
} ngx_http_access_token_api_error_t;


struct ngx_http_access_token_api_ctx_s {
    ngx_http_request_t                  *request;
    ngx_http_access_token_main_conf_t   *main;

    /* what is asked */
    const ngx_http_access_token_api_route_t  *route;
    ngx_http_access_token_api_pt         handler;       /* of the method */
    ngx_access_token_owner_t             owner;
    ngx_str_t                            id;
    ngx_str_t                            body;
    unsigned                             body_reading:1;
    unsigned                             body_read:1;

    /* by whom */
    ngx_http_access_token_api_caller_t   caller;

    /* what is awaited, and what happens then */
    ngx_access_token_lookup_t            lookup;
    ngx_access_token_op_t                op;
    ngx_http_access_token_api_pt         step;
    unsigned                             lookup_waits:1;
    unsigned                             op_waits:1;

    /* what is answered */
    ngx_str_t                            reply;
    ngx_str_t                            detail;
    ngx_array_t                          errors;        /* …_error_t */
    ngx_str_t                            token;         /* a new one: secret */
    u_char                               token_buf[NGX_ACCESS_TOKEN_MAX_LEN];
};


/* --- route ------------------------------------------------------------- */

/*
 * Finds the route and the function of the method.  NGX_OK: they are in ctx,
 * and so are the owner and the id that the path names; else the status: 404,
 * 405, or 204 for OPTIONS.
 */

ngx_int_t ngx_http_access_token_api_route(
    ngx_http_access_token_api_ctx_t *ctx);


/* The row of the route, or the last one if the path is none. */

ngx_uint_t ngx_http_access_token_api_row(
    const ngx_http_access_token_api_ctx_t *ctx);
const ngx_str_t *ngx_http_access_token_api_row_path(ngx_uint_t row);


/* --- caller ------------------------------------------------------------ */

/*
 * Finds out who calls.  NGX_OK: ctx->caller is known; NGX_AGAIN: known to
 * api_caller_verdict() once the look-up has its answer; else the status.
 */

ngx_int_t ngx_http_access_token_api_caller(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_caller_verdict(
    ngx_http_access_token_api_ctx_t *ctx);

/* 1 if the caller may do it to the owner; 0 in every other case. */

ngx_uint_t ngx_http_access_token_api_may(
    const ngx_http_access_token_api_caller_t *caller,
    ngx_http_access_token_api_right_e right,
    const ngx_access_token_owner_t *owner);

/*
 * Leaves of equal grants the first one: a user may be given a role twice.
 * Rights need it not, and it compares each with each.
 */

void ngx_http_access_token_api_distinct(
    ngx_http_access_token_api_caller_t *caller);


/* --- tokens ------------------------------------------------------------ */

ngx_int_t ngx_http_access_token_api_organizations(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_groups(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_list(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_create(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_get(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_patch(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_revoke(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_activate(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_rotate(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_delete(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_get_caller(
    ngx_http_access_token_api_ctx_t *ctx);


/* --- members ----------------------------------------------------------- */

#define NGX_HTTP_ACCESS_TOKEN_API_NAME         0x01
#define NGX_HTTP_ACCESS_TOKEN_API_DESCRIPTION  0x02
#define NGX_HTTP_ACCESS_TOKEN_API_EXPIRES      0x04
#define NGX_HTTP_ACCESS_TOKEN_API_ADMIN        0x08
#define NGX_HTTP_ACCESS_TOKEN_API_GRACE        0x10

typedef struct {
    ngx_uint_t                           set;           /* bits from above */
    ngx_str_t                            name;
    ngx_str_t                            description;   /* empty: null */
    time_t                               expires;       /* 0: null */
    time_t                               grace;         /* seconds */
    ngx_uint_t                           admin;
} ngx_http_access_token_api_members_t;


/* A value of JSON, for those who do not know jansson. */

typedef enum {
    NGX_HTTP_ACCESS_TOKEN_API_NULL = 0,
    NGX_HTTP_ACCESS_TOKEN_API_STRING,           /* in string */
    NGX_HTTP_ACCESS_TOKEN_API_INTEGER,          /* in integer */
    NGX_HTTP_ACCESS_TOKEN_API_BOOLEAN,          /* in integer */
    NGX_HTTP_ACCESS_TOKEN_API_OTHER
} ngx_http_access_token_api_type_e;

typedef struct {
    ngx_http_access_token_api_type_e     type;
    ngx_str_t                            string;
    int64_t                              integer;
} ngx_http_access_token_api_value_t;

/*
 * Reads ctx->body.  NGX_OK: m holds the members, all valid, their texts in
 * r->pool; 400: not JSON; 422: there is an entry in ctx->errors for each
 * member that is bad, not among allowed, or missing though required.
 */

ngx_int_t ngx_http_access_token_api_members(
    ngx_http_access_token_api_ctx_t *ctx, ngx_uint_t allowed,
    ngx_uint_t required, ngx_http_access_token_api_members_t *m);

/* One member: NGX_OK, 422 or NGX_ERROR.  name and value are not kept. */

ngx_int_t ngx_http_access_token_api_member(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *name,
    const ngx_http_access_token_api_value_t *value, ngx_uint_t allowed,
    ngx_http_access_token_api_members_t *m);


/* --- query ------------------------------------------------------------- */

/* 422: there is an entry in ctx->errors for each bad parameter. */

ngx_int_t ngx_http_access_token_api_query(
    ngx_http_access_token_api_ctx_t *ctx, ngx_access_token_filter_t *filter);


/* --- input ------------------------------------------------------------- */

/*
 * RFC 3339: a date (its beginning in UTC) or a date-time; a fraction of a
 * second is dropped.  NGX_DECLINED: not one, or none that exists.
 */

ngx_int_t ngx_http_access_token_api_parse_time(const ngx_str_t *text,
    time_t *t);

#define NGX_HTTP_ACCESS_TOKEN_API_TIME_LEN  64

u_char *ngx_http_access_token_api_print_time(u_char *p, time_t t);

/* 1 if the body's type is JSON, or a merge patch (RFC 7396) with PATCH. */

ngx_uint_t ngx_http_access_token_api_is_json(ngx_http_request_t *r);

/* --- json -------------------------------------------------------------- */

/* Gives each member of ctx->body to api_member(); returns as api_members(). */

ngx_int_t ngx_http_access_token_api_json_read(
    ngx_http_access_token_api_ctx_t *ctx, ngx_uint_t allowed,
    ngx_http_access_token_api_members_t *m);

/* All of these write ctx->reply, in r->pool: NGX_OK or NGX_ERROR. */

/* t and, if there is one, ctx->token; and whether replicas lack the change. */

ngx_int_t ngx_http_access_token_api_json_token(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_access_token_t *t);

/* A token is gone, and replicas are not known to know. */

ngx_int_t ngx_http_access_token_api_json_deleted(
    ngx_http_access_token_api_ctx_t *ctx);

/* ctx->op's page of tokens. */

ngx_int_t ngx_http_access_token_api_json_tokens(
    ngx_http_access_token_api_ctx_t *ctx);

/* ctx->op's page of groups (of ctx->owner's organization), organizations. */

ngx_int_t ngx_http_access_token_api_json_groups(
    ngx_http_access_token_api_ctx_t *ctx);
ngx_int_t ngx_http_access_token_api_json_organizations(
    ngx_http_access_token_api_ctx_t *ctx);

/* ctx->caller, and the maximum lifetime in seconds; 0, none: null. */

ngx_int_t ngx_http_access_token_api_json_caller(
    ngx_http_access_token_api_ctx_t *ctx);

/* RFC 9457. */

ngx_int_t ngx_http_access_token_api_json_problem(
    ngx_http_access_token_api_ctx_t *ctx, ngx_uint_t status,
    const ngx_str_t *title);


/* --- answer ------------------------------------------------------------ */

/* Sets ctx->detail, by the format of ngx_sprintf(); returns status. */

ngx_int_t ngx_http_access_token_api_refuse(
    ngx_http_access_token_api_ctx_t *ctx, ngx_int_t status, const char *fmt,
    ...);

/*
 * Adds one bad member (where: its JSON pointer, RFC 6901) or parameter; where
 * is not copied.  Returns 422, or NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_access_token_api_invalid(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *where,
    const char *fmt, ...);
ngx_int_t ngx_http_access_token_api_bad_parameter(
    ngx_http_access_token_api_ctx_t *ctx, const ngx_str_t *where,
    const char *fmt, ...);

/* Adds a header; key and value are not copied. */

ngx_int_t ngx_http_access_token_api_header(ngx_http_request_t *r,
    const char *key, const ngx_str_t *value);

/*
 * Sends the answer, and says what is to be given to ngx_http_finalize_request.
 * error_page is not applied: the answer is the API's own.
 */

ngx_int_t ngx_http_access_token_api_answer(
    ngx_http_access_token_api_ctx_t *ctx, ngx_int_t status);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_ACCESS_TOKEN_API_H_INCLUDED_ */
