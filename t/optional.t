# access_token optional: without a token, and never with a bad one.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Good    = put_token(organization => 'acme');
our $Dev     = put_token(organization => 'acme', group => 'dev');
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

=== TEST 1: a request without a token is let in, and has no identity
--- config
    location = /t {
        access_token optional;
        add_header X-Verdict $access_token_verdict;
        add_header X-Id "[$access_token_id]";
    }
--- response_headers
X-Verdict: missing
X-Id: []
!WWW-Authenticate
--- response_body
let in



=== TEST 2: a request with a good token is let in under its identity
--- config
    location = /t {
        access_token optional;
        add_header X-Verdict $access_token_verdict;
        add_header X-Organization $access_token_organization;
    }
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_headers
X-Verdict: active
X-Organization: acme
--- response_body
let in



=== TEST 3: a bad token is refused as with on
--- config
    location = /t { access_token optional; }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Revoked", "Authorization: Bearer x",
 "Authorization: Bearer", "Authorization: Bearer " . AccessToken::token(),
 "Authorization: Bearer $::Good, Bearer $::Good"]
--- error_code eval
[401, 401, 401, 401, 400]
--- response_body_like eval
['invalid', 'invalid', 'invalid', 'invalid', 'more than one']



=== TEST 4: another scheme is no token
--- config
    location = /t { access_token optional; }
--- more_headers
Authorization: Basic dXNlcjpwYXNzd29yZA==
--- response_body
let in



=== TEST 5: what is required is required of tokens alone
--- config
    location = /t {
        access_token optional;
        access_token_require organization=acme;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
["", "Authorization: Bearer $::Good", "Authorization: Bearer $::Dev"]
--- error_code eval
[200, 200, 403]



=== TEST 6: no token is no reason to be let in by satisfy any
--- config
    location = /t {
        access_token optional;
        satisfy any;
        auth_basic closed;
        auth_basic_user_file $TEST_NGINX_HTML_DIR/users;
    }
--- user_files
>>> t
let in
>>> users
user:{PLAIN}password
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
["", "Authorization: Basic dXNlcjpwYXNzd29yZA==",
 "Authorization: Bearer $::Good"]
--- error_code eval
[401, 200, 200]
--- response_headers eval
["WWW-Authenticate: Basic realm=\"closed\"", "!WWW-Authenticate",
 "!WWW-Authenticate"]
