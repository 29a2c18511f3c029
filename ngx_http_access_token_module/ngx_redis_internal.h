
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What the files of the wire share, and nobody else sees:
 *
 *     command           its bytes      cluster     which node, and again
 *     client            answers          |  ^
 *       |                                v  |
 *     node              one server: when and where to connect, back-off
 *       |  \
 *       |   link        news of it
 *       |    |  ^
 *     submit, open, fail | open, greeted, done, lost
 *       v    v  |
 *     conn              one connection, made anew whenever it is needed
 *       |
 *     reader            bytes to replies; write_*: commands to bytes
 *
 * A command belongs to the connection from submit to done.  Beside them: place,
 * which knows the addresses; primary and sentinel, which find them where there
 * are Sentinels; and fault, what to say in the log.
 */


#ifndef _NGX_REDIS_INTERNAL_H_INCLUDED_
#define _NGX_REDIS_INTERNAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_redis.h>


typedef struct ngx_redis_conn_s      ngx_redis_conn_t;
typedef struct ngx_redis_reader_s    ngx_redis_reader_t;
typedef struct ngx_redis_node_s      ngx_redis_node_t;
typedef struct ngx_redis_link_s      ngx_redis_link_t;
typedef struct ngx_redis_cluster_s   ngx_redis_cluster_t;
typedef struct ngx_redis_primary_s   ngx_redis_primary_t;
typedef struct ngx_redis_sentinel_s  ngx_redis_sentinel_t;


/*
 * One allocation with its bytes behind it.  It keeps them until it is
 * answered: a script that Redis does not know is sent again as EVAL, and what a
 * node of a cluster does not have is sent to another one.
 */

struct ngx_redis_command_s {
    ngx_queue_t                queue;       /* in waiting, sent or slow */
    ngx_redis_handler_pt       handler;     /* NULL: cancelled */
    void                      *data;
    ngx_redis_node_t          *node;        /* where it goes; NULL: nobody
                                               knows, cluster.c keeps it */

    const ngx_redis_script_t  *script;      /* of an EVALSHA, or NULL */
    u_char                    *args;        /* of a script: after its digest */
    ngx_uint_t                 argc;        /* all of them */
    u_char                    *eval;        /* the bytes as EVAL, or NULL */

    u_char                    *pos;         /* still to be written */
    u_char                    *last;
    int64_t                    start;       /* of its writing, or in slow of
                                               its waiting for its turn; as of
                                               ngx_redis_conn_clock() */

    /* of a cluster */
    ngx_msec_t                 deadline;    /* of sending it again */
    ngx_uint_t                 slot;

    unsigned                   tries:4;     /* redirections */
    unsigned                   bound:1;     /* to its node */
    unsigned                   slow:1;
    unsigned                   big:1;       /* not for another one */
};


/*
 * What can go wrong: each is logged once, then every 10 seconds as long as it
 * lasts.  Those before NGX_REDIS_LOADING are found by the connection, the
 * others are error replies.
 */

typedef enum {
    NGX_REDIS_INTERNAL = 0,
    NGX_REDIS_FULL,
    NGX_REDIS_BEHIND,
    NGX_REDIS_SHUTDOWN,
    NGX_REDIS_RESOLVE,
    NGX_REDIS_CONNECT,
    NGX_REDIS_TLS,
    NGX_REDIS_TIMEOUT,
    NGX_REDIS_CLOSED,
    NGX_REDIS_PROTOCOL,
    NGX_REDIS_RESET,
    NGX_REDIS_UNNAMED,
    NGX_REDIS_UNTRACKED,
    NGX_REDIS_NO_EVALSHA,
    NGX_REDIS_MAP,
    NGX_REDIS_UNTOLD,
    NGX_REDIS_UNKNOWN,
    NGX_REDIS_UNHEARD,
    NGX_REDIS_REPLICA,
    NGX_REDIS_ROLELESS,
    NGX_REDIS_MOVED,
    NGX_REDIS_LOADING,                      /* and the rest of the table */
    NGX_REDIS_FAULTS = NGX_REDIS_LOADING + 32
} ngx_redis_fault_e;


