
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The arguments of access_token_redis: where Redis is, who we are there, how
 * long we wait, and when a change counts as made.
 *
 *     address           one server
 *     sentinel=NAME     and Sentinels that know where the primary NAME is
 *     cluster           and some of its nodes
 *
 * A parameter is one line of a table; what only holds together is checked when
 * all have been read.
 */


#include <ngx_http_access_token.h>


#define NGX_HTTP_ACCESS_TOKEN_REPLICAS_MAX    64

#define NGX_HTTP_ACCESS_TOKEN_NO_ADDRESS                                      \
    "the address of Redis comes first, as \"host:port\" or \"unix:/path\""


typedef struct ngx_http_access_token_param_s  ngx_http_access_token_param_t;

typedef char *(*ngx_http_access_token_set_pt)(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place);

struct ngx_http_access_token_param_s {
    const char                    *name;
    ngx_http_access_token_set_pt   set;
    size_t                         offset;  /* in the main configuration */
};


static char *ngx_http_access_token_conf_where(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf);
static char *ngx_http_access_token_conf_place(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg);
static char *ngx_http_access_token_conf_one(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg);
static char *ngx_http_access_token_conf_together(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf);
static char *ngx_http_access_token_conf_tls(ngx_conf_t *cf,
    ngx_redis_conf_t *redis);
static char *ngx_http_access_token_conf_password(ngx_conf_t *cf,
    ngx_str_t *password);

static char *ngx_http_access_token_set_text(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place);
static char *ngx_http_access_token_set_time(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place);
static char *ngx_http_access_token_set_flag(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place);
static char *ngx_http_access_token_set_db(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place);
static char *ngx_http_access_token_set_key_prefix(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place);
static char *ngx_http_access_token_set_wait(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place);


#define ngx_http_access_token_redis(field)                                    \
    offsetof(ngx_http_access_token_main_conf_t, redis.field)

static const ngx_http_access_token_param_t  ngx_http_access_token_params[] = {

    { "user", ngx_http_access_token_set_text,
      ngx_http_access_token_redis(user) },
    { "password_file", ngx_http_access_token_set_text,
      ngx_http_access_token_redis(password) },
    { "db", ngx_http_access_token_set_db,
      ngx_http_access_token_redis(db) },
    { "prefix", ngx_http_access_token_set_key_prefix,
      offsetof(ngx_http_access_token_main_conf_t, store.key_prefix) },
    { "connect_timeout", ngx_http_access_token_set_time,
      ngx_http_access_token_redis(connect_timeout) },
    { "timeout", ngx_http_access_token_set_time,
      ngx_http_access_token_redis(timeout) },
    { "wait", ngx_http_access_token_set_wait, 0 },

    { "tls_ca", ngx_http_access_token_set_text,
      ngx_http_access_token_redis(tls.ca) },
    { "tls_name", ngx_http_access_token_set_text,
      ngx_http_access_token_redis(tls.name) },
    { "tls_cert", ngx_http_access_token_set_text,
      ngx_http_access_token_redis(tls.cert) },
    { "tls_key", ngx_http_access_token_set_text,
      ngx_http_access_token_redis(tls.key) },
    { "tls_verify", ngx_http_access_token_set_flag,
      ngx_http_access_token_redis(tls.verify) },

    { "sentinel_user", ngx_http_access_token_set_text,
      ngx_http_access_token_redis(sentinel.user) },
    { "sentinel_password_file", ngx_http_access_token_set_text,
      ngx_http_access_token_redis(sentinel.password) },
    { "sentinel_tls", ngx_http_access_token_set_flag,
      ngx_http_access_token_redis(sentinel.tls) },

    { NULL, NULL, 0 }
};


/* access_token_redis address | sentinel=NAME address … | cluster address … */

