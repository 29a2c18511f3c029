
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * TAP: see tap.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "tap.h"


#define TAP_SAID_MAX  5     /* failed checks of a test that are printed */


static const char  *tap_title;
static ngx_uint_t   tap_tests, tap_failed_tests, tap_checks, tap_failed;


static void
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


void
tap_test(const char *title)
{
    tap_end();

    tap_title = title;
    tap_checks = 0;
    tap_failed = 0;
}


void
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
    fflush(stdout);
}


void
tap_is(int64_t got, int64_t expected, const char *what)
{
    tap_ok(got == expected, "%s: %lld, not %lld", what, (long long) got,
           (long long) expected);
}


void
tap_is_str(const ngx_str_t *got, const char *expected, size_t len,
    const char *what)
{
    tap_ok(got->len == len
           && (len == 0 || ngx_memcmp(got->data, expected, len) == 0),
           "%s: \"%.*s\", not \"%.*s\"", what,
           (int) got->len, (char *) got->data, (int) len, expected);
}


int
tap_done(void)
{
    tap_end();
    printf("1..%lu\n", (u_long) tap_tests);

    return tap_failed_tests ? 1 : 0;
}
