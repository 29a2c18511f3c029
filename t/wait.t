# wait= of access_token_redis: a change is confirmed when replicas have it.  If
# they do not, the answer is 202: made, and to be repeated.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use lib 't';
use AccessToken;
use Gateway;
use RedisServer;

my $port = $ENV{TEST_NGINX_MOCK_PORT};
my $primary = RedisServer->new('primary', port => $port);
my $replica = RedisServer->new('replica', of => $port);

$primary->await_replicas(1);

my ($gateway, @root);

sub begin {
    my ($wait, %option) = @_;

    $gateway = Gateway->new(address => $primary->address, log_level => 'notice',
                            redis => "timeout=2s wait=$wait", %option);
    @root = (bearer => $gateway->root);
}

# What can be done to a token: a name, its arguments, the answer.

my %change = (
    patch    => ['PATCH', '', 200, json => { name => 'other' }],
    revoke   => ['POST', '/revoke', 200],
    activate => ['POST', '/activate', 200],
    rotate   => ['POST', '/rotate', 200, json => {}],
    delete   => ['DELETE', '', 204],
);

sub change {
    my ($made, $name) = @_;
    my ($method, $below, undef, @body) = @{ $change{$name} };

    return $gateway->call($method => "$made->{path}$below", @root, @body);
}

sub create {
    return $gateway->call(POST => '/api/organizations/acme/access-tokens',
                          @root, json => { name => 'a', expires_at =>
                                           Gateway::in_days(1) });
}

sub edge {
    my ($token) = @_;
    return $gateway->call(GET => '/', bearer => $token)->{status};
}

# The replica has all, and hears no more until it goes on.

sub stop_replica {
    $primary->await_replicas(1);
    $replica->stop;
}

sub go_on {
    $replica->go_on;
    $primary->await_replicas(1);
}


# All is well.

begin('1:5s');

my $created = create();
is($created->{status}, 201, 'with its replica a create is confirmed');
ok(!exists $created->{json}{replicated}, 'and looks as ever');

my $made = { %{ $created->{json} }, path => $created->{headers}{location} };