char *
ngx_http_access_token_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_main_conf_t *amcf = conf;

    char              *rv;
    ngx_str_t         *value;
    ngx_uint_t         i;
    ngx_redis_conf_t  *redis;

    redis = &amcf->redis;

    if (redis->address.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    redis->address = value[1];
    redis->db = NGX_CONF_UNSET_UINT;
    redis->connect_timeout = NGX_CONF_UNSET_MSEC;
    redis->timeout = NGX_CONF_UNSET_MSEC;
    redis->tls.on = 0;
    redis->tls.verify = NGX_CONF_UNSET;
    redis->sentinel.tls = NGX_CONF_UNSET;

    rv = ngx_http_access_token_conf_where(cf, amcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_access_token_conf_one(cf, amcf, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    rv = ngx_http_access_token_conf_together(cf, amcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_access_token_conf_password(cf, &redis->password);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_access_token_conf_password(cf, &redis->sentinel.password);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    ngx_conf_init_uint_value(redis->db, 0);
    ngx_conf_init_msec_value(redis->connect_timeout, 1000);
    ngx_conf_init_msec_value(redis->timeout, 500);
    ngx_conf_init_value(redis->tls.verify, 1);
    ngx_conf_init_value(redis->sentinel.tls, redis->tls.on);

    if (amcf->store.key_prefix.data == NULL) {
        ngx_str_set(&amcf->store.key_prefix, "at:");
    }

    if (ngx_redis_tls_create(cf, redis) != NGX_OK) {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                                              "see the message before");
    }

    amcf->store.redis = ngx_redis_create(cf, redis);

    if (amcf->store.redis == NULL) {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                                              redis->topology
                                                  == NGX_REDIS_ALONE
                                              ? NGX_HTTP_ACCESS_TOKEN_NO_ADDRESS
                                              : "see the message before");
    }

    amcf->store.changes = amcf->store.redis;

    return NGX_CONF_OK;
}


/* The first argument; with it all addresses, which have no "=". */

static char *
ngx_http_access_token_conf_where(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf)
{
    ngx_str_t         *value;
    ngx_redis_conf_t  *redis;

    redis = &amcf->redis;
    value = cf->args->elts;

    redis->addresses = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
    if (redis->addresses == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[1].data, "cluster") == 0) {
        redis->topology = NGX_REDIS_CLUSTER;
        return NGX_CONF_OK;
    }

    if (ngx_http_access_token_conf_param(&value[1], "sentinel",
                                         &redis->primary))
    {
        redis->topology = NGX_REDIS_SENTINEL;

        if (redis->primary.len == 0) {
            return ngx_http_access_token_conf_bad(cf, &value[1],
                         "write the name that the Sentinels know the primary "
                         "by, as in \"sentinel=mymaster\"");
        }

        return NGX_CONF_OK;
    }

    redis->topology = NGX_REDIS_ALONE;

    return ngx_http_access_token_conf_place(cf, amcf, &value[1]);
}


/* an "=" is a parameter in the wrong place, a "/" that of a URL */

static char *
ngx_http_access_token_conf_place(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg)
{
    u_char     *last;
    ngx_str_t  *address;

    last = arg->data + arg->len;

    if (arg->len == 0
        || ngx_strlchr(arg->data, last, '=')
        || (ngx_strncmp(arg->data, "unix:", 5) != 0
            && ngx_strlchr(arg->data, last, '/')))
    {
        return ngx_http_access_token_conf_bad(cf, arg,
                                              NGX_HTTP_ACCESS_TOKEN_NO_ADDRESS);
    }

    address = ngx_array_push(amcf->redis.addresses);
    if (address == NULL) {
        return NGX_CONF_ERROR;
    }

    *address = *arg;

    return NGX_CONF_OK;
}


static char *
ngx_http_access_token_conf_one(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg)
{
    ngx_str_t                             value;
    const ngx_http_access_token_param_t  *param;

    for (param = ngx_http_access_token_params; param->name; param++) {

        if (ngx_http_access_token_conf_param(arg, param->name, &value)) {
            return param->set(cf, amcf, arg, &value,
                              (u_char *) amcf + param->offset);
        }
    }

    if (ngx_strcmp(arg->data, "tls") == 0 && !amcf->redis.tls.on) {
        amcf->redis.tls.on = 1;
        return NGX_CONF_OK;
    }

    if (amcf->redis.topology != NGX_REDIS_ALONE
        && !ngx_strlchr(arg->data, arg->data + arg->len, '='))
    {
        return ngx_http_access_token_conf_place(cf, amcf, arg);
    }

    return ngx_http_access_token_conf_bad(cf, arg,
                         "it must be \"user=\", \"password_file=\", \"db=\", "
                         "\"prefix=\", \"connect_timeout=\", \"timeout=\", "
                         "\"wait=\", \"tls\" (once), \"tls_...=\" or "
                         "\"sentinel_...=\"");
}