/* These last whatever else is answered well. */

#define NGX_REDIS_LASTING                                                     \
    ((uint64_t) 1 << NGX_REDIS_UNNAMED | (uint64_t) 1 << NGX_REDIS_UNTRACKED  \
     | (uint64_t) 1 << NGX_REDIS_NO_EVALSHA                                   \
     | (uint64_t) 1 << NGX_REDIS_UNHEARD | (uint64_t) 1 << NGX_REDIS_ROLELESS)


/* What a connection is doing, for the log. */

typedef enum {
    NGX_REDIS_CONNECTING = 0,
    NGX_REDIS_SECURING,
    NGX_REDIS_GREETING,
    NGX_REDIS_READY,
    NGX_REDIS_ACTS
} ngx_redis_act_e;


/* An error reply: by its first words, what is to be done about it. */

typedef struct {
    ngx_str_t                  code;
    const char                *mend;        /* for the log */
    ngx_uint_t                 drop;        /* this server is of no use now */
} ngx_redis_refusal_t;


/* Takes the next reply.  NGX_ERROR: the connection is closed. */

typedef ngx_int_t (*ngx_redis_conn_take_pt)(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);


/*
 * Where a server is.  Addresses are those of the configuration until the name
 * is resolved anew, or Sentinel has told of others; then they lie in pool.
 */

typedef struct {
    ngx_redis_conn_t          *conn;        /* that is being opened */
    ngx_str_t                  host;        /* a name, or empty */
    in_port_t                  port;
    ngx_addr_t                *addrs;
    ngx_uint_t                 naddrs;
    ngx_pool_t                *pool;
    ngx_resolver_ctx_t        *ctx;         /* while the name is resolved */

    ngx_redis_primary_t       *primary;     /* which it leads to, or NULL */
    ngx_queue_t                queue;       /* of those it has told */
    ngx_uint_t                 answer;      /* the last one of its */
    unsigned                   listed:1;    /* in that queue */
    unsigned                   waits:1;     /* for an answer */
} ngx_redis_place_t;


/* Where Sentinels say that the primary is. */

#define NGX_REDIS_HOST_LEN  255

typedef struct {
    size_t                     len;         /* of host; 0: not known */
    in_port_t                  port;
    u_char                     host[NGX_REDIS_HOST_LEN];
} ngx_redis_endpoint_t;


/* Of a connection with TLS. */

typedef struct {
    ngx_str_t                  name;        /* what its certificate is for */
    u_long                     error;       /* of OpenSSL; 0: none */
    void                      *session;     /* ngx_ssl_session_t, or NULL: to
                                               be used by the next one */
    ngx_log_t                  log;         /* of nginx' SSL layer */
} ngx_redis_tls_t;


#define NGX_REDIS_RUN_ID   40               /* hex digits */
#define NGX_REDIS_PRODUCT  32               /* bytes, the last one zero */


/*
 * A connection has three states, told apart by its flags:
 *
 *     closed      neither; a waiting command makes it ask for an address
 *     opening     resolving, connecting, in the handshakes
 *     ready       commands go from waiting to sent to done
 */

struct ngx_redis_conn_s {
    ngx_redis_conf_t          *conf;

    /*
     * The ways up, to the client or the link.  open: a command waits, answer
     * with ngx_redis_conn_open() or _fail(), now or later.  greeted: the
     * handshake is over, answer with ngx_redis_conn_ready(), now or later;
     * NGX_ERROR: the connection is closed.  done: the command is the client's
     * again, with an error reply or another; with NULL, none came.  lost: the
     * connection failed, its commands will be done next.  moved: the server is
     * elsewhere from now on, no pause is needed; NULL: it never is.
     */

    void                       (*open)(ngx_redis_conn_t *conn);
    ngx_int_t                  (*greeted)(ngx_redis_conn_t *conn);
    void                       (*done)(ngx_redis_conn_t *conn,
                                   ngx_redis_command_t *cmd,
                                   const ngx_redis_reply_t *reply);
    void                       (*lost)(ngx_redis_conn_t *conn);
    void                       (*moved)(ngx_redis_conn_t *conn);
    void                      *data;

