# What nodes of a cluster may say and should not: maps of slots that make no
# sense, and redirections that lead nowhere or in a circle.  Whatever comes, a
# request is answered in time, with 503 if nothing is known, and Redis is not
# asked on and on.

use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(inet_aton);
use Test::More;
use Time::HiRes qw(time);

use lib 't';
use AccessToken;
use Cluster;
use FakeRedis;
use Gateway;

my $token = token();
my $slot = Cluster::slot_of_token($token);
my $redis = FakeRedis->new(nodes => 2);
my @port = map { $redis->port($_) } 0, 1;
my $address = "cluster 127.0.0.1:$port[0] 127.0.0.1:$port[1]";
my %asked;


# A reply of values: numbers are references, undef is nil.

sub reply {
    my ($value) = @_;

    return '*' . @$value . "\r\n" . join '', map { reply($_) } @$value
        if ref $value eq 'ARRAY';
    return ":$$value\r\n" if ref $value;
    return "\$-1\r\n" if !defined $value;
    return '$' . length($value) . "\r\n$value\r\n";
}

sub map_of { return reply([ @_ ]) }

sub range {
    my ($first, $last, @nodes) = @_;
    return [ \$first, \$last, @nodes ];
}

sub node {
    my ($host, $port, @more) = @_;
    return [ $host, \$port, @more ];
}

my $id = 'a' x 40;
my $all_at_0 = map_of(range(0, 16383, node('127.0.0.1', $port[0], $id)));
my $all_at_1 = map_of(range(0, 16383, node('127.0.0.1', $port[1], $id)));


# The nodes have that map (a text, or a function of the node that is asked) and
# say that, by the name of a command.

sub nodes_say {
    my ($map, %say) = @_;

    %asked = map { $_ => 0 } qw(CLUSTER ASKING HMGET EVALSHA EVAL);

    $redis->says(sub {
        my ($node, $name, @args) = @_;

        $name = uc $name;
        $asked{$name}++;

        return ref $map ? $map->($node) : $map if $name eq 'CLUSTER';
        return $say{$name}->($node, @args) if $say{$name};
        return record_reply($token) if $name eq 'HMGET';
        return ":0\r\n" if $name eq 'DEL';
        return reply("# Server\r\nrun_id:" . $node x 40 . "\r\n")
            if $name eq 'INFO';
        return "+OK\r\n";
    });
}


# One request to a new nginx: its status, and how long it took.

my ($gateway, $took);

sub ask {
    my $since = time;
    my $status = $redis->request($gateway, $token);

    $took = time - $since;

    return $status;
}

# Where an answer is to come, a busy machine has time for it.

sub patient { fresh(redis => 'timeout=5s connect_timeout=5s') }

# Asks a new nginx of which the nodes say that, and gets a status for it; once
# more if a busy machine has left no time for more than n attempts.

sub ask_fresh {
    my ($n, @say) = @_;
    my $status;

    for my $try (1 .. 5) {
        $gateway->quit if $try > 1;
        fresh();
        nodes_say(@say);
        $status = ask();
        last if $asked{HMGET} > $n;
    }

    return $status;
}

sub fresh {
    $gateway = Gateway->new(address => $address, log_level => 'notice', @_);
}

my @any = (qr/\[error\]/);

# A command that is redirected in a circle: six times at once, then two times
# each 20 ms of the 500, and each 100 ms when the map is told.

my $circles = 6 + 2 * 25 + 2 * 5;

# A map that is of no use, and after it one that is.

sub is_refused {
    my ($name, $map) = @_;

    fresh();
    nodes_say($map);
    is(ask(), '503', "$name: 503");
    cmp_ok($took, '<', 5, 'in time');
    cmp_ok($asked{CLUSTER}, '<', 20, "after $asked{CLUSTER} questions");
    is($asked{HMGET}, 0, 'and nobody is asked for the token');

    nodes_say($all_at_1);
    ok(Gateway::becomes(sub { ask() eq '200' }), 'with a good one 200');
    $gateway->stop(@any);
}

