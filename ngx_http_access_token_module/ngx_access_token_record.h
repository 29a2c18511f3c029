
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What the files of the record share: what a field is, and texts in chunks.
 * Nobody else includes it.
 */


#ifndef _NGX_ACCESS_TOKEN_RECORD_H_INCLUDED_
#define _NGX_ACCESS_TOKEN_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>


#pragma GCC visibility push(hidden)


#define NGX_ACCESS_TOKEN_CHUNK       64     /* bytes of a value */


#define ngx_access_token_member(t, f, type)                                   \
    ((type *) (void *) ((u_char *) (t) + (f)->offset))


typedef struct ngx_access_token_field_s  ngx_access_token_field_t;

typedef ngx_int_t (*ngx_access_token_set_pt)(ngx_access_token_t *t,
    ngx_pool_t *pool, const ngx_access_token_field_t *f,
    const ngx_str_t *value);

struct ngx_access_token_field_s {
    ngx_str_t                 name;
    ngx_uint_t                bit;      /* in seen; a text's first */
    size_t                    offset;   /* in ngx_access_token_t */
    ngx_access_token_set_pt   set;      /* NULL: a text in chunks */
    ngx_uint_t                min;      /* of a number; of bytes of a string,
                                           of characters of a text */
    ngx_uint_t                max;      /* of characters of a text */
    ngx_uint_t                chunks;   /* of a text, at most */
};


/* One string for Redis; it is not copied. */

ngx_int_t ngx_access_token_push(ngx_array_t *args, const void *data,
    size_t len);

/*
 * Takes the value of a chunk, the first of which is 0, to its place in t's
 * text.  NGX_DECLINED: it cannot be one; NGX_ERROR: no memory.
 */

ngx_int_t ngx_access_token_text_set(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_access_token_field_t *f, ngx_uint_t chunk,
    const ngx_str_t *value);

/* After the last chunk.  NGX_OK: the text is absent, or whole and valid. */

ngx_int_t ngx_access_token_text_check(const ngx_access_token_t *t,
    const ngx_access_token_field_t *f);

/* Of ngx_access_token_record_text() and _chunks(), once the field is known. */

ngx_int_t ngx_access_token_text_push(ngx_array_t *args,
    const ngx_access_token_field_t *f, const ngx_str_t *text);
ngx_int_t ngx_access_token_text_push_names(ngx_array_t *args,
    const ngx_access_token_field_t *f);


#pragma GCC visibility pop


#endif /* _NGX_ACCESS_TOKEN_RECORD_H_INCLUDED_ */
