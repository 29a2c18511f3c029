
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What a caller of the admin API sends, in small: times of RFC 3339, the type
 * of a body.
 */


#include <ngx_http_access_token_api.h>


#define NGX_HTTP_ACCESS_TOKEN_API_LAST_TIME  253402300799  /* of year 9999 */


static ngx_int_t ngx_http_access_token_api_digits(u_char **pos, u_char *last,
    ngx_uint_t n);
static ngx_uint_t ngx_http_access_token_api_char(u_char **pos, u_char *last,
    u_char ch);
static ngx_int_t ngx_http_access_token_api_parse_clock(u_char *p,
    u_char *last, int64_t *seconds);
static ngx_int_t ngx_http_access_token_api_month_days(ngx_int_t year,
    ngx_int_t month);


ngx_int_t
ngx_http_access_token_api_parse_time(const ngx_str_t *text, time_t *t)
{
    u_char     *p, *last;
    int64_t     days, seconds;
    ngx_int_t   year, month, day;

    p = text->data;
    last = p + text->len;

    year = ngx_http_access_token_api_digits(&p, last, 4);

    if (!ngx_http_access_token_api_char(&p, last, '-')) {
        return NGX_DECLINED;
    }

    month = ngx_http_access_token_api_digits(&p, last, 2);

    if (!ngx_http_access_token_api_char(&p, last, '-')) {
        return NGX_DECLINED;
    }

    day = ngx_http_access_token_api_digits(&p, last, 2);

    if (year < 1970 || month < 1 || month > 12 || day < 1
        || day > ngx_http_access_token_api_month_days(year, month))
    {
        return NGX_DECLINED;
    }

    seconds = 0;

    if (p != last
        && ngx_http_access_token_api_parse_clock(p, last, &seconds) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    /* Gauss' formula counts years from March, as in ngx_parse_http_time() */

    month -= 2;

    if (month <= 0) {
        month += 12;
        year -= 1;
    }

    days = 365 * (int64_t) year + year / 4 - year / 100 + year / 400
           + 367 * month / 12 - 30 + (day - 1) - 719527 + 31 + 28;

    seconds += days * 86400;

    if (seconds < 0 || seconds > NGX_HTTP_ACCESS_TOKEN_API_LAST_TIME) {
        return NGX_DECLINED;
    }

    *t = (time_t) seconds;

    return NGX_OK;
}


/* "T23:59:59.5+01:00" to seconds from the beginning of the day in UTC */

static ngx_int_t
ngx_http_access_token_api_parse_clock(u_char *p, u_char *last,
    int64_t *seconds)
{
    ngx_int_t  hour, min, sec, sign, offset_hour, offset_min;

    if (!ngx_http_access_token_api_char(&p, last, 't')) {
        return NGX_DECLINED;
    }

    hour = ngx_http_access_token_api_digits(&p, last, 2);

    if (!ngx_http_access_token_api_char(&p, last, ':')) {
        return NGX_DECLINED;
    }

    min = ngx_http_access_token_api_digits(&p, last, 2);

    if (!ngx_http_access_token_api_char(&p, last, ':')) {
        return NGX_DECLINED;
    }

    sec = ngx_http_access_token_api_digits(&p, last, 2);

    if (hour < 0 || hour > 23 || min < 0 || min > 59 || sec < 0 || sec > 59) {
        return NGX_DECLINED;
    }

    *seconds = hour * 3600 + min * 60 + sec;

    if (ngx_http_access_token_api_char(&p, last, '.')) {

        if (ngx_http_access_token_api_digits(&p, last, 1) == NGX_ERROR) {
            return NGX_DECLINED;
        }

        while (ngx_http_access_token_api_digits(&p, last, 1) != NGX_ERROR) {
            /* void */
        }
    }

    if (ngx_http_access_token_api_char(&p, last, 'z')) {
        return p == last ? NGX_OK : NGX_DECLINED;
    }

    sign = 1;

    if (!ngx_http_access_token_api_char(&p, last, '+')) {

        if (!ngx_http_access_token_api_char(&p, last, '-')) {
            return NGX_DECLINED;
        }

        sign = -1;
    }

    offset_hour = ngx_http_access_token_api_digits(&p, last, 2);

    if (!ngx_http_access_token_api_char(&p, last, ':')) {
        return NGX_DECLINED;
    }

    offset_min = ngx_http_access_token_api_digits(&p, last, 2);

    if (p != last || offset_hour < 0 || offset_hour > 23 || offset_min < 0
        || offset_min > 59)
    {
        return NGX_DECLINED;
    }

    *seconds -= sign * (offset_hour * 3600 + offset_min * 60);

    return NGX_OK;
}


/* Takes n digits; NGX_ERROR if there are not so many, and takes none. */

static ngx_int_t
ngx_http_access_token_api_digits(u_char **pos, u_char *last, ngx_uint_t n)
{
    ngx_int_t  value;

    if ((size_t) (last - *pos) < n) {
        return NGX_ERROR;
    }

    value = ngx_atoi(*pos, n);

    if (value != NGX_ERROR) {
        *pos += n;
    }

    return value;
}


/* Takes the character, in lower or in upper case; 0 if it is another. */

static ngx_uint_t
ngx_http_access_token_api_char(u_char **pos, u_char *last, u_char ch)
{
    if (*pos == last || ngx_tolower(**pos) != ch) {
        return 0;
    }

    (*pos)++;

    return 1;
}


static ngx_int_t
ngx_http_access_token_api_month_days(ngx_int_t year, ngx_int_t month)
{
    static const ngx_int_t  days[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    if (month == 2
        && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
    {
        return 29;
    }

    return days[month - 1];
}


u_char *
ngx_http_access_token_api_print_time(u_char *p, time_t t)
{
    ngx_tm_t  tm;

    ngx_gmtime(t, &tm);

    return ngx_sprintf(p, "%4d-%02d-%02dT%02d:%02d:%02dZ",
                       tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                       tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);
}


ngx_uint_t
ngx_http_access_token_api_is_json(ngx_http_request_t *r)
{
    u_char     *p, *last;
    ngx_str_t   type;

    if (r->headers_in.content_type == NULL) {
        return 0;
    }

    type = r->headers_in.content_type->value;
    last = type.data + type.len;

    for (p = type.data; p < last; p++) {
        if (*p == ';' || *p == ' ' || *p == '\t') {
            break;
        }
    }

    type.len = p - type.data;

    if (type.len == sizeof("application/json") - 1
        && ngx_strncasecmp(type.data, (u_char *) "application/json", type.len)
           == 0)
    {
        return 1;
    }

    return r->method == NGX_HTTP_PATCH
           && type.len == sizeof("application/merge-patch+json") - 1
           && ngx_strncasecmp(type.data,
                              (u_char *) "application/merge-patch+json",
                              type.len)
              == 0;
}
