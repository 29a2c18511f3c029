# TLS to Redis: all works over it, and no doubt about the other side lets
# anything of ours out.  Each failure says in one line what to do about it.

use strict;
use warnings;
use utf8;

use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_RCVBUF IPPROTO_TCP TCP_MAXSEG);
use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use Certificates;
use Gateway;

my $port = $ENV{TEST_NGINX_MOCK_PORT};
my $at = "localhost:$port";
my $certificates = Certificates->new;
my $redis = $certificates->redis(port => $port);
my $ca = 'tls_ca=' . $certificates->ca;

$ENV{TEST_NGINX_REDIS_SOCKET} = $redis->{socket};

my $gateway;

sub start {
    my ($parameters, %option) = @_;

    $gateway = Gateway->new(address => $at, redis => $parameters, %option);
}

sub get {
    my ($token) = @_;
    my $response = $gateway->call(GET => '/', bearer => $token);

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

sub is_cached {
    my ($token) = @_;

    return Gateway::becomes(sub { get($token) eq '200 HIT' });
}

sub logged { return scalar(() = $gateway->log =~ /$_[0]/g) }

my %root = (bearer => Gateway->root);


# All works over TLS.

start("tls $ca", cache => 'lease=4s', workers => 1);

my $made = $gateway->create('acme', 'dev');
my $token = $made->{token};

like(get($token), qr/^200/, 'a token is made, and looked up');
ok(is_cached($token), 'and the cache is used');

$gateway->call(POST => "$made->{path}/revoke", %root);
like(get($token), qr/^401/, 'a token is revoked');
$gateway->call(POST => "$made->{path}/activate", %root);
ok(is_cached($token), 'and activated');

redis_cmd('HSET', token_key($token), 's', 'r');
ok(Gateway::becomes(sub { get($token) =~ /^401/ }),
   'what others change is heard');
redis_cmd('HSET', token_key($token), 's', 'a');
ok(is_cached($token), 'whatever it is');

is($gateway->call(DELETE => $made->{path}, %root)->{status}, '204',
   'a token is deleted');
like(get($token), qr/^401/, 'and gone');

my @many = map { $gateway->create('acme', '', description => '☃' x 255) }
           1 .. 100;
my $page = $gateway->call(GET => '/api/organizations/acme/access-tokens'
                                 . '?limit=100', %root);

is(scalar(@{ $page->{json}{access_tokens} }), 100, 'a page of 100 tokens');
is(join(' ', sort map { $_->{id} } @{ $page->{json}{access_tokens} }),
   join(' ', sort map { $_->{id} } @many), 'is all of them');

unlike(join('', grep { /redis/ } split /^/, $gateway->log),
       qr/\[(?:warn|error|crit|alert)\]/, 'nothing of it is logged');


# A session is used again, for commands and for the link; when Redis has begun
# anew, it knows none.

my $reused = qr/SSL reused session/;

$token = $many[0]{token};
like(get($token), qr/^200/, 'one of these');
is(logged($reused), 0, 'the first connections have no session');

for my $n (1 .. 2) {
    redis_cmd('CLIENT', 'KILL', 'TYPE', $_, 'SKIPME', 'yes')
        for qw(normal pubsub);

    ok(Gateway::becomes(sub { get($token); logged($reused) >= 2 * $n }),
       "both are broken and made again, and use the sessions of before: $n");
    ok(is_cached($token), 'and all works');
}

is(logged($reused), 4, 'each of them');

my $record = redis_cmd('DUMP', token_key($token));

Certificates::stop($redis);
ok(Gateway::becomes(sub { get($token) =~ /^503/
                          && logged(qr/connect\(\) failed/) }),
   'Redis is gone');
$redis = $certificates->redis(port => $port);
redis_cmd('RESTORE', token_key($token), 0, $record);
ok(is_cached($token), 'and back: the connections are made again');
is(logged($reused), 4, 'without the sessions of the one before');

$gateway->stop(qr/connection was closed by redis/, qr/connect\(\) failed/);


# What the socket does not take at once: a relay takes little, and is stopped.

sub relay {
    my ($to) = @_;

    my $listening = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                          Listen => 16)
                    or die "can't listen: $!\n";

    setsockopt $listening, SOL_SOCKET, SO_RCVBUF, 4096;
    setsockopt $listening, IPPROTO_TCP, TCP_MAXSEG, 536;

    my $pid = AccessToken::in_child(sub {
        my $select = IO::Select->new($listening);
        my %other;

        while (my @ready = $select->can_read) {
            for my $from (@ready) {
                if ($from == $listening) {
                    my $near = $listening->accept;
                    my $far = IO::Socket::INET->new("127.0.0.1:$to") or next;
                    @other{$near, $far} = ($far, $near);
                    $select->add($near, $far);
                    next;
                }

                next unless $from->opened;

                my $to = $other{$from};
                if (sysread $from, my $bytes, 8192) {
                    $to->blocking(1);
                    syswrite $to, $bytes;
                    next;
                }

                $select->remove($from, $to);
                $_->close for $from, $to;
            }
        }
    });

    return ($pid, $listening->sockport);
}