sub is_taken {
    my ($name, $map) = @_;

    patient();
    nodes_say($map);
    is(ask(), '200', "$name: 200");
    $gateway->stop;
}


# --- maps ---------------------------------------------------------------------

is_taken('a map', $all_at_1);
is_taken('a node without an id, as of old',
         map_of(range(0, 16383, node('127.0.0.1', $port[1]))));
is_taken('a node with more than is known',
         map_of(range(0, 16383, node('127.0.0.1', $port[1], $id,
                                     [ 'hostname', 'a.example' ]))));
is_taken('an empty host is that of the node that was asked',
         map_of(range(0, 16383, node('', $port[1], $id))));
is_taken('and so is none',
         map_of(range(0, 16383, node(undef, $port[1], $id))));
is_taken('and so is one that does not know itself',
         map_of(range(0, 16383, node('?', $port[1], $id))));
is_taken('a map in many parts, with replicas', map_of(
    map { range($_ * 4, $_ * 4 + 3, node('127.0.0.1', $port[$_ % 2], $id, []),
                node('127.0.0.1', 1, $id, [])) } 0 .. 4095));
is_taken('a map in parts, with replicas',
         map_of(range(0, $slot - 1, node('127.0.0.1', $port[0], $id)),
                range($slot, $slot, node('127.0.0.1', $port[1], $id),
                      node('127.0.0.1', 1, $id)),
                range($slot + 1, 16383, node('127.0.0.1', $port[0], $id))));

my $node = node('127.0.0.1', $port[0], $id);

my @useless = (
    'a number', ":1\r\n",
    'a word', "+OK\r\n",
    'nothing', "\$-1\r\n",
    'no array', "*-1\r\n",
    'an error', "-ERR This instance has cluster support disabled\r\n",
    'a loading node', "-LOADING Redis is loading the dataset in memory\r\n",
    'an empty map', map_of(),
    'a map of numbers', map_of(\1, \2),
    'a map of nothing', map_of(undef),
    'an empty range', map_of([]),
    'a range with one end', map_of([ \0 ]),
    'a range of nobody', map_of([ \0, \16383 ]),
    'a range of words', map_of([ 'a', 'b', $node ]),
    'a range of numbers as words', map_of([ '0', '16383', $node ]),
    'a range that is one slot too long', map_of(range(0, 16384, $node)),
    'a range that begins below 0', map_of(range(-1, 16383, $node)),
    'a range beyond all numbers', map_of(range(0, '9223372036854775807',
                                               $node)),
    'a range the wrong way round', map_of(range(16383, 0, $node)),
    'a node that is a number', map_of(range(0, 16383, \1)),
    'a node that is nothing', map_of(range(0, 16383, undef)),
    'an empty node', map_of(range(0, 16383, [])),
    'a node without a port', map_of(range(0, 16383, [ '127.0.0.1' ])),
    'a host that is a number', map_of(range(0, 16383, [ \1, \1 ])),
    'a host that is an array', map_of(range(0, 16383, [ [ 'a' ], \1 ])),
    'a port that is a word', map_of(range(0, 16383, [ '127.0.0.1', 'x' ])),
    'port 0', map_of(range(0, 16383, node('127.0.0.1', 0))),
    'a port below 0', map_of(range(0, 16383, node('127.0.0.1', -1))),
    'a port above all', map_of(range(0, 16383, node('127.0.0.1', 65536))),
    'a host with a zero byte', map_of(range(0, 16383,
                                            node("127.0.0.1\0", $port[0]))),
    'a host of 100,000 characters', map_of(range(0, 16383,
                                                 node('a' x 100_000, 1))),
    'more ranges than slots', map_of(map { range(0, 16383, $node) } 1 .. 20000),
    'an array beyond all bounds', "*1000000000\r\n",
);

while (my ($name, $map) = splice @useless, 0, 2) {
    is_refused($name, $map);
}


# One of those in the configuration knows nothing, as one that was reset, or is
# in no cluster; the other all.

