
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * Directives and the life of the module: what is configured where, how it is
 * inherited, and what must hold once everything is read.  The arguments of the
 * directives are read in ngx_http_access_token_conf.c.
 *
 * A location inherits what it does not say itself.  The API and the status are
 * not inherited, save by the nameless locations within ("if", "limit_except"),
 * which are the same place: the request must not fall through to files there.
 */


#include <ngx_http_access_token.h>


static void *ngx_http_access_token_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_access_token_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_access_token_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_access_token_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_access_token_merge_api(ngx_conf_t *cf,
    ngx_http_access_token_loc_conf_t *prev,
    ngx_http_access_token_loc_conf_t *conf);
static char *ngx_http_access_token_merge_status(ngx_conf_t *cf,
    ngx_http_access_token_loc_conf_t *prev,
    ngx_http_access_token_loc_conf_t *conf);
static ngx_http_complex_value_t *ngx_http_access_token_default_realm(
    ngx_conf_t *cf);
static ngx_array_t *ngx_http_access_token_default_sources(ngx_conf_t *cf);
static ngx_int_t ngx_http_access_token_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_access_token_init_store(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf);
static ngx_int_t ngx_http_access_token_init_changes(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf);
static ngx_int_t ngx_http_access_token_init_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_access_token_commands[] = {

    { ngx_string("access_token"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_access_token_conf_enforce,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_realm"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_access_token_conf_realm,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_source"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_access_token_conf_source,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_require"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_access_token_conf_require,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_access_token_conf_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_access_token_conf_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_access_token_conf_cache,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_last_use"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_access_token_conf_last_use,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_prefix"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_access_token_conf_prefix,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_max_lifetime"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_access_token_conf_max_lifetime,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_root_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_access_token_conf_root_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_access_token_conf_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_api_identity"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_access_token_conf_api_identity,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("access_token_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_access_token_conf_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_access_token_module_ctx = {
    ngx_http_access_token_add_variables,   /* preconfiguration */
    ngx_http_access_token_init,            /* postconfiguration */

    ngx_http_access_token_create_main_conf, /* create main configuration */
    ngx_http_access_token_init_main_conf,  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_access_token_create_loc_conf, /* create location configuration */
    ngx_http_access_token_merge_loc_conf   /* merge location configuration */
};


ngx_module_t  ngx_http_access_token_module = {
    NGX_MODULE_V1,
    &ngx_http_access_token_module_ctx,     /* module context */
    ngx_http_access_token_commands,        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_access_token_init_process,    /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_access_token_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_access_token_main_conf_t  *amcf;

    amcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_access_token_main_conf_t));
    if (amcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     amcf->redis.address = { 0, NULL };
     *     amcf->zone.name = { 0, NULL };
     *     amcf->store.redis = NULL;
     *     amcf->prefix = { 0, NULL };
     *     amcf->root = NULL;
     *     amcf->used = 0;
     */

    amcf->max_lifetime = NGX_CONF_UNSET;
    amcf->cache = NGX_CONF_UNSET;
    amcf->lease = NGX_CONF_UNSET_MSEC;
    amcf->zone.max_age = NGX_CONF_UNSET_MSEC;
    amcf->zone.negative = NGX_CONF_UNSET_MSEC;
    amcf->zone.usage = NGX_CONF_UNSET;

    return amcf;
}


static char *
ngx_http_access_token_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_access_token_main_conf_t *amcf = conf;

    if (amcf->prefix.data == NULL) {
        ngx_str_set(&amcf->prefix, "at");
    }

    ngx_conf_init_value(amcf->max_lifetime, 365 * 86400);

    if (amcf->zone.name.data == NULL) {
        ngx_str_set(&amcf->zone.name, "access_token");
        amcf->zone.size = 10 * 1024 * 1024;
    }

    ngx_conf_init_value(amcf->cache, 1);
    ngx_conf_init_msec_value(amcf->lease, 1000);
    ngx_conf_init_msec_value(amcf->zone.max_age, 60000);
    ngx_conf_init_msec_value(amcf->zone.negative, 2000);
    ngx_conf_init_value(amcf->zone.usage, 60);

    amcf->store.token_prefix = amcf->prefix;

    return NGX_CONF_OK;
}


static void *
ngx_http_access_token_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_access_token_loc_conf_t  *alcf;

    alcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_access_token_loc_conf_t));
    if (alcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     alcf->identity_user = NULL;
     *     alcf->identity_roles = NULL;
     */

    alcf->enforce = NGX_CONF_UNSET_UINT;
    alcf->realm = NGX_CONF_UNSET_PTR;
    alcf->sources = NGX_CONF_UNSET_PTR;
    alcf->require = NGX_CONF_UNSET_PTR;
    alcf->api = NGX_CONF_UNSET;
    alcf->status = NGX_CONF_UNSET;

    return alcf;
}


