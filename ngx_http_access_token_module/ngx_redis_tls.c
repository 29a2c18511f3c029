
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * TLS to a server, by nginx' own SSL layer, which puts itself between a
 * connection and its socket.
 *
 *     await_connect > handshake <-> await_handshake > handshaken > greet
 *                         |               |               |
 *                         +---------------+---------------+--> fail
 *
 * What always holds: unless tls_verify is off, nothing of ours is sent, and no
 * session is kept, before the certificate has been found to be signed by whom
 * we trust, and to be for the name or address that was asked for.
 *
 * nginx logs each failure by itself, at every attempt.  That is heard here
 * instead, see ngx_redis_tls_listen(), and becomes the reason in the one line
 * that the connection logs.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_redis_internal.h>


/* By either of them: a connection to Sentinels has the same files. */

#define ngx_redis_tls_is_wanted(conf)                                         \
    ((conf)->tls.on || (conf)->sentinel.tls == 1)


#if (NGX_SSL)


#define NGX_REDIS_TLS_DEPTH    9            /* CAs between root and server */
#define NGX_REDIS_TLS_REASON   512


typedef struct {
    long                       code;        /* 0: all others */
    const char                *mend;
} ngx_redis_tls_mend_t;


static ngx_int_t ngx_redis_tls_trust(ngx_conf_t *cf,
    ngx_redis_tls_conf_t *tls);
static ngx_int_t ngx_redis_tls_show(ngx_conf_t *cf, ngx_redis_tls_conf_t *tls);
static ngx_int_t ngx_redis_tls_prepare(ngx_redis_conn_t *conn);
static ngx_int_t ngx_redis_tls_set_name(ngx_redis_conn_t *conn);
static ngx_uint_t ngx_redis_tls_is_address(const ngx_str_t *name);
static void ngx_redis_tls_await_handshake(ngx_event_t *ev);
static void ngx_redis_tls_try(ngx_redis_conn_t *conn);
static void ngx_redis_tls_handshaken(ngx_redis_conn_t *conn);
static ngx_uint_t ngx_redis_tls_is_for(ngx_redis_conn_t *conn);
static void ngx_redis_tls_keep_session(ngx_connection_t *c);
static void ngx_redis_tls_listen(ngx_redis_conn_t *conn);
static void ngx_redis_tls_hear(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len);
static void ngx_redis_tls_failed(ngx_redis_conn_t *conn);
static const char *ngx_redis_tls_mend(const ngx_redis_tls_mend_t *mends,
    long code);


/* What is wrong with a certificate, by X509_V_ERR_… */

static const ngx_redis_tls_mend_t  ngx_redis_tls_unverified[] = {

    { X509_V_ERR_CERT_HAS_EXPIRED,
      "renew it there, or set the clock here" },
    { X509_V_ERR_CERT_NOT_YET_VALID,
      "set the clock here, or there and make it anew" },
    { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
      "unknown issuer; if it is the right one, give the certificate itself by "
      "tls_ca=" },
    { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
      "unknown issuer; if it is the right one, give its CA by tls_ca=" },
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
      "unknown issuer; if it is the right one, give its CA by tls_ca=" },
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
      "unknown issuer; if it is the right one, give its CA by tls_ca=" },
    { X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
      "unknown issuer; if it is the right one, give its CA by tls_ca=" },
    { X509_V_ERR_INVALID_PURPOSE,
      "it is not for a server" },

    { 0, "it must be made anew" }
};


/* What breaks TLS, by SSL_R_…; those of 1000 and more the server has said. */

static const ngx_redis_tls_mend_t  ngx_redis_tls_broken[] = {

    { SSL_R_WRONG_VERSION_NUMBER,
      "it does not speak TLS (is it the plain port?)" },
    { SSL_R_UNSUPPORTED_PROTOCOL,
      "it does not speak TLS 1.2 or later" },
    { SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
      "it does not speak TLS 1.2 or later" },
    { SSL_AD_REASON_OFFSET + 116,           /* RFC 8446 section 6.2 */
      "it wants a client certificate: give one by tls_cert= and tls_key=" },
    { SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
      "it wants a client certificate (tls_cert= and tls_key=), or other "
      "ciphers; see its log" },
    { SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
      "it does not accept the certificate of tls_cert=; see its log" },
    { SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
      "it does not accept the certificate of tls_cert=; see its log" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
      "it does not accept the certificate of tls_cert=; see its log" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
      "it does not accept the certificate of tls_cert=; see its log" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
      "it does not accept the certificate of tls_cert=; see its log" },
    { SSL_R_TLSV1_ALERT_UNKNOWN_CA,
      "it does not accept the certificate of tls_cert=; see its log" },

    { 0, "see its log" }
};


