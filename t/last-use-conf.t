# access_token_last_use without a cache, with another interval, and off.

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
                           http => 'access_token_last_use 1s;
                                    access_token_zone x:1m;
                                    keepalive_requests 100000;');

LastUse::of($gateway);


# Without a cache.

my ($made, $other) = make(2);
my $before = int time;
is(get($_->{token}), '200 BYPASS', 'without a cache') for $made, $other;
ok(is_told($_, $before), 'a use is told, too') for $made, $other;

told();
my $start = time;
while (time - $start < 2.5) { get($made->{token}) }
my $times = told();
cmp_ok($times, '>=', 1, 'and a busy token');
cmp_ok($times, '<=', 2 + time - $start, 'once a second');


# Another interval: what is due by the old one alone has to wait no longer.

my $http = $gateway->{option}{http};

$gateway->reload(cache => 'lease=500ms', http => $http =~ s/1s/1d/r);
($made) = make(1);
get($made->{token});
Gateway::becomes(sub { 0 }, 2.2);       # by the old one it is due once more

$gateway->reload(http => $http);
($made) = make(1);
$before = int time;
get($made->{token});
ok(is_told($made, $before), 'a shorter interval counts as of the reload');


# Off.

$gateway->reload(cache => 'max_age=1s',
                 http => $gateway->{option}{http} =~ s/1s/off/r);
($made) = make(1);
is_cached($made->{token});
$start = time;
while (time - $start < 2.5) { get($made->{token}) }
is(told(), 0, 'with off nothing is told');
is(last_used($made), undef, 'of any use');

$gateway->stop;

done_testing();
