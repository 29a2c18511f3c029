
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A cluster whose nodes are the test: see wire.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "tap.h"
#include "wire.h"


#define WIRE_SENT    66000
#define WIRE_RANGES  256


static void wire_check(ngx_uint_t good, const char *what, const char *more);
static void wire_answer(ngx_redis_conn_t *conn,
    const ngx_redis_reply_t *reply);


const wire_range_t  wire_three[WIRE_THREE] = {
    { 0, 5460, "a", 7000 },
    { 5461, 10922, "b", 7000 },
    { 10923, 16383, "c", 7000 }
};

ngx_redis_t       *wire_redis;
ngx_redis_conf_t   wire_conf;
ngx_uint_t         wire_taken;
ngx_uint_t         wire_answered;
ngx_uint_t         wire_maps;

static ngx_conf_t         wire_cf;
static wire_sent_t        wire_sents[WIRE_SENT];
static ngx_uint_t         wire_nsents;
static ngx_redis_stats_t  wire_stats;


void
wire_begin(void)
{
    static ngx_str_t    seeds[] = {
        ngx_string(WIRE_SEED), ngx_string(WIRE_SEED_TWO)
    };
    static ngx_array_t  addresses = { seeds, 2, sizeof(ngx_str_t), 2, NULL };

    wire_conf.topology = NGX_REDIS_CLUSTER;
    wire_conf.addresses = &addresses;
    wire_conf.timeout = WIRE_TIMEOUT;

    ngx_current_msec = WIRE_NOW;
    ngx_memzero(wire_sents, wire_nsents * sizeof(wire_sent_t));
    ngx_memzero(&wire_stats, sizeof(ngx_redis_stats_t));
    wire_nsents = 0;
    wire_taken = 0;
    wire_answered = 0;
    wire_maps = 0;
    unit_opened = 0;
    unit_told = 0;

    wire_cf.pool = ngx_create_pool(1024, ngx_cycle->log);
    wire_redis = ngx_redis_create(&wire_cf, &wire_conf);

    if (wire_redis == NULL) {
        abort();
    }

    ngx_redis_count(wire_redis, &wire_stats);
}


void
wire_begin_three(void)
{
    wire_sent_t  *sent;

    wire_begin();

    sent = wire_send(KEY_A);
    unit_wait(1);
    wire_map(wire_conn(WIRE_SEED_TWO), wire_three, WIRE_THREE);
    wire_ok(wire_conn(WIRE_A));
    wire_is_ok(sent, "the first command");

    /* if there is a doubt from now on, the map is asked for at once */

    unit_wait(200);

    wire_maps = 0;
}


ngx_redis_t *
wire_fellow(void)
{
    ngx_redis_t  *fellow;

    fellow = ngx_redis_create(&wire_cf, &wire_conf);

    if (fellow == NULL) {
        abort();
    }

    ngx_redis_join(wire_redis, fellow);

    return fellow;
}


void
wire_end(void)
{
    ngx_uint_t    i, answered;
    wire_sent_t  *sent;

    for (i = 0; i < wire_nsents; i++) {
        sent = &wire_sents[i];

        wire_check(sent->answers == (sent->cmd && !sent->cancelled),
                   "a command was answered",
                   sent->answers ? "too often" : "never");
    }

    answered = wire_answered;
    unit_fail_alloc(0);
    ngx_destroy_pool(wire_cf.pool);

    wire_check(wire_answered == answered, "a command was answered",
               "at the end");
    wire_check(wire_stats.commands >= answered, "commands", "are miscounted");
    wire_check(unit_timer() == NULL, "a timer", "is left behind");
    wire_check(ngx_queue_empty(&ngx_posted_events), "an event",
               "is left behind");
}


static void
wire_check(ngx_uint_t good, const char *what, const char *more)
{
    tap_ok(good, "%s %s", what, more);
}


/* --- commands */

wire_sent_t *
wire_note(void)
{
    if (wire_nsents == WIRE_SENT) {
        abort();
    }

    return &wire_sents[wire_nsents++];
}


