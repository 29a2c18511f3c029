# Commands to Redis: one for each look-up, one for all who ask for the same
# token at once, and one write for all that one turn of the event loop sends.

use strict;
use warnings;

use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(redis => 'timeout=5s', log_level => 'info');

# Sends requests that nginx finds all at once, in one turn: it is stopped until
# they have arrived.  The answers' statuses.

sub at_once { return all_at_once(map { ['/index.html', $_] } @_) }

sub all_at_once {
    my (@requests) = @_;

    my @sockets = map { $gateway->connect } @requests;

    # they are accepted, in their order, before the one that is answered
    $gateway->call(GET => '/');

    AccessToken::stop($gateway->pid);

    for my $n (0 .. $#requests) {
        my ($path, $token) = @{ $requests[$n] };
        $gateway->send_request($sockets[$n], GET => $path, bearer => $token);
    }
    kill 'CONT', $gateway->pid;

    return map { Gateway::parse(Gateway::read_all($_))->{status} } @sockets;
}

# What Redis was asked since the last time, but for what this test asks.

sub commands {
    my $stats = redis_cmd('INFO', 'commandstats');
    redis_cmd('CONFIG', 'RESETSTAT');

    return join ' ', map { "$_->[0]=$_->[1]" }
                     sort { $a->[0] cmp $b->[0] }
                     grep { $_->[0] !~ /^(info|config|hset|flushall)/ }
                     map { [/^cmdstat_(\S+?):calls=(\d+)/] }
                     grep { /^cmdstat_/ } split /\r\n/, $stats;
}

my @tokens = map { put_token() } 1 .. 64;

is(join(' ', at_once($tokens[0])), '200', 'one request');
commands();

is(join(' ', at_once($tokens[0])), '200', 'another');
is(commands(), 'hmget=1', 'is one command, and no more');

at_once($tokens[0], token(), $tokens[1], 'rubbish');
is(commands(), 'hmget=3', 'what is no token is not asked for');

my @statuses = at_once(@tokens);
is(scalar(grep { $_ eq '200' } @statuses), 64, '64 requests at once');
is(commands(), 'hmget=64', 'are 64 commands');

@statuses = at_once(($tokens[0]) x 64);
is(scalar(grep { $_ eq '200' } @statuses), 64, '64 requests with one token');
is(commands(), 'hmget=1', 'are one');

# Each is judged by what it has presented.

my $id = token_id($tokens[0]);
@statuses = at_once(map { $_ % 2 ? $tokens[0] : token(id => $id) } 1 .. 10);
is(join(' ', @statuses), join(' ', ('200', '401') x 5),
   'a wrong secret does not get in with a right one');
is(commands(), 'hmget=1', 'though they share the command');

# More than the buffer of a connection holds, which is 32 KiB.

@statuses = at_once(map { put_token() } 1 .. 400);
is(scalar(grep { $_ eq '200' } @statuses), 400, '400 requests at once');
is(commands(), 'hmget=400', 'are 400 commands');

# The connection says at its end how much it has carried.

my $end = qr/with nothing in flight, after (\d+) commands in (\d+) writes/;

sub carried {
    redis_cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    $gateway->await_log($end, 1);
    return ($gateway->log =~ /.*$end/s);
}

my ($sent, $writes) = carried();

is($sent, 1 + 1 + 3 + 64 + 1 + 1 + 400, 'those are all commands');
is($writes, 6 + 2, 'and each turn was one write, the last one two');

# The script of a list keeps Redis busy for long, so the next one is sent when
# it is done: others come in between.

my @lists = (['/api/organizations/acme/access-tokens?search=x',
              $gateway->root]) x 20;

$gateway->create('acme', '');
all_at_once($lists[0]);                 # from now on Redis knows the script
($sent, $writes) = carried();
commands();

@statuses = all_at_once(@lists);
is(scalar(grep { $_ eq '200' } @statuses), 20, '20 lists at once');
like(commands(), qr/\bevalsha=20\b.*\bzrevrangebylex=20\b/,
     'are 20 ranges and 20 scripts');

my ($more_sent, $more_writes) = carried();
is($more_sent - $sent, 40, 'those are all commands');
is($more_writes - $writes, 1 + 20,
   'all ranges in one write, the scripts one after the other');

$gateway->stop;

done_testing();
