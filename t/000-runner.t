# The test runner itself, on an nginx without any module of ours: what the
# other files rely on, in the syntax they use.  The plan must hold under both
# Test::Nginx::Socket and our own runner in t/lib.

use Test::Nginx::Socket;

our $Port = server_port();
our $BodyChecks = 0;

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

our $HttpConfig = <<'_EOC_';
    map $arg_x $mapped { default none; a one; }
_EOC_

repeat_each(2);
worker_connections(128);
env_to_nginx('RUNNER_PLAIN', 'RUNNER_VALUE=a');
config_preamble('        location = /preamble { return 200 "preamble\n"; }');
no_long_string();

add_cleanup_handler(sub { $Port = undef });

# Preprocessors run in the reverse order: the second one here is the first.

add_block_preprocessor(sub {
    my $block = shift;

    if (!defined $block->request && defined $block->default_url) {
        $block->set_value('request', 'GET ' . $block->default_url);
    }
});

add_block_preprocessor(sub {
    my $block = shift;

    $block->set_value('default_url', '/t') if !defined $block->default_url;
    $block->set_value('no_error_log', "[alert]\n[crit]")
        if !defined $block->no_error_log && !defined $block->must_die;
});

add_response_body_check(sub {
    my ($block, $body, $req_idx, $repeated_req_idx, $dry_run) = @_;
    $BodyChecks++;
    is(length $body, $block->body_length, $block->name . ' - body length')
        if defined $block->body_length;
});

plan tests => repeat_each() * 283 + 3;

run_tests();

__DATA__

=== TEST 1: the root location serves the index file
A title may be followed by a description, which nobody checks.
--- config
--- request
GET /
--- response_body_like chomp
<title>It works!</title>
--- response_body_unlike: never looked at beside response_body_like



=== TEST 2: sections on a line, and a default request by a preprocessor
--- config
    location = /t { return 200 "one\n"; }
--- response_body_like: ^one$
--- error_code: 200
--- default_url: /t
--- body_length: 4



=== TEST 3: chomp takes the last newline
--- config
    location = /t { return 202 "no newline"; }
--- response_body chomp
no newline
--- error_code chomp
202



=== TEST 4: chop takes the last character
--- config
    location = /t { return 200 "no newline"; }
--- response_body chop
no newline
--- error_code: 200



=== TEST 5: eval, chained filters, leading blank lines
--- config eval
"location = /t { return 200 'a\tb'; }"
--- request eval
"GET /t"
--- response_body eval chomp

"a\tb\n"



=== TEST 6: an expression sees the file's variables, and a regex is matched
--- http_config eval: $::HttpConfig
--- config
    location = /t { return 200 "$mapped\n"; }
--- request
GET /t?x=a
--- response_body eval
qr/^o[n]e$/



=== TEST 7: http_config and a server of another name on the same port
--- http_config
    server {
        listen $TEST_NGINX_SERVER_PORT;
        server_name other;
        location = /t { return 200 "other\n"; }
    }
