# The network is cut: an edge and a primary are on one side, the rest of the
# cluster and the API on the other, where the primary is replaced.  It may be
# read all the time and has a token as active that is revoked: for how long is
# it let in?
#
# With a heartbeat that a PING would do for, for ever: MUTATION=5 tools/test
# t/cluster-partition.t has to fail.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use lib 't';
use AccessToken;
use Cluster;
use Gateway;

plan skip_all => 'nodes can be cut off since Redis 7' if redis_is_6();

my $LEASE = 0.5;

# cluster-allow-reads-when-down: as bad as it gets.  By itself a primary that is
# cut off refuses to be read as well.

my $cluster = Cluster->new(far => 1, config => [
    '--cluster-allow-reads-when-down', 'yes']);
my ($old) = $cluster->primaries;
my $new = $cluster->replica_of($old);

my %options = (cache => 'lease=500ms', log_level => 'info');
my $edge = Gateway->new(%options, address => $cluster->near_address);
my $api = Gateway->new(%options, address => $cluster->address,
                       redis => 'timeout=2s', port => Cluster::free_port(),
                       dir => $edge->dir . '-api');

sub get {
    my ($made, $at) = @_;
    return ($at // $edge)->call(GET => '/', bearer => $made->{token})->{status};
}

# Two tokens of that primary, and one of another.

my (@its, $other);

for (my $n = 0; @its < 2 || !$other; $n++) {
    my $made = $api->create("org$n", '');

    if ($cluster->home_of($made->{token}) != $old) { $other //= $made }
    elsif (@its < 2)                               { push @its, $made }
}

my ($revoked, $active) = @its;

ok(Gateway::becomes(sub { get($_) eq '200' }), 'each is let in')
    for $revoked, $active, $other;

sub change {
    my ($made, $action) = @_;

    return $api->call(POST => "$made->{path}/$action",
                      bearer => $api->root)->{status};
}

# What the old primary says to whoever asks, and what the edge makes of it.

my (%said, %got, $last, $confirmed);

sub look {
    my $sent = time;
    my $status = get($revoked);

    $got{$status}++;
    $last = $sent if $status eq '200';

    return if !$confirmed || $said{counted}++ % 20;

    for my $command (['PING'], ['HGET', token_key($revoked->{token}), 's'],
                     ['DEL', 'no-such-key'])
    {
        my $reply = eval { $cluster->ask($old, @$command) } // $@;
        $said{"$command->[0] " . ($reply =~ /(CLUSTERDOWN)/ ? $1 : $reply)}++;
    }
}

$cluster->cut;
my $cut = time;

Gateway::becomes(sub { look(); $cluster->is_primary($new) }, 20)
    or BAIL_OUT('nobody took over: ' . $cluster->report);
my $moved = time;

Gateway::becomes(sub { look(); change($revoked, 'revoke') eq '200' }, 10)
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
is(get($active), 503, 'not even of one that is active');
is(get($other), 503, 'nor of one of another primary');

delete $said{counted};
is(join(', ', sort keys %said), 'DEL CLUSTERDOWN, HGET a, PING PONG',
   'all that time the old primary answers and has it as active');

is(change($other, 'revoke'), 200, 'on the other side all is as it was');
is(get($other, $api), 401, 'what is revoked is refused');
is(get($active, $api), 200, 'what is active is let in');

$cluster->heal;
my $healed = time;
ok(Gateway::becomes(sub { get($revoked) eq '401' }),
   'when the cut is mended, the edge finds the new primary');
diag(sprintf 'mended: after %.2f s', time - $healed) if $ENV{FIGURES};
ok(Gateway::becomes(sub { get($active) eq '200' }), 'and all is well');
ok(Gateway::becomes(sub { get($other) eq '401' }), 'with the others, too');

$_->quit for $api, $edge;
unlike($_->log, qr/\[(?:crit|alert|emerg)\]/, 'no worse than an error')
    for $api, $edge;

done_testing();
