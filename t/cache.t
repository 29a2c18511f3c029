# The cache: what was looked up is not asked for again, what changes is seen by
# the next request, and $access_token_cache tells which it was.

use strict;
use warnings;
use utf8;

use Encode ();
use POSIX ();
use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use Gateway;

flush();

my $variables = join '|', map { "\$access_token_$_" }
    qw(id name organization group level role technical_user expires verdict);

my $gateway = Gateway->new(workers => 2, log_level => 'notice',
                           http => 'keepalive_requests 10000;',
                           location => "add_header X-All \"$variables\";");
my (%worker, @on);

# How a request with this token is answered, and from where.

sub get {
    my ($token, %option) = @_;
    my $response = $gateway->call(GET => '/', bearer => $token, %option);

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

# How many records Redis was asked for since the last time.

my $asked = 0;

sub asked {
    my ($now) = redis_cmd('INFO', 'commandstats')
                =~ /^cmdstat_hmget:calls=(\d+)/m;
    my $before = $asked;

    $asked = $now // 0;

    return $asked - $before;
}

# What was changed until now has come to all workers: it lies in their sockets,
# and they read all of these before they read what is sent next.

sub settle {
    redis_cmd('PING');
    $gateway->call(GET => '/worker', on => $_) for @on;
}

sub new_token {
    my $token = put_token(@_);

    settle();

    return $token;
}

# Waits until each worker takes tokens from the cache.

sub ready {
    my $token = put_token();

    %worker = $gateway->connect_workers;
    @on = values %worker;

    for my $on (@on) {
        Gateway::becomes(sub { get($token, on => $on) eq '200 HIT' })
            or BAIL_OUT('a worker takes nothing from the cache');
    }

    settle();
    asked();
}

sub configure {
    $gateway->reload(@_);
    ready();
}


# Off.

my $token = put_token();
asked();

is(get($token), '200 BYPASS', 'without a cache it is passed by') for 1 .. 3;
is(asked(), 3, 'and Redis is asked each time');


# On.

configure(cache => 'max_age=60s lease=10s');

$token = new_token();
is(get($token), '200 MISS', 'a token that was not asked for yet');
is(asked(), 1, 'is looked up');
is(get($token, on => $_), '200 HIT', 'and is known to each worker') for @on, @on;
is(asked(), 0, 'which ask Redis for nothing');

is(get(undef), '401 -', 'without a token nothing is said of the cache');
is(get('rubbish'), '401 -', 'nor with one that is malformed');

my $id = token_id($token);
is(get(token(id => $id), on => $_), '401 HIT',
   'a wrong secret of a known id is refused from the cache') for @on;
is(get($token), '200 HIT', 'which the right one does not feel');
is(asked(), 0, 'Redis is not asked for that');

my $unknown = token();
is(get($unknown), '401 MISS', 'an id that is not in Redis');
is(get($unknown, on => $_), '401 HIT', 'is remembered') for @on;
is(get(token(id => token_id($unknown))), '401 HIT', 'for whatever secret');
is(asked(), 1, 'and asked for once');

put_token(token => $unknown);
ok(Gateway::becomes(sub { get($unknown) =~ /^200/ }, 1),
   'as soon as there is such a token it is let in');

my $revoked = new_token(status => 'r');
is(get($revoked), '401 MISS', 'a revoked token');
is(get($revoked), '401 HIT', 'is refused from the cache, too');


# Changes by the API, made through one worker, are seen by the next request to
# it or another.

my @root = (bearer => $gateway->root);

for my $pair ([0, 0], [0, 1], [1, 0], [1, 1]) {
    my ($by, $at) = map { $on[$_] } @$pair;
    my $who = $by == $at ? 'the same worker' : 'another worker';

    my $made = $gateway->create('acme', '');
    $token = $made->{token};
    settle();

    my $change = sub {
        my ($method, $below, %option) = @_;
        my $response = $gateway->call($method => "$made->{path}$below",
                                      on => $by, @root, %option);

        like($response->{status}, qr/^20[04]/, "$method $below");
        return $response->{json};
    };

    my $cached = sub {
        my ($status) = @_;
        settle();
        get($token, on => $at);
        is(get($token, on => $at), "$status HIT", "it is cached as $status");
    };

    $cached->(200);
    $change->(POST => '/revoke');
    is(get($token, on => $at), '401 MISS', "a revocation is seen by $who");

    $cached->(401);
    $change->(POST => '/activate');
    is(get($token, on => $at), '200 MISS', "and so is an activation by $who");

    my $until = int(time) + 3000;
    $cached->(200);
    $change->(PATCH => '', json => { expires_at =>
        POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $until) });
    like($gateway->call(GET => '/', bearer => $token, on => $at)
                 ->{headers}{'x-all'}, qr/\|$until\|active/,
         "another expiry by $who");

    $cached->(200);
    my $new = $change->(POST => '/rotate')->{token};
    is(get($token, on => $at), '401 MISS', "after a rotation $who refuses");
    like(get($new, on => $at), qr/^200/, 'the old secret and not the new one');

    $token = $new;
    $cached->(200);
    $new = $change->(POST => '/rotate', json => { grace_seconds => 60 })
               ->{token};
    like(get($_, on => $at), qr/^200/, "with a grace $who takes both")
        for $token, $new;
    $cached->(200);

    $token = $new;
    $cached->(200);
    $change->(DELETE => '');
    is(get($token, on => $at), '401 MISS', "a deletion is seen by $who");
    $cached->(401);
}


# A change that is none of the API's is seen as soon as Redis has told.

$token = new_token();
get($token);
redis_cmd('HSET', token_key($token), 's', 'r');
ok(Gateway::becomes(sub { get($token) =~ /^401/ }, 1),
   'a record that someone else has changed is read anew');