my ($relay, $relayed) = relay($port);

start("tls $ca timeout=20s", address => "localhost:$relayed");
is($gateway->create('acme', '')->{status}, 'active', 'through a narrow way');
AccessToken::stop($relay);

my @clients;

for (1 .. 200) {
    push @clients, $gateway->connect;
    $gateway->send_request($clients[-1],
                           POST => '/api/organizations/acme/access-tokens',
                           bearer => $gateway->root,
                           json => { name => "token $_",
                                     expires_at => Gateway::in_days(3),
                                     description => '☃' x 255 });
}

ok(Gateway::becomes(sub { logged(qr/SSL_write: -1/) }),
   'the socket takes no more');
kill 'CONT', $relay;

my %answers;

for my $client (@clients) {
    my $response = Gateway::parse(Gateway::read_all($client));
    my $description = $response->{json}{description} // '';

    $answers{ "$response->{status} " . ($description eq '☃' x 255) }++;
}

is(join(', ', %answers), '201 1, 200', 'and in the end takes all');
$gateway->stop;


# Who is to be on the other side.

sub works {
    my ($title, $parameters, %option) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    start($parameters, log_level => 'info', %option);
    is($gateway->call(GET => '/', bearer => token())->{status}, '401', $title);
    $gateway->stop;
}

# One line of the commands and one of the link, however often it happens.

sub fails {
    my ($title, $parameters, $pattern, %option) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    start($parameters, log_level => 'info', cache => 'lease=1s', workers => 1,
          %option);

    my %statuses;
    my $until = time + 0.2;

    while (time < $until) {
        $statuses{ $gateway->call(GET => '/', bearer => token())->{status} }++;
        sleep 0.01;
    }

    is(join(' ', keys %statuses), '503', "$title: 503");

    Gateway::becomes(sub { logged(qr/\[error\]/) >= 2 });

    my @lines = grep { /redis|SSL/ && !/recv\(\) failed|\[notice\]/ }
                split /^/, $gateway->log;

    is(scalar(@lines), 2, 'told once') or diag(@lines);
    like($_, $pattern, 'and what it is') for @lines;
    $gateway->stop($pattern);
}

my $server = 'if it is the right server, give a name .* by tls_name=';
my $issuer = 'unknown issuer; if it is the right one, give';

works('a name', "tls $ca");
works('an address', "tls $ca", address => "127.0.0.1:$port");
works('another name', "tls $ca tls_name=redis.example");
works('another address', "tls $ca tls_name=::1");
works('an unknown certificate that is not looked at', 'tls tls_verify=off');

fails('another name than the certificate has',
      "tls $ca tls_name=other.example",
      qr/the certificate is not for "other\.example": $server/);
