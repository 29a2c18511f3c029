# The name of Redis: it is resolved anew at each connection, by nginx' own
# resolver, so nothing else waits for it.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use Socket qw(AF_INET6 inet_aton inet_pton);
use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use Gateway;

my $redis_port = $ENV{TEST_NGINX_REDIS_PORT}
                 // die "TEST_NGINX_REDIS_PORT is where Redis listens\n";

flush();

# A name server that knows one name, "localhost", which the system resolves
# when nginx starts.  It answers with the addresses in a file, in their order,
# or not at all if there is none in it.

my $server = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1')
             or die "no socket: $!\n";
my $port = $server->sockport;
my $file = tempdir(CLEANUP => 1) . '/addresses';

sub says {
    my (@addresses) = @_;

    open my $out, '>', "$file.new" or die "can't write $file: $!\n";
    print $out "@addresses";
    close $out;
    rename "$file.new", $file or die "can't write $file: $!\n";
}

sub serve_names {
    while (defined $server->recv(my $query, 512)) {
        my @addresses = split ' ', Gateway::slurp($file);
        my ($question, $type) = substr($query, 12) =~ /^(.*?\0(..)..)/s;

        next unless @addresses && $question;

        # A or AAAA, IN, of no second beyond this one
        my $six = unpack('n', $type) == 28;
        my @answers = map { pack 'n n n N n/a*', 0xc00c, $six ? 28 : 1, 1, 0,
                                 $six ? inet_pton(AF_INET6, $_)
                                      : inet_aton($_) }
                      grep { $six == /:/ } @addresses;

        $server->send(pack('a2 n n n n n', $query, 0x8180, 1,
                           scalar @answers, 0, 0)
                      . join '', $question, @answers);
    }
}

says('127.0.0.1');
in_child(\&serve_names);

my @options = (
    address => "localhost:$redis_port",
    redis => 'timeout=1s connect_timeout=1s',
    http => "resolver 127.0.0.1:$port ipv6=off; resolver_timeout 1s;",
    server => 'location /open { access_token off; return 200 open; }');

my $gateway = Gateway->new(@options);
my $token = put_token();

sub logged {
    my ($pattern, $name) = @_;
    ok(scalar($gateway->log =~ $pattern), $name);
}

sub status { return $gateway->call(GET => '/', bearer => $token)->{status} }

# What nginx has resolved is good for the rest of that second.

sub becomes {
    my ($expected) = @_;
    my $status;

    for (1 .. 400) {
        $status = status();
        last if $status eq $expected;
        close_connections() if $status eq '200';
        sleep 0.01;
    }

    return $status;
}

is(status(), '200', 'Redis is found by its name');
logged(qr/resolver DNS response/, 'by the resolver of nginx');

says('127.0.0.9');
is(becomes('503'), '503', 'a connection goes where the name leads by now');
logged(qr/connect\(\) failed.* "localhost:$redis_port" at 127\.0\.0\.9:/,
       'the log says where');

says('127.0.0.1');
is(becomes('200'), '200', 'and back again');

# A name server that is silent: others need not wait for it, and the address
# that was known last is used in the end.

says('');
$gateway->await_log(qr/resolve: "localhost"/, 0);
close_connections();
my $second = time;
sleep 0.01 while time == $second;

my $waiting = $gateway->connect;
$gateway->send_request($waiting, GET => '/', bearer => $token);
$gateway->await_log(qr/resolve: "localhost"/, 1);

is($gateway->call(GET => '/open')->{body}, 'open',
   'while a name is asked for, others are served');
ok(!IO::Select->new($waiting)->can_read(0) || time - $second > 1,
   'and the one that needs it waits, for a second');
is(Gateway::parse(Gateway::read_all($waiting))->{status}, '200',
   'until its time is over: then the last known address is used');
logged(qr/\[warn\].*localhost could not be resolved/, 'which is logged');

$gateway->stop(qr/connect\(\) failed/);

# Several addresses: an nginx that has just started takes them in their order.
# Whether connect() says at once that there is no way, or the other side says so
# after it, the next one is asked before any request is told.

for my $case (['127.0.0.9' => 'where nobody listens'],
              ['127.255.255.255' => 'where no connection leads']) {
    my ($first, $name) = @$case;

    says($first, '127.0.0.1');
    $gateway = Gateway->new(@options);
    is(status(), '200', "after an address $name the next one is tried");
    $gateway->stop;

    says($first);
    $gateway = Gateway->new(@options);
    is(status(), '503', 'and where there is no next one, it is a 503');
    logged(qr/connect\(\) failed.* \(\d+: .*\) while .* at \Q$first\E:/,
           'of which the log says why, and where');
    $gateway->stop(qr/connect\(\) failed/);
}

# A kernel without IPv6 has no socket for one of two addresses.  What nginx
# remembers of a name it takes in any order.

SKIP: {
    my $library = tempdir(CLEANUP => 1) . '/no-ipv6.so';
    my $source = <<'END';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

int socket(int family, int type, int protocol)
{
    int  (*next)(int, int, int) = dlsym(RTLD_NEXT, "socket");

    if (family == AF_INET6) {
        errno = EAFNOSUPPORT;
        return -1;
    }

    return next(family, type, protocol);
}
END

    skip('the sanitizers are loaded first', 3)
        if ($ENV{TEST_NGINX_BINARY} // '') =~ /sanitized/;
    open my $compiler, '|-', "gcc -shared -fPIC -x c -o $library - -ldl"
        or die "can't run gcc: $!\n";
    print $compiler $source;
    close $compiler or die "gcc fails\n";

    says('127.0.0.1', '::1');
    local $ENV{LD_PRELOAD} = $library;
    $gateway = Gateway->new(
        @options, http => "resolver 127.0.0.1:$port valid=30s;");

    my %statuses;

    for (1 .. 20) {
        $statuses{ status() }++;
        close_connections();
    }

    is(join(' ', %statuses), '200 20',
       'where there is no IPv6, the other address is asked');
    $gateway->stop(qr/\[alert\] .* socket\(\) failed/);
}

done_testing();
