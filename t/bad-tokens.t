# What is no good token: bad input at the edge.  All of it is answered in the
# same words, and none of it but a well-formed token costs a command to Redis.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Good  = put_token(organization => 'acme');
our $Other = put_token(organization => 'acme');
our $Id    = token_id($Good);

# the id of one, the secret of the other, and a checksum that fits
our $Mixed = token(id => $Id, secret => substr($Other, 23, 32));

# one character is another one
our $Typo = $Good;
substr($Typo, 30, 1) =~ tr/0-9A-Za-z/1-9A-Za-z0/;

our $Checksum = $Good;
substr($Checksum, -1) =~ tr/0-9A-Za-z/1-9A-Za-z0/;

our $Http = <<'_EOC_';
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_cache off;
    large_client_header_buffers 4 64k;
_EOC_

our $Config = <<'_EOC_';
    location = /t { access_token on; }
_EOC_

our $Invalid = <<'_EOC_';
WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"
Content-Type: application/problem+json
Cache-Control: no-store
_EOC_

our $Before;

sub look_ups {
    return redis_cmd('INFO', 'commandstats')
           =~ /^cmdstat_hmget:calls=(\d+)/m ? $1 : 0;
}

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my $block = shift;

    $block->set_value('http_config', $Http);
    $block->set_value('config', $Config);
    $block->set_value('user_files', ">>> t\nlet in\n");
    $block->set_value('init', '$main::Before = main::look_ups()');

    if (!defined $block->request) {
        $block->set_value('request', 'GET /t');
    }

    if (!defined $block->error_code) {
        $block->set_value('error_code', '401');
        $block->set_value('response_headers', $Invalid);
    }

    if (!defined $block->error_log && !defined $block->no_error_log) {
        $block->set_value('no_error_log',
                          "[error]\n[alert]\n[crit]\n[emerg]");
    }
});

