
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What the files of the store share: keys, a call, which is an op's commands
 * under construction, and records out of replies.  Nobody else includes it.
 */


#ifndef _NGX_ACCESS_TOKEN_CALL_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_CALL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>
#include <ngx_access_token_script.h>


/*
 * It is op->state, in op->pool.  Once something could not be added, failed is
 * set and sending fails: so one check does for all arguments.
 */

typedef struct {
    ngx_access_token_op_t        *op;
    ngx_access_token_owner_t      owner;        /* a copy */
    u_char                        tag[NGX_ACCESS_TOKEN_TAG_LEN];
    u_char                        id[NGX_ACCESS_TOKEN_ID_LEN];
    ngx_array_t                   argv;         /* of ngx_str_t; keys first */
    ngx_uint_t                    nkeys;
    unsigned                      failed:1;

    /* of a change */
    ngx_str_t                     key;          /* of the record */
    ngx_queue_t                   queue;        /* in store->unreplicated */
    ngx_uint_t                    connection;   /* that it was answered by */
    uint64_t                      version;      /* of what was deleted */
    unsigned                      deletes:1;
    unsigned                      rotates:1;
    unsigned                      waits:1;      /* it is in the queue */
    unsigned                      leads:1;      /* WAIT was sent for it */
} ngx_access_token_call_t;


/*
 * Begins a call in size zeroed bytes, the first of them a call_t, and empties
 * the op's results.  NULL: no memory.
 */

void *ngx_access_token_call_create(ngx_access_token_op_t *op, size_t size,
    const ngx_access_token_owner_t *owner);

/* PREFIX KIND:{tag}[:name[/sub]] in pool; NULL and "" are no name, no sub. */

ngx_int_t ngx_access_token_call_make_key(ngx_access_token_store_t *store,
    ngx_pool_t *pool, u_char kind, const u_char *tag, const ngx_str_t *name,
    const ngx_str_t *sub, ngx_str_t *key);

/* Appended in order: keys first; the strings live until the call is sent. */

void ngx_access_token_call_key(ngx_access_token_call_t *call, u_char kind,
    const ngx_str_t *name, const ngx_str_t *sub);
void ngx_access_token_call_key_organizations(ngx_access_token_call_t *call);
void ngx_access_token_call_arg(ngx_access_token_call_t *call,
    const ngx_str_t *value);
void ngx_access_token_call_num(ngx_access_token_call_t *call, int64_t value);
void ngx_access_token_call_text(ngx_access_token_call_t *call, u_char field,
    const ngx_str_t *text);

/*
 * Sends what was added, as a command whose key is its second word, or as a
 * script's keys and arguments, and forgets it.  NGX_AGAIN: the handler will
 * be called with the call as data; NGX_ERROR.
 */

ngx_int_t ngx_access_token_call_send(ngx_access_token_call_t *call,
    ngx_redis_handler_pt handler);
ngx_int_t ngx_access_token_call_eval(ngx_access_token_call_t *call,
    ngx_redis_t *redis, const ngx_redis_script_t *script,
    ngx_redis_handler_pt handler);

/*
 * Reads {…, record, last use}, elts[1] and elts[2] of a script's answer, into
 * t; texts go to op->pool.  NGX_DECLINED: it is damaged or is not the
 * owner's, which is logged; NGX_ERROR: no memory.
 */

ngx_int_t ngx_access_token_call_record(ngx_access_token_call_t *call,
    const u_char *id, const ngx_redis_reply_t *reply, ngx_access_token_t *t);

/* Ends the op: its handler may free all that is here. */

void ngx_access_token_call_done(ngx_access_token_call_t *call, ngx_int_t rc);


/*
 * For replicas to have a change.  soon: right after it was sent, so that both
 * go in one write.  wait: in the handler of its answer; ends the op later, with
 * rc, and op->unreplicated is set unless enough of them have it.
 */

void ngx_access_token_wait_soon(ngx_access_token_call_t *call);
void ngx_access_token_wait(ngx_access_token_call_t *call, ngx_int_t rc);
void ngx_access_token_wait_cancel(ngx_access_token_call_t *call);


/* Logs which record is damaged and in which field, never what it holds. */

void ngx_access_token_call_damaged(ngx_log_t *log, const u_char *id,
    const ngx_str_t *field);


#endif /* _NGX_ACCESS_TOKEN_CALL_H_INCLUDED_ */
