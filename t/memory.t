# A failover loses what was confirmed: an edge that knew better lets nobody in
# by what the new primary says, until it is told once more.

use strict;
use warnings;

use Test::More;

use lib 't';
use AccessToken;
use Gateway;
use Metrics;
use RedisServer;

my $lost = qr/redis has lost a change of access token "(\w+)": it tells version (\d+), and (\d+) \((\w+)\) was known; revoke or change it again, or delete it/;

my ($gateway, $edge);

# The answer of an edge: its status and why, and what its cache had to say.

sub get {
    my ($token, $at, @option) = @_;
    my $response = ($at // $gateway)->call(GET => '/', bearer => $token,
                                           @option);

    return join ' ', $response->{status},
                     $response->{headers}{'x-verdict'} // '-',
                     $response->{headers}{'x-cache'} // '-';
}

# Both workers of an edge take the token from its cache: each learns for itself
# that it may.

sub is_cached {
    my ($made, $at) = @_;
    my %worker = $at->connect_workers;

    for my $on (values %worker) {
        Gateway::becomes(sub { get($made->{token}, $at, on => $on)
                               eq '200 active HIT' }) or return 0;
    }

    return 1;
}

sub change {
    my ($made, $method, $below, @body) = @_;
    return $gateway->call($method => "$made->{path}$below",
                          bearer => $gateway->root, @body);
}

sub revoke   { return change($_[0], POST => '/revoke')->{status} }
sub activate { return change($_[0], POST => '/activate')->{status} }
sub rotate   { return change($_[0], POST => '/rotate')->{json}{token} }
sub rename_it { return change($_[0], PATCH => '',
                           json => { name => 'other' })->{status} }
sub delete_it { return change($_[0], DELETE => '')->{status} }

sub losses {
    my ($at) = @_;
    my $text = $at->call(GET => '/status')->{body};
    return Metrics::of_text($text)->{access_token_changes_lost_total};
}

my %see = (http => 'keepalive_requests 100000;',
           location => 'add_header X-Verdict $access_token_verdict always;',
           server => 'location = /status { access_token_status; }');


# A primary and its replica, behind one address.

my $port = Gateway::free_port();
my $primary = RedisServer->new('primary', port => $port);
my $replica = RedisServer->new('replica', of => $port);
my $address = $primary->socket =~ s/[^\/]*\z/at.sock/r;

sub leads_to {
    my ($server) = @_;

    symlink $server->socket, "$address.new" or die "no symlink: $!\n";
    rename "$address.new", $address or die "can't rename: $!\n";
}

leads_to($primary);
$primary->await_replicas(1);

my %at = (address => "unix:$address", cache => 'lease=4s', workers => 2,
          log_level => 'notice', %see);

$gateway = Gateway->new(%at);
$edge = Gateway->new(%at, port => $ENV{TEST_NGINX_MOCK_PORT},
                     dir => "$ENV{TEST_NGINX_SERVROOT}-edge");

my ($revoked, $activated, $deleted, $rotated, $renamed, $quiet, $again, $gone,
    $kept) = map { $gateway->create('acme', '') } 1 .. 9;

is(revoke($activated), 200, 'a token is revoked');

for my $at ($gateway, $edge) {
    ok(is_cached($quiet, $at), 'edges take tokens from their caches');
}


# The replica has all of that, and hears no more.  What is confirmed then it
# will never know.

$primary->await_replicas(1);
$replica->cmd('REPLICAOF', 'NO', 'ONE');

is(revoke($revoked), 200, 'a token is revoked');
is($_->($again), 200, 'and another, more than once')
    for \&revoke, \&activate, \&revoke;
is(revoke($kept), 200, 'and one that is to be kept after all');
is(activate($activated), 200, 'one that was is no longer');
is(delete_it($deleted), 204, 'one is deleted');
is(delete_it($gone), 204, 'and another');
is(rename_it($renamed), 200, 'one is changed');
my $new = rotate($rotated);

for my $at ($gateway, $edge) {
    like(get($revoked->{token}, $at), qr/^401 revoked/, 'edges enforce it');
    like(get($rotated->{token}, $at), qr/^401 unknown/, 'all of it');
    like(get($new, $at), qr/^200/, 'and let in');
}

