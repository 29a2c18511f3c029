# access_token_realm: the realm of the challenge.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Good = put_token(organization => 'acme');

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

=== TEST 1: the default realm
--- config
    location = /t { access_token on; }
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"



=== TEST 2: a realm of one's own
--- config
    location = /t {
        access_token on;
        access_token_realm "the API of acme";
    }
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="the API of acme"



=== TEST 3: the realm of a refused token
--- config
    location = /t {
        access_token on;
        access_token_realm acme;
    }
--- more_headers
Authorization: Bearer x
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="acme", error="invalid_token", error_description="The access token is invalid"



=== TEST 4: a realm with variables
--- config
    location = /t {
        access_token on;
        access_token_realm "$host of $arg_a";
    }
--- request
GET /t?a=acme
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="localhost of acme"



=== TEST 5: quotes and backslashes are escaped
--- config
    location = /t {
        access_token on;
        access_token_realm 'a "quoted" \\ realm';
    }
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="a \"quoted\" \\ realm"



=== TEST 6: nobody can write a header of their own through a variable
--- config
    location ~ ^/t/(?<name>[\s\S]*)$ {
        access_token on;
        access_token_realm "$name";
    }
--- request
GET /t/a%22,%20b%0d%0aX-Evil:%20yes%7f%01
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="a\", bX-Evil: yes"
!X-Evil
--- error_log
client sent no access token



=== TEST 7: a realm that turns out empty
--- config
    location = /t {
        access_token on;
        access_token_realm "$arg_a";
    }
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm=""



=== TEST 8: the realm is inherited
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_realm all;
--- config
    access_token on;
    location = /t { }
    location = /u { access_token_realm u; }
--- request eval
["GET /t", "GET /u"]
--- error_code eval
[401, 401]
--- response_headers eval
["WWW-Authenticate: Bearer realm=\"all\"",
 "WWW-Authenticate: Bearer realm=\"u\""]
