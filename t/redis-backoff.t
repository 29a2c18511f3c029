# The pause after a failure: nobody connects in it, it grows, it is over soon
# when Redis is back, and it is short again for the next failure.  How long it
# can get, and that no two are the same, is in t/unit/client.c.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use FakeRedis;
use Gateway;

my $token = token();
my $redis = FakeRedis->new;
my $gateway = Gateway->new(address => $redis->address, log_level => 'notice');

# Requests, one after the other, until the condition holds; the last status.

sub until_so {
    my ($condition) = @_;

    for (my $end = time + 30; time < $end; sleep 0.002) {
        my $status = $redis->request($gateway, $token);
        return $status if $condition->($status);
    }

    return 'none in 30 s';
}

# A Redis that closes every connection.

is($redis->request($gateway, $token), '503', 'Redis goes away');
is($redis->connects, 1, 'after one connection');

my %statuses;

for (1 .. 100) {
    $statuses{ $redis->request($gateway, $token) }++;
    sleep 0.002;
}

is(join(' ', %statuses), '503 100', 'each request hears so');
cmp_ok($redis->connects, '<', 20, 'and few of them connect');

# Nominally 50 + 100 + 200 + 400 ms, less a quarter of it at most.

is(until_so(sub { $redis->connects >= 5 }), '503', 'five connections');
cmp_ok($redis->connected(4) - $redis->connected(0), '>', 0.4,
       'take longer and longer');

# It is back.

my $failed = $redis->connects;
my $back = time;

$redis->says(record_reply($token));
is(until_so(sub { $_[0] ne '503' }), '200', 'Redis is back');
cmp_ok(time - $back, '<', 5, 'and is asked soon');
is($redis->connects, $failed + 1, 'by the first who connects');
is($gateway->await_log(qr/\[notice\].* redis answers again/, 1), 1,
   'the log says so');

# The next failure begins with a short pause.  A machine that is busy may make
# one long, but not five; none would be as short as this if they went on.

my @pauses;

for (1 .. 5) {
    $redis->says(undef);
    $redis->request($gateway, $token);

    my $lost = time;

    $redis->says(record_reply($token));
    until_so(sub { $_[0] ne '503' });
    push @pauses, $redis->connected(-1) - $lost;
    last if $pauses[-1] < 0.5;
}

cmp_ok($pauses[-1], '<', 0.5, 'after an answer the pause is short again');

is($redis->request($gateway, $token), '200', 'the connection stays');
is($redis->connects, $failed + 1 + @pauses, 'and is the same one');

$gateway->stop(qr/connection was closed by redis/);

done_testing();
