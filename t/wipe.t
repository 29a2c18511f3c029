# A new token is wiped from nginx' memory when its request ends, however it
# ends.  The memory is read as Linux shows it to root and to the parent of
# nginx, which is this test; but for the stack, where a piece may lie until the
# next calls write over it.

use strict;
use warnings;
no warnings 'portable';     # addresses have 64 bits

use File::Temp 'tempdir';
use List::Util 'min';
use Test::More;
use Time::HiRes 'sleep';

use lib 't';
use AccessToken;
use Gateway;

flush();

# A server with TLS, where there is what it takes.

my $port = $ENV{TEST_NGINX_MOCK_PORT};
my $files = tempdir(CLEANUP => 1);
my $tls = `curl --version 2>&1` =~ /HTTP2/ && make_certificate();

my $gateway = Gateway->new(
    log_level => 'info',
    http => 'gzip on; gzip_types application/json; gzip_min_length 1;'
            . ($tls ? "server {
                listen 127.0.0.1:$port ssl http2;
                ssl_certificate $files/certificate;
                ssl_certificate_key $files/key;
                location /api/ { access_token_api; }
            }" : ''),
    server => 'location /slow/ { access_token_api; limit_rate 1; }');

my @root = (bearer => $gateway->root);
my @new = (json => { name => 'a', expires_at => Gateway::in_days(1) });
my $tokens = 'organizations/acme/access-tokens';

sub make_certificate {
    return system("openssl req -x509 -newkey ec -nodes -subj /CN=localhost \\
                       -pkeyopt ec_paramgen_curve:prime256v1 -days 1 \\
                       -keyout '$files/key' -out '$files/certificate' \\
                       2>/dev/null") == 0;
}

open my $memory, '<:raw', '/proc/' . $gateway->pid . '/mem';

my $dir = $gateway->dir;

unless ($memory && in_memory(qr/\Q$dir\E/)) {
    plan skip_all => "the memory of nginx can't be read here";
}


# What nginx can write to: from, to.  Where it is more than 256 MiB at once, a
# sanitizer has it for itself.

sub regions {
    my $maps = Gateway::slurp('/proc/' . $gateway->pid . '/maps');

    return grep { $_->[1] - $_->[0] < 1 << 28 }
           map { /^([0-9a-f]+)-([0-9a-f]+) rw/ ? [hex $1, hex $2] : () }
           grep { !/\[stack\]/ } split /\n/, $maps;
}


# All that fits in nginx' memory, each once.

sub in_memory {
    my ($pattern) = @_;
    my %found;

    for my $region (regions()) {
        my ($from, $to) = @$region;
        my $bytes = '';

        sysseek $memory, $from, 0 or next;

        while ($from < $to) {
            my $n = sysread $memory, $bytes, min($to - $from, 1 << 20),
                            length $bytes;
            last unless $n;

            $from += $n;
            $found{$1}++ while $bytes =~ /($pattern)/g;
            $bytes = substr $bytes, -min(100, length $bytes);
        }
    }

    my @found = sort keys %found;
    return @found;
}


# A piece of the secret is found even if the rest has been written over.

sub is_wiped {
    my ($token, $what) = @_;
    my @pieces = $token =~ /^at_.{20}(.{8})(.{8})(.{8})(.{8}).{6}$/
                 or return fail("$what gives a token");
    my $any = join '|', @pieces;

    is(join(' ', in_memory(qr/$any/)), '', "nothing is left of $what");
}

sub token_in {
    my ($text) = @_;
    return $text =~ /"token":"(\w+)"/ ? $1 : '';
}


# The token of a request under way, which nobody but nginx knows.

sub token_under_way {
    my ($what) = @_;
    my @found;

    for (1 .. 1000) {
        last if @found = in_memory(qr/at_[0-9A-Za-z]{58}/);
        sleep 0.01;
    }

    is(scalar(@found), 1, "the token is in memory while $what");

    return $found[0] // BAIL_OUT('no token found');
}


# nginx logs a request when it has cleaned up after it.

sub await_end {
    my ($path) = @_;

    for (1 .. 1000) {
        return if $gateway->access_log =~ /"POST \Q$path\E HTTP/;
        sleep 0.01;
    }

    fail("the request of $path ends");
}


# The token of an answer, once all is over.

my $requests = 0;

sub gives {
    my ($path, @option) = @_;

    $path .= '?' . $requests++;
    my $response = $gateway->call(POST => $path, @root, @option);
    await_end($path);

    return token_in($response->{body});
}


# Answered.

my $token = gives("/api/$tokens", @new);
my $path = "/api/$tokens/" . token_id($token);

is_wiped($token, 'a token that is created');
is_wiped(gives("$path/rotate"), 'one that is rotated');


# Answered where answers are compressed, which makes copies: those with a token
# are not.

my @gzip = (headers => ['Accept-Encoding', 'gzip']);

is($gateway->call(GET => $path, @root, @gzip)->{headers}{'content-encoding'},
   'gzip', 'an answer without a token is compressed');
is_wiped(gives("$path/rotate", @gzip), 'one where others are compressed');


# Answered, and the connection goes on.

my $socket = $gateway->connect;

$gateway->send_request($socket, POST => "$path/rotate?kept", @root,
                       headers => ['Connection', 'keep-alive']);
await_end("$path/rotate?kept");
sysread $socket, my $answer, 65536;
is_wiped(token_in($answer), 'one whose connection is kept');
close $socket;


# Answered over TLS, for which nginx has a buffer of its own.

for my $version ('1.1', '2') {
    SKIP: {
        skip('no curl that knows HTTP/2, or no openssl', 1) unless $tls;

        my $below = "$path/rotate?http$version";
        my $answer = `curl -sk --http$version -X POST \\
                           -H 'Authorization: Bearer $root[1]' \\
                           'https://127.0.0.1:$port$below'`;

        await_end($below);
        is_wiped(token_in($answer), "one sent by TLS and HTTP/$version");
    }
}


# The client goes away with half of the answer.

$socket = $gateway->connect;
$gateway->send_request($socket, POST => "/slow/$tokens", @root, @new);
sysread $socket, $answer, 1;

$token = token_under_way('it is sent');
close $socket;
await_end("/slow/$tokens");
is_wiped($token, 'one whose client goes away meanwhile');


# It goes away before Redis has answered.

$socket = $gateway->connect;
redis_stop();
$gateway->send_request($socket, POST => "/api/$tokens?early", @root, @new);

$token = token_under_way('Redis is asked');
close $socket;
await_end("/api/$tokens?early");
redis_continue();
is_wiped($token, 'one that nobody waits for');

$gateway->stop;

done_testing();
