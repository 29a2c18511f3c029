# self: the token that a request presents looks after itself, without rights.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Gateway;

# one for the blocks that only look, and one for each that changes it

our $Token    = put_token(organization => 'acme', name => 'mine');
our $Id       = token_id($Token);
our $Rotating = put_token(organization => 'acme');
our $Graceful = put_token(organization => 'acme');
our $Revoking = put_token(organization => 'acme');
our $Deleting = put_token(organization => 'acme');

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(more_headers => "Authorization: Bearer $Token")
        unless defined $block->more_headers;

    Gateway::api_block($block);
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: a token sees itself, but not its secret
--- request
GET /api/self
--- response_headers
Content-Type: application/json
Cache-Control: no-store
--- response_body_like eval
qr/^\{"id":"$::Id","name":"mine",[^{}]*"organization":"acme","group":null,
   [^{}]*"role":"organization_user",[^{}]*"status":"active",
   "technical_user":\{[^{}]*\},(?!.*"token":).*\}\n$/x



=== TEST 2: HEAD and OPTIONS
--- request eval
['HEAD /api/self', 'OPTIONS /api/self', 'OPTIONS /api/self/rotate']
--- error_code eval
[200, 204, 204]
--- response_headers eval
['Content-Type: application/json', 'Allow: GET, HEAD, DELETE, OPTIONS',
 'Allow: POST, OPTIONS']



=== TEST 3: a user's token sees itself, and nothing else
--- request eval
['GET /api/self', 'GET /api/organizations',
 'GET /api/organizations/acme/access-tokens',
 "GET /api/organizations/acme/access-tokens/$::Id",
 "POST /api/organizations/acme/access-tokens/$::Id/rotate"]
--- error_code eval
[200, 403, 403, 403, 403]



=== TEST 4: a bad token is 401 with the challenge, and never somebody else
--- request
GET /api/self
--- more_headers eval
"Authorization: Bearer " . main::token()
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"
Content-Type: application/problem+json
Cache-Control: no-store



=== TEST 5: no credential is 401 with a bare challenge
--- request
GET /api/self
--- more_headers
X-Nothing: here
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"



=== TEST 6: root presents no token
--- request eval
['GET /api/self', 'DELETE /api/self', 'POST /api/self/revoke',
 'POST /api/self/rotate']
--- more_headers eval
"Authorization: Bearer " . Gateway->root
--- error_code eval
[403, 403, 403, 403]
--- response_body_like eval
[('"detail":"\\\\"self\\\\" is the access token that a request presents') x 4]



=== TEST 7: two credentials are 400, also where they are the same
--- request
GET /api/self
--- more_headers eval
"Authorization: Bearer $::Token, Bearer $::Token"
--- error_code: 400
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="invalid_request", error_description="The request carries more than one access token"
Content-Type: application/problem+json
Cache-Control: no-store



=== TEST 8: the token is taken from Authorization alone
--- config
    access_token_source bearer header=X-Token cookie=token query=token;
    location /api/ { access_token_api; }
--- request eval
"GET /api/self?token=$::Token"
--- more_headers eval
"X-Token: $::Token
Cookie: token=$::Token"
--- error_code: 401



=== TEST 9: a token of a group sees its group
--- request
GET /api/self
--- more_headers eval
"Authorization: Bearer " . main::put_token(organization => 'acme',
                                           group => 'dev', admin => 1)
--- response_body_like chop
"organization":"acme","group":"dev","level":"group","role":"group_admin","admin":true



=== TEST 10: a token rotates itself: it keeps its id, and the old one ends
--- request eval
['POST /api/self/rotate', 'GET /api/self']
--- more_headers eval
"Authorization: Bearer $::Rotating"
--- error_code eval
[200, 401]
--- response_body_like eval
my $id = main::token_id($::Rotating);
[qr!^\{"id":"$id",.*"token":"at_${id}[0-9A-Za-z]{38}"\}\n$!, 'about:blank']



=== TEST 11: with a grace the old one stays good for a while
--- request eval
["POST /api/self/rotate\n{\"grace_seconds\":60}", 'GET /api/self']
--- more_headers eval
"Authorization: Bearer $::Graceful
Content-Type: application/json"
--- error_code eval
[200, 200]
--- response_body_like eval
['"token":"at_', '"status":"active"']



=== TEST 12: a token revokes itself, and cannot come back by itself
--- request eval
['POST /api/self/revoke', 'GET /api/self', 'POST /api/self/revoke']
--- more_headers eval
"Authorization: Bearer $::Revoking"
--- error_code eval
[200, 401, 401]
--- response_body_like eval
my $id = main::token_id($::Revoking);
[qr!"status":"revoked",.*"revoked_by":"token:$id"!, 'about:blank',
 'about:blank']



=== TEST 13: a token deletes itself for good
--- request eval
['DELETE /api/self', 'GET /api/self', 'DELETE /api/self']
--- more_headers eval
"Authorization: Bearer $::Deleting"
--- error_code eval
[204, 401, 401]
--- response_body_like eval
['^$', 'about:blank', 'about:blank']



=== TEST 14: a revoked or expired token is as bad as an unknown one
--- request eval
['GET /api/self', 'DELETE /api/self', 'GET /api/self', 'POST /api/self/rotate']
--- more_headers eval
my $revoked = main::put_token(organization => 'acme', status => 'r');
my $expired = main::put_token(organization => 'acme', expires => time - 1);
["Authorization: Bearer $revoked", "Authorization: Bearer $revoked",
 "Authorization: Bearer $expired", "Authorization: Bearer $expired"]
--- error_code eval
[401, 401, 401, 401]
--- response_headers eval
[('WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"') x 4]
