# access_token_require: what a token must cover.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Org       = put_token(organization => 'acme');
our $OrgAdmin  = put_token(organization => 'acme', admin => 1);
our $Dev       = put_token(organization => 'acme', group => 'dev');
our $DevAdmin  = put_token(organization => 'acme', group => 'dev', admin => 1);
our $Ops       = put_token(organization => 'acme', group => 'ops');
our $Other     = put_token(organization => 'other', admin => 1);
our $OtherDev  = put_token(organization => 'other', group => 'dev');

our @All = ($Org, $OrgAdmin, $Dev, $DevAdmin, $Ops, $Other, $OtherDev);

# one request with each of them

our $Requests = [ map { 'GET /t' } @All ];
our $Headers  = [ map { "Authorization: Bearer $_" } @All ];

our $DevId = token_id($Dev);

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

=== TEST 1: an organization asks for a token of the organization itself
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[200, 200, 403, 403, 403, 403, 403]


=== TEST 2: a group asks for a token of it or of its organization
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme group=dev;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[200, 200, 200, 200, 403, 403, 403]


=== TEST 3: the order of the parameters does not matter
--- config
    location = /t {
        access_token on;
        access_token_require group=dev role=admin organization=acme;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 200, 403, 200, 403, 403, 403]


=== TEST 4: the level of a group within an organization asks for any group
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme level=group;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 403, 200, 200, 200, 403, 403]


=== TEST 5: the level of a group and the group
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme group=dev level=group;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 403, 200, 200, 403, 403, 403]


=== TEST 6: the level of an organization and a group
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme group=dev level=organization;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[200, 200, 403, 403, 403, 403, 403]


=== TEST 7: the level of an organization alone
--- config
    location = /t {
        access_token on;
        access_token_require level=organization;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[200, 200, 403, 403, 403, 200, 403]


=== TEST 8: the level of a group alone
--- config
    location = /t {
        access_token on;
        access_token_require level=group;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 403, 200, 200, 200, 403, 200]


=== TEST 9: the level of an organization and the organization
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme level=organization;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[200, 200, 403, 403, 403, 403, 403]


=== TEST 10: a role alone
--- config
    location = /t {
        access_token on;
        access_token_require role=admin;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 200, 403, 200, 403, 200, 403]


=== TEST 11: admin includes user
--- config
    location = /t {
        access_token on;
        access_token_require role=user;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[200, 200, 200, 200, 200, 200, 200]


=== TEST 12: a role of a group
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme group=dev role=admin;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 200, 403, 200, 403, 403, 403]


=== TEST 13: several directives all apply
--- config
    location = /t {
        access_token on;
        access_token_require role=admin;
        access_token_require organization=acme level=group;
        access_token_require level=group;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 403, 403, 200, 403, 403, 403]


=== TEST 14: two that exclude each other let nobody in
--- config
    location = /t {
        access_token on;
        access_token_require level=group;
        access_token_require level=organization;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 403, 403, 403, 403, 403, 403]


=== TEST 15: another organization with a group of the same name
--- config
    location = /t {
        access_token on;
        access_token_require organization=other group=dev;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 403, 403, 403, 403, 200, 200]


=== TEST 16: ids are matched in their case and as a whole
--- config
    location = /t {
        access_token on;
        access_token_require organization=Acme level=group;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 403, 403, 403, 403, 403, 403]


=== TEST 17: an id that another one starts with
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme group=de level=group;
    }
--- request eval: $::Requests
--- more_headers eval: $::Headers
--- error_code eval
[403, 403, 403, 403, 403, 403, 403]



=== TEST 18: the refusal says that the token does not cover
--- config
    location = /t {
        access_token on;
        access_token_require organization=acme;
    }
--- more_headers eval
"Authorization: Bearer $::Dev"
--- error_code: 403
--- response_headers
WWW-Authenticate: Bearer realm="gateway", error="insufficient_scope", error_description="The access token does not cover this resource"
Content-Type: application/problem+json
Cache-Control: no-store
--- response_body
{"type":"about:blank","title":"Forbidden","status":403,"detail":"The access token does not cover this resource"}
--- error_log eval
"access token \"$::DevId\" does not cover the resource"



=== TEST 19: values may hold variables
--- config
    location ~ ^/(?<o>[^/]*)/(?<g>[^/]*)/t$ {
        access_token on;
        access_token_require organization=$o group=$g;
        alias $TEST_NGINX_HTML_DIR/t;
    }
--- request eval
["GET /acme/dev/t", "GET /acme/ops/t", "GET /other/dev/t"]
--- more_headers eval
"Authorization: Bearer $::Dev"
--- error_code eval
[200, 403, 403]



=== TEST 20: a value may mix text and variables
--- config
    location = /t {
        access_token on;
        access_token_require organization=ac$arg_x group=${arg_y}v;
    }
--- request eval
["GET /t?x=me&y=de", "GET /t?x=me&y=d"]
--- more_headers eval
"Authorization: Bearer $::Dev"
--- error_code eval
[200, 403]



=== TEST 21: a value that turns out empty denies
--- config
    location = /organization {
        access_token on;
        access_token_require organization=$arg_x;
    }
    location = /group {
        access_token on;
        access_token_require organization=acme group=$arg_x;
    }
    location = /role {
        access_token on;
        access_token_require role=$arg_x;
    }
    location = /level {
        access_token on;
        access_token_require level=$arg_x;
    }
--- request eval
["GET /organization", "GET /group", "GET /role", "GET /level",
 "GET /organization?x=", "GET /group?x=", "GET /role?x=", "GET /level?x="]
--- more_headers eval
"Authorization: Bearer $::OrgAdmin"
--- error_code eval
[403, 403, 403, 403, 403, 403, 403, 403]



=== TEST 22: a role or level that turns out to be no known word denies
--- config
    location = /role {
        access_token on;
        access_token_require role=$arg_x;
    }
    location = /level {
        access_token on;
        access_token_require level=$arg_x;
    }
--- user_files
>>> role
let in
>>> level
let in
--- request eval
["GET /role?x=Admin", "GET /role?x=admins", "GET /role?x=owner",
 "GET /level?x=organizations", "GET /level?x=org",
 "GET /role?x=admin", "GET /role?x=user", "GET /level?x=organization",
 "GET /level?x=group"]
--- more_headers eval
"Authorization: Bearer $::OrgAdmin"
--- error_code eval
[403, 403, 403, 403, 403, 200, 200, 200, 403]



=== TEST 23: directives are inherited if there are none on the level
--- config
    access_token on;
    access_token_require organization=acme;
    access_token_require role=admin;
    location = /t { }
    location = /u { access_token_require level=group; }
--- user_files
>>> t
let in
>>> u
let in
--- request eval
["GET /t", "GET /t", "GET /t", "GET /u", "GET /u"]
--- more_headers eval
["Authorization: Bearer $::OrgAdmin", "Authorization: Bearer $::Org",
 "Authorization: Bearer $::Other", "Authorization: Bearer $::OtherDev",
 "Authorization: Bearer $::OrgAdmin"]
--- error_code eval
[200, 403, 403, 200, 403]



=== TEST 24: a token that is no good is 401 and not 403
--- config
    location = /t {
        access_token on;
        access_token_require organization=other;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer " . AccessToken::token(), "Authorization: Bearer x",
 ""]
--- error_code eval
[401, 401, 401]
