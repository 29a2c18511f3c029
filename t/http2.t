# HTTP/2, over a Unix socket and by curl: "--- init" makes the requests and keeps
# the answers, and the request of the block gets them.  So it works with any
# nginx: "listen ... http2" is what 1.22 knows, and it is no error later.

use Test::Nginx::Socket;
use lib 't';
use AccessToken;
use IO::Socket::UNIX;

plan(`curl --version` =~ /HTTP2/ ? 'no_plan'
     : (skip_all => 'there is no curl that knows HTTP/2'));

our $Good    = put_token(organization => 'acme');
our $Revoked = put_token(organization => 'acme', status => 'r');

our $Listen = 'listen unix:$TEST_NGINX_HTML_DIR/h2.sock http2;';

# Redis holds its answers back for some time.

sub pause { redis_cmd('CLIENT', 'PAUSE', $_[0]) }

# Does something while Redis is silent, and waits until nginx has seen that what
# waited for it is not wanted any more.

sub while_silent {
    my ($code) = @_;
    my $log = "$ENV{TEST_NGINX_HTML_DIR}/../logs/error.log";

    redis_stop();
    $code->();

    for (1 .. 1000) {
        open my $in, '<', $log or die "can't read $log: $!\n";
        last if grep { /client prematurely closed connection/ } <$in>;
        select undef, undef, undef, 0.01;
    }

    redis_continue();
}

# Runs curl and appends what it says to the file that the block asks for.

sub h2 {
    my ($token, @arguments) = @_;
    my $dir = $ENV{TEST_NGINX_HTML_DIR};

    my @curl = ('curl', '-s', '--http2-prior-knowledge',
                '--unix-socket', "$dir/h2.sock", '--max-time', 10,
                '-w', '%{http_version} %{http_code}\n',
                ($token ? ('-H', "Authorization: Bearer $token") : ()),
                @arguments);

    open my $in, '-|', @curl or die "can't run curl: $!\n";
    my $said = do { local $/; <$in> };
    close $in;

    note_down($said);
}

# Opens a stream for each token on one connection, resets the one of that
# number while Redis is silent, and appends what the others are answered.