    ngx_redis_stats_t        **stats;       /* *stats may be NULL */

    ngx_str_t                  host;        /* whom a certificate is to be
                                               for; empty: the address; by
                                               those above, before open */
    ngx_addr_t                *addrs;       /* of those above */
    ngx_uint_t                 naddrs;
    ngx_uint_t                 naddr;       /* the one in use, modulo naddrs */
    ngx_uint_t                 tries;
    ngx_msec_t                 deadline;    /* of opening */

    ngx_queue_t                waiting;
    ngx_queue_t                sent;        /* in the order of the replies */
    ngx_queue_t                slow;        /* not yet in waiting */
    ngx_uint_t                 ncommands;   /* in all three */
    ngx_uint_t                 commands;    /* since the worker's start */
    ngx_uint_t                 writes;      /* the same: system calls */
    ngx_uint_t                 serial;      /* no other one has it */
    ngx_redis_command_t       *writing;     /* last of sent, partly in out */

    int64_t                    now;         /* of the last flush or read */

    ngx_event_t                turn;        /* posted: once a turn */

    ngx_peer_connection_t      peer;
    ngx_pool_t                *pool;        /* of the present connection */
    ngx_buf_t                 *in;
    ngx_buf_t                 *out;
    ngx_redis_reader_t        *reader;
    ngx_uint_t                 hello;       /* replies of the handshake due */
    ngx_redis_conn_take_pt     take;        /* NULL: not connected */
    ngx_redis_tls_t            tls;
    ngx_str_t                  server;      /* its run id, or empty */
    u_char                     run_id[NGX_REDIS_RUN_ID];
    u_char                     product[NGX_REDIS_PRODUCT];  /* "redis 7.0.15" */

    ngx_log_t                  log;
    ngx_log_t                  quiet;       /* alerts only */
    uint64_t                   told;        /* bits: faults of this outage */
    ngx_msec_t                 logged[NGX_REDIS_FAULTS];

    unsigned                   opening:1;
    unsigned                   ready:1;
    unsigned                   heard:1;     /* anything, on this connection */
    unsigned                   answered:1;  /* a command, on this connection */
    unsigned                   garbled:1;   /* what it answers is of no use */
    unsigned                   down:1;      /* and the log says so */
    unsigned                   slow_out:1;  /* one is in waiting or in sent */
    unsigned                   identify:1;  /* the handshake ends with INFO */
    unsigned                   listens:1;   /* the link's: Redis talks, and
                                               no worker lives for it */
    unsigned                   asks:1;      /* a Sentinel; listens is set */
};


/*
 * One server.  That of the configuration lies in its memory, nodes of a cluster
 * in pool.
 */

struct ngx_redis_node_s {
    ngx_redis_t               *redis;
    ngx_uint_t                 number;      /* NGX_REDIS_NODES: none */
    ngx_redis_conn_t           conn;
    ngx_redis_place_t          place;
    ngx_redis_link_t          *link;        /* NULL: nobody listens */

    ngx_msec_t                 pause;       /* the last one; 0: all is well */
    ngx_msec_t                 until;       /* its end */
    ngx_uint_t                 whole;       /* scripts go as EVAL */

    /* of a cluster */
    ngx_queue_t                queue;       /* of those that leave */
    ngx_pool_t                *pool;
    ngx_str_t                  host;
    in_port_t                  port;
};


struct ngx_redis_s {
    ngx_redis_conf_t          *conf;
    ngx_redis_node_t          *nodes[NGX_REDIS_NODES];
    ngx_redis_cluster_t       *cluster;     /* or NULL */
    ngx_redis_link_conf_t     *listener;    /* or NULL */
    ngx_redis_stats_t         *stats;       /* or NULL */

    ngx_redis_node_t          *answering;   /* while a handler runs */
    ngx_uint_t                 serial;      /* of its connection */

    ngx_queue_t                free;        /* commands for the next ones */
    ngx_uint_t                 nfree;

    unsigned                   gone:1;      /* the worker exits */
    unsigned                   started:1;
};


/* 1 if an error reply begins so. */

