
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


#define TAP_SAID_MAX  5     /* failed checks of a test that are printed */


static const char  *tap_title;
static ngx_uint_t   tap_tests, tap_failed_tests, tap_checks, tap_failed;


static ngx_inline void
tap_end(void)
{
    if (tap_title == NULL) {
        return;
    }

    if (tap_checks == 0) {
        printf("# nothing was checked\n");
        tap_failed = 1;
    }

    if (tap_failed > TAP_SAID_MAX) {
        printf("# %lu of %lu checks failed\n", (u_long) tap_failed,
               (u_long) tap_checks);
    }

    tap_tests++;
    tap_failed_tests += (tap_failed != 0);

    printf("%s %lu - %s\n", tap_failed ? "not ok" : "ok", (u_long) tap_tests,
           tap_title);
    fflush(stdout);

    tap_title = NULL;
}


/* Begins a test, and ends the one before. */

static ngx_inline void
tap_test(const char *title)
{
    tap_end();

    tap_title = title;
    tap_checks = 0;
    tap_failed = 0;
}


static ngx_inline __attribute__((format(printf, 2, 3))) void
tap_ok(ngx_uint_t good, const char *fmt, ...)
{
    va_list  args;

    tap_checks++;

    if (good || ++tap_failed > TAP_SAID_MAX) {
        return;
    }

    printf("# failed: ");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}


static ngx_inline void
tap_is(int64_t got, int64_t expected, const char *what)
{
    tap_ok(got == expected, "%s: %lld, not %lld", what, (long long) got,
           (long long) expected);
}


static ngx_inline void
tap_is_str(const ngx_str_t *got, const char *expected, size_t len,
    const char *what)
{
    tap_ok(got->len == len && ngx_memcmp(got->data, expected, len) == 0,
           "%s: \"%.*s\", not \"%.*s\"", what,
           (int) got->len, (char *) got->data, (int) len, expected);
}


/* Ends the last test; what main() returns. */

static ngx_inline int
tap_done(void)
{
    tap_end();
    printf("1..%lu\n", (u_long) tap_tests);

    return tap_failed_tests ? 1 : 0;
}


#endif /* _TAP_H_INCLUDED_ */
