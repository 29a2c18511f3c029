# What Redis holds of a token besides what the API shows: when it drops the
# record, and how often the record was changed.

use strict;
use warnings;

use List::Util qw(max);
use Test::More;
use Time::HiRes qw(time);

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(http => 'access_token_max_lifetime off;');
my @root = (bearer => $gateway->root);
my $month = 30 * 86400;

# What an answer's status is, and what Redis says of the record then.

sub patched {
    my ($made, %member) = @_;
    my $response = $gateway->call(PATCH => $made->{path}, @root,
                                  json => \%member);

    return "$response->{status} " . drops_at($made);
}

# When Redis drops it, in seconds since the epoch, -1 for never.

sub drops_at {
    my ($made) = @_;
    my $ttl = redis_cmd('PTTL', token_key($made->{token}));

    return $ttl < 0 ? $ttl : int(time + $ttl / 1000 + 0.5);
}

sub version {
    my ($made) = @_;
    return redis_cmd('HGET', token_key($made->{token}), 'v');
}


# When it is dropped: the date is 2100-01-01, and all that changes is the date.

my $date = '2100-01-01';
my $then = 4102444800;
my $made = $gateway->create('acme', '', expires_at => $date);

is(drops_at($made), $then + $month, 'a record goes 30 days after the expiry');
is(patched($made, name => 'n'), '200 ' . ($then + $month),
   'another name does not change that');
is(patched($made, expires_at => '2100-01-02'),
   '200 ' . ($then + 86400 + $month), 'another date does');
is(patched($made, expires_at => undef), '200 -1',
   'a token that was made to last for ever does so in Redis too');
is(patched($made, description => 'd'), '200 -1', 'and goes on doing so');
is($gateway->call(GET => '/', bearer => $made->{token})->{status}, 200,
   'it is let in');
is(patched($made, expires_at => $date), '200 ' . ($then + $month),
   'one that was not to last for ever any more does not');

my $lasting = $gateway->create('acme', '', expires_at => undef);

is(drops_at($lasting), -1, 'a token that is made to last for ever does so');
is(patched($lasting, expires_at => $date), '200 ' . ($then + $month),
   'until it is given a date');


# The version: an edge that keeps records tells by it which of two is newer.

# It is the time of the change in ms, or the one before and 1 if that is more.

my @changes = (
    [1, 'a change',               PATCH => '', json => { name => 'm' }],
    [0, 'a change, refused',      PATCH => '', json => { name => '' }],
    [1, 'a revocation',           POST => '/revoke'],
    [0, 'another',                POST => '/revoke'],
    [0, 'a rotation, refused',    POST => '/rotate'],
    [1, 'a change of a revoked',  PATCH => '', json => { expires_at => undef }],
    [1, 'an activation',          POST => '/activate'],
    [1, 'another',                POST => '/activate'],
    [1, 'a rotation',             POST => '/rotate'],
    [1, 'another',                POST => '/rotate',
        json => { grace_seconds => 60 }],
    [0, 'a look at it',           GET => ''],
);

for my $group ('', 'dev') {
    my $made = $gateway->create('acme', $group);

    is(version($made), 1, 'a record begins with version 1');

    for my $change (@changes) {
        my ($grows, $what, $method, $below, @body) = @$change;
        my ($before, $since) = (version($made), int(time * 1000));

        $gateway->call($method => "$made->{path}$below", @root, @body);

        my $version = version($made);

        if ($grows) {
            my $most = max($before + 1, time * 1000);

            cmp_ok($version, '>', $before, "after $what, its version is above");
            cmp_ok($version, '<=', $most, 'and no later than now');
            cmp_ok($version, '>=', $since - 1000, 'of the change');
        } else {
            is($version, $before, "after $what, its version is as before");
        }
    }

    my $later = int((time + 3600) * 1000);
    redis_cmd('HSET', token_key($made->{token}), 'v', $later);
    $gateway->call(POST => "$made->{path}/revoke", @root);
    is(version($made), $later + 1, 'where a clock was fast, it grows by 1');

    redis_cmd('HSET', token_key($made->{token}), 'v', '99999999999999');
    $gateway->call(POST => "$made->{path}/activate", @root);
    is(version($made), '100000000000000', 'and is a number of all its digits');
}

$gateway->stop;

done_testing();
