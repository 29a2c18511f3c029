# caller: who the API takes the caller for, with which roles, and how long a
# token may live.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Gateway;

our $Root = 'Authorization: Bearer ' . Gateway->root;
our $Year = 365 * 86400;

# a token of each role, and what it is told

our @Roles = (
    [organization_admin => organization => 'acme', admin => 1],
    [organization_user  => organization => 'acme'],
    [group_admin        => organization => 'acme', group => 'dev', admin => 1],
    [group_user         => organization => 'acme', group => 'dev'],
);

our @Tokens = map { my ($role, %field) = @$_; put_token(%field) } @Roles;

sub role {
    my ($role, $organization, $group) = @_;

    $group = defined $group ? "\"$group\"" : 'null';

    return qq!{"role":"$role","organization":"$organization","group":$group}!;
}

sub told {
    my ($name, $kind, $roles, $max) = @_;

    $max //= $Year;

    return qq!{"name":"$name","kind":"$kind","roles":[! . join(',', @$roles)
           . qq!],"max_lifetime_seconds":$max}\n!;
}

sub identity {
    my ($roles) = @_;
    return "X-User: alice\nX-Roles: $roles";
}

# Redis is the run's, or what is given

sub http {
    my ($more, $address) = @_;

    $address //= 'unix:$TEST_NGINX_REDIS_SOCKET';

    return "access_token_redis $address; $more"
           . ' access_token_root_file $TEST_NGINX_SERVER_ROOT/html/root;';
}

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(more_headers => $Root)
        unless defined $block->more_headers;

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

=== TEST 1: root is told that it is root, and has no roles
--- request
GET /api/caller
--- response_headers
Content-Type: application/json
Cache-Control: no-store
!WWW-Authenticate
--- response_body eval
main::told('root', 'root', [])