--- config
    location = /t { return 200 "first\n"; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Host: other", "Host: localhost"]
--- response_body eval
["other\n", "first\n"]



=== TEST 8: main_config goes to the top level
--- main_config
    error_log $TEST_NGINX_SERVER_ROOT/html/extra.log notice;
--- config
--- request
GET /extra.log
--- response_body_like
\[notice\] .*event method



=== TEST 9: user_files, one in a folder, one with a date
--- config
--- user_files
>>> a.txt
file a
>>> dir/b.txt 201101021503.04
file b on port $TEST_NGINX_SERVER_PORT
--- request eval
["GET /a.txt", "GET /dir/b.txt"]
--- response_headers eval
["Content-Length: 7", "Last-Modified: Sun, 02 Jan 2011 15:03:04 GMT"]
--- response_body eval
["file a\n", "file b on port $ENV{TEST_NGINX_SERVER_PORT}\n"]



=== TEST 10: user_files as an array
--- config
--- user_files eval
[["x.txt", "x\n"], ["y.txt", "y\n", "201101021503.04"]]
--- request eval
["GET /x.txt", "GET /y.txt"]
--- response_headers eval
["Content-Length: 2", "Last-Modified: Sun, 02 Jan 2011 15:03:04 GMT"]
--- response_body eval
["x\n", "y\n"]



=== TEST 11: a body is trimmed and gets a length
--- config
    location = /t { return 200 "$request_method $content_length\n"; }
--- request
POST /t

hello
world

--- response_body
POST 11



=== TEST 12: a body with a given length is sent as it is
--- config
    location = /t { return 200 "$content_length $http_x_a\n"; }
--- request
# comments before the request line are dropped
PUT /t HTTP/1.1
hello
--- more_headers
Content-Length: 6
# a comment
X-A: 1
--- response_body
6 1



=== TEST 13: a chunked body is sent as it is
--- config
    location = /t { return 200 "$http_transfer_encoding [$http_content_length]\n"; }
--- request eval
"POST /t HTTP/1.1\r\n5\r\nhello\r\n0\r\n\r\n"
--- more_headers
Transfer-Encoding: chunked
--- response_body
chunked []



=== TEST 14: default headers of a request, and how to replace them
--- config
    location = /t { return 200 "$http_host $http_connection $server_protocol\n"; }
--- request eval
["GET /t", "GET /t HTTP/1.0", "GET /t"]
--- more_headers eval
["", "Host: x", "Connection: Close"]
--- response_body eval
["localhost close HTTP/1.1\n", "x close HTTP/1.0\n", "localhost Close HTTP/1.1\n"]



=== TEST 15: several requests with several expectations
--- config
    location = /a { return 200 "a\n"; }
    location = /b { return 403 "b\n"; }
--- request eval
["GET /a", "GET /b", "GET /c"]
--- error_code eval
[200, 403, 404]
--- response_body_like eval
["a", "b", qr/404 Not Found/]
--- no_error_log
[warn]



=== TEST 16: packets with pauses
--- config
    location = /t { return 200 "$arg_a\n"; }
--- request eval
[[{ value => "GET /t?a=" }, { value => "12", delay_before => 0.02 }, "34 HTTP/1.1"],
 "GET /t?a=5"]
--- response_body eval
["1234\n", "5\n"]



=== TEST 17: pipelined requests
--- config
    location = /a { return 200 "a $arg_p\n"; }
    location = /b { return 200 "b $http_connection\n"; }
--- pipelined_requests eval
["GET /a?p=\$TEST_NGINX_SERVER_PORT", "GET /b"]
--- more_headers eval
["X-A: 1", "X-A: 2"]
--- response_headers eval
["Connection: keep-alive", "Connection: close"]
--- response_body eval
["a $::Port\n", "b close\n"]



=== TEST 18: a raw request
--- config
    location = /t { return 200 "[$http_x_a] [$http_host]\n"; }
--- raw_request eval
"GET /t HTTP/1.1\r\nHost: raw\r\nX-A:  v \r\nConnection: close\r\n\r\n"
--- response_body
[v] [raw]



=== TEST 19: a raw request in parts
--- config
    location = /t { return 200 "$http_host\n"; }
--- raw_request eval
["GET /t HTTP/1.1\r\nHost: r", "aw\r\nConnection: close\r\n\r\n"]
--- raw_request_middle_delay: 0.02
--- response_body
raw



=== TEST 20: a request that nginx refuses
--- config
--- raw_request eval
"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
--- error_code: 400
--- response_body_like: 400 Bad Request



=== TEST 21: headers present, absent, repeated, with the port
--- config
    location = /t {
        add_header X-One 1;
        add_header X-Two a;
        add_header X-Two b;
        add_header X-Port $server_port;
        return 200 "";
    }
--- response_headers
X-One: 1
x-two: a, b
X-Port: $ServerPort
!X-Three
! X-Four
X-Five:
--- response_body



=== TEST 22: response_headers_like and the raw headers
--- config
    location = /t {
        add_header X-One 123;
        return 200 "";
    }
--- response_headers_like
X-One: \d+
Content-Length: 0
--- raw_response_headers_like chomp
^HTTP/1\.1 200 OK\r\n.*X-One: 123\r\n
--- raw_response_headers_unlike: X-Two
--- error_code_like: ^20\d$



=== TEST 23: response_body_unlike
--- config
    location = /t { return 200 "abc"; }
--- response_body_unlike: xyz



=== TEST 24: a response without a length
--- config
    location = /t.html { ssi on; default_type text/html; root $TEST_NGINX_HTML_DIR; }
--- user_files
>>> t.html
a<!--# echo var="uri" -->b
--- request eval
["GET /t.html HTTP/1.1", "GET /t.html HTTP/1.0"]
--- raw_response_headers_like eval
["Transfer-Encoding: chunked", "HTTP/1.1 200 OK"]
--- response_body eval
["a/t.htmlb\n", "a/t.htmlb\n"]



=== TEST 25: answers without a body
--- config
    location = /t { return 204; }
--- user_files
>>> a.txt 201101021503.04
abc
--- request eval
["HEAD /a.txt", "GET /a.txt", "GET /t"]
--- more_headers eval
["", "If-Modified-Since: Sun, 02 Jan 2011 15:03:04 GMT", ""]
--- error_code eval
[200, 304, 204]
--- response_headers eval
["Content-Length: 4", "!Content-Length", "!Content-Length"]
--- response_body eval
["", "", ""]



=== TEST 26: error_log as lines
--- config
    rewrite_log on;
    location = /t { rewrite ^/(t)$ /u?$arg_id break; }
--- user_files
>>> u
ok
--- request
GET /t?id=7
--- response_body
ok
--- error_log
[notice]
rewritten data: "/u", args: "7&id=7"
--- no_error_log
[error]
never logged



=== TEST 27: error_log as regexes, and an error
--- config
--- request
GET /missing
--- error_code: 404
--- error_log eval
[qr/\[error\] .*missing" failed/, "No such file"]
--- no_error_log eval
qr/\[(?:alert|crit)\]/



=== TEST 28: error_log per request
--- config
--- request eval
["GET /missing1", "GET /missing2"]
--- error_code eval
[404, 404]
--- error_log eval
qr/missing\d" failed/



=== TEST 29: grep_error_log with a string
--- config
    rewrite_log on;
    location = /t { rewrite ^/x a; rewrite ^/t /u; }
    location = /u { rewrite ^/u /v break; }
--- user_files
>>> v
ok
--- grep_error_log: rewritten data
--- grep_error_log_out
rewritten data
rewritten data
--- response_body
ok



=== TEST 30: grep_error_log with a regex, output per repetition
--- config
    location = /t { return 200 "ok\n"; }
--- request
GET /missing
--- error_code: 404
--- grep_error_log eval: qr{html/\w+" failed}
--- grep_error_log_out eval
["html/missing\" failed\n", qr{^html/missing}]



=== TEST 31: a line awaited that comes after the response
--- config
    location = /t {
        post_action /late;
        return 200 "ok\n";
    }
    location = /late {
        internal;
        proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    }
--- wait: 0.05
--- error_log
while connecting to upstream
--- response_body
ok



=== TEST 32: a timeout is expected with abort
--- config
    location = /t { limit_rate 500; root $TEST_NGINX_HTML_DIR; }
--- user_files eval
">>> t\n" . ("0123456789" x 1000)
--- timeout: 500ms
--- abort
--- response_body_like: ^0



=== TEST 33: the response ignored
--- config
    location = /t { return 444; }
--- ignore_response
--- error_code: 599



=== TEST 34: an answer of HTTP/0.9
--- config
    location = /t { return 200 "ok\n"; }
--- raw_request eval
"GET /t\r\n"
--- http09
--- response_body
ok



=== TEST 35: a closed side of the connection
--- config
    location = /t { return 200 "ok\n"; }
--- shutdown: 1
--- response_body
ok



=== TEST 36: nginx refuses a configuration
--- config
    no_such_directive;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
unknown directive "no_such_directive"



=== TEST 37: nginx refuses a configuration with an exit code
--- config
    return 200 $no_such_variable;
--- must_die: 1
--- suppress_stderr
--- error_log eval
qr/\[emerg\] .* unknown "no_such_variable" variable/
--- no_error_log
[alert]



=== TEST 38: a TCP server with a string, the query checked
--- config
    location = /t {
        proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/up;
        proxy_http_version 1.0;
        proxy_set_header Host up;
        proxy_set_header Connection close;
    }
--- request
POST /t
body
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_query eval
"POST /up HTTP/1.0\r\nHost: up\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
--- tcp_query_len: 73
--- tcp_reply eval
"HTTP/1.0 200 OK\r\n\r\nfrom up"
--- response_body chomp
from up



=== TEST 39: a TCP server with an array, on a Unix socket, answering late
--- config
    location = /t { proxy_pass http://unix:$TEST_NGINX_HTML_DIR/up.sock:/; }
--- tcp_listen: $TEST_NGINX_HTML_DIR/up.sock
--- tcp_reply_delay: 20ms
--- tcp_reply eval
["HTTP/1.0 200 OK\r\n", "X-Up: 1\r\n\r\n", "part 1, ", "part 2"]
--- response_headers
X-Up: 1
--- response_body chomp
part 1, part 2



=== TEST 40: a TCP server with code
--- config
    location = /t {
        proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/up;
        proxy_http_version 1.0;
    }
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply eval
sub {
    my $query = shift;
    my ($line) = split /\r\n/, $query;
    return "HTTP/1.0 201 Created\r\n\r\n$line";
}
--- error_code: 201
--- response_body chomp
GET /up HTTP/1.0



=== TEST 41: a TCP server that does not close
--- config
    location = /t {
        proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        proxy_read_timeout 50ms;
    }
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_no_close
--- tcp_reply: HTTP/1.0 200 O
--- error_code: 504
--- error_log
upstream timed out



=== TEST 42: a TCP server that closes in mid-header
--- config
    location = /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply: HTTP/1.0 200 O
--- error_code: 502
--- error_log
upstream prematurely closed connection



=== TEST 43: skipped for the version of nginx
--- config
    no_such_directive;
--- skip_nginx: 3: >= 0.1.0: for every version
--- response_body



=== TEST 44: not skipped for the version of nginx
--- config
    location = /t { return 200 "ok\n"; }
--- skip_nginx: 4: < 0.1.0
--- response_body
ok



=== TEST 45: skipped by an expression
--- config
    no_such_directive;
--- skip_eval: 2: 1 + 1 == 2



=== TEST 46: not skipped by an expression
--- config
    location = /t { return 200 "ok\n"; }
--- skip_eval: 2: $Test::Nginx::Util::NginxVersion < 0.001
--- response_body
ok



=== TEST 47: init runs when nginx does
--- config
--- init
open my $out, '>', html_dir() . '/init.txt' or die $!;
print $out "init\n";
close $out;
--- request
GET /init.txt
--- response_body
init



=== TEST 48: the preamble, and what else reaches the configuration
--- log_level: info
--- post_main_config
    # post_main_config
--- config
    # on port $TEST_NGINX_SERVER_PORT
    location = /conf { alias $TEST_NGINX_SERVER_ROOT/conf/nginx.conf; }
--- request eval
["GET /preamble", "GET /conf"]
--- response_body_like eval
["^preamble\$", qr/
    ^error_log\ \S*logs.error\.log\ info;$ .*
    ^env\ RUNNER_PLAIN;$ .* ^env\ RUNNER_VALUE=a;$ .*
    on\ port\ $::Port$ .*
    post_main_config$ .*
    worker_connections\ +128;/msx]



=== TEST 49: what nginx logs when it stops
--- config
    location = /t { return 200 "ok\n"; }
--- response_body
ok
--- shutdown_error_log
exit
--- no_shutdown_error_log
[alert]
[emerg]



=== TEST 50: the access log
--- config
    location = /t { return 200 "ok\n"; }
--- request
GET /t?in-the-log
--- response_body
ok
--- access_log eval
["GET /t?in-the-log", qr/" 200 3 /]
--- no_access_log
not-in-the-log



=== TEST 51: checks that are yet to do
--- config
    no_such_directive;
--- todo: 2: not done
--- skip_eval: 2: 1



=== TEST 52: a block left out
--- config
    no_such_directive;
--- SKIP



=== TEST 53: the last block
--- config
    location = /t { return 200 "ok\n"; }
--- response_body
ok
--- LAST



=== TEST 54: beyond the last
--- config
    no_such_directive;
