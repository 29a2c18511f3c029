# The status of the cache and of the connections to Redis: each number moves
# with what it counts, and by as much.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use Gateway;
use Metrics;

my $gateway;

sub numbers {
    return Metrics::of_text($gateway->call(GET => '/status')->{body});
}

sub moved { return Metrics::moved(@_, \&numbers) }

sub metric { return numbers()->{"access_token_$_[0]"} }

# The same, as soon as the condition holds.

sub await {
    my ($name, $condition) = @_;

    for (1 .. 1000) {
        local $_ = metric($name);
        return $_ if $condition->($_);
        sleep 0.01;
    }

    return metric($name);
}

sub await_lease { return await('lease_seconds{worker="0"}', sub { $_ > 0 }) }

sub get { return $gateway->call(GET => '/optional', bearer => $_[0])->{status} }

sub lookups {
    my ($moved) = @_;
    return { map { /cache_lookups_total\{result="(\w+)"\}/
                   ? ($1 => $moved->{$_}) : () } keys %$moved };
}

my $server = <<'END';
        location = /status {
            access_token_status;
        }

        location = /optional {
            access_token optional;
            alias DIR/html/index.html;
        }
END

# --- without the cache ---

flush();
$gateway = Gateway->new(server => $server, http => <<'END');
    access_token_last_use off;
END

my $token = put_token();

# what a look-up moves, and nothing else does

my %one = (
    'requests_total{verdict="active"}'      => 1,
    'cache_lookups_total{result="bypass"}'  => 1,
    'redis_commands_total'                  => 1,
    'redis_duration_seconds_count'          => 1,
);

is_deeply(moved(sub { get($token) }), { %one, redis_connects_total => 1 },
          'a look-up without the cache, and the first connection');
is_deeply(moved(sub { get($token) }), \%one, 'a look-up without the cache');
is(metric('lease_seconds{worker="0"}'), 0, 'there is no lease');
is(metric('cache_entries'), 0, 'nothing is in the cache');
is(metric('redis_duration_seconds_bucket{le="+Inf"}'), 2,
   'the buckets end with all');
cmp_ok(metric('redis_duration_seconds_sum'), '>', 0, 'a command takes time');
cmp_ok(metric('redis_duration_seconds_sum'), '<', 5, 'in seconds');

# a look-up that does not end well

my %failed = %one;
delete $failed{'requests_total{verdict="active"}'};
$failed{'requests_total{verdict="unavailable"}'} = 1;

my $damaged = token();
redis_cmd('SET', token_key($damaged), 'no hash');

is_deeply(moved(sub { is(get($damaged), '503', 'a record that is none') }),
          { %failed, redis_errors_total => 1 },
          'an error of Redis, and a request that could not be checked');

is_deeply(moved(sub {
              close_connections();
              get($token);
          }),
          { %one, redis_connects_total => 1 },
          'a connection that Redis closed while it rested, and a new one');

$gateway->stop(qr/WRONGTYPE/);

# --- with it ---

flush();
$gateway = Gateway->new(server => $server, redis => 'timeout=10s',
                        cache => 'lease=3s negative=60s', http => <<'END');
    access_token_zone small:512k;
    access_token_last_use 1s;
END

my $lease = await_lease();
cmp_ok($lease, '>', 0, 'a lease runs');
cmp_ok($lease, '<=', 3, 'and is not longer than it was configured');
is(metric('links_total'), 1, 'a link is up');
is_deeply(Metrics::only(numbers(), 'access_token_cache_flushes_total'),
          { start => 1, link => 0, flush => 0, source => 0, crash => 0 },
          'nginx was started, and nothing else has voided the cache');

$token = put_token();
my $moved = moved(sub { get($token) });
is_deeply(lookups($moved), { miss => 1 }, 'a token that is new is a miss');
is(metric('cache_entries'), 1, 'then it is in the cache');
my $bytes = metric('cache_used_bytes');
cmp_ok($bytes, '>', 0, 'where it takes room');
cmp_ok($bytes, '<', metric('cache_size_bytes'), 'of that which there is');

