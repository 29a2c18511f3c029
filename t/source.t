# access_token_source: where a token is looked for.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Good  = put_token(organization => 'acme');
our $Other = put_token(organization => 'acme');

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

=== TEST 1: the default is the bearer token of RFC 6750, and that alone
--- config
    location = /t { access_token on; }
--- request eval
["GET /t", "GET /t?access_token=$::Good", "GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Good", "", "X-Access-Token: $::Good",
 "Cookie: access_token=$::Good"]
--- error_code eval
[200, 401, 401, 401]



=== TEST 2: a header, whose name is matched in any case
--- config
    location = /t {
        access_token on;
        access_token_source header=X-Access-Token;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["X-Access-Token: $::Good", "x-ACCESS-token: $::Good",
 "Authorization: Bearer $::Good", "X-Access-Token: Bearer $::Good"]
--- error_code eval
[200, 200, 401, 401]



=== TEST 3: a header that is there but empty is a malformed token
--- config
    location = /t {
        access_token optional;
        access_token_source header=X-Access-Token;
    }
--- more_headers
X-Access-Token:
--- error_code: 401
--- response_headers_like
WWW-Authenticate: .*error="invalid_token".*
--- error_log
client sent malformed access token



=== TEST 4: the header Authorization without a scheme
--- config
    location = /t {
        access_token on;
        access_token_source header=Authorization;
    }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: $::Good", "Authorization: Bearer $::Good"]
--- error_code eval
[200, 401]



=== TEST 5: a cookie, among others
--- config
    location = /t {
        access_token on;
        access_token_source cookie=token;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["Cookie: token=$::Good",
 "Cookie: a=b; token=$::Good; c=d",
 "Cookie: a=b;token=$::Good;c=d",
 "Cookie: a=b\nCookie: token=$::Good",
 "Cookie: token=$::Good ;"]
--- error_code eval
[200, 200, 200, 200, 200]



=== TEST 6: cookies of other names are no token
--- config
    location = /t {
        access_token on;
        access_token_source cookie=token;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["Cookie: Token=$::Good", "Cookie: xtoken=$::Good", "Cookie: tokens=$::Good",
 "Cookie: a=token=$::Good", "Cookie: token"]
--- error_code eval
[401, 401, 401, 401, 401]
--- grep_error_log eval
qr/client sent [a-z ]+token/
--- grep_error_log_out eval
["client sent no access token\n", "client sent no access token\n",
 "client sent no access token\n", "client sent no access token\n",
 "client sent no access token\n"]



=== TEST 7: a cookie that is there but empty is a malformed token
--- config
    location = /t {
        access_token optional;
        access_token_source cookie=token;
    }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Cookie: token=", "Cookie: token=; a=b"]
--- error_code eval
[401, 401]
--- error_log
client sent malformed access token



=== TEST 8: an argument of the query
--- config
    location = /t {
        access_token on;
        access_token_source query=access_token;
    }
--- request eval
["GET /t?access_token=$::Good", "GET /t?a=b&access_token=$::Good&c=d",
 "GET /t?a=b&access_token=$::Good", "GET /t?&&access_token=$::Good&",
 "GET http://localhost/t?access_token=$::Good"]
--- error_code eval
[200, 200, 200, 200, 200]



=== TEST 9: arguments of other names are no token
--- config
    location = /t {
        access_token on;
        access_token_source query=access_token;
    }
--- request eval
["GET /t?Access_token=$::Good", "GET /t?xaccess_token=$::Good",
 "GET /t?access_tokens=$::Good", "GET /t?a=access_token=$::Good",
 "GET /t?a=b#access_token=$::Good", "GET /t?", "GET /t"]
--- error_code eval
[401, 401, 401, 401, 401, 401, 401]
--- error_log
client sent no access token
--- no_error_log
malformed



=== TEST 10: an argument that is there but empty is a malformed token
--- config
    location = /t {
        access_token optional;
        access_token_source query=access_token;
    }
--- request eval
["GET /t?access_token=", "GET /t?access_token", "GET /t?access_token&a=b"]
--- error_code eval
[401, 401, 401]
--- error_log
client sent malformed access token



=== TEST 11: no value is decoded
--- config
    location = /t {
        access_token on;
        access_token_source query=access_token cookie=token;
    }
--- request eval
["GET /t?access_token=at%5F" . substr($::Good, 3),
 "GET /t?access_token=+$::Good", "GET /t"]
--- more_headers eval
["", "", "Cookie: token=\"$::Good\""]
--- error_code eval
[401, 401, 401]
--- error_log
client sent malformed access token



=== TEST 12: the argument counts that the client sent, whatever became of it
--- config
    location = /t {
        set $args "";
        access_token on;
        access_token_source query=access_token;
        add_header X-Args "[$args]";
    }
    location = /u {
        set $args "access_token=none";
        access_token on;
        access_token_source query=access_token;
    }
--- user_files
>>> t
let in
>>> u
let in
--- request eval
["GET /t?access_token=$::Good", "GET /u"]
--- error_code eval
[200, 401]
--- response_headers eval
["X-Args: []", "WWW-Authenticate: Bearer realm=\"gateway\""]



=== TEST 13: several sources, one token in any of them
--- config
    location = /t {
        access_token on;
        access_token_source bearer header=X-Access-Token cookie=token
                            query=access_token;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t?access_token=$::Good", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Good", "X-Access-Token: $::Good",
 "Cookie: token=$::Good", "", ""]
--- error_code eval
[200, 200, 200, 200, 401]



=== TEST 14: two sources with a token each
--- config
    location = /t {
        access_token on;
        access_token_source bearer header=X-Access-Token cookie=token
                            query=access_token;
    }
--- request eval
["GET /t", "GET /t", "GET /t?access_token=$::Good",
 "GET /t?access_token=$::Other"]
--- more_headers eval
["Authorization: Bearer $::Good\nX-Access-Token: $::Other",
 "X-Access-Token: $::Good\nCookie: token=$::Good",
 "Cookie: token=$::Good",
 "Authorization: Bearer $::Good"]
--- error_code eval
[400, 400, 400, 400]
--- response_headers eval
[(qq{WWW-Authenticate: Bearer realm="gateway", error="invalid_request", error_description="The request carries more than one access token"}) x 4]
--- error_log
client sent more than one access token



=== TEST 15: an empty token and a good one are two
--- config
    location = /t {
        access_token on;
        access_token_source bearer header=X-Access-Token;
    }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Good\nX-Access-Token:",
 "Authorization: Bearer\nX-Access-Token: $::Good"]
--- error_code eval
[400, 400]



=== TEST 16: two tokens in one source
--- config
    location = /header {
        access_token on;
        access_token_source header=X-Access-Token;
    }
    location = /cookie {
        access_token on;
        access_token_source cookie=token;
    }
    location = /query {
        access_token on;
        access_token_source query=access_token;
    }
--- request eval
["GET /header", "GET /header", "GET /cookie", "GET /cookie", "GET /cookie",
 "GET /query?access_token=$::Good&access_token=$::Good",
 "GET /query?access_token=$::Good&access_token",
 "GET /query?access_token=$::Good,$::Other"]
--- more_headers eval
["X-Access-Token: $::Good\nX-Access-Token: $::Other",
 "X-Access-Token: $::Good, $::Other",
 "Cookie: token=$::Good; token=$::Good",
 "Cookie: token=$::Good\nCookie: token=$::Other",
 "Cookie: token=$::Good,token=$::Other", "", "", ""]
--- error_code eval
[400, 400, 400, 400, 400, 400, 400, 400]



=== TEST 17: a token where it is not looked for is not seen
--- config
    location = /t {
        access_token on;
        access_token_source header=X-Access-Token;
    }
--- more_headers eval
"Authorization: Bearer $::Other\nX-Access-Token: $::Good"
--- response_body
let in



=== TEST 18: sources are inherited, and replaced as a whole
--- config
    access_token on;
    access_token_source header=X-Access-Token;
    location = /t { }
    location = /cookie { access_token_source cookie=token; }
--- user_files
>>> t
let in
>>> cookie
let in
--- request eval
["GET /t", "GET /cookie", "GET /cookie"]
--- more_headers eval
["X-Access-Token: $::Good", "X-Access-Token: $::Good",
 "Cookie: token=$::Good"]
--- error_code eval
[200, 401, 200]



=== TEST 19: the name of an argument may be escaped, in whole or in part
--- config
    location = /t {
        access_token on;
        access_token_source query=a-Token_1.x;
    }
--- request eval
["GET /t?%61-Token_1.x=$::Good", "GET /t?a-%54oken%5F1.%78=$::Good",
 "GET /t?b=c&%61%2d%54%6f%6B%65%6e%5f%31%2E%78=$::Good&d"]
--- error_code eval
[200, 200, 200]



=== TEST 20: an escaped name is a token beside a plain one
--- config
    location = /t {
        access_token on;
        access_token_source query=t bearer;
    }
--- request eval
["GET /t?t=$::Good&%74=$::Other", "GET /t?%74=$::Other&t=$::Good",
 "GET /t?%74=$::Good&%74=$::Good", "GET /t?t=$::Good&%74",
 "GET /t?t=$::Good&%74=", "GET /t?%74=$::Good"]
--- more_headers eval
["", "", "", "", "", "Authorization: Bearer $::Other"]
--- error_code eval
[400, 400, 400, 400, 400, 400]



=== TEST 21: what is decoded once is another name, and so is half an escape
--- config
    location = /t {
        access_token on;
        access_token_source query=t4;
    }
--- request eval
[map { "GET /t?$_=$::Good" }
 '%2574%34', '%744', 't%', 't%3', 't%zz', 't%334', 't%34%00', 't+4', 't4+',
 '%74%3', 't4%3D', '%544', 't%34%20']
--- error_code eval
[401, 200, (401) x 11]
--- no_error_log
malformed
[error]
[alert]
[crit]
[emerg]



=== TEST 22: a fragment, which no client may send, hides no token
--- config
    location = /t {
        access_token on;
        access_token_source query=access_token;
    }
--- request eval
["GET /t?access_token=$::Good#", "GET /t?access_token=$::Good#&a",
 "GET /t?access_token=$::Good#&access_token=$::Good",
 "GET /t#?access_token=$::Good&access_token=$::Good"]
--- error_code eval
[401, 401, 400, 400]
