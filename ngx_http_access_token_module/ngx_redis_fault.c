
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * What went wrong, in words for the log: what an error reply means and what is
 * to be done about it, whether it was said just a moment ago, and the context
 * of each line.
 *
 * A fault is logged once, then every ten seconds as long as it lasts.  It
 * lasts until a command is answered well; one that no command can tell of, see
 * NGX_REDIS_LASTING, until what was refused is granted.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_redis_internal.h>


#define NGX_REDIS_LOG_AT_MOST   1000        /* ms; one that comes and goes */
#define NGX_REDIS_LOG_AGAIN     10000       /* ms; one that lasts */


static u_char *ngx_redis_conn_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


/*
 * Error replies by their first words.  The last entry takes all others.
 * Codes end in a space, so that BUSY is not BUSYKEY.
 */

static const ngx_redis_refusal_t  ngx_redis_refusals[] = {

    /* this server cannot be used for now: go away, come back */

    { ngx_string("LOADING "),
      "it is still loading its data and will serve when that is done", 1 },
    { ngx_string("READONLY "),
      "it is a read-only replica; the address must lead to the primary", 1 },
    { ngx_string("MASTERDOWN "),
      "it is a replica that has lost its primary", 1 },
    { ngx_string("NOAUTH "),
      "it wants a password: configure it", 1 },
    { ngx_string("WRONGPASS "),
      "the configured user or password is wrong, or the user is off", 1 },
    { ngx_string("ERR AUTH "),
      "a password is configured here but none is set there", 1 },
    { ngx_string("ERR Client sent AUTH"),
      "a password is configured here but none is set there", 1 },
    { ngx_string("ERR invalid password"),
      "the configured password is wrong", 1 },
    { ngx_string("ERR DB index "),
      "it has no database of the configured number", 1 },
    { ngx_string("DENIED "),
      "it is in protected mode; set a password there or bind it", 1 },
    { ngx_string("ERR max number of clients"),
      "raise its maxclients or find out who takes the connections", 1 },

    /* this command cannot be carried out */

    { ngx_string("NOPERM "),
      "its user lacks a permission; see ACL SETUSER", 0 },
    { ngx_string("The user executing the script "),         /* Redis 6.2 */
      "its user lacks a permission; see ACL SETUSER", 0 },
    { ngx_string("ERR The user executing the script "),     /* 7.0 */
      "its user lacks a permission; see ACL SETUSER", 0 },
    { ngx_string("ERR ACL failure in script"),
      "its user lacks a permission; see ACL SETUSER", 0 },
    { ngx_string("OOM "),
      "it has reached maxmemory and refuses writes", 0 },
    { ngx_string("MISCONF "),
      "it cannot save to its disk and refuses writes; see its log", 0 },
    { ngx_string("NOREPLICAS "),
      "it has too few replicas and refuses writes", 0 },
    { ngx_string("BUSY "),
      "a script blocks it; see SCRIPT KILL", 0 },
    { ngx_string("MOVED "),
      "another node of its cluster has the key, and still another one was "
      "asked: configure \"cluster\" and some of its nodes", 0 },
    { ngx_string("ASK "),
      "the key is on its way to another node of its cluster: "
      "configure \"cluster\" and some of its nodes", 0 },
    { ngx_string("CROSSSLOT "),
      "it is a node of a cluster: configure \"cluster\" and some of its "
      "nodes", 0 },
    { ngx_string("TRYAGAIN "),
      "the keys are on their way to another node, and it took too long", 0 },
    { ngx_string("CLUSTERDOWN "),
      "the cluster is down, or has no node for the key; see CLUSTER INFO", 0 },
    { ngx_string("ERR This instance has cluster support disabled"),
      "it is no node of a cluster: configure it without \"cluster\"", 0 },
    { ngx_string("WRONGTYPE "),
      "a key holds another type of value than expected", 0 },
    { ngx_string("ERR unknown command"),
      "it lacks a command that is needed; is it Redis 6.2 or later?", 0 },

    { ngx_string(""), "the command failed", 0 }
};


static char  *ngx_redis_acts[NGX_REDIS_ACTS] = {
    "connecting to", "starting TLS with", "greeting", "talking to"
};

static char  *ngx_redis_link_acts[NGX_REDIS_ACTS] = {
    "connecting the link to", "starting TLS of the link to",
    "opening the link to", "listening to"
};

static char  *ngx_redis_sentinel_acts[NGX_REDIS_ACTS] = {
    "connecting to", "starting TLS with", "asking", "listening to"
};


void
ngx_redis_conn_log(ngx_redis_conn_t *conn)
{
    conn->log = *ngx_cycle->log;
    conn->log.handler = ngx_redis_conn_log_error;
    conn->log.data = conn;

    ngx_redis_conn_acts(conn, NGX_REDIS_CONNECTING);

    conn->quiet = conn->log;
    conn->quiet.log_level = ngx_min(conn->log.log_level, NGX_LOG_ALERT);
}


