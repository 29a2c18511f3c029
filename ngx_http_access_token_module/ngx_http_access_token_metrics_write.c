
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * How metrics are written: a line of the text of Prometheus for each sample,
 *
 *     # HELP access_token_requests_total Requests …
 *     # TYPE access_token_requests_total counter
 *     access_token_requests_total{verdict="active"} 7
 *
 * or one object of JSON, in which a metric is a number, or an object of them:
 *
 *     {"access_token_requests_total":{"active":7, …}, …}
 *
 * What always holds: all goes through put(), which writes no more than was
 * measured.
 */


#include <ngx_http_access_token_metrics.h>


static void ngx_http_access_token_writer_begin_text(
    ngx_http_access_token_writer_t *w);
static void ngx_http_access_token_writer_sample_text(
    ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample);
static void ngx_http_access_token_writer_sample_json(
    ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample);
static void ngx_http_access_token_writer_key(
    ngx_http_access_token_writer_t *w, const ngx_str_t *key);
static void ngx_http_access_token_writer_put(
    ngx_http_access_token_writer_t *w, const ngx_str_t *text);
static void ngx_http_access_token_writer_puts(
    ngx_http_access_token_writer_t *w, const char *text);


void
ngx_http_access_token_writer_begin(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_metric_t *metric)
{
    w->metric = metric;

    if (!w->json) {
        ngx_http_access_token_writer_begin_text(w);
        return;
    }

    ngx_http_access_token_writer_puts(w, w->len ? ",\n" : "{\n");
    ngx_http_access_token_writer_key(w, &metric->name);
    ngx_http_access_token_writer_puts(w, metric->label ? "{" : "");

    w->more = 0;
    ngx_str_null(&w->group);
}


static void
ngx_http_access_token_writer_begin_text(ngx_http_access_token_writer_t *w)
{
    const ngx_http_access_token_metric_t  *m;

    m = w->metric;

    ngx_http_access_token_writer_puts(w, "# HELP ");
    ngx_http_access_token_writer_put(w, &m->name);
    ngx_http_access_token_writer_puts(w, " ");
    ngx_http_access_token_writer_puts(w, m->help);
    ngx_http_access_token_writer_puts(w, "\n# TYPE ");
    ngx_http_access_token_writer_put(w, &m->name);
    ngx_http_access_token_writer_puts(w, " ");
    ngx_http_access_token_writer_puts(w, m->type);
    ngx_http_access_token_writer_puts(w, "\n");
}


void
ngx_http_access_token_writer_end(ngx_http_access_token_writer_t *w)
{
    if (w->json) {
        ngx_http_access_token_writer_puts(w, w->group.len ? "}" : "");
        ngx_http_access_token_writer_puts(w, w->metric->label ? "}" : "");
    }
}


void
ngx_http_access_token_writer_finish(ngx_http_access_token_writer_t *w)
{
    ngx_http_access_token_writer_puts(w, w->json ? "\n}\n" : "");
}


void
ngx_http_access_token_writer_sample(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample)
{
    u_char     buf[NGX_HTTP_ACCESS_TOKEN_NUMBER_LEN];
    ngx_str_t  number;

    if (w->json) {
        ngx_http_access_token_writer_sample_json(w, sample);
    } else {
        ngx_http_access_token_writer_sample_text(w, sample);
    }

    number.data = buf;
    number.len = ngx_http_access_token_writer_print(buf, sample->n,
                                                    sample->unit)
                 - buf;

    ngx_http_access_token_writer_put(w, &number);
    ngx_http_access_token_writer_puts(w, w->json ? "" : "\n");
}


/* name_suffix{group="…",label="…"} */

static void
ngx_http_access_token_writer_sample_text(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample)
{
    ngx_http_access_token_writer_put(w, &w->metric->name);
    ngx_http_access_token_writer_puts(w, sample->suffix ? sample->suffix : "");

    if (sample->value.len) {
        ngx_http_access_token_writer_puts(w, "{");

        if (w->metric->group) {
            ngx_http_access_token_writer_puts(w, w->metric->group);
            ngx_http_access_token_writer_puts(w, "=\"");
            ngx_http_access_token_writer_put(w, &sample->group);
            ngx_http_access_token_writer_puts(w, "\",");
        }

        ngx_http_access_token_writer_puts(w, w->metric->label);
        ngx_http_access_token_writer_puts(w, "=\"");
        ngx_http_access_token_writer_put(w, &sample->value);
        ngx_http_access_token_writer_puts(w, "\"}");
    }

    ngx_http_access_token_writer_puts(w, " ");
}


/* "group":{"value":1,"value":2},"value":3 */

static void
ngx_http_access_token_writer_sample_json(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample)
{
    ngx_str_t  key;

    if (w->metric->label == NULL) {
        return;
    }

    if (w->group.len && !ngx_access_token_same(&w->group, &sample->group)) {
        ngx_http_access_token_writer_puts(w, "}");
        ngx_str_null(&w->group);
    }

    ngx_http_access_token_writer_puts(w, w->more ? "," : "");

    if (w->group.len == 0 && sample->group.len) {
        ngx_http_access_token_writer_key(w, &sample->group);
        ngx_http_access_token_writer_puts(w, "{");
        w->group = sample->group;
    }

    key = sample->value;

    if (key.len == 0) {
        /* "_sum", "_count" */
        key.data = (u_char *) sample->suffix + 1;
        key.len = ngx_strlen(key.data);
    }

    ngx_http_access_token_writer_key(w, &key);

    w->more = 1;
}


static void
ngx_http_access_token_writer_key(ngx_http_access_token_writer_t *w,
    const ngx_str_t *key)
{
    ngx_http_access_token_writer_puts(w, "\"");
    ngx_http_access_token_writer_put(w, key);
    ngx_http_access_token_writer_puts(w, "\":");
}


static void
ngx_http_access_token_writer_puts(ngx_http_access_token_writer_t *w,
    const char *text)
{
    ngx_str_t  str;

    str.data = (u_char *) text;
    str.len = ngx_strlen(text);

    ngx_http_access_token_writer_put(w, &str);
}


static void
ngx_http_access_token_writer_put(ngx_http_access_token_writer_t *w,
    const ngx_str_t *text)
{
    size_t  len;

    len = text->len;

    if (w->start) {
        len = ngx_min(len, w->size - w->len);
        ngx_memcpy(w->start + w->len, text->data, len);
    }

    w->len += len;
}


u_char *
ngx_http_access_token_writer_print(u_char *p, ngx_uint_t n, ngx_uint_t unit)
{
    ngx_uint_t  rest;

    p = ngx_sprintf(p, "%ui", n / unit);

    rest = n % unit * (NGX_HTTP_ACCESS_TOKEN_MICROSECONDS / unit);

    if (rest) {
        p = ngx_sprintf(p, ".%06ui", rest);

        while (p[-1] == '0') {
            p--;
        }
    }

    return p;
}