wire_sent_t *
wire_send(const char *key)
{
    ngx_str_t     argv[2];
    wire_sent_t  *sent;

    sent = wire_note();

    ngx_str_set(&argv[0], "GET");
    argv[1].data = (u_char *) key;
    argv[1].len = strlen(key);

    sent->cmd = ngx_redis_send(wire_redis, &argv[1], argv, 2, wire_handler,
                               sent);
    wire_taken += (sent->cmd != NULL);

    return sent;
}


wire_sent_t *
wire_send_to(ngx_uint_t node, const char *text)
{
    ngx_str_t     argv[1];
    wire_sent_t  *sent;

    sent = wire_note();

    argv[0].data = (u_char *) text;
    argv[0].len = strlen(text);

    sent->cmd = ngx_redis_send_to(wire_redis, node, argv, 1, wire_handler,
                                  sent);
    wire_taken += (sent->cmd != NULL);

    return sent;
}


void
wire_handler(void *data, ngx_int_t rc, const ngx_redis_reply_t *reply)
{
    wire_sent_t *sent = data;

    sent->answers++;
    sent->rc = rc;
    sent->node = ngx_redis_answering(wire_redis);
    wire_answered++;

    wire_check((rc == NGX_OK) == (reply != NULL), "answered with", "no reply");
}


void
wire_cancel(wire_sent_t *sent)
{
    ngx_redis_cancel(sent->cmd);
    sent->cancelled = 1;
}


void
wire_is_ok(const wire_sent_t *sent, const char *what)
{
    wire_check(sent->cmd != NULL, what, "was not taken");
    wire_check(sent->answers == 1, what, "was not answered once");
    wire_check(sent->rc == NGX_OK, what, "has failed");
}


void
wire_is_error(const wire_sent_t *sent, const char *what)
{
    wire_check(sent->cmd != NULL, what, "was not taken");
    wire_check(sent->answers == 1, what, "was not answered once");
    wire_check(sent->rc == NGX_ERROR, what, "has not failed");
}


ngx_uint_t
wire_number(const char *host, ngx_uint_t port)
{
    ngx_uint_t         i;
    ngx_redis_node_t  *node;

    for (i = 0; i < NGX_REDIS_NODES; i++) {
        node = wire_redis->nodes[i];

        if (node && node->port == port && unit_is(&node->host, host)) {
            wire_check(node->number == i, host, "has another number");
            wire_check(ngx_redis_has_node(wire_redis, i), host, "is not there");
            return i;
        }
    }

    return NGX_REDIS_NODES;
}


/* --- nodes */

void
wire_doubt(void)
{
    wire_sent_t  *sent;

    sent = wire_send_to(0, "PING");
    wire_error(wire_conn(WIRE_A), "CLUSTERDOWN ");
    wire_is_error(sent, "of which there is a doubt");
    unit_wait(120);
}


ngx_redis_conn_t *
wire_asked(void)
{
    ngx_str_t             s;
    ngx_uint_t            i;
    ngx_queue_t          *q;
    ngx_redis_conn_t     *conn, *asked;
    ngx_redis_command_t  *cmd;

    unit_run_posted();
    asked = NULL;

    for (i = 0; i < UNIT_CONNS; i++) {
        conn = unit_conn_at(i);

        if (conn == NULL || conn->listens) {
            continue;
        }

        for (q = ngx_queue_head(&conn->waiting);
             q != ngx_queue_sentinel(&conn->waiting);
             q = ngx_queue_next(q))
        {
            cmd = ngx_queue_data(q, ngx_redis_command_t, queue);

            s = unit_bytes(cmd);

            if (unit_is(&s, "CLUSTER SLOTS ")) {
                wire_check(asked == NULL, "the map", "was asked for twice");
                asked = conn;
            }
        }
    }

    if (asked && asked->opening) {
        (void) asked->greeted(asked);
    }

    return asked;
}


