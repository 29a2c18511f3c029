
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What the two files of the lease share: the lease itself, and what a worker
 * holds of one server.  Nobody else includes it.
 */


#ifndef _NGX_ACCESS_TOKEN_TERM_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_TERM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_access_token_cache.h>
#include <ngx_access_token_lease.h>


#pragma GCC visibility push(hidden)


#define NGX_ACCESS_TOKEN_FENCE      80          /* bytes */


/* What a worker holds of one server. */

typedef struct {
    ngx_access_token_lease_t     *lease;
    ngx_uint_t                    node;         /* its number */
    ngx_access_token_origin_t     origin;
    ngx_redis_command_t          *command;      /* of a heartbeat, or NULL */

    ngx_str_t                     fence;        /* the key that is written */
    u_char                        name[NGX_ACCESS_TOKEN_FENCE];
    ngx_uint_t                    nfence;       /* in it, to be of its slots */

    /* microseconds on ngx_access_token_clock(); 0: not at all */
    int64_t                       until;
    int64_t                       heard;        /* when it was sent: its t0 */
    int64_t                       up;
    int64_t                       sent;         /* our own, under way */
    int64_t                       published;    /* and not yet heard */

    unsigned                      trusted:1;
    unsigned                      running:1;    /* as of the last tick */
    unsigned                      again:1;      /* the link was up before */
} ngx_access_token_term_t;


struct ngx_access_token_lease_s {
    ngx_access_token_store_t     *store;
    const ngx_redis_conf_t       *redis;
    ngx_redis_link_conf_t         conf;
    ngx_str_t                     channels[2];  /* changes, heartbeats */
    int64_t                       length;       /* us */
    ngx_uint_t                    cluster;

    ngx_event_t                   tick;
    ngx_connection_t              dummy;        /* nginx logs a timer's fd */

    ngx_access_token_term_t       terms[NGX_REDIS_NODES];
};


/* 1 if it runs at that time of ngx_access_token_clock(). */

ngx_uint_t ngx_access_token_lease_runs(const ngx_access_token_term_t *term,
    int64_t now);

/* A heartbeat was heard, and the zone is not trusted yet: is it now? */

void ngx_access_token_lease_adopt(ngx_access_token_term_t *term, int64_t now);


/* --- of heartbeat.c ---------------------------------------------------- */

/*
 * Finds the key, which has to be of the server's slots.  NGX_DECLINED: it has
 * none, or few, and the next call goes on with the search.
 */

ngx_int_t ngx_access_token_heartbeat_fence(ngx_access_token_term_t *term);

/* A write to it was refused: another one is looked for. */

void ngx_access_token_heartbeat_refused(ngx_access_token_term_t *term);

/* Sends one, if there is a key for it; sets term->sent until it is over. */

void ngx_access_token_heartbeat_send(ngx_access_token_term_t *term,
    int64_t now);

/* What the link has delivered on the channel of heartbeats. */

void ngx_access_token_heartbeat_hear(ngx_access_token_term_t *term,
    const ngx_str_t *text);


#pragma GCC visibility pop


#endif /* _NGX_ACCESS_TOKEN_TERM_H_INCLUDED_ */