$primary->kill;
leads_to($replica);

for my $at ($gateway, $edge) {
    ok(is_cached($quiet, $at), 'the replica takes its place');
}

is($replica->cmd('HGET', token_key($revoked->{token}), 's'), 'a',
   'and knows the revoked one as active');

for my $at ($gateway, $edge) {
    my $before = losses($at);

    for (1 .. 2) {
        is(get($revoked->{token}, $at), '401 revoked MISS',
           'what was revoked and lost is refused, each time');
        is(get($deleted->{token}, $at), '401 unknown MISS',
           'what was deleted is');
        is(get($rotated->{token}, $at), '503 unavailable MISS',
           'the secret before a rotation is not let in');
        is(get($new, $at), '503 unavailable MISS', 'nor is the one after');
        is(get($renamed->{token}, $at), '503 unavailable MISS',
           'nor what was changed');
        is(get($activated->{token}, $at), '401 revoked MISS',
           'what is revoked is, though it was activated');
    }

    cmp_ok(losses($at) - $before, '>=', 10, 'they are counted');

    my %said;
    my $log = $at->log;
    push @{ $said{$1} }, $4 while $log =~ /$lost/g;

    is_deeply(\%said, { $revoked->{id} => ['revoked'],
                        $deleted->{id} => ['deleted'],
                        $rotated->{id} => ['rotated'],
                        $renamed->{id} => ['changed'],
                        $activated->{id} => ['changed'] },
              'each is logged once');
}

my ($id, $tells, $known) = $gateway->log =~ $lost;
cmp_ok($tells, '<', $known, 'with both versions');

is($gateway->call(GET => '/api/self', bearer => $revoked->{token})->{status},
   401, 'the API takes no such token either');


# A reload forgets nothing.

$edge->reload;
ok(is_cached($quiet, $edge), 'after a reload');
is(get($revoked->{token}, $edge), '401 revoked MISS', 'it is known still');


# An edge that did not know has nothing else to believe.

my $stranger = Gateway->new(%at, port => Gateway::free_port(),
                            dir => "$ENV{TEST_NGINX_SERVROOT}-stranger");
like(get($revoked->{token}, $stranger), qr/^200/,
     'an edge that did not know lets it in');


# What is said once more is believed.

is(revoke($revoked), 200, 'it is revoked once more');
is(delete_it($deleted), 204, 'and deleted');
is(rename_it($renamed), 200, 'and changed');
is(activate($activated), 200, 'and activated');
my $third = rotate($rotated);

is(revoke($again), 200, 'one is revoked once more,');
is(activate($again), 200, 'and activated');
is(rename_it($gone), 200, 'and one that was deleted is kept');
is(activate($kept), 200, 'one is activated that Redis never knew revoked');

for my $at ($gateway, $edge, $stranger) {
    ok(is_cached($kept, $at),
       'so it is let in where its revocation was known');
    ok(is_cached($again, $at), 'what was lost and is activated is let in');
    like(get($revoked->{token}, $at), qr/^401 revoked/, 'revoked is revoked');
    like(get($deleted->{token}, $at), qr/^401 unknown/, 'deleted is deleted');
    like(get($renamed->{token}, $at), qr/^200/, 'changed is active');
    like(get($activated->{token}, $at), qr/^200/, 'and activated');
    like(get($gone->{token}, $at), qr/^200/, 'and what is kept');
    like(get($third, $at), qr/^200/, 'a new secret is good');
    like(get($rotated->{token}, $at), qr/^401 unknown/, 'the old ones are not');
    is(get($revoked->{token}, $at), '401 revoked HIT', 'and all is cached');
}

my @away = (qr/connection was closed by redis|refused|No such file/, qr/has lost/);

$edge->stop(@away);
$gateway->stop(@away);
$stranger->stop;


# Without a cache nobody tells of changes: what was read is known, and what was
# changed through this nginx.  A record of before comes back as a failover would
# bring it.

flush();
$gateway = Gateway->new(workers => 2, log_level => 'notice', %see);

