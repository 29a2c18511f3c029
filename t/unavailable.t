# Unknown is never yes, and never "bad token": what a request hears if the truth
# about its token is not to be had.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use File::Temp qw(tempdir);
use IO::Socket::INET;
use IO::Socket::UNIX;

our $Good    = put_token(organization => 'acme');
our $Damaged = put_token(organization => 'acme');
our $Missing = put_token(organization => 'acme');
our $Wrong   = put_token(organization => 'acme');
our $String  = put_token(organization => 'acme');
our $Moved   = put_token(organization => 'acme');

redis_cmd('HSET', token_key($Damaged), 's', 'x');
redis_cmd('HDEL', token_key($Missing), 'e');
redis_cmd('HSET', token_key($Wrong), 'e', 'tomorrow');
redis_cmd('DEL', token_key($String));
redis_cmd('SET', token_key($String), 'a string');
redis_cmd('HSET', token_key($Moved), 'o', 'other');

# A Redis that takes connections and never says a word.

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

$ENV{TEST_NGINX_SILENT_SOCKET} = "$dir/silent.sock";

our $Silent = IO::Socket::UNIX->new(Local => "$dir/silent.sock", Listen => 64)
              or die "no socket in $dir: $!\n";
chmod 0777, "$dir/silent.sock";

# And one that takes none: so many wait to be accepted that a further one hears
# nothing at all.

our $Full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
            or die "no socket: $!\n";

$ENV{TEST_NGINX_FULL_PORT} = $Full->sockport;

our @Waiting = map {
    IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $Full->sockport,
                          Blocking => 0);
} 1 .. 16;

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

=== TEST 1: nobody listens where Redis should be
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/none.sock;
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 503
--- response_headers
Retry-After: 1
Content-Type: application/problem+json
Cache-Control: no-store
!WWW-Authenticate
--- response_body
{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"Access tokens cannot be checked at present"}
--- error_log
[error]



=== TEST 2: during the pause after a failure the answer is the same
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/none.sock;
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code eval
[503, 503, 503]
--- response_headers eval
[("Retry-After: 1\n!WWW-Authenticate") x 3]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 3: Redis does not answer in time
--- http_config
    access_token_redis unix:$TEST_NGINX_SILENT_SOCKET timeout=200ms
                       connect_timeout=200ms;
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 503
--- response_headers
Retry-After: 1
!WWW-Authenticate
--- error_log
[error]



=== TEST 4: a HEAD gets no body
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/none.sock;
--- config
    location = /t { access_token on; }
--- request
HEAD /t
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 503
--- response_headers
Retry-After: 1
Content-Length: 120
--- response_body chop

--- error_log
[error]



=== TEST 5: optional lets no token through that cannot be checked
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/none.sock;
--- config
    location = /t { access_token optional; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Good", ""]
--- error_code eval
[503, 200]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 6: what is wrong without Redis is refused without Redis
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/none.sock;
    access_token_cache off;
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
["", "Authorization: Bearer x", "Authorization: Bearer $::Good,$::Good"]
--- error_code eval
[401, 401, 400]



=== TEST 7: a record with a value that cannot be is no answer
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Damaged"
--- error_code: 503
--- response_headers
Retry-After: 1
--- error_log eval
[qr/\[error\] .*\Q@{[AccessToken::token_id($::Damaged)]}\E/, 'field "s"']



=== TEST 8: a record that lacks a field is no answer
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Missing"
--- error_code: 503
--- error_log eval
[qr/\[error\] .*\Q@{[AccessToken::token_id($::Missing)]}\E/, 'field "e"']



=== TEST 9: a record with text where a number should be is no answer
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Wrong"
--- error_code: 503
--- error_log
field "e"



=== TEST 10: a key of another type is no answer
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::String"
--- error_code: 503
--- error_log
WRONGTYPE



=== TEST 11: a record of another organization than the id says is no answer
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Moved"
--- error_code: 503
--- error_log
field "o"



=== TEST 12: a damaged record is nobody else's trouble
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Damaged", "Authorization: Bearer $::Good"]
--- error_code eval
[503, 200]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 13: a connect() that hears nothing ends in time
--- http_config
    access_token_redis 127.0.0.1:$TEST_NGINX_FULL_PORT connect_timeout=200ms;
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 503
--- response_headers
Retry-After: 1
!WWW-Authenticate
--- error_log eval
qr/\[error\] .*connect\(\) timed out.* \(110: /
