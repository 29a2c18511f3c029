package Gateway;

# A gateway for the tests that are a story, in which one step needs what the
# one before has answered: an nginx with the admin API and an upstream behind
# access_token, on the Redis of the run.
#
#     my $gateway = Gateway->new;
#     my $made = $gateway->call(POST => '/api/organizations/acme/access-tokens',
#                               bearer => $gateway->root,
#                               json => { name => 'n', expires_at => '...' });
#     is($made->{status}, 201);
#     is($gateway->call(GET => '/', bearer => $made->{json}{token})->{status},
#        200);
#     $gateway->stop;    # and a test that nothing was logged as an error

use strict;
use warnings;

use AccessToken ();
use Digest::SHA qw(sha256_hex);
use File::Path qw(make_path remove_tree);
use File::Spec;
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(:sys_wait_h strftime);
use Test::More;
use Time::HiRes qw(time sleep);

my $ROOT = 'root-credential-0123456789-of-a-test';


# http, server, api, location: further directives there (location: where the
# upstream is), and DIR is the server root; redis: parameters of
# access_token_redis, and where they say nothing of it a single Redis has more
# time than a busy machine takes; address: of another Redis, or of several (if
# not, it is reached over TLS under REDIS_TLS, see tools/test-one); cache: what
# access_token_cache says, "off" if it is not given; edge: without the API;
# workers: how many, below a master (not given: one process is all), and
# connections are spread over them; log_level; port, dir: of a second gateway.

sub new {
    my ($class, %option) = @_;

    my $dir = File::Spec->rel2abs($option{dir} || $ENV{TEST_NGINX_SERVROOT}
                                  || 't/servroot');

    my $self = bless {
        dir  => $dir,
        port => $option{port} || $ENV{TEST_NGINX_PORT}
                || $ENV{TEST_NGINX_SERVER_PORT} || 1984,
        option => \%option,
        seen => '',
    }, $class;

    remove_tree($dir);
    make_path("$dir/logs", "$dir/html", "$dir/conf");

    $self->write_files;
    $self->start;

    return $self;
}


sub root { return $ROOT }
sub dir  { return $_[0]{dir} }
sub pid  { return $_[0]{pid} }


