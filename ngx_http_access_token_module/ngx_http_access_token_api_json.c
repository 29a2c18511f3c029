
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * JSON in and out, and the only user of jansson.
 *
 * In: a body is checked for depth before jansson sees it, which goes down by
 * recursion; then each of its members is handed to api_members.c.  Out: tokens,
 * pages, the caller and problems become ctx->reply.
 *
 * What always holds: no json_t outlives the function that made it.  A token's
 * string is in jansson's memory only while it is written to the reply, and is
 * wiped there; the request's cleanup wipes the reply.
 */


#include <ngx_http_access_token_api.h>

#include <jansson.h>


static ngx_int_t ngx_http_access_token_api_json_parse(
    ngx_http_access_token_api_ctx_t *ctx, json_t **json);
static ngx_uint_t ngx_http_access_token_api_json_depth(const ngx_str_t *body);
static const char *ngx_http_access_token_api_json_reason(
    enum json_error_code code);
static void ngx_http_access_token_api_json_value(json_t *json,
    ngx_http_access_token_api_value_t *value);

static json_t *ngx_http_access_token_api_json_record(
    const ngx_access_token_t *t);
static json_t *ngx_http_access_token_api_json_user(
    const ngx_access_token_t *t);
static json_t *ngx_http_access_token_api_json_roles(
    const ngx_array_t *grants);
static json_t *ngx_http_access_token_api_json_role(
    const ngx_http_access_token_api_grant_t *grant);
static json_t *ngx_http_access_token_api_json_string(const ngx_str_t *text);
static json_t *ngx_http_access_token_api_json_nullable(const ngx_str_t *text);
static json_t *ngx_http_access_token_api_json_time(time_t t);
static void ngx_http_access_token_api_json_wipe(json_t *json);
static ngx_int_t ngx_http_access_token_api_json_page(
    ngx_http_access_token_api_ctx_t *ctx, const char *name, json_t *page);
static ngx_int_t ngx_http_access_token_api_json_write(
    ngx_http_access_token_api_ctx_t *ctx, json_t *json);


ngx_int_t
ngx_http_access_token_api_json_read(ngx_http_access_token_api_ctx_t *ctx,
    ngx_uint_t allowed, ngx_http_access_token_api_members_t *m)
{
    json_t                             *json, *member;
    ngx_int_t                           rc;
    ngx_str_t                           name;
    const char                         *key;
    ngx_http_access_token_api_value_t   value;

    json = NULL;

    rc = ngx_http_access_token_api_json_parse(ctx, &json);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!json_is_object(json)) {
        ngx_str_null(&name);
        rc = ngx_http_access_token_api_invalid(ctx, &name,
                                               "has to be an object");
    }

    /* of something else, there are no members */

    json_object_foreach(json, key, member) {
        name.data = (u_char *) key;
        name.len = ngx_strlen(key);

        ngx_http_access_token_api_json_value(member, &value);

        rc = ngx_http_access_token_api_member(ctx, &name, &value, allowed, m);

        if (rc == NGX_ERROR) {
            break;
        }
    }

    json_decref(json);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ctx->errors.nelts ? NGX_HTTP_ACCESS_TOKEN_API_INVALID : NGX_OK;
}


static ngx_int_t
ngx_http_access_token_api_json_parse(ngx_http_access_token_api_ctx_t *ctx,
    json_t **json)
{
    json_error_t  error;

    if (ngx_http_access_token_api_json_depth(&ctx->body)
        > NGX_HTTP_ACCESS_TOKEN_API_DEPTH_MAX)
    {
        return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "The body is nested deeper than %d",
                   NGX_HTTP_ACCESS_TOKEN_API_DEPTH_MAX);
    }

    *json = json_loadb((char *) ctx->body.data, ctx->body.len,
                       JSON_REJECT_DUPLICATES|JSON_DECODE_ANY, &error);
    if (*json) {
        return NGX_OK;
    }

    if (json_error_code(&error) == json_error_out_of_memory) {
        return NGX_ERROR;
    }

    return ngx_http_access_token_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
               "The body is not JSON: line %d, column %d: %s",
               error.line, error.column,
               ngx_http_access_token_api_json_reason(json_error_code(&error)));
}


/* How deep brackets and braces are nested, those in strings apart. */

static ngx_uint_t
ngx_http_access_token_api_json_depth(const ngx_str_t *body)
{
    u_char      *p, *last;
    ngx_uint_t   depth, max, quoted;

    depth = 0;
    max = 0;
    quoted = 0;
    last = body->data + body->len;

    for (p = body->data; p < last; p++) {

        switch (*p) {

        case '"':
            quoted = !quoted;
            break;

        case '\\':
            /* whatever is escaped does not end the string */
            p += quoted;
            break;

        case '[':
        case '{':
            depth += !quoted;
            max = ngx_max(max, depth);
            break;

        case ']':
        case '}':
            depth -= (!quoted && depth);
            break;

        default:
            break;
        }
    }

    return max;
}


