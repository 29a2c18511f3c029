# What the tools share; sourced by bash, at its first line.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# nginx lies in /usr/sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

module=ngx_http_access_token_module

# SANITIZE=1 builds with AddressSanitizer and UndefinedBehaviorSanitizer;
# NGINX_SOURCE=DIR builds against an upstream source tree, and nginx with it;
# MUTATION=N builds one of the faults that bench/consistency has to find.

out=$root/build
if [ -n "${NGINX_SOURCE:-}" ]; then
    NGINX_SOURCE=$(cd "$NGINX_SOURCE" && pwd -P)
    out+=/$(sed -n 's/^#define NGINX_VERSION *"\(.*\)"/nginx-\1/p' \
            "$NGINX_SOURCE/src/core/nginx.h")
fi
if [ -n "${SANITIZE:-}" ]; then
    out+=/sanitized
fi
if [ -n "${MUTATION:-}" ]; then
    out+=/mutation-$MUTATION
fi

module_so=$out/$module.so

nginx=nginx
if [ -n "${NGINX_SOURCE:-}" ]; then
    nginx=$out/objs/nginx
fi

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# port_taken PORT: does anything listen on it?
port_taken() {
    (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_port DIR: a port that nobody listens on and that no other caller with
# the same DIR was given.
free_port() {
    local port

    while true; do
        port=$((20000 + RANDOM % 12000))
        if mkdir "$1/$port" 2>/dev/null && ! port_taken "$port"; then
            say "$port"
            return
        fi
    done
}

# wait_until SECONDS COMMAND...: 0 as soon as the command succeeds.
wait_until() {
    local end=$((SECONDS + $1))
    shift

    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# stop_process PID: ends a child of this shell, and waits for its end.
stop_process() {
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null || true
    wait_until 10 eval "! kill -0 $1" || kill -9 "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
