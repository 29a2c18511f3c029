# access_token_redis: where Redis is, and how to log in there.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Token  = put_token(organization => 'acme');
our $Prefix = put_token(organization => 'acme', key_prefix => 'gw:edge:');
our $None   = put_token(organization => 'acme', key_prefix => '');

# a token that is in database 1 alone

our $One = put_token(organization => 'acme');
redis_cmd('MOVE', token_key($One), 1);

redis_cmd('ACL', 'SETUSER', 'edge', 'reset', 'on', '>secret of the edge',
          '~*', '+hmget', '+select', '+ping');
redis_cmd('ACL', 'SETUSER', 'nothing', 'reset', 'on', '>secret', '~*');

$ENV{TEST_NGINX_REDIS_PORT} ||= 6379;

our $Files = ">>> t\nlet in\n>>> password\nsecret of the edge\n"
             . ">>> wrong\nanother secret\n>>> nothing\nsecret\r\n";

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

=== TEST 1: a Unix socket
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Token"
--- response_body
let in



=== TEST 2: an address and a port
--- http_config
    access_token_redis 127.0.0.1:$TEST_NGINX_REDIS_PORT;
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Token"
--- response_body
let in



=== TEST 3: a name, which the system resolves when nginx starts
--- http_config
    access_token_redis localhost:$TEST_NGINX_REDIS_PORT;
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Token"
--- response_body
let in
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 4: another database
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET db=1;
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::One", "Authorization: Bearer $::Token"]
--- error_code eval
[200, 401]



=== TEST 5: the default is database 0
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::One"
--- error_code: 401



=== TEST 6: a database that Redis does not have
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET db=99999;
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Token"
--- error_code: 503
--- error_log
[error]



=== TEST 7: another prefix of keys
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET prefix=gw:edge:;
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Prefix", "Authorization: Bearer $::Token"]
--- error_code eval
[200, 401]



=== TEST 8: no prefix of keys
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET prefix=;
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::None", "Authorization: Bearer $::Token"]
--- error_code eval
[200, 401]



=== TEST 9: a user and the password of it
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET user=edge
                       password_file=$TEST_NGINX_HTML_DIR/password;
    access_token_cache off;
--- config
    location = /t { access_token on; }
--- user_files eval: $::Files
--- more_headers eval
"Authorization: Bearer $::Token"
--- response_body
let in



=== TEST 10: a user and a wrong password, which is not logged
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET user=edge
                       password_file=$TEST_NGINX_HTML_DIR/wrong;
--- config
    location = /t { access_token on; }
--- user_files eval: $::Files
--- more_headers eval
"Authorization: Bearer $::Token"
--- error_code: 503
--- error_log eval
qr/"WRONGPASS [^"]*": the configured user or password is wrong, or the user is /
--- no_error_log
another secret



=== TEST 11: a user who may do nothing, and a password file of Windows
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET user=nothing
                       password_file=$TEST_NGINX_HTML_DIR/nothing;
--- config
    location = /t { access_token on; }
--- user_files eval: $::Files
--- more_headers eval
"Authorization: Bearer $::Token"
--- error_code: 503
--- error_log
NOPERM
