# $access_token_*: what the token that let the request in says of itself.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Expires = time + 7200;

our $Org = put_token(organization => 'acme', name => 'deploys of acme',
                     user => 'tu_ABCDEFGHabcdefgh', expires => $Expires);
our $OrgAdmin = put_token(organization => 'acme', admin => 1, expires => 0);
our $Dev      = put_token(organization => 'acme', group => 'dev');
our $DevAdmin = put_token(organization => 'acme', group => 'dev', admin => 1);
our $Other    = put_token(organization => 'other');
our $Revoked  = put_token(organization => 'acme', status => 'r');
our $Expired  = put_token(organization => 'acme', expires => time - 1);

our $OrgId = token_id($Org);

our $All = '[$access_token_id|$access_token_name|$access_token_organization|'
           . '$access_token_group|$access_token_level|$access_token_role|'
           . '$access_token_technical_user|$access_token_expires]';

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

=== TEST 1: all of a token of an organization
--- config eval
"location = /t {
    access_token on;
    add_header X-Verdict \$access_token_verdict;
    add_header X-All '$::All';
}"
--- more_headers eval
"Authorization: Bearer $::Org"
--- response_headers eval
"X-Verdict: active
X-All: [$::OrgId|deploys of acme|acme||organization|organization_user|tu_ABCDEFGHabcdefgh|$::Expires]"



=== TEST 2: the group, level and role of each kind of token
--- config
    location = /t {
        access_token on;
        add_header X-Some "$access_token_group|$access_token_level|$access_token_role";
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Org", "Authorization: Bearer $::OrgAdmin",
 "Authorization: Bearer $::Dev", "Authorization: Bearer $::DevAdmin"]
--- response_headers eval
["X-Some: |organization|organization_user",
 "X-Some: |organization|organization_admin",
 "X-Some: dev|group|group_user", "X-Some: dev|group|group_admin"]



=== TEST 3: a token that never expires says 0
--- config
    location = /t {
        access_token on;
        add_header X-Expires "[$access_token_expires]";
    }
--- more_headers eval
"Authorization: Bearer $::OrgAdmin"
--- response_headers
X-Expires: [0]



=== TEST 4: the verdict on each kind of request, and nothing else if it is no
--- config eval
"location = /t {
    access_token on;
    access_token_require organization=acme;
    add_header X-Verdict \$access_token_verdict always;
    add_header X-All '$::All' always;
}"
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["", "Authorization: Bearer x", "Authorization: Bearer $::Org,$::Org",
 "Authorization: Bearer " . AccessToken::token(),
 "Authorization: Bearer $::Revoked", "Authorization: Bearer $::Expired",
 "Authorization: Bearer $::Other"]
--- error_code eval
[401, 401, 400, 401, 401, 401, 403]
--- response_headers eval
[map { "X-Verdict: $_\nX-All: [|||||||]" }
 qw(missing malformed malformed unknown revoked expired forbidden)]



=== TEST 5: the verdict if Redis cannot be asked
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/none.sock;
--- config
    location = /t {
        access_token on;
        add_header X-Verdict $access_token_verdict always;
    }
--- more_headers eval
"Authorization: Bearer $::Org"
--- error_code: 503
--- response_headers
X-Verdict: unavailable
--- error_log
[error]



=== TEST 6: an upstream is told who it is
--- config
    location = /t {
        access_token on;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up;
        proxy_set_header X-User $access_token_technical_user;
        proxy_set_header X-Group $access_token_group;
        proxy_set_header Authorization "";
    }
    location = /up {
        return 200 "[$http_x_user][$http_x_group][$http_authorization]\n";
    }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["Authorization: Bearer $::Org\nX-User: root\nX-Group: root",
 "Authorization: Bearer $::Dev"]
--- response_body eval
["[tu_ABCDEFGHabcdefgh][][]\n", "[tu_0123456789ABCDEF][dev][]\n"]



=== TEST 7: asked before the access phase they are empty, and asked later not
--- config
    location = /t {
        set $before "[$access_token_organization$access_token_verdict]";
        access_token on;
        add_header X-Before $before;
        add_header X-After "$access_token_organization $access_token_verdict";
    }
--- more_headers eval
"Authorization: Bearer $::Org"
--- response_headers
X-Before: []
X-After: acme active



=== TEST 8: the log has the verdict, after a page for the refusal too
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
    log_format verdict '$status $access_token_verdict [$access_token_organization]';
--- config
    location = /t {
        access_token on;
        error_page 401 /page;
        access_log $TEST_NGINX_HTML_DIR/log verdict;
    }
    location = /page { access_log $TEST_NGINX_HTML_DIR/log verdict; }
    location = /log { }
--- user_files
>>> t
let in
>>> page
a page
--- request eval
["GET /t", "GET /t", "GET /t", "GET /log"]
--- more_headers eval
["Authorization: Bearer $::Org", "", "Authorization: Bearer $::Revoked", ""]
--- error_code eval
[200, 401, 401, 200]
--- response_body eval
["let in\n", "a page\n", "a page\n",
 "200 active [acme]\n401 missing [-]\n401 revoked [-]\n"]



=== TEST 9: a redirect to a location that refuses takes the identity away
--- config eval
"access_token on;
location /dir/ { try_files \$uri /t; }
location = /t {
    access_token_require organization=other;
    add_header X-All '\$access_token_verdict $::All' always;
}"
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Org"
--- error_code: 403
--- response_headers
X-All: forbidden [|||||||]



=== TEST 10: a redirect to a location that asks nothing keeps it
--- config
    location /dir/ {
        access_token on;
        try_files $uri /t;
    }
    location = /t { add_header X-Organization $access_token_organization; }
--- request
GET /dir/none
--- more_headers eval
"Authorization: Bearer $::Org"
--- response_headers
X-Organization: acme



=== TEST 11: a client cannot set them
--- config eval
"location = /t { add_header X-All '[\$access_token_verdict]$::All'; }"
--- request
GET /t?access_token_id=a&access_token_verdict=active
--- more_headers
Access-Token-Id: a
Cookie: access_token_id=a
--- response_headers
X-All: [][|||||||]
