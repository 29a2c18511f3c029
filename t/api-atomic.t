# A change is one thing: record, index, groups, organizations, audit and the
# message to the edges together, or none of it.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(log_level => 'notice');
my @root = (bearer => $gateway->root);
my $new = { name => 'a', expires_at => Gateway::in_days(1) };

# What can be done to a token: a name, and its arguments after the path.

my @changes = (
    [patch    => 'PATCH', '', json => { name => 'other', description => 'd' }],
    [extend   => 'PATCH', '', json => { expires_at => Gateway::in_days(2) }],
    [rotate   => 'POST', '/rotate', json => { grace_seconds => 60 }],
    [revoke   => 'POST', '/revoke'],
    [activate => 'POST', '/activate'],
    [delete   => 'DELETE', ''],
);

sub change {
    my ($made, $name, $method, $below, @body) = @_;
    return $gateway->call($method => "$made->{path}$below", @root, @body)
                   ->{status};
}

sub create {
    my ($owner) = @_;
    return $gateway->call(POST => "/api/organizations/$owner/access-tokens",
                          @root, json => $new)->{status};
}

# All that can be done, where a token is and there is one: a name, and code.

sub all_to {
    my ($made) = @_;

    return ([create => sub { create('acme') }],
            [create => sub { create('acme/groups/dev') }],
            map { my $change = $_;
                  [$_->[0] => sub { change($$made, @$change) }] } @changes);
}


# The message to the edges.

my $edge = IO::Socket::UNIX->new(Peer => $ENV{TEST_NGINX_REDIS_SOCKET})
           or die "can't connect to Redis: $!\n";

# What the edge hears until it gets the answer to this command.

sub heard {
    my ($command) = @_;
    my @heard;

    $edge->syswrite("$command\r\n");

    local $SIG{ALRM} = sub { die "Redis does not answer\n" };
    alarm 10;
    while (my $reply = AccessToken::read_reply($edge)) {
        last if $reply->[0] ne 'message';
        push @heard, "$reply->[1] $reply->[2]";
    }
    alarm 0;

    return join ', ', @heard;
}

heard('SUBSCRIBE at:inv');

# It names the record, the version that it has now, and what was done.

my %state = (patch => 'a', extend => 'a', rotate => 'k', revoke => 'r',
             activate => 'a', delete => 'd');

sub message {
    my ($made, $state) = @_;
    my $key = token_key($made->{token});
    my $version = redis_cmd('HGET', $key, 'v') // '\d{13}';

    return qr/^at:inv \Q$key\E $version $state$/;
}

for my $group ('', 'dev') {
    my $made = $gateway->create('acme', $group);

    like(heard('PING'), message($made, 'a'),
         'a create is told to the edges, once');

    $gateway->call(GET => $made->{path}, @root);
    is(heard('PING'), '', 'to look at a token is not');

    for my $change (@changes) {
        like(change($made, @$change), qr/^20[04]$/, "$change->[0] is done");
        like(heard('PING'), message($made, $state{$change->[0]}),
             'and told to the edges, once');
    }

    is(change($made, @{ $changes[3] }), 404, 'what is not there');
    is(heard('PING'), '', 'is not told');
}

my $again = $gateway->create('acme', '');
heard('PING');

for my $change (@changes[3, 3, 4, 4]) {
    is(change($again, @$change), 200, "$change->[0], done before or not,");
    like(heard('PING'), message($again, $state{$change->[0]}),
         'is told to the edges, lest one has missed it');
}

my $gone = $gateway->create('acme', '', expires_at => Gateway::in_days(1));
heard('PING');
redis_cmd('HSET', token_key($gone->{token}), 'e', time - 60);

is(change($gone, @{ $changes[$_] }), 409, "$changes[$_][0] of an expired token")
    for 2, 4;
is(heard('PING'), '', 'what is refused is not told');

change($again, @{ $changes[3] });
heard('PING');
is(change($again, @{ $changes[0] }), 200, 'a revoked token is changed');
like(heard('PING'), message($again, 'r'), 'and told to be revoked');


# All or nothing: each key in turn is of another kind.  What is then refused has
# changed nothing at all.

my %refused;

for my $kind (qw(record use audit index group-index groups organizations)) {
    flush();

    my $other = $gateway->create('acme', '');
    my $made = $gateway->create('acme', 'dev');
    my $tag = substr $made->{id}, 0, 4;

    my %key = (record => token_key($made->{token}), use => "at:u:{$tag}",
               audit => "at:a:{$tag}:acme", index => "at:i:{$tag}:acme",
               'group-index' => "at:i:{$tag}:acme/dev",
               groups => "at:g:{$tag}:acme", organizations => 'at:o');

    redis_cmd('DEL', $key{$kind});
    redis_cmd('SET', $key{$kind}, 'something else');

    for my $change (all_to(\$made)) {

        my ($name, $do) = @$change;
        my $before = redis_cmd('DEBUG', 'DIGEST');
        my $status = $do->();

        next if $status =~ /^20[014]$/;

        $refused{$kind}++;
        is($status, 503, "$name where the $kind is of another kind");
        is(redis_cmd('DEBUG', 'DIGEST'), $before, 'and nothing is changed');
    }
}

is(join(' ', map { "$_=$refused{$_}" } sort keys %refused),
   'audit=8 group-index=2 groups=3 index=3 organizations=3 record=6 use=8',
   'those are refused that need the key');


# The record is damaged.  It can be deleted, and revoked if its status is known,
# though nobody can be shown it: an edge may let it in all the same.

my %bad = (h => 'short', a => 2, s => 'x', e => '-1', u => 'nobody',
           v => ['x', '1234567890123456'],
           c => 'x', o => undef, g => undef, n => undef, b => undef);

