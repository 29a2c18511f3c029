# Lists: pages, filters, order, and what they cost.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(log_level => 'info');
my @root = (bearer => $gateway->root);
my $tokens = '/api/organizations/acme/access-tokens';

sub page {
    my ($query, $path) = @_;
    my $response = $gateway->call(GET => ($path // $tokens) . "?$query", @root);

    is($response->{status}, 200, "?$query is answered") or diag $response->{body};

    return $response->{json};
}

sub names {
    my ($query, $path) = @_;
    return join ' ', map { $_->{name} }
                     @{ page($query, $path)->{access_tokens} };
}

# All pages of a list; the names, and how many pages there were.

sub all_pages {
    my ($query, $path) = @_;
    my ($cursor, $pages, @names) = ('', 0);

    while (1) {
        my $response = $gateway->call(GET => ($path // $tokens)
            . "?$query" . ($cursor ne '' ? "&cursor=$cursor" : ''), @root);
        my ($list) = grep { ref } values %{ $response->{json} };

        push @names, map { $_->{name} // $_->{id} } @$list;
        $pages++;
        $cursor = $response->{json}{next_cursor} // last;
    }

    return ("@names", $pages);
}


# Nothing.

is_deeply(page(''), { access_tokens => [], next_cursor => undef },
          'an organization without tokens has an empty list');
is_deeply(page('', '/api/organizations'),
          { organizations => [], next_cursor => undef },
          'and is not among the organizations');
is_deeply(page('', '/api/organizations/acme/groups'),
          { groups => [], next_cursor => undef }, 'nor has it groups');


# A few: order, filters.

my %made;

for my $name (qw(first second third fourth Fifth sixth)) {
    $made{$name} = $gateway->create('acme', '', name => $name,
        admin => $name =~ /^(second|Fifth)$/ ? JSON::PP::true
                                             : JSON::PP::false);
    select undef, undef, undef, 0.002;
}

$gateway->create('acme', 'dev', name => 'of-a-group');
$gateway->create('umbrella', '', name => 'of-another');

is(names(''), 'sixth Fifth fourth third second first', 'newest first');
is(names('', '/api/organizations/acme/groups/dev/access-tokens'), 'of-a-group',
   'a group has a list of its own');
is_deeply(page('')->{access_tokens}[5],
          $gateway->call(GET => $made{first}{path}, @root)->{json},
          'a list shows the same as the token itself');
unlike($gateway->call(GET => $tokens, @root)->{body}, qr/"token":/,
       'and never a token');

my $first = page('limit=4');
is(scalar @{ $first->{access_tokens} }, 4, 'a page is as long as asked for');
is($first->{next_cursor}, $made{third}{id}, 'its cursor is its last id');
is(names("limit=4&cursor=$first->{next_cursor}"), 'second first',
   'the next page begins after it');
is(page("limit=4&cursor=$first->{next_cursor}")->{next_cursor}, undef,
   'and the last one has no cursor');
is(page('limit=6')->{next_cursor}, undef,
   'a page that just fits is the last one');
is(join(' / ', all_pages('limit=1')),
   'sixth Fifth fourth third second first / 6', 'pages of one');

$gateway->call(POST => "$made{$_}{path}/revoke", @root) for qw(first Fifth);
redis_cmd('HSET', token_key($made{$_}{token}), 'e', time - 1)
    for qw(third Fifth);

is(names('status=active'), 'sixth fourth second', 'those that are active');
is(names('status=revoked'), 'first', 'those that are revoked');
is(names('status=expired'), 'Fifth third',
   'those that expired, also if they were revoked before');
is(names('role=admin'), 'Fifth second', 'those of admins');
is(names('role=user'), 'sixth fourth third first', 'those of users');
is(names('search=ir'), 'third first', 'those whose name has a text in it');
is(names('search=FI'), 'Fifth first', 'in either case');
is(names('search=f&role=user&status=active'), 'fourth', 'all of it at once');
is(names('search=nothing'), '', 'none');
is(names('search=%25'), '', 'a percent sign is no pattern');
is(names('search=.'), '', 'nor is a dot');

$gateway->create('acme', '', name => "a+b %c [d] \x{e9}t\x{e9}");
is(scalar @{ page("search=$_")->{access_tokens} }, 1, "search=$_ finds it")
    for 'a%2Bb', 'b+%25C', '%5Bd%5D', '%c3%a9t', "\xc3\xa9t", '%5bD%5d+';
is(scalar @{ page('search=a+b')->{access_tokens} }, 0, 'a plus is a space');

$gateway->create('acme', '', name => 'x' x 62 . 'across' . 'y' x 30);
is(scalar @{ page('search=across')->{access_tokens} }, 1,
   'a text is found wherever in a long name it lies');


# What goes away.

$gateway->call(DELETE => $made{fourth}{path}, @root);
redis_cmd('DEL', token_key($made{second}{token}));

is(names('search=ur'), '', 'what was deleted is not listed');
is(names('role=admin'), 'Fifth', 'nor is what Redis has dropped');
ok(!defined redis_cmd('ZSCORE', 'at:i:{' . substr($made{second}{id}, 0, 4)
                                . '}:acme', $made{second}{id}),
   'and the index has lost it then');


# Many: the default length, pages at depth, what a filter may cost.  The records
# are copies of one, by way of Redis, of ids that are older than all others.

flush();

my $one = $gateway->create('acme', '', name => 'needle');
my $tag = substr $one->{id}, 0, 4;
my $many = 20_000;

redis_cmd('EVAL', <<'END', 2, token_key($one->{token}), "at:i:{$tag}:acme",
    local record = redis.call('HGETALL', KEYS[1])
    for i = 1, tonumber(ARGV[2]) do
        local id = ARGV[1] .. string.format('00000000%08d', i)
        local key = KEYS[1]:sub(1, -21) .. id
        redis.call('HSET', key, unpack(record))
        redis.call('HSET', key, 'n', 'number ' .. i)
        redis.call('ZADD', KEYS[2], 0, id)
    end
END
    $tag, $many - 1);

is(scalar @{ page('')->{access_tokens} }, 50, 'a page has 50 if not asked for');
is(scalar @{ page('limit=100')->{access_tokens} }, 100, 'and 100 at most');

my ($names, $pages) = all_pages('limit=100');
my %seen = map { $_ => 1 } split / (?=number)/, $names;
is("$pages pages, " . keys(%seen) . ' tokens', "200 pages, $many tokens",
   'walking through all pages meets every token');
is(scalar(split / (?=number)/, $names), $many, 'and each of them once');

redis_cmd('CONFIG', 'SET', 'slowlog-max-len', 10_000);
redis_cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 0);
redis_cmd('SLOWLOG', 'RESET');
my $page = page('search=no-such-name');
redis_cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 10_000);
is(scalar @{ $page->{access_tokens} }, 0,
   'a filter that finds nothing for long gives an empty page');
ok(defined $page->{next_cursor}, 'and a cursor to go on from');

# How long a script takes is for a benchmark to say (bench/list), but not how
# much it is given to do: EVALSHA sha1 numkeys ..., five of the keys no records.

my @records = map { $_->[3][2] - 5 } grep { $_->[3][0] eq 'EVALSHA' }
              @{ redis_cmd('SLOWLOG', 'GET', 10_000) };
is("@records", join(' ', (200) x 10),
   'no script is given more than 200 records to read, and ten make a page');

($names, $pages) = all_pages('search=ber+777&limit=10');
is(join(' ', sort { $a <=> $b } $names =~ /(\d+)/g),
   join(' ', grep { /^777/ } 1 .. $many - 1),
   'going on finds all that fit, once');
cmp_ok($pages, '>', 2, "over partial pages: $pages of them");

# One script at a time, and of clients who went away no more than that one.

redis_cmd('CONFIG', 'RESETSTAT');

sub calls {
    my ($command) = @_;
    my ($n) = redis_cmd('INFO', 'commandstats')
              =~ /cmdstat_$command:calls=(\d+)/;
    return $n // 0;
}

my @sockets = map { $gateway->connect } 1 .. 400;
my $other = $gateway->connect;

# nginx has accepted them before it answers, and finds all requests at once

$gateway->call(GET => $one->{path}, @root);
redis_cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 0);
redis_cmd('SLOWLOG', 'RESET');
$gateway->halt;
$gateway->send_request($_, GET => '/api/organizations/acme/access-tokens'
                                  . '?search=no-such-name', @root) for @sockets;
$gateway->send_request($other, GET => $one->{path}, @root);
$gateway->go_on;

is(Gateway::parse(Gateway::read_all($other))->{status}, 200,
   'while many lists wait for their turn, others are answered');
$gateway->halt;
redis_cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 10_000);

