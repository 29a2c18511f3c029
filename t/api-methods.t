# Methods of the API: HEAD, OPTIONS, 405 and Allow, 404.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Gateway;

our $Token = '/organizations/acme/access-tokens/' . 'A' x 20;
our $GroupToken = '/organizations/acme/groups/dev/access-tokens/' . 'A' x 20;

# every path and the methods that it allows

our @Routes = (
    ['/organizations'                               => 'GET, HEAD'],
    ['/organizations/acme/groups'                   => 'GET, HEAD'],
    ['/organizations/acme/access-tokens'            => 'GET, HEAD, POST'],
    [$Token                                         => 'GET, HEAD, PATCH, DELETE'],
    ["$Token/revoke"                                => 'POST'],
    ["$Token/activate"                              => 'POST'],
    ["$Token/rotate"                                => 'POST'],
    ['/organizations/acme/groups/dev/access-tokens' => 'GET, HEAD, POST'],
    [$GroupToken                                    => 'GET, HEAD, PATCH, DELETE'],
    ["$GroupToken/revoke"                           => 'POST'],
    ["$GroupToken/activate"                         => 'POST'],
    ["$GroupToken/rotate"                           => 'POST'],
    ['/caller'                                      => 'GET, HEAD'],
    ['/self'                                        => 'GET, HEAD, DELETE'],
    ['/self/revoke'                                 => 'POST'],
    ['/self/rotate'                                 => 'POST'],
);

sub each_method {
    my ($allowed) = @_;
    my @requests;

    for my $route (@Routes) {
        for my $method (qw(GET HEAD POST PATCH DELETE PUT MKCOL WHATEVER)) {
            my $is = $route->[1] =~ /\b$method\b/ ? 1 : 0;
            push @requests, ["$method /api$route->[0]", $route->[1]]
                if $is == $allowed;
        }
    }

    return @requests;
}

add_block_preprocessor(\&Gateway::api_block);
no_long_string();
run_tests();

__DATA__

=== TEST 1: OPTIONS names the methods of every path, and takes no credentials
--- request eval
[map { "OPTIONS /api$_->[0]" } @::Routes]
--- more_headers
X-Nothing: here
--- error_code eval
[(204) x @::Routes]
--- response_headers eval
[map { "Allow: $_->[1], OPTIONS\nCache-Control: no-store\n!Content-Type\n!WWW-Authenticate" }
     @::Routes]
--- response_body eval
[('') x @::Routes]



=== TEST 2: another method is 405, with the methods that there are
--- request eval
[map { $_->[0] } main::each_method(0)]
--- more_headers
X-Nothing: here
--- error_code eval
[(405) x main::each_method(0)]
--- response_headers eval
[map { "Allow: $_->[1], OPTIONS\nCache-Control: no-store\nContent-Type: application/problem+json" }
     main::each_method(0)]



=== TEST 3: 405 says in its body what is allowed
--- request eval
"PUT /api$::Token"
--- error_code: 405
--- response_body
{"type":"about:blank","title":"Method Not Allowed","status":405,"detail":"This path allows GET, HEAD, PATCH, DELETE, OPTIONS"}



