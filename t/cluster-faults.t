# A Redis Cluster of which nodes fail, while clients go on: a primary that gives
# way, one that is killed and comes back, and most of them silent.

use strict;
use warnings;

use Test::More;

use lib 't';
use AccessToken;
use Cluster;
use Gateway;
use Load;

my $cluster = Cluster->new;
my %options = (address => $cluster->address, workers => 2, cache => 'lease=1s',
               log_level => 'notice', http => 'keepalive_requests 100000;');
my $gateway = Gateway->new(%options, redis => 'timeout=2s wait=1:500ms');
my $edge = Gateway->new(%options, redis => 'timeout=2s', edge => 1,
                        port => Cluster::free_port(),
                        dir => $gateway->dir . '-2');
my $lease = 1;

sub status {
    my ($made, $at) = @_;
    return ($at // $gateway)->call(GET => '/', bearer => $made->{token})
                            ->{status};
}

# Some tokens for each primary, by its name.

my %at;
for (my $n = 0; grep { @{ $at{$_->{name}} // [] } < 6 } $cluster->primaries; ) {
    my $made = $gateway->create('org' . $n++, '');

    push @{ $at{$cluster->home_of($made->{token})->{name}} }, $made;
}

sub cached {
    my ($at, $made) = @_;
    my $got = $at->call(GET => '/', bearer => $made->{token});

    return "$got->{status} $got->{headers}{'x-cache'}" eq '200 HIT';
}

sub all_cached {
    for my $made (map { $_->[0] } values %at) {
        for my $at ($gateway, $edge) {
            Gateway::becomes(sub { cached($at, $made) && cached($at, $made)
                                   && cached($at, $made) })
                or BAIL_OUT('nothing is cached');
        }
    }
}

all_cached();

# Tokens of one primary, and of the others.

my ($primary) = $cluster->primaries;
my @its = @{ $at{$primary->{name}} };
my @others = map { @{ $at{$_} }[0 .. 3] }
             grep { $_ ne $primary->{name} } keys %at;
my %is_its = map { $_->{id} => 1 } @its;

sub clients {
    return Load->new(gateways => [$gateway, $edge], lease => $lease,
                     tokens => [@its, @others]);
}

# Revokes and activates its tokens, one after the other, until the condition
# holds.

my $turn = 0;

sub keep_changing {
    my ($load, $condition) = @_;

    Gateway::becomes(sub {
        my $made = $its[$turn++ % @its];
        $load->change($made, $_) for qw(revoke activate);
        return $condition->();
    }, 20);
}

# All its tokens are let in in the end, whatever became of their changes.

sub activate_all {
    my ($load) = @_;

    for my $made (@its) {
        Gateway::becomes(sub { $load->change($made, 'activate') eq '200' })
            or fail('an activation');
    }
}

# What failed, of its tokens or the others': how many, and from when to when,
# counted from $since.

sub failed {
    my ($load, $since, $its) = @_;
    my @failed = grep { !$is_its{$_->{made}{id}} == !$its } $load->failed;

    return (0, 0, 0) if !@failed;
    return (scalar(@failed), $failed[0]{begin} - $since,
            $failed[-1]{end} - $since);
}

sub is_right {
    my ($load, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is($load->wrong, '', "$name: no answer is wrong");

    my ($active, $revoked) = $load->judged;
    cmp_ok($active, '>', 200, "of $active that had to be let in");
    is(Load::tally(grep { $_ ne '503' } map { $_->{status} } $load->failed), '',
       'nor one other than 200, 401 or 503');
}


# --- a primary gives way to its replica ---------------------------------------

my $load = clients();
my $replica = $cluster->replica_of($primary);
my $since;

my $until = Load::now() + 0.5;
keep_changing($load, sub { Load::now() > $until });
$since = Load::now();
$cluster->ask($replica, 'CLUSTER', 'FAILOVER');
keep_changing($load, sub { $cluster->is_primary($replica) });
my $promoted = Load::now() - $since;
$until = Load::now() + 1.5;
keep_changing($load, sub { Load::now() > $until });
activate_all($load);
$load->end;

is_right($load, 'a primary gives way');
my ($n, $first, $last) = failed($load, $since, 1);
cmp_ok($last, '<', $promoted + 1, 'its tokens are served again in a second');
is((failed($load, $since))[0], 0, 'those of others are all the time');
note(sprintf 'promoted after %.3f s; %d failed, %.3f to %.3f s; changes: %s',
     $promoted, $n, $first, $last, $load->changes);

sub change {
    my ($made, $action) = @_;

    return $gateway->call(POST => "$made->{path}/$action",
                          bearer => $gateway->root)->{status};
}

is(change($its[0], 'revoke'), '200', 'a revocation at the new primary');
$since = Load::now();
is(status($its[0]), '401', 'is seen here at once');
ok(Gateway::becomes(sub { status($its[0], $edge) eq '401' }, $lease),
   'and there within the lease');
is(change($its[0], 'activate'), '200', 'it is activated again');

$cluster->await_peace;
all_cached();


# --- a primary is killed ------------------------------------------------------

($primary, $replica) = ($replica, $primary);

my ($revoked) = splice @its, 5, 1;
is(change($revoked, 'revoke'), '200', 'a revocation');

# What has been confirmed is in its replica.

$load = clients();
$until = Load::now() + 0.5;
keep_changing($load, sub { Load::now() > $until });
is($load->change($its[0], 'revoke'), '200', 'another one');
$cluster->kill9($primary);
$since = Load::now();

my %dead = map { $_ => 0 } qw(200 401 503);
Gateway::becomes(sub { $dead{status($revoked)}++;
                       $cluster->is_primary($replica) }, 20)
    or BAIL_OUT('nobody took over');
$promoted = Load::now() - $since;

ok(Gateway::becomes(sub { my $status = status($revoked);
                          $dead{$status}++;
                          $status eq '401' }, 2),
   'what was revoked before is refused by the new primary');
is($dead{200}, 0, 'and was never let in meanwhile');
ok(Gateway::becomes(sub { status($_) eq '200' }, 2), 'what is active is let in')
    for $its[1], $its[2];
my %last = (200 => 0);
ok(Gateway::becomes(sub { my $status = status($its[0]);
                          $last{$status}++;
                          $status eq '401' }, 2),
   'what was revoked last, is not');
is($last{200}, 0, 'by either worker');
$load->await(500);
ok(Gateway::becomes(sub { $load->change($its[1], 'revoke') eq '202' }, 2),
   'a revocation at the new one, which has no replica');
is(status($its[1]), '401', 'is seen');
ok(Gateway::becomes(sub { $load->change($_, 'activate') eq '202' }, 2),
   'and so is an activation') for @its[0, 1];
is(status($its[1]), '200', 'which lets it in');
$load->end;

is_right($load, 'a primary is killed');
($n, $first, $last) = failed($load, $since, 1);
is((failed($load, $since))[0], 0, 'those of others are served all the time');
cmp_ok($n, '>', 0, 'its tokens are 503 for a while');
cmp_ok($first, '>', -0.1, 'since it was killed');
cmp_ok($last, '<', $promoted + 1.5, 'and no longer than it took, or nearly');
note(sprintf 'promoted after %.3f s; %d failed, %.3f to %.3f s',
     $promoted, $n, $first, $last);


# --- it comes back, as a replica ----------------------------------------------

$load = clients();
$cluster->restart($primary);
$cluster->await_peace;
is($cluster->replica_of($replica), $primary, 'the old primary is a replica');
keep_changing($load, sub { 1 });
$load->await(200);
$load->end;

is_right($load, 'an old primary comes back');
is(Load::tally(map { $_->{status} } $load->failed), '', 'and nothing fails');

@others = map { @{ $at{$_} }[0 .. 3] } keys %at;
all_cached();


# --- nobody asks while a primary is replaced ----------------------------------

$cluster->await_replica($replica);
$cluster->kill9($replica);
Gateway::becomes(sub { $cluster->is_primary($primary) }, 20)
    or BAIL_OUT('nobody took over');
ok(Gateway::becomes(sub { $cluster->connections($primary) >= 8 }, 3),
   'a primary is replaced while nobody asks: the workers find the new one')
    or diag($cluster->connections($primary));
is(status($_), '200', 'and the first that asks is let in') for @its[0 .. 2];

$cluster->restart($replica);
$cluster->await_peace;
($primary, $replica) = ($replica, $primary);
all_cached();


# --- nobody changes anything while a primary is replaced ----------------------

# What makes changes has a client of its own, which hears of it from the one that
# looks tokens up.  There are two replicas, so one is left that confirms a change.

my %worker = $gateway->connect_workers;
my @on = values %worker;

sub changes {
    my ($action) = @_;

    return join ' ', map {
        $gateway->call(POST => "$its[$_]{path}/$action", on => $on[$_],
                       bearer => $gateway->root)->{status} } 0, 1;
}

sub looks_up {
    my ($n) = @_;

    return $gateway->call(GET => '/', bearer => $its[$n]{token},
                          on => $on[$n])->{status};
}

$cluster->add_node($replica);

sub changes_outlive {
    my ($how, $lose, $return) = @_;

    $cluster->await_replica($replica);
    ok(Gateway::becomes(sub { changes('revoke') eq '200 200' }),
       "before a primary $how: a change by either worker");
    ok(Gateway::becomes(sub { changes('activate') eq '200 200' }),
       'and another one');

    my @replicas = $cluster->replicas_of($replica);

    $cluster->await_replica($replica);
    $lose->($replica);
    my $next;
    Gateway::becomes(sub {
        ($next) = grep { $cluster->is_primary($_) } @replicas;
        return $next && $cluster->replicas_of($next);
    }, 20) or BAIL_OUT('nobody took over');
    $cluster->await_replica($next);
    $cluster->await_peace;

    ok(Gateway::becomes(sub { !grep { looks_up($_) ne '200' } 0, 1 }),
       'either worker looks its tokens up');

    like(changes('revoke'), qr/^20[02] 20[02]$/,
         "after it $how, the first ones at the new primary are made");
    is(status($_), '401', 'and are seen') for @its[0, 1];
    ok(Gateway::becomes(sub { changes('activate') eq '200 200' }),
       'and so do others, which are confirmed');

    $return->($replica);
    $cluster->await_peace;
    $replica = $next;
}

changes_outlive('is killed', sub { $cluster->kill9(@_) },
                sub { $cluster->restart(@_) });
changes_outlive('is silent', sub { $cluster->freeze(@_) },
                sub { $cluster->thaw(@_) });

all_cached();


# --- most primaries are silent ------------------------------------------------

# One is left, and cannot know whether it still is one.

my ($left, @silent) = ($replica, grep { $_ != $replica } $cluster->primaries);
my ($unknown, $another) =
    map { { token => token(organization => $its[0]{organization}) } } 1, 2;

is(status($another), '401', 'an unknown token of a primary');

$load = clients();
$cluster->freeze($_) for @silent;
$since = Load::now();

Gateway::becomes(sub { $cluster->ask($left, 'CLUSTER', 'INFO')
                       =~ /^cluster_state:fail/m })
    or BAIL_OUT('the cluster is not down');
my $down = Load::now();

is(status($unknown), '503', 'left by the others, it says nothing of it');
Gateway::becomes(sub { Load::now() > $down + $lease + 0.2 });
is(status($_), '503', 'nor is anything believed after the lease')
    for $its[0], @others[0, 4, 8];

$cluster->thaw($_) for @silent;
my $thawed = Load::now();
$cluster->await_peace;
my $peace = Load::now() - $thawed;
ok(Gateway::becomes(sub { !grep { status($_) ne '200' } $its[0], @others }, 3),
   'they are back, and so is everything');
is(status($unknown), '401', 'the unknown one, too');
$load->await(300);
$load->end;

is_right($load, 'most primaries are silent');
($n, $first, $last) = failed($load, $thawed, 1);
cmp_ok($last, '<', $peace + 2, 'nothing fails long after');
note(sprintf 'down after %.3f s, well %.3f s after the end; '
             . '%d failed, %.3f to %.3f s', $down - $since, $peace,
     $n, $first, $last);

# Nobody waits for one that is silent.

my $logs = join '|', 'CLUSTERDOWN', 'READONLY', 'WAIT cannot be used',
           'no reply in time', 'connect', 'closed', 'handshake',
           'no node of the redis cluster takes';

$cluster->freeze($silent[0]);
$since = Load::now();
$edge->stop(qr/$logs/);
cmp_ok(Load::now() - $since, '<', 8, 'a silent node keeps no worker');
$gateway->reload;
$gateway->stop(qr/$logs/);

done_testing();
