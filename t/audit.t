# The audit: what was done to which token, by whom and from where, in Redis.

use strict;
use warnings;

use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(
    api => 'access_token_api_identity $http_x_user $http_x_roles;');
my @root = (bearer => $gateway->root);

# the entries of an organization, oldest first: "action group id actor address"

sub audit {
    my ($made) = @_;
    my $tag = substr $made->{id}, 0, 4;
    my $entries = redis_cmd('XRANGE', "at:a:{$tag}:$made->{organization}",
                            '-', '+');

    return map {
        my %entry = @{ $_->[1] };
        join ' ', map { $entry{$_} eq '' ? '-' : $entry{$_} }
                  qw(action group id actor address);
    } @$entries;
}

my $made = $gateway->create('acme', '');
my ($id, $path) = @{$made}{qw(id path)};

is_deeply([audit($made)], ["create - $id root 127.0.0.1"],
          'a token that is made is written down');

$gateway->call(GET => $path, @root);
$gateway->call(GET => '/api/organizations/acme/access-tokens', @root);
is(scalar(audit($made)), 1, 'looking is not');

$gateway->call(PATCH => $path, @root, json => { name => 'n' });
$gateway->call(POST => "$path/revoke", @root);
$gateway->call(POST => "$path/activate", @root);
$gateway->call(POST => "$path/rotate", @root);
$gateway->call(DELETE => $path, @root);

is_deeply([audit($made)],
          [map { "$_ - $id root 127.0.0.1" }
           qw(create change revoke activate rotate delete)],
          'each change is, in its order');

# what changes nothing

my $before = audit($made);

my $second = $gateway->create('acme', '');
$gateway->call(POST => "$second->{path}/revoke", @root) for 1 .. 3;
$gateway->call(POST => "$second->{path}/activate", @root) for 1 .. 3;
$gateway->call(POST => "$second->{path}/activate", @root);
is(scalar(audit($made)) - $before, 3, 'a change that was repeated is one entry');

$before = audit($made);
$gateway->call(DELETE => $path, @root);
$gateway->call(POST => "$path/revoke", @root);
$gateway->call(PATCH => $second->{path}, @root, json => { name => '' });
$gateway->call(POST => "$second->{path}/revoke", bearer => token());
$gateway->call(POST => "$second->{path}/revoke", bearer => $made->{token});
$gateway->call(POST => "$second->{path}/revoke");
is(scalar(audit($made)), $before, 'what was refused is no entry');

# who

my $admin = $gateway->create('acme', '', admin => JSON::PP::true);
my $mine = $gateway->create('acme', 'dev');
$before = audit($made);

$gateway->call(POST => "$second->{path}/revoke", bearer => $admin->{token});
$gateway->call(POST => "$mine->{path}/revoke",
               headers => ['X-User', "al ice\xc3\xa9",
                           'X-Roles', 'group_admin:acme/dev',
                           'X-Requested-With', 'x']);
$gateway->call(POST => "$mine->{path}/activate",
               headers => ['X-User', 'x' x 123,
                           'X-Roles', 'group_admin:acme/dev',
                           'X-Requested-With', 'x']);
$gateway->call(DELETE => '/api/self', bearer => $mine->{token});

is_deeply([(audit($made))[$before .. $before + 3]],
          ["revoke - $second->{id} token:$admin->{id} 127.0.0.1",
           "revoke dev $mine->{id} user:al ice\xc3\xa9 127.0.0.1",
           "activate dev $mine->{id} user:" . 'x' x 123 . ' 127.0.0.1',
           "delete dev $mine->{id} token:$mine->{id} 127.0.0.1"],
          'an entry says who: a token, a user, the token itself');

# each organization has its own

my $other = $gateway->create('umbrella', 'dev');
is_deeply([audit($other)], ["create dev $other->{id} root 127.0.0.1"],
          'another organization has an audit of its own');

# how much is kept: Redis drops the oldest in whole nodes of its stream, of 100
# entries where nothing else is configured

my $stream = 'at:a:{' . substr($other->{id}, 0, 4) . '}:umbrella';
redis_cmd('EVAL', <<'END', 1, $stream, 10_300);
    for i = 1, tonumber(ARGV[1]) do
        redis.call('XADD', KEYS[1], '*', 'action', 'old ' .. i)
    end
END

$gateway->call(POST => "$other->{path}/revoke", @root);
my $kept = redis_cmd('XLEN', $stream);

cmp_ok($kept, '<=', 10_200, 'the audit does not grow beyond all bounds');
cmp_ok($kept, '>=', 10_000, 'but 10,000 entries are kept');

my ($newest) = @{ redis_cmd('XREVRANGE', $stream, '+', '-', 'COUNT', 1) };
is("@{ $newest->[1] }[0 .. 3]", "action revoke id $other->{id}",
   'the newest ones');

$gateway->stop;

done_testing();
