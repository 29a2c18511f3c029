
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The wire: Redis, which is one server, or the one that Sentinels say, or the
 * nodes of a cluster, seen as a place to send commands to.  It knows no token
 * and no HTTP.
 *
 *     ngx_redis_client.c   all servers, and their answers
 *     ngx_redis_command.c  a command: which server, and its bytes
 *     ngx_redis_cluster.c  the nodes of a cluster, and which one has a key
 *     ngx_redis_again.c    what becomes of a command that came to another
 *     ngx_redis_map.c      the slot of a key, and CLUSTER SLOTS
 *     ngx_redis_node.c     one server: its connections, back-off
 *     ngx_redis_link.c     the connection on which Redis tells what changes
 *     ngx_redis_address.c  from a name to addresses
 *     ngx_redis_primary.c  where the primary is, if Sentinels know
 *     ngx_redis_sentinel.c what Sentinels say
 *     ngx_redis_connect.c  from an address to a server that takes commands
 *     ngx_redis_tls.c      TLS between these two, where it is wanted
 *     ngx_redis_conn.c     one connection: pipeline, timeouts, failure
 *     ngx_redis_reply.c    bytes to replies, commands to bytes (hiredis)
 *     ngx_redis_fault.c    what went wrong, in words for the log
 *
 * What always holds: a command that was taken is answered exactly once, later,
 * never from inside the call that sent it, unless it is cancelled.  Commands
 * sent in one turn of the event loop leave in one write.
 */


#ifndef _NGX_REDIS_H_INCLUDED_
#define _NGX_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


#define NGX_REDIS_MAX_ELTS   65536          /* elements of one reply */
#define NGX_REDIS_MAX_REPLY  (4 * 1024 * 1024)  /* bytes of one reply */
#define NGX_REDIS_MAX_QUEUE  65536          /* commands waiting or in flight */

/*
 * Servers have numbers below this.  That of one that is gone is given to
 * another one.  What is no cluster has one server, whose number is 0.
 */

#define NGX_REDIS_NODES      64


typedef struct ngx_redis_s          ngx_redis_t;
typedef struct ngx_redis_command_s  ngx_redis_command_t;
typedef struct ngx_redis_reply_s    ngx_redis_reply_t;


typedef enum {
    NGX_REDIS_NIL = 0,
    NGX_REDIS_STATUS,                       /* +OK, in str */
    NGX_REDIS_ERROR,                        /* -ERR …, in str */
    NGX_REDIS_INTEGER,
    NGX_REDIS_STRING,                       /* bulk, in str, binary */
    NGX_REDIS_ARRAY                         /* elts[0 .. nelts - 1] */
} ngx_redis_type_e;


/* A reply and all below it live until the handler returns. */

struct ngx_redis_reply_s {
    ngx_redis_type_e         type;
    ngx_str_t                str;
    int64_t                  integer;
    ngx_uint_t               nelts;
    ngx_redis_reply_t       *elts;
};


/*
 * rc is NGX_OK: reply is set, and is no error at its top; NGX_ERROR: Redis
 * could not be asked, or answered with an error (already logged), and reply
 * is NULL: the command may or may not have been carried out.
 */

typedef void (*ngx_redis_handler_pt)(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);


/* Where commands go. */

typedef enum {
    NGX_REDIS_ALONE = 0,                    /* to one server */
    NGX_REDIS_SENTINEL,                     /* to where Sentinels say */
    NGX_REDIS_CLUSTER                       /* to the node of their key */
} ngx_redis_topology_e;


/*
 * What the configuration says; times in milliseconds.  Addresses are of the
 * form host[:port] or unix:path; empty texts are not given.
 */

typedef struct {
    ngx_flag_t               on;
    ngx_flag_t               verify;        /* the server's certificate */
    ngx_str_t                ca;            /* file; the system's if empty */
    ngx_str_t                name;          /* instead of the address' host */
    ngx_str_t                cert;          /* ours, file */
    ngx_str_t                key;           /* file */
    ngx_ssl_t               *ssl;           /* by ngx_redis_tls_create() */
} ngx_redis_tls_conf_t;

typedef struct {
    ngx_str_t                user;
    ngx_str_t                password;
    ngx_flag_t               tls;
} ngx_redis_sentinel_conf_t;

typedef struct {
    ngx_redis_topology_e     topology;
    ngx_str_t                address;       /* for the log */
    ngx_array_t             *addresses;     /* ngx_str_t: of the server, of
                                               Sentinels, of some nodes */
    ngx_str_t                primary;       /* its name there */
    ngx_redis_sentinel_conf_t  sentinel;
    ngx_redis_tls_conf_t     tls;
    ngx_str_t                user;          /* empty: the default user */
    ngx_str_t                password;      /* empty: no AUTH */
    ngx_uint_t               db;
    ngx_msec_t               connect_timeout;   /* until the handshake's end */
    ngx_msec_t               timeout;       /* from the write to the reply */
    ngx_resolver_t          *resolver;      /* NULL: addresses of the start */
    ngx_msec_t               resolver_timeout;  /* connect_timeout if less */
    unsigned                 identify:1;    /* ask a server who it is */
} ngx_redis_conf_t;


