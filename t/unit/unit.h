
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What the unit tests share: nginx.c stands for nginx, openssl.c comes before
 * OpenSSL, fields.c has a record in Redis fields, texts.c has its texts,
 * keyslots.c what Redis says of keys, conn.c stands for connections to Redis.
 * For the zone, see shm.h.
 */


#ifndef _UNIT_H_INCLUDED_
#define _UNIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>
#include <ngx_redis_internal.h>


#define UNIT_BASE62                                                           \
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


/* --- nginx.c */

/* First in main(). */

void unit_init(void);

/* The n-th allocation from now on returns NULL; 0: none does. */

void unit_fail_alloc(ngx_uint_t n);

extern ngx_uint_t  unit_lines;      /* logged, if the log's level is raised */
extern ngx_uint_t  unit_logged;     /* calls of ngx_ssl_error() */

/* A number below n, from a sequence that is the same in each run. */

ngx_uint_t unit_random(ngx_uint_t n);


/* Whether both are of the same id and have the same digest. */

static ngx_inline ngx_uint_t
unit_same_key(const ngx_access_token_key_t *a, const ngx_access_token_key_t *b)
{
    return ngx_memcmp(a->id, b->id, sizeof(a->id)) == 0
           && ngx_memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}


/* --- openssl.c */

/* The n-th call of the function from now on fails; 0: none does. */

void unit_fail_openssl(const char *function, ngx_uint_t n);

/* RAND_bytes() gives first, first + 1 ... modulo 256; -1: random bytes. */

void unit_count_from(ngx_int_t first);


/* --- fields.c */

typedef struct {
    ngx_str_t     name;
    ngx_str_t     value;
} unit_field_t;

/* A record that has all fields there are. */

extern const unit_field_t  unit_record[];
extern const ngx_uint_t    unit_nrecord;

extern const char  unit_digest[];       /* its h */
extern const char  unit_previous[];     /* its p */

ngx_uint_t unit_is(const ngx_str_t *name, const char *expected);

/*
 * ngx_access_token_record_set() of copies that end where they end, and that
 * are gone after it.
 */

ngx_int_t unit_set(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_str_t *field, const ngx_str_t *value);
ngx_int_t unit_set_str(ngx_access_token_t *t, ngx_pool_t *pool,
    const char *field, const char *value, size_t len);

/* A t takes n fields, zeroed before or not; the first answer but NGX_OK. */

ngx_int_t unit_read(ngx_access_token_t *t, ngx_pool_t *pool,
    const unit_field_t *fields, ngx_uint_t n);
ngx_int_t unit_add(ngx_access_token_t *t, ngx_pool_t *pool,
    const unit_field_t *fields, ngx_uint_t n);

/* A zeroed t takes what record_fields() or record_text() appended to args. */

ngx_int_t unit_read_args(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_array_t *args);

void unit_shuffle(unit_field_t *fields, ngx_uint_t n);

/* The first member that differs; NULL: the records are the same. */

const char *unit_difference(const ngx_access_token_t *a,
    const ngx_access_token_t *b);


/* --- texts.c */

typedef struct {
    u_char        field;
    ngx_uint_t    min;              /* of characters */
    ngx_uint_t    max;
    ngx_uint_t    chunks;
} unit_text_t;

#define UNIT_NTEXTS  4

extern const unit_text_t  unit_texts[UNIT_NTEXTS];
extern const uint32_t     unit_characters[4];       /* of 1 to 4 bytes */

/*
 * A good text can be written and then read; any other neither the one nor
 * the other.  NULL: it is so; or what is not.
 */

const char *unit_both_ways(ngx_pool_t *pool, u_char field, const u_char *text,
    size_t len, ngx_uint_t good);

/* Into args, from its beginning. */

ngx_int_t unit_write_text(ngx_array_t *args, ngx_pool_t *pool, u_char field,
    const u_char *text, size_t len);

/*
 * A record that lacks nothing but this text; and its check: NGX_DECLINED if
 * the fault is in the text, NGX_ERROR if it is elsewhere.
 */

void unit_without_text(ngx_access_token_t *t, u_char field);
ngx_int_t unit_check_text(ngx_access_token_t *t, u_char field);

/* The UTF-8 of a character, or of a number that is none. */

size_t unit_encode(u_char *p, uint32_t c);


/* --- keyslots.c */

typedef struct {
    ngx_str_t     key;
    ngx_uint_t    slot;
} unit_key_t;

typedef struct {
    char          tag[NGX_ACCESS_TOKEN_TAG_LEN + 1];
    ngx_uint_t    slot;
} unit_tag_t;

extern const unit_key_t  unit_keys[];
extern const ngx_uint_t  unit_nkeys;
extern const unit_tag_t  unit_tags[];
extern const ngx_uint_t  unit_ntags;


/* --- conn.c */

extern ngx_redis_conn_t   *unit_conn;       /* of the last one created */
extern ngx_uint_t          unit_told;       /* faults that were to be logged */
extern ngx_uint_t          unit_opened;     /* how often a connection was */
extern ngx_uint_t          unit_fault;      /* the last one */
extern ngx_uint_t          unit_left;       /* connections, to a primary */
extern ngx_redis_place_t  *unit_found;      /* the last one that was told */

/*
 * The connection that is open, or being opened, to "host:port"; listens: that
 * of a link.  NULL: there is none.
 */

ngx_redis_conn_t *unit_conn_to(const char *name, ngx_uint_t listens);

/* All of them, in any order; NULL: there is none of that number. */

#define UNIT_CONNS  256

ngx_redis_conn_t *unit_conn_at(ngx_uint_t n);

/* The command that waits longest for its answer, or NULL; its bytes. */

ngx_redis_command_t *unit_first(const ngx_redis_conn_t *conn);
ngx_str_t unit_bytes(const ngx_redis_command_t *cmd);

/* Answers that one; how many bytes it has.  Without "on", unit_conn. */

size_t unit_answer_on(ngx_redis_conn_t *conn, const ngx_redis_reply_t *reply);
size_t unit_answer(const ngx_redis_reply_t *reply);

/* The connection fails, and with it all that wait. */

void unit_fail_conn(void);

/* The timer that is the next to fire, or NULL. */

ngx_event_t *unit_timer(void);

/*
 * Runs all posted events; the next timer, which makes it that late; both, for
 * so many milliseconds.
 */

void unit_run_posted(void);
ngx_msec_t unit_run_timer(void);
void unit_wait(ngx_msec_t time);


#endif /* _UNIT_H_INCLUDED_ */
