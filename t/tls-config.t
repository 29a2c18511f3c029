# Directives: the parameters tls and tls_... of access_token_redis, and what
# nginx refuses to start with.

use Test::Nginx::Socket 'no_plan';

use lib 't';
use Certificates;

my $certificates = Certificates->new;

$ENV{TEST_NGINX_HTML_DIR} = html_dir();
$ENV{TEST_NGINX_CERTIFICATES} = $certificates->dir;

# A key that wants a password.

$certificates->openssl('pkey', '-in', $certificates->client_key, '-aes256',
                       '-passout', 'pass:a-password',
                       '-out', $certificates->key('encrypted'));

add_block_preprocessor(sub {
    my $block = shift;

    if (!defined $block->error_log && !defined $block->no_error_log) {
        $block->set_value('no_error_log',
                          "[error]\n[alert]\n[crit]\n[emerg]");
    }

    if (!defined $block->config) {
        $block->set_value('config', 'location = /t { return 204; }');
    }

    if (defined $block->must_die) {
        $block->set_value('suppress_stderr', '');
    }
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: tls twice
--- http_config
    access_token_redis 127.0.0.1 tls tls;
--- must_die
--- error_log
[emerg]
invalid value "tls" in "access_token_redis": it must be "user=",



=== TEST 2: tls_ca without tls
--- http_config
    access_token_redis 127.0.0.1 tls_ca=$TEST_NGINX_CERTIFICATES/ca.crt;
--- must_die
--- error_log
[emerg]
"access_token_redis" directive has "tls_...=" without "tls": add that



=== TEST 3: tls_verify without tls
--- http_config
    access_token_redis 127.0.0.1 tls_verify=off;
--- must_die
--- error_log
[emerg]
"access_token_redis" directive has "tls_...=" without "tls": add that



=== TEST 4: tls_verify is neither on nor off
--- http_config
    access_token_redis 127.0.0.1 tls tls_verify=no;
--- must_die
--- error_log
[emerg]
invalid value "tls_verify=no" in "access_token_redis": write it once, with "on" or "off"



=== TEST 5: tls_cert without tls_key
--- http_config
    access_token_redis 127.0.0.1 tls tls_cert=$TEST_NGINX_CERTIFICATES/client.crt;
--- must_die
--- error_log
[emerg]
"access_token_redis" directive needs "tls_cert=" and "tls_key=" together, or neither of them



=== TEST 6: tls_key without tls_cert
--- http_config
    access_token_redis 127.0.0.1 tls tls_key=$TEST_NGINX_CERTIFICATES/client.key;
--- must_die
--- error_log
[emerg]
"access_token_redis" directive needs "tls_cert=" and "tls_key=" together, or neither of them



=== TEST 7: tls_ca names no file
--- http_config
    access_token_redis 127.0.0.1 tls tls_ca=$TEST_NGINX_CERTIFICATES/none.crt;
--- must_die
--- error_log
[emerg]
none.crt
"tls_ca=" must name a file with the certificates of CAs (PEM), see the message before



=== TEST 8: tls_ca names a file without certificates
--- http_config
    access_token_redis 127.0.0.1 tls tls_ca=$TEST_NGINX_CERTIFICATES/ca.key;
--- must_die
--- error_log
[emerg]
ca.key
"tls_ca=" must name a file with the certificates of CAs (PEM), see the message before



=== TEST 9: tls_cert names no file
--- http_config
    access_token_redis 127.0.0.1 tls tls_cert=$TEST_NGINX_CERTIFICATES/none.crt
                       tls_key=$TEST_NGINX_CERTIFICATES/client.key;
--- must_die
--- error_log
[emerg]
none.crt
"tls_cert=" must name a file with our certificate (PEM)



=== TEST 10: tls_key names no file
--- http_config
    access_token_redis 127.0.0.1 tls tls_cert=$TEST_NGINX_CERTIFICATES/client.crt
                       tls_key=$TEST_NGINX_CERTIFICATES/none.key;
--- must_die
--- error_log
[emerg]
none.key
"tls_key=" one with its key, which is not encrypted, see the message before



=== TEST 11: tls_key is that of another certificate
--- http_config
    access_token_redis 127.0.0.1 tls tls_cert=$TEST_NGINX_CERTIFICATES/client.crt
                       tls_key=$TEST_NGINX_CERTIFICATES/server.key;
--- must_die
--- error_log
[emerg]
key values mismatch
"tls_key=" one with its key, which is not encrypted, see the message before



=== TEST 12: tls_key is encrypted, and nobody is asked for a password
--- http_config
    access_token_redis 127.0.0.1 tls tls_cert=$TEST_NGINX_CERTIFICATES/client.crt
                       tls_key=$TEST_NGINX_CERTIFICATES/encrypted.key;
--- must_die
--- error_log
[emerg]
encrypted.key
"tls_key=" one with its key, which is not encrypted, see the message before



=== TEST 13: an empty tls_name
--- http_config
    access_token_redis 127.0.0.1 tls tls_name=;
--- must_die
--- error_log
[emerg]
invalid value "tls_name=" in "access_token_redis": write it once, and not empty



=== TEST 14: tls on a Unix socket
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock tls;
--- must_die
--- error_log
[emerg]
redis.sock" in "access_token_redis": a Unix socket needs no TLS: take "tls" away, or give "host:port"



=== TEST 15: files of a relative path lie beside nginx.conf
--- http_config
    access_token_redis 127.0.0.1 tls tls_ca=../html/a.crt;
--- must_die
--- error_log
[emerg]
conf/../html/a.crt
"tls_ca=" must name a file



=== TEST 16: all parameters together
--- http_config
    access_token_redis 127.0.0.1 tls tls_ca=$TEST_NGINX_CERTIFICATES/ca.crt
                       tls_name=redis.example tls_verify=on
                       tls_cert=$TEST_NGINX_CERTIFICATES/client.crt
                       tls_key=$TEST_NGINX_CERTIFICATES/client.key;
--- request
    GET /t
--- error_code: 204



=== TEST 17: an address of IPv6
--- http_config
    access_token_redis [::1]:6379 tls;
--- request
    GET /t
--- error_code: 204