/* What is of no use without another one. */

static char *
ngx_http_access_token_conf_together(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf)
{
    ngx_redis_conf_t  *redis;

    redis = &amcf->redis;

    if (redis->addresses->nelts == 0) {
        return (redis->topology == NGX_REDIS_CLUSTER)
               ? "has no node: name some of those of the cluster, as in "
                 "\"cluster 10.0.0.1:6379 10.0.0.2:6379\""
               : "has no Sentinel: name all of them, as in "
                 "\"sentinel=mymaster 10.0.0.1:26379 10.0.0.2:26379\"";
    }

    if (redis->user.len && redis->password.len == 0) {
        return "has \"user=\" without \"password_file=\": "
               "name the file with the password of that user";
    }

    if (redis->sentinel.user.len && redis->sentinel.password.len == 0) {
        return "has \"sentinel_user=\" without \"sentinel_password_file=\": "
               "name the file with the password of that user";
    }

    if (redis->topology != NGX_REDIS_SENTINEL
        && (redis->sentinel.password.len
            || redis->sentinel.tls != NGX_CONF_UNSET))
    {
        return "has \"sentinel_...=\" without Sentinels: "
               "write \"sentinel=NAME\" first, or take it away";
    }

    if (redis->topology == NGX_REDIS_CLUSTER
        && redis->db != NGX_CONF_UNSET_UINT && redis->db != 0)
    {
        return "has \"db=\" with a cluster, which has one database: "
               "take it away, and use \"prefix=\"";
    }

    if (!redis->tls.on && redis->sentinel.tls != 1
        && (redis->tls.ca.len || redis->tls.name.len || redis->tls.cert.len
            || redis->tls.key.len || redis->tls.verify != NGX_CONF_UNSET))
    {
        return "has \"tls_...=\" without \"tls\": add that";
    }

    if ((redis->tls.cert.len == 0) != (redis->tls.key.len == 0)) {
        return "needs \"tls_cert=\" and \"tls_key=\" together, "
               "or neither of them";
    }

    return ngx_http_access_token_conf_tls(cf, redis);
}


/* Nobody listens in on a Unix socket, and its path is no name to check. */

static char *
ngx_http_access_token_conf_tls(ngx_conf_t *cf, ngx_redis_conf_t *redis)
{
    ngx_str_t   *address;
    ngx_flag_t   tls;
    ngx_uint_t   i;

    tls = redis->tls.on;

    if (redis->topology == NGX_REDIS_SENTINEL
        && redis->sentinel.tls != NGX_CONF_UNSET)
    {
        tls = redis->sentinel.tls;
    }

    if (!tls) {
        return NGX_CONF_OK;
    }

    address = redis->addresses->elts;

    for (i = 0; i < redis->addresses->nelts; i++) {

        if (ngx_strncmp(address[i].data, "unix:", 5) == 0) {
            return ngx_http_access_token_conf_bad(cf, &address[i],
                         "a Unix socket needs no TLS: take \"tls\" away, or "
                         "give \"host:port\"");
        }
    }

    return NGX_CONF_OK;
}


/* What is the name of a file becomes the first line of it, without its end. */

static char *
ngx_http_access_token_conf_password(ngx_conf_t *cf, ngx_str_t *password)
{
    char       *rv;
    u_char     *p, *last;
    ngx_str_t   text;

    if (password->len == 0) {
        return NGX_CONF_OK;
    }

    rv = ngx_http_access_token_conf_read_file(cf, password, &text, 1);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    last = text.data + text.len;

    for (p = text.data; p < last && *p != '\n' && *p != '\r'; p++) {
        /* void */
    }

    if (p == text.data) {
        return ngx_http_access_token_conf_bad(cf, password,
                         "the first line of that file must be the password");
    }

    ngx_explicit_memzero(p, last - p);

    password->data = text.data;
    password->len = p - text.data;

    return NGX_CONF_OK;
}


