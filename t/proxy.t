# What an upstream gets to see: the path that was judged, as the documents show
# how, and nothing that the client says of itself.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;

our $Dev = put_token(organization => 'acme', group => 'dev',
                     user => 'tu_DEV0123456789ABC');

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my $block = shift;

    $block->set_value('http_config', <<'END');
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;

    server {
        listen unix:$TEST_NGINX_HTML_DIR/upstream.sock;

        location / {
            return 200 "$request_uri $http_x_user $http_authorization\n";
        }
    }
END

    $block->set_value('no_error_log', "[error]\n[alert]\n[crit]\n[emerg]")
        unless defined $block->no_error_log;
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: a prefix, with the path in proxy_pass: the path is the judged one
--- config
    location /acme/ {
        access_token          on;
        access_token_require  organization=acme group=dev;

        proxy_set_header  Authorization "";
        proxy_set_header  X-User $access_token_technical_user;
        proxy_pass        http://unix:$TEST_NGINX_HTML_DIR/upstream.sock:/acme/;
    }
--- request eval
['GET /acme/a?b=c%2f', 'GET /victim/..%2facme/a', 'GET /victim/%2e%2e/acme/a',
 'GET /victim/../acme/a', 'GET /acme/a%3fb%23c%20d%0d%0ae%25f']
--- more_headers eval
[("Authorization: Bearer $::Dev\nX-User: root") x 5]
--- response_body eval
["/acme/a?b=c%2f tu_DEV0123456789ABC \n", ("/acme/a tu_DEV0123456789ABC \n") x 3,
 "/acme/a%3Fb%23c%20d%0D%0Ae%25f tu_DEV0123456789ABC \n"]



=== TEST 2: captures, with a rewrite to the path that they are of
--- config
    location ~ ^/orgs/(?<org>[^/]+)/groups/(?<grp>[^/]+)/ {
        access_token          on;
        access_token_require  organization=$org group=$grp;

        rewrite           ^ $uri break;
        proxy_set_header  Authorization "";
        proxy_set_header  X-User $access_token_technical_user;
        proxy_pass        http://unix:$TEST_NGINX_HTML_DIR/upstream.sock;
    }
--- request eval
['GET /orgs/acme/groups/dev/a?b=c%2f',
 'GET /orgs/victim/groups/ops/..%2f..%2f..%2f..%2forgs/acme/groups/dev/a',
 'GET /orgs/victim/groups/%2e%2e/%2e%2e/acme/groups/dev/a',
 'GET /orgs/victim/../acme/groups/dev/a',
 'GET /orgs/acme/groups/dev/a%3fb%23c%20d%0d%0ae%25f%252e',
 'GET /orgs/acme%2fgroups%2fdev/groups/ops/']
--- more_headers eval
[("Authorization: Bearer $::Dev\nX-User: root") x 6]
--- error_code eval
[200, 200, 200, 200, 200, 200]
--- response_body eval
["/orgs/acme/groups/dev/a?b=c%2f tu_DEV0123456789ABC \n",
 ("/orgs/acme/groups/dev/a tu_DEV0123456789ABC \n") x 3,
 "/orgs/acme/groups/dev/a%3Fb%23c%20d%0D%0Ae%25f%252e tu_DEV0123456789ABC \n",
 "/orgs/acme/groups/dev/groups/ops/ tu_DEV0123456789ABC \n"]



=== TEST 3: without either, the path is as the client wrote it
--- config
    location /acme/ {
        access_token          on;
        access_token_require  organization=acme group=dev;
        proxy_pass            http://unix:$TEST_NGINX_HTML_DIR/upstream.sock;
    }
--- request
GET /victim/..%2facme/a
--- more_headers eval
"Authorization: Bearer $::Dev"
--- response_body_like chop
^/victim/\.\.%2facme/a 