sub goes_back {
    my ($made, $do) = @_;
    my $key = token_key($made->{token});
    my %record = @{ redis_cmd('HGETALL', $key) };

    $do->();
    redis_cmd('DEL', $key);
    redis_cmd('HSET', $key, %record);
}

my $made = $gateway->create('acme', '');
goes_back($made, sub { revoke($made) });
is(get($made->{token}), '401 revoked BYPASS', 'what the API changed is known');

$made = $gateway->create('acme', '');
goes_back($made, sub { delete_it($made) });
is(get($made->{token}), '401 unknown BYPASS', 'what it deleted');

$made = $gateway->create('acme', '');
goes_back($made, sub { rotate($made) });
is(get($made->{token}), '503 unavailable BYPASS', 'what it rotated');

$made = $gateway->create('acme', '');
goes_back($made, sub {
    redis_cmd('HSET', token_key($made->{token}), 's', 'r', 'v', 2);
    is(get($made->{token}), '401 revoked BYPASS', 'one is read');
});
is(get($made->{token}), '401 revoked BYPASS', 'and known from then on');

$made = $gateway->create('acme', '');
goes_back($made, sub {
    redis_cmd('HSET', token_key($made->{token}), 's', 'r', 'v', 2);
});
is(get($made->{token}), '200 active BYPASS', 'what nobody has heard is not');


# A read that was sent before a change is not taken for a loss of it.

my %worker = $gateway->connect_workers;
my ($slow, $fast) = keys %worker;

$made = $gateway->create('acme', '');
get($made->{token}) for 1 .. 2;
$gateway->call(GET => '/', bearer => $made->{token}, on => $worker{$_})
    for $slow, $fast;

my $before = losses($gateway);

redis_stop();
$gateway->send_request($worker{$slow}, GET => '/', bearer => $made->{token},
                       on => $worker{$slow});
my %other = $gateway->connect_workers;
$gateway->call(GET => '/worker', on => $other{$slow}) for 1 .. 3;
AccessToken::stop($slow);
redis_continue();
redis_cmd('PING') for 1 .. 2;

is($gateway->call(POST => "$made->{path}/revoke", bearer => $gateway->root,
                  on => $worker{$fast})->{status}, 200,
   'a token is revoked while the answer to a look-up is on the way');
kill 'CONT', $slow;

is(Gateway::parse(Gateway::read_one($worker{$slow}))->{status}, 401,
   'it is looked up once more');
is(losses($gateway), $before, 'and nothing is said to be lost');

my @said = $gateway->log =~ /$lost/g;
is(@said / 4, 4, 'nor logged, beside what was');

$gateway->stop(qr/has lost/);


# A primary without replicas refuses a change, and tells nobody that it was made.

$gateway = Gateway->new(cache => 'lease=300ms', workers => 1,
                        log_level => 'notice', %see);

my %refused = (
    revoke => \&revoke,
    rename => \&rename_it,
    delete => \&delete_it,
    rotate => sub { change($_[0], POST => '/rotate')->{status} },
    extend => sub {
        change($_[0], PATCH => '',
               json => { expires_at => Gateway::in_days(60) })->{status};
    },
);

for my $name (sort keys %refused) {
    my $made = $gateway->create('acme', '');
    is(rename_it($made), 200, "before: $name");

    redis_cmd('CONFIG', 'SET', 'min-replicas-to-write', 1);
    is($refused{$name}->($made), 503, "$name is refused");
    redis_cmd('CONFIG', 'SET', 'min-replicas-to-write', 0);

    ok(Gateway::becomes(sub { get($made->{token}) eq '200 active HIT' }),
       'and the token is let in as before');
}

$made = $gateway->create('acme', '');
is(revoke($made), 200, 'a token is revoked');
redis_cmd('CONFIG', 'SET', 'min-replicas-to-write', 1);
is(activate($made), 503, 'activate is refused');
redis_cmd('CONFIG', 'SET', 'min-replicas-to-write', 0);
ok(Gateway::becomes(sub { get($made->{token}) =~ /^401 revoked HIT/ }),
   'and the token stays revoked');
is(losses($gateway), 0, 'and nothing is said to be lost');

$gateway->stop(qr/NOREPLICAS/);

done_testing();
