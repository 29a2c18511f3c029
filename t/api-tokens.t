# A token's life: created, used, looked at, changed, revoked, activated,
# rotated, deleted, and all of it once more.  At both levels.

use strict;
use warnings;

use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new;
my @root = (bearer => $gateway->root);

sub root { return $gateway->call(@_, @root) }

# what the edge says to a token
sub edge { return $gateway->call(GET => '/', bearer => $_[0])->{status} }

sub status_of { return root(GET => $_[0])->{json}{status} }

# a token and its path
sub made {
    my ($group, %member) = @_;
    my $made = $gateway->create('acme', $group, %member);

    return ($made->{token}, $made->{path}, $made);
}

# an object without the token, which is only in answers of create and rotate
sub without_token {
    my %object = %{ $_[0] };
    delete @object{qw(token path)};
    return \%object;
}

my $day = Gateway::in_days(30);


for my $group ('', 'dev') {
    my $level = $group eq '' ? 'organization' : 'group';
    my ($token, $path, $made) = made($group, name => 'pipeline');
    my ($response, $again);

    # create, use, look at

    my $let_in = $gateway->call(GET => '/', bearer => $token);
    is($let_in->{status}, 200, "a new token of the $level is let in");
    is($let_in->{headers}{'x-token'}, $made->{id}, 'the edge knows its id');
    is($let_in->{headers}{'x-user'}, $made->{technical_user}{id},
       'and its technical user');

    $response = root(GET => $path);
    is($response->{status}, 200, 'it can be looked at');
    is_deeply($response->{json}, without_token($made),
              'and is what create has answered, but for the token');

    # change

    $response = root(PATCH => $path, json => { name => 'renamed' });
    is($response->{status}, 200, 'it can be renamed');
    is_deeply($response->{json},
              { %{ without_token($made) }, name => 'renamed' },
              'which changes its name alone');
    is_deeply(root(GET => $path)->{json}, $response->{json}, 'and stays so');

    $response = root(PATCH => $path, json => { description => "line\none",
                                               expires_at => $day },
                     type => 'application/merge-patch+json');
    is("$response->{status} $response->{json}{name} "
       . "$response->{json}{description} $response->{json}{expires_at}",
       "200 renamed line\none $day",
       'several members can be changed at once, by a merge patch too');

    $response = root(PATCH => $path, json => { description => undef });
    is($response->{json}{description}, undef,
       'a description can be taken away');

    my $long = "\x{1f511}" x 100;
    root(PATCH => $path, json => { name => $long, description => 'd' x 255 });
    $response = root(PATCH => $path, json => { name => 'short' });
    is("$response->{json}{name} " . length $response->{json}{description},
       'short 255', 'nothing is left of a longer name');

    is(edge($token), 200, 'a changed token is let in');

    # revoke and activate, each twice

    $response = root(POST => "$path/revoke");
    is($response->{status}, 200, 'it can be revoked');
    is($response->{json}{status}, 'revoked', 'and is then');
    is($response->{json}{revoked_by}, 'root', 'by whom');
    like($response->{json}{revoked_at}, qr/^20\d\d-\d\d-\d\dT[\d:]{8}Z$/,
         'and when');
    ok(!exists $response->{json}{token}, 'without the token');
    is(edge($token), 401, 'a revoked token is not let in');

    $again = root(POST => "$path/revoke", json => {});
    is($again->{status}, 200, 'it can be revoked again');
    is_deeply($again->{json}, $response->{json}, 'which changes nothing');

    $response = root(POST => "$path/rotate");
    is($response->{status}, 409, 'a revoked token is not rotated');
    like($response->{json}{detail}, qr/revoked: activate it first/,
         'and is told why');
    ok(!exists $response->{json}{token}, 'no token is given away');
    is(edge($token), 401, 'and it stays as it was');

    $response = root(POST => "$path/activate");
    is($response->{status}, 200, 'it can be activated');
    is(join(' ', map { $_ // 'null' }
            @{ $response->{json} }{qw(status revoked_at revoked_by)}),
       'active null null', 'and is as if it had not been revoked');
    is(edge($token), 200, 'it is let in again');

    $again = root(POST => "$path/activate");
    is($again->{status}, 200, 'it can be activated again');
    is_deeply($again->{json}, $response->{json}, 'which changes nothing');

    # rotate, at once

    $response = root(POST => "$path/rotate");
    my $second = $response->{json}{token};

    is($response->{status}, 200, 'it can be rotated');
    is_deeply(without_token($response->{json}), $again->{json},
              'its id, its technical user and all else stay');
    isnt($second, $token, 'the token is another');
    is(edge($second), 200, 'the new one is let in');
    is(edge($token), 401, 'the old one is not');

    # rotate, with a grace

    $response = root(POST => "$path/rotate", json => { grace_seconds => 60 });
    my $third = $response->{json}{token};

    is(edge($third), 200, 'with a grace, the new one is let in');
    is(edge($second), 200, 'and the old one too');
    is(edge($token), 401, 'but not the one before');

    $response = root(POST => "$path/rotate", json => { grace_seconds => 60 });
    my $fourth = $response->{json}{token};

    is(join(' ', map { edge($_) } $fourth, $third, $second, $token),
       '200 200 401 401', 'a second rotation ends the one before the last');

    root(POST => "$path/revoke");
    is(join(' ', map { edge($_) } $fourth, $third), '401 401',
       'to revoke takes both');
    root(POST => "$path/activate");
    is(join(' ', map { edge($_) } $fourth, $third), '200 200',
       'to activate brings both back');

    $response = root(POST => "$path/rotate", json => { grace_seconds => 1 });
    my $fifth = $response->{json}{token};
    ok(Gateway::becomes(sub { edge($fourth) == 401 }),
       'the grace ends by itself');
    is(edge($fifth), 200, 'and not for the new one');

    # delete

    $response = root(DELETE => $path);
    is($response->{status}, 204, 'it can be deleted');
    is($response->{body}, '', 'which is answered without a body');
    ok(!exists $response->{headers}{'content-type'}, 'and without a type');
    is(edge($fifth), 401, 'it is not let in');

    is(join(' ', map { root(@$_)->{status} }
            [DELETE => $path], [GET => $path], [POST => "$path/revoke"],
            [POST => "$path/activate"], [POST => "$path/rotate"],
            [PATCH => $path, json => { name => 'x' }]),
       '404 404 404 404 404 404', 'after that it is not there, for anything');
}


# Expiry.

{
    my ($token, $path) = made('', expires_at => Gateway::in_days(1));

    # its time comes
    redis_cmd('HSET', token_key($token), 'e', time - 1);

    is(edge($token), 401, 'an expired token is not let in');
    is(status_of($path), 'expired', 'and is seen to be expired');

    my $response = root(POST => "$path/activate");
    is($response->{status}, 409, 'it is not activated');
    like($response->{json}{detail}, qr/expired.*later expires_at/,
         'and is told what would help');
    is(root(POST => "$path/rotate")->{status}, 409, 'nor rotated');

    is(root(POST => "$path/revoke")->{status}, 200, 'it can be revoked');
    is(status_of($path), 'expired', 'which does not show: expired comes first');

    is(root(PATCH => $path, json => { expires_at => $day })->{status}, 200,
       'it can be extended');
    is(status_of($path), 'revoked', 'and then it shows');
    is(edge($token), 401, 'a revoked token that was extended stays out');
    is(root(POST => "$path/activate")->{status}, 200,
       'now it can be activated');
    is(edge($token), 200, 'and is let in');
}

{
    my ($token, $path) = made('', expires_at => Gateway::in_days(1));
    my $ttl = redis_cmd('TTL', token_key($token));

    ok(abs($ttl - 31 * 86400) < 60, 'a record stays 30 days after the expiry');

    root(PATCH => $path, json => { expires_at => $day });
    $ttl = redis_cmd('TTL', token_key($token));
    ok(abs($ttl - 60 * 86400) < 60, 'also after one that was changed');
}


# What a token does is done in its name.

{
    my ($admin, undef, $made) = made('dev', admin => JSON::PP::true);
    my ($token, $path) = made('dev');
    my $response = $gateway->call(POST => "$path/revoke", bearer => $admin);

    is($response->{json}{revoked_by}, "token:$made->{id}",
       'an admin token revokes in its own name');

    $response = $gateway->call(POST => $path =~ s{/[^/]+$}{}r, bearer => $admin,
                               json => { name => 'n', expires_at => $day });
    is($response->{json}{created_by}, "token:$made->{id}",
       'and creates in it');
    is($gateway->call(POST => "$made->{path}/revoke", bearer => $admin)
       ->{status}, 200, 'it can revoke itself');
    is($gateway->call(GET => $path, bearer => $admin)->{status}, 401,
       'and is nobody then');
}


# Names come back as they went in.

for my $name ('"quoted"', 'back\\slash', '<b>&amp;</b>', "\x{202e}right",
              'a/b?c=d#e', '%00%0a', '${x} $access_token_id', "'; --",
              "\x{10ffff}", 'x' x 64, 'x' x 65, "x" x 63 . "\x{1f511}y") {
    my (undef, $path, $made) = made('', name => $name, description => $name);
    my $seen = root(GET => $path)->{json};

    ok($made->{name} eq $name && $seen->{name} eq $name
       && $seen->{description} eq $name,
       'a strange name is kept as it is: '
       . join ' ', map { sprintf '%x', ord } split //, substr $name, 0, 8);
}

$gateway->stop;

done_testing();
