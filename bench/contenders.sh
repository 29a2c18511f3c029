# Who is measured; sourced by bash.  Each is an nginx of its own that serves the
# same empty_gif, behind one way of checking a token.

contenders="
    bare off hit revoked forged miss-unix miss-tcp miss-tls thrash
    lua-unix lua-tcp lua-shared-dict lua-lrucache
    auth-request auth-request-cache njs njs-cache
"

# What takes a cache of the module.

of_cache="hit thrash"


# contender NAME: sets name; title, what the tables call it; modules, http, server and
# location, its configuration; tokens, the file that its load takes, and status,
# the answer to them; warm, whether it should have seen them all before.

contender() {
    name=$1 title='' modules='' http='' server='' location='empty_gif;'
    tokens=good status=200 warm=''

    case $1 in
    bare)
        title="bare nginx"
        ;;
    off)
        title="access_token off"
        ours off "$redis"
        location="empty_gif; access_token off;"
        ;;
    hit)
        title="access_token, hit"
        ours on "$redis"
        warm=1
        ;;
    revoked)
        title="access_token, revoked tokens"
        ours on "$redis"
        tokens=revoked status=401 warm=1
        ;;
    forged)
        title="access_token, forged tokens"
        ours on "$redis"
        tokens=forged status=401
        ;;
    miss-unix)
        title="access_token, miss, Unix socket"
        ours off "$redis"
        ;;
    miss-tcp)
        title="access_token, miss, TCP"
        ours off tcp
        ;;
    miss-tls)
        title="access_token, miss, TLS"
        ours off tls
        ;;
    big)
        title="access_token, hit, large zone"
        ours on "$redis" 800m
        http=${http/max_age=60s/max_age=3600s}
        ;;
    thrash)
        title="access_token, miss, zone too small"
        ours on "$redis" 1m
        tokens=many
        ;;
    lua-unix)
        title="Lua, resty.redis, Unix socket"
        lua redis "$redis"
        ;;
    lua-tcp)
        title="Lua, resty.redis, TCP"
        lua redis tcp
        ;;
    lua-shared-dict)
        title="Lua, lua_shared_dict"
        lua shared_dict "$redis"
        warm=1
        ;;
    lua-lrucache)
        title="Lua, resty.lrucache"
        lua lrucache "$redis"
        warm=1
        ;;
    auth-request)
        title="auth_request, keepalive"
        auth_request
        ;;
    auth-request-cache)
        title="auth_request, proxy_cache"
        auth_request "\$http_authorization"
        warm=1
        ;;
    njs)
        title="njs, subrequest, keepalive"
        njs
        validate /digest
        location="js_content guard.guard;"
        server+="
        location = /content { internal; empty_gif; }"
        ;;
    njs-cache)
        title="njs, auth_request, proxy_cache"
        njs
        location+=" auth_request /validate;"
        validate /digest "\$token"
        warm=1
        ;;
    *)
        die "no contender: $1"
        ;;
    esac
}


# ours on|off REDIS [SIZE]: the module; on, off: its cache.

ours() {
    local address=unix:$2

    case $2 in
        tcp) address=127.0.0.1:$redis_port ;;
        tls) address="127.0.0.1:$tls_port tls tls_ca=$dir/tls/ca.crt" ;;
    esac

    modules="load_module $module_so;"
    http="access_token_redis $address;"

    if [ -n "$have_cache" ]; then
        http+=" access_token_zone access_token:${3:-10m};"
        case $1 in
            on)  http+=" access_token_cache max_age=60s;" ;;
            off) http+=" access_token_cache off;" ;;
        esac
    fi

    location+=" access_token on;"
}


# lua redis|shared_dict|lrucache REDIS

lua() {
    local address="\"unix:$2\""

    [ "$2" != tcp ] || address="\"127.0.0.1\", $redis_port"

    modules="load_module $modules_dir/ndk_http_module.so;
        load_module $modules_dir/ngx_http_lua_module.so;"

    http="lua_package_path '$peers/?.lua;/usr/share/lua/5.1/?.lua;;';
        lua_shared_dict tokens 64m;
        init_by_lua_block { require('access').init($address) }"

    location+=" access_by_lua_block { require('access').$1() }"
}


# auth_request [KEY]: a subrequest to the validator; with KEY, a proxy_cache.

auth_request() {
    location+=" auth_request /validate;"
    validate / "$@"
}


# njs: takes the token apart and leaves Redis to the validator.

njs() {
    modules="load_module $modules_dir/ngx_http_js_module.so;"
    http="js_path $peers/;
        js_import guard from guard.js;
        js_set \$token guard.token;"
}


# validate URI [KEY]: the location that asks the validator.

validate() {
    http+="
        upstream validator { server unix:$validator; keepalive 128; }"
    server="location = /validate {
            internal;
            proxy_pass               http://validator$1;
            proxy_http_version       1.1;
            proxy_set_header         Connection \"\";
            proxy_set_header         Content-Length \"\";
            proxy_pass_request_body  off;"

    if [ "$1" = /digest ]; then
        server+="
            proxy_set_header         Authorization \"\";
            proxy_set_header         X-Token \$token;"
    fi

    if [ -n "${2:-}" ]; then
        http+="
        proxy_cache_path $dir/cache.$name keys_zone=tokens:16m;"
        server+="
            proxy_cache              tokens;
            proxy_cache_key          $2;
            proxy_cache_lock         on;"
    fi

    server+="
        }"
}
