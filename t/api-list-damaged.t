# Lists with damaged records in them: each is logged and left out, and hides
# none of the others.

use strict;
use warnings;

use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(log_level => 'error');
my @root = (bearer => $gateway->root);
my $tokens = '/api/organizations/acme/access-tokens';

# A page: its status, how many tokens it has, whether it has a cursor.

sub page {
    my ($query) = @_;
    my $response = $gateway->call(GET => "$tokens?$query", @root);
    my $json = $response->{json};

    return ("$response->{status} with " . @{ $json->{access_tokens} // [] }
            . (defined $json->{next_cursor} ? ' and a cursor' : ''),
            $json);
}

sub ids { return join ' ', map { $_->{id} } @{ $_[0]{access_tokens} } }

# What was logged of damaged records since the last call: "id field", sorted.

my $seen = 0;

sub logged {
    my $log = $gateway->log;
    my $new = substr $log, $seen;

    $seen = length $log;

    return join ', ', sort map {
        /\[error\] .*record of access token "(\w+)" is damaged: field "(.*?)"/
            ? "$1 $2" : $_
    } split /\n/, $new;
}


# Every second one is damaged, each in its own way: what is done to it, and the
# field that the log names.

my @damage = (
    ['*'  => sub { redis_cmd('DEL', $_[0]); redis_cmd('SET', $_[0], 'x') }],
    ['*'  => sub { redis_cmd('DEL', $_[0]); redis_cmd('RPUSH', $_[0], 'x') }],
    ['h'  => sub { redis_cmd('HDEL', $_[0], 'h') }],
    ['h'  => sub { redis_cmd('HSET', $_[0], 'h', 'short') }],
    ['s'  => sub { redis_cmd('HSET', $_[0], 's', 'z') }],
    ['e'  => sub { redis_cmd('HSET', $_[0], 'e', 'soon') }],
    ['n'  => sub { redis_cmd('HDEL', $_[0], 'n') }],
    ['o'  => sub { redis_cmd('HSET', $_[0], 'o', 'umbrella') }],
    ['g'  => sub { redis_cmd('HSET', $_[0], 'g', 'dev') }],
);

my (@whole, @damaged, %field);

for my $damage (@damage) {
    my ($field, $do) = @$damage;
    my $made = $gateway->create('acme', '');

    $do->(token_key($made->{token}));
    push @damaged, $made;
    $field{$made->{id}} = $field;
    push @whole, $gateway->create('acme', '')->{id};
}

my $all = join ', ', sort map { "$_ $field{$_}" } keys %field;
my $listed = join ' ', reverse sort @whole;

my ($got, $json) = page('');

is($got, '200 with 9', 'a list with damaged records is answered');
is(ids($json), $listed, 'and has all the others');
is(logged(), $all, 'each of those is logged once, with its id and the field');

($got, $json) = page('status=active&search=a+token');
is("$got: " . ids($json), "200 with 9: $listed", 'so it is with a filter');
is(logged(), $all, 'which lets them pass, so that they are seen');

my ($cursor, @pages) = '';

for (1 .. 20) {
    ($got, $json) = page("limit=2$cursor");
    push @pages, ids($json);
    $cursor = '&cursor=' . ($json->{next_cursor} // last);
}

is("@pages", $listed, 'going on from page to page meets the others once');
is(logged(), $all, 'and each of those');


# One by one.

is(join(' ', map { $gateway->call(GET => $_->{path}, @root)->{status} }
        @damaged), '503 503 503 503 503 503 503 404 404',
   'of one that is damaged it cannot be said what it is');

logged();

my $broken = $damaged[2];
is($gateway->call(DELETE => $broken->{path}, @root)->{status}, 204,
   'one that still has its owner can be deleted');
page('');
unlike(logged(), qr/$broken->{id}/, 'and lists are rid of it');


# Nothing but damaged ones.

flush();

redis_cmd('HDEL', token_key($_->{token}), 'c')
    for map { $gateway->create('acme', '') } 1 .. 12;

($got, $json) = page('limit=1');
is($got, '200 with 0 and a cursor',
   'a page of one looks at ten, and has a cursor to go on from');
is(scalar(() = logged() =~ / c/g), 10, 'those are logged');

($got) = page("limit=1&cursor=$json->{next_cursor}");
is($got, '200 with 0', 'the next one is the last');
is(scalar(() = logged() =~ / c/g), 2, 'with the rest of them');

$gateway->stop(qr/is damaged: field "/, qr/WRONGTYPE/);

done_testing();
