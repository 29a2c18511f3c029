# access_token: who is let in, who is not, and where it applies.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use IO::Socket::INET;

our $Good    = put_token(organization => 'acme');
our $Group   = put_token(organization => 'acme', group => 'dev');
our $Forever = put_token(organization => 'acme', expires => 0);
our $Revoked = put_token(organization => 'acme', status => 'r');
our $Expired = put_token(organization => 'acme', expires => time - 1);
our $Both    = put_token(organization => 'acme', status => 'r',
                         expires => time - 1);
our $Fresh   = put_token(organization => 'acme');
our $Unknown = token();

our $RevokedId = token_id($Revoked);
our $ExpiredId = token_id($Expired);
our $UnknownId = token_id($Unknown);

# what nginx answers to a request of our own

sub get {
    my ($token) = @_;

    my $nginx = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                      PeerPort => server_port_for_client())
                or die "can't connect to nginx: $!\n";

    print $nginx "GET /t HTTP/1.0\r\nAuthorization: Bearer $token\r\n\r\n";

    return join '', <$nginx>;
}

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

=== TEST 1: a request with a good token is let in
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_headers
!WWW-Authenticate
!Cache-Control
!Retry-After
--- response_body
let in



=== TEST 2: a token of a group is let in too
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Group"
--- response_body
let in



=== TEST 3: a token that never expires is let in
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Forever"
--- response_body
let in



=== TEST 4: a request without a token is told what is wanted
--- config
    location = /t { access_token on; }
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
Content-Type: application/problem+json
Cache-Control: no-store
!Retry-After
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"An access token is required"}



=== TEST 5: what is wrong is logged for the operator
--- config
    location = /t { access_token on; }
--- error_code: 401
--- error_log
[info]
client sent no access token
--- no_error_log
[error]
[alert]
[crit]
[emerg]



=== TEST 6: a revoked token is refused, and its id is logged
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Revoked"
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"
Content-Type: application/problem+json
Cache-Control: no-store
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The access token is invalid"}
--- error_log eval
"client sent revoked access token \"$::RevokedId\""



=== TEST 7: an expired token is refused in the same words
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Expired"
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The access token is invalid"}
--- error_log eval
"client sent expired access token \"$::ExpiredId\""



=== TEST 8: a token that is both revoked and expired is refused
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Both"
--- error_code: 401
--- error_log
client sent expired access token



=== TEST 9: an unknown token is refused in the same words
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Unknown"
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The access token is invalid"}
--- error_log eval
"client sent unknown access token \"$::UnknownId\""



=== TEST 10: a HEAD gets the headers of the refusal, and no body
--- config
    location = /t { access_token on; }
--- request
HEAD /t
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
Content-Type: application/problem+json
Content-Length: 98
--- response_body chop




=== TEST 11: a client of HTTP/1.0 gets the body of the refusal
--- config
    location = /t { access_token on; }
--- request
GET /t HTTP/1.0
--- error_code: 401
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"An access token is required"}



=== TEST 12: an old browser gets the very body that was announced
--- config
    location = /t { access_token on; }
--- more_headers
User-Agent: Mozilla/4.0 (compatible; MSIE 6.0)
--- error_code: 401
--- response_headers
Content-Length: 98
--- response_body
{"type":"about:blank","title":"Unauthorized","status":401,"detail":"An access token is required"}



=== TEST 13: off is the default
--- config
    location = /t { }
--- response_body
let in



=== TEST 14: a location inherits from the server, and may switch it off
--- config
    access_token on;
    location = /t { }
    location = /off { access_token off; }
--- user_files
>>> t
let in
>>> off
let in
--- request eval
["GET /t", "GET /off"]
--- error_code eval
[401, 200]



=== TEST 15: a server inherits from the http block
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token on;
--- config
    location = /t { }
    location = /optional { access_token optional; }
--- user_files
>>> t
let in
>>> optional
let in
--- request eval
["GET /t", "GET /optional"]
--- error_code eval
[401, 200]



=== TEST 16: an if within the location changes nothing
--- config
    location = /t {
        access_token on;
        if ($arg_a) { set $a 1; }
    }
--- request eval
["GET /t?a=1", "GET /t?a=1"]
--- more_headers eval
["", "Authorization: Bearer $::Good"]
--- error_code eval
[401, 200]



=== TEST 17: a limit_except within the location changes nothing
--- config
    location = /t {
        access_token on;
        limit_except GET { allow all; }
    }
--- request eval
["PUT /t", "GET /t"]
--- error_code eval
[401, 401]



=== TEST 18: requests of one connection are judged one by one
--- config
    location = /t { access_token on; }
--- pipelined_requests eval
["GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Good", "Authorization: Bearer $::Revoked",
 "", "Authorization: Bearer $::Group"]
--- error_code eval
[200, 401, 401, 200]



=== TEST 19: the body of a request is still there after the wait
--- config
    location = /t {
        access_token on;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up;
        add_header X-Body $request_body;
    }
    location = /up { return 200 "up\n"; }
--- request
POST /t
the body
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_headers
X-Body: the body
--- response_body
up



=== TEST 20: the body of a refused request is read away
--- config
    location = /t { access_token on; }
--- pipelined_requests eval
["POST /t\nthe body", "GET /t"]
--- more_headers eval
["", "Authorization: Bearer $::Good"]
--- error_code eval
[401, 200]



=== TEST 21: a denied address costs no look-up
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_cache off;
--- config
    location = /t {
        access_token on;
        deny all;
    }
--- more_headers eval
"Authorization: Bearer $::Unknown"
--- error_code: 403
--- response_body_like: nginx
--- error_log
access forbidden by rule
--- no_error_log
access token



=== TEST 22: no log has the token, at any level that is not for debugging
--- config
    error_log logs/error.log info;
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Good", "Authorization: Bearer $::Revoked",
 "Authorization: Bearer $::Unknown"]
--- error_code eval
[200, 401, 401]
--- no_error_log eval
[$::Good, $::Revoked, $::Unknown, substr($::Unknown, 23, 32)]



=== TEST 23: a revocation counts from the next request on
--- config
    location = /t { access_token on; }
--- init
    main::get($main::Fresh) =~ /let in/ or die 'refused before it was revoked';
    main::put_token(token => $main::Fresh, status => 'r');
    main::redis_cmd('PING');    # before this is answered, nginx is told
--- more_headers eval
"Authorization: Bearer $::Fresh"
--- error_code: 401
--- error_log
client sent revoked access token
