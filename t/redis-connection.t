# One connection and the commands on it: what is written when there is no room
# for it, what is not yet written when the connection ends, and how long each
# command waits for its reply.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use FakeRedis;
use Gateway;


# Redis does not read for a while.  What is sent to it fills the socket, and the
# rest goes out when there is room again.

flush();

my $gateway = Gateway->new(redis => 'timeout=20s');
my @root = (bearer => $gateway->root);
my $n = 200;

redis_stop();

my @sockets = map { $gateway->connect } 1 .. $n;
$gateway->send_request($_, POST => '/api/organizations/acme/access-tokens',
                       @root, json => { name => 'n',
                                        description => "\x{1F600}" x 255,
                                        expires_at => Gateway::in_days(1) })
    for @sockets;

is($gateway->await_log(qr/send\(\) not ready/, 1), 1, 'the socket is full');
redis_continue();

my %statuses;
$statuses{ Gateway::parse(Gateway::read_all($_))->{status} }++ for @sockets;

is(join(' ', %statuses), "201 $n", 'what it had no room for is sent later');


# Redis ends the connection while a command waits to be written: nginx is
# stopped, and hears of the request first.

my $made = $gateway->create('acme', '');
my $client = $gateway->connect;

$gateway->halt;
$gateway->send_request($client, GET => '/', bearer => $made->{token});
close_connections();
$gateway->go_on;

is(Gateway::parse(Gateway::read_all($client))->{status}, 200,
   'a command that is not yet written gets another connection');

$gateway->stop;


# The reply to the first command comes, and none to the second.  The timer was
# set for the first.

my $redis = FakeRedis->new;
my @tokens = map { token() } 1, 2;

$gateway = Gateway->new(address => $redis->address, redis => 'timeout=3s',
                        log_level => 'info');

$redis->says(record_reply($tokens[0]));
is($redis->request($gateway, $tokens[0]), 200, 'a connection is there');

$redis->says('');

my @clients;

for my $token (@tokens) {
    push @clients, $gateway->connect;
    $gateway->send_request($clients[-1], GET => '/', bearer => $token);
    $redis->await_commands(1 + @clients);
    sleep 0.1;
}

$redis->answers(record_reply($tokens[0]));

is($redis->answer_to($clients[0]), 200, 'the first command is answered');
is($redis->answer_to($clients[1]), 503, 'the second one has a time of its own');

$gateway->stop(qr/\[error\] .* no reply in time, commands failed: 1 /);


# Redis forgets scripts as soon as it has them.

$redis = FakeRedis->new;
$gateway = Gateway->new(address => $redis->address, log_level => 'info');

$redis->says("-NOSCRIPT No matching script. Please use EVAL.\r\n");
is($redis->request($gateway, $gateway->root,
                   '/api/organizations/acme/access-tokens/'
                   . token_id($tokens[0])),
   503, 'a script that Redis does not know, even as it is sent,');
is($redis->commands, 2, 'is sent twice and no more');

$gateway->stop(qr/\[error\] .* "NOSCRIPT /);

done_testing();
