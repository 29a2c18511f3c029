# The nodes of a Redis Cluster change while nginx runs: it is told of some of
# them, and finds those that there are.

use strict;
use warnings;

use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

use lib 't';
use AccessToken;
use Cluster;
use Gateway;
use Load;

my $cluster = Cluster->new(replicas => 0);
my %options = (workers => 2, cache => 'lease=1s', log_level => 'notice',
               http => 'keepalive_requests 100000;');

sub got {
    my ($response) = @_;
    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

sub get {
    my ($gateway, $made, %option) = @_;
    return got($gateway->call(GET => '/', bearer => $made->{token}, %option));
}

# Both workers take these from the cache.

sub ready {
    my ($gateway, @tokens) = @_;
    my %worker = $gateway->connect_workers;

    for my $made (@tokens) {
        for my $on (values %worker) {
            Gateway::becomes(sub { get($gateway, $made, on => $on)
                                   eq '200 HIT' }) or return 0;
        }
    }

    return 1;
}


# --- a node that nobody has named ---------------------------------------------

my @named = $cluster->nodes;
my $gateway = Gateway->new(%options, address => $cluster->address(@named),
                           redis => 'timeout=2s');
my @made = map { $gateway->create("org$_", '') } 1 .. 24;
my %at;
push @{ $at{$cluster->home_of($_->{token})->{name}} }, $_ for @made;
my @first = map { $_->[0] } values %at;

ok(ready($gateway, @first), 'a cluster of three nodes');

sub connections { return $cluster->connections($_[0]) }

my $load = Load->new(gateways => [$gateway], tokens => \@made);
my $node = $cluster->add_node;

my @slots = map { Cluster::slot_of_token($_->{token}) } @made[0 .. 11];

# Its first slot; no link is up, so reads are fenced: it has no key for that.

my (%status, %passed);

$cluster->migrate_slot($slots[0], $node, between => sub {
    my ($step) = @_;

    # a link may be made anew before the request comes: that one says nothing

    for (my $n = 0; $n < 8; ) {
        $cluster->ask($_, 'CLIENT', 'KILL', 'TYPE', 'pubsub')
            for $cluster->nodes;

        my $got = get($gateway, $made[0]);

        next if $got =~ /^200 (?:HIT|MISS)/ && $passed{$step}++ < 100;
        push @{ $status{$step} }, $got;
        $n++;
    }
});

is(Load::tally(@{ $status{$_} }), '8 of 200 BYPASS',
   "the first slot of a node, and no link is up: $_")
    for qw(opened half moved closed);

$cluster->move_slots($node, @slots, 0 .. 49);
$cluster->await_peace;
is(scalar(grep { $cluster->primary_of($_) == $node } @slots), 12,
   'a fourth one is added, and slots of tokens in use are moved to it');

for my $made (@made[0 .. 3]) {
    is($load->change($made, 'revoke'), '200', 'a revocation there');
    like(get($gateway, $made), qr/^401/, 'is seen at once');
    is($load->change($made, 'activate'), '200', 'and an activation');
    like(get($gateway, $made), qr/^200/, 'is seen');
}

ok(ready($gateway, @made[0 .. 3]), 'what lies there is taken from the cache');
ok(Gateway::becomes(sub { connections($node) == 4 }),
   'each worker has its two connections to it') or diag(connections($node));
is($gateway->create('org1', '')->{organization}, 'org1',
   'tokens are made there');


# --- and leaves again ---------------------------------------------------------

my ($other) = grep { $_ != $node } $cluster->nodes;

$cluster->move_slots($other, $cluster->slots_of($node));
$cluster->await_peace;
is(scalar($cluster->slots_of($node)), 0, 'all slots are moved away from it');
$load->await(100);
ok(Gateway::becomes(sub { !connections($node) }, 15),
   'nobody is connected to it any more') or diag(connections($node));
$cluster->remove_node($node);

my $watch = IO::Socket::INET->new(LocalAddr => '127.0.0.1', ReuseAddr => 1,
                                  LocalPort => $node->{port}, Listen => 5)
            or die "can't listen on $node->{port}: $!\n";

for my $made (@made[0 .. 3]) {
    is($load->change($made, 'revoke'), '200', 'it is removed: a revocation');
    like(get($gateway, $made), qr/^401/, 'is seen at once');
    is($load->change($made, 'activate'), '200', 'and an activation');
    like(get($gateway, $made), qr/^200/, 'is seen');
}

ok(ready($gateway, @made[0 .. 3]), 'what was there is taken from the cache');
$load->await(200);
$load->end;
is($load->wrong, '', 'no answer was wrong in all that time');
my ($active) = $load->judged;
cmp_ok($active, '>', 200, "of $active that had to be let in");
is(Load::tally(map { $_->{status} } $load->failed), '', 'and none was 503');

$watch->blocking(0);
ok(!$watch->accept, 'nobody tries to connect to where it was');
close $watch;

$gateway->stop(qr/closed by redis while/);


# --- only one of those that are named is there --------------------------------

my @ports = map { Cluster::free_port() } 1 .. 3;
my $address = join ' ', 'cluster', (map { "127.0.0.1:$_" } @ports[0, 1]),
              $named[1]{name}, "127.0.0.1:$ports[2]";

$gateway = Gateway->new(%options, address => $address);

ok(Gateway::becomes(sub { get($gateway, $first[0]) =~ /^200/ }, 5),
   'one of four is enough');

my $found;
Gateway::becomes(sub {
    $found = Load::tally(map { get($gateway, $_) =~ s/ .*//r } @made);
    return $found eq '24 of 200';
});
is($found, '24 of 200', 'to find all others');
ok(ready($gateway, @first), 'and to hear of changes');

$gateway->stop(qr/connect\(\) failed/);


# --- none of those that are named is there ------------------------------------

# Two nodes know the cluster, and are away.

my @away = map { $cluster->add_node } 1 .. 2;
$cluster->kill9($_) for @away;

$gateway = Gateway->new(%options, address => $cluster->address(@away));

is(Load::tally(map { get($gateway, $_) } @made), '24 of 503 BYPASS',
   'none is there: nothing is said of any token');
is($gateway->call(POST => "$made[0]{path}/revoke", bearer => $gateway->root)
           ->{status}, '503', 'nor changed');

my $since = time;
$cluster->restart($away[0]);
my $back = time;
ok(Gateway::becomes(sub { get($gateway, $first[0]) =~ /^200/ }),
   'one is there again, and so are the tokens');
my $took = time - $back;
cmp_ok($took, '<', 4, 'soon');
note(sprintf 'it took %.3f s, %.3f s of them until the node ran', time - $since,
     $back - $since);

# each worker learns for itself which they are

my $all;
Gateway::becomes(sub {
    $all = Load::tally(map { get($gateway, $_) =~ s/ .*//r } @made);
    return $all eq '24 of 200';
});
is($all, '24 of 200', 'of all nodes');
ok(ready($gateway, @first), 'and changes are heard of');

$gateway->stop(qr/connect\(\) failed|no node of the redis cluster takes/);


# --- the list of organizations is away ----------------------------------------

my $lists = $cluster->primary_of(Cluster::slot_of('at:o'));
my ($late, $later) = grep {
    $cluster->home_of(token(organization => $_)) != $lists
} map { "late$_" } 1 .. 50;

$gateway = Gateway->new(%options, address => $cluster->address(@named));

sub make {
    my ($organization, $on) = @_;

    return $gateway->call(POST => "/api/organizations/$organization"
                                  . '/access-tokens', bearer => $gateway->root,
                          json => { name => 'a token',
                                    expires_at => Gateway::in_days(30) },
                          on => $on);
}

sub lists {
    my ($organization) = @_;
    my $list = $gateway->call(GET => '/api/organizations?limit=100',
                              bearer => $gateway->root);

    return $list->{status} if $list->{status} ne '200';
    return scalar grep { $_->{id} eq $organization }
                  @{ $list->{json}{organizations} };
}

is(lists($late), 0, 'an organization without a token is not listed');
my (undef, $on) = $gateway->connect_workers;
$cluster->kill9($lists);

# The first one asks that node in vain, the next does not even ask.

for my $organization ($late, $late, $later) {
    $since = time;
    my $response = make($organization, $on);
    $took = time - $since;
    is($response->{status}, '201', 'a token is made nevertheless');
    cmp_ok($took, '<', 3, 'in time');
    is(get($gateway, $response->{json}) =~ s/ .*//r, '200', 'and let in');
}

is(lists($late), '503', 'the list is away');
is($gateway->await_log(qr/\[error\].*"$late" could not be added to the list/,
                       2), 2, 'each time that is logged');
is($gateway->await_log(qr/\[error\].*"$later" could not be added to the list/,
                       1), 1, 'with the organization');

$cluster->restart($lists);
$cluster->await_peace;
ok(Gateway::becomes(sub { lists($late) eq '0' }, 5), 'it is back, without them');
is(make($late)->{status}, '201', 'the next token');
is(lists($late), 1, 'brings its organization into it');
is(lists($later), 0, 'and no other');

$gateway->stop(qr/connect\(\) failed|closed by redis/,
               qr/could not be added to the list/,
               qr/no node of the redis cluster takes/);

done_testing();
