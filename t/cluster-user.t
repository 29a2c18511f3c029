# The users of a Redis Cluster: what the documentation gives them, with what a
# cluster needs besides, is enough; and tracking is not needed.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use Cluster;
use Gateway;

my $dir = tempdir(CLEANUP => 1);
my $cluster = Cluster->new(replicas => 0, password => 'of the tests');
my @cluster = qw(+cluster|slots +asking);

# SETUSER takes rights in order: the last words take some away.

sub allow {
    my ($user, @more) = @_;

    my $password = $user eq 'edge' ? 'CHANGE-ME' : 'CHANGE-ME-TOO';
    my @rights = redis_user($user, $password);

    $cluster->ask($_, 'ACL', 'SETUSER', $user, 'reset', @rights, @cluster,
                  @more)
        for $cluster->nodes;

    Gateway::put("$dir/$user", "$password\n");
    chmod 0600, "$dir/$user";

    return (redis => "timeout=2s user=$user password_file=$dir/$user");
}

my %options = (address => $cluster->address, workers => 2, cache => 'lease=1s',
               log_level => 'notice');
my $api = Gateway->new(%options, allow('admin'));
my $edge = Gateway->new(%options, allow('edge'), edge => 1,
                        port => Cluster::free_port(), dir => $api->dir . '-2',
                        http => 'access_token_last_use 1s;');
my @root = (bearer => $api->root);

sub get {
    my ($made) = @_;
    my $response = $edge->call(GET => '/', bearer => $made->{token});

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

sub is_refused {
    my ($made) = @_;
    return Gateway::becomes(sub { get($made) =~ /^401/ }, 1);
}

# Tokens at each of the nodes.

my %at;
for (my $n = 0; keys %at < 3; ) {
    my $made = $api->create('org' . $n++, '');
    $at{$cluster->home_of($made->{token})->{name}} = $made;
}

sub all_works {
    my ($name, $good) = @_;

    for my $made (values %at) {
        ok(Gateway::becomes(sub { get($made) eq $good }),
           "$name: a token of a node is good: $good");
        is($api->call(POST => "$made->{path}/revoke", @root)->{status}, '200',
           'revoked');
        ok(is_refused($made), 'which is seen');
        is($api->call(POST => "$made->{path}/activate", @root)->{status}, '200',
           'and activated');
        ok(Gateway::becomes(sub { get($made) eq $good }), 'it is let in');
    }
}

all_works('with all rights', '200 HIT');

ok(Gateway::becomes(sub { defined $api->call(GET => $_->{path}, @root)
                                      ->{json}{last_used_at} }, 5),
   'the last use is told to each node') for values %at;

# A slot that is on its way.

my ($made) = values %at;
my $slot = Cluster::slot_of_token($made->{token});
my ($to) = grep { $_ != $cluster->primary_of($slot) } $cluster->primaries;
my %status;

$cluster->migrate_slot($slot, $to, between => sub {
    my ($step) = @_;
    get($made) =~ /^(\d+)/;
    $status{$step} = $1;
});
is_deeply(\%status, { map { $_ => 200 } qw(opened half moved closed) },
          'a token is let in while its slot moves');

# One worker is told of a node's changes by tracking, the other is not: what the
# one hears is no reason for the other to believe the cache.

allow('edge', '-client|tracking');

($made) = values %at;
my $node = $cluster->home_of($made->{token});
my %worker = $edge->connect_workers;

sub from_cache {
    return sort map { $edge->call(GET => '/', bearer => $made->{token},
                                  on => $_)->{headers}{'x-cache'} }
                values %worker;
}

ok(Gateway::becomes(sub { "@{[from_cache()]}" eq 'HIT HIT' }),
   'both take a token from the cache');

my ($link) = $cluster->ask($node, 'CLIENT', 'LIST', 'TYPE', 'pubsub')
             =~ /^id=(\d+) .* user=edge /m;
$cluster->ask($node, 'CLIENT', 'KILL', 'ID', $link);

ok($edge->await_log(qr/tracks no keys/, 1),
   'the link of one comes back without tracking');
is("@{[from_cache()]}", 'BYPASS HIT', "it takes none: $_"), sleep 0.2
    for 1 .. 5;

# Changes are not told by tracking: in a cluster nothing is cached then.

allow($_, '-client', '+client|id') for qw(edge admin);
for my $node ($cluster->nodes) {
    $cluster->ask($node, 'CLIENT', 'KILL', 'TYPE', 'pubsub');
}
all_works('without tracking', '200 BYPASS');

# Nobody tells where tokens are.

allow('edge', '-cluster');
$edge->quit;
$edge->start;
like(get($made), qr/^503/, 'without a map of slots nothing is known');
ok($edge->await_log(qr/NOPERM.*see ACL SETUSER/, 1), 'which the log tells');
allow('edge');
ok(Gateway::becomes(sub { get($made) =~ /^200/ }, 3), 'with it all is');

$edge->stop(qr/its user lacks a permission|no node of the redis cluster takes/,
            qr/closed by redis while listening/);
$api->stop(qr/closed by redis while listening/);

done_testing();
