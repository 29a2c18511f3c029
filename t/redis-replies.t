# Replies that Redis should never send: cut off, endless, of another kind, of
# another protocol, errors.  None lets a request in, and none makes a good token
# a bad one: it is 503, the cause is in the log, and the worker lives on.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Digest::SHA qw(sha256);

$ENV{TEST_NGINX_MOCK_PORT} ||= 1985;

our $Token = token();

# What an edge asks for, in the order of its HMGET; undef is nil.

sub record {
    my (%field) = @_;

    my %of = (h => sha256(substr $Token, 3, 52), o => 'acme', g => '',
              a => 0, s => 'a', e => 0, u => 'tu_0123456789ABCDEF', v => 1,
              n => 'a test', %field);

    return map { $of{$_} } qw(h p q o g a s e u v n);
}

sub bulk  { return defined $_[0] ? '$' . length($_[0]) . "\r\n$_[0]\r\n"
                                 : "\$-1\r\n" }
sub reply { return '*' . @_ . "\r\n" . join '', map { bulk($_) } @_ }

our $Good = reply(record());

add_block_preprocessor(sub {
    my $block = shift;

    my %default = (
        http_config => 'access_token_redis 127.0.0.1:$TEST_NGINX_MOCK_PORT '
                       . 'timeout=5s connect_timeout=5s;',
        config => '    location = /t { access_token on; }',
        request => 'GET /t',
        user_files => ">>> t\nlet in\n",
        more_headers => "Authorization: Bearer $Token",
        tcp_listen => $ENV{TEST_NGINX_MOCK_PORT},
        error_code => 503,
    );

    for my $section (keys %default) {
        $block->set_value($section, $default{$section})
            unless defined $block->$section;
    }

    # the first who connects shall be the one that asks

    $block->set_value(http_config => $block->http_config
                                     . 'access_token_cache off;');

    if ($block->error_code eq '503') {
        $block->set_value('response_headers',
                          "Retry-After: 1\n!WWW-Authenticate");
    }

    if (!defined $block->no_error_log) {
        $block->set_value('no_error_log', "[alert]\n[crit]\n[emerg]");
    }
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: a good reply lets in
--- tcp_reply eval
$::Good
--- error_code: 200
--- response_body
let in
--- no_error_log
[error]



=== TEST 2: a good reply in many pieces lets in
--- tcp_reply eval
[split //, $::Good]
--- error_code: 200
--- response_body
let in
--- no_error_log
[error]



=== TEST 3: a record of nothing is no token
--- tcp_reply eval
main::reply((undef) x 11)
--- error_code: 401
--- response_headers_like
WWW-Authenticate: .*error="invalid_token".*
--- no_error_log
[error]



=== TEST 4: a reply that is cut off in the middle
--- tcp_reply eval
substr $::Good, 0, length($::Good) - 20
--- error_log
connection was closed by redis



=== TEST 5: a reply that lacks its last byte
--- tcp_reply eval
substr $::Good, 0, length($::Good) - 1
--- error_log
connection was closed by redis



=== TEST 6: a reply that is cut off, on a connection that stays
--- http_config
    access_token_redis 127.0.0.1:$TEST_NGINX_MOCK_PORT timeout=1s;
--- tcp_reply eval
substr $::Good, 0, length($::Good) - 1
--- tcp_no_close
--- error_log
no reply in time



=== TEST 7: no reply, and the connection is closed
--- tcp_reply eval
''
--- error_log
connection was closed by redis



=== TEST 8: a good reply that comes too late
--- http_config
    access_token_redis 127.0.0.1:$TEST_NGINX_MOCK_PORT timeout=300ms;
--- tcp_reply eval
$::Good
--- tcp_reply_delay: 1500ms
--- error_log
no reply in time



=== TEST 9: another protocol
--- tcp_reply eval
"HTTP/1.1 400 Bad Request\r\n\r\n"
--- error_log
bad reply: Protocol error



=== TEST 10: bytes
--- tcp_reply eval
"\x00\xff\x00\xff"
--- error_log
bad reply: Protocol error



=== TEST 11: an array of 2^31 elements
--- tcp_reply eval
"*2147483647\r\n"
--- error_log
bad reply:



=== TEST 12: an array of more elements than any number
--- tcp_reply eval
"*99999999999999999999\r\n"
--- error_log
bad reply:



=== TEST 13: an array of more elements than any reply has
--- tcp_reply eval
"*65537\r\n"
--- error_log
bad reply: reply has too many elements



=== TEST 14: an array in each element, more in sum than any reply has
--- tcp_reply eval
"*11\r\n" . "*1000\r\n" . "\$-1\r\n" x 1000 . "*65000\r\n"
--- error_log
bad reply: reply has too many elements



=== TEST 15: arrays in arrays
--- tcp_reply eval
"*1\r\n" x 1000
--- error_log
bad reply:



=== TEST 16: a string of 5 MB
--- tcp_reply eval
main::reply('x' x 5_000_000, (undef) x 16)
--- error_log
bad reply: reply is too long



=== TEST 17: strings of 5 MB in sum
--- tcp_reply eval
main::reply(('x' x 500_000) x 11)
--- error_log
bad reply: reply is too long



=== TEST 18: a line that never ends costs little time
--- tcp_reply eval
'+' . 'x' x 3_000_000
--- error_log
bad reply: reply is too long



=== TEST 19: the length of a string that is none
--- tcp_reply eval
"*11\r\n\$-5\r\n"
--- error_log
bad reply:



=== TEST 20: an array of another length
--- tcp_reply eval
main::reply(main::record(), undef)
--- error_log
redis answered HMGET with something else



=== TEST 21: an array of nothing
--- tcp_reply eval
"*0\r\n"
--- error_log
redis answered HMGET with something else



=== TEST 22: an array that is nil
--- tcp_reply eval
"*-1\r\n"
--- error_log
redis answered HMGET with something else



=== TEST 23: a nil, which is no record of nothing
--- tcp_reply eval
"\$-1\r\n"
--- error_log
redis answered HMGET with something else



=== TEST 24: a number
--- tcp_reply eval
":17\r\n"
--- error_log
redis answered HMGET with something else



=== TEST 25: OK
--- tcp_reply eval
"+OK\r\n"
--- error_log
redis answered HMGET with something else



=== TEST 26: an array with numbers where strings should be
--- tcp_reply eval
"*11\r\n" . ":1\r\n" x 11
--- error_log
is damaged: field "h"



=== TEST 27: an array with an array where a string should be
--- tcp_reply eval
substr($::Good, 0, -length main::bulk('a test')) . "*0\r\n"
--- error_log
is damaged: field "n"



=== TEST 28: a reply of RESP3
--- tcp_reply eval
"%1\r\n+h\r\n+x\r\n"
--- error_log
bad reply:



=== TEST 29: a nil of RESP3
--- tcp_reply eval
"_\r\n"
--- error_log
bad reply:



=== TEST 30: a second reply that nobody has asked for
--- tcp_reply eval
$::Good . "+OK\r\n"
--- error_code: 200
--- error_log
bad reply: nothing was asked



=== TEST 31: a reply before anything was asked
--- tcp_reply eval
"+OK\r\n$::Good"
--- error_log
redis answered HMGET with something else



=== TEST 32: an error
--- tcp_reply eval
"-ERR something\r\n"
--- error_log
[error]
redis answered "ERR something"



=== TEST 33: an error without a text
--- tcp_reply eval
"-\r\n"
--- error_log
redis answered ""



=== TEST 34: an error that would write the log, and is long
--- tcp_reply eval
"-ERR \x1b[31m\x00\x7f\xc3\xa9 \"quoted\" " . 'x' x 100_000 . "\r\n"
--- error_log eval
qr/redis answered "ERR \?\[31m\?\?\?\? \?quoted\? x{100,200}": the command failed/



=== TEST 35: a server that is still loading, in one line
--- tcp_reply eval
"-LOADING Redis is loading the dataset in memory\r\n"
--- grep_error_log eval
qr/\[error\].*redis answered "[A-Z]+/
--- grep_error_log_out eval
qr/^[^\n]*"LOADING\n?\z/
--- error_log
it is still loading its data and will serve when that is done



=== TEST 36: a server that is a replica and says so
--- tcp_reply eval
"-READONLY You can't write against a read only replica.\r\n"
--- error_log
it is a read-only replica; the address must lead to the primary



=== TEST 37: a replica that has lost its primary
--- tcp_reply eval
"-MASTERDOWN Link with MASTER is down\r\n"
--- error_log
it is a replica that has lost its primary



=== TEST 38: a server that wants a password
--- tcp_reply eval
"-NOAUTH Authentication required.\r\n"
--- error_log
it wants a password: configure it



=== TEST 39: a user without the permission
--- tcp_reply eval
"-NOPERM this user has no permissions\r\n"
--- error_log
its user lacks a permission; see ACL SETUSER



=== TEST 40: a server that a script blocks
--- tcp_reply eval
"-BUSY Redis is busy running a script\r\n"
--- error_log
a script blocks it; see SCRIPT KILL



=== TEST 41: a node of a cluster
--- tcp_reply eval
"-MOVED 1 127.0.0.1:1\r\n"
--- error_log
another node of its cluster has the key, and still another one was asked: configure "cluster" and some of its nodes



=== TEST 42: a server in protected mode, which closes
--- tcp_reply eval
"-DENIED Redis is running in protected mode\r\n"
--- error_log
it is in protected mode



=== TEST 43: a handshake that is answered with something else
--- http_config
    access_token_redis 127.0.0.1:$TEST_NGINX_MOCK_PORT db=1
                       timeout=5s connect_timeout=5s;
--- tcp_reply eval
":1\r\n$::Good"
--- error_log
bad reply to the handshake



=== TEST 44: a handshake that is refused
--- http_config
    access_token_redis 127.0.0.1:$TEST_NGINX_MOCK_PORT db=99
                       timeout=5s connect_timeout=5s;
--- tcp_reply eval
"-ERR DB index is out of range\r\n$::Good"
--- error_log
it has no database of the configured number



=== TEST 45: a handshake that is not answered
--- http_config
    access_token_redis 127.0.0.1:$TEST_NGINX_MOCK_PORT db=1
                       connect_timeout=1s;
--- tcp_reply eval
''
--- tcp_no_close
--- error_log
handshake timed out



=== TEST 46: a script that fails on a replica, as Redis before 7 says it
--- http_config
    access_token_redis 127.0.0.1:$TEST_NGINX_MOCK_PORT timeout=5s;
    access_token_root_file $TEST_NGINX_SERVER_ROOT/html/root;
--- config
    location /api/ { access_token_api; }
--- user_files eval
">>> root\nsha256:" . Digest::SHA::sha256_hex('root-of-a-test') . "\n"
--- request
DELETE /api/organizations/acme/access-tokens/8UvA0000000000000000
--- more_headers
Authorization: Bearer root-of-a-test
--- tcp_reply eval
"-ERR Error running script (call to f_0123456789abcdef0123456789abcdef01234567)"
. ": \@user_script:1: \@user_script: 1: -READONLY You can't write against a read"
. " only replica.\r\n"
--- error_log
it is a read-only replica; the address must lead to the primary



=== TEST 47: a script whose user lacks a right, as Redis before 7 says it
--- http_config
    access_token_redis 127.0.0.1:$TEST_NGINX_MOCK_PORT timeout=300ms;
    access_token_root_file $TEST_NGINX_SERVER_ROOT/html/root;
--- config
    location /api/ { access_token_api; }
--- user_files eval
">>> root\nsha256:" . Digest::SHA::sha256_hex('root-of-a-test') . "\n"
--- request
DELETE /api/organizations/acme/access-tokens/8UvA0000000000000000
--- more_headers
Authorization: Bearer root-of-a-test
--- tcp_reply eval
"-ERR Error running script (call to f_0123456789abcdef0123456789abcdef01234567)"
. ": \@user_script:65: \@user_script: 65: The user executing the script can't run"
. " this command or subcommand\r\n"
--- error_log
its user lacks a permission; see ACL SETUSER