static ngx_inline ngx_uint_t
ngx_redis_says(const ngx_str_t *error, const char *code)
{
    size_t  len;

    len = ngx_strlen(code);

    return error->len >= len && ngx_strncmp(error->data, code, len) == 0;
}


/* The server of a number; NULL: there is none. */

static ngx_inline ngx_redis_node_t *
ngx_redis_at(const ngx_redis_t *redis, ngx_uint_t number)
{
    return (number < NGX_REDIS_NODES) ? redis->nodes[number] : NULL;
}


#define NGX_REDIS_SLOTS  16384

/* Its servers are the nodes that have slots; one that leaves has no number. */

struct ngx_redis_cluster_s {
    ngx_redis_t           *redis;

    /* numbers of nodes; NGX_REDIS_NODES: none */
    u_char                 map[NGX_REDIS_SLOTS];
    u_char                 next[NGX_REDIS_SLOTS];   /* that is being read */

    ngx_redis_node_t       seed;            /* one of the configuration's */
    ngx_redis_place_t     *seeds;
    ngx_uint_t             nseeds;
    ngx_uint_t             nseed;           /* the one in use, modulo nseeds */
    ngx_uint_t             left;            /* not yet tried in vain */

    ngx_redis_cluster_t   *fellow;          /* of the other client, or NULL */

    ngx_redis_node_t      *asked;           /* for the map; NULL: nobody */
    ngx_redis_node_t      *teller;          /* whose map is being read */
    ngx_msec_t             since;           /* it was */
    ngx_event_t            tick;            /* to ask again */

    ngx_queue_t            waiting;         /* commands */
    ngx_uint_t             nwaiting;
    ngx_event_t            again;           /* to try with those */

    ngx_queue_t            leaving;         /* nodes */

    ngx_msec_t             pause;           /* no node tells the map */
    ngx_msec_t             until;

    unsigned               doubtful:1;      /* since it was asked for */
};


/* Adds to a number of the caller's, see ngx_redis_count(). */

#define ngx_redis_add(stats, number, n)                                       \
    do {                                                                      \
        if (stats) {                                                          \
            (void) ngx_atomic_fetch_add(&(stats)->number, n);                 \
        }                                                                     \
    } while (0)


#pragma GCC visibility push(hidden)


/* --- command, client --------------------------------------------------- */

/*
 * ask: as ngx_redis_send_to(), of a node that may have no number.  again: sends
 * all of the command once more, to node.  finish: hands the answer, or NULL, to
 * whoever has asked.
 */

ngx_redis_command_t *ngx_redis_ask(ngx_redis_node_t *node,
    const ngx_str_t *argv, ngx_uint_t argc, ngx_redis_handler_pt handler,
    void *data);
void ngx_redis_again(ngx_redis_command_t *cmd, ngx_redis_node_t *node);
void ngx_redis_finish(ngx_redis_t *redis, ngx_redis_command_t *cmd,
    const ngx_redis_reply_t *reply);

void ngx_redis_free(ngx_redis_t *redis, ngx_redis_command_t *cmd);

/* 1: no byte of it was written since it was last submitted. */

ngx_uint_t ngx_redis_is_unsent(const ngx_redis_command_t *cmd);

/* A command of a node's connection is done. */

void ngx_redis_done(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd,
    const ngx_redis_reply_t *reply);


/* --- cluster ----------------------------------------------------------- */

ngx_redis_cluster_t *ngx_redis_cluster_create(ngx_conf_t *cf,
    ngx_redis_t *redis);
void ngx_redis_cluster_free(ngx_redis_cluster_t *cluster);

/* The node of a slot; NULL: none is known. */

ngx_redis_node_t *ngx_redis_cluster_route(const ngx_redis_cluster_t *cluster,
    ngx_uint_t slot);

/*
 * Keeps a command until its node is known, or its time is up.  takes: 1 if it
 * is of use to keep one now.
 */

ngx_uint_t ngx_redis_cluster_takes(const ngx_redis_cluster_t *cluster);
void ngx_redis_cluster_keep(ngx_redis_cluster_t *cluster,
    ngx_redis_command_t *cmd);

