# The lease: how long tokens are taken from the cache when Redis is silent, when
# it is no primary any more, when links break, and when a worker was held up.

use strict;
use warnings;

use Fcntl qw(O_NONBLOCK O_RDWR);
use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use Gateway;

flush();

my $lease = 0.3;
my %options = (workers => 2, log_level => 'notice', cache => 'lease=300ms',
               redis => 'timeout=1s connect_timeout=1s',
               http => 'keepalive_requests 100000;');
my $gateway = Gateway->new(%options);
my @on;

sub ask {
    my ($token, %option) = @_;

    return $gateway->call(GET => '/', bearer => $token, %option);
}

sub got {
    my ($response) = @_;

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

sub get { return got(ask(@_)) }

sub settle {
    redis_cmd('PING');
    $gateway->call(GET => '/worker', on => $_) for @on;
}

# Waits until each worker takes these tokens from the cache.

sub ready {
    my (@tokens) = @_;
    my %worker = $gateway->connect_workers;

    @on = values %worker;

    for my $token (@tokens) {
        for my $on (@on) {
            Gateway::becomes(sub { get($token, on => $on) eq '200 HIT' })
                or BAIL_OUT('a worker takes nothing from the cache');
        }
    }
}

# Asks for so long, from the moment when $begin says that it has happened: what
# was answered, and when the last request began that was let in.

sub ask_for {
    my ($seconds, $token, $begin) = @_;
    my (%seen, $last, @refused);

    $begin->();

    my $since = time;

    while (time - $since < $seconds) {
        for my $on (@on) {
            my $now = time;
            my $response = ask($token, on => $on);

            $seen{got($response)}++;
            $last = $now - $since if $response->{status} eq '200';
            push @refused, $response if $response->{status} eq '503';
        }
    }

    return (join(', ', sort keys %seen), $last, @refused);
}

# Redis confirms nothing any more, for a while that $begin and $end enclose.

sub lapses {
    my ($what, $begin, $end) = @_;
    my $token = put_token();
    my ($seen, $last, @refused);

    # once more if a busy machine has let the lease end before

    for my $try (1 .. 5) {
        $end->($token) if $try > 1;
        settle();
        ready($token);
        ($seen, $last, @refused) = ask_for(4 * $lease, $token, $begin);
        last if $seen ne '503 BYPASS';
    }

    is($seen, '200 HIT, 503 BYPASS', "$what: the cache, and then 503");
    cmp_ok($last, '<=', $lease + 0.02, 'and the cache no longer than the lease');
    ok(!(grep { ($_->{headers}{'retry-after'} // '') !~ /^\d+$/
                || exists $_->{headers}{'www-authenticate'} } @refused),
       'with a Retry-After and without a challenge');
    is(get(token()), '503 BYPASS', 'nothing is said of an unknown token');

    $end->($token);

    my ($since, $late) = (time, 0);
    ok(Gateway::becomes(sub { my $sent = time - $since;
                              my $got = get($token);
                              $late = $sent if $got !~ /^200/;
                              return $got =~ /^200/ }),
       'when it is over, it is let in');
    cmp_ok($late, '<', 1, 'whoever asks after a second');
    ready($token);
}


lapses('Redis hangs', sub { redis_stop() }, sub { redis_continue() });

lapses('Redis has become a replica',
       sub { redis_cmd('REPLICAOF', '127.0.0.1', '1') },
       sub { my ($token) = @_;
             is(redis_cmd('HMGET', token_key($token), 's')->[0], 'a',
                'though it would answer a plain read');
             redis_cmd('REPLICAOF', 'NO', 'ONE') });

lapses('Redis has lost its replicas',
       sub { redis_cmd('CONFIG', 'SET', 'min-replicas-to-write', 1) },
       sub { redis_cmd('CONFIG', 'SET', 'min-replicas-to-write', 0) });


# A Redis that is full.

my $token = put_token();
my @others = map { put_token() } 1 .. 40;
settle();
ready($token);

redis_cmd('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
redis_cmd('CONFIG', 'SET', 'maxmemory', 1);
ok(!eval { redis_cmd('SET', 'x', 1) }, 'Redis is full');
my $seen;

# A heartbeat that a busy machine sends late lets the lease end, but not each
# time.

for (1 .. 5) {
    ($seen) = ask_for(4 * $lease, $token, sub {});
    last if $seen eq '200 HIT';
}

is($seen, '200 HIT', 'the cache is used on and on');

my @looked_up = map { get($_) } @others[0 .. 19];
is(scalar(grep { !/^200/ } @looked_up), 0, 'and the others are looked up');
cmp_ok(scalar(grep { $_ eq '200 MISS' } @looked_up), '>', 3, 'for the cache');
redis_cmd('CONFIG', 'SET', 'maxmemory', 0);


# Links that break.

sub links {
    return redis_cmd('CLIENT', 'LIST', 'TYPE', 'pubsub') =~ /^id=(\d+)/mg;
}

# Commands that Redis carries out one after the other, in one turn.

sub at_once {
    my (@commands) = @_;

    my $socket = IO::Socket::UNIX->new(Peer => $ENV{TEST_NGINX_REDIS_SOCKET})
                 or die "can't connect to Redis: $!\n";

    $socket->syswrite(join '', map { my @words = @$_;
                                     ('*' . @words . "\r\n",
                                      map { '$' . length() . "\r\n$_\r\n" }
                                          @words) } @commands);
    AccessToken::read_reply($socket) for @commands;
}

# What a worker answers as soon as it uses the cache, and what until then.

sub until_cached {
    my ($token, $on) = @_;
    my (%before, $got);

    Gateway::becomes(sub { $got = get($token, on => $on);
                           $before{$got}++ if $got =~ /BYPASS/;
                           $got !~ /BYPASS/ });

    return ($got, join ', ', sort keys %before);
}

my @links = links();
is(scalar(@links), 2, 'each worker has a link');

at_once(['CLIENT', 'KILL', 'TYPE', 'pubsub'],
        ['HSET', token_key($token), 's', 'r']);
settle();

for my $on (@on) {
    my ($first, $before) = until_cached($token, $on);
    like($before, qr/^(401 BYPASS)?$/,
         'a revocation while both links are down is seen');
    like($first, qr/^401 (?:MISS|HIT)$/, 'also when they are up again');
}

isnt(join(' ', links()), join(' ', @links), 'which are new ones');

$token = put_token();
settle();
ready($token, $others[0]);
at_once(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
settle();
is((until_cached($token, $on[0]))[0], '200 MISS',
   'what was cached before is void');
ready($token, $others[0]);

# One of two.

my (@after, @passed_by);

for (1 .. 5) {
    at_once(['CLIENT', 'KILL', 'ID', (links())[0]]);
    settle();

    @after = map { [ until_cached($token, $_) ] } @on;
    @passed_by = grep { $_->[1] } @after;
    last if @passed_by < 2;

    # the lease has ended, too
    ready($token, $others[0]);
}

is($_->[0], '200 HIT', 'if one link breaks, nothing is void') for @after;
is($_->[1], '200 BYPASS', 'though its worker looks tokens up for a while')
    for @passed_by;
cmp_ok(scalar(@passed_by), '<', 2, 'and the other one does not');

at_once(['CLIENT', 'KILL', 'ID', (links())[0]],
        ['HSET', token_key($token), 's', 'r']);
settle();
like(get($token, on => $_), qr/^401/,
     'a change that one of two has heard is seen by both') for @on;
like((until_cached($token, $_))[0], qr/^401/, 'and later, too') for @on;


# A worker that hears late: what it hears was true when it was sent.

$token = put_token();
settle();
my %worker = $gateway->connect_workers;
@on = values %worker;
ready($token);
%worker = map { ($gateway->call(GET => '/worker', on => $_)->{body} => $_) } @on;

my ($late, $other) = sort keys %worker;
AccessToken::stop($late);

# the other one has them published
my $until = time + $lease;
get($token, on => $worker{$other}) while time < $until;

redis_stop();
$until = time + $lease + 0.05;
get($token, on => $worker{$other}) while time < $until;
kill 'CONT', $late;

my %late;
$until = time + 0.2;
while (time < $until) { $late{get($token, on => $worker{$late})}++ }
is(join(', ', keys %late), '503 BYPASS',
   'a heartbeat that is heard late is not of now');
redis_continue();
ready($token);


# Nothing is left behind.

sub connections {
    return scalar grep { !/cmd=client/ } split /\n/, redis_cmd('CLIENT', 'LIST');
}

$gateway->reload;
$gateway->reload;
$token = put_token();
ready($token);
ok(Gateway::becomes(sub { connections() == 4 }),
   'after reloads each worker has two connections to Redis')
    or diag(redis_cmd('CLIENT', 'LIST'));

$until = time + 8;
$gateway->stop(qr/no reply in time/, qr/READONLY/, qr/NOREPLICAS/,
               qr/closed by redis while listening/);
cmp_ok(time, '<', $until, 'neither link nor timers keep a worker from quitting');
ok(Gateway::becomes(sub { connections() == 0 }, 2), 'no connection is left');


# A worker that was held up for longer than the lease.

my $fifo = $gateway->dir . '.pipe';

POSIX::mkfifo($fifo, 0600) or die "no pipe at $fifo: $!\n";
sysopen my $pipe, $fifo, O_RDWR | O_NONBLOCK or die "can't open $fifo: $!\n";

$gateway = Gateway->new(%options, workers => 1,
    server => "location = /slow { access_log $fifo; return 200 slow; }");
my $second = Gateway->new(port => $ENV{TEST_NGINX_MOCK_PORT},
                          dir => $gateway->dir . '-2', log_level => 'notice');

my $made = $second->create('acme', '');
$token = $made->{token};
ready($token);

my ($worker) = $gateway->workers;
AccessToken::stop($worker);
$gateway->send_request($on[0], GET => '/', bearer => $token, on => $on[0]);

is($second->call(POST => "$made->{path}/revoke", bearer => $second->root)
          ->{status}, '200', 'a revocation by another gateway');
my $revoked = time;
Gateway::becomes(sub { time - $revoked > $lease + 0.05 });
kill 'CONT', $worker;

is(got(Gateway::parse(Gateway::read_one($on[0]))), '401 BYPASS',
   'is seen by a worker that has not read of it, a lease later');
like(get($token), qr/^401/, 'and from then on');


# A turn of the event loop that takes longer than the lease: the worker logs to
# a pipe that is full.  A request that waits in the same turn is judged after.

ready($token) if $second->call(POST => "$made->{path}/activate",
                               bearer => $second->root)->{status} eq '200';

while (defined syswrite $pipe, 'x') { }

my $slow = $gateway->connect;

$gateway->call(GET => '/worker', on => $slow);
AccessToken::stop($worker);
$gateway->send_request($slow, GET => '/slow', on => $slow);
$gateway->send_request($on[0], GET => '/', bearer => $token, on => $on[0]);
is($second->call(POST => "$made->{path}/revoke", bearer => $second->root)
          ->{status}, '200', 'a revocation');
kill 'CONT', $worker;

is(Gateway::parse(Gateway::read_one($slow))->{status}, '200',
   'while a worker is in a long turn of its loop');
$revoked = time;
Gateway::becomes(sub { time - $revoked > $lease + 0.05 });
while (sysread $pipe, my $bytes, 65536) { }

is(got(Gateway::parse(Gateway::read_one($on[0]))), '401 BYPASS',
   'is seen later in that turn: the clock is read for each request');

$second->stop;
$gateway->stop;

done_testing();
