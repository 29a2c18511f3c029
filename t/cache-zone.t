# The zone: what goes when it is full, what a reload keeps, and that it goes on
# when workers die.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(workers => 2, log_level => 'notice',
                           cache => 'max_age=10m lease=10s',
                           http => 'keepalive_requests 100000;
                                    access_token_zone x:512k;');
my @on;

sub get {
    my ($token, %option) = @_;
    my $response = $gateway->call(GET => '/', bearer => $token, %option);

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

my $asked = 0;

sub asked {
    my ($now) = redis_cmd('INFO', 'commandstats')
                =~ /^cmdstat_hmget:calls=(\d+)/m;
    my $before = $asked;

    $asked = $now // 0;

    return $asked - $before;
}

sub settle {
    redis_cmd('PING');
    $gateway->call(GET => '/worker', on => $_) for @on;
}

sub new_token {
    my $token = put_token(@_);

    settle();

    return $token;
}

# What each worker answers as soon as it takes tokens from the cache.

sub first_answers {
    my ($token) = @_;
    my %worker = $gateway->connect_workers;

    @on = values %worker;

    return join ', ', map {
        my ($on, $got) = $_;
        Gateway::becomes(sub { $got = get($token, on => $on);
                               $got !~ /BYPASS/ });
        $got;
    } @on;
}

sub ready {
    my $probe = put_token();

    first_answers($probe);
    Gateway::becomes(sub { get($probe) eq '200 HIT' })
        or BAIL_OUT('nothing is cached');
    settle();
    asked();
}


# More tokens than there is room for.

ready();

my $tokens = 2200;
my @tokens = map { put_token() } 1 .. $tokens;
my $busy = new_token();
my (%busy, %others);

get($busy, on => $on[0]);

for my $n (0 .. $#tokens) {
    $others{get($tokens[$n], on => $on[0])}++;
    $busy{get($busy, on => $on[1])}++ if $n % 20 == 0;
}

is(join(', ', %others), "200 MISS, $tokens",
   'more tokens than the zone has room for are let in');
is(join(', ', keys %busy), '200 HIT',
   'and one that is used all the time stays in it');

asked();
is(get($tokens[-1]), '200 HIT', 'the last one of the others is there');
is(get($tokens[-500]), '200 HIT', 'and the last ones before');
is(asked(), 0, 'and Redis is asked for neither');
is(get($tokens[0]), '200 MISS', 'the first one is not any more');
is(get($tokens[0]), '200 HIT', 'and comes back');

# Unknown ids push nothing out.

$others{get(token(), on => $on[0])}++ for 1 .. $tokens;
is($others{'401 MISS'}, $tokens, 'as many unknown ids');
is(get($busy), '200 HIT', 'push nothing out');
is(get($tokens[-1]), '200 HIT', 'not even what is used little');


# A reload.  That the new workers trust the zone takes the old ones, which may
# have gone on a busy machine: three times is not by chance.

my $kept;

for (1 .. 3) {
    ready();
    get($busy);
    asked();

    $gateway->reload;
    $kept = first_answers($busy);

    last if $kept eq '200 HIT, 200 HIT';
}

is($kept, '200 HIT, 200 HIT', 'what is cached outlives a reload');

sub after {
    my ($what, $token, $expected, %option) = @_;

    ready();
    get($token);
    is(get($token), '200 HIT', 'a token is cached');
    $gateway->reload(%option);

    my $first = first_answers($token);
    like($first, $expected, "after a reload with another $what");
}

my $http = $gateway->{option}{http};

after('size of the zone, which starts empty', $busy, qr/^200 MISS/,
      http => $http =~ s/512k/600k/r);

# Under the other prefix, and in the other database, the token is revoked.

put_token(token => $busy, key_prefix => 'gw:', status => 'r');
after('prefix', $busy, qr/^401 MISS/, redis => 'prefix=gw:');
$gateway->reload(redis => '');
like(first_answers($busy), qr/^200 MISS/, 'and back again');

redis_cmd('COPY', token_key($busy), token_key($busy), 'DB', 1);
redis_cmd('EVAL', "redis.call('SELECT', 1) "
                  . "return redis.call('HSET', KEYS[1], 's', 'r')",
          1, token_key($busy));
settle();
after('database', $busy, qr/^401 MISS/, redis => 'db=1');

$gateway->reload(redis => '');
ready();
get($busy);
$gateway->reload(cache => 'off');
asked();
is(get($busy), '200 BYPASS', 'after a reload that switches it off') for 1 .. 3;
is(asked(), 3, 'the cache is not used');


# Workers that are killed.

$gateway->reload(cache => 'lease=500ms');
ready();

my @clients = map {
    in_child(sub {
        for (;;) {
            eval { $gateway->call(GET => '/', bearer => $_)
                   for $busy, @tokens[map { rand @tokens } 1 .. 5], token() };
        }
    })
} 1 .. 3;

for (1 .. 20) {
    my @workers = $gateway->workers;
    my $victim = $workers[rand @workers];

    sleep rand 0.03;
    kill 'KILL', $victim;
    Gateway::becomes(sub {
        my @now = $gateway->workers;
        @now == 2 && !grep { $_ == $victim } @now;
    }) or BAIL_OUT('a worker that was killed is not replaced');
}

kill 'KILL', @clients;

my %worker = $gateway->connect_workers;
@on = values %worker;

for my $on (@on) {
    is((split ' ', get($busy, on => $on))[0], '200',
       'after 20 killed workers one serves');
    ok(Gateway::becomes(sub { get($busy, on => $on) eq '200 HIT' }, 5),
       'and uses the cache');
}

settle();
put_token(token => $busy, status => 'r');
ok(Gateway::becomes(sub { get($busy, on => $_) =~ /^401/ }, 1),
   'and hears of changes') for @on;

my @killed = $gateway->log =~ /exited on signal 9/g;
is(scalar(@killed), 20, 'these 20 are all that have died');

$gateway->stop(qr/exited on signal 9/);

done_testing();