ngx_redis_conn_t *
wire_conn(const char *name)
{
    ngx_redis_conn_t  *conn;

    unit_run_posted();

    conn = unit_conn_to(name, 0);

    if (conn && conn->opening) {
        (void) conn->greeted(conn);
    }

    return conn;
}


void
wire_expect(ngx_redis_conn_t *conn, const char *text)
{
    ngx_str_t             s;
    ngx_redis_command_t  *cmd;

    cmd = conn ? unit_first(conn) : NULL;

    if (cmd == NULL) {
        wire_check(0, "there is no command:", text);
        return;
    }

    s = unit_bytes(cmd);

    tap_is_str(&s, text, strlen(text), "command");
}


void
wire_expect_none(ngx_redis_conn_t *conn)
{
    wire_check(conn == NULL || unit_first(conn) == NULL, "a command",
               "was sent");
}


static void
wire_answer(ngx_redis_conn_t *conn, const ngx_redis_reply_t *reply)
{
    if (conn == NULL || unit_first(conn) == NULL) {
        wire_check(0, "there is no command", "to be answered");
        return;
    }

    (void) unit_answer_on(conn, reply);
}


void
wire_ok(ngx_redis_conn_t *conn)
{
    ngx_redis_reply_t  reply = {
        NGX_REDIS_STATUS, ngx_string("OK"), 0, 0, NULL
    };

    wire_answer(conn, &reply);
}


void
wire_error(ngx_redis_conn_t *conn, const char *text)
{
    ngx_redis_reply_t  reply = {
        NGX_REDIS_ERROR, ngx_null_string, 0, 0, NULL
    };

    reply.str.len = strlen(text);
    reply.str.data = malloc(reply.str.len);

    if (reply.str.data == NULL) {
        abort();
    }

    ngx_memcpy(reply.str.data, text, reply.str.len);

    wire_answer(conn, &reply);

    free(reply.str.data);
}


void
wire_map(ngx_redis_conn_t *conn, const wire_range_t *ranges, ngx_uint_t n)
{
    ngx_uint_t                i;
    ngx_redis_reply_t         reply, *elts;

    static ngx_redis_reply_t  entries[WIRE_RANGES], parts[WIRE_RANGES][3];
    static ngx_redis_reply_t  nodes[WIRE_RANGES][2];

    ngx_memzero(&reply, sizeof(reply));
    ngx_memzero(nodes, sizeof(nodes));

    for (i = 0; i < n; i++) {
        elts = parts[i];

        elts[0].type = NGX_REDIS_INTEGER;
        elts[0].integer = ranges[i].first;
        elts[1].type = NGX_REDIS_INTEGER;
        elts[1].integer = ranges[i].last;
        elts[2].type = NGX_REDIS_ARRAY;
        elts[2].nelts = 2;
        elts[2].elts = nodes[i];

        if (ranges[i].host) {
            nodes[i][0].type = NGX_REDIS_STRING;
            nodes[i][0].str.data = (u_char *) ranges[i].host;
            nodes[i][0].str.len = strlen(ranges[i].host);
        }

        nodes[i][1].type = NGX_REDIS_INTEGER;
        nodes[i][1].integer = ranges[i].port;

        entries[i].type = NGX_REDIS_ARRAY;
        entries[i].nelts = 3;
        entries[i].elts = parts[i];
    }

    reply.type = NGX_REDIS_ARRAY;
    reply.nelts = n;
    reply.elts = entries;

    wire_expect(conn, "CLUSTER SLOTS ");
    wire_answer(conn, &reply);
    wire_maps++;
}


ngx_uint_t
wire_pass(ngx_msec_t time)
{
    ngx_uint_t         n;
    ngx_redis_conn_t  *conn;

    for (n = 0; /* void */ ; time--) {
        conn = wire_asked();

        if (conn) {
            wire_map(conn, wire_three, WIRE_THREE);
            n++;
        }

        if (time == 0) {
            return n;
        }

        unit_wait(1);
    }
}
