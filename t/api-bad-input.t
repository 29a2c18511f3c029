# What the API refuses: bodies, members, times, names, ids, parameters.  Each
# answer says what is wrong and where, and nothing is made of any of it.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Gateway;

our $InADay = Gateway::in_days(1);

# A POST of a body as it is, and of members.

sub body {
    my ($body) = @_;
    return "POST /api/organizations/bad/access-tokens\n$body";
}

sub members {
    my ($members) = @_;
    return body("{\"name\":\"a\",\"expires_at\":\"$InADay\",$members}");
}

sub name    { return body(qq!{"name":$_[0],"expires_at":"$InADay"}!) }
sub expires { return body(qq!{"name":"a","expires_at":$_[0]}!) }
sub list    { return "GET /api/organizations/bad/access-tokens?$_[0]" }

# The entry of one bad member or parameter, and that it is the only one.

sub entry {
    my ($where, $detail) = @_;
    return qr/"errors":\[\{"pointer":"\Q$where\E","detail":"$detail[^{}]*"\}\]/;
}

sub parameter {
    my ($where, $detail) = @_;
    return qr/"errors":\[\{"parameter":"\Q$where\E",
              "detail":"\Q$detail\E[^{}]*"\}\]/x;
}

sub detail {
    my ($detail) = @_;
    return qr/^\{"type":"about:blank","title":"[^"]+","status":4\d\d,
               "detail":"\Q$detail\E"\}\n$/x;
}

add_block_preprocessor(sub {
    my ($block) = @_;

    Gateway::api_block($block);

    # whatever is refused, nothing came to be
    $block->set_value(init => 'main::flush()');
});