for my $empty (0, 1) {
    my $map = $empty ? $all_at_0 : $all_at_1;

    fresh();
    nodes_say(sub { $_[0] == $empty ? map_of() : $map });
    is(ask(), '200', "node $empty knows no slots, and the other does: 200");
    cmp_ok($took, '<', 0.4, 'without waiting for anything');
    $gateway->stop($empty == 1 ? @any : ());        # which is asked first
}


# A name server that knows each name.  What is asked for it is in small letters.

my $names = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1')
            or die "no socket: $!\n";

in_child(sub {
    while (defined $names->recv(my $query, 512)) {
        my ($question) = substr($query, 12) =~ /^(.*?\0....)/s or next;

        $names->send(pack('a2 n n n n n', $query, 0x8180, 1, 1, 0, 0)
                     . $question . pack('n n n N n/a*', 0xc00c, 1, 1, 60,
                                        inet_aton('127.0.0.1')));
    }
});

my $named = map_of(range(0, 16383, node('Node.Test', $port[1], $id)));
my $maps;

$gateway = Gateway->new(
    address => $address, log_level => 'info',
    http => 'resolver 127.0.0.1:' . $names->sockport . ' ipv6=off;');
nodes_say(sub { $maps++; $named }, HMGET => sub {
    $maps == 1 ? "-MOVED $slot Node.Test:$port[1]\r\n"
               : record_reply($token) });
ok(Gateway::becomes(sub { ask() eq '200' && $maps > 1 }, 3),
   'a node by its name, which begins with a capital letter: 200');
my @nodes = $gateway->log =~ /redis cluster has (?:a|no) primary at .*/g;
is(scalar @nodes, 1, 'is one and the same each time it is told of');
$gateway->stop;


# --- MOVED --------------------------------------------------------------------

sub moved { my ($to) = @_; return "-MOVED $slot 127.0.0.1:$port[$to]\r\n" }
sub says_ask { my ($to) = @_; return "-ASK $slot 127.0.0.1:$port[$to]\r\n" }

patient();
my $map = $all_at_0;
nodes_say(sub { $map }, HMGET => sub {
    $_[0] == 0 ? moved(1) : record_reply($token) });
is(ask(), '200', 'MOVED is followed');
is($asked{HMGET}, 2, 'at once');
ok(Gateway::becomes(sub { ask(); $asked{CLUSTER} >= 2 }, 2),
   'and the map is asked for');
$map = $all_at_1;
$gateway->stop;

for my $error ("-MOVED\r\n", "-MOVED \r\n", "-MOVED $slot\r\n",
               "-MOVED $slot \r\n", "-MOVED x 127.0.0.1:$port[1]\r\n",
               "-MOVED 16384 127.0.0.1:$port[1]\r\n",
               "-MOVED -1 127.0.0.1:$port[1]\r\n",
               "-MOVED $slot 127.0.0.1\r\n", "-MOVED $slot 127.0.0.1:\r\n",
               "-MOVED $slot 127.0.0.1:0\r\n",
               "-MOVED $slot 127.0.0.1:70000\r\n",
               "-MOVED $slot 127.0.0.1:x\r\n", "-MOVED $slot ?:$port[1]\r\n",
               "-MOVED $slot 127.0.0.1:1\r\n", "-MOVED $slot a.invalid:1\r\n",
               "-MOVED $slot " . 'a' x 100_000 . ":1\r\n",
               "-ASK\r\n", "-ASK $slot\r\n", "-ASK $slot 127.0.0.1:0\r\n",
               "-ASK $slot 127.0.0.1:1\r\n")
{
    my $name = substr($error, 0, 40) =~ s/\s+\z//r;

    fresh();
    nodes_say($all_at_0, HMGET => sub { $error });
    is(ask(), '503', "\"$name\" is 503");
    cmp_ok($took, '<', 5, 'in time');
    cmp_ok($asked{HMGET}, '<=', $circles, "after $asked{HMGET} attempts");
    cmp_ok($asked{CLUSTER}, '<', 20, "and $asked{CLUSTER} questions");

    nodes_say($all_at_0);
    ok(Gateway::becomes(sub { ask() eq '200' }), 'and over when it is over');
    $gateway->stop(@any);
}

