
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A cluster for unit tests: its client is the tested one, its nodes are the
 * test.  Connections are those of conn.c; every command that was taken is
 * written down, with how often it was answered.
 */


#ifndef _UNIT_WIRE_H_INCLUDED_
#define _UNIT_WIRE_H_INCLUDED_


#include <ngx_redis_internal.h>

#include "unit.h"


#define WIRE_NOW       1000000
#define WIRE_TIMEOUT   500      /* ms */
#define WIRE_SEED      "seed-1:7000"
#define WIRE_SEED_TWO  "seed-2:7000"


/* Three nodes: "a", "b" and "c", and keys of theirs. */

#define WIRE_A  "a:7000"
#define WIRE_B  "b:7000"
#define WIRE_C  "c:7000"

#define KEY_A         "hello"           /* of slot 866 */
#define KEY_A_TOO     "bar"             /* 5061 */
#define KEY_B         "at:u:{0000}"     /* 6794 */
#define KEY_C         "foo"             /* 12182 */

#define SLOT_A        866
#define SLOT_B        6794
#define SLOT_C        12182

typedef struct {
    ngx_uint_t           first;
    ngx_uint_t           last;
    const char          *host;          /* NULL: nil */
    ngx_uint_t           port;
} wire_range_t;

#define WIRE_THREE  3

extern const wire_range_t  wire_three[WIRE_THREE];


/* A command, as its sender sees it. */

typedef struct {
    ngx_redis_command_t  *cmd;          /* NULL: it was not taken */
    ngx_uint_t            answers;
    ngx_int_t             rc;           /* of the last one */
    ngx_uint_t            node;         /* ngx_redis_answering() then */
    ngx_uint_t            cancelled;
} wire_sent_t;


extern ngx_redis_t       *wire_redis;
extern ngx_redis_conf_t   wire_conf;
extern ngx_uint_t         wire_taken;       /* commands */
extern ngx_uint_t         wire_answered;    /* how often */
extern ngx_uint_t         wire_maps;        /* CLUSTER SLOTS answered */


/*
 * A client of two seeds that knows no node; one that knows the three, and is
 * connected to "a".  end: frees the client; all commands are to be answered by
 * then, and once, but for those that were cancelled.
 */

void wire_begin(void);
void wire_begin_three(void);
void wire_end(void);

/* A second client of the same nodes, joined to the first one. */

ngx_redis_t *wire_fellow(void);

/* GET key; to a node; any bytes; and one of them that was sent is cancelled. */

wire_sent_t *wire_send(const char *key);
wire_sent_t *wire_send_to(ngx_uint_t node, const char *text);
wire_sent_t *wire_note(void);
void wire_handler(void *data, ngx_int_t rc, const ngx_redis_reply_t *reply);
void wire_cancel(wire_sent_t *sent);

/* Connects what wants to; the connection to a node.  NULL: there is none. */

ngx_redis_conn_t *wire_conn(const char *name);

/* "a", which is node 0, says that the map is in doubt: it is asked for. */

void wire_doubt(void);

/* The connection on which the map is asked for; NULL: it is not. */

ngx_redis_conn_t *wire_asked(void);

/* The first command on it is this one; there is none. */

void wire_expect(ngx_redis_conn_t *conn, const char *text);
void wire_expect_none(ngx_redis_conn_t *conn);

/* Answers the first command on it. */

void wire_ok(ngx_redis_conn_t *conn);
void wire_error(ngx_redis_conn_t *conn, const char *text);
void wire_map(ngx_redis_conn_t *conn, const wire_range_t *ranges,
    ngx_uint_t n);

/* Time goes by, and the map is told when it is asked for: how often it was. */

ngx_uint_t wire_pass(ngx_msec_t time);

/* Whether the command was answered once, and so. */

void wire_is_ok(const wire_sent_t *sent, const char *what);
void wire_is_error(const wire_sent_t *sent, const char *what);

/* The number of a node of the client; NGX_REDIS_NODES: it has none such. */

ngx_uint_t wire_number(const char *host, ngx_uint_t port);


#endif /* _UNIT_WIRE_H_INCLUDED_ */
