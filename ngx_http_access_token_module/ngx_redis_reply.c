
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Bytes to replies, and commands to bytes: RESP2, the only file that knows
 * hiredis.  Its reader finds the structure; the objects are ours and lie in
 * one pool that is emptied before the next reply, so that a small reply costs
 * no allocation but the bytes' passage through the reader's buffer.
 *
 * hiredis sets no bounds of its own, so it is bounded here, whatever a peer
 * announces: NGX_REDIS_MAX_ELTS elements in one reply, nested ones included,
 * and NGX_REDIS_MAX_REPLY bytes, parsed or not, in lines that are shorter by
 * far.  After an error the reader is dead and the connection is to be closed:
 * nobody can tell where the next reply begins.
 *
 * hiredis moves what it has not yet parsed to the front of its buffer again and
 * again, so it gets no more at a time than is cheap to move.
 *
 * Commands are written by our own hand: RESP is twenty lines, and a formatter
 * of hiredis would allocate for each what is then copied into the command.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_redis_internal.h>
#include <hiredis/hiredis.h>


#define NGX_REDIS_POOL_SIZE  4096
#define NGX_REDIS_POOL_KEEP  65536          /* a bigger reply's goes */
#define NGX_REDIS_SLICE      2048           /* bytes, for hiredis at a time */
#define NGX_REDIS_MAX_LINE   262144         /* bytes */
#define NGX_REDIS_MAX_HEAD   32             /* "$", a length, CRLF, and more */


/* hiredis 1.0 counts elements in size_t, and reads RESP3, which we refuse. */

#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_redis_nelts_t;
#else
typedef int     ngx_redis_nelts_t;
#endif


struct ngx_redis_reader_s {
    redisReader   *hiredis;
    ngx_log_t     *log;
    ngx_pool_t    *pool;
    const u_char  *pos;                     /* not yet given to hiredis */
    const u_char  *last;
    size_t         size;                    /* of the reply, in the pool */
    ngx_uint_t     nelts;                   /* of the reply, at all depths */
    const char    *error;                   /* NULL: ask hiredis */
    unsigned       done:1;                  /* the reply was handed out */
};


static ngx_uint_t ngx_redis_reader_is_too_long(const redisReader *r);
static ngx_int_t ngx_redis_reader_reset(ngx_redis_reader_t *reader);
static ngx_redis_reply_t *ngx_redis_reader_slot(const redisReadTask *task);
static void *ngx_redis_reader_alloc(ngx_redis_reader_t *reader, size_t size);
static void *ngx_redis_create_string(const redisReadTask *task, char *str,
    size_t len);
static void *ngx_redis_create_array(const redisReadTask *task,
    ngx_redis_nelts_t n);
static void *ngx_redis_create_integer(const redisReadTask *task, long long n);
static void *ngx_redis_create_nil(const redisReadTask *task);
static void ngx_redis_free_object(void *obj);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_redis_create_double(const redisReadTask *task, double d,
    char *str, size_t len);
static void *ngx_redis_create_bool(const redisReadTask *task, int b);
#endif
static u_char *ngx_redis_write_size(u_char *p, u_char type, size_t n);
static u_char *ngx_redis_write_digits(u_char *p, size_t n);


static redisReplyObjectFunctions  ngx_redis_functions = {
    .createString = ngx_redis_create_string,
    .createArray = ngx_redis_create_array,
    .createInteger = ngx_redis_create_integer,
    .createNil = ngx_redis_create_nil,
#if (HIREDIS_MAJOR >= 1)
    .createDouble = ngx_redis_create_double,
    .createBool = ngx_redis_create_bool,
#endif
    .freeObject = ngx_redis_free_object
};


ngx_redis_reader_t *
ngx_redis_reader_create(ngx_log_t *log)
{
    ngx_redis_reader_t  *reader;

    reader = ngx_calloc(sizeof(ngx_redis_reader_t), log);
    if (reader == NULL) {
        return NULL;
    }

    reader->log = log;

    reader->pool = ngx_create_pool(NGX_REDIS_POOL_SIZE, log);
    if (reader->pool == NULL) {
        ngx_free(reader);
        return NULL;
    }

    reader->hiredis = redisReaderCreateWithFunctions(&ngx_redis_functions);
    if (reader->hiredis == NULL) {
        ngx_destroy_pool(reader->pool);
        ngx_free(reader);
        return NULL;
    }

    reader->hiredis->privdata = reader;

    return reader;
}


