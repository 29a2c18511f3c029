# access_token_last_use: when a token was used last is told to Redis in batches,
# so that last_used_at of the API shows it.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use Gateway;
use LastUse;

flush();

my $gateway = Gateway->new(workers => 2, log_level => 'notice',
                           redis => 'timeout=1s',
                           http => 'access_token_last_use 1s;
                                    access_token_zone x:1m;
                                    keepalive_requests 100000;',
                           cache => 'lease=500ms');
my @root = (bearer => $gateway->root);

LastUse::of($gateway);


# A use.

my ($made) = make(1);

is(last_used($made), undef, 'a token that was never used');
is(score($made), 0, 'has a place for it');

my $before = int time;
get($made->{token});
ok(is_told($made, $before), 'when it was used, Redis is told');
cmp_ok(score($made), '<=', time, 'the time of its use');
like(last_used($made), qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
     'and the API tells it');


# Many uses of many tokens.

my @made = make(40);
my $start = time;
$before = int $start;

for my $round (1 .. 3) {
    get($_->{token}) for @made;
}

my $due = 2 + int(time - $start);       # once a second

ok(is_told($_, $before), 'each of many tokens is told') for $made[0], $made[39];
cmp_ok(scalar(grep { score($_) >= $before } @made), '==', 40, 'all of them');
cmp_ok(told(), '<=', $due, 'in one command, or two if it was due meanwhile');

# A busy token.

$made = $made[0];
is_cached($made->{token});
told();

my $uses = 0;
$start = time;
while (time - $start < 2.5) { get($made->{token}); $uses++ }

my $times = told();
cmp_ok($times, '>=', 1, "a token that is used $uses times in 2.5 s");
cmp_ok($times, '<=', 2 + time - $start, 'is told once a second');


# What is no more, or knows better, stays as it is.

my ($gone, $none, $later, $mark) = make(4);
redis_cmd('ZREM', used_key($none), $none->{id});
redis_cmd('ZADD', used_key($later), 4000000000, $later->{id});
$before = int time;
get($_->{token}) for $gone, $none, $later, $mark;
$gateway->call(DELETE => $gone->{path}, @root);

ok(is_told($mark, $before), 'some tokens are used');
is(score($gone), undef, 'one that was deleted then does not come back');
is(score($none), undef, 'one that has no place gets none');
is(score($later), 4000000000,
   'and an earlier use does not replace a later one of another edge');


# Redis that is away when it is due.

my $used_at;

for (1 .. 10) {
    ($made) = make(1);
    $before = int time;
    get($made->{token});
    $used_at = time;
    redis_cmd('ZSCORE', used_key($made), $made->{id}) == 0 or next;
    redis_stop();
    last;
}

my $until = time + 2.3;         # it is due every second, or a bit later
sleep 0.05 while time < $until;
redis_continue();

ok(is_told($made, $before), 'a use that Redis could not be told is told later');
cmp_ok(score($made), '<=', $used_at, 'with the time that it had');


# A reload.

($made) = make(1);
$before = int time;
is_cached($made->{token});
$gateway->reload;
ok(is_told($made, $before), 'a use of before a reload is told after it');

$gateway->stop(qr/no reply in time/);

done_testing();