=== TEST 2: a token of each role is told its id, and its role
--- request eval
[('GET /api/caller') x @::Tokens]
--- more_headers eval
[map { "Authorization: Bearer $_" } @::Tokens]
--- error_code eval
[(200) x @::Tokens]
--- response_headers eval
[("Content-Type: application/json\nCache-Control: no-store") x @::Tokens]
--- response_body eval
[map { my ($role, %field) = @{ $::Roles[$_] };
       main::told('token:' . main::token_id($::Tokens[$_]), 'access_token',
                  [main::role($role, @field{qw(organization group)})]) }
     0 .. $#::Tokens]



=== TEST 3: an identity is told its roles, in their order
--- request
GET /api/caller
--- more_headers eval
main::identity('group_user:b/z organization_admin:b,organization_user:a '
               . 'group_admin:a/y')
--- response_body eval
main::told('user:alice', 'identity',
           [main::role('group_user', 'b', 'z'),
            main::role('organization_admin', 'b'),
            main::role('organization_user', 'a'),
            main::role('group_admin', 'a', 'y')])



=== TEST 4: a role that an identity has twice is told once, where it came first
--- request
GET /api/caller
--- more_headers eval
main::identity('organization_admin:b, group_admin:a/y organization_admin:a '
               . 'organization_admin:b group_admin:a/y organization_admin:b')
--- response_body eval
main::told('user:alice', 'identity',
           [main::role('organization_admin', 'b'),
            main::role('group_admin', 'a', 'y'),
            main::role('organization_admin', 'a')])



=== TEST 5: roles that are alike are not the same
--- request
GET /api/caller
--- more_headers eval
main::identity('organization_admin:a organization_user:a organization_admin:A '
               . 'group_admin:a/b group_user:a/b group_admin:b/a '
               . 'group_admin:a/bc group_admin:ab/c')
--- response_body eval
main::told('user:alice', 'identity',
           [main::role('organization_admin', 'a'),
            main::role('organization_user', 'a'),
            main::role('organization_admin', 'A'),
            main::role('group_admin', 'a', 'b'),
            main::role('group_user', 'a', 'b'),
            main::role('group_admin', 'b', 'a'),
            main::role('group_admin', 'a', 'bc'),
            main::role('group_admin', 'ab', 'c')])



=== TEST 6: what is no role is left out
--- request
GET /api/caller
--- more_headers eval
main::identity('reader,, organization_admin organization_admin: '
               . 'organization_admin:a/b ORGANIZATION_ADMIN:a '
               . 'organization_admin:.a organization_admin:%61 '
               . 'xorganization_admin:a group_admin:a group_admin:a/ '
               . 'group_admin:/b group_admin:a/b/c group_admin:a/.b '
               . 'organization_user:' . 'a' x 65 . ' root admin:a '
               . 'group_admin:a/b')
--- response_body eval
main::told('user:alice', 'identity', [main::role('group_admin', 'a', 'b')])



=== TEST 7: an identity without roles is known all the same
--- request eval
[('GET /api/caller') x 3]
--- more_headers eval
['X-User: alice', main::identity(''), main::identity('root, reader')]
--- error_code eval
[200, 200, 200]
--- response_body eval
[(main::told('user:alice', 'identity', [])) x 3]



=== TEST 8: the name of an identity is told as it is
--- request
GET /api/caller
--- more_headers eval
"X-User: a\"b\\c \xc3\xa9"
--- response_body eval
main::told("user:a\\\"b\\\\c \xc3\xa9", 'identity', [])



=== TEST 9: an identity that calls itself root or a token is a user
--- request eval
['GET /api/caller', 'GET /api/caller']
--- more_headers eval
['X-User: root', 'X-User: token:' . 'A' x 20]
--- error_code eval
[200, 200]
--- response_body eval
[main::told('user:root', 'identity', []),
 main::told('user:token:' . 'A' x 20, 'identity', [])]



=== TEST 10: a user's name that is too long, or not text, is 403
--- request eval
['GET /api/caller', 'GET /api/caller']
--- more_headers eval
['X-User: ' . 'x' x 124, "X-User: a\xffb"]
--- error_code eval
[403, 403]
--- response_body_like eval
[('has to be UTF-8 without control characters, of at most 123 bytes') x 2]



=== TEST 11: the name is the one that what the caller makes says
--- request eval
my $body = "\n{\"name\":\"a\",\"expires_at\":\"" . Gateway::in_days(1) . '"}';
[("POST /api/organizations/acme/access-tokens$body") x 3]
--- more_headers eval
[map { "$_\nContent-Type: application/json" }
     $::Root, "Authorization: Bearer $::Tokens[0]",
     main::identity('organization_admin:acme')]
--- error_code eval
[201, 201, 201]
--- response_body_like eval
['"created_by":"root"',
 '"created_by":"token:' . main::token_id($::Tokens[0]) . '"',
 '"created_by":"user:alice"']



=== TEST 12: the maximum lifetime is that of the configuration, in seconds
--- http_config eval
main::http('access_token_max_lifetime 36h;')
--- request
GET /api/caller
--- response_body eval
main::told('root', 'root', [], 36 * 3600)



=== TEST 13: where there is no maximum lifetime, it is null
--- http_config eval
main::http('access_token_max_lifetime off;')
--- request eval
['GET /api/caller', 'GET /api/caller']
--- more_headers eval
[$::Root, 'X-User: alice']
--- error_code eval
[200, 200]
--- response_body eval
[main::told('root', 'root', [], 'null'),
 main::told('user:alice', 'identity', [], 'null')]



=== TEST 14: no credential is 401 with a bare challenge
--- request
GET /api/caller
--- more_headers
X-Nothing: here
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="gateway"
Content-Type: application/problem+json
Cache-Control: no-store



=== TEST 15: roles without a user are no credential
--- request
GET /api/caller
--- more_headers
X-Roles: organization_admin:acme
--- error_code: 401



=== TEST 16: where no identity is trusted, its headers are no credential
--- config
    location /api/ { access_token_api; }
--- request
GET /api/caller
--- more_headers eval
main::identity('organization_admin:acme')
--- error_code: 401



=== TEST 17: a bad token is 401, and never the identity beside it
--- request eval
[('GET /api/caller') x 5]
--- more_headers eval
[map { "Authorization: Bearer $_\n" . main::identity('organization_admin:a') }
     main::put_token(organization => 'acme', admin => 1, status => 'r'),
     main::put_token(organization => 'acme', admin => 1, expires => time - 1),
     main::token(), 'rubbish', '']
--- error_code eval
[(401) x 5]
--- response_headers eval
[('WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"
Content-Type: application/problem+json
Cache-Control: no-store') x 5]



=== TEST 18: a good token is told of itself, and not of the identity beside it
--- request
GET /api/caller
--- more_headers eval
"Authorization: Bearer $::Tokens[3]\n"
. main::identity('organization_admin:acme')
--- response_body eval
main::told('token:' . main::token_id($::Tokens[3]), 'access_token',
           [main::role('group_user', 'acme', 'dev')])



=== TEST 19: two credentials are 400
--- request
GET /api/caller
--- more_headers eval
"$::Root, Bearer $::Tokens[0]"
--- error_code: 400
--- response_headers
Content-Type: application/problem+json
Cache-Control: no-store



=== TEST 20: HEAD is GET without the body
--- request
HEAD /api/caller
--- response_headers eval
"Content-Type: application/json
Content-Length: " . length(main::told('root', 'root', [])) . "
Cache-Control: no-store"
--- response_body eval
''



=== TEST 21: OPTIONS needs no credentials
--- request
OPTIONS /api/caller
--- more_headers
X-Nothing: here
--- error_code: 204
--- response_headers
Allow: GET, HEAD, OPTIONS
Cache-Control: no-store



=== TEST 22: nothing about the caller can be changed
--- request eval
[map { "$_ /api/caller" } qw(POST PUT PATCH DELETE)]
--- error_code eval
[(405) x 4]
--- response_headers eval
[("Allow: GET, HEAD, OPTIONS
Content-Type: application/problem+json
Cache-Control: no-store") x 4]



=== TEST 23: a query says nothing, and what is below is no path
--- request eval
['GET /api/caller?limit=0&name=x', 'GET /api/caller/', 'GET /api/caller/x',
 'GET /api/callers', 'GET /api/Caller', 'GET /api/calle%72']
--- error_code eval
[200, (404) x 5]



=== TEST 24: reading from another site is not refused
--- request
GET /api/caller
--- more_headers eval
main::identity('') . "\nSec-Fetch-Site: cross-site"
--- response_body eval
main::told('user:alice', 'identity', [])



=== TEST 25: without Redis root and an identity are known as ever
--- http_config eval
main::http('', 'unix:/nonexistent/redis.sock')
--- request eval
['GET /api/caller', 'GET /api/caller']
--- more_headers eval
[$::Root, main::identity('group_admin:a/b')]
--- error_code eval
[200, 200]
--- response_body eval
[main::told('root', 'root', []),
 main::told('user:alice', 'identity', [main::role('group_admin', 'a', 'b')])]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 26: without Redis nobody knows of a token: 503, and no challenge
--- http_config eval
main::http('', 'unix:/nonexistent/redis.sock')
--- request
GET /api/caller
--- more_headers eval
"Authorization: Bearer $::Tokens[0]"
--- error_code: 503
--- response_headers
Retry-After: 1
Content-Type: application/problem+json
Cache-Control: no-store
!WWW-Authenticate
--- response_body_like chop
The bearer token cannot be checked at present
--- error_log
/nonexistent/redis.sock