void
ngx_redis_reader_destroy(ngx_redis_reader_t *reader)
{
    redisReaderFree(reader->hiredis);

    if (reader->pool) {
        ngx_destroy_pool(reader->pool);
    }

    ngx_free(reader);
}


void
ngx_redis_reader_feed(ngx_redis_reader_t *reader, const u_char *buf,
    size_t len)
{
    reader->pos = buf;
    reader->last = buf + len;
}


ngx_int_t
ngx_redis_reader_next(ngx_redis_reader_t *reader,
    const ngx_redis_reply_t **reply)
{
    void         *obj;
    size_t        len;
    redisReader  *r;

    r = reader->hiredis;

    if (reader->done && ngx_redis_reader_reset(reader) != NGX_OK) {
        reader->error = "no memory for a reply";
        return NGX_ERROR;
    }

    obj = NULL;

    for ( ;; ) {

        if (redisReaderGetReply(r, &obj) != REDIS_OK) {
            return NGX_ERROR;
        }

        if (obj) {
            break;
        }

        if (ngx_redis_reader_is_too_long(r)) {
            reader->error = "reply is too long";
            return NGX_ERROR;
        }

        if (reader->pos == reader->last) {
            return NGX_AGAIN;
        }

        len = ngx_min(reader->last - reader->pos, NGX_REDIS_SLICE);

        if (redisReaderFeed(r, (const char *) reader->pos, len) != REDIS_OK) {
            reader->error = "no memory for a reply";
            return NGX_ERROR;
        }

        reader->pos += len;
    }

    reader->done = 1;
    *reply = obj;

    return NGX_OK;
}


const char *
ngx_redis_reader_error(ngx_redis_reader_t *reader)
{
    return reader->error ? reader->error : reader->hiredis->errstr;
}


/*
 * What is not parsed yet is a string, behind the line of its length, or a line
 * without its end: that is looked for from the beginning each time.
 */

static ngx_uint_t
ngx_redis_reader_is_too_long(const redisReader *r)
{
    u_char  *p;
    size_t   len;

    len = r->len - r->pos;

    if (len <= NGX_REDIS_MAX_LINE) {
        return 0;
    }

    p = (u_char *) r->buf + r->pos;

    return len > NGX_REDIS_MAX_REPLY
           || ngx_strlcasestrn(p, p + NGX_REDIS_MAX_HEAD, (u_char *) CRLF,
                               sizeof(CRLF) - 2)
              == NULL;
}


static ngx_int_t
ngx_redis_reader_reset(ngx_redis_reader_t *reader)
{
    if (reader->size <= NGX_REDIS_POOL_KEEP) {
        ngx_reset_pool(reader->pool);

    } else {
        ngx_destroy_pool(reader->pool);

        reader->pool = ngx_create_pool(NGX_REDIS_POOL_SIZE, reader->log);
        if (reader->pool == NULL) {
            return NGX_ERROR;
        }
    }

    reader->size = 0;
    reader->nelts = 0;
    reader->done = 0;

    return NGX_OK;
}


/* Where the object of a task goes: into its array, or on its own. */

static ngx_redis_reply_t *
ngx_redis_reader_slot(const redisReadTask *task)
{
    ngx_redis_reply_t  *array;

    if (task->parent) {
        array = task->parent->obj;
        return &array->elts[task->idx];
    }

    return ngx_redis_reader_alloc(task->privdata, sizeof(ngx_redis_reply_t));
}


static void *
ngx_redis_reader_alloc(ngx_redis_reader_t *reader, size_t size)
{
    void  *p;

    reader->size += size;

    p = ngx_pcalloc(reader->pool, size);

    if (p == NULL) {
        reader->error = "no memory for a reply";
    }

    return p;
}