/*
 * What the wire counts, in memory of the caller's that workers share: each
 * number is added to atomically.  A latency is that from the write of a
 * command to its reply; latency[i] counts those of at most
 * ngx_redis_latency_bounds[i] microseconds that were above the bound before,
 * the last one those above all bounds.
 */

#define NGX_REDIS_LATENCIES  14

/* What a server may be found not to have, when a connection to it is made. */

typedef enum {
    NGX_REDIS_TRACKING = 0,                 /* of keys; channels have to do */
    NGX_REDIS_IDENTITY,                     /* a run id; nothing is cached */
    NGX_REDIS_ROLE,                         /* it is a primary, or is not */
    NGX_REDIS_EVALSHA,                      /* scripts go as a whole */
    NGX_REDIS_FEATURES
} ngx_redis_feature_e;

typedef struct {
    ngx_atomic_t             commands;      /* answered, or failed */
    ngx_atomic_t             errors;        /* of these: failed, or refused */
    ngx_atomic_t             connects;      /* that succeeded, handshake too */
    ngx_atomic_t             failures;      /* of connections, or of connects */
    ngx_atomic_t             lacks[NGX_REDIS_FEATURES];
    ngx_atomic_t             latency[NGX_REDIS_LATENCIES];
    ngx_atomic_t             latency_sum;   /* microseconds */
} ngx_redis_stats_t;

extern const ngx_uint_t  ngx_redis_latency_bounds[NGX_REDIS_LATENCIES - 1];


/*
 * A slow script is one of milliseconds.  The client has one of these in flight
 * at most; what is quick does not wait behind more than that.  The others wait
 * for their turn, for ten times the timeout at most.
 */

typedef struct {
    ngx_str_t                text;          /* Lua */
    u_char                   sha1[40];      /* hex; by ngx_redis_script_init */
    unsigned                 slow:1;
} ngx_redis_script_t;


#pragma GCC visibility push(hidden)


/*
 * Creates the client in configuration memory; connects nowhere: each worker
 * connects at its first command.  NULL after an emerg message that names
 * the address.  conf is kept, not copied; resolver may be set later.
 */

ngx_redis_t *ngx_redis_create(ngx_conf_t *cf, ngx_redis_conf_t *conf);


/*
 * Two clients of the same servers, with connections of their own: in a cluster,
 * what the one is told of who has what the other one knows too.
 */

void ngx_redis_join(ngx_redis_t *one, ngx_redis_t *other);


/*
 * Before that: reads the files of conf->tls, and sets ssl there, for servers
 * and Sentinels; nothing where neither has TLS on.  NGX_ERROR: after an emerg
 * message that names the parameter.
 */

ngx_int_t ngx_redis_tls_create(ngx_conf_t *cf, ngx_redis_conf_t *conf);


/*
 * Sends one command.  argv is copied; key is the key that decides the server,
 * in a cluster.  Returns NULL if it cannot be queued: out of memory, too many
 * waiting, or Redis was just found to be down and the back-off pause lasts;
 * the handler is not called then.
 */

ngx_redis_command_t *ngx_redis_send(ngx_redis_t *redis, const ngx_str_t *key,
    const ngx_str_t *argv, ngx_uint_t argc, ngx_redis_handler_pt handler,
    void *data);

/* The same, to this server or none, whatever it says of others. */

ngx_redis_command_t *ngx_redis_send_to(ngx_redis_t *redis, ngx_uint_t node,
    const ngx_str_t *argv, ngx_uint_t argc, ngx_redis_handler_pt handler,
    void *data);


/*
 * A command of which only the second word, its key, is another one each time:
 * the rest is written once, into pool.  argv[1] is not looked at.  NGX_OK, or
 * NGX_ERROR: no memory.  It is sent as by ngx_redis_send().
 */

typedef struct {
    ngx_str_t                head;          /* bytes before the key */
    ngx_str_t                tail;
} ngx_redis_prepared_t;

ngx_int_t ngx_redis_prepare(ngx_pool_t *pool, const ngx_str_t *argv,
    ngx_uint_t argc, ngx_redis_prepared_t *prepared);
ngx_redis_command_t *ngx_redis_send_prepared(ngx_redis_t *redis,
    const ngx_redis_prepared_t *prepared, const ngx_str_t *key,
    ngx_redis_handler_pt handler, void *data);


/*
 * Runs a script: EVALSHA, and EVAL once if Redis does not know it.  Keys come
 * first in argv, nkeys of them (at least one: it decides the server).
 * Otherwise as ngx_redis_send().
 */