/* --- configuration ----------------------------------------------------- */

ngx_int_t
ngx_redis_tls_create(ngx_conf_t *cf, ngx_redis_conf_t *conf)
{
    ngx_ssl_t             *ssl;
    ngx_pool_cleanup_t    *cln;
    ngx_redis_tls_conf_t  *tls;

    tls = &conf->tls;

    if (!ngx_redis_tls_is_wanted(conf)) {
        return NGX_OK;
    }

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (ssl == NULL) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ssl->log = cf->log;

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    tls->ssl = ssl;

    if (ngx_redis_tls_trust(cf, tls) != NGX_OK
        || ngx_redis_tls_show(cf, tls) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the buffers of a connection that is always in use may stay with it */

    SSL_CTX_clear_mode(ssl->ctx, SSL_MODE_RELEASE_BUFFERS);

#ifdef SSL_OP_NO_RENEGOTIATION
    SSL_CTX_set_options(ssl->ctx, SSL_OP_NO_RENEGOTIATION);
#endif

    return ngx_ssl_client_session_cache(cf, ssl, 1);
}


/* OpenSSL's own callback: nginx' is for those who look at the result later. */

static ngx_int_t
ngx_redis_tls_trust(ngx_conf_t *cf, ngx_redis_tls_conf_t *tls)
{
    ngx_ssl_t  *ssl;

    ssl = tls->ssl;

    if (tls->ca.len) {

        if (ngx_ssl_trusted_certificate(cf, ssl, &tls->ca, NGX_REDIS_TLS_DEPTH)
            != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"tls_ca=\" must name a file with the "
                               "certificates of CAs (PEM), see the message "
                               "before");
            return NGX_ERROR;
        }

    } else if (SSL_CTX_set_default_verify_paths(ssl->ctx) == 0) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_default_verify_paths() failed");
        return NGX_ERROR;
    }

    SSL_CTX_set_verify(ssl->ctx,
                       tls->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);

    return NGX_OK;
}


/* A password is given, an empty one, or OpenSSL would ask the terminal. */

