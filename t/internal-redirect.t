# Internal redirects: the access phase runs again, with the directives of the
# new location, and without a second look-up of the same token.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Good    = put_token(organization => 'acme');
our $Dev     = put_token(organization => 'acme', group => 'dev');
our $Revoked = put_token(organization => 'acme', status => 'r');
our $Before;

sub look_ups {
    return redis_cmd('INFO', 'commandstats')
           =~ /^cmdstat_hmget:calls=(\d+)/m ? $1 : 0;
}

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my $block = shift;

    if (!defined $block->http_config) {
        $block->set_value('http_config',
                          'access_token_redis unix:$TEST_NGINX_REDIS_SOCKET '
                          . 'timeout=5s;'
                          . 'access_token_cache off;');
    }

    if (!defined $block->request && !defined $block->pipelined_requests) {
        $block->set_value('request', 'GET /t');
    }

    if (!defined $block->user_files) {
        $block->set_value('user_files', ">>> t\nlet in\n");
    }

    if (!defined $block->error_log && !defined $block->no_error_log) {
        $block->set_value('no_error_log',
                          "[error]\n[alert]\n[crit]\n[emerg]");
    }
});

add_block_preprocessor(sub {
    my $block = shift;

    $block->set_value('init', '$main::Before = main::look_ups()');
});

add_response_body_check(sub {
    my $block = shift;

    is(look_ups() - $Before, $block->look_ups,
       $block->name . ' - look-ups in Redis');
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: a request without any redirect, for comparison
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in
--- look_ups: 1



=== TEST 2: index
--- config
    access_token on;
    location /dir/ { }
--- user_files
>>> dir/index.html
the index
--- request
GET /dir/
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
the index
--- look_ups: 1



=== TEST 3: try_files with a fall-back
--- config
    access_token on;
    location /dir/ { try_files $uri /t; }
    location = /t { }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in
--- look_ups: 1



=== TEST 4: try_files with a named location
--- config
    access_token on;
    location /dir/ { try_files $uri @named; }
    location @named {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up?$access_token_organization;
    }
    location = /up {
        access_token off;
        return 200 "$args\n";
    }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
acme
--- look_ups: 1



=== TEST 5: error_page
--- config
    access_token on;
    location /dir/ { error_page 404 =200 /t; log_not_found off; }
    location = /t { }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in
--- look_ups: 1



=== TEST 6: X-Accel-Redirect
--- config
    location = /start {
        access_token on;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up;
    }
    location = /up {
        add_header X-Accel-Redirect /t;
        return 200;
    }
    location = /t {
        internal;
        access_token on;
        access_token_require organization=acme;
    }
--- request
GET /start
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in
--- look_ups: 1



=== TEST 7: rewrite, which runs before the phase
--- config
    access_token on;
    location = /start { rewrite ^ /t last; }
    location = /t { }
--- request
GET /start
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in
--- look_ups: 1



=== TEST 8: several redirects
--- config
    access_token on;
    location /a/ { try_files $uri /b/none; }
    location /b/ { try_files $uri @c; }
    location @c { try_files $uri /t; }
    location = /t { }
--- request
GET /a/none
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in
--- look_ups: 1



=== TEST 9: a location where nothing was asked leads to one where it is
--- config
    location /open/ { try_files $uri /t; }
    location = /t { access_token on; }
--- request eval
["GET /open/none", "GET /open/none"]
--- more_headers eval
["Authorization: Bearer $::Good", ""]
--- error_code eval
[200, 401]
--- look_ups: 1



=== TEST 10: a stricter location is checked again
--- config
    access_token on;
    location /dir/ { try_files $uri /t; }
    location = /t { access_token_require organization=acme; }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Dev"
--- error_code: 403
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="insufficient_scope", error_description="The access token does not cover this resource"
Content-Type: application/problem+json
--- look_ups: 1



=== TEST 11: what a location required is not required of the next one
--- config
    access_token on;
    location /dir/ {
        access_token_require level=group;
        try_files $uri /t;
    }
    location = /t { access_token_require organization=acme group=dev; }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Dev"
--- response_body
let in
--- look_ups: 1



=== TEST 12: a location with another source looks at that one
--- config
    access_token on;
    location /dir/ { try_files $uri /t; }
    location = /t { access_token_source header=X-Access-Token; }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Good\nX-Access-Token: $::Revoked"
--- error_code: 401
--- response_headers_like
WWW-Authenticate: .*error="invalid_token".*
--- look_ups: 2



=== TEST 13: the same token in another source is the same token
--- config
    access_token on;
    location /dir/ { try_files $uri /t; }
    location = /t { access_token_source header=X-Access-Token; }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Good\nX-Access-Token: $::Good"
--- response_body
let in
--- look_ups: 1



=== TEST 14: no token in another source is no token
--- config
    access_token on;
    location /dir/ { try_files $uri /t; }
    location = /t { access_token_source header=X-Access-Token; }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
--- look_ups: 1



=== TEST 15: a redirect that drops the query does not drop the token in it
--- config
    access_token on;
    access_token_source query=access_token;
    location /dir/ { try_files $uri /t?a=b; }
    location = /t { }
--- request eval
"GET /dir/none?access_token=$::Good"
--- response_body
let in
--- look_ups: 1



=== TEST 16: a refused token stays refused, with one look-up and one challenge
--- config
    access_token on;
    location /dir/ { error_page 401 /t; }
    location = /t { }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Revoked"
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"
Content-Type: application/problem+json
--- look_ups: 1



=== TEST 17: an unknown truth stays unknown, with one Retry-After
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/none.sock;
--- config
    access_token on;
    location /dir/ { error_page 503 /t; }
    location = /t { }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 503
--- response_headers
Retry-After: 1
--- look_ups: 0
--- error_log
[error]



=== TEST 18: the next request on the connection asks anew
--- config
    access_token on;
    location /dir/ { try_files $uri /t; }
    location = /t { }
--- pipelined_requests eval
["GET /dir/none", "GET /dir/none"]
--- more_headers eval
["Authorization: Bearer $::Good", "Authorization: Bearer $::Good"]
--- response_body eval
["let in\n", "let in\n"]
--- look_ups: 2
