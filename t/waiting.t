# A request that waits for Redis, and what happens to its connection meanwhile:
# it may be written to, more may come, the client may go away.

use strict;
use warnings;

use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $size = 6_000_000;
my $gateway = Gateway->new(
    redis => 'timeout=20s connect_timeout=20s',
    http => 'log_format verdict "$request_uri $status'
            . ' [$access_token_verdict]";',
    server => 'access_log DIR/logs/verdict.log verdict;
               location = /large { root DIR/html; }');

Gateway::put($gateway->dir . '/html/large', 'x' x $size);

my $admin = $gateway->create('acme', '', admin => JSON::PP::true());

# nginx has begun a request; a connection has something to read and can be
# written to; an answer does not go out at once.

my $began = qr/http process request line/;
my $both  = qr/epoll: fd:\d+ ev:0005/;
my $full  = qr/writev\(\) not ready/;
my $gone  = qr/client prematurely closed connection/;

sub request {
    my ($path, $bearer) = @_;
    return "GET $path HTTP/1.1\r\nHost: localhost\r\n"
           . ($bearer ? "Authorization: Bearer $bearer\r\n" : '') . "\r\n";
}

# How often Redis was sent a command since CONFIG RESETSTAT.

sub times_sent {
    my ($command) = @_;
    my ($calls) = redis_cmd('INFO', 'commandstats')
                  =~ /^cmdstat_$command:calls=(\d+)/m;
    return $calls // 0;
}

# The head of an answer, or so many bytes.

sub receive {
    my ($socket, $bytes) = @_;
    my $text = '';

    local $SIG{ALRM} = sub { die "nginx sends nothing\n" };
    alarm 10;
    while ($bytes ? length $text < $bytes : $text !~ /\r\n\r\n/) {
        sysread $socket, $text, $bytes ? $bytes - length $text : 1,
                length $text
            or die "nginx closed the connection\n";
    }
    alarm 0;

    return $text;
}


# An answer that does not go out at once makes nginx ask for the event that the
# connection can be written to.  It comes again with whatever is there to be
# read, when another request is served: here one that waits.

for my $case (['a token at the edge', '/', $admin->{token}, 'hmget'],
              ['the caller of the API', '/api/self', $admin->{token}, 'evalsha'],
              ['a record at the API', $admin->{path}, $gateway->root, 'evalsha']
) {
    my ($what, $path, $bearer, $command) = @$case;

    my $socket = $gateway->connect;
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 65536
        or die "no receive buffer: $!\n";
    redis_cmd('CONFIG', 'RESETSTAT');
    redis_stop();
    $gateway->await_log($_, 0) for $began, $full;

    print $socket request('/large'), request($path, $bearer);
    $socket->flush;
    $gateway->await_log($full, 1);
    receive($socket);
    receive($socket, $size);
    $gateway->await_log($began, 2);

    $gateway->await_log($both, 0);
    print $socket 'GET /';
    $socket->flush;
    is($gateway->await_log($both, 1), 1,
       "while $what is awaited, the connection can be written to");

    redis_continue();
    like(receive($socket), qr{^HTTP/1.1 200 },
         'and the request waits on for its answer');
    is(times_sent($command), 1, 'which Redis is asked for once');
}


# A client that goes away while its request waits.

redis_stop();
$gateway->await_log($gone, 0);
$gateway->await_log($began, 0);

my $socket = $gateway->connect;
print $socket request('/left', $admin->{token});
$socket->flush;
$gateway->await_log($began, 1);
close $socket;

is($gateway->await_log($gone, 1), 1, 'a client that goes away is noticed');
redis_continue();
is($gateway->call(GET => '/', bearer => $admin->{token})->{status}, 200,
   'and the next one is served');
$gateway->quit;
is(Gateway::slurp($gateway->dir . '/logs/verdict.log') =~ s/.*^(?=\/left)//msr,
   "/left 499 [-]\n/ 200 [active]\n",
   'and of the one that has left, no verdict is logged');

$gateway->stop;

done_testing();
