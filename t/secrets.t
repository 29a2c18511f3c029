# A secret is seen once.  After a run with all kinds of them, right and wrong,
# none is in what Redis holds, in what nginx logged at debug level, or in any
# answer but the one that gave it away.

use strict;
use warnings;

use MIME::Base64 'encode_base64';
use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(
    redis => 'timeout=2s',
    http  => 'log_not_found off;
             log_format all "$request $status $http_x $access_token_id '
             . '$access_token_name $access_token_verdict '
             . '$sent_http_www_authenticate";',
    server => 'access_log logs/all.log all;
        location /cookie { access_token on; access_token_source cookie=t; }
        location /header { access_token on; access_token_source header=X-T; }
        location /down {
            access_token on;
            error_page 401 403 503 /error.html;
        }
        location = /error.html { access_token off; }');
my @root = (bearer => $gateway->root);

# name => the part of it that nobody may see

my %secret = (root => $gateway->root);

sub keep {
    my ($name, $token) = @_;

    $secret{$name} = $token;
    $secret{"$name, its private part"} = substr $token, -38, 32;

    return $token;
}

# An answer that may hold a token, and nobody looks for it in there.

sub gives {
    my (@call) = @_;
    my $seen = $gateway->{seen};
    my $response = $gateway->call(@call);

    $gateway->{seen} = $seen;
    (my $rest = $response->{body}) =~ s/"token":"([^"]+)"//;
    $gateway->{seen} .= $response->{head} . $rest;

    return $1;
}

my $path = '/api/organizations/acme/access-tokens';
my $json = { name => 'a', expires_at => Gateway::in_days(1) };

my $created = keep('created' => gives(POST => $path, @root, json => $json));
my $of_group = keep('created in a group'
    => gives(POST => '/api/organizations/acme/groups/dev/access-tokens',
             @root, json => $json));
my $admin = keep('of an admin'
    => gives(POST => $path, @root, json => { %$json,
                                             admin => JSON::PP::true }));
my $byadmin = keep('created by an admin'
    => gives(POST => $path, bearer => $admin, json => $json));
my $at = "$path/" . token_id($created);
my $rotated = keep('rotated' => gives(POST => "$at/rotate", @root,
                                      json => { grace_seconds => 60 }));
my $self = keep('rotated by itself'
    => gives(POST => '/api/self/rotate', bearer => $of_group));
my $unknown = keep(unknown => token());
my $forged = keep(forged => token(id => token_id($created)));
my $typo = keep('with a typing error' => $byadmin =~ s/.$/-/r);
my $wrong = $secret{'a wrong root credential'} = 'wrong-root-credential-12345';

is(scalar(keys %secret), 20, 'the run has all its secrets');

# All of them, everywhere that a token can be, well and badly.

for my $token ($created, $of_group, $admin, $byadmin, $rotated, $self,
               $unknown, $forged, $typo, $wrong, $gateway->root) {
    my @as = (bearer => $token);

    $gateway->call(GET => '/', @as);
    $gateway->call(GET => '/down', @as);
    $gateway->call(GET => '/cookie', headers => ['Cookie', "t=$token"]);
    $gateway->call(GET => '/header', headers => ['X-T', $token]);
    $gateway->call(GET => '/', headers => ['Authorization',
                                           "Bearer $token, Bearer $token"]);
    $gateway->call(GET => '/', headers => ['Authorization', "bearer  $token"]);
    $gateway->call(@$_, @as)
        for [GET => '/api/self'], [GET => $path], [GET => $at],
            [GET => '/api/organizations'], [GET => "$path?limit=x"],
            [POST => $path, body => '{'], [POST => $path, json => {}],
            [POST => $path, json => { name => '', x => 1 }],
            [POST => $path, body => 'x', type => 'text/plain'],
            [PATCH => $at, json => { name => 'b' }], [PUT => $at],
            [GET => '/api/no'], [POST => '/api/self/revoke', json => { x => 1 }];
}

# Redis that does not answer.

redis_stop();
$gateway->call(GET => '/', bearer => $admin);
$gateway->call(GET => '/down', bearer => $unknown);
$gateway->call(GET => $path, bearer => $admin);
$gateway->call(POST => $path, @root, json => $json);
$gateway->call(POST => "$at/rotate", @root);
redis_continue();

$gateway->call(POST => "$at/revoke", @root);
$gateway->call(GET => '/', bearer => $rotated);
$gateway->call(DELETE => $at, @root);
$gateway->call(GET => '/', bearer => $rotated);

# What Redis holds: every value of every key, and what it remembers of clients
# and commands.

sub dump_of {
    my ($key) = @_;
    my $type = redis_cmd('TYPE', $key);
    my $value = $type eq 'hash'   ? redis_cmd('HGETALL', $key)
              : $type eq 'zset'   ? redis_cmd('ZRANGE', $key, 0, -1)
              : $type eq 'set'    ? redis_cmd('SMEMBERS', $key)
              : $type eq 'stream' ? redis_cmd('XRANGE', $key, '-', '+')
              : $type eq 'string' ? redis_cmd('GET', $key)
              :                     die "a key of type $type";

    return "$key " . flat($value);
}

sub flat {
    my ($value) = @_;
    return join ' ', map { ref ? flat($_) : $_ } ref $value ? @$value : $value;
}

my @keys = @{ redis_cmd('KEYS', '*') };
cmp_ok(scalar(@keys), '>=', 6, 'there is something in Redis');

my $redis = join "\n", (map { dump_of($_) } @keys),
            redis_cmd('CLIENT', 'LIST'), flat(redis_cmd('SLOWLOG', 'GET', -1));

# The answers, but for those that gave a token away.

my $answers = $gateway->seen;
cmp_ok(length $answers, '>', 50_000, 'there were answers');

$gateway->quit;

# The logs.  At debug level nginx itself writes down each header of a request,
# and in the end the pools: what is left out here is not our module's to say.

my $log = join '', grep { !/http header: "/ } split /^/, $gateway->log;
cmp_ok(length $log, '>', 1_000_000, 'nginx has logged at debug level');

my $access = $gateway->access_log
             . Gateway::slurp($gateway->dir . '/logs/all.log')
             . Gateway::slurp($gateway->dir . '/logs/stderr.log');
cmp_ok(length $access, '>', 10_000, 'and each request');

like($gateway->log, qr/http header: "authorization: Bearer \Q$admin\E/i,
     'what is looked for can be found, where nginx writes headers');

for my $name (sort keys %secret) {
    my $secret = $secret{$name};
    my $hex = unpack 'H*', $secret;
    my $base64 = encode_base64($secret, '');

    for my $where (['Redis' => $redis], ['the error log' => $log],
                   ['the access log' => $access], ['the answers' => $answers]) {
        ok(index($where->[1], $secret) < 0
           && index(lc $where->[1], $hex) < 0
           && index($where->[1], $base64) < 0,
           "the secret $name is not in $where->[0]");
    }
}

$gateway->stop(qr/timed out|timeout/);

done_testing();
