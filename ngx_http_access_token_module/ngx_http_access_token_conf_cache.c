
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The arguments of the directives of the cache: how large it is, how long what
 * is in it may be used, and how often last uses are told.  As in
 * ngx_http_access_token_conf.c, whatever is wrong is found when the
 * configuration is read.
 */


#include <ngx_http_access_token.h>


#define NGX_HTTP_ACCESS_TOKEN_LEASE_MIN  100        /* ms */
#define NGX_HTTP_ACCESS_TOKEN_LEASE_MAX  60000
#define NGX_HTTP_ACCESS_TOKEN_AGE_MAX    86400000


static ngx_uint_t ngx_http_access_token_conf_msec(ngx_str_t *value,
    ngx_msec_t min, ngx_msec_t max, ngx_msec_t *msec);


/* access_token_zone name:size */

char *
ngx_http_access_token_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_main_conf_t *amcf = conf;

    u_char     *colon;
    ssize_t     size;
    ngx_str_t  *value, text;

    if (amcf->zone.name.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    colon = ngx_strlchr(value[1].data, value[1].data + value[1].len, ':');

    if (colon == NULL || colon == value[1].data) {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                         "write the zone's name and its size, such as "
                         "\"access_token:10m\"");
    }

    text.data = colon + 1;
    text.len = value[1].data + value[1].len - text.data;

    size = ngx_parse_size(&text);

    if (size < (ssize_t) NGX_ACCESS_TOKEN_ZONE_MIN) {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                         "the size must be at least \"512k\"");
    }

    amcf->zone.name.data = value[1].data;
    amcf->zone.name.len = colon - value[1].data;
    amcf->zone.size = size;

    return NGX_CONF_OK;
}


/* access_token_cache off | [max_age=] [negative=] [lease=] */

char *
ngx_http_access_token_conf_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_main_conf_t *amcf = conf;

    ngx_str_t   *value, text;
    ngx_uint_t   i, good;

    if (amcf->cache != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    amcf->cache = !(cf->args->nelts == 2
                    && ngx_strcmp(value[1].data, "off") == 0);

    for (i = 1; i < cf->args->nelts && amcf->cache; i++) {

        if (ngx_http_access_token_conf_param(&value[i], "max_age", &text)) {
            good = ngx_http_access_token_conf_msec(&text, 1,
                                           NGX_HTTP_ACCESS_TOKEN_AGE_MAX,
                                           &amcf->zone.max_age);

        } else if (ngx_http_access_token_conf_param(&value[i], "negative",
                                                    &text))
        {
            good = ngx_http_access_token_conf_msec(&text, 0,
                                           NGX_HTTP_ACCESS_TOKEN_AGE_MAX,
                                           &amcf->zone.negative);

        } else if (ngx_http_access_token_conf_param(&value[i], "lease",
                                                    &text))
        {
            good = ngx_http_access_token_conf_msec(&text,
                                           NGX_HTTP_ACCESS_TOKEN_LEASE_MIN,
                                           NGX_HTTP_ACCESS_TOKEN_LEASE_MAX,
                                           &amcf->lease);

        } else {
            return ngx_http_access_token_conf_bad(cf, &value[i],
                         "it must be \"off\" alone, or \"max_age=\", "
                         "\"negative=\" and \"lease=\"");
        }

        if (!good) {
            return ngx_http_access_token_conf_bad(cf, &value[i],
                         "write it once, with a time: \"max_age=\" and "
                         "\"negative=\" of a day at most, \"lease=\" from "
                         "\"100ms\" to \"60s\"");
        }
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_access_token_conf_msec(ngx_str_t *value, ngx_msec_t min,
    ngx_msec_t max, ngx_msec_t *msec)
{
    ngx_msec_t  ms;

    ms = ngx_parse_time(value, 0);

    if (*msec != NGX_CONF_UNSET_MSEC
        || ms == (ngx_msec_t) NGX_ERROR
        || ms < min
        || ms > max)
    {
        return 0;
    }

    *msec = ms;

    return 1;
}


/* access_token_last_use time | off */

char *
ngx_http_access_token_conf_last_use(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_main_conf_t *amcf = conf;

    time_t      interval;
    ngx_str_t  *value;

    if (amcf->zone.usage != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        amcf->zone.usage = 0;
        return NGX_CONF_OK;
    }

    interval = ngx_parse_time(&value[1], 1);

    if (interval < 1 || interval > 86400) {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                         "it must be a time from \"1s\" to \"1d\", or "
                         "\"off\"");
    }

    amcf->zone.usage = interval;

    return NGX_CONF_OK;
}
