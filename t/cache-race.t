# A reply that was overtaken by the news that it is out of date: the request
# that it was for has it, but it does not get into the cache.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use Gateway;

flush();

my ($gateway, %worker);

sub get {
    my ($token, $worker) = @_;
    my $response = $gateway->call(GET => '/', bearer => $token,
                                  on => $worker{$worker});

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

# What was changed until now has come to this worker.

sub settle {
    my ($worker) = @_;

    redis_cmd('PING');
    $gateway->call(GET => '/worker', on => $worker{$worker}) for 1 .. 2;
}

sub links {
    return redis_cmd('CLIENT', 'LIST', 'TYPE', 'pubsub') =~ /^id=(\d+)/mg;
}

my $probe = put_token();

sub ready {
    for my $worker (keys %worker) {
        Gateway::becomes(sub { get($probe, $worker) eq '200 HIT' })
            or BAIL_OUT('a worker takes nothing from the cache');
    }
}

# A worker asks, and is stopped until Redis has answered, something has changed,
# the other worker has heard of that, and its own link has broken, so that
# nothing but the reply is there for it.

my $closed = qr/(\d+)#\d+: \*\d+ connection was closed by redis while listening/;

sub race {
    my ($token, $change) = @_;

    # a new one, which has not yet logged what is logged now and then only

    $gateway = Gateway->new(workers => 2, cache => 'lease=10s negative=60s',
                            redis => 'timeout=5s', log_level => 'notice',
                            http => 'keepalive_requests 100000;');
    %worker = $gateway->connect_workers;
    ready();

    # a link whose worker is known, for it is new

    my @old = links();
    redis_cmd('CLIENT', 'KILL', 'ID', $old[0]);
    $gateway->await_log($closed, 1);

    my $slow = ($gateway->log =~ /$closed/g)[-1];
    my ($fast) = grep { $_ != $slow } keys %worker;
    my $link;

    Gateway::becomes(sub {
        my @new = links();
        ($link) = grep { $_ != $old[1] } @new;
        return @new == 2;
    }) or BAIL_OUT('the link does not come back');

    ready();
    settle($_) for $slow, $fast;

    # it asks

    my %again = $gateway->connect_workers;
    my $socket = $again{$slow};

    redis_stop();
    $gateway->send_request($socket, GET => '/', bearer => $token,
                           on => $socket);
    $gateway->call(GET => '/worker', on => $worker{$slow}) for 1 .. 3;

    AccessToken::stop($slow);
    redis_continue();
    redis_cmd('PING') for 1 .. 2;

    # what happens meanwhile

    redis_cmd('CLIENT', 'KILL', 'ID', $link);
    $change->();
    settle($fast);
    kill 'CONT', $slow;

    my $answer = Gateway::parse(Gateway::read_one($socket));

    is($answer->{headers}{'x-cache'}, 'MISS', 'a request, in a race');

    return ($answer->{status}, $fast);
}

my $token = put_token();
my ($status, $other) = race($token, sub {
    redis_cmd('HSET', token_key($token), 's', 'r');
});

is($status, '200', 'with a revocation that came after the answer');
is(get($token, $other), '401 MISS', 'does not let the next one in');
$gateway->stop(qr/connection was closed by redis while listening/);

$token = token();
($status, $other) = race($token, sub { put_token(token => $token) });

is($status, '401', 'and with a token that was created after the answer');
is(get($token, $other), '200 MISS', 'does not keep the next one out');
$gateway->stop(qr/connection was closed by redis while listening/);

$token = put_token();
($status, $other) = race($token, sub { flush(); put_token(token => $probe) });

is($status, '200', 'and with Redis that was emptied after the answer');
is(get($token, $other), '401 MISS', 'does not let the next one in');
$gateway->stop(qr/connection was closed by redis while listening/);

done_testing();
