
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The arguments of the directives of the http level: what tokens look like,
 * and who is root.  As in ngx_http_access_token_conf.c, whatever is wrong is
 * found when the configuration is read.  Files are read then too, by the
 * master, which may read what its workers may not.
 */


#include <ngx_http_access_token.h>


#define NGX_HTTP_ACCESS_TOKEN_FILE_MAX        65536
#define NGX_HTTP_ACCESS_TOKEN_LIFETIME_MIN    60


static char *ngx_http_access_token_conf_one_root(ngx_conf_t *cf,
    ngx_array_t *root, ngx_str_t *line);
static ngx_int_t ngx_http_access_token_conf_hex(u_char ch);
static ngx_uint_t ngx_http_access_token_conf_of_nothing(const u_char *digest);


/* access_token_prefix string */

char *
ngx_http_access_token_conf_prefix(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_main_conf_t *amcf = conf;

    u_char       ch;
    ngx_str_t   *value;
    ngx_uint_t   i, good;

    if (amcf->prefix.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    good = value[1].len > 0 && value[1].len <= NGX_ACCESS_TOKEN_PREFIX_MAX;

    for (i = 0; i < value[1].len; i++) {
        ch = value[1].data[i];

        if ((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z')) {
            continue;
        }

        if (i && ((ch >= '0' && ch <= '9')
                  || (ch == '_' && i < value[1].len - 1)))
        {
            continue;
        }

        good = 0;
    }

    if (!good) {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                         "it must be 1 to 16 letters, digits and \"_\", start "
                         "with a letter and not end with \"_\"");
    }

    amcf->prefix = value[1];

    return NGX_CONF_OK;
}


/* access_token_max_lifetime time | off */

char *
ngx_http_access_token_conf_max_lifetime(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_main_conf_t *amcf = conf;

    time_t      lifetime;
    ngx_str_t  *value;

    if (amcf->max_lifetime != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        amcf->max_lifetime = 0;
        return NGX_CONF_OK;
    }

    lifetime = ngx_parse_time(&value[1], 1);

    if (lifetime < NGX_HTTP_ACCESS_TOKEN_LIFETIME_MIN) {
        return ngx_http_access_token_conf_bad(cf, &value[1],
                         "it must be a time of at least \"60s\", or \"off\"");
    }

    amcf->max_lifetime = lifetime;

    return NGX_CONF_OK;
}


/* access_token_root_file path */

char *
ngx_http_access_token_conf_root_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_access_token_main_conf_t *amcf = conf;

    char        *rv;
    u_char      *p, *last;
    ngx_str_t   *value, text, line;
    ngx_uint_t   n;

    if (amcf->root) {
        return "is duplicate";
    }

    value = cf->args->elts;

    rv = ngx_http_access_token_conf_read_file(cf, &value[1], &text, 0);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    amcf->root = ngx_array_create(cf->pool, 2, NGX_ACCESS_TOKEN_DIGEST_LEN);
    if (amcf->root == NULL) {
        return NGX_CONF_ERROR;
    }

    last = text.data + text.len;

    for (p = text.data, n = 1; p < last; p = line.data + line.len + 1, n++) {

        line.data = p;
        p = ngx_strlchr(p, last, '\n');
        line.len = (p ? p : last) - line.data;

        rv = ngx_http_access_token_conf_one_root(cf, amcf->root, &line);

        if (rv == NGX_CONF_ERROR) {
            return rv;
        }

        if (rv != NGX_CONF_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid line in \"access_token_root_file\" "
                               "%V:%ui: %s", &value[1], n, rv);
            return NGX_CONF_ERROR;
        }
    }

    if (amcf->root->nelts == 0) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"access_token_root_file\" %V names no root "
                           "credential: add a line \"sha256:<hex>\"",
                           &value[1]);
    }

    return NGX_CONF_OK;
}


/*
 * "sha256:", 64 hexadecimal digits, and a comment after a space; "#" starts a
 * comment of its own.  Returns NGX_CONF_OK, NGX_CONF_ERROR (no memory), or
 * what is wrong.  The line itself is not shown: it may be the credential.
 */

static char *
ngx_http_access_token_conf_one_root(ngx_conf_t *cf, ngx_array_t *root,
    ngx_str_t *line)
{
    u_char     *p, *last, *digest;
    ngx_int_t   high, low;
    ngx_uint_t  i;

    p = line->data;
    last = p + line->len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < last && (last[-1] == '\r' || last[-1] == ' ')) {
        last--;
    }

    if (p == last || *p == '#') {
        return NGX_CONF_OK;
    }

    if (last - p < 7 + 64 || ngx_strncmp(p, "sha256:", 7) != 0) {
        return "it must be \"sha256:\" and 64 hexadecimal digits";
    }

    p += 7;

    digest = ngx_array_push(root);
    if (digest == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < NGX_ACCESS_TOKEN_DIGEST_LEN; i++, p += 2) {
        high = ngx_http_access_token_conf_hex(p[0]);
        low = ngx_http_access_token_conf_hex(p[1]);

        if (high == NGX_ERROR || low == NGX_ERROR) {
            return "64 hexadecimal digits must follow \"sha256:\"";
        }

        digest[i] = (u_char) (high << 4 | low);
    }

    if (p < last && *p != ' ' && *p != '\t') {
        return "a comment must be set off by a space";
    }

    if (ngx_http_access_token_conf_of_nothing(digest)) {
        return "it is the digest of nothing: the credential was empty, "
               "make one that is long and random";
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_access_token_conf_hex(u_char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch |= 0x20;

    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }

    return NGX_ERROR;
}


/* What a recipe writes whose variable is not set; no digest: it may be. */

static ngx_uint_t
ngx_http_access_token_conf_of_nothing(const u_char *digest)
{
    u_char     of_nothing[NGX_ACCESS_TOKEN_DIGEST_LEN];
    ngx_str_t  nothing;

    ngx_str_set(&nothing, "");

    return ngx_access_token_digest(&nothing, of_nothing) != NGX_OK
           || ngx_access_token_digest_equal(digest, of_nothing);
}


char *
ngx_http_access_token_conf_read_file(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *text, ngx_uint_t secret)
{
    char             *rv;
    ssize_t           n;
    ngx_str_t         name;
    ngx_file_t        file;
    ngx_file_info_t   fi;

    rv = "cannot be opened: name a file that nginx can read";
    name = *path;

    if (name.len == 0) {
        return ngx_http_access_token_conf_bad(cf, path,
                                              "it must name a file");
    }

    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&file, sizeof(ngx_file_t));
    file.name = name;
    file.log = cf->log;

    file.fd = ngx_open_file(name.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", &name);
        return rv;
    }

    if (ngx_fd_info(file.fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        goto done;
    }

    if (ngx_file_size(&fi) > NGX_HTTP_ACCESS_TOKEN_FILE_MAX) {
        rv = "names a file above 64 KiB: it must be a short list";
        goto done;
    }

    if (secret && (fi.st_mode & S_IROTH)) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "all users can read the password in \"%V\": "
                           "take that right away", &name);
    }

    text->len = (size_t) ngx_file_size(&fi);
    text->data = ngx_pnalloc(cf->pool, text->len + 1);
    if (text->data == NULL) {
        rv = NGX_CONF_ERROR;
        goto done;
    }

    n = ngx_read_file(&file, text->data, text->len, 0);

    if (n == (ssize_t) text->len) {
        rv = NGX_CONF_OK;
    }

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", &name);
    }

    return rv;
}