sub write_files {
    my ($self) = @_;
    my $dir = $self->{dir};
    my %option = %{ $self->{option} };
    my $address = $option{address} // address();
    my $modules = join '', map { "load_module $_;\n" }
                  split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';

    $_ = ($_ // '') =~ s/\bDIR\b/$dir/gr
        for @option{qw(http server api location redis)};
    if ($address !~ /^(?:cluster|sentinel)\b/) {
        for my $parameter (qw(timeout connect_timeout)) {
            $option{redis} .= " $parameter=5s"
                if $option{redis} !~ /\b$parameter=/;
        }
    }

    my $level = $option{log_level} // 'debug';
    my $cache = $option{cache} // 'off';
    my $user = $> == 0 ? 'user root;' : '';
    my $workers = $option{workers} // 1;
    my $master = $option{workers} ? 'on' : 'off';
    my $spread = ($option{workers} // 1) > 1 ? ' reuseport' : '';
    my $api = $option{edge} ? '' : <<"END";
        location /api/ {
            access_token_api;
            $option{api}
        }
END

    put("$dir/conf/root", '# of the tests', "\n", 'sha256:', sha256_hex($ROOT),
        " test\n");
    put("$dir/html/index.html", "let in\n");
    put("$dir/conf/nginx.conf", <<"END");
worker_processes $workers;
daemon off;
master_process $master;
error_log $dir/logs/error.log $level;
pid $dir/logs/nginx.pid;
env ASAN_OPTIONS;
env UBSAN_OPTIONS;
$user
$modules

events {
    worker_connections 1024;
}

http {
    access_log $dir/logs/access.log;
    client_body_temp_path $dir/client_body_temp;
    proxy_temp_path $dir/proxy_temp;
    fastcgi_temp_path $dir/fastcgi_temp;
    uwsgi_temp_path $dir/uwsgi_temp;
    scgi_temp_path $dir/scgi_temp;
    default_type text/plain;

    access_token_redis $address $option{redis};
    access_token_cache $cache;
    access_token_root_file $dir/conf/root;

    $option{http}

    server {
        listen 127.0.0.1:$self->{port}$spread;

        location = /worker {
            return 200 \$pid;
        }

$api
        location / {
            root $dir/html;
            log_not_found off;
            access_token on;
            add_header X-Token \$access_token_id;
            add_header X-User \$access_token_technical_user;
            add_header X-Cache \$access_token_cache always;
            $option{location}
        }

        $option{server}
    }
}
END
}


# The Redis of the run, as access_token_redis has it.

sub address {
    return "127.0.0.1:$ENV{TEST_NGINX_REDIS_TLS_PORT} "
           . "tls tls_ca=$ENV{TEST_NGINX_REDIS_CA}"
        if $ENV{TEST_NGINX_REDIS_TLS_PORT};

    return 'unix:' . ($ENV{TEST_NGINX_REDIS_SOCKET}
        // die "TEST_NGINX_REDIS_SOCKET names the Redis of the run\n");
}


sub put {
    my ($file, @text) = @_;

    open my $out, '>:raw', $file or die "can't write $file: $!\n";
    print $out @text;
    close $out or die "can't write $file: $!\n";
}


sub start {
    my ($self) = @_;
    my $dir = $self->{dir};

    $self->{pid} = fork // die "can't fork: $!\n";

    if ($self->{pid} == 0) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>>', "$dir/logs/stderr.log";
        exec $ENV{TEST_NGINX_BINARY} || 'nginx', '-p', "$dir/",
             '-c', "$dir/conf/nginx.conf", '-e', "$dir/logs/error.log"
            or POSIX::_exit(127);
    }

    for (1 .. 1000) {
        return if -s "$dir/logs/nginx.pid";
        last if waitpid($self->{pid}, WNOHANG) == $self->{pid};
        sleep 0.01;
    }

    my $why = slurp("$dir/logs/stderr.log")
              . join '', grep { !/\[debug\]/ }
                         split /^/, slurp("$dir/logs/error.log");
    BAIL_OUT("nginx did not start: $why");
}


# Ends nginx.  All that it logged above "warn" has to fit one of the patterns.

sub stop {
    my ($self, @expected) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $self->quit;

    my @lines = grep { /\[(error|crit|alert|emerg)\]|Sanitizer|runtime error/ }
                split /^/, $self->log . slurp("$self->{dir}/logs/stderr.log");

    for my $pattern (@expected) {
        ok(scalar(grep { $_ =~ $pattern } @lines), "nginx logged $pattern");
        @lines = grep { $_ !~ $pattern } @lines;
    }

    # over TLS a Redis that is stopped does not even shake hands

    if ($ENV{TEST_NGINX_REDIS_TLS_PORT}
        && grep { /no reply in time/ } @expected)
    {
        @lines = grep { !/TLS handshake timed out/ } @lines;
    }

    is(join('', @lines), '', 'nginx logged no other error');
}


sub quit {
    my ($self) = @_;
    my $pid = delete $self->{pid} // return;

    kill 'QUIT', $pid;

    for (1 .. 1500) {
        if (waitpid($pid, WNOHANG) == $pid) {
            is($? & 127, 0, 'nginx was not killed by a signal') if $? & 127;
            return;
        }
        sleep 0.01;
    }

    fail('nginx quits');
    kill 'KILL', $pid;
    waitpid $pid, 0;
}


# The processes of the workers, and what is true of them after a reload: of
# those that were there before none is left.  Options: as for new().

sub workers {
    my ($self) = @_;
    my $pid = $self->{pid};

    return split ' ', slurp("/proc/$pid/task/$pid/children");
}

sub reload {
    my ($self, %option) = @_;

    my %old = map { $_ => 1 } $self->workers;

    $self->{option} = { %{ $self->{option} }, %option };
    $self->write_files;
    kill 'HUP', $self->{pid};

    becomes(sub {
        my @now = $self->workers;
        return @now == $self->{option}{workers} && !grep { $old{$_} } @now;
    }) or BAIL_OUT('no reload: ' . $self->log =~ s/.*\[debug\].*\n//gr);
}


# Waits until the condition holds, for 10 seconds or so many; whether it does.
# It is looked at once more after the end: it was the test that may have slept.

sub becomes {
    my ($condition, $seconds) = @_;
    my $end = time + ($seconds // 10);

    for (my $late = 0; !$late; sleep 0.005) {
        $late = time >= $end;
        return 1 if $condition->();
    }

    return 0;
}


# Between the two nginx does nothing: what comes meanwhile it finds at once.

sub halt  { AccessToken::stop($_[0]{pid}) }
sub go_on { kill 'CONT', $_[0]{pid} }


sub DESTROY {
    my ($self) = @_;

    local ($?, $@, $!);

    if (my $pid = delete $self->{pid}) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
}


sub log {
    my ($self) = @_;
    return slurp("$self->{dir}/logs/error.log");
}

sub access_log {
    my ($self) = @_;
    return slurp("$self->{dir}/logs/access.log");
}


sub slurp {
    my ($file) = @_;

    open my $in, '<:raw', $file or return '';
    local $/;
    return scalar(<$in>) // '';
}


# One request on a connection of its own.  bearer: a token; json: a body, and
# its type; body, type: a body as it is; headers: more of them, in pairs; on: a
# connection, which is kept.  The path is sent as it is written.  All bodies are
# in seen(), for those who look for secrets in them.

sub call {
    my ($self, $method, $path, %option) = @_;

    my $socket = $option{on} // $self->connect;

    $self->send_request($socket, $method, $path, %option);

    my $response = parse($option{on} ? read_one($socket) : read_all($socket));
    $self->{seen} .= ($response->{head} // '') . ($response->{body} // '');

    return $response;
}


sub seen { return $_[0]{seen} }


# A port of 127.0.0.1 that nobody listens on, and that nobody else of this run
# was given.  It lies below those that connections get at their other end.

my %given;

sub free_port {
    for (1 .. 1000) {
        my $port = 10000 + int rand 10000;
        return $port if take_port($port);
    }

    die "no free port\n";
}

sub take_port {
    my ($port) = @_;
    my $ports = ($ENV{TEST_DIR} // '') . '/ports';

    return 0 if $given{$port}++ || -d $ports && !mkdir "$ports/$port";
    return defined IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                         LocalPort => $port, Listen => 1,
                                         ReuseAddr => 1);
}


sub connect {
    my ($self) = @_;

    return IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                 PeerPort => $self->{port}, Timeout => 5)
        || die "can't connect to nginx: $@\n";
}


# A connection to each of the workers, by their process.

sub connect_workers {
    my ($self) = @_;
    my %socket;

    for (1 .. 1000) {
        return %socket if keys %socket == $self->{option}{workers};

        my $socket = $self->connect;
        my $pid = $self->call(GET => '/worker', on => $socket)->{body};
        $socket{$pid} //= $socket;
    }

    die "some worker takes no connection\n";
}


sub send_request {
    my ($self, $socket, $method, $path, %option) = @_;

    my @headers = @{ $option{headers} // [] };
    my $body = $option{body};
    my $type = $option{type};

    if (exists $option{json}) {
        $body = JSON::PP->new->utf8->canonical->encode($option{json});
        $type //= 'application/json';
    }

    unshift @headers, 'Host', 'localhost';
    unshift @headers, 'Connection', 'close' unless $option{on};
    push @headers, 'Authorization', "Bearer $option{bearer}"
        if defined $option{bearer};
    push @headers, 'Content-Type', $type if defined $type;
    push @headers, 'Content-Length', length $body if defined $body;

    my $text = "$method $path HTTP/1.1\r\n";

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    local $SIG{PIPE} = 'IGNORE';
    print $socket $text . "\r\n" . ($body // '');
    $socket->flush;
}


sub read_all {
    my ($socket) = @_;
    my $bytes = '';

    local $SIG{ALRM} = sub { die "nginx did not answer in 15 s\n" };
    alarm 15;
    while (sysread $socket, $bytes, 65536, length $bytes) { }
    alarm 0;

    return $bytes;
}


# One response, whose length is told.

sub read_one {
    my ($socket) = @_;
    my $bytes = '';

    local $SIG{ALRM} = sub { die "nginx did not answer in 15 s\n" };
    alarm 15;
    while (sysread $socket, $bytes, 65536, length $bytes) {
        my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
        last if defined $body && length $body
                >= ($head =~ /^Content-Length: (\d+)/mi ? $1 : 0);
    }
    alarm 0;

    return $bytes;
}


# status, head (as it came), headers (names in lower case), body, json.

sub parse {
    my ($bytes) = @_;

    $bytes =~ s{^HTTP/1\.1 100 .*?\r\n\r\n}{}s;

    my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
    my ($status_line, @lines) = split /\r\n/, $head // '';
    my ($status, $reason) = ($status_line // '')
                            =~ m{^HTTP/1\.1 (\d+) ?(.*)} or return {};
    my %headers;

    for my $line (@lines) {
        my ($name, $value) = split /:\s*/, $line, 2;
        $name = lc $name;
        $headers{$name} = defined $headers{$name}
                          ? "$headers{$name}, $value" : $value;
    }

    if (($headers{'transfer-encoding'} // '') eq 'chunked') {
        my $plain = '';
        while ($body =~ s/^([0-9a-fA-F]+)\r\n//) {
            my $size = hex $1 or last;
            $plain .= substr $body, 0, $size + 2, '';
            substr $plain, -2, 2, '';
        }
        $body = $plain;
    }

    my $json = ($headers{'content-type'} // '') =~ /json/ && length $body
               ? eval { JSON::PP->new->utf8->decode($body) } : undef;

    return { status => $status, reason => $reason, head => $head,
             headers => \%headers, body => $body, json => $json };
}


# Waits until nginx has logged n more lines that fit since the last call with
# the same pattern; how many there were.

sub await_log {
    my ($self, $pattern, $n) = @_;
    my $before = $self->{awaited}{$pattern} // 0;
    my $lines = 0;

    for (1 .. 1000) {
        $lines = () = $self->log =~ /$pattern/g;
        last if $lines - $before >= $n;
        sleep 0.01;
    }

    $self->{awaited}{$pattern} = $lines;

    return $lines - $before;
}


# Makes a token, which has to succeed; the answer's JSON.

sub create {
    my ($self, $organization, $group, %member) = @_;

    my $path = "/api/organizations/$organization"
               . ($group ne '' ? "/groups/$group" : '') . '/access-tokens';
    my $response = $self->call(POST => $path, bearer => $ROOT,
                               json => { name => 'a token',
                                         expires_at => in_days(30),
                                         %member });

    $response->{status} eq '201'
        or BAIL_OUT("no token: $response->{status} $response->{body}\n"
                    . $self->log =~ s/.*\[debug\].*\n//gr);

    return { %{ $response->{json} }, path => "$path/$response->{json}{id}" };
}


# For files of Test::Nginx: what a block of the API's needs and does not say
# itself.  A request is root's own, and of JSON.

sub api_block {
    my ($block) = @_;

    my %default = (
        http_config => '    access_token_redis ' . address() . <<'END',
 timeout=5s connect_timeout=5s;
    access_token_root_file $TEST_NGINX_SERVER_ROOT/html/root;
END
        config => '    location /api/ { access_token_api; }',
        user_files => ">>> root\nsha256:" . sha256_hex($ROOT) . " test\n",
        more_headers => "Authorization: Bearer $ROOT\n"
                        . 'Content-Type: application/json',
    );

    for my $section (keys %default) {
        $block->set_value($section, $default{$section})
            unless defined $block->$section;
    }

    $block->set_value(no_error_log => "[error]\n[alert]\n[crit]\n[emerg]")
        unless defined $block->error_log || defined $block->no_error_log;
}


sub in_days {
    my ($days) = @_;
    return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime time + $days * 86400);
}


1;
