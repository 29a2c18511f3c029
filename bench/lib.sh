# What the benchmarks share; sourced by bash, at its first line: a Redis and an
# nginx of their own, with a root credential, in a folder that goes at the end.

. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

dir=$(mktemp -d /tmp/access-token-bench.XXXXXX)
chmod 755 "$dir"
mkdir "$dir/ports" "$dir/html" "$dir/logs"

redis_pid=
nginx_pid=
redis=$dir/redis.sock
credential=root_$(openssl rand -hex 24)

finish() {
    stop_process "$nginx_pid"
    stop_process "$redis_pid"
    rm -rf "$dir"
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

need() {
    local command

    for command; do
        command -v "$command" >/dev/null \
            || die "$command is missing: apt-get install $command"
    done
    [ -f "$module_so" ] || die "build the module first: tools/build"
}

# start_redis [PORT ARGUMENTS...]: on a Unix socket, and on that port.

start_redis() {
    ${pin:-} redis-server --bind 127.0.0.1 --port "${1:-0}" \
        --unixsocket "$redis" --unixsocketperm 777 --save '' \
        --dir "$dir" --logfile "$dir/redis.log" "${@:2}" &
    redis_pid=$!
    wait_until 10 redis-cli -s "$redis" ping || die "no redis"
}

# start_nginx LOCATIONS: one worker; $url and $worker are set.

start_nginx() {
    local port

    port=$(free_port "$dir/ports")
    url=http://127.0.0.1:$port

    printf 'sha256:%s bench\n' \
        "$(printf %s "$credential" | sha256sum | cut -d' ' -f1)" > "$dir/roots"

    cat > "$dir/nginx.conf" << END
load_module $module_so;
daemon off;
worker_processes 1;
error_log $dir/logs/error.log info;
pid $dir/nginx.pid;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 100000000;
    access_token_redis unix:$redis;
    access_token_root_file $dir/roots;
    server {
        listen 127.0.0.1:$port;
        root $dir/html;
        location /api/ { access_token_api; }
        $1
    }
}
END

    "$nginx" -p "$dir" -c "$dir/nginx.conf" 2>"$dir/logs/start.log" &
    nginx_pid=$!
    wait_until 10 port_taken "$port" \
        || { cat "$dir/logs/start.log"; die "no nginx"; }
    worker=$(pgrep -P "$nginx_pid" | head -1)
}

quit_nginx() {
    kill -QUIT "$nginx_pid"
    wait "$nginx_pid" 2>/dev/null || true
    nginx_pid=
}

# create NAME: a token of the organization acme.

create() {
    curl -sS -H "Authorization: Bearer $credential" \
        -H 'Content-Type: application/json' \
        -d "{\"name\":\"$1\",\"expires_at\":\"$(date -u -d '+30 days' +%F)\"}" \
        "$url/api/organizations/acme/access-tokens"
}

# at PART: of the numbers on standard input, the one that PART of them are not
# above; 0.5 is the median.

at() {
    sort -n | awk -v part="$1" \
        '{ v[NR] = $1 } END { i = int(NR * part + 0.999999); print v[i ? i : 1] }'
}
