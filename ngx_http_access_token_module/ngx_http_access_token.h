
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The http storey: requests.  What its files share: the configuration, which
 * request code sees as const, and the doors between the files.
 *
 *     ngx_http_access_token_module.c       directives, lifecycle
 *     ngx_http_access_token_conf.c         directives of locations
 *     ngx_http_access_token_conf_main.c    directives of the http level
 *     ngx_http_access_token_conf_redis.c   access_token_redis
 *     ngx_http_access_token_conf_cache.c   and of these, the cache's
 *     ngx_http_access_token_access.c       the edge: ask and judge
 *     ngx_http_access_token_take.c         the token of a request
 *     ngx_http_access_token_refusal.c      the answer to one that is refused
 *     ngx_http_access_token_variables.c    $access_token_*
 *     ngx_http_access_token_api.c          routes, the caller, bodies
 *     ngx_http_access_token_api_tokens.c   one function a route
 *     ngx_http_access_token_api_json.c     JSON in and out (jansson)
 *     ngx_http_access_token_status.c       the status: request and answer
 *     ngx_http_access_token_metrics.c      the table of what it shows
 *     ngx_http_access_token_metrics_write.c   text and JSON
 *
 * The context that a request has for this module is access.c's own; in a
 * location with access_token_api, where the edge does not ask, it is api.c's.
 */


#ifndef _NGX_HTTP_ACCESS_TOKEN_H_INCLUDED_
#define _NGX_HTTP_ACCESS_TOKEN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_access_token.h>


#pragma GCC visibility push(hidden)


#define NGX_HTTP_ACCESS_TOKEN_OFF       0
#define NGX_HTTP_ACCESS_TOKEN_ON        1
#define NGX_HTTP_ACCESS_TOKEN_OPTIONAL  2

#define NGX_HTTP_ACCESS_TOKEN_RETRY_AFTER  "1"      /* seconds, with a 503 */


/*
 * What this storey counts in the zone itself: the answers of the API.  A row a
 * route, the last one for paths that are none; a column a status, the last one
 * for all that have none of their own.
 */

#define NGX_HTTP_ACCESS_TOKEN_API_ROUTES    17
#define NGX_HTTP_ACCESS_TOKEN_API_STATUSES  16
#define NGX_HTTP_ACCESS_TOKEN_COUNTERS                                        \
    (NGX_HTTP_ACCESS_TOKEN_API_ROUTES * NGX_HTTP_ACCESS_TOKEN_API_STATUSES)


typedef enum {
    NGX_HTTP_ACCESS_TOKEN_BEARER = 0,       /* Authorization: Bearer */
    NGX_HTTP_ACCESS_TOKEN_HEADER,
    NGX_HTTP_ACCESS_TOKEN_COOKIE,
    NGX_HTTP_ACCESS_TOKEN_QUERY
} ngx_http_access_token_source_e;

typedef struct {
    ngx_http_access_token_source_e   type;
    ngx_str_t                        name;  /* of header, cookie, argument */
} ngx_http_access_token_source_t;


/* One access_token_require; NULL: not asked for.  An empty value denies. */

typedef struct {
    ngx_http_complex_value_t        *organization;
    ngx_http_complex_value_t        *group;
    ngx_http_complex_value_t        *role;
    ngx_http_complex_value_t        *level;
} ngx_http_access_token_require_t;


typedef struct {
    ngx_access_token_store_t         store;
    ngx_redis_conf_t                 redis;
    ngx_access_token_zone_conf_t     zone;
    ngx_flag_t                       cache;
    ngx_msec_t                       lease;
    ngx_str_t                        prefix;
    time_t                           max_lifetime;  /* 0: off */
    ngx_array_t                     *root;  /* u_char[32] each, or NULL */
    ngx_uint_t                       used;  /* a location needs Redis */
} ngx_http_access_token_main_conf_t;


typedef struct {
    ngx_uint_t                       enforce;
    ngx_http_complex_value_t        *realm;
    ngx_array_t                     *sources;   /* …_source_t */
    ngx_array_t                     *require;   /* …_require_t, or NULL */
    ngx_flag_t                       api;
    ngx_flag_t                       status;
    ngx_http_complex_value_t        *identity_user;     /* or NULL */
    ngx_http_complex_value_t        *identity_roles;
} ngx_http_access_token_loc_conf_t;


/* --- directives -------------------------------------------------------- */

