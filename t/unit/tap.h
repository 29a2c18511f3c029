
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * TAP for tests in C: a test is a sentence and the checks that follow it.
 * What a check says is printed only if it fails.
 */


#ifndef _TAP_H_INCLUDED_
#define _TAP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Begins a test, and ends the one before. */

void tap_test(const char *title);

void tap_ok(ngx_uint_t good, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void tap_is(int64_t got, int64_t expected, const char *what);
void tap_is_str(const ngx_str_t *got, const char *expected, size_t len,
    const char *what);

/* Ends the last test; what main() returns. */

int tap_done(void);


#endif /* _TAP_H_INCLUDED_ */
