# access_token_api_identity: who is known to what is in front of the API.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Gateway;

our $InADay = Gateway::in_days(1);
our $Create = "POST /api/organizations/acme/access-tokens\n"
              . "{\"name\":\"a\",\"expires_at\":\"$InADay\"}";
our $Admin = 'X-User: alice
X-Roles: organization_admin:acme';

our $User = put_token(organization => 'acme');

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(config => <<'END') unless defined $block->config;
    location /api/ {
        access_token_api;
        access_token_api_identity $http_x_user $http_x_roles;
    }
END

    Gateway::api_block($block);
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: an identity with an admin role reads
--- request
GET /api/organizations/acme/access-tokens
--- more_headers eval
$::Admin



=== TEST 2: an identity makes a token, in the name of its user
--- request eval
$::Create
--- more_headers eval
"$::Admin
Content-Type: application/json"
--- error_code: 201
--- response_body_like chop
"created_by":"user:alice"



=== TEST 3: without a user there is no caller
--- request
GET /api/organizations/acme/access-tokens
--- more_headers
X-Roles: organization_admin:acme
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"



=== TEST 4: without roles there are no rights
--- request
GET /api/organizations/acme/access-tokens
--- more_headers
X-User: alice
--- error_code: 403



=== TEST 5: where no identity is trusted, its headers say nothing
--- config
    location /api/ { access_token_api; }
--- request
GET /api/organizations/acme/access-tokens
--- more_headers eval
$::Admin
--- error_code: 401



=== TEST 6: roles are separated by spaces or commas, and strange ones are nothing
--- request
GET /api/organizations/acme/access-tokens
--- more_headers
X-User: alice
X-Roles: reader,,  offline_access  organization_user:x , organization_admin:acme:x,organization_admin:acme
--- error_code: 200



=== TEST 7: a bearer token decides alone: a bad one is 401, never the identity
--- more_headers eval
["$::Admin\nAuthorization: Bearer " . main::token(),
 "$::Admin\nAuthorization: Bearer rubbish", "$::Admin\nAuthorization: Bearer"]
--- request eval
[('GET /api/organizations/acme/access-tokens') x 3]
--- error_code eval
[401, 401, 401]
--- response_headers eval
[('WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"') x 3]



=== TEST 8: a bearer token without rights is 403, never the identity
--- request
GET /api/organizations/acme/access-tokens
--- more_headers eval
"$::Admin
Authorization: Bearer $::User"
--- error_code: 403



=== TEST 9: another scheme is no bearer token, so the identity counts
--- request
GET /api/organizations/acme/access-tokens
--- more_headers eval
"$::Admin
Authorization: Basic YWxpY2U6eA=="
--- error_code: 200



=== TEST 10: a change that a foreign page could send is refused
--- request eval
[map { "$_->[0] /api/organizations/acme/access-tokens$_->[1]" }
     ['POST', "\nname=a"], ['DELETE', '/' . 'A' x 20],
     ['POST', '/' . 'A' x 20 . '/revoke'], ['POST', '/' . 'A' x 20 . '/rotate'],
     ['PATCH', '/' . 'A' x 20]]
--- more_headers eval
["$::Admin\nContent-Type: text/plain", ("$::Admin") x 4]
--- error_code eval
[(403) x 5]
--- response_body_like eval
[('needs Content-Type: application/json or a header X-Requested-With') x 5]



=== TEST 11: X-Requested-With or a type of JSON makes it a change of one's own
--- request eval
['DELETE /api/organizations/acme/access-tokens/' . 'A' x 20,
 'DELETE /api/organizations/acme/access-tokens/' . 'A' x 20,
 'POST /api/organizations/acme/access-tokens/' . 'A' x 20 . '/revoke',
 'PATCH /api/organizations/acme/access-tokens/' . 'A' x 20 . "\n{\"name\":\"b\"}"]
--- more_headers eval
["$::Admin\nX-Requested-With: XMLHttpRequest",
 "$::Admin\nContent-Type: application/json",
 "$::Admin\nx-requested-with: console",
 "$::Admin\nContent-Type: application/merge-patch+json"]
--- error_code eval
[404, 404, 404, 404]



=== TEST 12: an empty X-Requested-With is none
--- request eval
'DELETE /api/organizations/acme/access-tokens/' . 'A' x 20
--- more_headers eval
"$::Admin
X-Requested-With:"
--- error_code: 403



