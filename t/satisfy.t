# satisfy: beside allow and deny, auth_basic and auth_request.  A token comes in
# a header of its own here, since Authorization is that of auth_basic.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Good    = put_token(organization => 'acme');
our $Other   = put_token(organization => 'other');
our $Revoked = put_token(organization => 'acme', status => 'r');

our $Basic = 'Authorization: Basic dXNlcjpwYXNzd29yZA==';
our $Wrong = 'Authorization: Basic dXNlcjp3cm9uZw==';

our $Users = ">>> t\nlet in\n>>> users\nuser:{PLAIN}password\n";

our $Any = <<'_EOC_';
    location = /t {
        satisfy any;

        access_token on;
        access_token_source header=X-Access-Token;
        access_token_require organization=acme;

        auth_basic closed;
        auth_basic_user_file $TEST_NGINX_HTML_DIR/users;

        add_header X-Verdict $access_token_verdict;
        add_header X-Id "[$access_token_id$access_token_organization]";
    }
_EOC_

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my $block = shift;

    if (!defined $block->http_config) {
        $block->set_value('http_config',
                          'access_token_redis unix:$TEST_NGINX_REDIS_SOCKET '
                          . 'timeout=5s;');
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

no_long_string();
run_tests();

__DATA__

=== TEST 1: all is the default, so both are needed
--- config
    location = /t {
        access_token on;
        access_token_source header=X-Access-Token;
        auth_basic closed;
        auth_basic_user_file $TEST_NGINX_HTML_DIR/users;
    }
--- user_files eval: $::Users
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["X-Access-Token: $::Good\n$::Basic", "X-Access-Token: $::Good",
 $::Basic, "X-Access-Token: $::Revoked\n$::Basic"]
--- error_code eval
[200, 401, 401, 401]
--- response_headers eval
["!WWW-Authenticate", "WWW-Authenticate: Basic realm=\"closed\"",
 "WWW-Authenticate: Bearer realm=\"gateway\"",
 "WWW-Authenticate: Bearer realm=\"gateway\", error=\"invalid_token\", error_description=\"The access token is invalid\""]



=== TEST 2: any: a good token is enough
--- config eval: $::Any
--- user_files eval: $::Users
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["X-Access-Token: $::Good", "X-Access-Token: $::Good\n$::Wrong"]
--- error_code eval
[200, 200]
--- response_headers eval
["!WWW-Authenticate", "!WWW-Authenticate"]



=== TEST 3: any: the other check is enough, and no challenge is left behind
--- config eval: $::Any
--- user_files eval: $::Users
--- more_headers eval: $::Basic
--- response_headers
!WWW-Authenticate
!Cache-Control
X-Verdict: missing
X-Id: []
--- response_body
let in



=== TEST 4: any: a refused token does not keep the other check from letting in
--- config eval: $::Any
--- user_files eval: $::Users
--- more_headers eval
"X-Access-Token: $::Revoked\n$::Basic"
--- response_headers
!WWW-Authenticate
--- response_body
let in



=== TEST 5: any: nothing that a refused token says is in a variable
--- config eval: $::Any
--- user_files eval: $::Users
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["X-Access-Token: $::Revoked\n$::Basic", "X-Access-Token: $::Other\n$::Basic",
 "X-Access-Token: x\n$::Basic",
 "X-Access-Token: " . AccessToken::token() . "\n$::Basic"]
--- error_code eval
[200, 200, 200, 200]
--- response_headers eval
["X-Verdict: revoked\nX-Id: []", "X-Verdict: forbidden\nX-Id: []",
 "X-Verdict: malformed\nX-Id: []", "X-Verdict: unknown\nX-Id: []"]



=== TEST 6: any: none is enough, and both challenges are there
--- config eval: $::Any
--- user_files eval: $::Users
--- error_code: 401
--- response_headers
Content-Type: application/problem+json
Cache-Control: no-store
--- raw_response_headers_like
WWW-Authenticate: Bearer realm="gateway"\r
WWW-Authenticate: Basic realm="closed"\r
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"An access token is required"}



