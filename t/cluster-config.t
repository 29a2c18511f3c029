# access_token_redis cluster: what nginx refuses to start with, and what it starts
# with, though no node is there.

use Test::Nginx::Socket 'no_plan';

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my $block = shift;

    if (!defined $block->error_log && !defined $block->no_error_log) {
        $block->set_value('no_error_log', "[alert]\n[crit]\n[emerg]");
    }
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: a cluster without a node
--- http_config
    access_token_redis cluster;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has no node: name some of those of the cluster, as in "cluster 10.0.0.1:6379 10.0.0.2:6379"



=== TEST 2: a cluster with parameters and no node
--- http_config
    access_token_redis cluster timeout=1s prefix=x:;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has no node: name some of those of the cluster, as in "cluster 10.0.0.1:6379 10.0.0.2:6379"



=== TEST 3: a cluster in the place of a node
--- http_config
    access_token_redis 127.0.0.1 cluster;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "cluster" in "access_token_redis": it must be "user="



=== TEST 4: a cluster with a value
--- http_config
    access_token_redis cluster=a 127.0.0.1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "cluster=a" in "access_token_redis": the address of Redis comes first



=== TEST 5: a node that is empty
--- http_config
    access_token_redis cluster 127.0.0.1:7101 "";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_redis": the address of Redis comes first, as "host:port" or "unix:/path"



=== TEST 6: a node that is a URL
--- http_config
    access_token_redis cluster redis://127.0.0.1:7101;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "redis://127.0.0.1:7101" in "access_token_redis": the address of Redis comes first, as "host:port" or "unix:/path"



=== TEST 7: nodes with commas between them
--- http_config
    access_token_redis cluster 127.0.0.1:7101,127.0.0.1:7102;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid port in redis address "127.0.0.1:7101,127.0.0.1:7102"



=== TEST 8: a node with a port that cannot be one
--- http_config
    access_token_redis cluster 127.0.0.1:7101 127.0.0.1:70000;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid port in redis address "127.0.0.1:70000"



=== TEST 9: a node with a port and no host
--- http_config
    access_token_redis cluster 127.0.0.1:7101 :7102;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
no host in redis address ":7102"



=== TEST 10: a node that cannot be found
--- http_config
    access_token_redis cluster 127.0.0.1:7101 no-such-host.invalid;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
host not found in redis address "no-such-host.invalid"



=== TEST 11: a database of a cluster
--- http_config
    access_token_redis cluster 127.0.0.1:7101 db=1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has "db=" with a cluster, which has one database: take it away, and use "prefix="



=== TEST 12: a database of a cluster before the nodes
--- http_config
    access_token_redis cluster db=15 127.0.0.1:7101;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
has "db=" with a cluster, which has one database



=== TEST 13: Sentinels' parameters for a cluster: tls
--- http_config
    access_token_redis cluster 127.0.0.1:7101 sentinel_tls=on;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has "sentinel_...=" without Sentinels: write "sentinel=NAME" first, or take it away



=== TEST 14: Sentinels' parameters for a cluster: a password
--- http_config
    access_token_redis cluster 127.0.0.1:7101 sentinel_password_file=x;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
has "sentinel_...=" without Sentinels



=== TEST 15: a cluster and Sentinels
--- http_config
    access_token_redis cluster 127.0.0.1:7101 sentinel=a;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "sentinel=a" in "access_token_redis": it must be "user="



=== TEST 16: a parameter that there is not
--- http_config
    access_token_redis cluster 127.0.0.1:7101 password=a;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "password=a" in "access_token_redis": it must be "user="



=== TEST 17: a user without a password
--- http_config
    access_token_redis cluster 127.0.0.1:7101 user=a;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has "user=" without "password_file=": name the file with the password of that user



=== TEST 18: a certificate's name without TLS
--- http_config
    access_token_redis cluster 127.0.0.1:7101 tls_name=a;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has "tls_...=" without "tls": add that



=== TEST 19: one node
--- http_config
    access_token_redis cluster 127.0.0.1:$TEST_NGINX_MOCK_PORT;
--- config
    access_token on;
--- request
GET /
--- error_code: 401



=== TEST 20: nodes and parameters in any order
--- http_config
    access_token_redis cluster timeout=100ms 127.0.0.1:$TEST_NGINX_MOCK_PORT prefix=x: localhost:$TEST_NGINX_MOCK_PORT;
--- config
    access_token on;
--- request
GET /
--- error_code: 401



=== TEST 21: database 0, which is the one there is
--- http_config
    access_token_redis cluster 127.0.0.1:$TEST_NGINX_MOCK_PORT db=0;
--- config
    access_token on;
--- request
GET /
--- error_code: 401



=== TEST 22: a Unix socket among the nodes
--- http_config
    access_token_redis cluster unix:$TEST_NGINX_HTML_DIR/no.sock 127.0.0.1:$TEST_NGINX_MOCK_PORT;
--- config
    access_token on;
--- request
GET /
--- error_code: 401
