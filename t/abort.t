# A client that goes away while its request waits for Redis.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use File::Temp qw(tempdir);
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(sleep);

our $Good = put_token(organization => 'acme');
our $Port = server_port_for_client();

# A Redis that takes connections and never says a word.

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

$ENV{TEST_NGINX_SILENT_SOCKET} = "$dir/silent.sock";

our $Silent = IO::Socket::UNIX->new(Local => "$dir/silent.sock", Listen => 64)
              or die "no socket in $dir: $!\n";
chmod 0777, "$dir/silent.sock";

# Redis holds its answers back for some time.

sub pause { redis_cmd('CLIENT', 'PAUSE', $_[0]) }

# Redis is silent until nginx has begun so many requests, and has seen so many
# clients go away.

sub silent_until {
    my ($begun, $gone) = @_;
    my $file = html_dir() . '/../logs/error.log';

    redis_stop();
    in_child(sub {
        for (1 .. 2000) {
            open my $in, '<', $file or die "can't read $file: $!\n";
            my $log = do { local $/; <$in> };

            last if (() = $log =~ /http header done/g) >= $begun
                    && (() = $log =~ /client prematurely closed/g) >= $gone;
            sleep 0.005;
        }
        redis_continue();
    });
}

# Sends a request to nginx, and goes away after a while.

sub come_and_go {
    my ($token) = @_;

    my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $Port)
                 or die "can't connect to nginx: $!\n";

    print $client "GET /t HTTP/1.1\r\nHost: localhost\r\n"
                  . "Authorization: Bearer $token\r\n\r\n";
    $client->flush;
    sleep 0.1;
    close $client;
    sleep 0.1;
}

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

=== TEST 1: it is noticed while Redis is silent, and not only in the end
--- http_config
    access_token_redis unix:$TEST_NGINX_SILENT_SOCKET timeout=20s
                       connect_timeout=20s;
--- config
    location = /t { access_token on; }
--- more_headers eval
"Authorization: Bearer $::Good"
--- timeout: 200ms
--- abort
--- ignore_response
--- wait: 0.3
--- error_log
client prematurely closed connection
--- no_error_log
[error]
[alert]
[crit]
[emerg]



=== TEST 2: with the rest of a request still to be read
--- http_config
    access_token_redis unix:$TEST_NGINX_SILENT_SOCKET timeout=20s
                       connect_timeout=20s;
--- config
    location = /t { access_token on; }
--- request eval
"POST /t\n" . ("x" x 100)
--- more_headers eval
"Authorization: Bearer $::Good\nContent-Length: 200"
--- timeout: 200ms
--- abort
--- ignore_response
--- wait: 0.3
--- error_log
client prematurely closed connection
--- no_error_log
[error]
[alert]
[crit]
[emerg]



=== TEST 3: the answer that comes afterwards is dropped
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=20s
                       connect_timeout=20s;
--- config
    location = /t { access_token on; }
--- init
    main::silent_until(1, 1);
--- more_headers eval
"Authorization: Bearer $::Good"
--- timeout: 150ms
--- abort
--- ignore_response
--- wait: 0.6
--- error_log
client prematurely closed connection
--- no_error_log
[error]
[alert]
[crit]
[emerg]



=== TEST 4: another request that waits for the same token gets its answer
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=20s
                       connect_timeout=20s;
--- config
    location = /t { access_token on; }
--- init
    main::silent_until(2, 1);
    main::come_and_go($main::Good);
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in
--- error_log
client prematurely closed connection
--- no_error_log
[error]
[alert]
[crit]
[emerg]



=== TEST 5: many come and go, and nginx serves on
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=20s
                       connect_timeout=20s;
--- config
    location = /t { access_token on; }
--- init
    main::silent_until(4, 3);
    main::come_and_go($_ % 2 ? $main::Good : AccessToken::token()) for 1 .. 3;
--- more_headers eval
"Authorization: Bearer $::Good"
--- response_body
let in
--- error_log
client prematurely closed connection
--- no_error_log
[error]
[alert]
[crit]
[emerg]



=== TEST 6: a client that waits and sends more is not one that goes away
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=20s
                       connect_timeout=20s;
--- config
    location = /t { access_token on; }
--- init
    main::pause(300);
--- pipelined_requests eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
[("Authorization: Bearer $::Good") x 3]
--- response_body eval
["let in\n", "let in\n", "let in\n"]
--- no_error_log
client prematurely closed connection
[error]
[alert]
[crit]
[emerg]
