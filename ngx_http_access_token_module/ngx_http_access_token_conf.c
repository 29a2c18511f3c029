
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The arguments of the directives of servers and locations.  Whatever is wrong
 * with them is found when the configuration is read, and the message names the
 * directive and what to write instead: a gateway that starts with half of what
 * was meant is open where it should be shut.
 */


#include <ngx_http_access_token.h>


static char *ngx_http_access_token_conf_one_source(ngx_conf_t *cf,
    ngx_array_t *sources, ngx_str_t *value);
static ngx_uint_t ngx_http_access_token_conf_same_source(
    ngx_http_access_token_source_t *a, ngx_http_access_token_source_t *b);
static ngx_uint_t ngx_http_access_token_conf_is_name(ngx_str_t *name);
static char *ngx_http_access_token_conf_one_require(ngx_conf_t *cf,
    ngx_http_access_token_require_t *require, ngx_str_t *value);
static ngx_uint_t ngx_http_access_token_conf_good_require(
    ngx_http_access_token_require_t *require, ngx_http_complex_value_t **cv);


/* access_token on | off | optional */

char *
ngx_http_access_token_conf_enforce(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_loc_conf_t *alcf = conf;

    ngx_str_t                          *value;
    ngx_http_access_token_main_conf_t  *amcf;

    if (alcf->enforce != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        alcf->enforce = NGX_HTTP_ACCESS_TOKEN_OFF;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "on") == 0) {
        alcf->enforce = NGX_HTTP_ACCESS_TOKEN_ON;

    } else if (ngx_strcmp(value[1].data, "optional") == 0) {
        alcf->enforce = NGX_HTTP_ACCESS_TOKEN_OPTIONAL;

    } else {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                               "it must be \"on\", \"off\" or \"optional\"");
    }

    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_access_token_module);
    amcf->used = 1;

    return NGX_CONF_OK;
}


/* access_token_realm string */

char *
ngx_http_access_token_conf_realm(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_loc_conf_t *alcf = conf;

    ngx_str_t  *value;

    if (alcf->realm != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                                              "it must not be empty");
    }

    alcf->realm = ngx_http_access_token_conf_value(cf, &value[1]);

    return alcf->realm ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* access_token_source bearer | header=Name | cookie=name | query=name ... */

