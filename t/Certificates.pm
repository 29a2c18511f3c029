package Certificates;

# Certificates for tests, made by openssl in a folder, and a Redis that shows
# them.
#
#     my $certificates = Certificates->new;        # or of a folder that is there
#     my $redis = $certificates->redis(port => $port);
#     my $gateway = Gateway->new(address => "localhost:$port",
#                                redis => 'tls tls_ca=' . $certificates->ca);
#
# ca, ca_key; other_ca, other_ca_key: nobody trusts it.  server: by the first
# one, for the names and addresses of new(), or for localhost, redis.example,
# 127.0.0.1 and ::1.  wrong: for another name; expired; unknown: by the other
# CA; self_signed; client: by the first one.  The key of each is at <name>_key.

use strict;
use warnings;

use AccessToken ();
use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Time::HiRes qw(time sleep);

my @for = qw(localhost redis.example 127.0.0.1 ::1);


sub new {
    my ($class, $dir, @names) = @_;

    $dir //= tempdir('access-token-tls.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    make_path($dir);

    # nginx' master reads them, and Redis

    my $self = bless { dir => $dir }, $class;

    @names = @for unless @names;

    $self->make_ca('ca');
    $self->make_ca('other_ca');
    $self->make_signed(server => 'ca', \@names);
    $self->make_signed(wrong => 'ca', ['other.example', '127.0.0.9']);
    $self->make_signed(unknown => 'other_ca', \@names);
    $self->make_signed(client => 'ca', ['a-client'], 'clientAuth');
    $self->make_expired(\@names);
    $self->make_self_signed(\@names);

    return $self;
}


sub dir { return $_[0]{dir} }

sub file { return "$_[0]{dir}/$_[1].crt" }
sub key  { return "$_[0]{dir}/$_[1].key" }

for my $name (qw(ca other_ca server wrong unknown client expired self_signed)) {
    no strict 'refs';
    *{$name} = sub { $_[0]->file($name) };
    *{"${name}_key"} = sub { $_[0]->key($name) };
}


sub make_ca {
    my ($self, $name) = @_;

    $self->openssl('req', '-x509', $self->new_key($name), '-days', 2,
                   '-subj', "/CN=$name of the tests",
                   '-addext', 'keyUsage=critical,keyCertSign,cRLSign',
                   '-out', $self->file($name));
}


# A certificate by that authority for names and addresses.

