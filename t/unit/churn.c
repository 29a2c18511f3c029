
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * cluster: nodes that say anything, at any time, and fail.  However it comes,
 * each command is answered once, and links go up and down in turn.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "wire.h"


#define ROUNDS  200
#define STEPS   6000
#define SENT    16384
#define HOSTS   12


static void test_churn(void);
static void step(void);
static void drain(void);

static const char *any_host(void);
static wire_sent_t *any_pending(void);
static ngx_redis_conn_t *any_conn(ngx_uint_t listens);

static void send_any(ngx_uint_t what);
static void answer_any(ngx_redis_conn_t *conn);
static void map_any(ngx_redis_conn_t *conn);
static void link_any(ngx_redis_conn_t *conn);
static ngx_uint_t is_map(const ngx_redis_command_t *cmd);
static void check_numbers(void);

static void handler(void *data, ngx_int_t rc, const ngx_redis_reply_t *reply);
static void hear_up(void *data, ngx_uint_t node);
static void hear_changed(void *data, ngx_uint_t node, const ngx_str_t *key);
static void hear_message(void *data, ngx_uint_t node, const ngx_str_t *channel,
    const ngx_str_t *text);
static void hear_down(void *data, ngx_uint_t node);


static wire_sent_t           *sents[SENT];
static ngx_uint_t             nsents;
static ngx_redis_script_t     script;
static ngx_redis_link_conf_t  link_conf;
static ngx_uint_t             up[NGX_REDIS_NODES];
static ngx_uint_t             ups, redirected, refused;


int
main(void)
{
    unit_init();
    srandom(1);
    (void) alarm(120);

    test_churn();

    return tap_done();
}


static void
test_churn(void)
{
    ngx_conf_t        cf;
    ngx_uint_t        i, n, answered;

    static ngx_str_t  channels[] = { ngx_string("a") };

    tap_test("whatever nodes say, each command is answered once");

    ngx_str_set(&script.text, "return 1");
    ngx_memset(script.sha1, 'f', sizeof(script.sha1));

    link_conf.channels = channels;
    link_conf.nchannels = 1;
    link_conf.up = hear_up;
    link_conf.changed = hear_changed;
    link_conf.message = hear_message;
    link_conf.down = hear_down;

    ngx_memzero(&cf, sizeof(cf));
    answered = 0;

    for (n = 0; n < ROUNDS; n++) {
        wire_begin();
        nsents = 0;
        ngx_memzero(up, sizeof(up));

        tap_is(ngx_redis_listen(&cf, wire_redis, &link_conf), NGX_OK,
               "listen");
        ngx_redis_start(wire_redis);

        for (i = 0; i < STEPS; i++) {
            step();
            check_numbers();
        }

        drain();
        answered += wire_answered;
        wire_end();
    }

    tap_ok(answered > ROUNDS * STEPS / 8, "%lu answers", (u_long) answered);
    tap_ok(redirected > ROUNDS * STEPS / 30, "%lu redirections",
           (u_long) redirected);
    tap_ok(refused > 100, "%lu were refused", (u_long) refused);
    tap_ok(ups > 100, "links were up %lu times", (u_long) ups);
}


static void
step(void)
{
    wire_sent_t       *sent;
    ngx_redis_conn_t  *conn;

    unit_run_posted();

    switch (unit_random(16)) {

    case 0: case 1: case 2: case 3: case 4:
        send_any(unit_random(8));
        return;

    case 5:
        sent = any_pending();

        if (sent && unit_random(4) == 0) {
            wire_cancel(sent);
        }

        return;

    case 6:
        conn = any_conn(0);

        if (conn && unit_random(10) == 0) {
            ngx_redis_conn_fail(conn, NGX_REDIS_CLOSED, 0, "closed");
        }

        return;

    case 7:
        unit_wait(unit_random(unit_random(40) ? 30 : 2000));
        return;

    case 8:
        conn = any_conn(1);

        if (conn) {
            link_any(conn);
        }

        return;

    default:
        conn = any_conn(0);

        if (conn && conn->opening) {
            (void) conn->greeted(conn);

        } else if (conn && unit_first(conn)) {
            answer_any(conn);
        }
    }
}


