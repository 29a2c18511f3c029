
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * sentinel: what Sentinels are asked, and what is made of their answers and
 * news.  The test is the Sentinels, and has the clock.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>

#include "sentinels.h"


static void test_question(void);
static void test_answer(void);
static void test_garbage(void);
static void test_nil(void);
static void test_news(void);
static void test_no_news(void);
static void test_unheard(void);
static void test_all_fail(void);
static void test_closes(void);


static const ngx_redis_reply_t  refusal = {
    NGX_REDIS_ERROR, ngx_string("NOPERM"), 0, 0, NULL
};


int
main(void)
{
    unit_init();
    srandom(1);

    test_question();
    test_answer();
    test_garbage();
    test_nil();
    test_news();
    test_no_news();
    test_unheard();
    test_all_fail();
    test_closes();

    return tap_done();
}


static void
test_question(void)
{
    ngx_str_t  s;

    tap_test("question and subscription leave in one write");

    create(2);
    waits(&place);
    tap_is(unit_opened, 0, "opened from inside the call");
    connected();
    tap_is(unit_opened, 1, "opened later");
    tap_is(unit_conn->conf->password.len, 2, "with a password of its own");
    tap_is(unit_conn->conf->topology, NGX_REDIS_ALONE, "and no ROLE");

    s.data = unit_conn->out->pos;
    s.len = unit_conn->out->last - s.data;
    tap_ok(unit_is(&s, "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster "
                       "SUBSCRIBE +switch-master "), "asked");
}


static void
test_answer(void)
{
    tap_test("who waits is told, and another one that comes meanwhile too");

    create(2);
    waits(&place);
    connected();
    waits(&link_place);

    tap_is(says("A.Example", "6379"), NGX_OK, "taken");
    is_told(&place, "a.example");
    is_told(&link_place, "a.example");
    tap_is(unit_opened, 1, "asked once");
    tap_ok(unit_timer() && unit_timer()->cancelable, "a check will come");

    tap_is(subscribed(), NGX_OK, "subscribed");
    tap_is(unit_conn->ready, 1, "it listens");
    tap_is(unit_told, 0, "logged");
}


static void
test_garbage(void)
{
    ngx_uint_t         i;
    ngx_str_t          host;
    u_char             name[256];

    static struct {
        const char        *what;
        ngx_uint_t         nelts;
        ngx_redis_reply_t  elts[3];
    } arrays[] = {
        { "nothing", 0, { nil, nil, nil } },
        { "one word", 1, { word("a"), nil, nil } },
        { "three words", 3, { word("a"), word("1"), word("1") } },
        { "a port too big", 2, { word("a"), word("65536"), nil } },
        { "port 0", 2, { word("a"), word("0"), nil } },
        { "an empty port", 2, { word("a"), word(""), nil } },
        { "no port", 2, { word("a"), nil, nil } },
        { "a number as port", 2, { word("a"), number(6379), nil } },
        { "an empty host", 2, { word(""), word("6379"), nil } },
        { "no host", 2, { nil, word("6379"), nil } },
        { "a space", 2, { word("a b"), word("6379"), nil } },
        { "a line", 2, { word("a\nb"), word("6379"), nil } },
        { "beyond ASCII", 2, { word("\xc3\xa4"), word("6379"), nil } }
    };

    ngx_redis_reply_t  text = word("127.0.0.1");
    ngx_redis_reply_t  reply = array(0, NULL);
    ngx_redis_reply_t  two[] = { word(""), word("6379") };

    tap_test("what is no address is none, and the next one is asked");

    create(2);
    waits(&place);
    connected();

    tap_is(unit_conn->take(unit_conn, &text), NGX_ERROR, "no array");
    tap_is(unit_fault, NGX_REDIS_PROTOCOL, "fault");
    tap_is(place.waits, 1, "it waits");
    connected();
    tap_is(unit_opened, 2, "for the next one");

    for (i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
        create(2);
        waits(&place);
        connected();

        reply.nelts = arrays[i].nelts;
        reply.elts = arrays[i].elts;

        tap_is(unit_conn->take(unit_conn, &reply), NGX_ERROR, arrays[i].what);
        tap_is(unit_fault, NGX_REDIS_PROTOCOL, "fault");
        tap_is(place.waits, 1, "it waits");
    }

    tap_test("a host has 255 bytes at most");

    ngx_memset(name, 'a', sizeof(name));
    host.data = name;

    for (host.len = 255; host.len < 257; host.len++) {
        create(2);
        waits(&place);
        connected();

        two[0].str = host;
        reply.nelts = 2;
        reply.elts = two;

        tap_is(unit_conn->take(unit_conn, &reply),
               host.len == 255 ? NGX_OK : NGX_ERROR, "taken");
    }
}


