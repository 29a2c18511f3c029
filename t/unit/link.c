
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * link: what it asks, what it makes of the answers and of what Redis tells, and
 * when its owner hears of it.  The test is Redis, and has the clock.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "tap.h"
#include "unit.h"


#define NOW   1000000
#define HEARD 512


#define word(s)    { NGX_REDIS_STRING, ngx_string(s), 0, 0, NULL }
#define number(n)  { NGX_REDIS_INTEGER, ngx_null_string, n, 0, NULL }
#define nil        { NGX_REDIS_NIL, ngx_null_string, 0, 0, NULL }
#define array(n, elts)                                                        \
    { NGX_REDIS_ARRAY, ngx_null_string, 0, n, elts }


static void test_order(void);
static void test_untracked(void);
static void test_refused(void);
static void test_news(void);
static void test_garbage(void);
static void test_reset(void);
static void test_reset_within(void);
static void test_pause(void);
static void test_exit(void);
static void test_same_address(void);

static void create(void);
static void connect_to(void);
static void go_up(void);
static ngx_int_t says(const ngx_redis_reply_t *reply);
static ngx_int_t tells(ngx_redis_reply_t *channel, ngx_redis_reply_t *payload);
static void asked(const char *command);
static void heard_is(const char *expected, const char *what);

static void hear(const char *what, const ngx_str_t *text);
static void hear_up(void *data, ngx_uint_t node);
static void hear_changed(void *data, ngx_uint_t node, const ngx_str_t *key);
static void hear_message(void *data, ngx_uint_t node,
    const ngx_str_t *channel, const ngx_str_t *text);
static void hear_down(void *data, ngx_uint_t node);


static const ngx_redis_reply_t  ok = {
    NGX_REDIS_STATUS, ngx_string("OK"), 0, 0, NULL
};

static const ngx_redis_reply_t  id = number(7);

static const ngx_redis_reply_t  refusal = {
    NGX_REDIS_ERROR, ngx_string("NOPERM"), 0, 0, NULL
};

static const ngx_redis_reply_t  loading = {
    NGX_REDIS_ERROR, ngx_string("LOADING"), 0, 0, NULL
};

static ngx_redis_reply_t  invalidate = word("__redis__:invalidate");
static ngx_redis_reply_t  channel = word("a");
static ngx_redis_reply_t  text = word("text");
static ngx_redis_reply_t  one = number(1);
static ngx_redis_reply_t  none = nil;

static ngx_redis_t            *redis;
static ngx_redis_link_conf_t   conf;

static char        heard[HEARD];
static ngx_uint_t  reset_at;        /* the word heard that brings a reset */
static ngx_uint_t  words;


int
main(void)
{
    unit_init();
    srandom(1);

    test_order();
    test_untracked();
    test_refused();
    test_news();
    test_garbage();
    test_reset();
    test_reset_within();
    test_pause();
    test_exit();
    test_same_address();

    return tap_done();
}


/* [kind, channel, payload], which a reply holds until the next one. */

static ngx_redis_reply_t *
push(const char *kind, const ngx_redis_reply_t *channel,
    const ngx_redis_reply_t *payload)
{
    static ngx_redis_reply_t  elts[3];
    static ngx_redis_reply_t  reply = array(3, elts);

    elts[0].type = NGX_REDIS_STRING;
    elts[0].str.data = (u_char *) kind;
    elts[0].str.len = ngx_strlen(kind);
    elts[1] = *channel;
    elts[2] = *payload;

    return &reply;
}


static void
test_order(void)
{
    tap_test("a link is up when all of it is confirmed, and not before");

    create();
    tap_is(unit_opened, 0, "opened from inside the call");

    connect_to();
    asked("CLIENT ID ");

    tap_is(says(&id), NGX_OK, "id");
    asked("CLIENT TRACKING ON REDIRECT 7 BCAST PREFIX at: ");

    tap_is(says(&ok), NGX_OK, "tracking");
    asked("SUBSCRIBE __redis__:invalidate a b ");

    tap_is(says(push("subscribe", &invalidate, &one)), NGX_OK, "first");
    tap_is(says(push("subscribe", &channel, &one)), NGX_OK, "second");
    tap_is(says(push("message", &channel, &text)), NGX_OK, "too early");
    heard_is("", "before the last");
    tap_is(ngx_redis_link_server(redis, 0)->len, 0, "server");

    tap_is(says(push("subscribe", &channel, &one)), NGX_OK, "last");
    heard_is("up ", "after the last");
    tap_is(unit_told, 0, "logged");
    tap_ok(ngx_redis_link_server(redis, 0) == &unit_conn->server, "server");
}


