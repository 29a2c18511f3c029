# A Redis Cluster that speaks TLS: each node shows a certificate for its
# address, or all for one name.

use strict;
use warnings;

use File::Copy qw(copy);
use Test::More;

use lib 't';
use AccessToken;
use Certificates;
use Cluster;
use Gateway;

my $certificates = Certificates->new;
my $cluster = Cluster->new(replicas => 0, tls => $certificates);
my %options = (address => $cluster->address, workers => 2, cache => 'lease=1s',
               log_level => 'notice');
my $tls = 'timeout=2s tls tls_ca=' . $certificates->ca;

my $gateway = Gateway->new(%options, redis => $tls);
my $edge = Gateway->new(%options, edge => 1, port => Cluster::free_port(),
                        redis => "$tls tls_name=redis.example",
                        dir => $gateway->dir . '-2');

sub get {
    my ($made, $at) = @_;
    my $response = ($at // $gateway)->call(GET => '/',
                                           bearer => $made->{token});

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

my %at;
for (my $n = 0; keys %at < 3; ) {
    my $made = $gateway->create('org' . $n++, '');
    $at{$cluster->home_of($made->{token})->{name}} = $made;
}

for my $made (values %at) {
    for my $at ($gateway, $edge) {
        ok(Gateway::becomes(sub { get($made, $at) eq '200 HIT' }),
           'a token of a node is taken from the cache');
    }

    is($gateway->call(POST => "$made->{path}/revoke", bearer => $gateway->root)
               ->{status}, '200', 'revoked');
    like(get($made), qr/^401/, 'it is refused');
    ok(Gateway::becomes(sub { get($made, $edge) =~ /^401/ }, 1),
       'and so by another gateway, which asks for another name');
}

# A slot that moves.

my $made = $gateway->create('moves', '');
my $slot = Cluster::slot_of_token($made->{token});
my ($to) = grep { $_ != $cluster->primary_of($slot) } $cluster->primaries;
my %got;

$cluster->migrate_slot($slot, $to, between => sub {
    my ($step) = @_;
    $got{$step} = join ' ', map { get($made, $_) =~ s/ .*//r } $gateway, $edge;
});
is_deeply(\%got, { map { $_ => '200 200' } qw(opened half moved closed) },
          'a token is let in while its slot moves');
is($gateway->call(POST => "$made->{path}/revoke", bearer => $gateway->root)
           ->{status}, '200', 'and revoked at the new node');

$edge->stop;
$gateway->stop;


# Nodes that nobody knows.

$gateway = Gateway->new(%options, redis => 'tls tls_ca='
                                           . $certificates->other_ca);
is(get($made), '503 BYPASS', 'nodes with certificates of others are not asked');
$gateway->stop(qr/certificate verify|no node of the redis cluster takes/);

# One of them shows a certificate for another name.

copy($certificates->wrong_key, $certificates->server_key) or die "no key: $!\n";
$cluster->ask($to, 'CONFIG', 'SET', 'tls-cert-file', $certificates->wrong);
$gateway = Gateway->new(%options, redis => $tls);
my @others = grep { $cluster->home_of($_->{token}) != $to } values %at;

ok(Gateway::becomes(sub { get($_) =~ /^401/ }), 'others are asked')
    for @others;
is(get($made), '503 BYPASS', 'and that one is not');
like($gateway->log, qr/the certificate is not for "127.0.0.1"/, 'as is logged');
$gateway->stop(qr/the certificate is not for|no node of the redis cluster/);

done_testing();