for my $name (qw(patch revoke activate rotate delete)) {
    my $answer = change($made, $name);
    is($answer->{status}, $change{$name}[2], "so is $name");
    ok(!exists(($answer->{json} // {})->{replicated}), 'which looks as ever');
}

is(change($made, 'delete')->{status}, 404, 'and that there is none any more');

$gateway->stop;


# The replica hears nothing.

begin('1:300ms');

# Until it is confirmed, as a caller does who repeats it.

sub confirmed {
    my ($made, $name, $status) = @_;
    return Gateway::becomes(sub { change($made, $name)->{status} eq $status });
}

sub made {
    my $made;
    Gateway::becomes(sub { $made = create(); $made->{status} eq 201 });
    return { %{ $made->{json} }, path => $made->{headers}{location} };
}

my @made = map { made() } 1 .. 4;
stop_replica();

my $since = time;
$created = create();
cmp_ok(time - $since, '>', 0.25, 'without its replica it is waited for');
is($created->{status}, 202, 'a create is made and not confirmed');
is($created->{reason}, 'Accepted', 'which has a name');
ok(exists $created->{json}{replicated} && !$created->{json}{replicated},
   'and says so');
is($created->{headers}{location},
   "/api/organizations/acme/access-tokens/$created->{json}{id}",
   'with its location');
like($created->{headers}{'content-type'}, qr{^application/json}, 'and type');
is(edge($created->{json}{token}), 200, 'the token is there, and good');

my %left = (patch => 'name', revoke => 'status', activate => 'status');
my %shows = (patch => 'other', revoke => 'revoked', activate => 'active');

for my $name (qw(patch revoke activate)) {
    my $answer = change($made[0], $name);

    is($answer->{status}, 202, "$name is made and not confirmed");
    is($answer->{json}{$left{$name}}, $shows{$name}, 'the answer shows it');
    ok(!$answer->{json}{replicated}, 'and that it is not replicated');
    is($gateway->call(GET => $made[0]{path}, @root)->{json}{$left{$name}},
       $shows{$name}, 'it is there');
    is(edge($made[0]{token}), $name eq 'revoke' ? 401 : 200, 'and enforced');
}

my $rotated = change($made[1], 'rotate');
is($rotated->{status}, 202, 'rotate is made and not confirmed');
is(edge($made[1]{token}), 401, 'the secret before is no longer good');
is(edge($rotated->{json}{token}), 200, 'the new one is there, and good');

my $deleted = change($made[2], 'delete');
is($deleted->{status}, 202, 'delete is made and not confirmed');
is($deleted->{body}, qq({"id":"$made[2]{id}","replicated":false}\n),
   'and says so');
is($gateway->call(GET => $made[2]{path}, @root)->{status}, 404, 'it is gone');
is(edge($made[2]{token}), 401, 'and enforced');


# Repeated, nothing is changed any more; but it is not confirmed for that.

for my $name (qw(revoke revoke activate activate delete delete)) {
    is(change($made[3], $name)->{status}, 202, "$name, done before or not");
}

like($gateway->log, qr/was changed, but 0 of 1 replicas of redis had it/,
     'which is logged');

go_on();

ok(confirmed($made[0], $_, 200), "confirmed when the replica has $_")
    for qw(revoke activate);
ok(confirmed($made[3], 'delete', 404), 'and delete');


# Redis does not know the script: what was asked behind it says nothing.

$made = made();
stop_replica();
$primary->cmd('SCRIPT', 'FLUSH');
is(change($made, 'revoke')->{status}, 202,
   'a script that is sent once more is waited for once more');
go_on();
$primary->cmd('SCRIPT', 'FLUSH');
ok(confirmed($made, 'activate', 200), 'until the replica has it');


# Many at once share what they wait for.

@made = map { made() } 1 .. 20;
stop_replica();

my @clients = map { $gateway->connect } @made;
$since = time;
$gateway->send_request($clients[$_], POST => "$made[$_]{path}/revoke", @root)
    for 0 .. $#made;
my @status = map { Gateway::parse(Gateway::read_all($_))->{status} } @clients;

is("@status", join(' ', (202) x 20), 'twenty at once are all told');
cmp_ok(time - $since, '<', 3, 'and not one after the other');
go_on();


# Without the right.

$made = made();
$primary->cmd('ACL', 'SETUSER', 'default', '-wait');
is(change($made, 'revoke')->{status}, 202, 'without the right it is not known');
is(edge($made->{token}), 401, 'but made');
$primary->cmd('ACL', 'SETUSER', 'default', '+wait');
ok(confirmed($made, 'revoke', 200), 'with it, it is');

$gateway->stop(qr/NOPERM.*'wait'.*lacks a permission/);


# A long wait holds up nobody else.

begin('1:5s');
$made = made();
my $other = made();
stop_replica();

my $client = $gateway->connect;
$since = time;
$gateway->send_request($client, POST => "$made->{path}/revoke", @root);
ok(Gateway::becomes(sub { edge($made->{token}) == 401 }),
   'what is waited for is enforced');
cmp_ok(time - $since, '<', 4, 'at once');

my ($asked, $slowest) = (0, 0);

while (time - $since < 1.5) {
    my $before = time;
    is(edge($other->{token}), 200, 'a token is looked up') if $asked++ == 0;
    edge($other->{token});
    my $took = time - $before;
    $slowest = $took if $took > $slowest;
}

cmp_ok($slowest, '<', 3, "meanwhile $asked look-ups do not wait");
is(Gateway::parse(Gateway::read_all($client))->{status}, 202,
   'it is answered in the end');
cmp_ok(time - $since, '>', 4.9, 'after more than the timeout of a command');


# The connection breaks while it waits, or the client goes.

sub waiting {
    my ($id) = $primary->cmd('CLIENT', 'LIST') =~ /^id=(\d+) .* cmd=wait /m;
    return $id;
}

$client = $gateway->connect;
$gateway->send_request($client, POST => "$made->{path}/activate", @root);
ok(Gateway::becomes(\&waiting), 'it waits');
$primary->cmd('CLIENT', 'KILL', 'ID', waiting());
is(Gateway::parse(Gateway::read_all($client))->{status}, 202,
   'what was made and lost its connection is not confirmed');
like($gateway->log, qr/was changed, but it is not known which replicas/,
     'which is logged');

ok(Gateway::becomes(sub { change($other, 'patch')->{status} eq 202 }),
   'after a pause there is another connection');

$client = $gateway->connect;
$gateway->send_request($client, POST => "$made->{path}/revoke", @root);
ok(Gateway::becomes(\&waiting), 'it waits');
close $client;
go_on();
is(change($made, 'revoke')->{status}, 200,
   'a client that goes leaves nothing behind');

$gateway->stop(qr/connection was closed by redis/);


# Fewer than are wanted, and none.

begin('2:1s');
is(create()->{status}, 202, 'one replica of two is too few');
like($gateway->log, qr/but 1 of 2 replicas of redis had it after 1000 ms/,
     'which is logged');
$gateway->stop;

$replica->kill;
begin('1:100ms');
is(create()->{status}, 202, 'and so is none');
$gateway->stop;

done_testing();