static void *
ngx_redis_create_string(const redisReadTask *task, char *str, size_t len)
{
    ngx_redis_reply_t   *reply;
    ngx_redis_reader_t  *reader;

    reader = task->privdata;

    if (len > NGX_REDIS_MAX_REPLY
        || reader->size > NGX_REDIS_MAX_REPLY - len)
    {
        reader->error = "reply is too long";
        return NULL;
    }

    reply = ngx_redis_reader_slot(task);
    if (reply == NULL) {
        return NULL;
    }

    switch (task->type) {

    case REDIS_REPLY_STRING:
        reply->type = NGX_REDIS_STRING;
        break;

    case REDIS_REPLY_STATUS:
        reply->type = NGX_REDIS_STATUS;
        break;

    case REDIS_REPLY_ERROR:
        reply->type = NGX_REDIS_ERROR;
        break;

    default:
        reader->error = "reply is not RESP2";
        return NULL;
    }

    reply->str.data = ngx_pnalloc(reader->pool, len ? len : 1);
    if (reply->str.data == NULL) {
        reader->error = "no memory for a reply";
        return NULL;
    }

    ngx_memcpy(reply->str.data, str, len);
    reply->str.len = len;

    reader->size += len;

    return reply;
}


static void *
ngx_redis_create_array(const redisReadTask *task, ngx_redis_nelts_t n)
{
    ngx_redis_reply_t   *reply;
    ngx_redis_reader_t  *reader;

    reader = task->privdata;

    if (task->type != REDIS_REPLY_ARRAY) {
        reader->error = "reply is not RESP2";
        return NULL;
    }

    if ((size_t) n > NGX_REDIS_MAX_ELTS - reader->nelts) {
        reader->error = "reply has too many elements";
        return NULL;
    }

    reader->nelts += n;

    reply = ngx_redis_reader_slot(task);
    if (reply == NULL) {
        return NULL;
    }

    reply->type = NGX_REDIS_ARRAY;
    reply->nelts = n;

    if (n == 0) {
        return reply;
    }

    reply->elts = ngx_redis_reader_alloc(reader,
                                         n * sizeof(ngx_redis_reply_t));
    if (reply->elts == NULL) {
        return NULL;
    }

    return reply;
}


static void *
ngx_redis_create_integer(const redisReadTask *task, long long n)
{
    ngx_redis_reply_t  *reply;

    reply = ngx_redis_reader_slot(task);
    if (reply == NULL) {
        return NULL;
    }

    reply->type = NGX_REDIS_INTEGER;
    reply->integer = n;

    return reply;
}


static void *
ngx_redis_create_nil(const redisReadTask *task)
{
    ngx_redis_reply_t  *reply;

    reply = ngx_redis_reader_slot(task);
    if (reply == NULL) {
        return NULL;
    }

    reply->type = NGX_REDIS_NIL;

    return reply;
}


static void
ngx_redis_free_object(void *obj)
{
    /* it goes with the pool */
}


#if (HIREDIS_MAJOR >= 1)

static void *
ngx_redis_create_double(const redisReadTask *task, double d, char *str,
    size_t len)
{
    ngx_redis_reader_t  *reader = task->privdata;

    reader->error = "reply is not RESP2";

    return NULL;
}


static void *
ngx_redis_create_bool(const redisReadTask *task, int b)
{
    ngx_redis_reader_t  *reader = task->privdata;

    reader->error = "reply is not RESP2";

    return NULL;
}

#endif


u_char *
ngx_redis_write_array(u_char *p, ngx_uint_t n)
{
    return ngx_redis_write_size(p, '*', n);
}


u_char *
ngx_redis_write_bulk(u_char *p, const ngx_str_t *s)
{
    p = ngx_redis_write_size(p, '$', s->len);

    if (s->len) {
        p = ngx_cpymem(p, s->data, s->len);
    }

    *p++ = CR; *p++ = LF;

    return p;
}


static u_char *
ngx_redis_write_size(u_char *p, u_char type, size_t n)
{
    *p++ = type;
    p = ngx_redis_write_digits(p, n);
    *p++ = CR; *p++ = LF;

    return p;
}


/* Most have one digit. */

static u_char *
ngx_redis_write_digits(u_char *p, size_t n)
{
    if (n >= 10) {
        p = ngx_redis_write_digits(p, n / 10);
    }

    *p++ = (u_char) (n % 10 + '0');

    return p;
}
