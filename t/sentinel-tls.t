# Sentinels that speak TLS, with Redis behind them that does or does not.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use Test::More;

use lib 't';
use AccessToken;
use Certificates;
use Gateway;
use RedisServer;

my $certificates = Certificates->new;
my $dir = tempdir(CLEANUP => 1);
my @pids;

END {
    my $status = $?;
    kill 'KILL', @pids;
    waitpid $_, 0 for @pids;
    $? = $status;
}

sub start {
    my ($port, @words) = @_;

    my $pid = fork // die "can't fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', "$dir/$port.out";
        exec 'redis-server', @words or POSIX::_exit(127);
    }

    push @pids, $pid;

    Gateway::becomes(sub { IO::Socket::INET->new("127.0.0.1:$port") })
        or die "nobody listens on $port\n";
}

# As arguments, or lines of a file, that show a certificate.

sub shows {
    my ($name) = @_;

    return ('tls-cert-file' => $certificates->file($name),
            'tls-key-file' => $certificates->key($name),
            'tls-ca-cert-file' => $certificates->ca,
            'tls-auth-clients' => 'no');
}

sub redis {
    my ($kind, @options) = @_;
    my $port = Gateway::free_port();

    push @options, port => 0 if $kind ne 'port';
    unshift @options, $kind => $port, bind => '127.0.0.1', save => '',
                      dir => $dir;

    start($port, map { $_ % 2 ? $options[$_] : "--$options[$_]" }
                 0 .. $#options);

    return $port;
}

# A Sentinel that shows a certificate, and talks to the primary as replicas
# would: over TLS or not.

sub sentinel {
    my ($primary, $name, $replication) = @_;
    my $port = Gateway::free_port();
    my %lines = (port => 0, 'tls-port' => $port, bind => '127.0.0.1',
                 dir => $dir, 'tls-replication' => $replication,
                 shows($name));

    Gateway::put("$dir/$port.conf", map({ "$_ $lines{$_}\n" } keys %lines),
                 "sentinel monitor mymaster 127.0.0.1 $primary 1\n");
    start($port, "$dir/$port.conf", '--sentinel');

    return $port;
}

my $secure = redis('tls-port', shows('server'));
my $plain = redis('port');
my $of_secure = sentinel($secure, 'server', 'yes');
my $of_plain = sentinel($plain, 'server', 'no');
my $unknown = sentinel($plain, 'unknown', 'no');
my $ca = 'tls_ca=' . $certificates->ca;

sub gateway {
    my ($words, @sentinels) = @_;

    return Gateway->new(
        address => join(' ', 'sentinel=mymaster',
                        map { "127.0.0.1:$_" } @sentinels),
        redis => "$words $ca timeout=5s", cache => 'lease=500ms', workers => 1,
        log_level => 'notice');
}

sub works {
    my ($name, $gateway) = @_;

    my $made = $gateway->create('acme', '');
    my $get = sub {
        my $got = $gateway->call(GET => '/', bearer => $made->{token});
        return "$got->{status} " . ($got->{headers}{'x-cache'} // '-');
    };

    ok(Gateway::becomes(sub { $get->() eq '200 HIT' }),
       "$name: a token is taken from the cache");
    is($gateway->call(POST => "$made->{path}/revoke", bearer => $gateway->root)
               ->{status}, 200, 'revoked');
    like($get->(), qr/^401/, 'and refused');
}

my $gateway = gateway('tls', $of_secure);
works('Sentinel and Redis over TLS', $gateway);
$gateway->stop;

$gateway = gateway('sentinel_tls=on', $of_plain);
works('Sentinel alone over TLS', $gateway);
$gateway->stop;

$gateway = gateway('tls sentinel_tls=off', $of_secure);
is($gateway->call(GET => '/', bearer => token())->{status}, 503,
   'a Sentinel that wants TLS, without it');
$gateway->stop(qr/no sentinel tells where primary "mymaster" is/);

$gateway = gateway('sentinel_tls=on', $unknown);
is($gateway->call(GET => '/', bearer => token())->{status}, 503,
   'a Sentinel with an unknown certificate is not believed');
like($gateway->log, qr/unknown issuer.* while starting TLS with sentinel/,
     'and the log says why');
$gateway->stop(qr/no sentinel tells where primary "mymaster" is/);

$gateway = gateway('sentinel_tls=on', $unknown, $of_plain);
works('another one is asked', $gateway);
$gateway->stop;

done_testing();