sub streams {
    my ($reset, @tokens) = @_;
    my $nginx = connection();

    my $open = sub {
        for my $i (1 .. @tokens) {
            print $nginx request_headers(2 * $i - 1, $tokens[$i - 1], 'GET', 1);
        }
    };

    if ($reset) {
        while_silent(sub {
            $open->();
            print $nginx frame(3, 0, 2 * $reset - 1, pack 'N', 8);
        });
    } else {
        $open->();
    }

    my @said = answers($nginx, @tokens - ($reset ? 1 : 0));

    note_down(map { "$_: " . ($said[$_] // "-\n") } 1 .. @tokens);
}

# Sends a body that nobody wants, to its end, and then reads.  Not by curl: that
# one forgets the answer if nginx ends the stream while it still sends.

sub upload {
    my ($token, $length) = @_;
    my $nginx = connection();

    print $nginx request_headers(1, $token, 'POST', 0);

    while ($length) {
        my $n = $length < 16384 ? $length : 16384;
        $length -= $n;
        print $nginx frame(0, $length ? 0 : 1, 1, 'x' x $n);
    }

    my ($code) = (answers($nginx, 1))[1] =~ /^(\d+)/;
    note_down("$code\n");
}

sub connection {
    my $nginx = IO::Socket::UNIX->new(
                    Peer => "$ENV{TEST_NGINX_HTML_DIR}/h2.sock")
                or die "can't connect to nginx: $!\n";
    $nginx->autoflush;

    print $nginx "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(4, 0, 0, '');

    return $nginx;
}

sub request_headers {
    my ($stream, $token, $method, $end) = @_;

    return frame(1, $end ? 0x05 : 0x04, $stream, header_block(
               ':method' => $method, ':scheme' => 'http', ':path' => '/t',
               ':authority' => 'localhost', authorization => "Bearer $token"));
}

# Reads until so many streams have their answer: the status and the body of
# each, by its number.

sub answers {
    my ($nginx, $open) = @_;
    my @said;

    local $SIG{ALRM} = sub { die "nginx does not answer\n" };
    alarm 10;

    while ($open && read $nginx, my $head, 9) {
        my ($long, $length, $type, $flags, $stream) = unpack 'CnCCN', $head;
        my $n = ($stream + 1) / 2;

        read $nginx, my $payload, $length if $length;

        if ($type == 1) {
            my ($code) = $payload =~ /^\x20?(?:\x88|[\x08\x48]\x03(\d+))/s;
            $said[$n] .= ($code // 200) . ' ';

        } elsif ($type == 0) {
            $said[$n] .= $payload;
        }

        $open-- if $type <= 1 && $flags & 1;
    }

    alarm 0;
    return @said;
}

sub frame {
    my ($type, $flags, $stream, $payload) = @_;
    return pack 'CnCCNa*', 0, length $payload, $type, $flags, $stream,
                $payload;
}

# Literals that are neither indexed nor compressed (RFC 7541 section 6.2.2).

sub header_block {
    my @headers = @_;
    my $block = '';

    while (my ($name, $value) = splice @headers, 0, 2) {
        $block .= pack 'x C/a* C/a*', $name, $value;
    }

    return $block;
}

sub note_down {
    my $dir = $ENV{TEST_NGINX_HTML_DIR};

    open my $out, '>>', "$dir/said" or die "can't write $dir/said: $!\n";
    print $out @_;
    close $out;
}

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my $block = shift;

    if (!defined $block->http_config) {
        $block->set_value('http_config',
                          'access_token_redis unix:$TEST_NGINX_REDIS_SOCKET '
                          . 'timeout=5s;');
    }

    if (!defined $block->request && !defined $block->pipelined_requests) {
        $block->set_value('request', 'GET /t');
    }

    if (!defined $block->user_files) {
        $block->set_value('user_files', ">>> t\nlet in\n");
    }

    if (!defined $block->error_log && !defined $block->no_error_log) {
        $block->set_value('no_error_log',
                          "[error]\n[alert]\n[crit]\n[emerg]");
    }
});

add_block_preprocessor(sub {
    my $block = shift;

    $block->set_value('config', "$Listen
        location = /said { access_token off; }
        access_token on;
        location = /t { }
        location = /refused { }
        location = /up { access_token off; return 200 \"up\\n\"; }
        location = /proxy {
            proxy_pass http://127.0.0.1:\$TEST_NGINX_SERVER_PORT/up;
            add_header X-Body \$request_body;
        }
        ");
    $block->set_value('http_config',
                      'access_token_redis unix:$TEST_NGINX_REDIS_SOCKET '
                      . 'timeout=20s connect_timeout=20s;');
    $block->set_value('request', 'GET /said');
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: a good token is let in
--- init
    main::h2($main::Good, 'http://localhost/t');
--- response_body
let in
2 200



=== TEST 2: a good token is let in after a wait
--- init
    main::pause(300);
    main::h2($main::Good, 'http://localhost/t');
--- response_body
let in
2 200



=== TEST 3: a refusal has the same headers and the same body
--- init
    main::h2($main::Revoked, '-D', '-', 'http://localhost/t');
--- response_body_like eval
qr/^HTTP\/2\ 401\ \r\n .*
   ^content-type:\ application\/problem\+json\r\n
   ^content-length:\ 98\r\n
   ^www-authenticate:\ Bearer\ realm="gateway",\ error="invalid_token",
   \ error_description="The\ access\ token\ is\ invalid"\r\n
   ^cache-control:\ no-store\r\n
   .*"detail":"The\ access\ token\ is\ invalid"}\n 2\ 401\n \z/xsm



=== TEST 4: no token, and two
--- init
    main::h2(undef, '-o', '/dev/null', 'http://localhost/t');
    main::h2("$main::Good,$main::Good", '-o', '/dev/null',
             'http://localhost/t');
--- response_body
2 401
2 400



=== TEST 5: many streams of one connection wait, and all go on
--- init
    main::pause(300);
    main::streams(0, ($main::Good, $main::Revoked) x 10);
--- response_body eval
my $no = '{"type":"about:blank","title":"Unauthorized","status":401,'
         . '"detail":"The access token is invalid"}';
CORE::join '', map { $_ . ($_ % 2 ? ": 200 let in\n" : ": 401 $no\n") } 1 .. 20
--- no_error_log
client prematurely closed connection
[error]
[alert]
[crit]
[emerg]



=== TEST 6: a body comes through the wait
--- init
    main::pause(300);
    main::h2($main::Good, '-D', '-', '-d', 'the body',
             'http://localhost/proxy');
--- response_body_like eval
qr/^x-body: the body\r\n.*^up\n2 200\n\z/ms



=== TEST 7: a large body that nobody wants does not stop the refusal
--- init
    main::upload($main::Revoked, 60000);
--- response_body
401



=== TEST 8: a client that goes away while it waits is noticed
--- init
    main::while_silent(sub {
        main::h2($main::Good, '--max-time', '1', 'http://localhost/t');
    });
--- response_body
0 000
--- error_log
client prematurely closed connection
--- no_error_log
[error]
[alert]
[crit]
[emerg]



=== TEST 9: a stream that is reset while it waits does not disturb the others
--- init
    main::streams(2, ($main::Good) x 3);
--- response_body
1: 200 let in
2: -
3: 200 let in
--- error_log
client prematurely closed connection
--- no_error_log
[error]
[alert]
[crit]
[emerg]
