# access_token_redis with Sentinels: what nginx refuses to start with, and that
# each message names the mend.

use Test::Nginx::Socket 'no_plan';

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my $block = shift;

    if (!defined $block->error_log && !defined $block->no_error_log) {
        $block->set_value('no_error_log',
                          "[error]\n[alert]\n[crit]\n[emerg]");
    }
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: Sentinels without the name of the primary
--- http_config
    access_token_redis sentinel= 127.0.0.1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "sentinel=" in "access_token_redis": write the name that the Sentinels know the primary by, as in "sentinel=mymaster"



=== TEST 2: the name of the primary without Sentinels
--- http_config
    access_token_redis sentinel=mymaster;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has no Sentinel: name all of them, as in "sentinel=mymaster 10.0.0.1:26379 10.0.0.2:26379"



=== TEST 3: the same with other parameters
--- http_config
    access_token_redis sentinel=mymaster db=1 timeout=1s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has no Sentinel: name all of them, as in "sentinel=mymaster 10.0.0.1:26379 10.0.0.2:26379"



=== TEST 4: the name of the primary behind the address of a server
--- http_config
    access_token_redis 127.0.0.1 sentinel=mymaster;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "sentinel=mymaster" in "access_token_redis": it must be "user="



=== TEST 5: a Sentinel whose name is not known
--- http_config
    access_token_redis sentinel=mymaster 127.0.0.1 no-such-host.invalid;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
host not found in redis address "no-such-host.invalid"



=== TEST 6: a Sentinel with a port that is none
--- http_config
    access_token_redis sentinel=mymaster 127.0.0.1:65536;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid port in redis address "127.0.0.1:65536"



=== TEST 7: the URL of a Sentinel
--- http_config
    access_token_redis sentinel=mymaster redis://127.0.0.1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "redis://127.0.0.1" in "access_token_redis"



=== TEST 8: a user for Sentinels without a password
--- http_config
    access_token_redis sentinel=mymaster 127.0.0.1 sentinel_user=edge;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has "sentinel_user=" without "sentinel_password_file=": name the file with the password of that user



=== TEST 9: the password of Redis is not that of Sentinels
--- http_config
    access_token_redis sentinel=mymaster 127.0.0.1 sentinel_user=edge
                       user=edge password_file=password;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has "sentinel_user=" without "sentinel_password_file="



=== TEST 10: a password for Sentinels in a file that is not there
--- http_config
    access_token_redis sentinel=mymaster 127.0.0.1
                       sentinel_password_file=no-such-file;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
no-such-file



=== TEST 11: two of them
--- http_config
    access_token_redis sentinel=mymaster 127.0.0.1
                       sentinel_password_file=a sentinel_password_file=b;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "sentinel_password_file=b" in "access_token_redis": write it once, and not empty



=== TEST 12: a password for Sentinels, of which there are none
--- user_files
>>> password
secret
--- http_config
    access_token_redis 127.0.0.1
        sentinel_password_file=$TEST_NGINX_HTML_DIR/password;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has "sentinel_...=" without Sentinels: write "sentinel=NAME" first, or take it away



=== TEST 13: the same in front of a cluster
--- http_config
    access_token_redis cluster 127.0.0.1 sentinel_tls=on;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has "sentinel_...=" without Sentinels



=== TEST 14: TLS to Sentinels is on or off
--- http_config
    access_token_redis sentinel=mymaster 127.0.0.1 sentinel_tls=yes;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "sentinel_tls=yes" in "access_token_redis": write it once, with "on" or "off"



=== TEST 15: Sentinels twice
--- http_config
    access_token_redis sentinel=mymaster 127.0.0.1;
    access_token_redis sentinel=other 127.0.0.1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive is duplicate



=== TEST 16: addresses of all kinds, in any order with parameters
--- user_files
>>> password
secret
--- http_config
    access_token_redis sentinel=mymaster 127.0.0.1:26380 db=1 [::1]
                       user=edge localhost:26381
                       password_file=$TEST_NGINX_HTML_DIR/password
                       unix:$TEST_NGINX_HTML_DIR/sentinel.sock
                       sentinel_user=asks sentinel_tls=off
                       sentinel_password_file=$TEST_NGINX_HTML_DIR/password;
--- config
    location = /up {
        return 204;
    }
--- request
GET /up
--- error_code: 204
