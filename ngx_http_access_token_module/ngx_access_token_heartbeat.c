
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A heartbeat: is the server in charge, and does its link deliver?
 *
 *     send > await_fence > await_publish > … > hear
 *
 * A heartbeat is two steps on the connection for commands: at t0 a write (DEL
 * of a key that is not there: it is refused by a replica and by a primary that
 * has lost too many of them, but neither by a full Redis nor does it leave
 * anything behind); when that was accepted, PUBLISH of t0 and the server's run
 * id.  Every worker whose link delivers it, from the server of that id, has
 * been told of all that was changed there before t0.  So until t0 + length
 * the zone is as good as promised.  From the time of sending: by the time of
 * hearing, t0 may be long ago.  (Two steps, for Redis sends what it publishes
 * at once, but what has changed at the end of a turn of its event loop.)  One
 * heartbeat serves all workers, which hear each other: one that has heard none
 * for a quarter of the length sends one.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_term.h>


#define NGX_ACCESS_TOKEN_RUN_ID     64          /* bytes, at most */
#define NGX_ACCESS_TOKEN_FENCES     4096        /* names that are tried */


static void ngx_access_token_heartbeat_await_fence(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);
static void ngx_access_token_heartbeat_await_publish(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply);


void
ngx_access_token_heartbeat_send(ngx_access_token_term_t *term, int64_t now)
{
    ngx_str_t  argv[2];

    if (ngx_access_token_heartbeat_fence(term) != NGX_OK) {
        return;
    }

    ngx_str_set(&argv[0], "DEL");
    argv[1] = term->fence;

#if (NGX_ACCESS_TOKEN_MUTATION == 5)

    /* a primary that was replaced answers this as it does a PING */

    ngx_str_set(&argv[0], "EXISTS");
#endif

    term->command = ngx_redis_send_to(term->lease->store->redis, term->node,
                                      argv, 2,
                                      ngx_access_token_heartbeat_await_fence,
                                      term);

    term->sent = term->command ? now : 0;
}


ngx_int_t
ngx_access_token_heartbeat_fence(ngx_access_token_term_t *term)
{
    u_char                    *p;
    ngx_uint_t                 i;
    const u_char              *edge;
    ngx_access_token_store_t  *store;

    store = term->lease->store;
    edge = ngx_access_token_cache_edge(store->zone);

    for (i = 0; i < NGX_ACCESS_TOKEN_FENCES; i++) {

        if (term->fence.len
            && ngx_redis_node(store->redis, &term->fence) == term->node)
        {
            return NGX_OK;
        }

        p = ngx_sprintf(term->name, "%Vz:{%*s", &store->key_prefix,
                        (size_t) NGX_ACCESS_TOKEN_EDGE_LEN, edge);

        if (term->lease->cluster) {
            p = ngx_sprintf(p, "-%ui", term->nfence++ % 1000000);
        }

        *p++ = '}';

        term->fence.data = term->name;
        term->fence.len = p - term->name;
    }

    return NGX_DECLINED;
}


/*
 * Perhaps its slot is on the way to another server, which has all keys that are
 * not there: the next one is of another slot.
 */

void
ngx_access_token_heartbeat_refused(ngx_access_token_term_t *term)
{
    term->fence.len = 0;
}


static void
ngx_access_token_heartbeat_await_fence(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_term_t *term = data;

    u_char                     text[NGX_INT64_LEN + 1
                                    + NGX_ACCESS_TOKEN_RUN_ID];
    ngx_str_t                  argv[3];
    ngx_redis_t               *redis;
    const ngx_str_t           *server;

    redis = term->lease->store->redis;
    server = ngx_redis_server(redis, term->node);

    term->command = NULL;

    if (rc != NGX_OK) {
        ngx_access_token_heartbeat_refused(term);
    }

    if (rc != NGX_OK
        || reply->type != NGX_REDIS_INTEGER
        || server->len == 0
        || server->len > NGX_ACCESS_TOKEN_RUN_ID)
    {
        term->sent = 0;
        return;
    }

    ngx_str_set(&argv[0], "PUBLISH");
    argv[1] = term->lease->channels[1];
    argv[2].data = text;
    argv[2].len = ngx_sprintf(text, "%L %V", term->sent, server) - text;

    term->command = ngx_redis_send_to(redis, term->node, argv, 3,
                                      ngx_access_token_heartbeat_await_publish,
                                      term);

    if (term->command == NULL) {
        term->sent = 0;
    }
}


/*
 * From now on the link has it to deliver, or the first one that it has not: it
 * is the oldest that tells how long nothing was heard.
 */

static void
ngx_access_token_heartbeat_await_publish(void *data, ngx_int_t rc,
    const ngx_redis_reply_t *reply)
{
    ngx_access_token_term_t *term = data;

    if (rc == NGX_OK
        && term->up
        && term->published == 0
        && term->heard < term->sent)
    {
        term->published = ngx_access_token_clock();
    }

    term->command = NULL;
    term->sent = 0;
}


/*
 * "t0 run-id".  One of another server says nothing of this one, and one of
 * the future nothing at all; nor does one that another worker has sent to a
 * link that is not told of keys and has to be.
 */

void
ngx_access_token_heartbeat_hear(ngx_access_token_term_t *term,
    const ngx_str_t *text)
{
    u_char                    *p;
    int64_t                    sent, now;
    ngx_str_t                  server;
    ngx_access_token_lease_t  *lease;

    lease = term->lease;

    p = ngx_strlchr(text->data, text->data + text->len, ' ');
    if (p == NULL) {
        return;
    }

    server.data = p + 1;
    server.len = text->data + text->len - server.data;

    sent = ngx_atoof(text->data, p - text->data);
    now = ngx_access_token_clock();

    if (term->up == 0
        || sent == NGX_ERROR
        || sent > now
        || !ngx_access_token_same(&server,
                                  ngx_redis_link_server(lease->store->redis,
                                                        term->node)))
    {
        return;
    }

    term->published = 0;

    term->heard = ngx_max(term->heard, sent);
    term->until = ngx_max(term->until, sent + lease->length);

#if (NGX_ACCESS_TOKEN_MUTATION == 1)
    term->until = now + lease->length;
#endif

    if (term->trusted) {
        ngx_access_token_cache_hear(lease->store->zone, &term->origin, sent);

    } else {
        ngx_access_token_lease_adopt(term, now);
    }
}