# The scripts, oldest first: those of lists are given many keys.

my @scripts = map { $_->[3][2] } grep { $_->[3][0] eq 'EVALSHA' }
              reverse @{ redis_cmd('SLOWLOG', 'GET', 10_000) };
my ($nth) = grep { $scripts[$_] < 100 } 0 .. $#scripts;
cmp_ok($nth // 'never', '<', 400, 'and before the last of them');

my $before = calls('evalsha');
close $_ for @sockets;
$gateway->go_on;
is(page('search=needle&limit=1')->{access_tokens}[0]{id}, $one->{id},
   'and a list that comes after them');
cmp_ok(calls('evalsha') - $before, '<', 200, 'comes sooner for it');


# Names of organizations and groups.

flush();

$gateway->create("o$_", '') for qw(10 2 1 a B);
$gateway->create('o1', "g$_") for qw(10 2 1);

is(join(' / ', all_pages('limit=2', '/api/organizations')),
   'o1 o10 o2 oB oa / 3', 'organizations come in byte order, in pages');
is(join(' / ', all_pages('limit=1', '/api/organizations/o1/groups')),
   'g1 g10 g2 / 3', 'groups do too');
is_deeply(page('limit=1', '/api/organizations/o1/groups'),
          { groups => [{ id => 'g1', organization => 'o1' }],
            next_cursor => 'g1' }, 'a group names its organization');
is(join(' / ', all_pages('cursor=o10', '/api/organizations')),
   'o2 oB oa / 1', 'a cursor need not be the last of a page');

my $only = $gateway->create('o3', 'g');
$gateway->call(DELETE => $only->{path}, @root);
is(join(' / ', all_pages('', '/api/organizations')), 'o1 o10 o2 oB oa / 1',
   'an organization without any token is gone');


# Names of those whose last record Redis has dropped: they go when a list of
# their tokens meets that.

flush();

sub dropped { redis_cmd('DEL', token_key($_->{token})) for @_ }

my @dev = map { $gateway->create('acme', 'dev') } 1, 2;
my $ops = $gateway->create('acme', 'ops');
my $own = $gateway->create('umbrella', '');
my ($of_dev, $of_ops) =
    map { "/api/organizations/acme/groups/$_/access-tokens" } qw(dev ops);

dropped($dev[0]);
is(names('', $of_dev), 'a token', 'a group with one record of two left');
is(join(' / ', all_pages('', '/api/organizations/acme/groups')), 'dev ops / 1',
   'is still there');

dropped($dev[1], $own);
is(names('', $of_dev), '', 'one with none of them left');
is(join(' / ', all_pages('', '/api/organizations/acme/groups')), 'ops / 1',
   'is gone then, and no other group');
is(join(' / ', all_pages('', '/api/organizations')), 'acme umbrella / 1',
   'nor the organization, which has that one');

is(names('', '/api/organizations/umbrella/access-tokens'), '',
   'an organization with no record of its own left and no group');
is(join(' / ', all_pages('', '/api/organizations')), 'acme / 1',
   'is gone then');

dropped($ops);
is(names('', $of_ops), '', 'when the last group has no record left');
is(join(' / ', all_pages('', '/api/organizations')), ' / 1',
   'its organization is gone too');
is(redis_cmd('EXISTS', map { my $tag = substr $_->{id}, 0, 4;
                             ("at:i:{$tag}:acme/dev", "at:i:{$tag}:acme/ops",
                              "at:g:{$tag}:acme", "at:i:{$tag}:umbrella") }
                       $ops, $own),
   0, 'and Redis has no index of any of them');

$gateway->stop;

done_testing();
