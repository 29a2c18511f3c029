# access_token_prefix: what tokens start with.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $At   = put_token(organization => 'acme');
our $Acme = put_token(organization => 'acme', prefix => 'acme_2');

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

=== TEST 1: the default is at
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::At", "Authorization: Bearer $::Acme"]
--- error_code eval
[200, 401]



=== TEST 2: a prefix of one's own, and no other
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_prefix acme_2;
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Acme", "Authorization: Bearer $::At"]
--- error_code eval
[200, 401]



=== TEST 3: the longest prefix, and the shortest
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_prefix abcdefghijklmnop;
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer abcdefghijklmnop" . substr($::At, 2),
 "Authorization: Bearer a" . substr($::At, 2)]
--- error_code eval
[200, 401]