$moved = moved(sub { get($token) });
is_deeply(lookups($moved), { hit => 1 }, 'and a hit');
is($moved->{'requests_total{verdict="active"}'}, 1, 'that is a request too');

my $unknown = token();
is_deeply(lookups(moved(sub { get($unknown) })), { miss => 1 },
          'one that does not exist is a miss');
is_deeply(lookups(moved(sub { get($unknown) })), { absent => 1 },
          'and then known not to exist');
is(metric('cache_entries'), 1, 'which is no entry');

is(await('uses_total', sub { $_ }), 1, 'a last use is told to Redis, once');
is(metric('uses_lost_total'), 0, 'and none is lost');

$moved = moved(sub {
    redis_cmd('HSET', token_key($token), s => 'r');
    await('changes_total', sub { $_ });
});
is($moved->{changes_total}, 1, 'a change in Redis is heard of');
is(metric('cache_entries'), 0, 'and the entry is gone');
is_deeply(lookups(moved(sub { is(get($token), '401', 'it is revoked') })),
          { miss => 1 }, 'so it is asked for again');

# two requests at the same time

{
    my $new = put_token();

    $moved = moved(sub {
        my $asks = qr/http header done/;

        redis_stop();
        $gateway->await_log($asks, 0);
        my @sockets = map { $gateway->connect } 1 .. 2;
        $gateway->send_request($_, GET => '/optional', bearer => $new)
            for @sockets;
        $gateway->await_log($asks, 2);
        redis_continue();

        is(join(' ', map { Gateway::parse(Gateway::read_all($_))->{status} }
                     @sockets), '200 200', 'two requests for one token');
    });

    is_deeply(lookups($moved), { miss => 2 }, 'are two misses');
    is($moved->{lookups_joined_total}, 1, 'and one shares the read of the other');
}

# more than there is room for

{
    my $slots = metric('cache_size_bytes') / $bytes;
    my $entries = metric('cache_entries');
    my $more = $slots - $entries + 10;

    $moved = moved(sub { get(put_token()) for 1 .. $more });
    is_deeply(lookups($moved), { miss => $more }, "$more tokens");
    is($moved->{cache_evictions_total}, 10, 'are ten too many');
    is(metric('cache_entries'), $slots, 'and the cache is full');
    is(metric('cache_used_bytes'), metric('cache_size_bytes'),
       'to the last byte');
    is_deeply([grep { /api_requests/ } keys %{ numbers() }], [],
              'what the API counts has a place of its own');
}

# what voids it

$moved = moved(sub {
    flush();
    await('cache_flushes_total{cause="flush"}', sub { $_ });
});
is($moved->{'cache_flushes_total{cause="flush"}'}, 1, 'FLUSHALL is a flush');

await_lease();
$moved = moved(sub {
    redis_cmd('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await('lease_lapses_total', sub { $_ });
    await_lease();
});
is($moved->{links_total}, 1, 'a link that was lost is made again');
is($moved->{lease_lapses_total}, 1, 'meanwhile there was no lease');
is($moved->{'cache_flushes_total{cause="link"}'}, 1,
   'and nobody heard of changes');
is($moved->{redis_connects_total}, 1, 'it is a connection');
is($moved->{redis_connection_failures_total}, 1, 'in the place of another');

# a heartbeat that cannot be told

$token = put_token();
redis_cmd('ACL', 'SETUSER', 'default', '-publish');
$moved = moved(sub {
    await('lease_seconds{worker="0"}', sub { $_ == 0 });
    await('lease_lapses_total', sub { $_ > 1 });
});
is($moved->{lease_lapses_total}, 1, 'a lease that is not renewed lapses');

$moved = moved(sub { is(get($token), '200', 'tokens are looked up') });
is_deeply(lookups($moved), { bypass => 1 }, 'past the cache');
is($moved->{reads_fenced_total}, 1, 'with a fence');

redis_cmd('ACL', 'SETUSER', 'default', '+publish');
cmp_ok(await_lease(), '>', 0, 'and once it can, the lease runs again');

$gateway->stop(qr/NOPERM/, qr/closed by redis while listening/);

done_testing();