sub make_signed {
    my ($self, $name, $ca, $names, $usage, @more) = @_;
    my $request = "$self->{dir}/$name.csr";

    $self->openssl('req', '-new', $self->new_key($name),
                   '-subj', "/CN=$name of the tests", '-out', $request);

    $self->put("$name.ext", 'subjectAltName=' . san(@$names) . "\n"
                            . 'extendedKeyUsage=' . ($usage // 'serverAuth'));

    $self->openssl('x509', '-req', '-in', $request, '-CA', $self->file($ca),
                   '-CAkey', $self->key($ca), '-set_serial', ++$self->{serial},
                   '-extfile', "$self->{dir}/$name.ext",
                   '-out', $self->file($name), @more ? @more : ('-days', 2));
}


# Until yesterday: -days is not below 1, but openssl ca takes dates.

sub make_expired {
    my ($self, $names) = @_;
    my $dir = $self->{dir};

    $self->openssl('req', '-new', $self->new_key('expired'),
                   '-subj', '/CN=expired of the tests',
                   '-out', "$dir/expired.csr");

    $self->put('index', '');
    $self->put('serial', "1000\n");
    $self->put('expired.conf', <<"END" . 'subjectAltName=' . san(@$names) . "\n");
[ ca ]
default_ca = old

[ old ]
database = $dir/index
serial = $dir/serial
new_certs_dir = $dir
default_md = sha256
policy = any
x509_extensions = names

[ any ]
commonName = supplied

[ names ]
END

    $self->openssl('ca', '-batch', '-notext', '-config', "$dir/expired.conf",
                   '-cert', $self->ca, '-keyfile', $self->ca_key,
                   '-startdate', '20200101000000Z',
                   '-enddate', '20200102000000Z',
                   '-in', "$dir/expired.csr", '-out', $self->file('expired'));
}


sub make_self_signed {
    my ($self, $names) = @_;

    $self->openssl('req', '-x509', $self->new_key('self_signed'), '-days', 2,
                   '-subj', '/CN=self-signed of the tests',
                   '-addext', 'subjectAltName=' . san(@$names),
                   '-out', $self->file('self_signed'));
}


sub san {
    my (@names) = @_;

    return join ',', map { (/^[\d.]+$|:/ ? 'IP:' : 'DNS:') . $_ } @names;
}


# Elliptic curves: made in no time.

sub new_key {
    my ($self, $name) = @_;

    return ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
            '-keyout', $self->key($name));
}


sub put {
    my ($self, $name, $text) = @_;

    open my $out, '>', "$self->{dir}/$name" or die "can't write $name: $!\n";
    print $out $text;
    close $out or die "can't write $name: $!\n";
}


sub openssl {
    my ($self, @arguments) = @_;
    my $log = "$self->{dir}/openssl.log";

    my $pid = fork // die "can't fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>>', $log;
        open STDERR, '>>', $log;
        exec 'openssl', @arguments or POSIX::_exit(127);
    }

    waitpid $pid, 0;
    return if $? == 0;

    open my $in, '<', $log;
    die "openssl @arguments failed: ", <$in>;
}


# Starts a Redis that ends with the test at the latest.  port: for TLS;
# certificate: "server" if it is not given; plain: a port without TLS; more: of
# its arguments.  It has a Unix socket too, for redis_cmd().

sub redis {
    my ($self, %option) = @_;

    my $certificate = $option{certificate} // 'server';
    my $socket = "$self->{dir}/redis-$option{port}.sock";
    my $log = "$self->{dir}/redis-$option{port}.log";
    my $key = "$self->{dir}/redis-$option{port}.key";

    copy($self->key($certificate), $key) or die "no $key: $!\n";

    my $pid = AccessToken::in_child(sub {
        open STDOUT, '>', '/dev/null';
        exec 'redis-server', '--bind', '127.0.0.1',
             '--port', $option{plain} // 0, '--tls-port', $option{port},
             '--tls-cert-file', $self->file($certificate),
             '--tls-key-file', $key,
             '--tls-ca-cert-file', $self->ca, '--tls-auth-clients', 'no',
             '--unixsocket', $socket, '--save', '', '--appendonly', 'no',
             '--daemonize', 'no', '--dir', $self->{dir}, '--logfile', $log,
             @{ $option{more} // [] };
    });

    for (my $end = time + 10; time < $end; sleep 0.01) {
        return { pid => $pid, port => $option{port}, socket => $socket,
                 log => $log, key => $key }
            if IO::Socket::UNIX->new(Peer => $socket);
    }

    die "Redis with TLS did not start, see $log\n";
}


# Does something with redis_cmd() in that Redis.

sub in {
    my ($redis, $code) = @_;

    local $ENV{TEST_NGINX_REDIS_SOCKET} = $redis->{socket};

    return $code->();
}


# Shows another certificate from now on, to new connections.  Both settings at
# once is more than Redis 6 takes, so the key changes within its file.

sub show {
    my ($self, $redis, $certificate) = @_;

    copy($self->key($certificate), $redis->{key}) or die "no key: $!\n";

    in($redis, sub {
        AccessToken::redis_cmd('CONFIG', 'SET',
                               'tls-cert-file', $self->file($certificate));
    });
}


sub stop {
    my ($redis) = @_;

    kill 'KILL', $redis->{pid};
    waitpid $redis->{pid}, 0;
    unlink $redis->{socket};
}


1;
