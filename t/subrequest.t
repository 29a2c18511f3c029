# Subrequests: nginx runs no access phase in them, so what a location demands is
# not demanded of a subrequest; they see the verdict on the request they are of.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Good    = put_token(organization => 'acme');
our $Revoked = put_token(organization => 'acme', status => 'r');

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

=== TEST 1: a location that a subrequest is for is not guarded by the module
--- config
    location = /t { auth_request /auth; }
    location = /auth {
        access_token on;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/yes;
    }
    location = /yes { return 204; }
--- request eval
["GET /t", "GET /auth"]
--- error_code eval
[200, 401]



=== TEST 2: auth_request comes after the token, which it can be told about
--- config
    location = /t {
        access_token on;
        auth_request /auth;
    }
    location = /auth {
        internal;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/check;
        proxy_set_header X-Organization $access_token_organization;
        proxy_set_header X-Verdict $access_token_verdict;
    }
    location = /check {
        set $seen "$http_x_organization $http_x_verdict";
        if ($seen = "acme active") { return 204; }
        return 403;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Good", "", "Authorization: Bearer $::Revoked"]
--- error_code eval
[200, 401, 401]



=== TEST 3: auth_request may refuse what the token lets in
--- config
    location = /t {
        access_token on;
        auth_request /auth;
    }
    location = /auth { return 403; }
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 403
--- response_headers
Content-Type: text/html
!Cache-Control
!WWW-Authenticate
--- no_error_log
[alert]
[crit]



=== TEST 4: a page made of several is guarded by the location that was asked for
--- config
    location = /t {
        access_token on;
        ssi on;
        ssi_types *;
    }
    location = /before { access_token on; }
    location = /after {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up?$access_token_organization;
    }
    location = /up { return 200 "after $args\n"; }
--- user_files
>>> t
<!--#include virtual="/before" -->let in
<!--#include virtual="/after" -->
>>> before
before
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Good", "Authorization: Bearer $::Revoked"]
--- error_code eval
[200, 401]
--- response_body eval
["before\nlet in\nafter acme\n\n",
 '{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The access token is invalid"}' . "\n"]