=== TEST 13: a change from another site is refused, whatever else it carries
--- request eval
[($::Create) x 6]
--- more_headers eval
[map { "$::Admin\nContent-Type: application/json\nX-Requested-With: x\n$_" }
     'Sec-Fetch-Site: cross-site', 'sec-fetch-site: Cross-Site',
     "Sec-Fetch-Site: same-origin\nSec-Fetch-Site: cross-site",
     'Sec-Fetch-Site: same-origin', 'Sec-Fetch-Site: same-site',
     'Sec-Fetch-Site: none']
--- error_code eval
[403, 403, 403, 201, 201, 201]



=== TEST 14: reading from another site is not refused
--- request
GET /api/organizations/acme/access-tokens
--- more_headers eval
"$::Admin
Sec-Fetch-Site: cross-site"
--- error_code: 200



=== TEST 15: these rules are for identities alone
--- request eval
$::Create
--- more_headers eval
"Authorization: Bearer " . Gateway->root . "
Content-Type: application/json
Sec-Fetch-Site: cross-site"
--- error_code: 201



=== TEST 16: a user's name that is too long, or not text, is 403
--- request eval
[('GET /api/organizations/acme/access-tokens') x 7]
--- more_headers eval
[map { "X-Roles: organization_admin:acme\nX-User: $_" }
     'x' x 124, "a\x01b", "a\xffb", "a\xc2\x85b", "\xc3\xff", "\xc1\x81",
     "\xed\xa0\x80"]
--- error_code eval
[(403) x 7]
--- response_body_like eval
[('has to be UTF-8 without control characters, of at most 123 bytes') x 7]



=== TEST 17: a user's name of 123 bytes is kept whole
--- request eval
$::Create
--- more_headers eval
"X-Roles: organization_admin:acme
X-User: " . 'x' x 121 . "\xc3\xa9
Content-Type: application/json"
--- error_code: 201
--- response_body_like eval
'"created_by":"user:' . 'x' x 121 . "\xc3\xa9\""



=== TEST 18: an identity has no self
--- request eval
['GET /api/self', 'DELETE /api/self']
--- more_headers eval
"$::Admin
X-Requested-With: x"
--- error_code eval
[403, 403]



=== TEST 19: the identity may come from auth_basic
--- config
    location /api/ {
        auth_basic realm;
        auth_basic_user_file $TEST_NGINX_SERVER_ROOT/html/users;
        access_token_api;
        access_token_api_identity $remote_user group_admin:acme/$remote_user;
    }
--- user_files
>>> users
dev:{PLAIN}secret
>>> root
--- request eval
['GET /api/organizations/acme/groups/dev/access-tokens',
 'GET /api/organizations/acme/groups/ops/access-tokens',
 'GET /api/organizations/acme/groups']
--- more_headers
Authorization: Basic ZGV2OnNlY3JldA==
--- error_code eval
[200, 403, 200]
--- response_body_like eval
['access_tokens', 'about:blank', '^\{"groups":\[\{"id":"dev","organization":"acme"\}\],"next_cursor":null\}']



=== TEST 20: lists of one's own names are pages too, in order and without doubles
--- request eval
['GET /api/organizations?limit=2', 'GET /api/organizations?limit=2&cursor=b',
 'GET /api/organizations?cursor=d', 'GET /api/organizations/b/groups']
--- more_headers
X-User: alice
X-Roles: organization_admin:c organization_admin:a organization_admin:b organization_admin:a group_admin:z/y organization_user:0
--- error_code eval
[200, 200, 200, 200]
--- response_body eval
[qq!{"organizations":[{"id":"a"},{"id":"b"}],"next_cursor":"b"}\n!,
 qq!{"organizations":[{"id":"c"}],"next_cursor":null}\n!,
 qq!{"organizations":[],"next_cursor":null}\n!,
 qq!{"groups":[],"next_cursor":null}\n!]



=== TEST 21: an identity is trusted in "limit_except" and "if" of the location too
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity $http_x_user $http_x_roles;
        if ($request_method = GET) { set $x 1; }
        limit_except GET { allow all; }
    }
--- request eval
[$::Create, 'GET /api/organizations/acme/access-tokens']
--- more_headers eval
"$::Admin
Content-Type: application/json"
--- error_code eval
[201, 200]