fails('another address', "tls $ca tls_name=127.0.0.5",
      qr/the certificate is not for "127\.0\.0\.5": $server/);
fails('a CA that has not signed it', 'tls tls_ca=' . $certificates->other_ca,
      qr/certificate verify error: \(\d+:.*\): $issuer its CA by tls_ca=/);
fails('no CA but those of the system', 'tls',
      qr/certificate verify error: \(\d+:.*\): $issuer its CA by tls_ca=/);

$certificates->show($redis, 'wrong');
fails('a certificate for others', "tls $ca",
      qr/the certificate is not for "localhost": $server/);
fails('or other addresses', "tls $ca",
      qr/the certificate is not for "127\.0\.0\.1": $server/,
      address => "127.0.0.1:$port");
works('whose name is given', "tls $ca tls_name=other.example");

$certificates->show($redis, 'expired');
fails('an expired certificate', "tls $ca",
      qr/verify error: \(10:certificate has expired\): renew it there/);
works('is of no matter when it is not looked at', 'tls tls_verify=off');

$certificates->show($redis, 'unknown');
fails('an unknown CA', "tls $ca",
      qr/certificate verify error: \(20:.*\): $issuer its CA by tls_ca=/);

$certificates->show($redis, 'self_signed');
fails('one that is self-signed', "tls $ca",
      qr/error: \(18:.*\): $issuer the certificate itself by tls_ca=/);
works('which may be given', 'tls tls_ca=' . $certificates->self_signed);

$certificates->show($redis, 'client');
fails('one that is for clients', "tls $ca tls_name=a-client",
      qr/certificate verify error: \(26:.*\): it is not for a server/);


# TLS 1.2, whose session is there before the name has been checked.

$certificates->show($redis, 'wrong');
redis_cmd('CONFIG', 'SET', 'tls-protocols', 'TLSv1.2');

start("tls $ca", log_level => 'debug');

for (1 .. 3) {
    my $n = logged(qr/SSL_do_handshake: 1$/m);

    Gateway::becomes(sub { get(token()) =~ /^503/
                           && logged(qr/SSL_do_handshake: 1$/m) > $n })
        or fail('TLS 1.2 is spoken');
}

is(logged($reused), 0, 'a failed check leaves no session');
$gateway->stop(qr/the certificate is not for "localhost"/);

$certificates->show($redis, 'server');

start("tls $ca", log_level => 'debug');
like(get(token()), qr/^401/, 'TLS 1.2');
close_connections();
Gateway::becomes(sub { get(token()) =~ /^401/ });
is(logged($reused), 1, 'uses sessions again too');
$gateway->stop;

redis_cmd('CONFIG', 'SET', 'tls-protocols', 'TLSv1.1');
fails('TLS 1.1', "tls $ca", qr/it does not speak TLS 1\.2 or later/);
redis_cmd('CONFIG', 'SET', 'tls-protocols', '');


# Certificates of clients.

my ($client, $unknown) = map { 'tls_cert=' . $certificates->file($_)
                               . ' tls_key=' . $certificates->key($_) }
                         qw(client unknown);

redis_cmd('CONFIG', 'SET', 'tls-auth-clients', 'yes');

works('a certificate of ours', "tls $ca $client");
fails('none', "tls $ca",
      qr/it wants a client certificate: give one by tls_cert= and tls_key=/);
fails('one by others', "tls $ca $unknown",
      qr/it does not accept the certificate of tls_cert=/);

redis_cmd('CONFIG', 'SET', 'tls-protocols', 'TLSv1.2');
works('a certificate of ours in TLS 1.2', "tls $ca $client");
fails('none', "tls $ca",
      qr/it wants a client certificate \(tls_cert= and tls_key=\)/);

redis_cmd('CONFIG', 'SET', 'tls-protocols', '');
redis_cmd('CONFIG', 'SET', 'tls-auth-clients', 'no');