/* jansson's own texts repeat what the client has sent. */

static const char *
ngx_http_access_token_api_json_reason(enum json_error_code code)
{
    switch (code) {

    case json_error_invalid_utf8:
        return "invalid UTF-8";

    case json_error_premature_end_of_input:
        return "it ends too early";

    case json_error_end_of_input_expected:
        return "something follows the value";

    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "U+0000 is not allowed";

    case json_error_duplicate_key:
        return "a member is given twice";

    case json_error_numeric_overflow:
        return "a number is too large";

    default:
        return "a syntax error";
    }
}


static void
ngx_http_access_token_api_json_value(json_t *json,
    ngx_http_access_token_api_value_t *value)
{
    ngx_memzero(value, sizeof(ngx_http_access_token_api_value_t));

    switch (json_typeof(json)) {

    case JSON_NULL:
        value->type = NGX_HTTP_ACCESS_TOKEN_API_NULL;
        break;

    case JSON_STRING:
        value->type = NGX_HTTP_ACCESS_TOKEN_API_STRING;
        value->string.data = (u_char *) json_string_value(json);
        value->string.len = json_string_length(json);
        break;

    case JSON_INTEGER:
        value->type = NGX_HTTP_ACCESS_TOKEN_API_INTEGER;
        value->integer = json_integer_value(json);
        break;

    case JSON_TRUE:
    case JSON_FALSE:
        value->type = NGX_HTTP_ACCESS_TOKEN_API_BOOLEAN;
        value->integer = json_is_true(json);
        break;

    default:
        value->type = NGX_HTTP_ACCESS_TOKEN_API_OTHER;
    }
}


