# A body that is held back: who calls is asked before it is read, and has to
# be good still when the change is made.

use strict;
use warnings;

use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new;
my @root = (bearer => $gateway->root);
my $path = '/api/organizations/acme/access-tokens';
my $new = '{"name":"a","expires_at":"' . Gateway::in_days(1) . '"}';

# Begins a request and ends it with the last byte of its body when asked to.

sub held_back {
    my ($bearer, $path, $body) = @_;

    my $socket = $gateway->connect;
    print $socket "POST $path HTTP/1.1\r\nHost: localhost\r\n"
                  . "Connection: close\r\nAuthorization: Bearer $bearer\r\n"
                  . "Content-Type: application/json\r\n"
                  . 'Content-Length: ' . length($body) . "\r\n\r\n"
                  . substr $body, 0, -1;
    $socket->flush;
    $gateway->await_log(qr/http client request body recv -2/, 1);

    return sub {
        print $socket substr $body, -1;
        $socket->flush;
        return Gateway::parse(Gateway::read_all($socket))->{status};
    };
}

for my $case (
    ['deleted', sub { $gateway->call(DELETE => $_[0]{path}, @root) }],
    ['revoked', sub { $gateway->call(POST => "$_[0]{path}/revoke", @root) }],
    ['rotated', sub { $gateway->call(POST => "$_[0]{path}/rotate", @root) }],
    ['expired', sub { redis_cmd('HSET', token_key($_[0]{token}), 'e',
                                time - 1) }],
) {
    my ($name, $end) = @$case;
    my $admin = $gateway->create('acme', '', admin => JSON::PP::true());

    my $create = held_back($admin->{token}, $path, $new);
    my $rotate = held_back($admin->{token}, '/api/self/rotate', '{ }');
    $end->($admin);

    is($create->(), 401, "a token that was $name meanwhile makes no other");
    is($rotate->(), 401, 'nor a secret for itself');
}

my $admin = $gateway->create('acme', '', admin => JSON::PP::true());
is(held_back($admin->{token}, $path, $new)->(), 201,
   'a body that comes late is no harm by itself');

$gateway->stop;

done_testing();
