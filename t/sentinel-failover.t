# Sentinels make another server the primary, while requests come: how long nobody
# is let in, that nobody is told anything wrong meanwhile, and that all goes on
# with the new one.

use strict;
use warnings;

use POSIX ();
use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use Gateway;
use Sentinels;

my $CLIENTS = 4;
my $LEASE = 0.5;
my $LONG = 6;           # seconds, without anybody being let in

my $redis = Sentinels->new(password => 'of-redis',
                           sentinel_password => 'of-sentinel');

my %options = (address => $redis->address, redis => $redis->parameters,
               cache => 'lease=500ms', log_level => 'info');
my $edge = Gateway->new(%options, workers => 2);
my $api = Gateway->new(%options, port => $ENV{TEST_NGINX_MOCK_PORT},
                       dir => $edge->dir . '-api');

sub get {
    my ($token) = @_;
    return $edge->call(GET => '/', bearer => $token)->{status};
}

my @active = map { $api->create('acme', '') } 1 .. 3;
my @revoked = map { $api->create('acme', '') } 1 .. 3;

sub change {
    my ($made, $what) = @_;
    return $api->call(POST => "$made->{path}/$what",
                      bearer => $api->root)->{status};
}

change($_, 'revoke') for @revoked;

ok(Gateway::becomes(sub { get($active[0]{token}) eq '200' }), 'all is well');
is(get($revoked[0]{token}), 401, 'and what is revoked is refused');


# Connections of nginx, as others come from another address.

sub edges {
    my ($port) = @_;
    my $clients = $redis->ask($port, 'CLIENT', 'LIST') // return;

    return map { /^id=(\d+)/ }
           grep { /\baddr=127\.0\.0\.1:/ && !/\bcmd=client|\bflags=M/ }
           split /\n/, $clients;
}

sub edges_at { return scalar(my @edges = edges(@_)) }


# Clients in processes of their own, who write down what they get and when.

sub clients_start {
    my $dir = $redis->{dir};
    my @pids;

    for my $n (1 .. $CLIENTS) {
        push @pids, in_child(sub {
            my $on = 1;
            local $SIG{TERM} = sub { $on = 0 };
            open my $out, '>', "$dir/client-$n" or die "no file: $!\n";

            for (my $i = $n; $on; $i++) {
                my ($kind, $made) = $i % 2 ? ('active', $active[$i % 3])
                                           : ('revoked', $revoked[$i % 3]);
                my $since = time;
                my $status = get($made->{token});

                # the end may have interrupted it

                last if !$on;
                print $out join(' ', $kind, $status, $since, time), "\n";
                sleep 0.005;
            }

            close $out;
        });
    }

    return @pids;
}

sub clients_stop {
    kill 'TERM', @_;
    waitpid $_, 0 for @_;

    return map { [ split ' ' ] }
           map { split /\n/, Gateway::slurp("$redis->{dir}/client-$_") }
           1 .. $CLIENTS;
}


# Whoever fails, what clients see of it, and what becomes of the one that was.

sub story {
    my ($what, $fails, $comes_back) = @_;

    my $old = $redis->primary;
    my @pids = clients_start();
    sleep 0.2;

    my $began = time;
    $fails->($old);
    $redis->await_primary(sub { $_[0] != $old });
    my $moved = time;

    ok(Gateway::becomes(sub { get($active[0]{token}) eq '200' }),
       "$what: who is good is let in again");
    my $new = $redis->primary;
    sleep 0.3;

    my @seen = clients_stop(@pids);
    my @errors = sort { $a->[3] <=> $b->[3] } grep { $_->[1] eq '503' } @seen;
    my %good = (active => 200, revoked => 401);
    my @wrong = grep { $_->[1] ne '503' && $_->[1] ne $good{$_->[0]} } @seen;

    is(join(', ', map { "$_->[0]: $_->[1]" } @wrong), '',
       'nobody was told anything wrong');
    cmp_ok(scalar @seen, '>', 100, 'there were requests');

    my ($first, $last) = @errors ? ($errors[0][2], $errors[-1][3])
                                 : ($began, $began);
    cmp_ok($last - $first, '<', $LONG, 'it did not last long');

    my ($worst) = sort { $b <=> $a } map { $_->[3] - $_->[2] } @seen;
    diag(sprintf '%s: other primary after %.2f s, errors from %.2f s to %.2f s,'
                 . ' %d of %d were 503, the slowest took %.2f s',
                 $what, $moved - $began, $first - $began, $last - $began,
                 scalar @errors, scalar @seen, $worst)
        if $ENV{FIGURES};

    ok(Gateway::becomes(sub { change($active[0], 'revoke') eq '200' }),
       'a revocation is confirmed');
    my $confirmed = time;
    my $late = 0;
    ok(Gateway::becomes(sub {
           my $sent = time;
           my $status = get($active[0]{token});
           $late++ if $status eq '200' && $sent - $confirmed > $LEASE;
           return $status eq '401';
       }), 'and heard of');
    is($late, 0, 'within the lease');

    $comes_back->($old);

    # those that went to one that was stopped, and have left by now

    my %before = map { $_ => 1 } $what eq 'stopped' ? edges($old) : ();
    my $visits = 0;
    Gateway::becomes(sub {
        $visits += grep { !$before{$_} } edges($old);
        my $role = $redis->ask($old, 'ROLE');
        return $role && $role->[0] eq 'slave';
    }, 30) or BAIL_OUT('the old primary is no replica: ' . $redis->logs);
    is($visits, 0, 'the old primary came back, and no edge went there')
        if $what ne 'failover';

    ok(Gateway::becomes(sub { change($active[0], 'activate') eq '200' }),
       'the API goes on');
    ok(Gateway::becomes(sub { get($active[0]{token}) eq '200' }),
       'and so does the edge');
    $redis->await_settled;
    ok(Gateway::becomes(sub { !edges_at($old) }), 'elsewhere');
    ok(Gateway::becomes(sub { edges_at($new) >= 4 }), 'at the new one');
}

story('killed', sub { $redis->kill9($_[0]) }, sub { $redis->restart($_[0]) });

$edge->reload;
ok(Gateway::becomes(sub { get($active[0]{token}) eq '200' }, 2),
   'new workers find the new primary');

story('stopped', sub { $redis->stop($_[0]) }, sub { $redis->cont($_[0]) });
story('failover', sub { $redis->failover }, sub { });

my @expected = (qr/connect\(\) failed|connection was closed by redis|broken/,
                qr/timed out|no reply in time/);
my $rest = qr/it is a replica|READONLY|NOREPLICAS|MASTERDOWN/;

for my $gateway ($edge, $api) {
    $gateway->quit;
    my @others = grep { /\[(?:error|crit|alert|emerg)\]/ && !/$rest/ }
                 split /^/, $gateway->log;
    for my $pattern (@expected) {
        @others = grep { $_ !~ $pattern } @others;
    }
    is(join('', @others), '', 'nothing else was logged as an error');
}

done_testing();
