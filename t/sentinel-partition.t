# The network is cut: an edge and the primary are on one side, the replicas, the
# Sentinels and the API on the other, where another server is made the primary.
# The old one knows nothing of it, answers whatever it is asked but a write, and
# has a token as active that is revoked: for how long is it let in?
#
# With a heartbeat that a PING would do for, for ever: MUTATION=5 tools/test
# t/sentinel-partition.t has to fail.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use Gateway;
use Sentinels;

my $LEASE = 0.5;

# The bound holds if a primary without replicas refuses to write before another
# one can be made: down-after-milliseconds above min-replicas-max-lag and two
# seconds.

my $redis = Sentinels->new(far => 1, down_after => 3000);
my ($old) = $redis->servers;

my %options = (cache => 'lease=500ms', log_level => 'info');
my $edge = Gateway->new(%options, address => $redis->near_address);
my $api = Gateway->new(%options, address => $redis->address,
                       port => $ENV{TEST_NGINX_MOCK_PORT},
                       dir => $edge->dir . '-api');

sub get {
    my ($token) = @_;
    return $edge->call(GET => '/', bearer => $token)->{status};
}

my ($revoked, $active) = map { $api->create('acme', '') } 1 .. 2;

ok(Gateway::becomes(sub { get($_->{token}) eq '200' }), 'both are let in')
    for $revoked, $active;

sub revoke {
    return $api->call(POST => "$revoked->{path}/revoke",
                      bearer => $api->root)->{status};
}

# What the old primary says to whoever asks, and what the edge makes of it.

my (%said, %got);
my ($last, $confirmed);

sub look {
    my $sent = time;
    my $status = get($revoked->{token});

    $got{$status}++;
    $last = $sent if $status eq '200';

    return if !$confirmed || $said{counted}++ % 20;

    my $pong = $redis->ask($old, 'PING') // '';
    my $record = $redis->ask($old, 'HMGET', token_key($revoked->{token}), 's')
                 // [''];
    $said{"$pong $record->[0]"}++;
    $redis->ask($old, 'DEL', 'no-such-key');
    $said{($redis->error =~ /(NOREPLICAS)/)[0] // 'writes'}++;
}

$redis->cut;
my $cut = time;

Gateway::becomes(sub { look(); $redis->primary != $old }, 15)
    or BAIL_OUT('no other primary: ' . $redis->logs);
my $moved = time;

# The API is on the other side: nothing that it does may reach the old one.

Gateway::becomes(sub { look(); $api->log =~ /was at 127\.0\.0\.1:$old/ }, 10)
    or BAIL_OUT('the API does not move: ' . $api->log);

Gateway::becomes(sub { look(); revoke() eq '200' }, 10)
    or BAIL_OUT('the API confirms nothing: ' . $api->log);
$confirmed = time;

# Three leases.

look() while time - $confirmed < 3 * $LEASE;

diag(sprintf 'cut off: other primary after %.2f s, the edge let in until'
             . ' %.2f s, revoked at %.2f s', $moved - $cut, $last - $cut,
             $confirmed - $cut) if $ENV{FIGURES};

cmp_ok($last - $confirmed, '<=', $LEASE,
       'a revoked token is let in no longer than the lease');
ok($got{503}, 'then it is not known what is true');
is($got{401}, undef, 'for nothing was heard of the revocation');
is(get($active->{token}), 503, 'not even of one that is active');

ok($said{'PONG a'}, 'all that time the old primary answers and has it as active');
is(join(' ', grep { !/^(?:PONG a|NOREPLICAS|counted)$/ } keys %said), '',
   'and refuses writes alone');

$redis->heal;
my $healed = time;
ok(Gateway::becomes(sub { get($revoked->{token}) eq '401' }),
   'when the cut is mended, the edge finds the new primary');
diag(sprintf 'mended: after %.2f s', time - $healed) if $ENV{FIGURES};
ok(Gateway::becomes(sub { get($active->{token}) eq '200' }), 'and all is well');

$_->quit for $api, $edge;
unlike($_->log, qr/\[(?:crit|alert|emerg)\]/, 'no worse than an error')
    for $api, $edge;

done_testing();