/*
 * A node has answered with an error.  NGX_OK: the command is taken, and will be
 * sent again; NGX_DECLINED: it is an error like any other.
 */

ngx_int_t ngx_redis_cluster_redirect(ngx_redis_cluster_t *cluster,
    ngx_redis_node_t *node, ngx_redis_command_t *cmd, const ngx_str_t *error);

/* The same for one whose connection was lost. */

ngx_int_t ngx_redis_cluster_spare(ngx_redis_cluster_t *cluster,
    ngx_redis_command_t *cmd);

/* The map may be old: it is asked for soon. */

void ngx_redis_cluster_doubt(ngx_redis_cluster_t *cluster);

/*
 * Between the two files.  node: that at host:port, which is made if it is a new
 * one; NULL: it cannot.  try: those that wait; the handlers may send again, and
 * what they send waits for the next time.  again: of a timer, the same.
 */

ngx_redis_node_t *ngx_redis_cluster_node(ngx_redis_cluster_t *cluster,
    const ngx_str_t *host, in_port_t port);
void ngx_redis_cluster_try(ngx_redis_cluster_t *cluster);
void ngx_redis_cluster_again(ngx_event_t *ev);


/* --- map --------------------------------------------------------------- */

/* The slot of a key: that of its hash tag if it has one. */

ngx_uint_t ngx_redis_slot(const ngx_str_t *key);

/*
 * Reads the answer to CLUSTER SLOTS: calls range for each one with its primary;
 * host may be empty: that of the node that was asked.  NGX_ERROR: it is
 * malformed, or range has said so; ranges before may have been called.
 */

typedef ngx_int_t (*ngx_redis_range_pt)(void *data, ngx_uint_t first,
    ngx_uint_t last, const ngx_str_t *host, in_port_t port);

ngx_int_t ngx_redis_map_read(const ngx_redis_reply_t *reply,
    ngx_redis_range_pt range, void *data);

/* Reads "MOVED SLOT HOST:PORT", or ASK.  NGX_DECLINED: it is neither. */

ngx_int_t ngx_redis_map_target(const ngx_str_t *error, ngx_uint_t *slot,
    ngx_str_t *host, in_port_t *port);


/* --- node -------------------------------------------------------------- */

/* Fills in what is zeroed; its place and number are the caller's to set. */

void ngx_redis_node_init(ngx_redis_node_t *node, ngx_redis_t *redis);

/* One of a cluster, found at run time.  NULL: no memory. */

ngx_redis_node_t *ngx_redis_node_create(ngx_redis_t *redis,
    const ngx_str_t *host, in_port_t port);

/*
 * Drops its connections: what was in flight fails.  One that was created is
 * gone then.
 */

void ngx_redis_node_close(ngx_redis_node_t *node);

/* 1: it has just failed, and the pause lasts. */

ngx_uint_t ngx_redis_node_pauses(const ngx_redis_node_t *node);

/*
 * How many milliseconds to wait after one more failure, with jitter.  last is
 * what the length is computed from: 0 after what went well.
 */

ngx_msec_t ngx_redis_pause(ngx_msec_t *last);


/* --- link -------------------------------------------------------------- */

/* That of a node, in pool.  NULL: no memory.  close: for good. */

ngx_redis_link_t *ngx_redis_link_create(ngx_redis_node_t *node,
    ngx_pool_t *pool);
void ngx_redis_link_start(ngx_redis_link_t *link);
void ngx_redis_link_close(ngx_redis_link_t *link);

/* 1 if it is what a subscriber is told: [kind, channel, anything]. */

ngx_uint_t ngx_redis_is_push(const ngx_redis_reply_t *reply,
    const char *kind);


/* --- address ----------------------------------------------------------- */

/*
 * place->port is the default one, if not 0.  NGX_ERROR: after an emerg message
 * that names the address.
 */

ngx_int_t ngx_redis_place_init(ngx_conf_t *cf, ngx_redis_place_t *place,
    const ngx_str_t *address);

/* Finds addresses and calls ngx_redis_conn_open() or _fail(), maybe later. */

