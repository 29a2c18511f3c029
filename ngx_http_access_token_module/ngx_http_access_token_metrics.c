
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What there is to be seen of the module: one table of metrics, written out as
 * the text of Prometheus or as JSON.  A new one takes a row here and a section
 * in docs/metrics.md.
 *
 *     blocks of the workers --+
 *     the zone, the leases  --+--> snapshot --> table --> text or JSON
 *     counters of the API   --+
 *
 * The snapshot is written twice: at first only its length is found out, then
 * it is written into a buffer of that length.  What goes on being counted does
 * not change it meanwhile.
 *
 * What always holds: a label has values that are known at compile time, or are
 * as many as there are workers; nothing that a client sends gets into one.
 */


#include <ngx_http_access_token.h>


#define NGX_HTTP_ACCESS_TOKEN_MILLISECONDS  1000        /* in a second */
#define NGX_HTTP_ACCESS_TOKEN_MICROSECONDS  1000000


typedef struct ngx_http_access_token_metric_s  ngx_http_access_token_metric_t;

typedef struct {
    ngx_access_token_counters_t      counters;  /* summed over all workers */
    ngx_uint_t                       entries;
    ngx_uint_t                       used;
    ngx_uint_t                       size;
    ngx_uint_t                       leases[NGX_ACCESS_TOKEN_WORKERS];
    ngx_uint_t                       nleases;
    ngx_uint_t                       api[NGX_HTTP_ACCESS_TOKEN_COUNTERS];
} ngx_http_access_token_snapshot_t;


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


/* One line of the text, one member in JSON. */

typedef struct {
    const char                      *suffix;    /* of the name, or NULL */
    ngx_str_t                        group;     /* value of metric->group */
    ngx_str_t                        value;     /* of metric->label */
    ngx_uint_t                       n;
    ngx_uint_t                       unit;      /* n is in 1/unit */
} ngx_http_access_token_sample_t;


/* A value of a label, and where in the snapshot its number is. */

typedef struct {
    ngx_str_t                        value;
    size_t                           offset;
} ngx_http_access_token_series_t;


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


static void ngx_http_access_token_take_snapshot(
    ngx_http_access_token_snapshot_t *s, ngx_access_token_zone_t *zone);
static void ngx_http_access_token_write(ngx_http_access_token_writer_t *w);

static void ngx_http_access_token_write_number(
    ngx_http_access_token_writer_t *w);
static void ngx_http_access_token_write_series(
    ngx_http_access_token_writer_t *w);
static void ngx_http_access_token_write_leases(
    ngx_http_access_token_writer_t *w);
static void ngx_http_access_token_write_latency(
    ngx_http_access_token_writer_t *w);
static void ngx_http_access_token_write_api(
    ngx_http_access_token_writer_t *w);

static void ngx_http_access_token_sample(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample);
static void ngx_http_access_token_sample_text(
    ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample);
static void ngx_http_access_token_sample_json(
    ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample);
static void ngx_http_access_token_put_key(ngx_http_access_token_writer_t *w,
    const ngx_str_t *key);
static void ngx_http_access_token_put(ngx_http_access_token_writer_t *w,
    const ngx_str_t *text);
static void ngx_http_access_token_puts(ngx_http_access_token_writer_t *w,
    const char *text);
static u_char *ngx_http_access_token_print(u_char *p, ngx_uint_t n,
    ngx_uint_t unit);


#define ngx_http_access_token_of_counters(member)                             \
    (offsetof(ngx_http_access_token_snapshot_t, counters)                     \
     + offsetof(ngx_access_token_counters_t, member))


static const ngx_http_access_token_series_t
    ngx_http_access_token_verdicts[] =
{
    { ngx_string("active"), ngx_http_access_token_of_counters(
          requests[NGX_ACCESS_TOKEN_ACTIVE]) },
    { ngx_string("missing"), ngx_http_access_token_of_counters(
          requests[NGX_ACCESS_TOKEN_MISSING]) },
    { ngx_string("malformed"), ngx_http_access_token_of_counters(
          requests[NGX_ACCESS_TOKEN_MALFORMED]) },
    { ngx_string("unknown"), ngx_http_access_token_of_counters(
          requests[NGX_ACCESS_TOKEN_UNKNOWN]) },
    { ngx_string("revoked"), ngx_http_access_token_of_counters(
          requests[NGX_ACCESS_TOKEN_REVOKED]) },
    { ngx_string("expired"), ngx_http_access_token_of_counters(
          requests[NGX_ACCESS_TOKEN_EXPIRED]) },
    { ngx_string("forbidden"), ngx_http_access_token_of_counters(
          requests[NGX_ACCESS_TOKEN_FORBIDDEN]) },
    { ngx_string("unavailable"), ngx_http_access_token_of_counters(
          requests[NGX_ACCESS_TOKEN_UNAVAILABLE]) },
    { ngx_null_string, 0 }
};