char *ngx_http_access_token_conf_enforce(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_realm(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_source(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_require(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_api_identity(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_access_token_conf_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

char *ngx_http_access_token_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_last_use(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_prefix(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_access_token_conf_max_lifetime(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_access_token_conf_root_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Compiles an argument; NULL: no memory, or a message was logged. */

ngx_http_complex_value_t *ngx_http_access_token_conf_value(ngx_conf_t *cf,
    ngx_str_t *value);

/* 1 if the argument is name=value; value ends with a zero as arg does. */

ngx_uint_t ngx_http_access_token_conf_param(ngx_str_t *arg, const char *name,
    ngx_str_t *value);

/* Logs that value is wrong for the directive at hand; NGX_CONF_ERROR. */

char *ngx_http_access_token_conf_bad(ngx_conf_t *cf, ngx_str_t *value,
    const char *mend);

/*
 * Reads a whole file, named as nginx names files, into text, in cf->pool.  A
 * secret that all users of the system can read is worth a warning.
 */

char *ngx_http_access_token_conf_read_file(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *text, ngx_uint_t secret);


/* --- access ------------------------------------------------------------ */

/*
 * The handler of the access phase.  It asks nothing in a location with
 * access_token_api: the API knows its callers itself.
 */

ngx_int_t ngx_http_access_token_access_handler(ngx_http_request_t *r);

/*
 * The verdict on the request, in whichever location it was given last; token
 * is set if it is ACTIVE, and NULL otherwise: nothing that a refused token
 * says may reach an upstream.  NGX_DECLINED: there is no verdict.
 */

ngx_int_t ngx_http_access_token_result(ngx_http_request_t *r,
    ngx_access_token_verdict_e *verdict, const ngx_access_token_t **token);

/*
 * What the cache had to do with it.  NGX_DECLINED: nothing, since there was no
 * token to be asked for.
 */

ngx_int_t ngx_http_access_token_cached(ngx_http_request_t *r,
    ngx_access_token_cached_e *cached);

/*
 * While a request waits, it reads, so that a client that goes away is
 * noticed.  Resuming goes back to blocking and posts the request's write
 * event: write_event_handler runs in a later turn, never from inside the call.
 */

void ngx_http_access_token_wait(ngx_http_request_t *r);
void ngx_http_access_token_resume(ngx_http_request_t *r);


/* --- take -------------------------------------------------------------- */

/*
 * Takes the one token of a request from the given sources.  NGX_OK: token is
 * set (it may be empty, which is malformed) and lies in the request's own
 * memory; NGX_DECLINED: there is none; NGX_HTTP_BAD_REQUEST: there are
 * several; NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_access_token_take(ngx_http_request_t *r,
    const ngx_array_t *sources, ngx_str_t *token);


/* --- refusal ----------------------------------------------------------- */

typedef enum {
    NGX_HTTP_ACCESS_TOKEN_REFUSE_MISSING = 0,   /* 401, a bare challenge */
    NGX_HTTP_ACCESS_TOKEN_REFUSE_SEVERAL,       /* 400 invalid_request */
    NGX_HTTP_ACCESS_TOKEN_REFUSE_INVALID,       /* 401 invalid_token */
    NGX_HTTP_ACCESS_TOKEN_REFUSE_SCOPE,         /* 403 insufficient_scope */
    NGX_HTTP_ACCESS_TOKEN_REFUSE_UNAVAILABLE    /* 503, Retry-After */
} ngx_http_access_token_refusal_e;

/*
 * Adds the headers of a refusal and returns the status, which the access
 * handler returns in turn: satisfy, auth_delay and error_page work as ever,
 * and what nginx then says in HTML becomes problem+json.  500 if no memory.
 */

ngx_int_t ngx_http_access_token_refuse(ngx_http_request_t *r,
    ngx_http_access_token_refusal_e why);

/*
 * Adds WWW-Authenticate: Bearer realm="…" and, where error is not NULL, the
 * error code and description (RFC 6750 section 3).
 */

ngx_int_t ngx_http_access_token_challenge(ngx_http_request_t *r,
    const char *error, const char *description);

/*
 * Adds a header to the answer; its value is the caller's to set.  Neither is
 * copied.  NULL: no memory.
 */

ngx_table_elt_t *ngx_http_access_token_push(ngx_http_request_t *r,
    const ngx_str_t *key);


/* --- variables --------------------------------------------------------- */

ngx_int_t ngx_http_access_token_add_variables(ngx_conf_t *cf);


/* --- api --------------------------------------------------------------- */

/* The content handler of a location with access_token_api. */

ngx_int_t ngx_http_access_token_api_handler(ngx_http_request_t *r);

/* What the nth counter counts; route is not copied; status 0: all others. */

void ngx_http_access_token_api_counter(ngx_uint_t n, ngx_str_t *route,
    ngx_uint_t *status);


/* --- status ------------------------------------------------------------ */

/* The content handler of a location with access_token_status. */

ngx_int_t ngx_http_access_token_status_handler(ngx_http_request_t *r);


/* --- metrics ----------------------------------------------------------- */

/*
 * All that is counted, summed over the workers, in pool: the text exposition
 * format of Prometheus (0.0.4), or JSON.  NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_access_token_metrics(ngx_pool_t *pool,
    ngx_access_token_zone_t *zone, ngx_uint_t json, ngx_str_t *text);


extern ngx_module_t  ngx_http_access_token_module;


#pragma GCC visibility pop


#endif /* _NGX_HTTP_ACCESS_TOKEN_H_INCLUDED_ */
