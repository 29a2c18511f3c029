# Redis down, slow, full, read-only, or gone in the middle of it: the API says
# 503, never success.  Whatever it has confirmed is in Redis.

use strict;
use warnings;

use Digest::SHA 'sha256';
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use Gateway;

my $path = '/api/organizations/acme/access-tokens';
my $json = { name => 'a', expires_at => Gateway::in_days(1) };

my $lost = qr/^Redis did not confirm the change: it may or may not have been/;
my $kept = qr/^Redis cannot be asked at present, and nothing was changed/;
my $read = qr/^Redis (cannot be asked|does not answer) at present/;

my ($gateway, @root);

sub gateway {
    $gateway = Gateway->new(@_);
    @root = (bearer => $gateway->root);
}

sub is_503 {
    my ($response, $detail, $name) = @_;

    is("$response->{status} " . ($response->{headers}{'retry-after'} // ''),
       '503 1', "$name: 503, with Retry-After");
    like($response->{json}{detail}, $detail, "$name: it says what that means");
    ok(!exists $response->{headers}{'www-authenticate'},
       "$name: without a challenge");
}

# Waits until the API can ask Redis again.

sub recovered {
    for my $try (1 .. 200) {
        return if $gateway->call(GET => $path, @root)->{status} eq '200';
        sleep 0.05;
    }
}

# Is the token that the API has answered in Redis, as it was answered?

sub is_stored {
    my ($answer) = @_;
    my $token = $answer->{token};
    my $hashed = substr $token, 3, 52;
    my $key = token_key($token);
    my $tag = substr $answer->{id}, 0, 4;

    return defined redis_cmd('ZSCORE', "at:i:{$tag}:acme", $answer->{id})
           && (redis_cmd('HGET', $key, 'h') // '') eq sha256($hashed);
}


# No Redis.

gateway(address => 'unix:/nonexistent/redis.sock');

for my $case ([GET => $path], [GET => '/api/organizations'],
              [GET => '/api/organizations/acme/groups'],
              [GET => "$path/" . 'A' x 20],
              [POST => $path, json => $json],
              [PATCH => "$path/" . 'A' x 20, json => { name => 'b' }],
              [POST => "$path/" . 'A' x 20 . '/revoke'],
              [POST => "$path/" . 'A' x 20 . '/activate'],
              [POST => "$path/" . 'A' x 20 . '/rotate'],
              [DELETE => "$path/" . 'A' x 20]) {
    my $response = $gateway->call(@$case, @root);

    is_503($response, qr/^Redis /, "$case->[0] without Redis");
    ok(!exists $response->{json}{token}, 'no token is given away');
}

is_503($gateway->call(GET => '/api/self', bearer => token()),
       qr/^The bearer token cannot be checked at present; nothing was changed/,
       'a token without Redis');

is($gateway->call(GET => '/api/self', bearer => 'rubbish')->{status}, 401,
   'what is no token is 401 without Redis too');
is($gateway->call(GET => '/api/no', @root)->{status}, 404,
   'and what is no path is 404');
is($gateway->call(POST => $path, @root, json => {})->{status}, 422,
   'and bad members are 422');

$gateway->stop(qr/nonexistent/);


# Redis that is slow: the command's time is over, the change is made later.

flush();
gateway(redis => 'timeout=2s');

my $made = $gateway->create('acme', '');

redis_stop();
is_503($gateway->call(POST => "$made->{path}/revoke", @root), $lost,
       'a Redis that hangs');
is_503($gateway->call(GET => $path, @root), $read, 'a list, then');

redis_continue();
recovered();

is($gateway->call(GET => $made->{path}, @root)->{status}, 200,
   'once Redis is back, it is used again');

my $again = $gateway->call(POST => "$made->{path}/revoke", @root);
is("$again->{status} $again->{json}{status}", '200 revoked',
   'the change is repeated, whether or not it was made');

$gateway->stop(qr/timed out/);


# Redis that refuses.

flush();
gateway();
$made = $gateway->create('acme', '');

redis_cmd('CONFIG', 'SET', 'min-replicas-to-write', 1);

is_503($gateway->call(@$_, @root), $lost, "$_->[0] where Redis takes no writes")
    for [POST => $path, json => $json], [POST => "$made->{path}/revoke"],
        [DELETE => $made->{path}];
is($gateway->call(GET => $path, @root)->{status}, 200, 'a list is read');
is($gateway->call(GET => '/', bearer => $made->{token})->{status}, 200,
   'and the token is let in');

redis_cmd('CONFIG', 'SET', 'min-replicas-to-write', 0);
redis_cmd('CONFIG', 'SET', 'maxmemory', 1);

is_503($gateway->call(POST => $path, @root, json => $json), $lost,
       'a create where Redis is full');
is($gateway->call(POST => "$made->{path}/revoke", @root)->{status}, 200,
   'a revocation is made where Redis is full');
is($gateway->call(GET => '/', bearer => $made->{token})->{status}, 401,
   'and holds');
is($gateway->call(DELETE => $made->{path}, @root)->{status}, 204,
   'a deletion too');

redis_cmd('CONFIG', 'SET', 'maxmemory', 0);

is($gateway->call(POST => $path, @root, json => $json)->{status}, 201,
   'with room again, a token is made');
is(scalar @{ $gateway->call(GET => $path, @root)->{json}{access_tokens} }, 1,
   'and is the only one: what was refused left nothing');

# A key of another kind where a record or an index should be.

$made = $gateway->create('acme', '');
redis_cmd('DEL', token_key($made->{token}));
redis_cmd('SET', token_key($made->{token}), 'x');
is_503($gateway->call(@$_, @root), qr/^Redis /, "$_->[0] of what is no record")
    for [GET => $made->{path}], [POST => "$made->{path}/revoke"];

redis_cmd('DEL', token_key($made->{token}));
redis_cmd('HSET', token_key($made->{token}), 'h', 'x' x 32, 'o', 'acme',
          'g', '', 's', 'a');
is_503($gateway->call(GET => $made->{path}, @root), $read,
       'a record that lacks fields');
is($gateway->call(DELETE => $made->{path}, @root)->{status}, 204,
   'which can be deleted all the same');

$gateway->stop(qr/NOREPLICAS/, qr/OOM/, qr/WRONGTYPE/, qr/damaged/);


# A connection that is cut: by a server between the two that takes commands to
# Redis but not all answers back.

my $socket = "$ENV{TEST_NGINX_REDIS_SOCKET}-between";
my $cut_file = "$socket.cut";

sub between {
    unlink $socket;
    my $listen = IO::Socket::UNIX->new(Local => $socket, Listen => 16)
                 or die "can't listen: $!";
    my $pid = fork // die "can't fork: $!";
    return $pid if $pid;

    my $select = IO::Select->new($listen);
    my %peer;

    while (my @ready = $select->can_read) {
        for my $from (@ready) {
            if ($from == $listen) {
                my $client = $listen->accept or next;
                my $redis = IO::Socket::UNIX->new(
                    Peer => $ENV{TEST_NGINX_REDIS_SOCKET}) or POSIX::_exit(1);
                @peer{$client, $redis} = ([$redis, 0], [$client, 1]);
                $select->add($client, $redis);
                next;
            }

            next unless $peer{$from};
            my ($to, $is_redis) = @{ $peer{$from} };
            my $bytes = '';

            # the answer is not brought back, or just a part of it is
            my $n = sysread $from, $bytes, 1 << 20;
            my $cut = $is_redis && $n && -e $cut_file;
            $bytes = substr $bytes, 0, int(length($bytes) * rand) if $cut;

            syswrite $to, $bytes if length $bytes;
            next if $n && !$cut;

            $select->remove($from, $to);
            delete @peer{$from, $to};
            close $_ for $from, $to;
        }
    }
}

sub cut {
    if ($_[0]) { open my $file, '>', $cut_file or die } else { unlink $cut_file }
}

flush();
cut(0);
my $between = between();
gateway(address => "unix:$socket");

$made = $gateway->create('acme', '');

cut(1);
is_503($gateway->call(POST => "$made->{path}/revoke", @root), $lost,
       'a connection that is cut before the answer');
cut(0);

is(redis_cmd('HGET', token_key($made->{token}), 's'), 'r',
   'the change was made all the same');
recovered();

is($gateway->call(POST => "$made->{path}/revoke", @root)->{status}, 200,
   'and repeating it is answered with success');

# Many changes, some of them cut.  What was answered with success is there.

my (%answers, @confirmed, $wrong);

for my $n (1 .. 100) {
    my $token = $confirmed[-1];
    cut($n % 4 == 0);

    my $response = $n % 5 || !$token
        ? $gateway->call(POST => $path, @root, json => $json)
        : $gateway->call(POST => "$path/$token->{id}/revoke", @root);
    my $status = $response->{status};

    $answers{$status}++;
    cut(0);
    recovered() if $status eq '503';

    if ($status eq '201') {
        push @confirmed, $response->{json};
        $wrong++ unless is_stored($response->{json});

    } elsif ($status eq '200') {
        $wrong++ unless redis_cmd('HGET', token_key($token->{token}), 's')
                        eq 'r';
    }
}

recovered();

is(join(' ', sort keys %answers), '200 201 503',
   'with a bad connection there is success and 503, and nothing else: '
   . join ', ', map { "$answers{$_} times $_" } sort keys %answers);
cmp_ok(scalar(@confirmed), '>', 40, 'some tokens were made');
is($wrong // 0, 0, 'whatever was confirmed was in Redis');
is(scalar(grep { !is_stored($_) } @confirmed), 0, 'and is there at the end');

is(scalar(grep { $gateway->call(GET => "$path/$_->{id}", @root)->{status}
                 ne '200' } @confirmed), 0, 'and is shown by the API');

kill 'TERM', $between;
waitpid $between, 0;

$gateway->call(GET => $path, @root);
is_503($gateway->call(POST => $path, @root, json => $json), qr/^Redis /,
       'a Redis that has gone');

# ... and comes back.

$between = between();

recovered();

is($gateway->call(POST => $path, @root, json => $json)->{status}, 201,
   'a Redis that comes back is used again');

kill 'TERM', $between;
waitpid $between, 0;
unlink $socket, $cut_file;

$gateway->stop(qr/redis/i);

done_testing();