static void
test_nil(void)
{
    ngx_redis_reply_t  none = nil;

    tap_test("one that does not know it is a fault of its own");

    create(1);
    waits(&place);
    connected();
    tap_is(unit_conn->take(unit_conn, &none), NGX_ERROR, "taken");
    tap_is(losses, 1, "nobody is left");
    tap_is(unit_fault, NGX_REDIS_UNTOLD, "fault");
}


static void
test_news(void)
{
    tap_test("news are believed at once, and end pauses");

    create(2);
    knows("a");
    commands.ready = 1;
    moves = 0;

    tap_is(tells("mymaster a 6379 b 6380"), NGX_OK, "taken");
    tap_is(unit_left, 2, "both connections are left");
    tap_is(moves, 2, "both owners know");

    tap_test("those that open anew go there without a question");

    waits(&place);
    is_told(&place, "b");
    tap_is(place.port, 6380, "port");
    tap_is(unit_opened, 1, "asked");

    tap_test("news of what is known change nothing");

    unit_left = 0;
    tap_is(tells("mymaster a 6379 b 6380"), NGX_OK, "taken");
    tap_is(unit_left, 0, "left");

    tap_test("nor do those of another primary");

    tap_is(tells("mymaste a 6379 c 6380"), NGX_OK, "taken");
    tap_is(tells("mymaster2 a 6379 c 6380"), NGX_OK, "taken");
    tap_is(unit_left, 0, "left");
}


static void
test_no_news(void)
{
    ngx_uint_t  i;

    static const char  *texts[] = {
        "", " ", "mymaster", "mymaster a 1 b", "mymaster a 1 b ",
        "mymaster a 1 b 6379 ", "mymaster a 1 b 6379 c", "mymaster a 1  6379",
        "mymaster a 1 b x", "mymaster a 1 b 0", "mymaster a 1 b 65536",
        "other a 1 b", "    ", "     "
    };

    tap_test("what is no news ends the connection, and changes nothing");

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        create(2);
        knows("a");
        tap_is(tells(texts[i]), NGX_ERROR, texts[i]);
        tap_is(unit_fault, NGX_REDIS_PROTOCOL, "fault");
        tap_is(unit_left, 0, "left");
        tap_ok(unit_timer() != NULL, "it is asked anew");
    }

    tap_test("nor is an answer that nobody has asked for");

    create(2);
    knows("a");
    tap_is(says("a", "6379"), NGX_ERROR, "taken");
}


static void
test_unheard(void)
{
    tap_test("one that lets nobody listen is asked now and then");

    create(2);
    waits(&place);
    connected();
    says("a", "6379");
    tap_is(unit_conn->take(unit_conn, &refusal), NGX_OK, "taken");
    tap_is(unit_told, 1, "logged");
    tap_is(unit_conn->ready, 1, "it stays");
    is_told(&place, "a");
}


static void
test_all_fail(void)
{
    ngx_uint_t  i;

    tap_test("each is asked once; then who waits fails, once");

    create(3);
    waits(&place);
    waits(&link_place);

    for (i = 0; i < 3; i++) {
        tap_is(losses, 0, "nobody has failed");
        connected();
        ngx_redis_conn_fail(unit_conn, NGX_REDIS_CONNECT, 0, "refused");
    }

    unit_run_posted();
    tap_is(unit_opened, 3, "asked");
    tap_is(losses, 2, "both have failed");
    tap_is(unit_fault, NGX_REDIS_UNTOLD, "fault");
    tap_ok(unit_timer() != NULL, "they are asked again, later");

    waits(&place);
    connected();
    tap_is(unit_opened, 4, "or at once");
}


static void
test_closes(void)
{
    ngx_uint_t  i;
    ngx_msec_t  after;

    tap_test("one that answers and closes is not asked without a pause");

    create(2);
    waits(&place);
    after = 0;

    for (i = 0; i < 8; i++) {
        connected();
        says("a", "6379");
        subscribed();
        ngx_redis_conn_fail(unit_conn, NGX_REDIS_CLOSED, 0, "closed");
        after = unit_run_timer();
    }

    tap_ok(after > 500 && after < 1000, "%lu ms", (u_long) after);
}