/* From now on all is well. */

static void
drain(void)
{
    ngx_uint_t         i, n;
    ngx_redis_conn_t  *conn;

    for (n = 0; n < 200; n++) {
        unit_wait(20);

        for (i = 0; i < UNIT_CONNS; i++) {
            conn = unit_conn_at(i);

            if (conn == NULL || conn->listens) {
                continue;
            }

            if (conn->opening) {
                (void) conn->greeted(conn);
            }

            while (unit_first(conn)) {
                if (is_map(unit_first(conn))) {
                    wire_map(conn, wire_three, WIRE_THREE);
                } else {
                    wire_ok(conn);
                }
            }
        }
    }

    tap_ok(any_pending() == NULL, "a command is still pending");
}


/* --- anything */

static const char *
any_host(void)
{
    static const char  *hosts[HOSTS] = {
        "a", "b", "c", "d", "e", "f", "g", "h", "10.0.0.1", "2001:db8::1",
        "", "?"
    };

    return hosts[unit_random(HOSTS)];
}


static wire_sent_t *
any_pending(void)
{
    ngx_uint_t    i, first;
    wire_sent_t  *sent;

    first = nsents ? unit_random(nsents) : 0;

    for (i = 0; i < nsents; i++) {
        sent = sents[(first + i) % nsents];

        if (sent->cmd && sent->answers == 0 && !sent->cancelled) {
            return sent;
        }
    }

    return NULL;
}


static ngx_redis_conn_t *
any_conn(ngx_uint_t listens)
{
    ngx_uint_t         i, n;
    ngx_redis_conn_t  *conn, *any;

    any = NULL;
    n = 0;

    for (i = 0; i < UNIT_CONNS; i++) {
        conn = unit_conn_at(i);

        if (conn && conn->listens == listens && unit_random(++n) == 0) {
            any = conn;
        }
    }

    return any;
}


static void
send_any(ngx_uint_t what)
{
    ngx_str_t          argv[2];
    ngx_uint_t         node;
    wire_sent_t       *sent;
    const unit_key_t  *key;

    if (nsents == SENT) {
        return;
    }

    sent = wire_note();
    sents[nsents++] = sent;

    key = &unit_keys[unit_random(unit_nkeys)];
    ngx_str_set(&argv[0], "GET");
    argv[1] = key->key;

    if (what == 0) {
        node = unit_random(8);
        sent->cmd = ngx_redis_send_to(wire_redis, node, argv, 2, handler,
                                      sent);

    } else if (what == 1) {
        script.slow = unit_random(2);
        sent->cmd = ngx_redis_eval(wire_redis, &script, 1, &argv[1], 1,
                                   handler, sent);

    } else {
        sent->cmd = ngx_redis_send(wire_redis, &argv[1], argv, 2, handler,
                                   sent);
    }

    wire_taken += (sent->cmd != NULL);
    refused += (sent->cmd == NULL);
}


static void
answer_any(ngx_redis_conn_t *conn)
{
    char                  text[128];
    ngx_redis_command_t  *cmd;

    cmd = unit_first(conn);

    if (is_map(cmd)) {
        map_any(conn);
        return;
    }

    redirected += (cmd->tries != 0);

    switch (unit_random(12)) {

    case 0: case 1:
        (void) snprintf(text, sizeof(text), "MOVED %lu %s:%lu",
                        (u_long) cmd->slot, any_host(),
                        (u_long) (7000 + unit_random(2)));
        wire_error(conn, text);
        return;

    case 2: case 3:
        (void) snprintf(text, sizeof(text), "ASK %lu %s:7000",
                        (u_long) cmd->slot, any_host());
        wire_error(conn, text);
        return;

    case 4:
        (void) snprintf(text, sizeof(text), "MOVED %lu %s:7000",
                        (u_long) unit_random(16384), any_host());
        wire_error(conn, text);
        return;

    case 5:
        wire_error(conn, "TRYAGAIN ");
        return;

    case 6:
        wire_error(conn, "CLUSTERDOWN ");
        return;

    case 7:
        wire_error(conn, "NOSCRIPT ");
        return;

    case 8:
        wire_error(conn, "ERR");
        return;

    default:
        wire_ok(conn);
    }
}