static void
test_untracked(void)
{
    ngx_uint_t  n;

    tap_test("where tracking is refused the channels have to do");

    for (n = 0; n < 2; n++) {
        create();
        connect_to();

        if (n == 1) {
            says(&id);
        }

        tap_is(says(&refusal), NGX_OK, "refused");
        tap_is(unit_told, 1, "logged");
        asked("SUBSCRIBE a b ");

        says(push("subscribe", &channel, &one));
        says(push("subscribe", &channel, &one));
        heard_is("up ", "after the last");
    }
}


static void
test_refused(void)
{
    ngx_uint_t  n;

    tap_test("a server of no use, or no channel, fails the link unheard");

    for (n = 0; n < 4; n++) {
        create();
        connect_to();

        if (n > 0) {
            says(&id);
        }

        if (n > 1) {
            says(&ok);
        }

        if (n > 2) {
            says(push("subscribe", &channel, &one));
        }

        tap_is(says(n < 2 ? &loading : &refusal), NGX_ERROR, "taken");
        tap_is(unit_fault, NGX_REDIS_LOADING, "fault");
        tap_ok(unit_timer() != NULL, "it comes back");
        heard_is("", "nothing");
    }
}


static void
test_news(void)
{
    ngx_redis_reply_t  elts[] = { word("at:1"), word("at:2"), word("at:3") };
    ngx_redis_reply_t  keys = array(3, elts);
    ngx_redis_reply_t  empty = array(0, NULL);

    tap_test("keys and messages are heard as they come; no key is all keys");

    create();
    go_up();

    tap_is(tells(&invalidate, &keys), NGX_OK, "keys");
    tap_is(tells(&channel, &text), NGX_OK, "message");
    tap_is(tells(&invalidate, &empty), NGX_OK, "no key");
    tap_is(tells(&invalidate, &none), NGX_OK, "all keys");

    heard_is("up at:1 at:2 at:3 a text all ", "all of it");
}


static void
test_garbage(void)
{
    ngx_uint_t         i;
    ngx_redis_reply_t  elts[] = { word("at:1"), number(2), word("at:3") };
    ngx_redis_reply_t  keys = array(3, elts);
    ngx_redis_reply_t  three[] = { word("message"), word("a"), word("text") };
    ngx_redis_reply_t  two = array(2, three);

    tap_test("what a subscriber is not told ends the link");

    for (i = 0; i < 8; i++) {
        create();
        go_up();

        switch (i) {
        case 0:  says(&ok);                                 break;
        case 1:  says(&refusal);                            break;
        case 2:  says(&two);                                break;
        case 3:  says(push("subscribe", &channel, &one));   break;
        case 4:  says(push("message", &one, &text));        break;
        case 5:  tells(&channel, &none);                    break;
        case 6:  tells(&invalidate, &text);                 break;
        default: tells(&invalidate, &keys);                 break;
        }

        tap_is(unit_fault, NGX_REDIS_PROTOCOL, "fault");
        heard_is(i == 7 ? "up at:1 down " : "up down ", "it is down");
    }
}