add_response_body_check(sub {
    my $block = shift;

    is(look_ups() - $Before, $block->look_ups || 0,
       $block->name . ' - look-ups in Redis');
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: the good token, for comparison
--- more_headers eval
"Authorization: Bearer $::Good"
--- error_code: 200
--- response_body
let in
--- look_ups: 1



=== TEST 2: the scheme in lower case is good
--- more_headers eval
"Authorization: bearer $::Good"
--- error_code: 200
--- response_body
let in
--- look_ups: 1



=== TEST 3: the scheme in mixed case is good
--- more_headers eval
"Authorization: bEARER $::Good"
--- error_code: 200
--- response_body
let in
--- look_ups: 1



=== TEST 4: two spaces before the token are good
--- more_headers eval
"Authorization: Bearer  $::Good"
--- error_code: 200
--- response_body
let in
--- look_ups: 1



=== TEST 5: spaces after the token are good
--- more_headers eval
"Authorization: Bearer $::Good   "
--- error_code: 200
--- response_body
let in
--- look_ups: 1



=== TEST 6: the scheme alone is an empty token
--- more_headers
Authorization: Bearer
--- error_log
client sent malformed access token



=== TEST 7: the scheme and a space is an empty token
--- more_headers eval
"Authorization: Bearer "
--- error_log
client sent malformed access token



=== TEST 8: an empty header is an empty token
--- more_headers eval
"Authorization:"
--- error_log
client sent malformed access token



=== TEST 9: a tab before the token
--- more_headers eval
"Authorization: Bearer\t$::Good"
--- error_log
client sent malformed access token



=== TEST 10: a space and a tab before the token
--- more_headers eval
"Authorization: Bearer \t$::Good"
--- error_log
client sent malformed access token



=== TEST 11: a token of one character
--- more_headers
Authorization: Bearer x
--- error_log
client sent malformed access token



=== TEST 12: a token of 8 KiB
--- more_headers eval
"Authorization: Bearer " . ("a" x 8192)
--- error_log
client sent malformed access token



=== TEST 13: a good token with 8 KiB after it
--- more_headers eval
"Authorization: Bearer $::Good" . ("0" x 8192)
--- error_log
client sent malformed access token



=== TEST 14: a good token that is cut off
--- more_headers eval
"Authorization: Bearer " . substr($::Good, 0, -1)
--- error_log
client sent malformed access token



=== TEST 15: another prefix
--- more_headers eval
"Authorization: Bearer " . AccessToken::token(prefix => "bt")
--- error_log
client sent malformed access token



=== TEST 16: the prefix in capitals
--- more_headers eval
"Authorization: Bearer AT_" . substr($::Good, 3)
--- error_log
client sent malformed access token



=== TEST 17: no prefix
--- more_headers eval
"Authorization: Bearer " . substr($::Good, 3)
--- error_log
client sent malformed access token



=== TEST 18: the prefix alone
--- more_headers
Authorization: Bearer at_
--- error_log
client sent malformed access token



=== TEST 19: a dash after the prefix
--- more_headers eval
"Authorization: Bearer at-" . substr($::Good, 3)
--- error_log
client sent malformed access token



=== TEST 20: a wrong checksum
--- more_headers eval
"Authorization: Bearer $::Checksum"
--- error_log
client sent malformed access token



=== TEST 21: a typing error
--- more_headers eval
"Authorization: Bearer $::Typo"
--- error_log
client sent malformed access token



=== TEST 22: a trailing character
--- more_headers eval
"Authorization: Bearer ${main::Good}x"
--- error_log
client sent malformed access token



=== TEST 23: a second word after the token
--- more_headers eval
"Authorization: Bearer $::Good x"
--- error_log
client sent malformed access token



=== TEST 24: a parameter after the token
--- more_headers eval
"Authorization: Bearer $::Good; a=b"
--- error_log
client sent malformed access token



=== TEST 25: a token in quotes
--- more_headers eval
"Authorization: Bearer \"$::Good\""
--- error_log
client sent malformed access token



=== TEST 26: a good token in percent escapes
--- more_headers eval
"Authorization: Bearer at%5F" . substr($::Good, 3)
--- error_log
client sent malformed access token



=== TEST 27: high bytes
--- more_headers eval
"Authorization: Bearer " . ("\xff\xfe\x80" x 20)
--- error_log
client sent malformed access token



=== TEST 28: high bytes in a token of the right length
--- more_headers eval
"Authorization: Bearer " . substr($::Good, 0, 30) . "\xc3\xa9" . substr($::Good, 32)
--- error_log
client sent malformed access token



=== TEST 29: control characters
--- more_headers eval
"Authorization: Bearer \x01\x02\x7f"
--- error_log
client sent malformed access token



=== TEST 30: NUL in the token, which nginx itself refuses
--- more_headers eval
"Authorization: Bearer " . substr($::Good, 0, 30) . "\0" . substr($::Good, 31)
--- error_code: 400
--- error_log
client sent invalid header line



=== TEST 31: a valid id with the secret of another token
--- more_headers eval
"Authorization: Bearer $::Mixed"
--- error_log eval
"client sent unknown access token \"$::Id\""
--- look_ups: 1



=== TEST 32: an id that there is not
--- more_headers eval
"Authorization: Bearer " . AccessToken::token()
--- error_log
client sent unknown access token
--- look_ups: 1



=== TEST 33: another scheme is no token
--- more_headers
Authorization: Basic dXNlcjpwYXNzd29yZA==
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
--- error_log
client sent no access token



=== TEST 34: a scheme that only starts like it is no token
--- more_headers eval
"Authorization: Bearers $::Good"
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
--- error_log
client sent no access token



=== TEST 35: a good token without a scheme is no token
--- more_headers eval
"Authorization: $::Good"
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
--- error_log
client sent no access token



=== TEST 36: two tokens joined by a comma
--- more_headers eval
"Authorization: Bearer $::Good, Bearer $::Other"
--- error_code: 400
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="invalid_request", error_description="The request carries more than one access token"
Content-Type: application/problem+json
Cache-Control: no-store
--- response_body
{"type":"about:blank","title":"Bad Request","status":400,"detail":"The request carries more than one access token"}
--- error_log
client sent more than one access token



=== TEST 37: a good token twice, joined by a comma
--- more_headers eval
"Authorization: Bearer $::Good,$::Good"
--- error_code: 400
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="invalid_request", error_description="The request carries more than one access token"
Content-Type: application/problem+json
Cache-Control: no-store
--- response_body
{"type":"about:blank","title":"Bad Request","status":400,"detail":"The request carries more than one access token"}
--- error_log
client sent more than one access token



=== TEST 38: a good token and a comma
--- more_headers eval
"Authorization: Bearer $::Good,"
--- error_code: 400
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="invalid_request", error_description="The request carries more than one access token"
Content-Type: application/problem+json
Cache-Control: no-store
--- response_body
{"type":"about:blank","title":"Bad Request","status":400,"detail":"The request carries more than one access token"}
--- error_log
client sent more than one access token



=== TEST 39: two Authorization headers, which nginx itself refuses
--- more_headers eval
"Authorization: Bearer $::Good\nAuthorization: Bearer $::Other"
--- error_code: 400
--- error_log
client sent duplicate header line



=== TEST 40: two equal Authorization headers
--- more_headers eval
"Authorization: Bearer $::Good\nauthorization: Bearer $::Good"
--- error_code: 400
--- error_log
client sent duplicate header line



=== TEST 41: two Authorization headers, one of another scheme
--- more_headers eval
"Authorization: Basic dXNlcjpwYXNzd29yZA==\nAuthorization: Bearer $::Good"
--- error_code: 400
--- error_log
client sent duplicate header line



=== TEST 42: an empty Authorization header and a good one
--- more_headers eval
"Authorization:\nAuthorization: Bearer $::Good"
--- error_code: 400
--- error_log
client sent duplicate header line