static void
map_any(ngx_redis_conn_t *conn)
{
    ngx_uint_t    i, n, slot;
    wire_range_t  ranges[8];

    if (unit_random(8) == 0) {
        wire_error(conn, unit_random(2) ? "CLUSTERDOWN " : "ERR");
        return;
    }

    if (unit_random(16) == 0) {
        wire_ok(conn);
        return;
    }

    n = unit_random(8);
    slot = 0;

    for (i = 0; i < n; i++) {
        ranges[i].first = slot;
        ranges[i].last = slot + unit_random(16384 / n);
        ranges[i].host = any_host();
        ranges[i].port = 7000 + unit_random(2);
        slot = ranges[i].last + 1;
    }

    if (n && unit_random(16) == 0) {
        ranges[n - 1].last = 16384;
    }

    wire_map(conn, ranges, n);
}


/* Until it is up, or it fails. */

static void
link_any(ngx_redis_conn_t *conn)
{
    static ngx_redis_reply_t        refusal = {
        NGX_REDIS_ERROR, ngx_string("NOPERM"), 0, 0, NULL
    };
    static ngx_redis_reply_t        elts[] = {
        { NGX_REDIS_STRING, ngx_string("subscribe"), 0, 0, NULL },
        { NGX_REDIS_STRING, ngx_string("a"), 0, 0, NULL },
        { NGX_REDIS_INTEGER, ngx_null_string, 1, 0, NULL }
    };
    static const ngx_redis_reply_t  push = {
        NGX_REDIS_ARRAY, ngx_null_string, 0, 3, elts
    };

    if (unit_random(4) == 0) {
        ngx_redis_conn_fail(conn, NGX_REDIS_CLOSED, 0, "closed");
        return;
    }

    if (conn->opening) {
        (void) conn->greeted(conn);
        (void) conn->take(conn, &refusal);
        (void) conn->take(conn, &push);
        return;
    }

    ngx_redis_link_reset(wire_redis, unit_random(8), "reset");
}


static ngx_uint_t
is_map(const ngx_redis_command_t *cmd)
{
    ngx_str_t  s;

    s = unit_bytes(cmd);

    return unit_is(&s, "CLUSTER SLOTS ");
}


/* A number is that of one node, and no two are at the same place. */

static void
check_numbers(void)
{
    ngx_uint_t         i, k, good;
    ngx_redis_node_t  *node, *other;

    good = 1;

    for (i = 0; i < NGX_REDIS_NODES; i++) {
        node = wire_redis->nodes[i];

        if (node == NULL) {
            good &= !up[i];
            continue;
        }

        good &= (node->number == i && node->host.len > 0);

        for (k = 0; k < i; k++) {
            other = wire_redis->nodes[k];

            if (other && other->port == node->port
                && other->host.len == node->host.len
                && ngx_memcmp(other->host.data, node->host.data,
                              node->host.len) == 0)
            {
                good = 0;
            }
        }
    }

    tap_ok(good, "a number is not that of one node");
}


/* --- what is called back, and sends and cancels from within */

static void
handler(void *data, ngx_int_t rc, const ngx_redis_reply_t *reply)
{
    wire_sent_t  *sent;

    wire_handler(data, rc, reply);

    if (unit_random(8) == 0) {
        send_any(unit_random(8));
    }

    if (unit_random(32) == 0) {
        sent = any_pending();

        if (sent) {
            wire_cancel(sent);
        }
    }
}


static void
hear_up(void *data, ngx_uint_t node)
{
    tap_ok(node < NGX_REDIS_NODES && !up[node], "up twice");
    up[node] = 1;
    ups++;
}


static void
hear_changed(void *data, ngx_uint_t node, const ngx_str_t *key)
{
    tap_ok(up[node], "told while it is not up");
}


static void
hear_message(void *data, ngx_uint_t node, const ngx_str_t *channel,
    const ngx_str_t *text)
{
    tap_ok(up[node], "told while it is not up");
}


static void
hear_down(void *data, ngx_uint_t node)
{
    tap_ok(node < NGX_REDIS_NODES && up[node], "down, and was not up");
    up[node] = 0;
}