ngx_int_t
ngx_http_access_token_api_json_token(ngx_http_access_token_api_ctx_t *ctx,
    const ngx_access_token_t *t)
{
    json_t     *json, *token;
    ngx_int_t   rc;

    json = ngx_http_access_token_api_json_record(t);
    if (json == NULL) {
        return NGX_ERROR;
    }

    if (ctx->op.unreplicated
        && json_object_set_new(json, "replicated", json_false()) != 0)
    {
        json_decref(json);
        return NGX_ERROR;
    }

    if (ctx->token.len == 0) {
        return ngx_http_access_token_api_json_write(ctx, json);
    }

    token = json_stringn((char *) ctx->token.data, ctx->token.len);
    if (token == NULL) {
        json_decref(json);
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (json_object_set(json, "token", token) == 0) {
        rc = ngx_http_access_token_api_json_write(ctx, json);

    } else {
        json_decref(json);
    }

    ngx_http_access_token_api_json_wipe(token);
    json_decref(token);

    return rc;
}


ngx_int_t
ngx_http_access_token_api_json_deleted(ngx_http_access_token_api_ctx_t *ctx)
{
    return ngx_http_access_token_api_json_write(ctx,
               json_pack("{s:o, s:b}",
                   "id", ngx_http_access_token_api_json_string(&ctx->id),
                   "replicated", 0));
}


ngx_int_t
ngx_http_access_token_api_json_tokens(ngx_http_access_token_api_ctx_t *ctx)
{
    json_t                 *page;
    ngx_uint_t              i;
    ngx_access_token_op_t  *op;

    op = &ctx->op;

    page = json_array();
    if (page == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < op->n; i++) {
        if (json_array_append_new(page,
                     ngx_http_access_token_api_json_record(&op->tokens[i]))
            != 0)
        {
            json_decref(page);
            return NGX_ERROR;
        }
    }

    return ngx_http_access_token_api_json_page(ctx, "access_tokens", page);
}


ngx_int_t
ngx_http_access_token_api_json_groups(ngx_http_access_token_api_ctx_t *ctx)
{
    json_t                 *page;
    ngx_uint_t              i;
    ngx_access_token_op_t  *op;

    op = &ctx->op;

    page = json_array();
    if (page == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < op->n; i++) {
        if (json_array_append_new(page,
                json_pack("{s:o, s:o}", "id",
                    ngx_http_access_token_api_json_string(&op->names[i]),
                    "organization",
                    ngx_http_access_token_api_json_string(
                                                   &ctx->owner.organization)))
            != 0)
        {
            json_decref(page);
            return NGX_ERROR;
        }
    }

    return ngx_http_access_token_api_json_page(ctx, "groups", page);
}


ngx_int_t
ngx_http_access_token_api_json_organizations(
    ngx_http_access_token_api_ctx_t *ctx)
{
    json_t                 *page;
    ngx_uint_t              i;
    ngx_access_token_op_t  *op;

    op = &ctx->op;

    page = json_array();
    if (page == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < op->n; i++) {
        if (json_array_append_new(page,
                json_pack("{s:o}", "id",
                    ngx_http_access_token_api_json_string(&op->names[i])))
            != 0)
        {
            json_decref(page);
            return NGX_ERROR;
        }
    }

    return ngx_http_access_token_api_json_page(ctx, "organizations", page);
}


ngx_int_t
ngx_http_access_token_api_json_caller(ngx_http_access_token_api_ctx_t *ctx)
{
    time_t                               max;
    const char                          *kind;
    ngx_http_access_token_api_caller_t  *caller;

    caller = &ctx->caller;
    max = ctx->main->max_lifetime;

    if (caller->root) {
        kind = "root";

    } else {
        kind = caller->token ? "access_token" : "identity";
    }

    return ngx_http_access_token_api_json_write(ctx,
               json_pack("{s:o, s:s, s:o, s:o}",
                   "name",
                   ngx_http_access_token_api_json_string(&caller->actor),
                   "kind", kind,
                   "roles",
                   ngx_http_access_token_api_json_roles(&caller->grants),
                   "max_lifetime_seconds",
                   max ? json_integer(max) : json_null()));
}


ngx_int_t
ngx_http_access_token_api_json_problem(ngx_http_access_token_api_ctx_t *ctx,
    ngx_uint_t status, const ngx_str_t *title)
{
    json_t                             *json, *errors;
    ngx_uint_t                          i;
    ngx_http_access_token_api_error_t  *error;

    json = json_pack("{s:s, s:o, s:i, s:o}", "type", "about:blank",
                     "title", ngx_http_access_token_api_json_string(title),
                     "status", (int) status,
                     "detail",
                     ngx_http_access_token_api_json_string(&ctx->detail));

    if (json == NULL || ctx->errors.nelts == 0) {
        return ngx_http_access_token_api_json_write(ctx, json);
    }

    errors = json_array();
    error = ctx->errors.elts;

    for (i = 0; i < ctx->errors.nelts; i++) {
        if (json_array_append_new(errors,
                json_pack("{s:o, s:o}",
                    error[i].parameter ? "parameter" : "pointer",
                    ngx_http_access_token_api_json_string(&error[i].where),
                    "detail",
                    ngx_http_access_token_api_json_string(&error[i].detail)))
            != 0)
        {
            json_decref(errors);
            json_decref(json);
            return NGX_ERROR;
        }
    }

    if (json_object_set_new(json, "errors", errors) != 0) {
        json_decref(json);
        return NGX_ERROR;
    }

    return ngx_http_access_token_api_json_write(ctx, json);
}


static json_t *
ngx_http_access_token_api_json_record(const ngx_access_token_t *t)
{
    ngx_str_t    id;
    const char  *level, *status;
    json_t      *revoked_at, *revoked_by;

    id.data = (u_char *) t->id;
    id.len = NGX_ACCESS_TOKEN_ID_LEN;

    level = t->owner.group.len ? "group" : "organization";

    switch (ngx_access_token_status(t, ngx_time())) {

    case NGX_ACCESS_TOKEN_ACTIVE:
        status = "active";
        break;

    case NGX_ACCESS_TOKEN_EXPIRED:
        status = "expired";
        break;

    default:
        status = "revoked";
        break;
    }

    revoked_at = ngx_http_access_token_api_json_time(t->revoked
                                                     ? t->revoked_at : 0);
    revoked_by = t->revoked
                 ? ngx_http_access_token_api_json_nullable(&t->revoked_by)
                 : json_null();

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:s, s:s+, s:b, s:s, s:o,"
                     " s:o, s:o, s:o, s:o, s:o, s:o}",
        "id", ngx_http_access_token_api_json_string(&id),
        "name", ngx_http_access_token_api_json_string(&t->name),
        "description",
            ngx_http_access_token_api_json_nullable(&t->description),
        "organization",
            ngx_http_access_token_api_json_string(&t->owner.organization),
        "group", ngx_http_access_token_api_json_nullable(&t->owner.group),
        "level", level,
        "role", level, t->admin ? "_admin" : "_user",
        "admin", (int) t->admin,
        "status", status,
        "technical_user", ngx_http_access_token_api_json_user(t),
        "created_at", ngx_http_access_token_api_json_time(t->created),
        "created_by", ngx_http_access_token_api_json_string(&t->created_by),
        "expires_at", ngx_http_access_token_api_json_time(t->expires),
        "revoked_at", revoked_at,
        "revoked_by", revoked_by,
        "last_used_at", ngx_http_access_token_api_json_time(t->last_used));
}