ngx_redis_command_t *ngx_redis_eval(ngx_redis_t *redis,
    const ngx_redis_script_t *script, ngx_uint_t nkeys, const ngx_str_t *argv,
    ngx_uint_t argc, ngx_redis_handler_pt handler, void *data);

void ngx_redis_script_init(ngx_redis_script_t *script);


/*
 * The handler will not be called; the reply is dropped when it comes.  Only
 * for a command whose handler has not been called yet: then it is gone.
 */

void ngx_redis_cancel(ngx_redis_command_t *cmd);


/* From now on the client and its links count there; NULL: nowhere. */

void ngx_redis_count(ngx_redis_t *redis, ngx_redis_stats_t *stats);


/*
 * Within a handler: which server has answered, NGX_REDIS_NODES if it is gone
 * meanwhile; and on which connection: two commands whose handlers find the same
 * number were answered by one and the same.
 */

ngx_uint_t ngx_redis_answering(const ngx_redis_t *redis);
ngx_uint_t ngx_redis_connection(const ngx_redis_t *redis);


/*
 * Within a handler: this is no reply to what was asked.  Then nobody knows to
 * which command any other one belongs: the connection fails when the handler
 * is over.  Nothing happens if no handler of this client runs.
 */

void ngx_redis_garbled(ngx_redis_t *redis);


/*
 * The server that a key, or its hash tag alone, belongs to as far as is known;
 * NGX_REDIS_NODES: it is not known now.
 */

ngx_uint_t ngx_redis_node(const ngx_redis_t *redis, const ngx_str_t *key);

/* 1: keys of different hash tags may belong to different servers. */

ngx_uint_t ngx_redis_is_cluster(const ngx_redis_t *redis);

/* 1: there is a server of that number now. */

ngx_uint_t ngx_redis_has_node(const ngx_redis_t *redis, ngx_uint_t node);

/* Its address, for the log. */

const ngx_str_t *ngx_redis_node_name(const ngx_redis_t *redis,
    ngx_uint_t node);


/* --- link -------------------------------------------------------------- */

/*
 * A connection of its own, to each server, on which Redis tells what changes.
 * It tracks itself: CLIENT ID, CLIENT TRACKING ON REDIRECT <that id> BCAST
 * PREFIX <prefix>, SUBSCRIBE __redis__:invalidate and the channels, so that
 * whatever breaks the one breaks the other.  (With two, the subscriber of a
 * tracking connection that died would still answer and hear nothing.)  Where
 * tracking is refused, which is logged once, the channels have to do.
 *
 * What is called, in this order and never from inside a call of the caller's:
 * up: Redis has confirmed all of it, and whatever changes from now on will be
 * told; changed and message: in the order in which Redis sent them; down: the
 * link is broken, what was not told never will be.  It is then made again by
 * itself, after a pause as that of commands, unless its server is gone.  The
 * strings live until the handler returns.
 */

typedef struct {
    ngx_str_t                prefix;        /* of the keys to be told of */
    ngx_str_t               *channels;
    ngx_uint_t               nchannels;     /* at least one */

    void                   (*up)(void *data, ngx_uint_t node);
    void                   (*changed)(void *data, ngx_uint_t node,
                                 const ngx_str_t *key);
                                            /* key NULL: all keys */
    void                   (*message)(void *data, ngx_uint_t node,
                                 const ngx_str_t *channel,
                                 const ngx_str_t *text);
    void                   (*down)(void *data, ngx_uint_t node);
    void                    *data;
} ngx_redis_link_conf_t;


/*
 * Each server is to have a link; conf is kept, not copied, and what is in it
 * may be filled in until the start.  NGX_ERROR: no memory.
 */

ngx_int_t ngx_redis_listen(ngx_conf_t *cf, ngx_redis_t *redis,
    ngx_redis_link_conf_t *conf);


/* Links begin to connect; once, in a worker.  They do not keep it alive. */

void ngx_redis_start(ngx_redis_t *redis);


/* The caller has lost its trust: closes it (down), logs why, connects anew. */

void ngx_redis_link_reset(ngx_redis_t *redis, ngx_uint_t node,
    const char *reason);


/*
 * The run id of the server that the link is up with, or that answers commands
 * now; empty: not connected, or the server does not tell (INFO), which is
 * logged once.  It takes conf->identify.
 */

const ngx_str_t *ngx_redis_link_server(const ngx_redis_t *redis,
    ngx_uint_t node);
const ngx_str_t *ngx_redis_server(const ngx_redis_t *redis, ngx_uint_t node);

/* 1: that link is told of keys, and not by channels alone. */

ngx_uint_t ngx_redis_link_tracks(const ngx_redis_t *redis, ngx_uint_t node);


#pragma GCC visibility pop


#endif /* _NGX_REDIS_H_INCLUDED_ */