void
ngx_redis_conn_acts(ngx_redis_conn_t *conn, ngx_redis_act_e act)
{
    conn->log.action = conn->asks ? ngx_redis_sentinel_acts[act]
                       : conn->listens ? ngx_redis_link_acts[act]
                       : ngx_redis_acts[act];
}


static u_char *
ngx_redis_conn_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char            *p;
    ngx_str_t         *name, *address;
    ngx_redis_conn_t  *conn;

    conn = log->data;
    name = conn->peer.name;
    address = &conn->conf->address;

    p = ngx_snprintf(buf, len, " while %s %s \"%V\"", log->action,
                     conn->asks ? "sentinel" : "redis", address);

    if (name && (name->len != address->len
                 || ngx_strncmp(name->data, address->data, name->len) != 0))
    {
        p = ngx_snprintf(p, buf + len - p, " at %V", name);
    }

    return p;
}


ngx_uint_t
ngx_redis_conn_tell(ngx_redis_conn_t *conn, ngx_uint_t fault)
{
    uint64_t    bit;
    ngx_msec_t  quiet, since;

    bit = (uint64_t) 1 << fault;
    quiet = (conn->told & bit) ? NGX_REDIS_LOG_AGAIN : NGX_REDIS_LOG_AT_MOST;
    since = ngx_current_msec - conn->logged[fault];

    conn->told |= bit;

    if (conn->logged[fault] && since < quiet) {
        return 0;
    }

    conn->logged[fault] = ngx_current_msec;

    return 1;
}


void
ngx_redis_conn_refused(ngx_redis_conn_t *conn, const ngx_str_t *error)
{
    u_char                     *p, text[NGX_REDIS_ERROR_LEN + 256];
    u_char                      safe[NGX_REDIS_ERROR_LEN];
    size_t                      len;
    ngx_uint_t                  fault;
    const ngx_redis_refusal_t  *refusal;

    refusal = ngx_redis_refusal(error, &fault);
    len = ngx_redis_error_text(error, safe);

    p = ngx_snprintf(text, sizeof(text) - 1, "redis answered \"%*s\": %s",
                     len, safe, refusal->mend);
    *p = '\0';

    ngx_redis_conn_fail(conn, fault, 0, (char *) text);
}


/*
 * Redis before 7.0 wraps what a command inside a script answered: "ERR Error
 * running script (call to f_…): @user_script:1: @user_script: 1: -READONLY …",
 * and without the dash what it says of rights.
 */

ngx_str_t
ngx_redis_cause(const ngx_str_t *error)
{
    u_char     *p, *last;
    ngx_str_t   cause;

    cause = *error;

    if (!ngx_redis_says(error, "ERR Error running script")) {
        return cause;
    }

    last = error->data + error->len;

    p = ngx_strlcasestrn(error->data, last, (u_char *) "@user_script: ",
                         sizeof("@user_script: ") - 2);
    if (p == NULL) {
        return cause;
    }

    p = ngx_strlcasestrn(p + sizeof("@user_script: ") - 1, last,
                         (u_char *) ": ", sizeof(": ") - 2);
    if (p == NULL) {
        return cause;
    }

    p += sizeof(": ") - 1;

    if (p < last && *p == '-') {
        p++;
    }

    cause.data = p;
    cause.len = last - p;

    return cause;
}


const ngx_redis_refusal_t *
ngx_redis_refusal(const ngx_str_t *error, ngx_uint_t *fault)
{
    ngx_str_t                   text;
    ngx_uint_t                  i;
    const ngx_redis_refusal_t  *refusal;

    text = ngx_redis_cause(error);

    for (i = 0; /* void */ ; i++) {
        refusal = &ngx_redis_refusals[i];

        if (text.len >= refusal->code.len
            && ngx_strncmp(text.data, refusal->code.data, refusal->code.len)
               == 0)
        {
            *fault = NGX_REDIS_LOADING + i;
            return refusal;
        }
    }
}


size_t
ngx_redis_error_text(const ngx_str_t *error,
    u_char text[NGX_REDIS_ERROR_LEN])
{
    u_char  ch;
    size_t  i, len;

    len = ngx_min(error->len, NGX_REDIS_ERROR_LEN);

    for (i = 0; i < len; i++) {
        ch = error->data[i];

        if (ch == ',' && error->len - i > sizeof(", with args") - 1
            && ngx_strncmp(&error->data[i], ", with args",
                           sizeof(", with args") - 1) == 0)
        {
            break;
        }

        text[i] = (ch < 0x20 || ch > 0x7e || ch == '"') ? '?' : ch;
    }

    return i;
}