=== TEST 4: a method that is allowed asks for the caller
--- request eval
[map { $_->[0] } main::each_method(1)]
--- more_headers
X-Nothing: here
--- error_code eval
[(401) x main::each_method(1)]
--- response_headers eval
[('WWW-Authenticate: Bearer realm="gateway"
Cache-Control: no-store
Content-Type: application/problem+json') x main::each_method(1)]



=== TEST 5: a path that is not there is 404, whoever asks and however
--- request eval
[map { ("GET $_", "POST $_", "OPTIONS $_") }
     '/api/', '/api/organization', '/api/organizations/acme',
     '/api/self/activate', '/api/self/x', "/api$::Token/delete",
     "/api$::Token/revoke/x", '/api/organizations/acme/groups/dev']
--- more_headers
X-Nothing: here
--- error_code eval
[(404) x 24]
--- response_headers eval
[("Content-Type: application/problem+json\nCache-Control: no-store\n!Allow\n!WWW-Authenticate") x 24]



=== TEST 6: HEAD is GET without the body
--- init
main::flush();
--- request eval
['HEAD /api/organizations', 'HEAD /api/organizations/acme/access-tokens',
 "HEAD /api$::Token", 'HEAD /api/organizations?limit=0', 'HEAD /api/no']
--- error_code eval
[200, 200, 404, 422, 404]
--- response_headers eval
["Content-Type: application/json\nContent-Length: 40\nCache-Control: no-store",
 "Content-Type: application/json\nContent-Length: 40\nCache-Control: no-store",
 ("Content-Type: application/problem+json\nCache-Control: no-store") x 3]
--- response_body eval
[('') x 5]



=== TEST 7: the answers are the API's own, whatever error_page says
--- config
    error_page 401 403 404 405 422 =200 /other;
    error_page 503 /other;
    location /api/ { access_token_api; }
    location = /other { return 200 "other\n"; }
--- request eval
['GET /api/no', 'PUT /api/self', 'GET /api/self',
 'GET /api/organizations?limit=0']
--- error_code eval
[404, 405, 403, 422]
--- response_body_like eval
[('"type":"about:blank"') x 4]



=== TEST 8: access_token of the server does not stand in the way of root
--- config
    access_token on;
    location /api/ { access_token_api; }
--- request
GET /api/organizations
--- error_code: 200



=== TEST 9: what other access modules refuse is refused
--- config
    location /api/ { access_token_api; deny all; }
--- request
GET /api/organizations
--- error_code: 403
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 10: a rewritten path is matched as it became
--- config
    rewrite ^/v1/(.*)$ /api/$1 last;
    location /api/ { access_token_api; }
--- request eval
['GET /v1/organizations', 'GET /v1/%6frganizations', 'GET /v1//organizations',
 'GET /v1/no']
--- error_code eval
[200, 404, 404, 404]



=== TEST 11: a subrequest is not answered
--- config
    location /api/ { access_token_api; }
    location = /t { auth_request /api/organizations; root html; }
--- request
GET /t
--- error_code: 403
--- error_log
access_token_api does not answer subrequests



=== TEST 12: pipelined requests are answered in their order
--- init
main::flush();
--- pipelined_requests eval
['GET /api/organizations', 'GET /api/no', 'GET /api/organizations/acme/groups',
 "POST /api$::Token/revoke", 'GET /api/organizations']
--- error_code eval
[200, 404, 200, 404, 200]
--- response_body_like eval
['organizations', 'no such path', 'groups', 'no such access token',
 'organizations']



=== TEST 13: "limit_except" and "if" in its location are the API as well
--- config
    location /api/ {
        access_token_api;
        limit_except GET { allow all; }
    }
    location /two/ {
        access_token_api;
        if ($arg_x) { set $x 1; }
    }
    location /three/ {
        access_token_api;
        limit_except GET { deny all; }
    }
--- request eval
my $body = "\n{\"name\":\"a\",\"expires_at\":\"" . Gateway::in_days(1) . '"}';
my $path = 'organizations/acme/access-tokens';
["POST /api/$path$body", "GET /api/$path", "POST /two/$path?x=1$body",
 "POST /two/$path$body", "POST /three/$path$body", "GET /three/$path"]
--- error_code eval
[201, 200, 201, 201, 403, 200]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 14: a path is written plainly also where a rewrite drops what is not
--- config
    rewrite ^/v1/[^/]*/(.*)$ /api/$1 last;
    location /api/ { access_token_api; }
--- request eval
[map { "GET /v1/$_/organizations" } 'a~!', "\x80", "\xc3\xa9", "\xff", 'a\\b',
 '%61']
--- error_code eval
[200, (404) x 5]
