# auth_delay: a refusal that takes its time.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Time::HiRes ();

our $Good    = put_token(organization => 'acme');
our $Other   = put_token(organization => 'other');
our $Started;

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
    my $block = shift;

    if (defined $block->takes) {
        my $took = Time::HiRes::time() - $Started;

        cmp_ok($took, '>=', $block->takes, $block->name . ' - it takes time');
    }
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: without auth_delay the refusal comes at once
--- config
    location = /t { access_token on; }
--- error_code: 401
--- no_error_log
delaying unauthorized request
[error]
[alert]
[crit]
[emerg]



=== TEST 2: the refusal is delayed, and is the same
--- config
    location = /t {
        access_token on;
        auth_delay 500ms;
    }
--- init
    $main::Started = Time::HiRes::time();
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
Content-Type: application/problem+json
Cache-Control: no-store
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"An access token is required"}
--- takes: 0.49
--- error_log
delaying unauthorized request



=== TEST 3: the refusal of a token that was looked up is delayed
--- config
    location = /t {
        access_token on;
        auth_delay 500ms;
    }
--- init
    $main::Started = Time::HiRes::time();
--- more_headers eval
"Authorization: Bearer " . AccessToken::token()
--- error_code: 401
--- takes: 0.49
--- error_log
delaying unauthorized request



=== TEST 4: a good token is not delayed
--- config
    location = /t {
        access_token on;
        auth_delay 500ms;
    }
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in
--- no_error_log
delaying unauthorized request
[error]
[alert]
[crit]
[emerg]



=== TEST 5: a token that does not cover is not delayed
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme;
        auth_delay 500ms;
    }
--- more_headers eval
"Authorization: Bearer $::Other"
--- error_code: 403
--- no_error_log
delaying unauthorized request
[error]
[alert]
[crit]
[emerg]



=== TEST 6: a page for the delayed refusal
--- config
    location = /t {
        access_token on;
        auth_delay 500ms;
        error_page 401 /page.html;
    }
    location = /page.html { }
--- user_files
>>> page.html
a page
--- init
    $main::Started = Time::HiRes::time();
--- error_code: 401
--- response_body
a page
--- takes: 0.49
--- error_log
delaying unauthorized request
