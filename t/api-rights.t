# Who may do what: the table of docs/api.md, for every caller and owner, and
# the paths by which a group's admin might hope to get out of the group.

use strict;
use warnings;

use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(
    api => 'access_token_api_identity $http_x_user $http_x_roles;');
my $root = $gateway->root;

sub path {
    my ($owner) = @_;
    my ($organization, $group) = split m{/}, $owner;

    return "/api/organizations/$organization"
           . (defined $group ? "/groups/$group" : '') . '/access-tokens';
}

sub identity {
    my ($roles) = @_;
    return [headers => ['X-User', 'alice', 'X-Roles', $roles,
                        'X-Requested-With', 'test']];
}

sub status { return $gateway->call(@_)->{status} // 'none' }


# An owner comes to exist with its first token.

my @owners = qw(acme acme/dev acme/ops umbrella umbrella/dev);
my %there = map { $_ => $gateway->create(split(m{/}, $_), ('') x !m{/}) }
            @owners;
my @absent = qw(nobody acme/nothing);

my %token = (
    'organization admin' => $gateway->create('acme', '',
                                             admin => JSON::PP::true),
    'organization user'  => $gateway->create('acme', ''),
    'group admin'        => $gateway->create('acme', 'dev',
                                             admin => JSON::PP::true),
    'group user'         => $gateway->create('acme', 'dev'),
);

my %caller = (
    root => [bearer => $root],
    (map { ("token of an $_" => [bearer => $token{$_}{token}]) } keys %token),
    'identity of an organization admin' => identity('organization_admin:acme'),
    'identity of an organization user'  => identity('organization_user:acme'),
    'identity of a group admin'         => identity('group_admin:acme/dev'),
    'identity of a group user'          => identity('group_user:acme/dev'),
    'identity without roles'            => identity(''),
    'identity with several roles'
        => identity('group_admin:acme/ops, organization_user:umbrella '
                    . 'group_admin:umbrella/dev,other:acme'),
);

# The tokens of which owners a caller manages.  Who is not here: of none.

my @of_acme = qw(acme acme/dev acme/ops acme/nothing);

my %manages = (
    root                                => [@owners, @absent],
    'token of an organization admin'    => [@of_acme],
    'identity of an organization admin' => [@of_acme],
    'token of an group admin'           => ['acme/dev'],
    'identity of a group admin'         => ['acme/dev'],
    'identity with several roles'       => ['acme/ops', 'umbrella/dev'],
);

my $days = Gateway::in_days(1);
my $no_id = 'A' x 20;


# All that can be done to the tokens of an owner, in one line of statuses.

sub tries {
    my ($owner, @as) = @_;
    my $path = path($owner);
    my $json = { name => 'tried', expires_at => $days };
    my $id = $there{$owner} ? $there{$owner}{id} : $no_id;

    my @statuses = status(GET => $path, @as);

    my $made = $gateway->call(POST => $path, @as, json => $json);
    push @statuses, $made->{status};
    $id = $made->{json}{id} // $id;

    push @statuses,
        status(GET => "$path/$id", @as),
        status(PATCH => "$path/$id", @as, json => { name => 'changed' }),
        status(POST => "$path/$id/revoke", @as),
        status(POST => "$path/$id/activate", @as),
        status(POST => "$path/$id/rotate", @as),
        status(DELETE => "$path/$id", @as);

    return "@statuses";
}

for my $caller (sort keys %caller) {
    my %may = map { $_ => 1 } @{ $manages{$caller} // [] };

    for my $owner (@owners, @absent) {
        my $can = $may{$owner} ? 'does all with' : 'does nothing with';

        is(tries($owner, @{ $caller{$caller} }),
           $may{$owner} ? '200 201 200 200 200 200 200 204'
                        : '403 403 403 403 403 403 403 403',
           "$caller $can the tokens of $owner");
    }
}

is(tries('acme'), join(' ', (401) x 8), 'nobody does nothing');


# A refusal tells nothing about what there is.

for my $caller ('token of an group admin', 'identity of a group user') {
    my @as = @{ $caller{$caller} };
    my @bodies = map { $gateway->call(@$_, @as)->{body} }
        [GET => path('acme/ops')], [GET => path('acme/nothing')],
        [GET => path('umbrella')], [GET => path('nobody')],
        [GET => path('acme/ops') . "/$there{'acme/ops'}{id}"],
        [GET => path('acme/ops') . "/$no_id"],
        [DELETE => path('acme/ops') . "/$there{'acme/ops'}{id}"];

    is(scalar(grep { $_ ne $bodies[0] } @bodies), 0,
       "$caller gets one same 403 whether or not the owner and the token "
       . 'exist');
}


# Names: organizations and groups.

sub names {
    my ($path, @as) = @_;
    my $response = $gateway->call(GET => $path, @as);

    return $response->{status} if $response->{status} ne '200';

    my ($list) = grep { ref } values %{ $response->{json} };
    return join ' ', map { $_->{id} } @$list;
}

my %organizations = (
    root                                => 'acme umbrella',
    'token of an organization admin'    => 'acme',
    'identity of an organization admin' => 'acme',
);

my %groups = (
    root                                => ['dev ops', 'dev', ''],
    'token of an organization admin'    => ['dev ops', 403, 403],
    'identity of an organization admin' => ['dev ops', 403, 403],
    'token of an group admin'           => ['dev', 403, 403],
    'identity of a group admin'         => ['dev', 403, 403],
    'identity with several roles'       => ['ops', 'dev', 403],
);

for my $caller (sort keys %caller) {
    my @as = @{ $caller{$caller} };
    my $wanted = $organizations{$caller} // 403;

    is(names('/api/organizations', @as), $wanted,
       "$caller lists the organizations: $wanted");

    my @wanted = @{ $groups{$caller} // [403, 403, 403] };

    is_deeply([map { names("/api/organizations/$_/groups", @as) }
               qw(acme umbrella nobody)],
              \@wanted, "$caller lists the groups: @wanted");
}


# Who is known is told what is known of it; that gives no rights.

my %known = (
    root                                => '',
    'token of an organization admin'    => 'organization_admin:acme',
    'token of an organization user'     => 'organization_user:acme',
    'token of an group admin'           => 'group_admin:acme/dev',
    'token of an group user'            => 'group_user:acme/dev',
    'identity of an organization admin' => 'organization_admin:acme',
    'identity of an organization user'  => 'organization_user:acme',
    'identity of a group admin'         => 'group_admin:acme/dev',
    'identity of a group user'          => 'group_user:acme/dev',
    'identity without roles'            => '',
    'identity with several roles'
        => 'group_admin:acme/ops organization_user:umbrella '
           . 'group_admin:umbrella/dev',
);

for my $caller (sort keys %caller) {
    my $response = $gateway->call(GET => '/api/caller', @{ $caller{$caller} });
    my @roles = map { "$_->{role}:" . join '/', grep { defined }
                                      @$_{qw(organization group)} }
                @{ $response->{json}{roles} };

    is("$response->{status} @roles", "200 $known{$caller}",
       "$caller is told its roles: $known{$caller}");
}

is(status(GET => '/api/caller'), 401, 'who is nobody is told nothing');


# A token is found only where it belongs, whatever its manager may do elsewhere.

my @admin = @{ $caller{'token of an organization admin'} };
my @group_admin = @{ $caller{'token of an group admin'} };
my @roots = @{ $caller{root} };

for my $case (
    ['an organization admin', 'acme', 'acme/dev', @admin],
    ['an organization admin', 'acme/dev', 'acme', @admin],
    ['an organization admin', 'acme/ops', 'acme/dev', @admin],
    ['an organization admin', 'acme', 'umbrella', @admin],
    ['a group admin', 'acme/dev', 'acme/ops', @group_admin],
    ['a group admin', 'acme/dev', 'acme', @group_admin],
    ['a group admin', 'acme/dev', 'umbrella/dev', @group_admin],
    ['root', 'umbrella/dev', 'acme/dev', @roots],
) {
    my ($who, $where, $of, @as) = @$case;
    my $token = path($where) . "/$there{$of}{id}";

    is(join(' ',
            status(GET => $token, @as),
            status(PATCH => $token, @as, json => { name => 'x' }),
            status(POST => "$token/revoke", @as),
            status(POST => "$token/activate", @as),
            status(POST => "$token/rotate", @as),
            status(DELETE => $token, @as)),
       '404 404 404 404 404 404',
       "$who does not find a token of $of at $where");
}

for my $owner (@owners) {
    my $token = $gateway->call(GET => "$there{$owner}{path}", @roots)->{json};

    is("$token->{name}, $token->{status}", 'a token, active',
       "the token of $owner was not touched");
}


# Out of the group, by any spelling.  What is not plain is no path at all; what
# is plain is another owner.

my $own = '/api/organizations/acme/groups/dev/access-tokens';
is(status(GET => $own, @group_admin), 200, 'the group itself is reached');

my @spellings = (
    '/api/organizations/acme/groups/dev/../ops/access-tokens',
    '/api/organizations/acme/groups/dev/../../access-tokens',
    '/api/organizations/acme/groups/dev/%2e%2e/ops/access-tokens',
    '/api/organizations/acme/groups/dev/%2E%2e/%2e%2E/access-tokens',
    '/api/organizations/acme/groups/dev/.%2e/.%2e/access-tokens',
    '/api/organizations/acme/groups/dev%2f..%2fops/access-tokens',
    '/api/organizations/acme/groups/dev%2Faccess-tokens',
    '/api/organizations/acme/groups/..%2f..%2faccess-tokens',
    '/api/organizations/acme/groups/dev%252f%252e%252e/access-tokens',
    '/api/organizations/acme/groups/%64ev/access-tokens',
    '/api/organizations/acme/groups/dev%00/access-tokens',
    '/api/organizations/acme/groups/ops%00dev/access-tokens',
    '/api/organizations/acme/groups/%c0%ae%c0%ae/access-tokens',
    '/api/organizations/acme/groups/dev/./access-tokens',
    '/api/organizations/acme/groups/dev//access-tokens',
    '/api/organizations/acme/groups//access-tokens',
    '/api/organizations/acme/groups/access-tokens',
    '/api/organizations/acme//access-tokens',
    '/api/organizations//acme/access-tokens',
    '/api//organizations/acme/access-tokens',
    '//api/organizations/acme/access-tokens',
    '/api/./organizations/acme/access-tokens',
    '/x/../api/organizations/acme/access-tokens',
    '/api/x/../organizations/acme/access-tokens',
    '/api/organizations/acme/groups/dev\\..\\ops/access-tokens',
    '/api/organizations/acme/groups/dev;/access-tokens',
    '/api/organizations/acme;x=/groups/dev/access-tokens',
    '/api/organizations/acme/groups/dev,ops/access-tokens',
    '/api/organizations/acme/groups/dev+/access-tokens',
    '/api/organizations/acme/groups/../access-tokens',
    '/api/organizations/acme/groups/./access-tokens',
    '/api/organizations/acme/groups/.dev/access-tokens',
    '/api/organizations/acme/groups/.../access-tokens',
    '/api/organizations/../organizations/acme/access-tokens',
    '/api/organizations/acme/access-tokens/',
    '/api/organizations/acme/access-tokens//',
    '/api/organizations/acme/access-tokens/.',
    '/api/organizations/acme/groups/dev/access-tokens/..',
    '/api/organizations/acme/groups/dev/access-tokens/../access-tokens',
    "/api/organizations/acme/groups/dev/access-tokens/../../../access-tokens",
    '/api/organizations/acme/access-tokens#/groups/dev/access-tokens',
    '/api/organizations/' . 'a' x 65 . '/access-tokens',
    "/api/organizations/acme/groups/dev\xc3\xa9/access-tokens",
    '/api/Organizations/acme/access-tokens',
    '/api/organizations/acme/Access-Tokens',
    '/API/organizations/acme/groups/dev/access-tokens',
    '/apiorganizations/acme/access-tokens',
    '/api/organizations/acme/access-tokens/' . 'A' x 19,
    '/api/organizations/acme/access-tokens/' . 'A' x 21,
    '/api/organizations/acme/access-tokens/' . 'A' x 19 . '-',
);

for my $path (@spellings) {
    my @got = map { $gateway->call($_ => $path, @group_admin,
                        $_ eq 'POST'
                        ? (json => { name => 'out', expires_at => $days })
                        : ()) } qw(GET POST);

    like("$got[0]{status} $got[1]{status}", qr/^(404 404|400 400|404 405)$/,
         "no way out by $path");
    unlike("$got[0]{body}$got[1]{body}", qr/"access_tokens"|"token"/,
           "nothing is given away by $path");
}

for my $path (
    '/api/organizations/acme/groups/DEV/access-tokens',
    '/api/organizations/acme/groups/dev./access-tokens',
    '/api/organizations/acme/groups/dev-/access-tokens',
    '/api/organizations/ACME/groups/dev/access-tokens',
    '/api/organizations/acme.dev/access-tokens',
    '/api/organizations/acme/groups/organizations/access-tokens',
    '/api/organizations/groups/groups/dev/access-tokens',
    'http://localhost/api/organizations/acme/access-tokens',
) {
    is(status(GET => $path, @group_admin) . ' '
       . status(POST => $path, @group_admin,
                json => { name => 'out', expires_at => $days }),
       '403 403', "another owner's tokens are not reached by $path");
}

is(scalar @{ $gateway->call(GET => path('acme'), @roots)->{json}
             {access_tokens} }, 3,
   'the organization has the three tokens that it had');


# What grants nothing.

for my $roles ('organization_admin', 'organization_admin:',
               'organization_admin: acme', 'organization_admin:acme/dev',
               'organization_admin:*', 'ORGANIZATION_ADMIN:acme',
               'organization_admin:acme;', 'xorganization_admin:acme',
               'organization_admin:.acme', 'organization_admin:%61cme',
               'group_admin:acme', 'group_admin:acme/', 'group_admin:/acme',
               'group_admin:acme/dev/x', 'admin:acme', 'root', 'acme',
               'organization_user:acme group_user:acme/dev') {
    my @as = @{ identity($roles) };

    is(join(' ', status(GET => path('acme'), @as),
            status(GET => path('acme/dev'), @as),
            status(GET => '/api/organizations', @as),
            status(GET => '/api/organizations/acme/groups', @as)),
       '403 403 403 403', "an identity with the roles '$roles' has no rights");
}

for my $roles ('organization_admin:acm', 'organization_admin:acme2',
               'organization_admin:Acme', 'group_admin:acm/dev',
               'group_admin:acme/de', 'group_admin:acme/dev2') {
    my @as = @{ identity($roles) };

    is(join(' ', status(GET => path('acme'), @as),
            status(GET => path('acme/dev'), @as)),
       '403 403', "an identity with the role '$roles' has no rights in acme");
}

$gateway->stop;

done_testing();