redis_cmd('DEL', token_key($token));
ok(Gateway::becomes(sub { get($token, on => $on[1]) eq '401 HIT' }, 1),
   'and so is one that was deleted');

my @tokens = map { new_token() } 1 .. 5;
get($_) for @tokens;
is(get($_), '200 HIT', 'known tokens') for @tokens;
flush();

for my $known (@tokens) {
    ok(Gateway::becomes(sub { get($known, on => $on[0]) =~ /^401/ }, 1),
       'are void when Redis is emptied');
}


# Expiry goes by the clock, not by what is asked.

# Another one if a busy machine has let it expire before that was asked.

my ($got, %seen);

for (1 .. 5) {
    my $expires = int(time) + 2;

    $token = new_token(expires => $expires);
    get($token);
    $got = get($token);
    last if time < $expires;
}

is($got, '200 HIT', 'a token that will expire soon');
$seen{$got}++;
asked();

ok(Gateway::becomes(sub { my $got = get($token); $seen{$got}++;
                          $got =~ /^401/ }, 4),
   'expires');
is(join(', ', sort keys %seen), '200 HIT, 401 HIT', 'in the cache');
is(asked(), 0, 'without a question to Redis');

my $new;

for (1 .. 5) {
    my $made = $gateway->create('acme', '');

    $token = $made->{token};
    get($token);

    my $until = int(time) + 2;
    $new = $gateway->call(POST => "$made->{path}/rotate", @root,
                          json => { grace_seconds => 2 })->{json}{token};
    settle();
    get($new);
    $got = get($token);
    last if time < $until;
}

is($got, '200 HIT', 'a secret in its grace');
asked();
ok(Gateway::becomes(sub { get($token) eq '401 HIT' }), 'ends with it');
is(get($new), '200 HIT', 'and the new one does not');
is(asked(), 0, 'also without a question to Redis');


# The same from the cache as from Redis, whatever the length of the texts: they
# are in one place up to 84 bytes, in two up to 336, in three above.

my ($long, $four) = ('o' x 64, "\x{1F511}");

for my $case (['acme', '', 'n'], ['acme', 'dev', 'n', admin => JSON::PP::true],
              ['acme', '', 'n' x 80], ['acme', '', 'n' x 81],
              [$long, 'g' x 64, $four x 52], [$long, 'g' x 64, $four x 52 . 'n'],
              [$long, 'g' x 64, $four x 100, admin => JSON::PP::true],
              [$long, '', $four x 100])
{
    my ($organization, $group, $name, @more) = @$case;
    my $made = $gateway->create($organization, $group, name => $name, @more);
    my $bytes = length($organization) + length($group)
                + length(Encode::encode_utf8($name));
    settle();

    my @answers = map { $gateway->call(GET => '/', bearer => $made->{token},
                                       on => $on[$_ % 2]) } 0 .. 2;

    is(join(' ', map { $_->{headers}{'x-cache'} } @answers), 'MISS HIT HIT',
       "a record with texts of $bytes bytes");

    my ($from_redis, @cached) = map { $_->{headers}{'x-all'} } @answers;
    my $role = ($group eq '' ? 'organization' : 'group')
               . (@more ? '_admin' : '_user');

    like(Encode::decode_utf8($from_redis),
         qr/^$made->{id}\|\Q$name\E\|\Q$organization|$group\E\|
            [a-z]+\|$role\|tu_\w+\|\d+\|active$/x,
         'what is said of it');
    is($_, $from_redis, 'is the same from the cache') for @cached;
}


# negative

configure(cache => 'negative=2s lease=10s');

$unknown = token();
is(get($unknown), '401 MISS', 'an unknown id');
is(get($unknown), '401 HIT', 'is remembered');
asked();
ok(Gateway::becomes(sub { get($unknown) eq '401 MISS' }), 'for some time');
is(asked(), 1, 'and then it is asked for again');

configure(cache => 'negative=0 lease=10s');

is(get($unknown), '401 MISS', 'or not at all') for 1 .. 3;
is(asked(), 3, 'and asked for each time');


# max_age: SWAPDB is not announced.

configure(cache => 'max_age=3s lease=10s');

$token = put_token();
redis_cmd('COPY', token_key($token), token_key($token), 'DB', 1);
redis_cmd('EVAL', "redis.call('SELECT', 1) "
                  . "return redis.call('HSET', KEYS[1], 's', 'r')",
          1, token_key($token));
settle();
is(get($token), '200 MISS', 'a token');
is(get($token), '200 HIT', 'that is cached');
redis_cmd('SWAPDB', 0, 1);
is(get($token), '200 HIT', 'and is another one without a word of Redis');
ok(Gateway::becomes(sub { get($token) =~ /^401/ }),
   'is found out about when max_age is over');


# One flight.

$gateway->stop;

$gateway = Gateway->new(cache => 'lease=10s', log_level => 'notice');
$token = put_token();
Gateway::becomes(sub { get($token) eq '200 HIT' }) or BAIL_OUT('no cache');

my @sockets = map { $gateway->connect } 1 .. 64;
@on = ($gateway->connect);
$token = new_token();
asked();

$gateway->halt;
$gateway->send_request($_, GET => '/', bearer => $token) for @sockets;
$gateway->go_on;

my @answers = map { Gateway::parse(Gateway::read_all($_)) } @sockets;
is(scalar(grep { $_->{status} eq '200' } @answers), 64,
   '64 requests at once, with a token that is not cached');
is(scalar(grep { $_->{headers}{'x-cache'} eq 'MISS' } @answers), 64,
   'do not find it');
is(asked(), 1, 'and share one look-up');
is(get($token), '200 HIT', 'that finds its way into the cache');

$gateway->stop;

done_testing();
