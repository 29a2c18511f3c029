# POST .../access-tokens: a token is made, and shown this once.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Gateway;

our $Date = '20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ';
our $Time = "\"$Date\"";
our $InADay = Gateway::in_days(1);
our ($SecondDay, $ThirdDay) = map { substr Gateway::in_days($_), 0, 10 } 2, 3;

add_block_preprocessor(\&Gateway::api_block);
no_long_string();
no_root_location();
run_tests();

__DATA__

=== TEST 1: a token of the organization is made
--- request eval
"POST /api/organizations/acme/access-tokens
{\"name\":\"deploy pipeline\",\"expires_at\":\"$::InADay\"}"
--- error_code: 201
--- raw_response_headers_like eval
qr!Content-Type:\ application/json\r\n(?s:.*)
   Location:\ /api/organizations/acme/access-tokens/[0-9A-Za-z]{20}\r\n!x
--- response_body_like eval
qr!^\{"id":"([0-9A-Za-z]{20})","name":"deploy\ pipeline","description":null,
   "organization":"acme","group":null,"level":"organization",
   "role":"organization_user","admin":false,"status":"active",
   "technical_user":\{"id":"tu_[0-9A-Za-z]{8}([0-9A-Za-z]{8})",
   "username":"bot_acme_\2"\},
   "created_at":$::Time,"created_by":"root","expires_at":"$::InADay",
   "revoked_at":null,"revoked_by":null,"last_used_at":null,
   "token":"at_\1[0-9A-Za-z]{38}"\}\n$!x



=== TEST 2: a token of a group is made
--- request eval
"POST /api/organizations/acme/groups/dev/access-tokens
{\"name\":\"deploy pipeline\",\"expires_at\":\"$::InADay\"}"
--- error_code: 201
--- raw_response_headers_like eval
qr!Location: /api/organizations/acme/groups/dev/access-tokens/[0-9A-Za-z]{20}\r\n!
--- response_body_like eval
qr!"organization":"acme","group":"dev","level":"group",
   "role":"group_user","admin":false,"status":"active",
   "technical_user":\{"id":"tu_[0-9A-Za-z]{8}([0-9A-Za-z]{8})",
   "username":"bot_acme_dev_\1"\}!x



=== TEST 3: a token can have the admin role of its level
--- request eval
["POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\",\"admin\":true}",
"POST /api/organizations/acme/groups/dev/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\",\"admin\":true}",
"POST /api/organizations/acme/groups/dev/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\",\"admin\":false}"]
--- error_code eval
[201, 201, 201]
--- response_body_like eval
['"role":"organization_admin","admin":true',
 '"role":"group_admin","admin":true',
 '"role":"group_user","admin":false']



=== TEST 4: the answer is not for caches
--- request eval
"POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}"
--- error_code: 201
--- response_headers
Cache-Control: no-store
Content-Type: application/json
!WWW-Authenticate
!Retry-After



=== TEST 5: a description can be given, have line feeds, or be null
--- request eval
["POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\",\"description\":\"one\\n\\ttwo\"}",
"POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\",\"description\":null}",
"POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\",\"description\":\"\"}"]
--- error_code eval
[201, 201, 201]
--- response_body_like eval
['"description":"one\\\\n\\\\ttwo"', '"description":null',
 '"description":null']



=== TEST 6: a date is its beginning in UTC
--- request eval
"POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::SecondDay\"}"
--- error_code: 201
--- response_body_like eval
"\"expires_at\":\"${main::SecondDay}T00:00:00Z\""



=== TEST 7: a date-time can have an offset, a fraction, and small letters
--- request eval
my $day = $::ThirdDay;
[map { "POST /api/organizations/acme/access-tokens\n"
       . qq!{"name":"a","expires_at":"${day}$_"}! }
     'T12:30:00+01:00', 'T12:30:00-09:30', 'T12:30:00.999Z',
     't12:30:00z', 'T00:00:00-00:00', 'T23:59:59+23:59']
--- error_code eval
[(201) x 6]
--- response_body_like eval
my $day = $::ThirdDay;
["\"${day}T11:30:00Z\"", "\"${day}T22:00:00Z\"", "\"${day}T12:30:00Z\"",
 "\"${day}T12:30:00Z\"", "\"${day}T00:00:00Z\"", "\"${day}T00:00:59Z\""]



=== TEST 8: the 29th of February of a leap year exists, and ends the calendar's traps
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_root_file $TEST_NGINX_SERVER_ROOT/html/root;
    access_token_max_lifetime off;
--- request eval
[map { "POST /api/organizations/acme/access-tokens\n"
       . qq!{"name":"a","expires_at":"$_"}! }
     qw(2096-02-29 2096-12-31 2100-03-01 2400-02-29 2101-01-01
        9999-12-31T23:59:59Z)]
--- error_code eval
[(201) x 6]
--- response_body_like eval
[map { "\"expires_at\":\"$_\"" }
     qw(2096-02-29T00:00:00Z 2096-12-31T00:00:00Z 2100-03-01T00:00:00Z
        2400-02-29T00:00:00Z 2101-01-01T00:00:00Z 9999-12-31T23:59:59Z)]



=== TEST 9: without a maximum lifetime a token may never expire
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_root_file $TEST_NGINX_SERVER_ROOT/html/root;
    access_token_max_lifetime off;
--- request eval
['POST /api/organizations/acme/access-tokens
{"name":"a"}',
'POST /api/organizations/acme/access-tokens
{"name":"a","expires_at":null}']
--- error_code eval
[201, 201]
--- response_body_like eval
['"expires_at":null', '"expires_at":null']



=== TEST 10: the maximum lifetime is that of the configuration
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_root_file $TEST_NGINX_SERVER_ROOT/html/root;
    access_token_max_lifetime 2d;
--- request eval
["POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}",
"POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"" . Gateway::in_days(3) . '"}']
--- error_code eval
[201, 422]
--- response_body_like eval
['"token"',
 qr!"pointer":"/expires_at","detail":"has to be at most 2 days from now: $::Date"!]



=== TEST 11: a name is counted in characters, not in bytes
--- request eval
[map { "POST /api/organizations/acme/access-tokens\n"
       . qq!{"name":"$_","expires_at":"$::InADay"}! }
     "\xf0\x9f\x94\x91" x 100, "\xc3\xa9" x 100, '\u00e9' x 100,
     '\ud83d\udd11' x 100, ' a ', '\"\\\\/']
--- error_code eval
[(201) x 6]
--- response_body_like eval
["\"name\":\"(\xf0\x9f\x94\x91){100}\"", "\"name\":\"(\xc3\xa9){100}\"",
 "\"name\":\"(\xc3\xa9){100}\"", "\"name\":\"(\xf0\x9f\x94\x91){100}\"",
 '"name":" a "', '"name":"\\\\"\\\\\\\\/"']



=== TEST 12: the type of the body may have parameters, in any case
--- request eval
"POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}"
--- more_headers eval
"Authorization: bearer " . Gateway->root . "
Content-Type: Application/JSON; charset=utf-8"
--- error_code: 201



=== TEST 13: the prefix of tokens is that of the configuration
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    access_token_root_file $TEST_NGINX_SERVER_ROOT/html/root;
    access_token_prefix acme_pat;
--- request eval
"POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}"
--- error_code: 201
--- response_body_like chop
"token":"acme_pat_[0-9A-Za-z]{58}"



=== TEST 14: the API lies below any prefix, with a slash at its end or without
--- config
    location /admin/tokens { access_token_api; }
    location /deep/er/ { access_token_api; }
--- request eval
["POST /admin/tokens/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}",
"POST /deep/er/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}",
"POST /admin/tokensorganizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}",
"POST /admin/tokens2/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}"]
--- error_code eval
[201, 201, 404, 404]
--- raw_response_headers_like eval
['Location: /admin/tokens/organizations/acme/access-tokens/\w{20}\r\n',
 'Location: /deep/er/organizations/acme/access-tokens/\w{20}\r\n',
 'problem', 'problem']



=== TEST 15: the API can be the whole server
--- config
    location / { access_token_api; }
--- request eval
"POST /organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}"
--- error_code: 201
--- raw_response_headers_like chop
Location: /organizations/acme/access-tokens/\w{20}\r\n



=== TEST 16: query parameters of a POST mean nothing
--- request eval
"POST /api/organizations/acme/access-tokens?name=b&limit=0
{\"name\":\"a\",\"expires_at\":\"$::InADay\"}"
--- error_code: 201
--- raw_response_headers_like chop
Location: /api/organizations/acme/access-tokens/\w{20}\r\n