static void
test_reset(void)
{
    tap_test("a reset closes the link later, and that once");

    create();
    ngx_redis_link_reset(redis, 0, "before the start");
    unit_run_posted();
    heard_is("", "nothing");

    go_up();
    ngx_redis_link_reset(redis, 0, "doubt");
    ngx_redis_link_reset(redis, 0, "doubt");
    heard_is("up ", "from inside the call");

    tap_is(tells(&channel, &text), NGX_OK, "message");
    heard_is("up ", "a message to one that has lost its trust");

    unit_run_posted();
    heard_is("up down ", "later");
    tap_is(unit_fault, NGX_REDIS_RESET, "fault");

    ngx_redis_link_reset(redis, 0, "while it is down");
    unit_run_posted();
    heard_is("up down ", "nothing");

    tap_test("after a reset it goes up again, and hears again");

    go_up();
    tells(&channel, &text);
    heard_is("up down up a text ", "again");

    tap_test("a link that breaks after a reset is down once");

    ngx_redis_link_reset(redis, 0, "doubt");
    ngx_redis_conn_fail(unit_conn, NGX_REDIS_CLOSED, 0, "closed");
    unit_run_posted();
    heard_is("up down up a text down ", "once");
    tap_is(unit_fault, NGX_REDIS_CLOSED, "fault");
}


static void
test_reset_within(void)
{
    ngx_redis_reply_t  elts[] = { word("at:1"), word("at:2"), word("at:3") };
    ngx_redis_reply_t  keys = array(3, elts);

    tap_test("a reset from within a handler: nothing more but down");

    create();
    go_up();
    reset_at = 3;

    tap_is(tells(&invalidate, &keys), NGX_OK, "the reply is still there");
    tap_is(tells(&channel, &text), NGX_OK, "and so is the reader");
    heard_is("up at:1 at:2 ", "until the reset");

    unit_run_posted();
    heard_is("up at:1 at:2 down ", "after it");

    tap_test("a reset from within up");

    create();
    reset_at = 1;
    go_up();
    tells(&channel, &text);
    heard_is("up ", "at first");
    unit_run_posted();
    heard_is("up down ", "then");
}


static void
test_pause(void)
{
    ngx_uint_t  i;
    ngx_msec_t  pause;

    tap_test("pauses double for what breaks at once, up or not");

    create();

    for (i = 0; i < 8; i++) {
        go_up();
        ngx_redis_conn_fail(unit_conn, NGX_REDIS_CLOSED, 0, "closed");
    }

    pause = unit_run_timer();
    tap_ok(pause > 500 && pause < 1000, "%lu ms", (u_long) pause);
    ngx_redis_conn_fail(unit_conn, NGX_REDIS_CONNECT, 0, "refused");

    pause = unit_run_timer();
    tap_ok(pause > 500 && pause < 1000, "%lu ms", (u_long) pause);
    ngx_redis_conn_fail(unit_conn, NGX_REDIS_CONNECT, 0, "refused");

    tap_test("no pause when the server is elsewhere");

    unit_conn->moved(unit_conn);
    tap_is(unit_run_timer(), 1, "ms");
    ngx_redis_conn_fail(unit_conn, NGX_REDIS_CONNECT, 0, "refused");

    tap_test("the next pause is the first again after a second");

    go_up();
    ngx_current_msec += 1000;
    ngx_redis_conn_fail(unit_conn, NGX_REDIS_CLOSED, 0, "closed");

    pause = unit_run_timer();
    tap_ok(pause > 20 && pause < 75, "%lu ms", (u_long) pause);
}


static void
test_exit(void)
{
    tap_test("a worker that exits hears that it is down, and connects no more");

    create();
    go_up();
    tap_ok(unit_timer() == NULL, "no timer while it is up");

    ngx_exiting = 1;
    ngx_redis_conn_fail(unit_conn, NGX_REDIS_SHUTDOWN, 0, "exit");
    heard_is("up down ", "down");
    tap_ok(unit_timer() == NULL, "no timer");
    ngx_exiting = 0;

    create();
    tap_ok(unit_timer()->cancelable, "a worker need not wait for the timer");

    ngx_exiting = 1;
    unit_run_timer();
    tap_is(unit_opened, 0, "opened");
    ngx_exiting = 0;
}


