# Another Redis takes the place of the one that tokens were cached from.

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

# The address is a link in the file system, so it can lead elsewhere.

my $first = $ENV{TEST_NGINX_REDIS_SOCKET};
my ($second, $address) = map { $first =~ s/[^\/]*\z/$_.sock/r } qw(second at);

my $port = $ENV{TEST_NGINX_MOCK_PORT};

my $redis = in_child(sub {
    open STDOUT, '>', '/dev/null';
    exec 'redis-server', '--port', $port, '--unixsocket', $second,
         '--bind', '127.0.0.1', '--repl-diskless-sync-delay', 0,
         '--save', '', '--appendonly', 'no', '--daemonize', 'no';
});

Gateway::becomes(sub { IO::Socket::UNIX->new(Peer => $second) })
    or BAIL_OUT('the second Redis did not start');

sub leads_to {
    my ($socket) = @_;

    symlink $socket, "$address.new" or die "no symlink: $!\n";
    rename "$address.new", $address or die "can't rename: $!\n";
}

# Does something with the second one.

sub in_second {
    my ($code) = @_;

    local $ENV{TEST_NGINX_REDIS_SOCKET} = $second;

    return $code->();
}

leads_to($first);

my $lease = 0.8;
my $gateway = Gateway->new(address => "unix:$address", cache => 'lease=800ms',
                           log_level => 'notice');

sub get {
    my ($token) = @_;
    my $response = $gateway->call(GET => '/', bearer => $token);

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

sub calls {
    my ($command) = @_;
    my ($calls) = redis_cmd('INFO', 'commandstats')
                  =~ /^cmdstat_\Q$command\E:calls=(\d+)/m;

    return $calls // 0;
}

# A token is active in the first one, and revoked in the second one.

my ($token, $other, $third) = map { put_token() } 1 .. 3;
in_second(sub { put_token(token => $_, status => 'r')
                    for $token, $other, $third });

Gateway::becomes(sub { get($token) eq '200 HIT' && get($third) eq '200 HIT' })
    or BAIL_OUT('nothing is cached');

# Commands go to the second one from now on, the link stays where it is.

leads_to($second);
redis_cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');

my $since = time;
my $before = in_second(sub { calls('hmget') });
like(get($other), qr/^401/, 'a token that is not cached is read from the new one');

if (time - $since < $lease / 4) {
    is(in_second(sub { calls('hmget') }) - $before, 2,
       'twice: a lease of the old one says nothing of its answers');
}

my ($last, %seen) = (0);

while (time - $since < 3 * $lease
       || !$seen{'401 HIT'} && time - $since < 10)
{
    my $now = time;
    my $got = get($token);

    $seen{$got}++;
    $last = $now - $since if $got =~ /^200/;
}

ok($seen{'401 HIT'}, 'the new one has a lease of its own');
ok(!$seen{'200 MISS'} && !$seen{'200 BYPASS'},
   'nobody is let in but from the cache');
cmp_ok($last, '<=', $lease, 'and by that no longer than the lease of the old');
like(get($third), qr/^401/, 'and what was cached before is void');

like($gateway->log, qr/it did not deliver a heartbeat/,
     'the link is made anew, since it hears nothing of the new one');

$gateway->stop;


# The link leads to a replica, which hears and tells of what is published at its
# primary, but not of what that has answered meanwhile.

sub links {
    return scalar(() = redis_cmd('CLIENT', 'LIST', 'TYPE', 'pubsub') =~ /^id=/mg);
}

redis_cmd('REPLICAOF', '127.0.0.1', $port);
ok(Gateway::becomes(sub { redis_cmd('INFO', 'replication')
                          =~ /^master_link_status:up/m }),
   'the first Redis is a replica of the second');

leads_to($first);
$gateway = Gateway->new(address => "unix:$address", cache => 'lease=800ms',
                        log_level => 'notice');
ok(Gateway::becomes(sub { links() == 1 }), 'and the link leads to it');
is($gateway->await_log(qr/READONLY/, 1), 1, 'as commands do so far');
leads_to($second);

my $valid = in_second(sub { put_token() });

ok(Gateway::becomes(sub { get($valid) eq '200 BYPASS' }),
   'commands go to the primary');

my $hits = 0;
ok(Gateway::becomes(sub {
       my $hit = get($valid) =~ /HIT|MISS/;
       my $moved = in_second(\&links);
       $hits++ if $hit && !$moved;
       return $moved;
   }, 5), 'and so does the link, after a while');
is($hits, 0, 'and until then the cache is not used');
ok(Gateway::becomes(sub { get($valid) eq '200 HIT' }), 'but from then on');

$gateway->stop(qr/READONLY/);


# A primary that tracks no keys is a replica of another one for a while, and
# tells nothing of the records that it is given as one.

redis_cmd('REPLICAOF', 'NO', 'ONE');
flush();
redis_cmd(qw(ACL SETUSER tells on >password ~* &* +@all),
          redis_is_6() ? qw(-client +client|id) : '-client|tracking');

my $dir = tempdir(CLEANUP => 1);
Gateway::put("$dir/password", "password\n");
chmod 0600, "$dir/password";

$gateway = Gateway->new(cache => 'lease=800ms', log_level => 'notice',
                        redis => "user=tells password_file=$dir/password");

my ($revoked, $good) = map { put_token() } 1 .. 2;
ok(Gateway::becomes(sub { get($_) eq '200 HIT' }), 'a token is cached')
    for $revoked, $good;

my %record = map { my $key = token_key($_); $key => redis_cmd('HGETALL', $key) }
             $revoked, $good;

in_second(sub {
    redis_cmd('HSET', $_, @{ $record{$_} }) for keys %record;
    redis_cmd('HSET', token_key($revoked), 's', 'r', 'v', int(time * 1000));
});

redis_cmd('REPLICAOF', '127.0.0.1', $port);
ok($gateway->await_log(qr/not taken from the cache any more/, 1),
   'a replica is not in charge');
ok(Gateway::becomes(sub { redis_cmd('INFO', 'replication')
                          =~ /^master_link_status:up/m }),
   'it has what the other one had');
redis_cmd('REPLICAOF', 'NO', 'ONE');

ok(Gateway::becomes(sub { get($good) eq '200 HIT' }), 'it is in charge again');
like(get($revoked), qr/^401/, 'what was revoked at the other is refused');

$gateway->stop(qr/READONLY/);

done_testing();
