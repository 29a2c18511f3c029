# A Redis Cluster: tokens lie on three primaries.  The whole API and what edges
# do, wherever a token lies; a slot that moves while all goes on.

use strict;
use warnings;

use IO::Select;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 't';
use AccessToken;
use Cluster;
use Gateway;
use Load;

my $cluster = Cluster->new;

my %options = (address => $cluster->address, workers => 2, cache => 'lease=1s',
               redis => 'timeout=2s', log_level => 'notice',
               http => 'access_token_last_use 1s; keepalive_requests 100000;');
my $gateway = Gateway->new(%options);
my $edge = Gateway->new(%options, edge => 1, port => Cluster::free_port(),
                        dir => $gateway->dir . '-2');
my @root = (bearer => $gateway->root);

sub got {
    my ($response) = @_;
    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

sub get {
    my ($made, %option) = @_;
    my $at = delete $option{at} // $gateway;

    return got($at->call(GET => '/', bearer => $made->{token}, %option));
}

sub status_of { my ($got) = @_; return $got =~ s/ .*//r }

sub change {
    my ($made, $action, %option) = @_;

    return $gateway->call(POST => "$made->{path}/$action", @root, %option);
}

# Of 60, all are the same, or how many are what.

sub are_all {
    my ($expected, $title, @got) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is(Load::tally(@got), @got . " of $expected", $title);
}


# --- tokens in all regions of slots -------------------------------------------

my @made = map { $gateway->create("org$_", $_ % 3 ? 'dev' : '') } 1 .. 60;
my %at;
push @{ $at{$cluster->home_of($_->{token})->{name}} }, $_ for @made;

is(scalar(keys %at), 3, 'tokens of 60 organizations lie on three primaries');
cmp_ok(scalar(@$_), '>=', 8, scalar(@$_) . ' on one of them') for values %at;

# Each worker at both gateways takes from the cache what lies anywhere.

sub ready {
    my ($at, @tokens) = @_;
    my %worker = $at->connect_workers;

    for my $token (@tokens) {
        for my $on (values %worker) {
            Gateway::becomes(sub { get($token, at => $at, on => $on)
                                   eq '200 HIT' })
                or BAIL_OUT('a worker takes nothing from the cache: '
                            . get($token, at => $at, on => $on));
        }
    }

    return values %worker;
}

my @first = map { $_->[0] } values %at;
my @on = ready($gateway, @first);
my @edge_on = ready($edge, @first);

my @new = map { $gateway->create("new$_", '') } 1 .. 12;
are_all('200 MISS', 'what is new is looked up', map { get($_) } @new);
are_all('200 HIT', 'once', map { get($_) } @new);

get($_) for @made;
are_all('200 HIT', 'by either worker', map { get($_, on => $on[0]) } @made);
are_all('200 HIT', 'for the other', map { get($_, on => $on[1]) } @made);
get($_, at => $edge) for @made;
are_all('200 HIT', 'and so at another gateway', map { get($_, at => $edge) }
                                                @made);
like(get({ token => token(organization => "org$_") }), qr/^401/,
     'an unknown token is unknown, wherever it would lie') for 1 .. 6;


# --- the API ------------------------------------------------------------------

my $list = $gateway->call(GET => '/api/organizations?limit=100', @root)->{json};
my %listed = map { $_->{id} => 1 } @{ $list->{organizations} };

ok(!(grep { !$listed{"org$_"} } 1 .. 60), 'all organizations are listed');

are_all('dev', 'their groups',
        map { $gateway->call(GET => "/api/organizations/$_->{organization}"
                                    . '/groups', @root)
                  ->{json}{groups}[0]{id} }
        grep { $_->{group} } @made);

are_all('yes', 'and their tokens', map {
    my $page = $gateway->call(GET => $_->{path} =~ s|/\w+$||r, @root)->{json};
    my @ids = map { $_->{id} } @{ $page->{access_tokens} };
    "@ids" eq $_->{id} ? 'yes' : "@ids" } @made);

are_all('200 a token', 'each can be had', map {
    my $response = $gateway->call(GET => $_->{path}, @root);
    "$response->{status} $response->{json}{name}" } @made);

are_all('200 another', 'changed', map {
    my $response = $gateway->call(PATCH => $_->{path}, @root,
                                  json => { name => 'another' });
    "$response->{status} $response->{json}{name}" } @made);

# Revoked, and at once refused.

sub follows {
    my ($action, $status, $name) = @_;
    my (@answered, @here, @there, @late);

    for my $made (@made) {
        push @answered, change($made, $action)->{status};
        push @here, map { status_of(get($made, on => $_)) } @on;

        # when the last request was sent that has not seen it

        my ($since, $late) = (time, 0);
        Gateway::becomes(sub { my $sent = time - $since;
                               my $got = status_of(get($made, at => $edge));
                               push @there, $got if $got eq $status;
                               $late = $sent if $got ne $status;
                               $got eq $status }, 5);
        push @late, $late;
        last if $late > 1;
    }

    are_all(200, "$name by the API", @answered);
    are_all($status, "$name: seen by the next request to either worker",
            @here);
    are_all($status, "$name: and at the other gateway", @there);

    my ($latest) = sort { $b <=> $a } @late;
    cmp_ok($latest, '<', 1, 'within the lease');
    note(sprintf 'the other gateway: %.3f s at the latest', $latest);
}

follows('revoke', 401, 'revoked');
follows('activate', 200, 'activated');

my @old = map { { %$_ } } @made;
are_all(200, 'rotated', map {
    my $response = change($_, 'rotate');
    $_->{token} = $response->{json}{token};
    $response->{status} } @made);
are_all(401, 'the old secrets are refused', map { status_of(get($_)) } @old);
are_all(200, 'and the new ones let in', map { status_of(get($_)) } @made);

# A use is told to each node.

my $before = int time;
get($_) for @first;
ok(Gateway::becomes(sub {
       defined $gateway->call(GET => $_->{path}, @root)->{json}{last_used_at};
   }, 5), 'the last use of a token is known') for @first;

# The end of some; an organization stays listed, its group does not.

my @gone = @made[30 .. 59];
splice @made, 30;

are_all(204, 'deleted', map { $gateway->call(DELETE => $_->{path}, @root)
                                  ->{status} } @gone);
are_all(401, 'and refused', map { status_of(get($_)) } @gone);
are_all(404, 'and gone', map { $gateway->call(GET => $_->{path}, @root)
                                   ->{status} } @gone);
are_all(0, 'with their groups', map {
    scalar @{ $gateway->call(GET => "/api/organizations/$_->{organization}"
                                    . '/groups', @root)->{json}{groups} } }
    @gone);

# The audit tells all of it.

are_all('create change revoke activate rotate delete', 'and in the audit', map {
    my $made = $_;
    my $tag = substr $made->{id}, 0, 4;
    my $entries = $cluster->ask($cluster->primary_of(Cluster::slot_of($tag)),
                                'XRANGE', "at:a:{$tag}:$made->{organization}",
                                '-', '+');
    join ' ', map { my %field = @{ $_->[1] }; $field{action} }
              grep { my %field = @{ $_->[1] }; $field{id} eq $made->{id} }
              @$entries } @gone);


# --- a slot that moves under load ---------------------------------------------

# Ten tokens of an organization are in the slot, others all around.

my @moving = map { $gateway->create('moves', 'dev') } 1 .. 10;
my $slot = Cluster::slot_of_token($moving[0]{token});
my $from = $cluster->primary_of($slot);
my ($to) = grep { $_ != $from } $cluster->primaries;

my $load = Load->new(gateways => [$gateway, $edge],
                     tokens => [@moving[0 .. 7], @first]);
my %refused;

# Records that have gone first: what is revoked there, and activated.

sub is_at { my ($made, $node) = @_;
            return grep { $_ eq token_key($made->{token}) }
                   $cluster->keys_in($node, $slot) }

sub change_some {
    my ($step) = @_;

    $load->await(40);

    my @statuses;
    my ($here, $there) = (0, 0);

    for my $made (@moving[0 .. 7]) {
        my $gone = is_at($made, $to);

        next if ($gone ? $there++ : $here++) >= 2;

        # a script with keys on both sides waits for as long as it may
        my $revoked = $load->change($made, 'revoke');
        push @statuses, $revoked;

        if ($revoked eq '200') {
            is(status_of(get($made, on => $on[0])), 401, "$step: revoked");
            push @statuses, $load->change($made, 'activate');
            is(status_of(get($made, on => $on[0])), 200, "$step: activated");
        }
    }

    $load->await(40);
    $refused{$step} = Load::tally(@statuses);
}

# First go what all changes write to, and every second record.

my $n = 0;
$cluster->migrate_slot($slot, $to, between => \&change_some,
                       first => sub { /:[aui]:/ || /:t:/ && $n++ % 2 });

is($refused{opened}, '4 of 200', 'a slot is about to move: changes are made');
is($refused{half}, '4 of 200, 2 of 503', 'half of it has: of what has gone');
is($refused{moved}, '4 of 200', 'all of it has: changes are made');
is($refused{closed}, '4 of 200', 'it is the new one\'s');

$load->end;
is($load->wrong, '', 'meanwhile no answer was wrong');
my ($active, $revoked) = $load->judged;
cmp_ok($active, '>', 200, "of $active that had to be let in");
is(Load::tally(map { $_->{status} } $load->failed), '', 'and none was 5xx');

# by either worker, each of which learns for itself where the slot is

my @missed = grep { my $made = $_;
                    !Gateway::becomes(sub { get($made) eq '200 HIT' }) }
                  @moving;
is(scalar(@missed), 0, 'tokens of the slot are in the cache');
$cluster->ask($to, 'DEL', token_key($moving[9]{token}));
ok(Gateway::becomes(sub { status_of(get($moving[9])) eq '401' }, 0.5),
   'a change at the new node is heard');
is($gateway->call(DELETE => $moving[8]{path}, @root)->{status}, 204,
   'and made there');
is(scalar(@{ $gateway->call(GET => '/api/organizations/moves/groups/dev/'
                                   . 'access-tokens', @root)
                 ->{json}{access_tokens} }), 8, 'and what is listed is there');


# --- a slot that moves while nothing is trusted -------------------------------

# Links break all the time, so each read needs a fence, at the node that has the
# record by then.

my @fenced = map { $gateway->create('fenced', '') } 1 .. 6;
my (%status, %passed, %first_asked);

$slot = Cluster::slot_of_token($fenced[0]{token});
$from = $cluster->primary_of($slot);
($to) = grep { $_ != $from } $cluster->primaries;
my ($third) = grep { $_ != $from && $_ != $to } $cluster->primaries;

# What is asked of a gateway that knows no node yet: the only one that it has
# been told of is silent until the requests are there.

sub ask_first {
    $cluster->freeze($third);

    my $new = Gateway->new(%options, address => $cluster->address($third),
                           redis => 'timeout=5s connect_timeout=5s',
                           workers => 1, edge => 1,
                           port => Cluster::free_port(),
                           dir => $gateway->dir . '-3');
    my @clients = map { $new->connect } @fenced;

    $new->send_request($clients[$_], GET => '/', bearer => $fenced[$_]{token})
        for 0 .. $#fenced;
    sleep 0.1;
    $cluster->thaw($third);

    my @answers = map { got(Gateway::parse(Gateway::read_all($_))) } @clients;
    $new->quit;

    return @answers;
}

$n = 0;
$cluster->migrate_slot($slot, $to, first => sub { /:t:/ && $n++ % 2 },
                       between => sub {
    my ($step) = @_;

    # a link may be made anew before the request comes: that one says nothing

    for (my $n = 0; $n < 12; ) {
        $cluster->ask($_, 'CLIENT', 'KILL', 'TYPE', 'pubsub') for $from, $to;

        my $got = get($fenced[$n % @fenced]);

        next if $got =~ /^200 (?:HIT|MISS)/ && $passed{$step}++ < 100;
        push @{ $status{$step} }, $got;
        $n++;
    }

    push @{ $first_asked{$step} }, ask_first();
});

are_all('200 BYPASS', "a slot moves, and no link is up: $_", @{ $status{$_} })
    for qw(opened half moved closed);
are_all('200 BYPASS', "a slot moves, and no node is known yet: $_",
        @{ $first_asked{$_} }) for qw(opened half moved closed);


# --- the slot that heartbeats write to ----------------------------------------

# It has no keys, and stays between two nodes for more than a lease.

sub fence_slots {
    my ($node) = @_;
    my %slots;

    $cluster->ask($node, 'CONFIG', 'SET', 'slowlog-log-slower-than', 0);
    Gateway::becomes(sub {
        $slots{Cluster::slot_of($_)} = 1
            for map { $_->[3][0] eq 'DEL' && $_->[3][1] =~ /:z:\{(.*)\}/ ? $1
                                                                      : () }
                @{ $cluster->ask($node, 'SLOWLOG', 'GET', 128) };
        return keys %slots == 2 }, 5);
    $cluster->ask($node, 'CONFIG', 'SET', 'slowlog-log-slower-than', -1);

    return keys %slots;
}

ready($gateway, @first);
ready($edge, @first);

$from = $cluster->home_of($first[0]{token});
($to) = grep { $_ != $from } $cluster->primaries;
my @fences = fence_slots($from);
is(scalar(@fences), 2, 'heartbeats of two gateways write to two slots');

for my $slot (@fences) {
    $cluster->ask($to, 'CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from->{id});
    $cluster->ask($from, 'CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to->{id});
}

# Once more if the machine is so busy that heartbeats were late.

my @hits;

for (1 .. 5) {
    my $end = time + 2.5;

    @hits = ();
    while (time < $end) {
        push @hits, map { get($first[0], at => $_) } $gateway, $edge;
        sleep 0.02;
    }

    last if !grep { $_ ne '200 HIT' } @hits;
}

are_all('200 HIT', 'they are about to move: what lies there is still trusted',
        @hits);

my $between = $gateway->create('between', '');
$between = $gateway->create('between' . $n++, '')
    while $cluster->home_of($between->{token}) != $from;
$cluster->ask($_, 'CLIENT', 'KILL', 'TYPE', 'pubsub') for $from, $to;
is(status_of(get($between)), 200, 'and without a link what is new is let in');

# An organization may happen to lie there, too.

for my $slot (@fences) {
    while (my @keys = $cluster->keys_in($from, $slot)) {
        $cluster->move_keys($from, $to, @keys);
    }
    $cluster->give_slot($slot, $from, $to);
}

$cluster->await_peace;


# --- two nodes that disagree --------------------------------------------------

# The old owner knows of the new one before that does itself: meanwhile each
# says MOVED to the other.

my @disputed = map { $gateway->create('disputed', '') } 1 .. 20;

$slot = Cluster::slot_of_token($disputed[0]{token});
$from = $cluster->primary_of($slot);
($to) = grep { $_ != $from } $cluster->primaries;

$cluster->ask($to, 'CLUSTER', 'SETSLOT', $slot, 'IMPORTING', $from->{id});
$cluster->ask($from, 'CLUSTER', 'SETSLOT', $slot, 'MIGRATING', $to->{id});
while (my @keys = $cluster->keys_in($from, $slot)) {
    $cluster->move_keys($from, $to, @keys);
}

my $owner = $cluster->connect($to);
my ($before_moved, $disputed_at) = (moved(), time);

$cluster->ask($from, 'CLUSTER', 'SETSLOT', $slot, 'NODE', $to->{id});

my @asked = map { $gateway->connect } 0 .. 19;
$gateway->send_request($asked[$_], GET => '/', bearer => $disputed[$_]{token})
    for 0 .. 18;
$gateway->send_request($asked[19], POST => "$disputed[19]{path}/revoke", @root);

ok(Gateway::becomes(sub { time - $disputed_at > 0.2
                          && moved() - $before_moved > 5 * 20 }),
   'two nodes say MOVED to each other, and requests are sent to and fro');
ok(!IO::Select->new(@asked)->can_read(0), 'they wait for the end of it');

my $settled_at = time;
Cluster::say_to($owner, 'CLUSTER', 'SETSLOT', $slot, 'NODE', $to->{id});
close $owner;

my @settled = map { Gateway::parse(Gateway::read_all($_))->{status} } @asked;
my $lasted = time - $settled_at;

are_all(200, 'and are answered then', @settled);
cmp_ok($lasted, '<', 1.5, 'without waiting much longer');
is(status_of(get($disputed[19])), 401, 'what was revoked then, is');
$cluster->await_peace;


# --- MOVED refreshes the map once ---------------------------------------------

# How often all nodes were asked for the map, or said MOVED.

sub counted {
    my ($section, $pattern) = @_;
    my $sum = 0;

    for my $node ($cluster->nodes) {
        my ($count) = $cluster->ask($node, 'INFO', $section) =~ $pattern;
        $sum += $count // 0;
    }

    return $sum;
}

sub maps { return counted('commandstats',
                          qr/^cmdstat_cluster(?:\|slots)?:calls=(\d+)/m) }
sub moved { return counted('errorstats', qr/^errorstat_MOVED:count=(\d+)/m) }

my @many = map { $gateway->create('many', '') } 1 .. 80;
$slot = Cluster::slot_of_token($many[0]{token});

my ($maps, $moved, @twenty, @sixty);

# Once more if the map happened to be asked for just before.

for (1 .. 5) {
    $from = $cluster->primary_of($slot);
    ($to) = grep { $_ != $from } $cluster->primaries;
    $cluster->migrate_slot($slot, $to);
    $cluster->await_peace;

    ($maps, $moved) = (maps(), moved());

    my @sockets = map { $gateway->connect } 1 .. 20;
    $gateway->send_request($sockets[$_], GET => '/', bearer => $many[$_]{token})
        for 0 .. 19;
    @twenty = map { Gateway::parse(Gateway::read_all($_))->{status} } @sockets;
    @sixty = map { status_of(get($_)) } @many[20 .. 79];

    $moved = moved() - $moved;
    last if $moved;
}

are_all(200, 'twenty at once ask for what has moved', @twenty);
are_all(200, 'and sixty one after the other', @sixty);

Gateway::becomes(sub { maps() > $maps }, 1);
$maps = maps() - $maps;
cmp_ok($moved, '>', 0, "$moved are told that it has moved");
cmp_ok($moved, '<=', 40, 'no more than had been sent before one was told');
cmp_ok($maps, '>', 0, "the map is asked for anew, $maps times");
cmp_ok($maps, '<=', 6, 'and not by each of them');


# --- workers come and go ------------------------------------------------------

sub connections { return $cluster->connections($_[0]) }

$edge->stop(qr/closed by redis while/);

$gateway->reload for 1, 2;
@on = ready($gateway, @first);

sub at_each { return map { scalar(connections($_)) } $cluster->primaries }

# One more is to whom a worker asked for its first map.

ok(Gateway::becomes(sub { my $sum = 0;
                          $sum += $_ for at_each();
                          return $sum <= 2 * 2 * 3 + 2
                                 && 3 == grep { $_ >= 4 } at_each() }),
   'after reloads each worker has two connections to each primary')
    or diag("@{[at_each()]}");

my $since = time;
$gateway->stop(qr/closed by redis while/,
               qr/no node of the redis cluster takes commands of slot/);
cmp_ok(time - $since, '<', 8, 'neither links nor timers keep a worker');
ok(Gateway::becomes(sub { !connections($_) }, 2), 'no connection is left')
    or diag(join "\n", connections($_)) for $cluster->nodes;

done_testing();
