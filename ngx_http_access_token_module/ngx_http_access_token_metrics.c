
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


#include <ngx_http_access_token_metrics.h>


struct ngx_http_access_token_snapshot_s {
    ngx_access_token_counters_t      counters;  /* summed over all workers */
    ngx_uint_t                       entries;
    ngx_uint_t                       used;
    ngx_uint_t                       size;
    ngx_uint_t                       leases[NGX_ACCESS_TOKEN_WORKERS];
    ngx_uint_t                       nleases;
    ngx_uint_t                       api[NGX_HTTP_ACCESS_TOKEN_COUNTERS];
};


/* A value of a label, and where in the snapshot its number is. */

struct ngx_http_access_token_series_s {
    ngx_str_t                        value;
    size_t                           offset;
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


static const ngx_http_access_token_series_t
    ngx_http_access_token_features[] =
{
    { ngx_string("tracking"), ngx_http_access_token_of_counters(
          redis.lacks[NGX_ACCESS_TOKEN_TRACKING]) },
    { ngx_string("run_id"), ngx_http_access_token_of_counters(
          redis.lacks[NGX_ACCESS_TOKEN_IDENTITY]) },
    { ngx_string("role"), ngx_http_access_token_of_counters(
          redis.lacks[NGX_ACCESS_TOKEN_ROLE]) },
    { ngx_string("evalsha"), ngx_http_access_token_of_counters(
          redis.lacks[NGX_ACCESS_TOKEN_EVALSHA]) },
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

    { ngx_string("access_token_changes_lost_total"), "counter",
      "Reads of Redis that lacked a change which was known.",
      NULL, NULL,
      ngx_http_access_token_write_number,
      ngx_http_access_token_of_counters(lost), NULL },

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

    { ngx_string("access_token_redis_lacks_total"), "counter",
      "Times that Redis was found to lack a feature, by feature.",
      NULL, "feature",
      ngx_http_access_token_write_series,
      0, ngx_http_access_token_features },

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
        ngx_http_access_token_writer_begin(w, m);
        m->write(w);
        ngx_http_access_token_writer_end(w);
    }

    ngx_http_access_token_writer_finish(w);
}


static void
ngx_http_access_token_write_number(ngx_http_access_token_writer_t *w)
{
    ngx_http_access_token_sample_t  sample;

    ngx_memzero(&sample, sizeof(ngx_http_access_token_sample_t));

    sample.n = *(ngx_uint_t *) ((u_char *) w->snapshot + w->metric->offset);
    sample.unit = 1;

    ngx_http_access_token_writer_sample(w, &sample);
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

        ngx_http_access_token_writer_sample(w, &sample);
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

        ngx_http_access_token_writer_sample(w, &sample);
    }
}


/* A bucket of Prometheus counts all that are below its bound. */

static void
ngx_http_access_token_write_latency(ngx_http_access_token_writer_t *w)
{
    u_char                              buf[NGX_HTTP_ACCESS_TOKEN_NUMBER_LEN];
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
            sample.value.len = ngx_http_access_token_writer_print(buf,
                                   ngx_access_token_latency_bounds[i],
                                   NGX_HTTP_ACCESS_TOKEN_MICROSECONDS)
                               - buf;
        } else {
            ngx_str_set(&sample.value, "+Inf");
        }

        ngx_http_access_token_writer_sample(w, &sample);
    }

    ngx_str_null(&sample.group);
    ngx_str_null(&sample.value);

    sample.suffix = "_count";

    ngx_http_access_token_writer_sample(w, &sample);

    sample.suffix = "_sum";
    sample.n = counters->redis.latency_sum;
    sample.unit = NGX_HTTP_ACCESS_TOKEN_MICROSECONDS;

    ngx_http_access_token_writer_sample(w, &sample);
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

        ngx_http_access_token_writer_sample(w, &sample);
    }
}