static const ngx_http_access_token_series_t
    ngx_http_access_token_results[] =
{
    { ngx_string("hit"), ngx_http_access_token_of_counters(hits) },
    { ngx_string("absent"), ngx_http_access_token_of_counters(absent_hits) },
    { ngx_string("miss"), ngx_http_access_token_of_counters(misses) },
    { ngx_string("bypass"), ngx_http_access_token_of_counters(bypasses) },
    { ngx_null_string, 0 }
};


static const ngx_http_access_token_series_t
    ngx_http_access_token_causes[] =
{
    { ngx_string("start"), ngx_http_access_token_of_counters(
          flushes[NGX_ACCESS_TOKEN_START]) },
    { ngx_string("link"), ngx_http_access_token_of_counters(
          flushes[NGX_ACCESS_TOKEN_LINK]) },
    { ngx_string("flush"), ngx_http_access_token_of_counters(
          flushes[NGX_ACCESS_TOKEN_FLUSH]) },
    { ngx_string("source"), ngx_http_access_token_of_counters(
          flushes[NGX_ACCESS_TOKEN_SOURCE]) },
    { ngx_string("crash"), ngx_http_access_token_of_counters(
          flushes[NGX_ACCESS_TOKEN_CRASH]) },
    { ngx_null_string, 0 }
};


/* tools/check-docs reads the names, the types and the labels from here */

