# What accepts connections and closes them is no Redis, though it may look like
# one that closes an idle connection: a proxy, say, whose Redis is down.  It is
# asked once, and then the pause begins.
#
# The gateway has to see the end of the connection together with its beginning,
# so it is kept busy in between: by a regular expression that takes its time,
# in the turn of the event loop that connects.

use strict;
use warnings;

use IO::Socket::INET;
use Test::More;

use lib 't';
use AccessToken;
use Gateway;

my $listening = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1')
                or die "can't listen: $!\n";

pipe my $accepted, my $note or die "no pipe: $!\n";

my $server = in_child(sub {
    while (my $socket = $listening->accept) {
        close $socket;
        syswrite $note, '.';
    }
});
close $note;

my $gateway = Gateway->new(address => '127.0.0.1:' . $listening->sockport,
                           log_level => 'info', server => <<'END');
        location = /quick { return 204; }
        location = /busy {
            if ($arg_a ~ ^(a+)+$) { return 200; }
            return 204;
        }
END
close $listening;

# Both connections are open before the gateway is stopped.  So in one turn it
# asks for a look-up, which connects at the turn's end, and after that it is
# busy with what the other one has pipelined.

my ($asks, $keeps_busy) = map { $gateway->connect } 1, 2;

for my $socket ($asks, $keeps_busy) {
    print $socket "GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n";
    $socket->flush;
    sysread $socket, my $answer, 4096;
    die "nginx is not ready: $answer\n" if $answer !~ / 204 /;
}

$gateway->halt;
$gateway->send_request($asks, GET => '/', bearer => token());
print $keeps_busy "GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n",
                  ('GET /busy?a=' . 'a' x 18 . "! HTTP/1.1\r\n"
                   . "Host: localhost\r\n\r\n") x 8;
$keeps_busy->flush;
$gateway->go_on;

is(Gateway::parse(Gateway::read_all($asks))->{status}, 503,
   'a request whose Redis closes the connection is refused');

$gateway->stop(qr/\[error\] .* connection was closed by redis/);

kill 'KILL', $server;
waitpid $server, 0;

is(do { local $/; <$accepted> }, '.', 'after one connection');

done_testing();
