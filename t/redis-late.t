# A reply that comes after its time: nobody takes it for the answer to another
# command, not even to one about the same token.  One that comes before it, from
# who has not read the question: then nobody waits for the next one for ever.
# And one that nobody has asked for.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use FakeRedis;
use Gateway;

my $path = tempdir(CLEANUP => 1) . '/late.sock';
my $token = token();

# The first question is answered when the next one has come, on whichever
# connection that is: with what was true then.  Since then the token is revoked.

sub serve {
    my ($listening) = @_;

    my $first = $listening->accept;
    my $select = IO::Select->new($listening, $first);
    my @connections = ($first);
    my $questions = '';

    for ( ;; ) {
        for my $socket ($select->can_read) {

            if ($socket == $listening) {
                push @connections, scalar $listening->accept;
                $select->add($connections[-1]);
                next;
            }

            if (!sysread $socket, $questions, 4096, length $questions) {
                $select->remove($socket);
                next;
            }

            my $asked = () = $questions =~ /HMGET/g;
            next if $asked < 2;

            syswrite $first, record_reply($token, status => 'a') if $asked == 2;
            syswrite $socket, record_reply($token, status => 'r');
        }
    }
}

my $listening = IO::Socket::UNIX->new(Local => $path, Listen => 5)
                or die "no socket at $path: $!\n";

in_child(sub { serve($listening) });
close $listening;

my $gateway = Gateway->new(address => "unix:$path", redis => 'timeout=1s',
                           log_level => 'info');

is($gateway->call(GET => '/', bearer => $token)->{status}, 503,
   'a reply does not come in its time');

my $status = '503';
for (1 .. 100) {
    $status = $gateway->call(GET => '/', bearer => $token)->{status};
    last if $status ne '503';
    sleep 0.02;     # the pause after a failure
}

is($status, 401, 'when it comes, it is not the answer to the next question');
like($gateway->log, qr/revoked access token/, 'which has its own');
is($gateway->call(GET => '/', bearer => $token)->{status}, 401,
   'and so have those after it');

$gateway->stop(qr/\[error\] .* no reply in time/);


# One reply too many, of another kind: the others are not taken for what they
# would be if that were the answer to the first question.

my $redis = FakeRedis->new;
my $other = token();
my @asked;

$gateway = Gateway->new(address => $redis->address);
$redis->says(sub {
    my ($node, $name, $key) = @_;

    push @asked, index($key, token_id($token)) < 0 ? $other : $token;
    return '' if @asked == 1;
    return join '', @asked == 2 ? "+OK\r\n" : (),
                map { record_reply($_) } splice @asked;
});

my @clients = map {
    my $client = $gateway->connect;
    $gateway->send_request($client, GET => '/', bearer => $_);
    $client;
} $token, $other;

is(join(' ', map { $redis->answer_to($_) } @clients), '503 503',
   'a reply too many: what comes after it is nobody\'s answer');

$redis->says(sub { record_reply(index($_[2], token_id($token)) < 0
                                ? $other : $token) });
ok(Gateway::becomes(sub { $redis->request($gateway, $other) eq '200' }, 3),
   'on another connection it is');

$gateway->stop(qr/ HMGET with something else/,
               qr/ bad reply: not one to what was asked/);


# It says that all is well, and reads nothing, until nothing more can be written
# to it; then it says nothing any more.

my $FIONREAD = 0x541b;

$redis = FakeRedis->new;
$gateway = Gateway->new(address => $redis->address,
                        redis => 'timeout=3s connect_timeout=3s');
$redis->says(record_reply($token));
is($redis->request($gateway, $token), 200, 'a question is answered');

# How many bytes it has not read.

sub unread {
    ioctl $redis->{asked}, $FIONREAD, my $bytes = pack 'L', 0
        or die "FIONREAD: $!\n";
    return unpack 'L', $bytes;
}

my ($rounds, $full) = (0, 0);

for ($status = '200'; $status eq '200' && $rounds < 5000; $rounds++) {
    my $before = unread();
    my $client = $gateway->connect;

    $gateway->send_request($client, GET => '/', bearer => $token);
    $full++ unless Gateway::becomes(sub { unread() > $before }, 1);
    $redis->answers(record_reply($token)) if $full < 2;

    $status = IO::Select->new($client)->can_read(8)
        ? Gateway::parse(Gateway::read_all($client))->{status} : 'nothing';
}

cmp_ok($rounds, '>', 50, 'so are many that nobody reads');
is($status, 503, 'one that cannot be sent is not waited for');

$gateway->stop(qr/\[error\] .* bad reply: what was asked is not yet sent/);

done_testing();