static char *
ngx_http_access_token_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_access_token_loc_conf_t *prev = parent;
    ngx_http_access_token_loc_conf_t *conf = child;

    /* the http level has the defaults, so that servers share them */

    if (prev->realm == NGX_CONF_UNSET_PTR) {
        prev->realm = ngx_http_access_token_default_realm(cf);
        if (prev->realm == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (prev->sources == NGX_CONF_UNSET_PTR) {
        prev->sources = ngx_http_access_token_default_sources(cf);
        if (prev->sources == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    ngx_conf_merge_uint_value(conf->enforce, prev->enforce,
                              NGX_HTTP_ACCESS_TOKEN_OFF);
    ngx_conf_merge_ptr_value(conf->realm, prev->realm, NULL);
    ngx_conf_merge_ptr_value(conf->sources, prev->sources, NULL);
    ngx_conf_merge_ptr_value(conf->require, prev->require, NULL);

    if (ngx_http_access_token_merge_api(cf, prev, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_access_token_merge_status(cf, prev, conf);
}


static char *
ngx_http_access_token_merge_api(ngx_conf_t *cf,
    ngx_http_access_token_loc_conf_t *prev,
    ngx_http_access_token_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->api == NGX_CONF_UNSET) {
        conf->api = 0;

        /* "limit_except" has no name either */

        if (clcf->noname && prev->api == 1 && clcf->handler == NULL) {
            clcf->handler = ngx_http_access_token_api_handler;

            conf->api = 1;
            conf->identity_user = prev->identity_user;
            conf->identity_roles = prev->identity_roles;
        }
    }

    if (conf->identity_user && !conf->api) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"access_token_api_identity\" in location \"%V\" "
                           "has no \"access_token_api\" beside it: it must "
                           "be in the location of the API itself",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (conf->api && clcf->handler != ngx_http_access_token_api_handler) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"access_token_api\" in location \"%V\" shares it "
                           "with another handler, such as \"proxy_pass\": "
                           "give the API a location of its own",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_access_token_merge_status(ngx_conf_t *cf,
    ngx_http_access_token_loc_conf_t *prev,
    ngx_http_access_token_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->status == NGX_CONF_UNSET) {
        conf->status = 0;

        if (clcf->noname && prev->status == 1 && clcf->handler == NULL) {
            clcf->handler = ngx_http_access_token_status_handler;
            conf->status = 1;
        }
    }

    if (conf->status && clcf->handler != ngx_http_access_token_status_handler)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"access_token_status\" in location \"%V\" "
                           "shares it with another handler, such as "
                           "\"proxy_pass\": give the status a location of "
                           "its own",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_http_complex_value_t *
ngx_http_access_token_default_realm(ngx_conf_t *cf)
{
    ngx_http_complex_value_t  *cv;

    cv = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (cv == NULL) {
        return NULL;
    }

    ngx_str_set(&cv->value, "gateway");

    return cv;
}


static ngx_array_t *
ngx_http_access_token_default_sources(ngx_conf_t *cf)
{
    ngx_array_t                     *sources;
    ngx_http_access_token_source_t  *source;

    sources = ngx_array_create(cf->pool, 1,
                               sizeof(ngx_http_access_token_source_t));
    if (sources == NULL) {
        return NULL;
    }

    source = ngx_array_push(sources);
    if (source == NULL) {
        return NULL;
    }

    source->type = NGX_HTTP_ACCESS_TOKEN_BEARER;
    ngx_str_null(&source->name);

    return sources;
}


static ngx_int_t
ngx_http_access_token_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt                *h;
    ngx_http_core_main_conf_t          *cmcf;
    ngx_http_access_token_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_access_token_module);

    if (amcf->store.redis == NULL) {

        if (amcf->used) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"access_token_redis\" is missing: "
                          "name the Redis server in the http block");
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (!amcf->used) {
        return NGX_OK;
    }

    if (ngx_http_access_token_init_store(cf, amcf) != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_access_token_access_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_init_store(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf)
{
    ngx_http_core_loc_conf_t  *clcf;

    /* that of the http level; without "resolver" there it is NULL or a dummy */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->resolver && clcf->resolver->connections.nelts) {
        amcf->redis.resolver = clcf->resolver;
    }

    amcf->redis.resolver_timeout = clcf->resolver_timeout;

    if (amcf->redis.resolver_timeout == NGX_CONF_UNSET_MSEC) {
        amcf->redis.resolver_timeout = 30000;
    }

    if (ngx_access_token_store_init(&amcf->store, cf->pool) != NGX_OK
        || ngx_http_access_token_init_changes(cf, amcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    amcf->zone.nextra = NGX_HTTP_ACCESS_TOKEN_COUNTERS;

    amcf->store.zone = ngx_access_token_zone_create(cf, &amcf->zone,
                                               &ngx_http_access_token_module);
    if (amcf->store.zone == NULL) {
        return NGX_ERROR;
    }

    if (!amcf->cache) {
        return NGX_OK;
    }

    amcf->redis.identify = 1;

    amcf->store.lease = ngx_access_token_lease_create(cf, &amcf->store,
                                                      &amcf->redis,
                                                      amcf->lease);

    return amcf->store.lease ? NGX_OK : NGX_ERROR;
}


/*
 * Where replicas are waited for, Redis answers nothing else meanwhile on that
 * connection: changes have their own, and more time.
 */

static ngx_int_t
ngx_http_access_token_init_changes(ngx_conf_t *cf,
    ngx_http_access_token_main_conf_t *amcf)
{
    ngx_redis_conf_t  *redis;

    if (amcf->store.wait_replicas == 0) {
        return NGX_OK;
    }

    redis = ngx_palloc(cf->pool, sizeof(ngx_redis_conf_t));
    if (redis == NULL) {
        return NGX_ERROR;
    }

    *redis = amcf->redis;

    redis->timeout += amcf->store.wait_time;
    redis->identify = 0;

    amcf->store.changes = ngx_redis_create(cf, redis);
    if (amcf->store.changes == NULL) {
        return NGX_ERROR;
    }

    ngx_redis_join(amcf->store.redis, amcf->store.changes);

    return NGX_OK;
}


static ngx_int_t
ngx_http_access_token_init_process(ngx_cycle_t *cycle)
{
    ngx_http_access_token_main_conf_t  *amcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    amcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_access_token_module);

    if (amcf == NULL || amcf->store.zone == NULL) {
        return NGX_OK;
    }

    ngx_access_token_zone_start(amcf->store.zone);

    ngx_redis_count(amcf->store.redis,
                    &ngx_access_token_zone_mine(amcf->store.zone)->redis);

    ngx_redis_count(amcf->store.changes,
                    &ngx_access_token_zone_mine(amcf->store.zone)->redis);

    if (amcf->store.lease
        && ngx_access_token_lease_start(amcf->store.lease) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return amcf->zone.usage ? ngx_access_token_usage_start(&amcf->store)
                            : NGX_OK;
}