/* username: bot_organization_12345678 or bot_organization_group_12345678 */

static json_t *
ngx_http_access_token_api_json_user(const ngx_access_token_t *t)
{
    u_char     *p;
    u_char      buf[sizeof("bot___") + 2 * NGX_ACCESS_TOKEN_OWNER_MAX + 8];
    ngx_str_t   name, tail;

    tail = t->technical_user;

    if (tail.len > 8) {
        tail.data += tail.len - 8;
        tail.len = 8;
    }

    p = ngx_slprintf(buf, buf + sizeof(buf), "bot_%V_%V%s%V",
                     &t->owner.organization, &t->owner.group,
                     t->owner.group.len ? "_" : "", &tail);

    name.data = buf;
    name.len = p - buf;

    return json_pack("{s:o, s:o}",
        "id", ngx_http_access_token_api_json_string(&t->technical_user),
        "username", ngx_http_access_token_api_json_string(&name));
}


static json_t *
ngx_http_access_token_api_json_roles(const ngx_array_t *grants)
{
    json_t                                   *roles;
    ngx_uint_t                                i;
    const ngx_http_access_token_api_grant_t  *grant;

    roles = json_array();
    if (roles == NULL) {
        return NULL;
    }

    grant = grants->elts;

    for (i = 0; i < grants->nelts; i++) {
        if (json_array_append_new(roles,
                           ngx_http_access_token_api_json_role(&grant[i]))
            != 0)
        {
            json_decref(roles);
            return NULL;
        }
    }

    return roles;
}


static json_t *
ngx_http_access_token_api_json_role(
    const ngx_http_access_token_api_grant_t *grant)
{
    const ngx_access_token_owner_t  *owner;

    owner = &grant->owner;

    return json_pack("{s:s+, s:o, s:o}",
        "role", owner->group.len ? "group" : "organization",
                grant->admin ? "_admin" : "_user",
        "organization",
            ngx_http_access_token_api_json_string(&owner->organization),
        "group", ngx_http_access_token_api_json_nullable(&owner->group));
}


/*
 * What is no UTF-8, which only another hand can have put into Redis, is null:
 * one such record does not make a page unreadable.
 */

static json_t *
ngx_http_access_token_api_json_string(const ngx_str_t *text)
{
    json_t  *json;

    if (text->len == 0) {
        return json_string("");
    }

    json = json_stringn((char *) text->data, text->len);

    return json ? json : json_null();
}


/* null for an empty text. */

static json_t *
ngx_http_access_token_api_json_nullable(const ngx_str_t *text)
{
    return text->len ? ngx_http_access_token_api_json_string(text)
                     : json_null();
}


static json_t *
ngx_http_access_token_api_json_time(time_t t)
{
    u_char     *p, buf[NGX_HTTP_ACCESS_TOKEN_API_TIME_LEN];
    ngx_str_t   text;

    if (t == 0) {
        return json_null();
    }

    p = ngx_http_access_token_api_print_time(buf, t);

    text.data = buf;
    text.len = p - buf;

    return ngx_http_access_token_api_json_string(&text);
}


static void
ngx_http_access_token_api_json_wipe(json_t *json)
{
    /* jansson allocated the string for itself, and not as const */

    ngx_explicit_memzero((void *) json_string_value(json),
                         json_string_length(json));
}


/* Takes page over, as json_write() does. */

static ngx_int_t
ngx_http_access_token_api_json_page(ngx_http_access_token_api_ctx_t *ctx,
    const char *name, json_t *page)
{
    json_t     *cursor;
    ngx_str_t  *next;

    next = &ctx->op.next_cursor;

    cursor = next->len ? ngx_http_access_token_api_json_string(next)
                       : json_null();

    return ngx_http_access_token_api_json_write(ctx,
               json_pack("{s:o, s:o}", name, page, "next_cursor", cursor));
}


static ngx_int_t
ngx_http_access_token_api_json_write(ngx_http_access_token_api_ctx_t *ctx,
    json_t *json)
{
    size_t      size;
    ngx_int_t   rc;
    ngx_str_t  *reply;

    if (json == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;
    reply = &ctx->reply;

    size = json_dumpb(json, NULL, 0, JSON_COMPACT);

    if (size) {
        reply->data = ngx_pnalloc(ctx->request->pool, size + 1);

        if (reply->data
            && json_dumpb(json, (char *) reply->data, size, JSON_COMPACT)
               == size)
        {
            reply->data[size] = LF;
            reply->len = size + 1;
            rc = NGX_OK;
        }
    }

    json_decref(json);

    return rc;
}