# One speaks TLS and the other does not.

fails('no TLS where it is wanted', '',
      qr/closed by redis, which has said nothing \(does it want tls\?\)/);

# What answers in words, and what waits for more of them, as Redis does.

sub serve {
    my ($code) = @_;

    my $listening = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                          Listen => 64)
                    or die "can't listen: $!\n";

    my $pid = AccessToken::in_child(sub {
        my @kept;
        while (my $socket = $listening->accept) {
            $code->($socket);
            push @kept, $socket;
        }
    }) if $code;

    return ($listening->sockport, $listening);
}

my ($words) = serve(sub { $_[0]->syswrite("-ERR what do you say?\r\n") });
my ($closes) = serve(sub { $_[0]->sysread(my $hello, 1); $_[0]->close });
my ($silent, $socket) = serve();

fails('words', "tls $ca", qr/it does not speak TLS \(is it the plain port\?\)/,
      address => "localhost:$words");
fails('an end', "tls $ca",
      qr/closed by redis in the TLS handshake; is it a port for TLS\?/,
      address => "localhost:$closes");

fails('silence', "tls $ca connect_timeout=100ms",
      qr/TLS handshake timed out; is it a port for TLS\?.*110:/,
      address => "localhost:$silent");

start("tls $ca connect_timeout=60s", address => "localhost:$silent",
      cache => 'lease=1s', workers => 1, log_level => 'debug');
ok(Gateway::becomes(sub { logged(qr/SSL_do_handshake: -1/) }),
   'the link waits in a handshake');
$gateway->stop;


# The name is told to the server, an address is not; and nothing of ours is
# told to one that is not the right one.

my $said = $certificates->dir . '/said';
my $password = $certificates->dir . '/password';
Gateway::put($password, "a-password-of-the-tests\n");

sub s_server {
    my ($certificate) = @_;

    my $free = Gateway::free_port();
    unlink $said;

    pipe my $input, my $open or die "no pipe: $!\n";

    my $pid = AccessToken::in_child(sub {
        close $open;
        open STDIN, '<&', $input;
        open STDOUT, '>', $said;
        open STDERR, '>&', \*STDOUT;
        exec 'openssl', 's_server', '-accept', "127.0.0.1:$free",
             '-cert', $certificates->file($certificate),
             '-key', $certificates->key($certificate),
             '-servername', 'redis.example',
             '-cert2', $certificates->file($certificate),
             '-key2', $certificates->key($certificate);
    });

    Gateway::becomes(sub { Gateway::slurp($said) =~ /^ACCEPT/m })
        or BAIL_OUT('openssl s_server does not start');

    return ($pid, $free, $open);
}

sub says {
    my ($certificate, $parameters, $pattern, $host) = @_;

    my ($pid, $free, $open) = s_server($certificate);

    start("tls $ca $parameters password_file=$password connect_timeout=500ms",
          address => ($host // 'localhost') . ":$free", log_level => 'notice');
    get(token());
    $gateway->stop($pattern);

    kill 'KILL', $pid;
    waitpid $pid, 0;

    return Gateway::slurp($said);
}

like(says('server', 'tls_name=redis.example', qr/timed out/),
     qr/Hostname in TLS extension: "redis\.example"/, 'the name is told');
like(Gateway::slurp($said), qr/a-password-of-the-tests/,
     'and to whom it belongs the password');

my $hears = says('server', '', qr/timed out/, '127.0.0.1');
unlike($hears, qr/Hostname in TLS extension/, 'an address is not told');
like($hears, qr/a-password-of-the-tests/, 'and is as good as a name');

unlike(says('wrong', '', qr/the certificate is not for/),
       qr/AUTH|password/, 'whoever has another name is told nothing');
unlike(says('unknown', '', qr/certificate verify error/),
       qr/AUTH|password/, 'nor whoever is signed by others');

done_testing();