add_test_cleanup_handler(sub {
    my ($block) = @_;

    is_deeply(redis_cmd('KEYS', '*'), [],
              $block->name . ' - nothing was made of it');
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: what is not JSON is 400, with the place and the reason
--- request eval
[map { main::body($_) }
     'not json', '{', '{"name":', '{"name":"a"', '{"name":"a",}', "{'name':1}",
     '{"name":"a"} x', '{"name":"a"}{}', '{"a":tru}', '{"a":01}', '{"a":1e999}',
     '{"a":99999999999999999999}', '{"a":NaN}', '"a', "\xef\xbb\xbf{}",
     'name=a&expires_at=2027-01-01', '<name>a</name>']
--- error_code eval
[(400) x 17]
--- response_body_like eval
[qr/"detail":"The body is not JSON: line 1, column \d+: a syntax error"/,
 (qr/"detail":"The body is not JSON: line 1, column \d+: [a-z ]+"/) x 16]



=== TEST 2: what is empty is 400, and so is white space
--- request eval
["POST /api/organizations/bad/access-tokens",
 "POST /api/organizations/bad/access-tokens\n \r\n"]
--- more_headers eval
["Authorization: Bearer " . Gateway->root,
 "Authorization: Bearer " . Gateway->root . "
Content-Type: application/json
Content-Length: 3"]
--- error_code eval
[400, 400]
--- response_body_like eval
[main::detail('The body is empty: send a JSON object'),
 qr/"detail":"The body is not JSON: line \d, column \d: it ends too early"/]



=== TEST 3: a member that is given twice is 400
--- request eval
[main::members('"name":"b"'), main::members('"x":{"a":1,"a":2}'),
 main::members('"n\u0061me":"b"')]
--- error_code eval
[400, 400, 400]
--- response_body_like eval
[(qr/a member is given twice/) x 3]



=== TEST 4: what is nested deeper than 16 is 400, however deep, and not a crash
--- request eval
[main::members('"x":' . '[' x 15 . ']' x 15),
 main::members('"x":' . '[' x 16 . ']' x 16),
 main::members('"x":' . '{"a":' x 16 . '1' . '}' x 16),
 main::body('[' x 60000), main::body('{"a":' x 13000),
 main::members('"x":"' . '[' x 100 . '"'),
 main::members('"x":"\"' . '[' x 100 . '"')]
--- error_code eval
[422, 400, 400, 400, 400, 422, 422]
--- response_body_like eval
[main::entry('/x', 'is not known here'),
 (main::detail('The body is nested deeper than 16')) x 4,
 (main::entry('/x', 'is not known here')) x 2]



=== TEST 5: invalid UTF-8 is 400, in values and in names of members
--- request eval
[map { main::name("\"$_\"") }
     "\xff", "a\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
     "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80"]
--- error_code eval
[(400) x 8]
--- response_body_like eval
[(qr/line 1, column \d+: invalid UTF-8/) x 8]



=== TEST 6: U+0000 is 400, raw or escaped, and so is half a surrogate pair
--- request eval
[main::name("\"a\0b\""), main::name('"a\u0000b"'),
 main::members('"a\u0000":1'), main::name('"\ud800"'),
 main::name('"\udc00\ud800"')]
--- error_code eval
[(400) x 5]
--- response_body_like eval
[qr/The body is not JSON/, (qr/U\+0000 is not allowed/) x 2,
 (qr/The body is not JSON/) x 2]



=== TEST 7: JSON that is no object is 422
--- request eval
[map { main::body($_) } '[]', '"a"', '1', 'null', 'true',
 '[{"name":"a","expires_at":"2027-01-01"}]']
--- error_code eval
[(422) x 6]
--- response_body_like eval
[(qr/"errors":\[\{"pointer":"","detail":"has to be an object"\}/) x 6]



=== TEST 8: unknown members are 422, each by its pointer, and told what there is
--- request eval
[main::members('"expires":1'), main::members('"Admin":true'),
 main::members('"id":"x"'), main::members('"a/b~c":1'),
 main::members('"":1'), main::members('"' . 'x' x 65 . '":1'),
 main::members('"grace_seconds":1')]
--- error_code eval
[(422) x 7]
--- response_body_like eval
[map { main::entry($_, 'is not known here: use name, description, '
                       . 'expires_at, admin') }
     '/expires', '/Admin', '/id', '/a~1b~0c', '/', '', '/grace_seconds']



=== TEST 9: all bad members are named at once
--- request eval
main::body('{"name":"","description":1,"expires_at":"soon","admin":"yes","x":2}')
--- error_code: 422
--- response_headers
Content-Type: application/problem+json
Cache-Control: no-store
--- response_body_like eval
qr!^\{"type":"about:blank","title":"Unprocessable\ Content","status":422,
   "detail":"The\ body\ is\ not\ valid;[^{}]*","errors":\[
   \{"pointer":"/name","detail":"has\ to\ be\ a\ string\ of\ 1\ to\ 100[^{}]*"\},
   \{"pointer":"/description","detail":"has\ to\ be\ null\ or[^{}]*"\},
   \{"pointer":"/expires_at","detail":"has\ to\ be\ a\ date[^{}]*"\},
   \{"pointer":"/admin","detail":"has\ to\ be\ true\ or\ false"\},
   \{"pointer":"/x","detail":"is\ not\ known[^{}]*"\}\]\}\n$!x



=== TEST 10: all missing members are named at once
--- request eval
main::body('{}')
--- error_code: 422
--- raw_response_headers_like chop
^HTTP/1.1 422 Unprocessable Content
--- response_body_like eval
qr!"errors":\[\{"pointer":"/name","detail":"is\ required[^{}]*"\},
   \{"pointer":"/expires_at","detail":"is\ required[^{}]*"\}\]!x



=== TEST 11: members of another type are 422
--- request eval
[(map { main::name($_) } 'null', '1', 'true', '[]', '{}', '["a"]'),
 (map { main::members("\"description\":$_") } '1', 'false', '[]', '{}'),
 (map { main::expires($_) } 'null', '1798761600', 'true', '[]', '{}'),
 (map { main::members("\"admin\":$_") } 'null', '1', '0', '"true"', '[]')]
--- error_code eval
[(422) x 20]
--- response_body_like eval
[(main::entry('/name', 'has to be')) x 6,
 (main::entry('/description', 'has to be')) x 4,
 (main::entry('/expires_at', 'has to be')) x 5,
 (main::entry('/admin', 'has to be')) x 5]



=== TEST 12: names that are empty, blank, over-long or have control characters
--- request eval
[map { main::name("\"$_\"") }
     '', ' ', ' ' x 50, 'x' x 101, "\xc3\xa9" x 101, 'x' x 60000, 'a\nb',
     'a\u0007', 'a\u001f', 'a\u007fb', "a\x7f", '\u0085', "\xc2\x9f", 'a\tb']
--- error_code eval
[(422) x 14]
--- response_body_like eval
[(main::entry('/name', 'has to be a string of 1 to 100 characters')) x 14]



=== TEST 13: descriptions that are over-long or have control characters
--- request eval
[map { main::members("\"description\":\"$_\"") }
     'x' x 256, "\xc3\xa9" x 256, 'a\rb', 'a\u0001', '\u009f', '\u007f']
--- error_code eval
[(422) x 6]
--- response_body_like eval
[(main::entry('/description', 'has to be null or a string')) x 6]



=== TEST 14: times that do not exist, or are not written as RFC 3339 says
--- request eval
[map { main::expires("\"$_\"") }
     '2027-02-30', '2027-02-29', '2100-02-29', '2027-04-31', '2027-13-01',
     '2027-00-10', '2027-01-00', '2027-01-32', '2027-1-1', '27-01-01',
     '02027-01-01', '2027/01/01', '2027-01-01T', '2027-01-01T12:00Z',
     '2027-01-01T24:00:00Z', '2027-01-01T12:60:00Z', '2027-01-01T12:00:60Z',
     '2027-01-01T12:00:00', '2027-01-01T12:00:00.Z', '2027-01-01T12:00:00+1',
     '2027-01-01T12:00:00+0100', '2027-01-01T12:00:00+24:00',
     '2027-01-01T12:00:00+01:60', '2027-01-01T12:00:00ZZ',
     '2027-01-01T12:00:00Z ', ' 2027-01-01', '2027-01-01 12:00:00Z',
     '-027-01-01', '1969-12-31', '9999-12-31T23:59:59-00:01', '10000-01-01',
     'tomorrow', '', '+', '2027-01-01T12:00:00+', '20270101',
     '2027-01-01T-1:00:00Z', '2027-01-01T12:00:00.5', '1798761600']
--- error_code eval
[(422) x 39]
--- response_body_like eval
[(main::entry('/expires_at', 'has to be a date that exists')) x 39]



=== TEST 15: times in the past, today, now and beyond the maximum lifetime
--- request eval
[main::expires('"1970-01-01"'), main::expires('"2020-01-31"'),
 main::expires('"' . substr(Gateway::in_days(0), 0, 10) . '"'),
 main::expires('"' . Gateway::in_days(0) . '"'),
 main::expires('"' . Gateway::in_days(365.1) . '"'),
 main::expires('"9999-12-31"')]
--- error_code eval
[(422) x 6]
--- response_body_like eval
[(main::entry('/expires_at', 'has to lie ahead')) x 4,
 (main::entry('/expires_at', 'has to be at most 365 days from now: '
                             . '20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ')) x 2]



=== TEST 16: ids with escapes, over-long ones, and other spellings are 404
--- request eval
[map { "GET /api/organizations/$_" }
     '%2e%2e/access-tokens', 'a%2Fb/access-tokens', '../access-tokens',
     'x' x 65 . '/access-tokens', '.hidden/access-tokens',
     'a%20b/access-tokens', 'a:b/access-tokens', 'a/access-tokens/',
     'a//access-tokens', "\xc3\xa9/access-tokens",
     'a/groups/' . 'x' x 65 . '/access-tokens', 'a/groups/.g/access-tokens',
     'a/access-tokens/short', 'a/access-tokens/' . 'x' x 21,
     'a/access-tokens/' . 'x' x 19 . '_', 'a/access-tokens/' . 'x' x 20 . '/no',
     'a/groups/g', 'a', 'a/', 'a/tokens', '']
--- error_code eval
[(404) x 21]
--- response_body_like eval
[(qr/"title":"Not Found","status":404/) x 21]



=== TEST 17: NUL in a path is nginx's own 400
--- raw_request eval
"GET /api/organizations/a%00b/access-tokens HTTP/1.1\r
Host: localhost\r
Connection: close\r
Authorization: Bearer " . Gateway->root . "\r
\r
"
--- error_code: 400



=== TEST 18: ids of 64 are ids
--- request eval
["GET /api/organizations/" . 'x' x 64 . '/access-tokens',
 "GET /api/organizations/a.b_c-D9/groups/-._/access-tokens"]
--- error_code eval
[200, 200]
--- response_body_like eval
[('^\{"access_tokens":\[\],"next_cursor":null\}$') x 2]



=== TEST 19: parameters that are unknown, twice or of bad value are 422
--- request eval
[map { main::list($_) }
     'x=1', 'limit=0', 'limit=101', 'limit=-1', 'limit=', 'limit',
     'limit=1.5', 'limit=99999999999999999999', 'limit=1&limit=1', 'cursor=',
     'cursor=x', 'cursor=' . 'A' x 19 . '%00', 'status=', 'status=Active',
     'status=unknown', 'role=organization_admin', 'role=', 'search=',
     'search=' . 'x' x 101, 'search=%ff', 'search=%c3%ff', 'search=%c0%af',
     'search=%00', 'search=%0a',
     'search=%', 'search=%4', 'search=%zz', 'access_token=x', '%6cimit=1']
--- error_code eval
[(422) x 29]
--- response_body_like eval
[main::parameter('x', 'is not known here: use limit, cursor, status, role, search'),
 (main::parameter('limit', 'has to be a number from 1 to 100')) x 7,
 main::parameter('limit', 'is given twice'),
 (main::parameter('cursor', 'has to be the next_cursor')) x 3,
 (main::parameter('status', 'has to be active, revoked or expired')) x 3,
 (main::parameter('role', 'has to be admin or user')) x 2,
 (main::parameter('search', 'has to be 1 to 100 characters')) x 7,
 (main::parameter('search', 'has a percent-escape')) x 3,
 main::parameter('access_token', 'is not known here'),
 main::parameter('%6cimit', 'is not known here')]



=== TEST 20: all bad parameters are named at once
--- request eval
main::list('limit=0&x=1&&status=no&role=&search=')
--- error_code: 422
--- response_body_like eval
qr!"errors":\[\{"parameter":"limit",[^{}]*\},\{"parameter":"x",[^{}]*\},
   \{"parameter":"status",[^{}]*\},\{"parameter":"role",[^{}]*\},
   \{"parameter":"search",[^{}]*\}\]!x



=== TEST 21: lists of names know only limit and cursor
--- request eval
['GET /api/organizations?status=active', 'GET /api/organizations?search=a',
 'GET /api/organizations/bad/groups?role=admin',
 'GET /api/organizations?cursor=.x', 'GET /api/organizations/bad/groups?limit=0']
--- error_code eval
[(422) x 5]
--- response_body_like eval
[main::parameter('status', 'is not known here: use limit, cursor'),
 main::parameter('search', 'is not known here: use limit, cursor'),
 main::parameter('role', 'is not known here: use limit, cursor'),
 main::parameter('cursor', 'has to be the next_cursor'),
 main::parameter('limit', 'has to be a number from 1 to 100')]



=== TEST 22: a name that cannot be said in JSON is not repeated
--- request eval
[main::list("\xff=1"), main::list('x' x 65 . '=1')]
--- error_code eval
[422, 422]
--- response_body_like eval
[(main::parameter('', 'is not known here')) x 2]



=== TEST 23: a change without a member, or with a bad one, is 422
--- request eval
my $token = '/api/organizations/bad/access-tokens/' . 'A' x 20;
["PATCH $token\n{}", "PATCH $token\n{\"admin\":true}",
 "PATCH $token\n{\"name\":null}", "PATCH $token\n{\"expires_at\":null}",
 "PATCH $token\n[]", "PATCH $token", "PATCH $token\n{\"description\":1}",
 "PATCH $token\n{\"expires_at\":\"2020-01-01\"}"]
--- error_code eval
[422, 422, 422, 422, 422, 422, 422, 422]
--- response_body_like eval
[main::entry('', 'has to hold one at least of name, description, expires_at'),
 qr/"pointer":"\/admin","detail":"is not known here: use name, description, expires_at"/,
 main::entry('/name', 'has to be a string'),
 main::entry('/expires_at', 'has to be a date'),
 main::entry('', 'has to be an object'),
 main::entry('', 'has to hold one at least'),
 main::entry('/description', 'has to be null or'),
 main::entry('/expires_at', 'has to lie ahead')]



=== TEST 24: revoke and activate take no members, rotate one of a known range
--- request eval
my $token = '/api/organizations/bad/access-tokens/' . 'A' x 20;
["POST $token/revoke\n{\"reason\":\"x\"}", "POST $token/activate\n{\"a\":1}",
 "POST $token/revoke\n[]",
 (map { "POST $token/rotate\n{\"grace_seconds\":$_}" }
      -1, 86401, '1.5', '60.0', '"60"', 'null', 'true'),
 "POST $token/rotate\n{\"grace\":1}"]
--- error_code eval
[(422) x 11]
--- response_body_like eval
[main::entry('/reason', 'is not known here: send no members'),
 main::entry('/a', 'is not known here: send no members'),
 main::entry('', 'has to be an object'),
 (main::entry('/grace_seconds', 'has to be a whole number from 0 to 86400')) x 7,
 main::entry('/grace', 'is not known here: use grace_seconds')]



=== TEST 25: a refusal is logged once, at info, without what was sent
--- request eval
main::name('"' . 'SAID' x 26 . '"')
--- error_code: 422
--- error_log
[info]
access token API refused with 422: The body is not valid; "errors" names each bad member, caller: "root"
--- no_error_log
SAIDSAID
[error]
[alert]
[crit]
[emerg]
