
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * A record in Redis fields, and what the tests of records do with fields.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token.h>

#include "unit.h"


#define UNIT_DIGEST    "digest now: \0\1\2\3\r\n\377\376 of 32 bytes"
#define UNIT_PREVIOUS  "digest before: \0\r\n\377\376 of 32 bytes"

#define UNIT_A64                                                              \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


const char  unit_digest[] = UNIT_DIGEST;
const char  unit_previous[] = UNIT_PREVIOUS;


const unit_field_t  unit_record[] = {
    { ngx_string("h"), ngx_string(UNIT_DIGEST) },
    { ngx_string("p"), ngx_string(UNIT_PREVIOUS) },
    { ngx_string("q"), ngx_string("1800000600") },
    { ngx_string("o"), ngx_string("acme") },
    { ngx_string("g"), ngx_string("team-1") },
    { ngx_string("a"), ngx_string("1") },
    { ngx_string("s"), ngx_string("r") },
    { ngx_string("e"), ngx_string("1900000000") },
    { ngx_string("u"), ngx_string("tu_0123456789abcdef") },
    { ngx_string("v"), ngx_string("7") },
    { ngx_string("n"), ngx_string(UNIT_A64) },
    { ngx_string("n1"), ngx_string("end of the name") },
    { ngx_string("c"), ngx_string("1700000000") },
    { ngx_string("b"), ngx_string(UNIT_A64) },
    { ngx_string("b1"), ngx_string("creator") },
    { ngx_string("x"), ngx_string("1800000000") },
    { ngx_string("y"), ngx_string("user:somebody") },
    { ngx_string("d"), ngx_string(UNIT_A64) },
    { ngx_string("d1"), ngx_string(UNIT_A64) },
    { ngx_string("d2"), ngx_string("end of\n\tthe description") },
};

const ngx_uint_t  unit_nrecord = sizeof(unit_record) / sizeof(unit_field_t);


ngx_uint_t
unit_is(const ngx_str_t *name, const char *expected)
{
    return name->len == strlen(expected)
           && ngx_memcmp(name->data, expected, name->len) == 0;
}


ngx_int_t
unit_set(ngx_access_token_t *t, ngx_pool_t *pool, const ngx_str_t *field,
    const ngx_str_t *value)
{
    ngx_int_t  rc;
    ngx_str_t  name, copy;

    name.len = field->len;
    name.data = malloc(field->len);
    copy.len = value->len;
    copy.data = malloc(value->len);

    if (name.data == NULL || copy.data == NULL) {
        abort();
    }

    ngx_memcpy(name.data, field->data, field->len);

    if (value->len) {
        ngx_memcpy(copy.data, value->data, value->len);
    }

    rc = ngx_access_token_record_set(t, pool, &name, &copy);

    ngx_memset(name.data, 0xee, name.len);
    ngx_memset(copy.data, 0xee, copy.len);
    free(name.data);
    free(copy.data);

    return rc;
}


ngx_int_t
unit_set_str(ngx_access_token_t *t, ngx_pool_t *pool, const char *field,
    const char *value, size_t len)
{
    ngx_str_t  f, v;

    f.data = (u_char *) field;
    f.len = strlen(field);
    v.data = (u_char *) value;
    v.len = len;

    return unit_set(t, pool, &f, &v);
}


ngx_int_t
unit_read(ngx_access_token_t *t, ngx_pool_t *pool, const unit_field_t *fields,
    ngx_uint_t n)
{
    ngx_memzero(t, sizeof(ngx_access_token_t));

    return unit_add(t, pool, fields, n);
}


ngx_int_t
unit_add(ngx_access_token_t *t, ngx_pool_t *pool, const unit_field_t *fields,
    ngx_uint_t n)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        rc = unit_set(t, pool, &fields[i].name, &fields[i].value);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


ngx_int_t
unit_read_args(ngx_access_token_t *t, ngx_pool_t *pool,
    const ngx_array_t *args)
{
    return unit_read(t, pool, args->elts, args->nelts / 2);
}


void
unit_shuffle(unit_field_t *fields, ngx_uint_t n)
{
    ngx_uint_t    i;
    unit_field_t  field;

    while (n > 1) {
        i = unit_random(n--);
        field = fields[i];
        fields[i] = fields[n];
        fields[n] = field;
    }
}


#define unit_compare(member)                                                  \
    if (a->member != b->member) {                                             \
        return #member;                                                       \
    }

#define unit_compare_bytes(member)                                            \
    if (ngx_memcmp(a->member, b->member, sizeof(a->member)) != 0) {           \
        return #member;                                                       \
    }

#define unit_compare_str(member)                                              \
    if (a->member.len != b->member.len                                        \
        || (a->member.len                                                     \
            && ngx_memcmp(a->member.data, b->member.data, a->member.len)      \
               != 0))                                                         \
    {                                                                         \
        return #member;                                                       \
    }


const char *
unit_difference(const ngx_access_token_t *a, const ngx_access_token_t *b)
{
    unit_compare_bytes(digest);
    unit_compare_bytes(previous);
    unit_compare(previous_until);
    unit_compare_str(owner.organization);
    unit_compare_str(owner.group);
    unit_compare_str(name);
    unit_compare_str(technical_user);
    unit_compare(expires);
    unit_compare(version);
    unit_compare(admin);
    unit_compare(revoked);
    unit_compare_str(description);
    unit_compare_str(created_by);
    unit_compare_str(revoked_by);
    unit_compare(created);
    unit_compare(revoked_at);

    return NULL;
}
