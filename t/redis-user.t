# The Redis user of an edge, as the documentation has it: with its rights all
# works, it has no others, and each one is needed.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use Gateway;

flush();

my @rights = redis_user('edge', 'CHANGE-ME');

my $password = tempdir(CLEANUP => 1) . '/password';
Gateway::put($password, "CHANGE-ME\n");
chmod 0600, $password;

# SETUSER takes them in order: the last words take one away.

sub allow { redis_cmd('ACL', 'SETUSER', 'edge', 'reset', @rights, @_) }

allow();

my $gateway = Gateway->new(workers => 1, log_level => 'notice',
                           redis => "user=edge password_file=$password",
                           cache => 'lease=4s',
                           http => 'access_token_last_use 1s;');
my $api = Gateway->new(port => $ENV{TEST_NGINX_MOCK_PORT},
                       dir => $gateway->dir . '-api', log_level => 'notice');
my @root = (bearer => $api->root);

sub get {
    my ($token, %option) = @_;
    my $response = $gateway->call(GET => '/', bearer => $token, %option);

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

sub is_cached {
    my ($token) = @_;

    return Gateway::becomes(sub { get($token) eq '200 HIT' });
}

sub refused { return $_[0] =~ /^401/ }


# All rights.

my $made = $api->create('acme', '');
my $token = $made->{token};

like(get($token), qr/^200/, 'an edge looks a token up');
ok(is_cached($token), 'and uses the cache');

$api->call(POST => "$made->{path}/revoke", @root);
ok(Gateway::becomes(sub { refused(get($token)) }, 1), 'hears of a revocation');

$api->call(POST => "$made->{path}/activate", @root);
ok(is_cached($token), 'of an activation');

redis_cmd('HSET', token_key($token), 's', 'r');
ok(Gateway::becomes(sub { refused(get($token)) }, 1),
   'and of a change past the API');

sub last_used {
    my ($made) = @_;
    return $api->call(GET => $made->{path}, @root)->{json}{last_used_at};
}

ok(Gateway::becomes(sub { defined last_used($made) }, 5),
   'and tells of the last use');

is($gateway->log =~ s/.*\[notice\].*\n//gr, '', 'without a word in the log');


# No others.

sub as_edge {
    my (@words) = @_;

    my $socket = IO::Socket::UNIX->new(Peer => $ENV{TEST_NGINX_REDIS_SOCKET})
                 or die "can't connect to Redis: $!\n";

    for my $command (['AUTH', 'edge', 'CHANGE-ME'], [@words]) {
        $socket->syswrite(join '', '*' . @$command . "\r\n",
                          map { '$' . length() . "\r\n$_\r\n" } @$command);
        my $reply = eval { AccessToken::read_reply($socket) };
        return $@ =~ s/^Redis: (\S*).*/$1/sr if $@;
        return $reply if $command->[0] ne 'AUTH';
    }
}

my $key = token_key($token);
my $id = token_id($token);
my $tag = substr $id, 0, 4;

is(ref(as_edge('HMGET', $key, 's')), 'ARRAY', 'its user reads a record');

# Redis 6 knows no right to read alone: the user may change what it reads.

my @reads = redis_is_6() ? () : (['DEL', $key], ['ZADD', $key, 0, 'x']);

for my $command (
    @reads, ['SET', 'at:x', 1], ['SET', $key, 1], ['HSET', $key, 's', 'a'],
    ['ZADD', "at:i:{$tag}:acme", 0, $id], ['DEL', "at:i:{$tag}:acme"],
    ['HMGET', "at:a:{$tag}:acme", 'x'],
    ['HMGET', 'other', 'x'], ['GET', 'at:x'], ['HGETALL', $key],
    ['EXPIRE', $key, 1], ['KEYS', '*'], ['SCAN', 0], ['FLUSHALL'],
    ['EVAL', 'return 1', 0], ['CONFIG', 'GET', '*'], ['CLIENT', 'LIST'],
    ['CLIENT', 'KILL', 'TYPE', 'normal'], ['ACL', 'LIST'],
    ['PUBLISH', 'other', 'x'], ['SUBSCRIBE', 'other'], ['MONITOR'],
    ['SWAPDB', 0, 1], ['REPLICAOF', 'NO', 'ONE'], ['SHUTDOWN'])
{
    is(as_edge(@$command), 'NOPERM', "and may not: @$command");
}


# Each is needed.

$api->call(POST => "$made->{path}/activate", @root);

my %without = (
    (map { /^\+(\w+)$/ ? ($1 => ["-$1"]) : () } @rights),
    'client|id' => ['-client', '+client|tracking'],
    'client|tracking' => ['-client', '+client|id'],
    (map { my $one = $_; ($one => ['resetchannels', grep { $_ ne $one }
                                                    grep { /^&/ } @rights]) }
         grep { /^&/ } @rights),
    (map { my $one = $_; ($one => ['resetkeys', grep { $_ ne $one }
                                                grep { /^(%|~)/ } @rights]) }
         grep { /^(%|~)/ } @rights),
);

is(scalar(keys %without), @rights - 5, 'rights, each taken away in turn');

my $used = "at:u:{$tag}";

for my $right (sort keys %without) {

    my $before = length $gateway->log;

    allow(@{ $without{$right} });
    $gateway->reload;
    redis_cmd('ZADD', $used, 0, $id);
    redis_cmd('PUBLISH', 'at:inv', $key);       # so that it is used anew

    my $logged = sub { substr $gateway->log, $before };
    my %seen;

    if ($right =~ /^client/) {
        ok(is_cached($token), "without $right the cache is used");
        like($logged->(), qr/tracks no keys.*give its user \+client\|id and/,
             'and the log says what is missing');
        next;
    }

    if ($right =~ /zadd|at:u:/) {
        ok(is_cached($token), "without $right the cache is used");
        ok(Gateway::becomes(sub { $logged->() =~ /NOPERM.*see ACL SETUSER/ }),
           'and the log says why nothing is told of the last use');
        is(redis_cmd('ZSCORE', $used, $id), 0, 'which stays as it was');
        next;
    }

    # MISS: there is a lease, and nothing else

    my $expected = $right =~ /hmget|at:t:/   ? '503 MISS'
                   : $right =~ /^del|at:z:\*$/ && $right !~ /^&/
                                             ? '503 BYPASS'
                                             : '200 BYPASS';

    Gateway::becomes(sub { my $got = get($token);
                           $seen{$got}++;
                           $got eq $expected
                           && $logged->() =~ /see ACL SETUSER/ })
        or fail("without $right nothing is logged");

    # what was asked before there was one

    delete $seen{'503 BYPASS'} if $expected eq '503 MISS';

    my $until = time + 0.5;
    $seen{get($token)}++ while time < $until;

    is(join(', ', sort keys %seen), $expected,
       "without $right the cache is not used");
    like($logged->(), qr/see ACL SETUSER/, 'and the log names the mend');
}

allow();
$gateway->reload;
ok(is_cached($token), 'with all of them it is');


# Without tracking the channel of the API has to do.

allow('-client', '+client|id');
$gateway->reload;
ok(is_cached($token), 'a Redis that tracks no keys');

$api->call(POST => "$made->{path}/revoke", @root);
ok(Gateway::becomes(sub { refused(get($token)) }, 1),
   'a revocation by another gateway is heard');
$api->call(POST => "$made->{path}/activate", @root);
ok(is_cached($token), 'and an activation');

redis_cmd('PING');
$gateway->call(GET => '/worker');       # it has read what came before
is_cached($token);

redis_cmd('HSET', $key, 's', 'r');
is(get($token), '200 HIT', 'a change past the API is not');
redis_cmd('PUBLISH', 'at:inv', $key);
ok(Gateway::becomes(sub { refused(get($token)) }, 1), 'until it is published');

$api->stop;
$gateway->stop(qr/its user lacks a permission; see ACL SETUSER/,
               qr/connection was closed by redis while listening/);

redis_cmd('ACL', 'DELUSER', 'edge');

done_testing();