static const ngx_http_access_token_metric_t
    ngx_http_access_token_metrics_table[] =
{
    { ngx_string("access_token_requests_total"), "counter",
      "Requests whose access token was checked, by verdict.",
      NULL, "verdict",
      ngx_http_access_token_write_series,
      0, ngx_http_access_token_verdicts },

    { ngx_string("access_token_api_requests_total"), "counter",
      "Answers of the admin API, by route and status.",
      "route", "status",
      ngx_http_access_token_write_api,
      0, NULL },

    { ngx_string("access_token_cache_lookups_total"), "counter",
      "Look-ups of access tokens, by what the cache said.",
      NULL, "result",
      ngx_http_access_token_write_series,
      0, ngx_http_access_token_results },

    { ngx_string("access_token_cache_entries"), "gauge",
      "Access tokens in the cache.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      offsetof(ngx_http_access_token_snapshot_t, entries), NULL },

    { ngx_string("access_token_cache_used_bytes"), "gauge",
      "Memory that the access tokens in the cache take.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      offsetof(ngx_http_access_token_snapshot_t, used), NULL },

    { ngx_string("access_token_cache_size_bytes"), "gauge",
      "Memory that the cache has for access tokens.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      offsetof(ngx_http_access_token_snapshot_t, size), NULL },

    { ngx_string("access_token_cache_evictions_total"), "counter",
      "Access tokens that left the cache to make room for others.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(evictions), NULL },

    { ngx_string("access_token_cache_refusals_total"), "counter",
      "Replies that were not cached since the token changed meanwhile.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(refusals), NULL },

    { ngx_string("access_token_cache_flushes_total"), "counter",
      "Times that all of the cache became void, by cause.",
      NULL, "cause",
      ngx_http_access_token_write_series,
      0, ngx_http_access_token_causes },

    { ngx_string("access_token_lookups_joined_total"), "counter",
      "Look-ups that shared the Redis command of another one.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(joined), NULL },

    { ngx_string("access_token_reads_fenced_total"), "counter",
      "Reads without a lease, with a write beside them as a proof.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(fenced), NULL },

    { ngx_string("access_token_lease_seconds"), "gauge",
      "Time for which a worker may still use the cache; 0 without a lease.",
      NULL, "worker",
      ngx_http_access_token_write_leases,
      0, NULL },

    { ngx_string("access_token_lease_lapses_total"), "counter",
      "Leases that ended before they were renewed.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(lapses), NULL },

    { ngx_string("access_token_links_total"), "counter",
      "Connections for invalidations that came up.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(links), NULL },

    { ngx_string("access_token_changes_total"), "counter",
      "Changes of access tokens that Redis has told the workers of.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(changes), NULL },

    { ngx_string("access_token_uses_total"), "counter",
      "Last uses of access tokens that were written to Redis.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(uses), NULL },

    { ngx_string("access_token_uses_lost_total"), "counter",
      "Last uses of access tokens that were lost for want of room.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(uses_lost), NULL },

    { ngx_string("access_token_redis_commands_total"), "counter",
      "Redis commands that were answered or failed.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(redis.commands), NULL },

    { ngx_string("access_token_redis_errors_total"), "counter",
      "Redis commands that failed or were answered with an error.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(redis.errors), NULL },

    { ngx_string("access_token_redis_duration_seconds"), "histogram",
      "Time from the write of a Redis command to its reply.",
      NULL, "le",
      ngx_http_access_token_write_latency,
      0, NULL },

    { ngx_string("access_token_redis_connects_total"), "counter",
      "Connections to Redis that were made.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(redis.connects), NULL },

    { ngx_string("access_token_redis_connection_failures_total"), "counter",
      "Connections to Redis that broke or could not be made.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(redis.failures), NULL },

    { ngx_null_string, NULL, NULL, NULL, NULL, NULL, 0, NULL }
};


ngx_int_t
ngx_http_access_token_metrics(ngx_pool_t *pool, ngx_access_token_zone_t *zone,
    ngx_uint_t json, ngx_str_t *text)
{
    ngx_http_access_token_writer_t     w;
    ngx_http_access_token_snapshot_t  *s;

    s = ngx_pcalloc(pool, sizeof(ngx_http_access_token_snapshot_t));
    if (s == NULL) {
        return NGX_ERROR;
    }

    ngx_http_access_token_take_snapshot(s, zone);

    ngx_memzero(&w, sizeof(ngx_http_access_token_writer_t));

    w.snapshot = s;
    w.json = json;

    ngx_http_access_token_write(&w);

    w.start = ngx_pnalloc(pool, w.len);
    if (w.start == NULL) {
        return NGX_ERROR;
    }

    w.size = w.len;
    w.len = 0;

    ngx_http_access_token_write(&w);

    text->data = w.start;
    text->len = w.len;

    return NGX_OK;
}


/* A block is all counters, but for the lease, whose sum nobody asks for. */

static void
ngx_http_access_token_take_snapshot(ngx_http_access_token_snapshot_t *s,
    ngx_access_token_zone_t *zone)
{
    ngx_uint_t                      i, n, workers;
    ngx_atomic_t                   *from, *sum;
    ngx_core_conf_t                *ccf;
    ngx_access_token_counters_t    *counters;
    ngx_access_token_zone_usage_t   usage;

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    workers = (ngx_process == NGX_PROCESS_SINGLE) ? 1 : ccf->worker_processes;

    sum = (ngx_atomic_t *) &s->counters;

    for (n = 0; n < NGX_ACCESS_TOKEN_WORKERS; n++) {
        counters = ngx_access_token_zone_counters(zone, n);
        if (counters == NULL) {
            break;
        }

        from = (ngx_atomic_t *) counters;

        for (i = 0;
             i < sizeof(ngx_access_token_counters_t) / sizeof(ngx_atomic_t);
             i++)
        {
            sum[i] += from[i];
        }

        if (n < workers) {
            s->leases[n] = ngx_access_token_zone_lease(counters);
            s->nleases++;
        }
    }

    ngx_access_token_zone_usage(zone, &usage);

    s->entries = usage.entries;
    s->used = usage.used;
    s->size = usage.size;

    from = ngx_access_token_zone_extra(zone);

    for (i = 0; i < NGX_HTTP_ACCESS_TOKEN_COUNTERS; i++) {
        s->api[i] = from[i];
    }
}


static void
ngx_http_access_token_write(ngx_http_access_token_writer_t *w)
{
    const ngx_http_access_token_metric_t  *m;

    for (m = ngx_http_access_token_metrics_table; m->name.len; m++) {
        w->metric = m;

        if (!w->json) {
            ngx_http_access_token_puts(w, "# HELP ");
            ngx_http_access_token_put(w, &m->name);
            ngx_http_access_token_puts(w, " ");
            ngx_http_access_token_puts(w, m->help);
            ngx_http_access_token_puts(w, "\n# TYPE ");
            ngx_http_access_token_put(w, &m->name);
            ngx_http_access_token_puts(w, " ");
            ngx_http_access_token_puts(w, m->type);
            ngx_http_access_token_puts(w, "\n");

            m->write(w);
            continue;
        }

        ngx_http_access_token_puts(w,
                   m == ngx_http_access_token_metrics_table ? "{\n" : ",\n");
        ngx_http_access_token_put_key(w, &m->name);

        if (m->label) {
            ngx_http_access_token_puts(w, "{");
        }

        w->more = 0;
        ngx_str_null(&w->group);

        m->write(w);

        ngx_http_access_token_puts(w, w->group.len ? "}" : "");
        ngx_http_access_token_puts(w, m->label ? "}" : "");
    }

    ngx_http_access_token_puts(w, w->json ? "\n}\n" : "");
}


static void
ngx_http_access_token_write_number(ngx_http_access_token_writer_t *w)
{
    ngx_http_access_token_sample_t  sample;

    ngx_memzero(&sample, sizeof(ngx_http_access_token_sample_t));

    sample.n = *(ngx_uint_t *) ((u_char *) w->snapshot + w->metric->offset);
    sample.unit = 1;

    ngx_http_access_token_sample(w, &sample);
}


static void
ngx_http_access_token_write_series(ngx_http_access_token_writer_t *w)
{
    ngx_http_access_token_sample_t         sample;
    const ngx_http_access_token_series_t  *series;

    ngx_memzero(&sample, sizeof(ngx_http_access_token_sample_t));

    sample.unit = 1;

    for (series = w->metric->series; series->value.len; series++) {
        sample.value = series->value;
        sample.n = *(ngx_uint_t *) ((u_char *) w->snapshot + series->offset);

        ngx_http_access_token_sample(w, &sample);
    }
}


static void
ngx_http_access_token_write_leases(ngx_http_access_token_writer_t *w)
{
    u_char                          buf[NGX_INT_T_LEN];
    ngx_uint_t                      i;
    ngx_http_access_token_sample_t  sample;

    ngx_memzero(&sample, sizeof(ngx_http_access_token_sample_t));

    sample.value.data = buf;
    sample.unit = NGX_HTTP_ACCESS_TOKEN_MILLISECONDS;

    for (i = 0; i < w->snapshot->nleases; i++) {
        sample.value.len = ngx_sprintf(buf, "%ui", i) - buf;
        sample.n = w->snapshot->leases[i];

        ngx_http_access_token_sample(w, &sample);
    }
}


/* A bucket of Prometheus counts all that are below its bound. */

static void
ngx_http_access_token_write_latency(ngx_http_access_token_writer_t *w)
{
    u_char                              buf[NGX_INT_T_LEN + 8];
    ngx_uint_t                          i;
    ngx_http_access_token_sample_t      sample;
    const ngx_access_token_counters_t  *counters;

    counters = &w->snapshot->counters;

    ngx_memzero(&sample, sizeof(ngx_http_access_token_sample_t));

    sample.suffix = "_bucket";
    sample.unit = 1;
    ngx_str_set(&sample.group, "buckets");

    for (i = 0; i < NGX_ACCESS_TOKEN_LATENCIES; i++) {
        sample.n += counters->redis.latency[i];

        if (i < NGX_ACCESS_TOKEN_LATENCIES - 1) {
            sample.value.data = buf;
            sample.value.len = ngx_http_access_token_print(buf,
                                   ngx_access_token_latency_bounds[i],
                                   NGX_HTTP_ACCESS_TOKEN_MICROSECONDS)
                               - buf;
        } else {
            ngx_str_set(&sample.value, "+Inf");
        }

        ngx_http_access_token_sample(w, &sample);
    }

    ngx_str_null(&sample.group);
    ngx_str_null(&sample.value);

    sample.suffix = "_count";

    ngx_http_access_token_sample(w, &sample);

    sample.suffix = "_sum";
    sample.n = counters->redis.latency_sum;
    sample.unit = NGX_HTTP_ACCESS_TOKEN_MICROSECONDS;

    ngx_http_access_token_sample(w, &sample);
}


/* Most pairs of a route and a status never occur. */

static void
ngx_http_access_token_write_api(ngx_http_access_token_writer_t *w)
{
    u_char                          buf[NGX_INT_T_LEN];
    ngx_uint_t                      i, status;
    ngx_http_access_token_sample_t  sample;

    ngx_memzero(&sample, sizeof(ngx_http_access_token_sample_t));

    sample.unit = 1;

    for (i = 0; i < NGX_HTTP_ACCESS_TOKEN_COUNTERS; i++) {
        sample.n = w->snapshot->api[i];

        if (sample.n == 0) {
            continue;
        }

        ngx_http_access_token_api_counter(i, &sample.group, &status);

        if (status) {
            sample.value.data = buf;
            sample.value.len = ngx_sprintf(buf, "%ui", status) - buf;
        } else {
            ngx_str_set(&sample.value, "other");
        }

        ngx_http_access_token_sample(w, &sample);
    }
}


static void
ngx_http_access_token_sample(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample)
{
    u_char     buf[NGX_INT_T_LEN + 8];
    ngx_str_t  number;

    if (w->json) {
        ngx_http_access_token_sample_json(w, sample);
    } else {
        ngx_http_access_token_sample_text(w, sample);
    }

    number.data = buf;
    number.len = ngx_http_access_token_print(buf, sample->n, sample->unit)
                 - buf;

    ngx_http_access_token_put(w, &number);
    ngx_http_access_token_puts(w, w->json ? "" : "\n");
}


/* name_suffix{group="…",label="…"} */

static void
ngx_http_access_token_sample_text(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample)
{
    ngx_http_access_token_put(w, &w->metric->name);
    ngx_http_access_token_puts(w, sample->suffix ? sample->suffix : "");

    if (sample->value.len) {
        ngx_http_access_token_puts(w, "{");

        if (w->metric->group) {
            ngx_http_access_token_puts(w, w->metric->group);
            ngx_http_access_token_puts(w, "=\"");
            ngx_http_access_token_put(w, &sample->group);
            ngx_http_access_token_puts(w, "\",");
        }

        ngx_http_access_token_puts(w, w->metric->label);
        ngx_http_access_token_puts(w, "=\"");
        ngx_http_access_token_put(w, &sample->value);
        ngx_http_access_token_puts(w, "\"}");
    }

    ngx_http_access_token_puts(w, " ");
}


/* "group":{"value":1,"value":2},"value":3 */

static void
ngx_http_access_token_sample_json(ngx_http_access_token_writer_t *w,
    const ngx_http_access_token_sample_t *sample)
{
    ngx_str_t  key;

    if (w->metric->label == NULL) {
        return;
    }

    if (w->group.len && !ngx_access_token_same(&w->group, &sample->group)) {
        ngx_http_access_token_puts(w, "}");
        ngx_str_null(&w->group);
    }

    ngx_http_access_token_puts(w, w->more ? "," : "");

    if (w->group.len == 0 && sample->group.len) {
        ngx_http_access_token_put_key(w, &sample->group);
        ngx_http_access_token_puts(w, "{");
        w->group = sample->group;
    }

    key = sample->value;

    if (key.len == 0) {
        /* "_sum", "_count" */
        key.data = (u_char *) sample->suffix + 1;
        key.len = ngx_strlen(key.data);
    }

    ngx_http_access_token_put_key(w, &key);

    w->more = 1;
}


/* No name and no value of a label has anything to be escaped. */

static void
ngx_http_access_token_put_key(ngx_http_access_token_writer_t *w,
    const ngx_str_t *key)
{
    ngx_http_access_token_puts(w, "\"");
    ngx_http_access_token_put(w, key);
    ngx_http_access_token_puts(w, "\":");
}


static void
ngx_http_access_token_puts(ngx_http_access_token_writer_t *w,
    const char *text)
{
    ngx_str_t  str;

    str.data = (u_char *) text;
    str.len = ngx_strlen(text);

    ngx_http_access_token_put(w, &str);
}


static void
ngx_http_access_token_put(ngx_http_access_token_writer_t *w,
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


/* n in units, of which a second or whatever has so many; as few digits as do */

static u_char *
ngx_http_access_token_print(u_char *p, ngx_uint_t n, ngx_uint_t unit)
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