char *
ngx_http_access_token_conf_source(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_loc_conf_t *alcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (alcf->sources != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    alcf->sources = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                     sizeof(ngx_http_access_token_source_t));
    if (alcf->sources == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_access_token_conf_one_source(cf, alcf->sources,
                                                   &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_access_token_conf_one_source(ngx_conf_t *cf, ngx_array_t *sources,
    ngx_str_t *value)
{
    ngx_uint_t                       i;
    ngx_http_access_token_source_t  *source, *other;

    source = ngx_array_push(sources);
    if (source == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(source, sizeof(ngx_http_access_token_source_t));

    if (ngx_strcmp(value->data, "bearer") == 0) {
        source->type = NGX_HTTP_ACCESS_TOKEN_BEARER;

    } else if (ngx_http_access_token_conf_param(value, "header",
                                                &source->name))
    {
        source->type = NGX_HTTP_ACCESS_TOKEN_HEADER;

    } else if (ngx_http_access_token_conf_param(value, "cookie",
                                                &source->name))
    {
        source->type = NGX_HTTP_ACCESS_TOKEN_COOKIE;

    } else if (ngx_http_access_token_conf_param(value, "query",
                                                &source->name))
    {
        source->type = NGX_HTTP_ACCESS_TOKEN_QUERY;

    } else {
        return ngx_http_access_token_conf_bad(cf, value,
                         "it must be \"bearer\", \"header=Name\", "
                         "\"cookie=name\" or \"query=name\"");
    }

    if (source->type != NGX_HTTP_ACCESS_TOKEN_BEARER
        && !ngx_http_access_token_conf_is_name(&source->name))
    {
        return ngx_http_access_token_conf_bad(cf, value,
                         "the name must be of letters, digits, \"-\", \"_\" "
                         "and \".\"");
    }

    if (source->type == NGX_HTTP_ACCESS_TOKEN_HEADER) {
        ngx_strlow(source->name.data, source->name.data, source->name.len);
    }

    other = sources->elts;

    for (i = 0; i < sources->nelts - 1; i++) {
        if (ngx_http_access_token_conf_same_source(&other[i], source)) {
            return ngx_http_access_token_conf_bad(cf, value,
                         "that place is named before: name it once");
        }
    }

    return NGX_CONF_OK;
}


/* looking twice at one place would find two tokens there */

static ngx_uint_t
ngx_http_access_token_conf_same_source(ngx_http_access_token_source_t *a,
    ngx_http_access_token_source_t *b)
{
    static ngx_str_t  authorization = ngx_string("authorization");

    ngx_str_t  *aname, *bname;

    aname = (a->type == NGX_HTTP_ACCESS_TOKEN_BEARER) ? &authorization
                                                      : &a->name;
    bname = (b->type == NGX_HTTP_ACCESS_TOKEN_BEARER) ? &authorization
                                                      : &b->name;

    if (aname->len != bname->len
        || ngx_memcmp(aname->data, bname->data, aname->len) != 0)
    {
        return 0;
    }

    return a->type == b->type
           || (a->type <= NGX_HTTP_ACCESS_TOKEN_HEADER
               && b->type <= NGX_HTTP_ACCESS_TOKEN_HEADER);
}


static ngx_uint_t
ngx_http_access_token_conf_is_name(ngx_str_t *name)
{
    u_char  ch;
    size_t  i;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (!(ch >= 'A' && ch <= 'Z') && !(ch >= 'a' && ch <= 'z')
            && !(ch >= '0' && ch <= '9')
            && ch != '-' && ch != '_' && ch != '.')
        {
            return 0;
        }
    }

    return name->len != 0;
}


/* access_token_require [organization=] [group=] [role=] [level=] */

char *
ngx_http_access_token_conf_require(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_loc_conf_t *alcf = conf;

    char                             *rv;
    ngx_str_t                        *value;
    ngx_uint_t                        i;
    ngx_http_access_token_require_t  *require;

    if (alcf->require == NGX_CONF_UNSET_PTR) {
        alcf->require = ngx_array_create(cf->pool, 1,
                                      sizeof(ngx_http_access_token_require_t));
        if (alcf->require == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    require = ngx_array_push(alcf->require);
    if (require == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(require, sizeof(ngx_http_access_token_require_t));

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_access_token_conf_one_require(cf, require, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (require->group && require->organization == NULL) {
        return "has \"group=\" without \"organization=\": "
               "name the organization of the group";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_access_token_conf_one_require(ngx_conf_t *cf,
    ngx_http_access_token_require_t *require, ngx_str_t *value)
{
    ngx_str_t                   text;
    ngx_http_complex_value_t  **cv;

    if (ngx_http_access_token_conf_param(value, "organization", &text)) {
        cv = &require->organization;

    } else if (ngx_http_access_token_conf_param(value, "group", &text)) {
        cv = &require->group;

    } else if (ngx_http_access_token_conf_param(value, "role", &text)) {
        cv = &require->role;

    } else if (ngx_http_access_token_conf_param(value, "level", &text)) {
        cv = &require->level;

    } else {
        return ngx_http_access_token_conf_bad(cf, value,
                         "it must be \"organization=\", \"group=\", "
                         "\"role=\" or \"level=\"");
    }

    if (*cv) {
        return ngx_http_access_token_conf_bad(cf, value,
                         "it is there twice: write another "
                         "\"access_token_require\" if both must hold");
    }

    *cv = ngx_http_access_token_conf_value(cf, &text);
    if (*cv == NULL) {
        return NGX_CONF_ERROR;
    }

    if (!ngx_http_access_token_conf_good_require(require, cv)) {
        return ngx_http_access_token_conf_bad(cf, value,
                         "no token can meet it: a role is \"admin\" or "
                         "\"user\", a level is \"organization\" or \"group\", "
                         "an id is 1 to 64 of A-Z a-z 0-9 . _ - and does not "
                         "start with a dot");
    }

    return NGX_CONF_OK;
}


/* what holds variables is seen when a request comes */

static ngx_uint_t
ngx_http_access_token_conf_good_require(
    ngx_http_access_token_require_t *require, ngx_http_complex_value_t **cv)
{
    const char  *text;

    if ((*cv)->lengths) {
        return 1;
    }

    if (cv == &require->organization || cv == &require->group) {
        return ngx_access_token_check_owner(&(*cv)->value) == NGX_OK;
    }

    text = (char *) (*cv)->value.data;

    if (cv == &require->role) {
        return ngx_strcmp(text, "admin") == 0 || ngx_strcmp(text, "user") == 0;
    }

    return ngx_strcmp(text, "organization") == 0
           || ngx_strcmp(text, "group") == 0;
}


/* access_token_api */

char *
ngx_http_access_token_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_access_token_loc_conf_t *alcf = conf;

    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_access_token_main_conf_t  *amcf;

    if (alcf->api != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->named || clcf->exact_match
#if (NGX_PCRE)
        || clcf->regex
#endif
       )
    {
        return "must be in a location given by a prefix, such as "
               "\"location /api/\": its routes lie below it";
    }

    clcf->handler = ngx_http_access_token_api_handler;

    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_access_token_module);
    amcf->used = 1;
    alcf->api = 1;

    return NGX_CONF_OK;
}


/* access_token_api_identity $user $roles */

char *
ngx_http_access_token_conf_api_identity(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_loc_conf_t *alcf = conf;

    ngx_str_t  *value;

    if (alcf->identity_user) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[2].len == 0) {
        return ngx_http_access_token_conf_bad(cf, &value[2],
                         "the roles must not be empty");
    }

    alcf->identity_user = ngx_http_access_token_conf_value(cf, &value[1]);
    if (alcf->identity_user == NULL) {
        return NGX_CONF_ERROR;
    }

    /* a fixed user would be trusted in every request that comes */

    if (alcf->identity_user->lengths == NULL) {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                         "the user must hold a variable that the "
                         "authentication in front sets, such as "
                         "\"$remote_user\"");
    }

    alcf->identity_roles = ngx_http_access_token_conf_value(cf, &value[2]);

    return alcf->identity_roles ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* access_token_status */

char *
ngx_http_access_token_conf_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_loc_conf_t *alcf = conf;

    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_access_token_main_conf_t  *amcf;

    if (alcf->status != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* a handler that comes after this one is found when it is merged */

    if (clcf->handler) {
        return "shares its location with another handler, such as "
               "\"proxy_pass\": give the status a location of its own";
    }

    clcf->handler = ngx_http_access_token_status_handler;

    amcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_access_token_module);
    amcf->used = 1;
    alcf->status = 1;

    return NGX_CONF_OK;
}


ngx_http_complex_value_t *
ngx_http_access_token_conf_value(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_http_complex_value_t          *cv;
    ngx_http_compile_complex_value_t   ccv;

    cv = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (cv == NULL) {
        return NULL;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = cv;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NULL;
    }

    return cv;
}


/* name=value: sets value, which ends with a zero as the argument does */

ngx_uint_t
ngx_http_access_token_conf_param(ngx_str_t *arg, const char *name,
    ngx_str_t *value)
{
    size_t  len;

    len = ngx_strlen(name);

    if (arg->len <= len || arg->data[len] != '='
        || ngx_strncmp(arg->data, name, len) != 0)
    {
        return 0;
    }

    value->data = arg->data + len + 1;
    value->len = arg->len - len - 1;

    return 1;
}


char *
ngx_http_access_token_conf_bad(ngx_conf_t *cf, ngx_str_t *value,
    const char *mend)
{
    ngx_str_t  *directive;

    directive = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\": %s",
                       value, &directive[0], mend);

    return NGX_CONF_ERROR;
}