/* --- parameters -------------------------------------------------------- */

static char *
ngx_http_access_token_set_text(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place)
{
    ngx_str_t  *text = place;

    if (value->len == 0 || text->len) {
        return ngx_http_access_token_conf_bad(cf, arg,
                                              "write it once, and not empty");
    }

    *text = *value;

    return NGX_CONF_OK;
}


static char *
ngx_http_access_token_set_time(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place)
{
    ngx_msec_t  *msec = place;

    ngx_msec_t   ms;

    ms = ngx_parse_time(value, 0);

    if (ms == (ngx_msec_t) NGX_ERROR || ms == 0
        || *msec != NGX_CONF_UNSET_MSEC)
    {
        return ngx_http_access_token_conf_bad(cf, arg,
                         "write it once, with a time above 0 such as "
                         "\"500ms\"");
    }

    *msec = ms;

    return NGX_CONF_OK;
}


static char *
ngx_http_access_token_set_flag(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place)
{
    ngx_flag_t  *flag = place;

    if (*flag == NGX_CONF_UNSET) {

        if (ngx_strcmp(value->data, "on") == 0) {
            *flag = 1;
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(value->data, "off") == 0) {
            *flag = 0;
            return NGX_CONF_OK;
        }
    }

    return ngx_http_access_token_conf_bad(cf, arg,
                         "write it once, with \"on\" or \"off\"");
}


static char *
ngx_http_access_token_set_db(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place)
{
    ngx_uint_t  *number = place;

    ngx_int_t    db;

    db = ngx_atoi(value->data, value->len);

    if (db == NGX_ERROR || *number != NGX_CONF_UNSET_UINT) {
        return ngx_http_access_token_conf_bad(cf, arg,
                         "write \"db=\" once, with a number");
    }

    *number = db;

    return NGX_CONF_OK;
}


/* keys carry a hash tag in braces of their own */

static char *
ngx_http_access_token_set_key_prefix(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place)
{
    ngx_str_t  *prefix = place;

    u_char      ch;
    size_t      i;

    if (prefix->data) {
        return ngx_http_access_token_conf_bad(cf, value,
                                              "write \"prefix=\" once");
    }

    if (value->len > NGX_ACCESS_TOKEN_KEY_PREFIX_MAX) {
        return ngx_http_access_token_conf_bad(cf, value,
                         "\"prefix=\" must be of 32 characters at most");
    }

    for (i = 0; i < value->len; i++) {
        ch = value->data[i];

        if (ch == '{' || ch == '}' || ch <= ' ' || ch == 0x7f) {
            return ngx_http_access_token_conf_bad(cf, value,
                         "\"prefix=\" must hold no braces, spaces or control "
                         "characters");
        }
    }

    *prefix = *value;

    return NGX_CONF_OK;
}


/* wait=REPLICAS:TIME */

static char *
ngx_http_access_token_set_wait(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf, ngx_str_t *arg, ngx_str_t *value,
    void *place)
{
    u_char      *p;
    ngx_int_t    replicas;
    ngx_str_t    time;
    ngx_msec_t   ms;

    p = ngx_strlchr(value->data, value->data + value->len, ':');

    if (p && amcf->store.wait_replicas == 0) {
        replicas = ngx_atoi(value->data, p - value->data);

        time.data = p + 1;
        time.len = value->data + value->len - time.data;

        ms = ngx_parse_time(&time, 0);

        if (replicas > 0
            && replicas <= NGX_HTTP_ACCESS_TOKEN_REPLICAS_MAX
            && ms != (ngx_msec_t) NGX_ERROR && ms > 0)
        {
            amcf->store.wait_replicas = replicas;
            amcf->store.wait_time = ms;

            return NGX_CONF_OK;
        }
    }

    return ngx_http_access_token_conf_bad(cf, arg,
                         "write it once, with a number of replicas (1 to 64) "
                         "and a time, such as \"wait=1:100ms\"");
}