for my $field (sort keys %bad) {
    my $bad = $bad{$field} // [];

    for my $value (undef, ref $bad ? @$bad : $bad) {
        flush();
        my $made = $gateway->create('acme', 'dev');
        my $key = token_key($made->{token});

        redis_cmd('HDEL', $key, $field);
        redis_cmd('HSET', $key, $field, $value) if defined $value;

        my $before = redis_cmd('DEBUG', 'DIGEST');
        my %status = map { $_->[0] => change($made, @$_) } @changes[0 .. 2, 4];

        is(join(' ', map { "$_=$status{$_}" } sort keys %status),
           'activate=503 extend=503 patch=503 rotate=503',
           "a record with its $field " . ($value // 'missing'));
        is(redis_cmd('DEBUG', 'DIGEST'), $before, 'and nothing is changed');

        my $let_in = $gateway->call(GET => '/', bearer => $made->{token})
                             ->{status};
        is($let_in, $field =~ /[bc]/ ? 200 : 503,
           'an edge reads what an edge needs');
        is(change($made, @{ $changes[3] }), 503, 'revoke cannot show it');

        if ($field =~ /[sevog]/) {
            is(redis_cmd('DEBUG', 'DIGEST'), $before, 'and has not touched it');
        } else {
            is(redis_cmd('HGET', $key, 's'), 'r', 'but has revoked it');
        }

        is($gateway->call(GET => '/', bearer => $made->{token})->{status},
           $let_in == 200 ? 401 : 503, 'nobody gets in with it');
        is(change($made, @{ $changes[5] }), $field =~ /[og]/ ? 503 : 204,
           'it can be deleted if its owner is known');
    }
}


# Full: what is refused has changed nothing, what is not is whole.

flush();
my $made = $gateway->create('acme', 'dev');
heard('PING');
redis_cmd('CONFIG', 'SET', 'maxmemory', 1);

for my $change ([create => sub { create('acme') }],
                [create => sub { create('acme/groups/new') }],
                [extend => sub { change($made, @{ $changes[1] }) }]) {

    my $before = redis_cmd('DEBUG', 'DIGEST');
    is($change->[1]->(), 503, "$change->[0] where Redis is full");
    is(redis_cmd('DEBUG', 'DIGEST'), $before, 'and nothing is changed');
    my $heard = heard('PING');
    is($heard, '', 'nor told') if $change->[0] eq 'extend';
}

close $edge;

my $tag = substr $made->{id}, 0, 4;
redis_cmd('CONFIG', 'SET', 'maxmemory', 0);
redis_cmd('ZADD', "at:u:{$tag}", time, $made->{id});
redis_cmd('CONFIG', 'SET', 'maxmemory', 1);

like(change($made, @$_), qr/^20[04]$/, "$_->[0] is done where Redis is full")
    for @changes[3, 4, 2, 5];

redis_cmd('CONFIG', 'SET', 'maxmemory', 0);

is(join(' ', sort @{ redis_cmd('KEYS', '*') }), "at:a:{$tag}:acme",
   'after it is deleted, the audit alone is left');
is(redis_cmd('XLEN', "at:a:{$tag}:acme"), 5, 'and that is whole');

$gateway->stop(qr/WRONGTYPE/, qr/DAMAGED/, qr/is damaged: field "/,
               qr/OOM/);


# The user of Redis has the rights that the docs give to "admin", but for one.
# What is refused then has changed nothing at all, if Redis can be asked before.

my @rights = map { s/^>.*/>password/r } redis_user('admin', 'CHANGE-ME-TOO');
my $secret = tempdir(CLEANUP => 1) . '/password';
Gateway::put($secret, "password\n");

my @kinds = map { my $kind = $_; map { "~at:$kind$_" } $kind eq 'o' ? '' : ':*' }
            qw(t i g a u o);

# SETUSER takes them in order: the last words take one away.

my %without = (
    nothing => [],
    (map { /^\+(\w+)$/ ? ($1 => ["-$1"]) : () } @rights),
    channel => ['resetchannels'],
    map { my $key = $_; ($key => ['resetkeys', grep { $_ ne $key } @kinds]) }
        @kinds);

sub allow { redis_cmd('ACL', 'SETUSER', 'api', 'reset', @rights, @_) }

allow();
$gateway = Gateway->new(redis => "user=api password_file=$secret",
                        log_level => 'notice');
@root = (bearer => $gateway->root);

my %done;
%refused = ();

for my $change (all_to(\$made)) {

    my ($name, $do) = @$change;

    for my $right (sort keys %without) {
        flush();
        redis_cmd('SCRIPT', 'FLUSH');
        $made = $gateway->create('acme', 'dev');
        change($made, @{ $changes[3] }) if $name eq 'activate';

        allow(@{ $without{$right} });
        my $before = redis_cmd('DEBUG', 'DIGEST');
        my $status = $do->();
        my $same = redis_cmd('DEBUG', 'DIGEST') eq $before;
        allow();

        if ($status =~ /^20[014]$/) {
            $done{$right}++;
            next;
        }

        $refused{$right}++;
        ok($status == 503 && ($same || redis_is_6()),
           "$name without $right: refused as a whole, but by Redis 6")
            or diag("status $status, ", $same ? 'unchanged' : 'changed');
    }
}

is($done{nothing}, 8, 'with all of them everything is done');
is(join(' ', grep { !$refused{$_} } sort keys %without),
   join(' ', qw(evalsha info nothing), redis_is_6() ? 'persist' : (),
             qw(subscribe zrangebylex zrevrangebylex)),
   'and each is needed, but for lists, by the cache, or seldom');
redis_cmd('ACL', 'DELUSER', 'api');

$gateway->stop(qr/its user lacks a permission; see ACL SETUSER/);

done_testing();