void ngx_redis_place_open(ngx_redis_place_t *place, ngx_redis_conn_t *conn);

/*
 * The place of a host, a name or an address, that was found at run time; what
 * it needs lies in pool.  NGX_ERROR: no memory.
 */

ngx_int_t ngx_redis_place_set(ngx_redis_place_t *place, ngx_pool_t *pool,
    const ngx_str_t *host, in_port_t port);
void ngx_redis_place_free(ngx_redis_place_t *place);

/*
 * The same for place->conn, of what the place has: a host and a port, or
 * addresses.  cancel: it does not go on, and nobody is told.
 */

void ngx_redis_place_find(ngx_redis_place_t *place);
void ngx_redis_place_cancel(ngx_redis_place_t *place);

/*
 * follow: the connection was opened without the place, to where it leads.
 * doubt: what is there may be of no use any more, and whoever knows is asked.
 */

void ngx_redis_place_follow(ngx_redis_place_t *place, ngx_redis_conn_t *conn);
void ngx_redis_place_doubt(ngx_redis_place_t *place);


/* --- primary ----------------------------------------------------------- */

/* In configuration memory; NULL after an emerg message.  conf is kept. */

ngx_redis_primary_t *ngx_redis_primary_create(ngx_conf_t *cf,
    ngx_redis_conf_t *conf);

/*
 * open: fills in where the primary is and calls ngx_redis_place_find(), now or
 * later, or ngx_redis_conn_fail(), later.  From open or follow on until forget,
 * the connection of the place is left when the primary is elsewhere.
 */

void ngx_redis_primary_open(ngx_redis_place_t *place);
void ngx_redis_primary_follow(ngx_redis_place_t *place);
void ngx_redis_primary_forget(ngx_redis_place_t *place);

/*
 * Another Sentinel is asked, soon.  refused: if a command was refused for want
 * of replicas, and then one answer is enough.
 */

void ngx_redis_primary_doubt(ngx_redis_primary_t *primary);
void ngx_redis_primary_refused(ngx_redis_primary_t *primary,
    const ngx_str_t *error);

/* A Sentinel has answered, or told the news; or all have failed. */

void ngx_redis_primary_heard(ngx_redis_primary_t *primary,
    const ngx_redis_endpoint_t *endpoint, ngx_uint_t news, ngx_log_t *log);
void ngx_redis_primary_unheard(ngx_redis_primary_t *primary);


/* --- sentinel ---------------------------------------------------------- */

ngx_redis_sentinel_t *ngx_redis_sentinel_create(ngx_conf_t *cf,
    ngx_redis_conf_t *conf, ngx_redis_primary_t *primary);

/*
 * ask: one after the other is asked, until one answers.  Nothing happens if
 * that is under way.  soon: later, and unless it is to be now not sooner than
 * a second after the last time.
 */

void ngx_redis_sentinel_ask(ngx_redis_sentinel_t *sentinel);
void ngx_redis_sentinel_ask_soon(ngx_redis_sentinel_t *sentinel,
    ngx_uint_t now);


/* --- conn -------------------------------------------------------------- */

/* Once, at configuration; the ways up are the caller's to fill in. */

void ngx_redis_conn_init(ngx_redis_conn_t *conn, ngx_redis_conf_t *conf);

/* Takes the command; nothing happens before the turn's end. */

void ngx_redis_conn_submit(ngx_redis_conn_t *conn, ngx_redis_command_t *cmd);

/* Logs, closes, and hands back every command.  Not from inside a submit. */

void ngx_redis_conn_fail(ngx_redis_conn_t *conn, ngx_redis_fault_e fault,
    ngx_err_t err, const char *reason);

/* The same without a word: nobody is at fault. */

void ngx_redis_conn_drop(ngx_redis_conn_t *conn);

/*
 * The server is elsewhere now: closes, and fails what may have been carried
 * out.  What was not yet sent opens it anew.
 */

void ngx_redis_conn_leave(ngx_redis_conn_t *conn, const char *reason);

/* Microseconds, of a clock that nobody sets. */

int64_t ngx_redis_conn_clock(void);


