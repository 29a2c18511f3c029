
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What the files of the metrics share; nobody else includes it.
 *
 *     ngx_http_access_token_metrics.c         the table, and its numbers
 *     ngx_http_access_token_metrics_write.c   text and JSON
 *
 *     begin(metric) { sample … } end   begin(metric) { sample … } end   finish
 */


#ifndef _NGX_HTTP_ACCESS_TOKEN_METRICS_H_INCLUDED_
#define _NGX_HTTP_ACCESS_TOKEN_METRICS_H_INCLUDED_


#include <ngx_http_access_token.h>


#pragma GCC visibility push(hidden)


#define NGX_HTTP_ACCESS_TOKEN_MILLISECONDS  1000        /* in a second */
#define NGX_HTTP_ACCESS_TOKEN_MICROSECONDS  1000000


typedef struct ngx_http_access_token_metric_s
    ngx_http_access_token_metric_t;
typedef struct ngx_http_access_token_series_s
    ngx_http_access_token_series_t;
typedef struct ngx_http_access_token_snapshot_s
    ngx_http_access_token_snapshot_t;


/* start NULL: what is written is only measured */

typedef struct {
    u_char                          *start;
    size_t                           len;       /* written so far */
    size_t                           size;
    ngx_uint_t                       json;
    ngx_uint_t                       more;      /* JSON: a comma is due */
    ngx_str_t                        group;     /* JSON: the open object's */
    const ngx_http_access_token_metric_t    *metric;
    const ngx_http_access_token_snapshot_t  *snapshot;
} ngx_http_access_token_writer_t;


struct ngx_http_access_token_metric_s {
    ngx_str_t                        name;
    const char                      *type;
    const char                      *help;
    const char                      *group;     /* a label, or NULL */
    const char                      *label;     /* or NULL */

    void                           (*write)(ngx_http_access_token_writer_t *w);

    /* where the number is; or, if there is a label, one for each value */
    size_t                           offset;
    const ngx_http_access_token_series_t    *series;
};


/*
 * One line of the text, one member in JSON.  Samples of one group follow each
 * other.  Without a value the suffix tells them apart.
 */

typedef struct {
    const char                      *suffix;    /* of the name, or NULL */
    ngx_str_t                        group;     /* value of metric->group */
    ngx_str_t                        value;     /* of metric->label */
    ngx_uint_t                       n;
    ngx_uint_t                       unit;      /* n is in 1/unit */
} ngx_http_access_token_sample_t;


/* No name and no value of a label may have anything to be escaped. */

void ngx_http_access_token_writer_begin(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_metric_t *metric);
void ngx_http_access_token_writer_sample(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample);
void ngx_http_access_token_writer_end(ngx_http_access_token_writer_t *w);
void ngx_http_access_token_writer_finish(ngx_http_access_token_writer_t *w);

/*
 * n / unit, in no more digits than it takes; unit divides a million.  Returns
 * the end; NGX_HTTP_ACCESS_TOKEN_NUMBER_LEN bytes will do.
 */

#define NGX_HTTP_ACCESS_TOKEN_NUMBER_LEN  (NGX_INT_T_LEN + sizeof(".000000"))

u_char *ngx_http_access_token_writer_print(u_char *p, ngx_uint_t n,
    ngx_uint_t unit);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_ACCESS_TOKEN_METRICS_H_INCLUDED_ */