=== TEST 7: any: two tokens end the request
--- config eval: $::Any
--- user_files eval: $::Users
--- more_headers eval
"X-Access-Token: $::Good\nX-Access-Token: $::Good\n$::Basic"
--- error_code: 400
--- response_headers
Content-Type: application/problem+json



=== TEST 8: any: an unknown truth ends the request
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/none.sock;
--- config eval: $::Any
--- user_files eval: $::Users
--- more_headers eval
"X-Access-Token: $::Good\n$::Basic"
--- error_code: 503
--- response_headers
!WWW-Authenticate
Retry-After: 1
--- error_log
[error]



=== TEST 9: any: an allowed address needs no token, and costs no look-up
--- config
    location = /t {
        satisfy any;
        allow 127.0.0.1;
        deny all;
        access_token on;
        add_header X-Verdict "[$access_token_verdict]";
    }
--- more_headers eval
"Authorization: Bearer $::Revoked"
--- response_headers
!WWW-Authenticate
X-Verdict: []
--- response_body
let in



=== TEST 10: any: a denied address with a good token is let in
--- config
    location = /t {
        satisfy any;
        deny all;
        access_token on;
    }
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in



=== TEST 11: any: a denied address without a token is asked for one
--- config
    location = /t {
        satisfy any;
        deny all;
        access_token on;
    }
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
Content-Type: application/problem+json



=== TEST 12: any: a denied address with a token that does not cover
--- config
    location = /t {
        satisfy any;
        deny all;
        access_token on;
        access_token_require organization=acme;
    }
--- more_headers eval
"Authorization: Bearer $::Other"
--- error_code: 403
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="insufficient_scope", error_description="The access token does not cover this resource"
Content-Type: application/problem+json
--- response_body
{"type":"about:blank","title":"Forbidden","status":403,"detail":"The access token does not cover this resource"}
--- error_log
access forbidden by rule



=== TEST 13: any: the third check lets in, and no challenge is left behind
--- config
    location = /t {
        satisfy any;
        access_token on;
        access_token_source header=X-Access-Token;
        auth_basic closed;
        auth_basic_user_file $TEST_NGINX_HTML_DIR/users;
        auth_request /auth;
    }
    location = /auth { return 204; }
--- user_files eval: $::Users
--- more_headers eval
"X-Access-Token: $::Revoked"
--- response_headers
!WWW-Authenticate
--- response_body
let in



=== TEST 14: any: what the content then refuses is not our refusal
--- config
    location /dir/ {
        satisfy any;
        access_token on;
        access_token_source header=X-Access-Token;
        access_token_require organization=acme;
        auth_basic closed;
        auth_basic_user_file $TEST_NGINX_HTML_DIR/users;
    }
--- user_files
>>> dir/file
a directory that is not listed
>>> users
user:{PLAIN}password
--- request
GET /dir/
--- more_headers eval
"X-Access-Token: $::Other\n$::Basic"
--- error_code: 403
--- response_headers
!WWW-Authenticate
!Cache-Control
Content-Type: text/html
--- response_body_like: <h1>403 Forbidden</h1>
--- error_log
directory index of



=== TEST 15: any: what an upstream then refuses is not our refusal
--- config
    location = /t {
        satisfy any;
        access_token on;
        access_token_source header=X-Access-Token;
        auth_basic closed;
        auth_basic_user_file $TEST_NGINX_HTML_DIR/users;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up;
    }
    location = /up {
        add_header WWW-Authenticate "Upstream" always;
        return 401 "no\n";
    }
--- user_files eval: $::Users
--- more_headers eval: $::Basic
--- error_code: 401
--- response_headers
WWW-Authenticate: Upstream
!Cache-Control
Content-Type: text/plain
--- response_body
no