/*
 * For ngx_redis_connect.c.  start: the socket is connected, out goes out and
 * replies come to take; ready: they are those of commands from now on;
 * end: the other side or nginx closes.
 */

void ngx_redis_conn_start(ngx_redis_conn_t *conn,
    ngx_redis_conn_take_pt take);
void ngx_redis_conn_ready(ngx_redis_conn_t *conn);
void ngx_redis_conn_end(ngx_redis_conn_t *conn, const char *reason);


/* --- connect ----------------------------------------------------------- */

/* Connects to the first of addrs that answers; they stay the caller's. */

void ngx_redis_conn_open(ngx_redis_conn_t *conn, ngx_addr_t *addrs,
    ngx_uint_t naddrs);

/* The connection can be written to and read from: begins to talk. */

void ngx_redis_conn_greet(ngx_redis_conn_t *conn);


/* --- tls --------------------------------------------------------------- */

/* Of a connected socket; at its end ngx_redis_conn_greet() or _fail(). */

void ngx_redis_tls_handshake(ngx_redis_conn_t *conn);

/*
 * After an error in reading or writing: fails with what OpenSSL has said, such
 * as that the server wants a certificate.  NGX_DECLINED: it has said nothing.
 */

ngx_int_t ngx_redis_tls_fail(ngx_redis_conn_t *conn);

/* Before the connection is closed. */

void ngx_redis_tls_close(ngx_redis_conn_t *conn);

/* Drops the session; at the latest when the worker exits. */

void ngx_redis_tls_forget(ngx_redis_conn_t *conn);


/* --- reply ------------------------------------------------------------- */

ngx_redis_reader_t *ngx_redis_reader_create(ngx_log_t *log);
void ngx_redis_reader_destroy(ngx_redis_reader_t *reader);

/*
 * feed: the bytes are to stay where they are until next wants more.  next:
 * NGX_OK, and a reply that lives until the next call; NGX_AGAIN: more bytes
 * are needed; NGX_ERROR: the stream is of no use any more, and reader_error()
 * says why.
 */

void ngx_redis_reader_feed(ngx_redis_reader_t *reader,
    const u_char *buf, size_t len);
ngx_int_t ngx_redis_reader_next(ngx_redis_reader_t *reader,
    const ngx_redis_reply_t **reply);
const char *ngx_redis_reader_error(ngx_redis_reader_t *reader);

/* Room for a command of argc arguments that are len bytes in sum. */

#define ngx_redis_command_len(argc, len)                                      \
    ((len) + ((argc) + 1) * (sizeof("$\r\n\r\n") - 1 + NGX_SIZE_T_LEN))

u_char *ngx_redis_write_array(u_char *p, ngx_uint_t n);
u_char *ngx_redis_write_bulk(u_char *p, const ngx_str_t *s);


/* --- fault ------------------------------------------------------------- */

/* The logs of a connection, from now on. */

void ngx_redis_conn_log(ngx_redis_conn_t *conn);
void ngx_redis_conn_acts(ngx_redis_conn_t *conn, ngx_redis_act_e act);

/* Whether the fault is to be logged now, or was just a moment ago. */

ngx_uint_t ngx_redis_conn_tell(ngx_redis_conn_t *conn, ngx_uint_t fault);

/* Fails for an error reply that leaves the server of no use. */

void ngx_redis_conn_refused(ngx_redis_conn_t *conn, const ngx_str_t *error);

/* Never NULL; fault is its number for ngx_redis_conn_tell(). */

const ngx_redis_refusal_t *ngx_redis_refusal(const ngx_str_t *error,
    ngx_uint_t *fault);

/* An error reply, or of a script's what a command inside it was answered. */

ngx_str_t ngx_redis_cause(const ngx_str_t *error);

/* An error reply's text, made fit for a log: no argument, no control. */

#define NGX_REDIS_ERROR_LEN  160

size_t ngx_redis_error_text(const ngx_str_t *error,
    u_char text[NGX_REDIS_ERROR_LEN]);


#pragma GCC visibility pop


#endif /* _NGX_REDIS_INTERNAL_H_INCLUDED_ */