static void
test_same_address(void)
{
    struct sockaddr_in  sin;
    ngx_str_t           name = ngx_string("192.0.2.1:6379");

    tap_test("a link goes where the commands go");

    create();

    ngx_memzero(&sin, sizeof(struct sockaddr_in));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(6379);

    redis->nodes[0]->conn.ready = 1;
    redis->nodes[0]->conn.peer.sockaddr = (struct sockaddr *) &sin;
    redis->nodes[0]->conn.peer.socklen = sizeof(struct sockaddr_in);
    redis->nodes[0]->conn.peer.name = &name;

    connect_to();

    tap_is(unit_conn->naddrs, 1, "addresses");
    tap_ok(unit_conn->addrs[0].sockaddr != (struct sockaddr *) &sin, "a copy");
    tap_ok(ngx_memcmp(unit_conn->addrs[0].sockaddr, &sin,
                      sizeof(struct sockaddr_in)) == 0, "of the address");
    tap_ok(unit_is(&unit_conn->addrs[0].name, "192.0.2.1:6379"), "its name");
}


/* A link that is started. */

static void
create(void)
{
    static ngx_conf_t        cf;
    static ngx_array_t       addresses;
    static ngx_redis_conf_t  redis_conf;
    static ngx_str_t         channels[] = { ngx_string("a"), ngx_string("b") };

    if (cf.pool) {
        ngx_destroy_pool(cf.pool);
    }

    redis_conf.addresses = &addresses;

    cf.pool = ngx_create_pool(1024, ngx_cycle->log);
    redis = ngx_redis_create(&cf, &redis_conf);

    tap_is(ngx_redis_listen(&cf, redis, &conf), NGX_OK, "a link");

    ngx_str_set(&conf.prefix, "at:");
    conf.channels = channels;
    conf.nchannels = 2;
    conf.up = hear_up;
    conf.changed = hear_changed;
    conf.message = hear_message;
    conf.down = hear_down;

    ngx_current_msec = NOW;
    unit_opened = 0;
    unit_told = 0;
    unit_fault = NGX_REDIS_INTERNAL;
    heard[0] = '\0';
    words = 0;
    reset_at = 0;

    ngx_redis_start(redis);
}


/* Until the handshake is over. */

static void
connect_to(void)
{
    unit_run_timer();

    tap_ok(unit_conn->pool != NULL, "it connects");
    tap_is(unit_conn->greeted(unit_conn), NGX_OK, "greeted");
}


static void
go_up(void)
{
    connect_to();

    says(&id);
    says(&ok);
    says(push("subscribe", &invalidate, &one));
    says(push("subscribe", &channel, &one));
    says(push("subscribe", &channel, &one));

    tap_is(unit_conn->ready, 1, "ready");
}


static ngx_int_t
says(const ngx_redis_reply_t *reply)
{
    return unit_conn->take(unit_conn, reply);
}


static ngx_int_t
tells(ngx_redis_reply_t *channel, ngx_redis_reply_t *payload)
{
    return says(push("message", channel, payload));
}


static void
asked(const char *command)
{
    ngx_str_t  s;

    s.data = unit_conn->out->pos;
    s.len = unit_conn->out->last - unit_conn->out->pos;

    tap_ok(unit_is(&s, command), "asked \"%.*s\", not \"%s\"", (int) s.len,
           s.data, command);
}


static void
heard_is(const char *expected, const char *what)
{
    tap_ok(strcmp(heard, expected) == 0, "%s: heard \"%s\", not \"%s\"", what,
           heard, expected);
}


static void
hear(const char *what, const ngx_str_t *text)
{
    size_t  len;

    len = strlen(heard);

    if (text) {
        snprintf(heard + len, HEARD - len, "%s%.*s ", what, (int) text->len,
                 text->data);
    } else {
        snprintf(heard + len, HEARD - len, "%s ", what);
    }

    if (++words == reset_at) {
        ngx_redis_link_reset(redis, 0, "from within");
    }
}


static void
hear_up(void *data, ngx_uint_t node)
{
    hear("up", NULL);
}


static void
hear_changed(void *data, ngx_uint_t node, const ngx_str_t *key)
{
    hear(key ? "" : "all", key);
}


static void
hear_message(void *data, ngx_uint_t node, const ngx_str_t *channel,
    const ngx_str_t *text)
{
    hear("", channel);
    hear("", text);
}


static void
hear_down(void *data, ngx_uint_t node)
{
    hear("down", NULL);
}
