# A fault of Redis is one line in the log, which says what to do, however many
# requests meet it; and one line when it is over.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use FakeRedis;
use Gateway;

my $token = token();
my $redis = FakeRedis->new;
my $gateway = Gateway->new(address => $redis->address, log_level => 'notice');

my $seen = 0;

# What nginx has logged as an error since the last time.

sub errors {
    my @lines = grep { /\[(?:error|crit|alert|emerg)\]/ }
                split /^/, $gateway->log;
    my @new = @lines[$seen .. $#lines];

    $seen = @lines;

    return @new;
}

# Requests until Redis was asked n times more, or one gets in.

sub ask {
    my ($n) = @_;
    my $asked = $redis->commands;
    my $status;

    for (my $end = time + 30; time < $end; sleep 0.005) {
        $status = $redis->request($gateway, $token);
        last if $status ne '503' || $redis->commands - $asked >= $n;
    }

    return "$status, asked " . ($redis->commands - $asked);
}

sub is_one_line {
    my ($mend, $name) = @_;
    my @lines = errors();

    is(scalar(@lines), 1, "$name: one line");
    like($lines[0] // '', qr/$mend/, "$name: which says what to do");
}

$redis->says(record_reply($token));
is(ask(1), '200, asked 1', 'Redis answers');

# Those who are no use: the connection is closed, and it is tried again.

for my $case (
    ['LOADING Redis is loading the dataset in memory',
     'it is still loading its data and will serve when that is done'],
    ["READONLY You can't write against a read only replica.",
     'it is a read-only replica; the address must lead to the primary'],
    ['NOAUTH Authentication required.',
     'it wants a password: configure it'],
    ['WRONGPASS invalid username-password pair or user is disabled.',
     'the configured user or password is wrong, or the user is off'],
    [undef, 'connection was closed by redis'])
{
    my ($error, $mend) = @$case;
    my $name = defined $error ? $error =~ s/ .*//r : 'closed';
    my $connects = $redis->connects;

    $redis->says(defined $error ? "-$error\r\n" : undef);
    is(ask(3), '503, asked 3', "$name: three times");
    is($redis->connects - $connects, 2, "$name: on three connections");
    is_one_line($mend, $name);

    $redis->says(record_reply($token));
    is(ask(1), '200, asked 1', "$name: it is over");
    is($gateway->await_log(qr/\[notice\].* redis answers again/, 1), 1,
       "$name: which is a line too");
}

# Those who refuse this command: the connection stays.

for my $case (
    ["NOPERM this user has no permissions to run the 'hmget' command",
     'its user lacks a permission; see ACL SETUSER'],
    ['ERR something', 'the command failed'])
{
    my ($error, $mend) = @$case;
    my $name = $error =~ s/ .*//r;
    my $connects = $redis->connects;

    $redis->says("-$error\r\n");
    is(ask(3), '503, asked 3', "$name: three times");
    is($redis->connects, $connects, "$name: on one connection");
    is_one_line($mend, $name);

    $redis->says(record_reply($token));
    is(ask(1), '200, asked 1', "$name: it is over");
}

is($gateway->await_log(qr/redis answers again/, 0), 5,
   'of a connection that was never lost, it is not said that it is back');

$gateway->stop(qr/redis answered/, qr/connection was closed by redis/);

done_testing();
