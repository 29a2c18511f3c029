# access_token_status: what nginx refuses to start with, and where the directive
# may stand.

use Test::Nginx::Socket 'no_plan';

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my $block = shift;

    if (!defined $block->http_config) {
        $block->set_value('http_config',
            '    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET;');
    }

    if (!defined $block->error_log && !defined $block->no_error_log) {
        $block->set_value('no_error_log',
                          "[error]\n[alert]\n[crit]\n[emerg]");
    }
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: access_token_status with an argument
--- config
    location = /status {
        access_token_status on;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_status" directive



=== TEST 2: access_token_status twice
--- config
    location = /status {
        access_token_status;
        access_token_status;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_status" directive is duplicate



=== TEST 3: access_token_status in a server
--- config
    access_token_status;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_status" directive is not allowed here



=== TEST 4: access_token_status in the http block
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_status;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_status" directive is not allowed here



=== TEST 5: access_token_status in an if
--- config
    location = /status {
        if ($arg_a) {
            access_token_status;
        }
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_status" directive is not allowed here



=== TEST 6: access_token_status in a limit_except
--- config
    location = /status {
        limit_except GET {
            access_token_status;
        }
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_status" directive is not allowed here



=== TEST 7: access_token_status before another handler
--- config
    location = /status {
        access_token_status;
        proxy_pass http://127.0.0.1:1;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_status" in location "/status" shares it with another handler, such as "proxy_pass": give the status a location of its own



=== TEST 8: access_token_status after another handler
--- config
    location = /status {
        proxy_pass http://127.0.0.1:1;
        access_token_status;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_status" directive shares its location with another handler, such as "proxy_pass": give the status a location of its own



=== TEST 9: access_token_status before access_token_api
--- config
    location /status {
        access_token_status;
        access_token_api;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_status" in location "/status" shares it with another handler



=== TEST 10: access_token_status after access_token_api
--- config
    location /status {
        access_token_api;
        access_token_status;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_status" directive shares its location with another handler



=== TEST 11: access_token_status without access_token_redis
--- http_config
--- config
    location = /status {
        access_token_status;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" is missing: name the Redis server in the http block



=== TEST 12: it is there without access_token, in a location of any kind
--- config
    location = /exact { access_token_status; }
    location /prefix/ { access_token_status; }
    location ~ ^/regex { access_token_status; }
    location @named { access_token_status; }
    location /named { error_page 418 = @named; return 418; }
--- request eval
['GET /exact', 'GET /prefix/any', 'GET /regex', 'GET /named']
--- error_code eval
[200, 200, 200, 200]
--- response_body_like eval
[('^# HELP access_token_requests_total .*') x 4]



=== TEST 13: a location within does not inherit it, an if and a limit_except do
--- config
    location /status {
        access_token_status;

        location /status/within { return 200 "within\n"; }

        if ($arg_a) { set $a 1; }
        limit_except GET { deny all; }
    }

    location /two {
        access_token_status;
        limit_except HEAD { allow all; }
    }
--- request eval
['GET /status/within', 'GET /status?a=1', 'GET /status', 'POST /status',
 'GET /two']
--- error_code eval
[200, 200, 200, 403, 200]
--- response_body_like eval
['^within$', '^# HELP', '^# HELP', 'Forbidden', '^# HELP']
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 14: 405 is nginx' own page, with error_page in place of it
--- config
    error_page 405 =405 /other;
    location = /status { access_token_status; }
    location = /other { return 405 "other\n"; }
--- request
POST /status
--- error_code: 405
--- response_headers
Allow: GET, HEAD
--- response_body
other



=== TEST 15: charset leaves the type alone, and gzip takes it for text
--- config
    charset koi8-r;
    gzip on;
    gzip_types text/plain;
    location = /status { access_token_status; }
--- request
GET /status
--- more_headers
Accept-Encoding: gzip
--- response_headers
Content-Type: text/plain; version=0.0.4; charset=utf-8
Content-Encoding: gzip



=== TEST 16: a subrequest is answered as well
--- config
    location = /status { access_token_status; }
    location = /guarded { auth_request /status; root html; try_files /x =404; }
--- request
GET /guarded
--- error_code: 404