for my $loop (['two nodes that send to each other', sub { moved(1 - $_[0]) }],
              ['a node that sends to itself', sub { moved($_[0]) }],
              ['two nodes that ask to ask each other', sub {
                  says_ask(1 - $_[0]) }],
              ['a node that asks to ask itself', sub { says_ask($_[0]) }],
              ['MOVED there, and ASK back', sub {
                  $_[0] == 0 ? moved(1) : says_ask(0) }])
{
    my ($name, $say) = @$loop;

    is(ask_fresh(6, $all_at_0, HMGET => $say), '503', "$name: 503");
    cmp_ok($took, '<', 5, 'in time');
    cmp_ok($asked{HMGET}, '>', 6, 'they are followed');
    cmp_ok($asked{HMGET}, '<=', $circles,
           "but not on and on, $asked{HMGET} times");
    cmp_ok($took, '>', 0.4, 'for as long as a command may take');
    cmp_ok($asked{CLUSTER}, '<', 20, "nor is the map, $asked{CLUSTER} times");

    nodes_say($all_at_0);
    ok(Gateway::becomes(sub { ask() eq '200' }), 'and over when it is over');
    $gateway->stop(@any);
}


# --- ASK ----------------------------------------------------------------------

# The node that imports takes a command right after ASKING only.

patient();
my $may = 0;
nodes_say($all_at_0,
          ASKING => sub { $may = 1 if $_[0] == 1; "+OK\r\n" },
          HMGET => sub {
              return says_ask(1) if $_[0] == 0;
              return moved(0) if !$may;
              $may = 0;
              return record_reply($token) });
is(ask(), '200', 'ASK is followed, by ASKING and the command');
is("$asked{ASKING} $asked{HMGET}", '1 2', 'once');
is(ask(), '200', 'the next one, too');
is("$asked{ASKING} $asked{HMGET}", '2 4',
   'which begins where the map says: ASK changes nothing in it');
cmp_ok($asked{CLUSTER}, '<=', 2, 'nor has it asked for anew');
$gateway->stop;


# --- later --------------------------------------------------------------------

for my $error ("-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
               "-CLUSTERDOWN The cluster is down\r\n",
               "-CLUSTERDOWN Hash slot not served\r\n")
{
    my ($name) = $error =~ /^-(.*)\r/;
    my $times = 3;

    patient();
    nodes_say($all_at_0, HMGET => sub {
        $times-- > 0 ? $error : record_reply($token) });
    is(ask(), '200', "\"$name\" is tried again");
    cmp_ok($took, '<', 4, 'within the timeout');
    $gateway->stop;

    is(ask_fresh(2, $all_at_0, HMGET => sub { $error }), '503',
       "\"$name\" that stays is 503");
    cmp_ok($took, '>', 0.2, 'at the end of the timeout');
    cmp_ok($took, '<', 5, 'and not long after');
    cmp_ok($asked{HMGET}, '>', 2, 'it is tried again');
    cmp_ok($asked{HMGET}, '<', 60, "but with pauses, $asked{HMGET} times");
    nodes_say($all_at_0);
    ok(Gateway::becomes(sub { ask() eq '200' }), 'and over when it is over');
    $gateway->stop(@any);
}


# --- scripts ------------------------------------------------------------------

# Redirected, then not known there, then carried out.

patient();
nodes_say($all_at_0,
          EVALSHA => sub { $_[0] == 0 ? moved(1)
                                      : "-NOSCRIPT No matching script.\r\n" },
          EVAL => sub { $_[0] == 1 ? reply([ \0 ]) : moved(1) });

my $client = $gateway->connect;
my $path = '/api/organizations/acme/access-tokens/' . token_id($token);
$gateway->send_request($client, POST => "$path/revoke",
                       bearer => $gateway->root);
is($redis->answer_to($client), '404', 'a script is redirected');
is("$asked{EVALSHA} $asked{EVAL}", '2 1', 'and sent whole where it is unknown');
$gateway->stop;

done_testing();