static ngx_int_t
ngx_redis_tls_show(ngx_conf_t *cf, ngx_redis_tls_conf_t *tls)
{
    ngx_str_t    *password;
    ngx_array_t  *passwords;

    if (tls->cert.len == 0) {
        return NGX_OK;
    }

    passwords = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    if (passwords == NULL) {
        return NGX_ERROR;
    }

    password = ngx_array_push(passwords);
    ngx_str_set(password, "");

    if (ngx_ssl_certificate(cf, tls->ssl, &tls->cert, &tls->key, passwords)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tls_cert=\" must name a file with our "
                           "certificate (PEM), \"tls_key=\" one with its key, "
                           "which is not encrypted, see the message before");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* --- handshake --------------------------------------------------------- */

void
ngx_redis_tls_handshake(ngx_redis_conn_t *conn)
{
    ngx_redis_conn_acts(conn, NGX_REDIS_SECURING);

    if (ngx_redis_tls_prepare(conn) != NGX_OK) {
        ngx_redis_conn_fail(conn, NGX_REDIS_INTERNAL, 0,
                            "no memory for a connection");
        return;
    }

    ngx_redis_tls_try(conn);
}


static ngx_int_t
ngx_redis_tls_prepare(ngx_redis_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->peer.connection;

    ngx_redis_tls_listen(conn);

    if (ngx_ssl_create_connection(conn->conf->tls.ssl, c, NGX_SSL_CLIENT)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    c->ssl->save_session = ngx_redis_tls_keep_session;

    if (ngx_redis_tls_set_name(conn) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_ssl_set_session(c, conn->tls.session);
}


/* An address is not told to the server: RFC 6066 section 3. */

static ngx_int_t
ngx_redis_tls_set_name(ngx_redis_conn_t *conn)
{
    u_char            *p, text[NGX_SOCKADDR_STRLEN];
    ngx_str_t          name;
    ngx_connection_t  *c;

    c = conn->peer.connection;
    name = conn->conf->tls.name.len ? conn->conf->tls.name : conn->host;

    if (name.len == 0) {
        name.data = text;
        name.len = ngx_sock_ntop(conn->peer.sockaddr, conn->peer.socklen, text,
                                 NGX_SOCKADDR_STRLEN, 0);
    }

    if (name.len > 2 && name.data[0] == '[') {
        name.data++;
        name.len -= 2;
    }

    p = ngx_pnalloc(conn->pool, name.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_cpystrn(p, name.data, name.len + 1);

    conn->tls.name.data = p;
    conn->tls.name.len = name.len;

    if (ngx_redis_tls_is_address(&conn->tls.name)) {
        return NGX_OK;
    }

    if (SSL_set_tlsext_host_name(c->ssl->connection, (char *) p) == 0) {
        ngx_ssl_error(NGX_LOG_ALERT, c->log, 0,
                      "SSL_set_tlsext_host_name(\"%s\") failed", p);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_redis_tls_is_address(const ngx_str_t *name)
{
#if (NGX_HAVE_INET6)
    u_char  in6[16];

    if (ngx_inet6_addr(name->data, name->len, in6) == NGX_OK) {
        return 1;
    }
#endif

    return ngx_inet_addr(name->data, name->len) != INADDR_NONE;
}


static void
ngx_redis_tls_await_handshake(ngx_event_t *ev)
{
    ngx_connection_t  *c;
    ngx_redis_conn_t  *conn;

    c = ev->data;
    conn = c->data;

    if (c->close) {
        ngx_redis_conn_end(conn, "worker is shutting down");
        return;
    }

    if (ev->timedout) {
        ngx_redis_conn_fail(conn, NGX_REDIS_TLS, NGX_ETIMEDOUT,
                            "TLS handshake timed out; is it a port for TLS?");
        return;
    }

    ngx_redis_tls_try(conn);
}


/* nginx' own handlers do not know of c->close: they are replaced. */

static void
ngx_redis_tls_try(ngx_redis_conn_t *conn)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = conn->peer.connection;

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        c->read->handler = ngx_redis_tls_await_handshake;
        c->write->handler = ngx_redis_tls_await_handshake;
        return;
    }

    if (rc == NGX_OK) {
        ngx_redis_tls_handshaken(conn);
        return;
    }

    if (ngx_redis_tls_fail(conn) == NGX_OK) {
        return;
    }

    ngx_redis_tls_forget(conn);
    ngx_redis_conn_fail(conn, NGX_REDIS_TLS, 0,
                        "connection was closed by redis in the TLS handshake; "
                        "is it a port for TLS? see its log");
}


/* A session that is used again shows the certificate that it began with. */

static void
ngx_redis_tls_handshaken(ngx_redis_conn_t *conn)
{
    u_char             text[NGX_REDIS_TLS_REASON];
    ngx_connection_t  *c;

    c = conn->peer.connection;

    if (!conn->conf->tls.verify) {
        ngx_redis_conn_greet(conn);
        return;
    }

    if (SSL_get_verify_result(c->ssl->connection) != X509_V_OK) {
        ngx_redis_tls_failed(conn);
        return;
    }

    if (ngx_redis_tls_is_for(conn)) {
        ngx_redis_conn_greet(conn);
        return;
    }

    ngx_redis_tls_forget(conn);

    ngx_snprintf(text, sizeof(text), "the certificate is not for \"%V\": if "
                 "it is the right server, give a name that is in its "
                 "certificate by tls_name=%Z", &conn->tls.name);

    text[NGX_REDIS_TLS_REASON - 1] = '\0';

    ngx_redis_conn_fail(conn, NGX_REDIS_TLS, 0, (char *) text);
}


static ngx_uint_t
ngx_redis_tls_is_for(ngx_redis_conn_t *conn)
{
    int                rc;
    X509              *cert;
    ngx_connection_t  *c;

    c = conn->peer.connection;

    if (!ngx_redis_tls_is_address(&conn->tls.name)) {
        return ngx_ssl_check_host(c, &conn->tls.name) == NGX_OK;
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return 0;
    }

    rc = X509_check_ip_asc(cert, (char *) conn->tls.name.data, 0);

    X509_free(cert);

    return rc == 1;
}


/* --- session ----------------------------------------------------------- */

/*
 * Before TLS 1.3 this is called before the name is checked: if that fails, the
 * session is forgotten.
 */

static void
ngx_redis_tls_keep_session(ngx_connection_t *c)
{
    ngx_redis_conn_t   *conn;
    ngx_ssl_session_t  *session;

    conn = c->data;

    session = ngx_ssl_get_session(c);

    if (session) {
        ngx_redis_tls_forget(conn);
        conn->tls.session = session;
    }
}


void
ngx_redis_tls_forget(ngx_redis_conn_t *conn)
{
    if (conn->tls.session) {
        ngx_ssl_free_session(conn->tls.session);
        conn->tls.session = NULL;
    }
}


/*
 * The server is told that this is the end, and not waited for.  What cannot be
 * written now is not.
 */

void
ngx_redis_tls_close(ngx_redis_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->peer.connection;

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->no_send_shutdown = 1;
            (void) ngx_ssl_shutdown(c);
        }
    }

    c->log = &conn->log;
    conn->tls.error = 0;
}


/* --- failure ----------------------------------------------------------- */

/*
 * From now on what nginx' SSL layer logs comes to ngx_redis_tls_hear().  Its
 * lines about us, and those for whoever looks for a fault in nginx, pass.
 */

static void
ngx_redis_tls_listen(ngx_redis_conn_t *conn)
{
    ngx_log_t  *log;

    log = &conn->tls.log;

    *log = conn->log;
    log->log_level = ngx_max(log->log_level, NGX_LOG_INFO);
    log->writer = ngx_redis_tls_hear;
    log->wdata = conn;
    log->next = NULL;

    conn->peer.connection->log = log;
}


/* "… (SSL: error:0A00010B:SSL routines::wrong version number …)" */

static void
ngx_redis_tls_hear(ngx_log_t *log, ngx_uint_t level, u_char *buf, size_t len)
{
    u_char            *p, *last;
    ngx_int_t          error;
    ngx_redis_conn_t  *conn;

    conn = log->wdata;

    log->next = (level == NGX_LOG_DEBUG || level <= NGX_LOG_ALERT)
                ? &conn->log : NULL;

    if (log->next || conn->tls.error) {
        return;
    }

    last = buf + len;

    p = ngx_strlcasestrn(buf, last, (u_char *) "(SSL: error:",
                         sizeof("(SSL: error:") - 2);
    if (p == NULL) {
        return;
    }

    buf = p + sizeof("(SSL: error:") - 1;
    p = ngx_strlchr(buf, last, ':');

    if (p) {
        error = ngx_hextoi(buf, p - buf);
        conn->tls.error = (error == NGX_ERROR) ? 0 : error;
    }
}


/* A write may fail before it was read why. */

ngx_int_t
ngx_redis_tls_fail(ngx_redis_conn_t *conn)
{
    u_char             byte;
    ngx_connection_t  *c;

    c = conn->peer.connection;

    if (conn->tls.error == 0 && c->ssl && c->ssl->handshaked && !conn->heard) {
        (void) c->recv(c, &byte, 1);
    }

    if (conn->tls.error == 0) {
        return NGX_DECLINED;
    }

    ngx_redis_tls_failed(conn);

    return NGX_OK;
}


/* A session that this began with is not tried again. */

static void
ngx_redis_tls_failed(ngx_redis_conn_t *conn)
{
    long               code;
    u_char             text[NGX_REDIS_TLS_REASON];
    const char        *reason;
    ngx_connection_t  *c;

    c = conn->peer.connection;

    ngx_redis_tls_forget(conn);

    code = conn->conf->tls.verify
           ? SSL_get_verify_result(c->ssl->connection) : X509_V_OK;

    if (code != X509_V_OK) {
        ngx_snprintf(text, sizeof(text),
                     "certificate verify error: (%l:%s): %s%Z", code,
                     X509_verify_cert_error_string(code),
                     ngx_redis_tls_mend(ngx_redis_tls_unverified, code));

    } else {
        code = ERR_GET_REASON(conn->tls.error);
        reason = ERR_reason_error_string(conn->tls.error);

        ngx_snprintf(text, sizeof(text), "TLS failed: %s: %s%Z",
                     reason ? reason : "unknown error",
                     ngx_redis_tls_mend(ngx_redis_tls_broken, code));
    }

    text[NGX_REDIS_TLS_REASON - 1] = '\0';

    ngx_redis_conn_fail(conn, NGX_REDIS_TLS, 0, (char *) text);
}


static const char *
ngx_redis_tls_mend(const ngx_redis_tls_mend_t *mends, long code)
{
    while (mends->code && mends->code != code) {
        mends++;
    }

    return mends->mend;
}


#else


ngx_int_t
ngx_redis_tls_create(ngx_conf_t *cf, ngx_redis_conf_t *conf)
{
    if (!ngx_redis_tls_is_wanted(conf)) {
        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"tls\" needs an nginx that was built with SSL "
                       "(--with-http_ssl_module): this one was not");

    return NGX_ERROR;
}


/* The others are never called. */

void
ngx_redis_tls_handshake(ngx_redis_conn_t *conn)
{
}


ngx_int_t
ngx_redis_tls_fail(ngx_redis_conn_t *conn)
{
    return NGX_DECLINED;
}


void
ngx_redis_tls_close(ngx_redis_conn_t *conn)
{
}


void
ngx_redis_tls_forget(ngx_redis_conn_t *conn)
{
}


#endif
