# error_page: the site's own pages for refusals.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Compress::Zlib ();

our $Good    = put_token(organization => 'acme');
our $Other   = put_token(organization => 'other');
our $Revoked = put_token(organization => 'acme', status => 'r');

our $Pages = ">>> t\nlet in\n>>> page.html\na page\n";

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

add_response_body_check(sub {
    my ($block, $body) = @_;

    if (defined $block->unzipped) {
        is(Compress::Zlib::memGunzip($body), $block->unzipped,
           $block->name . ' - the body, unzipped');
    }
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: a page for 401, where the module is off, with one challenge
--- config
    location = /t {
        access_token on;
        error_page 401 /page.html;
    }
    location = /page.html { access_token off; }
--- user_files eval: $::Pages
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
Content-Type: text/html
!Cache-Control
--- response_body
a page



=== TEST 2: a page under the same access_token is checked again
--- config
    access_token on;
    location = /t { error_page 401 /page.html; }
    location = /page.html { }
--- user_files eval: $::Pages
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
Content-Type: application/problem+json
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"An access token is required"}



=== TEST 3: a page in a named location
--- config
    location = /t {
        access_token on;
        error_page 401 @page;
    }
    location @page { return 401 "named: $access_token_verdict\n"; }
--- more_headers eval
"Authorization: Bearer $::Revoked"
--- error_code: 401
--- response_headers_like
WWW-Authenticate: .*error="invalid_token".*
--- response_body
named: revoked



=== TEST 4: a page with a status of its own
--- config
    location = /t {
        access_token on;
        error_page 401 =404 /page.html;
    }
    location = /page.html { }
--- user_files eval: $::Pages
--- error_code: 404
--- response_body
a page



=== TEST 5: a page elsewhere
--- config
    location = /t {
        access_token on;
        error_page 401 https://login.example.com/;
    }
--- error_code: 302
--- response_headers
Location: https://login.example.com/
Content-Type: text/html
!Cache-Control
--- response_body_like: 302 Found



=== TEST 6: a page for 403
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme;
        error_page 403 /page.html;
    }
    location = /page.html { }
--- user_files eval: $::Pages
--- more_headers eval
"Authorization: Bearer $::Other"
--- error_code: 403
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="insufficient_scope", error_description="The access token does not cover this resource"
--- response_body
a page



=== TEST 7: a page for 400
--- config
    location = /t {
        access_token on;
        error_page 400 /page.html;
    }
    location = /page.html { }
--- user_files eval: $::Pages
--- more_headers eval
"Authorization: Bearer $::Good,$::Good"
--- error_code: 400
--- response_body
a page



=== TEST 8: a page for 503 keeps Retry-After
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/none.sock;
--- config
    location = /t {
        access_token on;
        error_page 503 /page.html;
    }
    location = /page.html { }
--- user_files eval: $::Pages
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 503
--- response_headers
Retry-After: 1
!WWW-Authenticate
--- response_body
a page
--- error_log
[error]



=== TEST 9: a page for another status changes nothing
--- config
    location = /t {
        access_token on;
        error_page 404 /page.html;
    }
--- error_code: 401
--- response_headers
Content-Type: application/problem+json



=== TEST 10: a page that is not there
--- config
    location = /t {
        access_token on;
        error_page 401 /none.html;
    }
    location = /none.html { }
--- error_code: 404
--- response_headers
Content-Type: text/html
--- response_body_like: 404 Not Found
--- error_log
No such file or directory



=== TEST 11: what an upstream answers is not touched
--- config
    location = /t {
        access_token on;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up;
    }
    location = /up { return 401 "no\n"; }
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 401
--- response_headers
!WWW-Authenticate
!Cache-Control
Content-Type: text/plain
--- response_body
no



=== TEST 12: a page for the 401 of an upstream, after a token that was good
--- config
    location = /t {
        access_token on;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up;
        proxy_intercept_errors on;
        error_page 401 /page.html;
    }
    location = /up { return 401 "no\n"; }
    location = /page.html { }
--- user_files eval: $::Pages
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 401
--- response_body
a page



=== TEST 13: add_header with always adds to a refusal
--- config
    location = /t {
        access_token on;
        add_header X-Verdict $access_token_verdict always;
    }
--- error_code: 401
--- response_headers
X-Verdict: missing
Content-Type: application/problem+json



=== TEST 14: gzip leaves a refusal whole
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    gzip on;
    gzip_min_length 1;
    gzip_types application/problem+json;
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme;
    }
--- more_headers eval
"Accept-Encoding: gzip\nAuthorization: Bearer $::Other"
--- error_code: 403
--- response_headers
Content-Type: application/problem+json
Content-Encoding: gzip
--- unzipped
{"type":"about:blank","title":"Forbidden","status":403,"detail":"The access token does not cover this resource"}
