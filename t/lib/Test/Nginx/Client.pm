package Test::Nginx::Client;

# The HTTP side of a block: its sections made into requests as they go over
# the wire, sent byte by byte as they are, and the answers taken apart.
#
# A request is a list of packets { value, delay_before }; nearly always one.
# An answer is { code, headers => [[name, value], ...], raw_headers, body }.

use strict;
use warnings;

use Errno qw(EAGAIN EWOULDBLOCK);
use IO::Select ();
use IO::Socket::INET ();
use List::Util qw(min);
use Test::More ();
use Test::Nginx::Util qw(bail_out);


# The block's requests, one for each connection.

sub requests_of {
    my ($block) = @_;
    my $raw = $block->raw_request;

    if (defined $raw) {
        return [map { { value => $_ } } ref $raw ? @$raw : $raw];
    }

    my $pipelined = $block->pipelined_requests;
    return pipelined_request($block, @$pipelined) if $pipelined;

    my $request = $block->request // '';

    unless (ref $request) {
        1 while $request =~ s/\A\s*#[^\n]+\s+|\A\s+//;
        return complete_request($block, 0, 'close', $request);
    }

    return map { complete_request($block, $_, 'close', $request->[$_]) }
           0 .. $#$request;
}


sub pipelined_request {
    my ($block, @requests) = @_;
    my $bytes = '';

    for my $i (0 .. $#requests) {
        my $text = Test::Nginx::Util::expand_env_in_text($requests[$i],
                                                         $block->name);
        my $request = complete_request($block, $i,
                                       $i < $#requests ? 'keep-alive' : 'close',
                                       $text);
        $bytes .= $request->[0]{value};
    }

    return [{ value => $bytes }];
}


# Makes "METHOD [URL [VERSION]]" and a body into a request, headers included.
# The packets it is given in are cut at the same places afterwards.

sub complete_request {
    my ($block, $index, $connection, $request) = @_;
    my @packets = map { ref $_ ? { %$_ } : { value => $_ } }
                  ref $request ? @$request : $request;

    my $text = join '', map { $_->{value} } @packets;
    my ($line) = $text =~ /\A([^\n]*\n?)/;

    $line =~ /^\s*(\S+)(?: +(\S+))?(?: +(\S+))?\s*$/
        or bail_out($block->name . " - bad request line: \"$line\"");

    my ($method, $url, $version) = ($1, $2 // '/', $3 // 'HTTP/1.1');
    my (@from, @to);
    for my $word (1 .. 3) {
        $from[$word] = $-[$word] // $to[$word - 1];
        $to[$word]   = $+[$word] // $to[$word - 1];
    }

    my ($extra, $chunked) = more_headers($block, $index);
    my $body = substr $text, length $line;
    my $headers = '';

    $headers .= 'Host: ' . Test::Nginx::Util::server_name() . "\r\n"
        unless $extra =~ /^Host:/mi;
    $headers .= "Connection: $connection\r\n" unless $extra =~ /^Connection/mi;
    $headers .= $extra;

    if ($body ne '' && !$chunked && $extra !~ /^Content-Length:/m) {
        $body =~ s/^\s+|\s+$//g;
        $headers .= 'Content-Length: ' . length($body) . "\r\n";
    }

    my @segments = ([$from[1], $to[1], "$method "],
                    [$from[2], $to[2], "$url "],
                    [$from[3], $to[3], "$version\r\n"],
                    [length $line, length $line, "$headers\r\n"],
                    [length $line, length $text, $body]);

    return cut(\@packets, @segments);
}


# Replaces segments [from, to, new text] of the packets' joined text, dropping
# what lies between them.

sub cut {
    my ($packets, @segments) = @_;
    my $rest = join '', map { $_->[2] } @segments;
    my ($old, $done) = (0, 0);

    for my $packet (@$packets) {
        $old += length $packet->{value};

        my $new = 0;
        for my $segment (@segments) {
            my ($from, $to, $text) = @$segment;
            last if $old < $from;
            $new += $old < $to ? min($old - $from, length $text) : length $text;
        }

        $packet->{value} = substr $rest, 0, $new - $done, '';
        $done = $new;
    }

    return $packets;
}


# The block's own headers for its request number $index, and whether they say
# that the body is chunked.

sub more_headers {
    my ($block, $index) = @_;
    my $text = $block->more_headers || '';

    $text = $text->[$index]
        // bail_out($block->name . " - no more_headers for request $index")
        if ref $text eq 'ARRAY';

    my ($headers, $chunked) = ('', 0);

    for my $line (split /\n+/, $text) {
        next if $line =~ /^\s*#/;
        my ($name, $value) = split /:\s*/, $line, 2;
        $value //= '';
        $headers .= "$name: $value\r\n";
        $chunked = 1 if lc $name eq 'transfer-encoding' && $value eq 'chunked';
    }

    return ($headers, $chunked);
}


# Sends a request and returns all that comes back until nginx closes.  A
# timeout is a failure, unless the block has "abort": then we hang up.

sub exchange {
    my ($block, $packets) = @_;

    return curl($block, $packets) if defined $block->http2;

    my $timeout = timeout_of($block);
    my $sock = connect_to_nginx($block, $timeout) or return '';
    my $readable = IO::Select->new($sock);
    my $writable = IO::Select->new($sock);
    my @packets = @$packets;
    my $out = (shift @packets)->{value};
    my $in = '';

    local $SIG{PIPE} = 'IGNORE';

    while (1) {
        my ($r, $w) = IO::Select->select($readable, $writable, undef, $timeout);

        unless ($r) {
            close $sock;
            Test::More::fail('ERROR: client socket timed out - ' . $block->name)
                unless defined $block->abort;
            return $in;
        }

        if (@$r) {
            my $n = sysread $sock, $in, 65536, length $in;
            last if defined $n ? $n == 0 : !again();
        }

        if (@$w) {
            my $n = syswrite $sock, $out;

            if (defined $n) { substr $out, 0, $n, '' }
            elsif (!again()) { $out = ''; @packets = () }

            next if length $out;

            if (my $packet = shift @packets) {
                Test::Nginx::Util::pause($packet->{delay_before}
                                         // $block->raw_request_middle_delay
                                         // 0);
                $out = $packet->{value};
                next;
            }

            shutdown_side($block, $sock);
            $writable->remove($sock);
        }
    }

    return $in;
}

sub again { return $! == EAGAIN || $! == EWOULDBLOCK }


sub timeout_of {
    my ($block) = @_;
    return Test::Nginx::Util::parse_time(scalar $block->timeout)
           // Test::Nginx::Util::timeout();
}


sub connect_to_nginx {
    my ($block, $timeout) = @_;
    my $address = $block->server_addr_for_client
                  // Test::Nginx::Util::server_addr();
    my $port = Test::Nginx::Util::server_port_for_client();
    my $sock;

    Test::Nginx::Util::await($timeout, sub {
        $sock = IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port,
                                      Timeout => $timeout);
        return $sock || Test::Nginx::Util::nginx_has_ended();
    });

    if ($sock) {
        $sock->blocking(0);
        return $sock;
    }

    Test::More::fail($block->name . " - can't connect to $address:$port: $!");
    return undef;
}


sub shutdown_side {
    my ($block, $sock) = @_;
    my $side = $block->shutdown // return;
    shutdown $sock, $side =~ /\d/ ? $side : 1;
}


# A request over HTTP/2 with prior knowledge, by curl, which adds no headers of
# its own.

sub curl {
    my ($block, $packets) = @_;
    my $request = join '', map { $_->{value} } @$packets;
    my ($head, $body) = split /\r\n\r\n/, $request, 2;
    my ($line, @headers) = split /\r\n/, $head;
    my ($method, $url) = split ' ', $line;
    my $timeout = timeout_of($block);

    bail_out($block->name . ' - http2 with raw_request or pipelined_requests')
        if defined $block->raw_request || $block->pipelined_requests;

    my @command = (qw(curl -sS -i --http2-prior-knowledge),
                   '--max-time', $timeout,
                   map { ('-H', $_) } 'User-Agent:', 'Accept:', 'Host:',
                   grep { !/^(?:Connection|Content-Length):/i } @headers);

    push @command, $method eq 'HEAD' ? '-I' : ('-X', $method);

    if (length $body) {
        my $file = Test::Nginx::Util::html_dir() . '/curl.data.bin';
        Test::Nginx::Util::write_file($file, $body);
        push @command, '-H', 'Content-Type:' unless $head =~ /^Content-Type:/mi;
        push @command, '--data-binary', "\@$file";
    }

    push @command, sprintf 'http://%s:%s%s', Test::Nginx::Util::server_addr(),
                   Test::Nginx::Util::server_port_for_client(), $url;

    open my $pipe, '-|', @command or bail_out("can't run curl: $!");
    binmode $pipe;
    my $answer = do { local $/; <$pipe> } // '';
    close $pipe or $answer ne '' or defined $block->abort
        or Test::More::fail($block->name . " - curl failed: @command");

    return $answer;
}


# Takes the first answer off the bytes: it and what is left behind it.  The
# body of an answer without a length reaches to the end.

sub parse_response {
    my ($block, $bytes) = @_;

    return ({ code => 200, headers => [], raw_headers => '', body => $bytes },
            '') if defined $block->http09;

    my ($raw_headers) = $bytes =~ /\A(.*?\r\n)\r\n/s;
    my ($line, $rest) = $bytes =~ /\A([^\n]*)\n?(.*)\z/s;
    my @headers;

    while (1) {
        if    ($rest =~ s/\A([^\s:]+)[ \t]*: ?([^\n]*)\n?//) {
            push @headers, [$1, $2];
        } elsif (@headers && $rest =~ s/\A([ \t][^\n]*)\n?//) {
            $headers[-1][1] .= "\n$1";
        } else {
            last;
        }
        $headers[-1][1] =~ s/\r\z//;
    }

    $rest =~ s/\A\r?\n//;

    my $code = (split ' ', $line)[1];
    my $res = { code => $code && $code =~ /^\d+$/ ? $code : '',
                headers => \@headers, raw_headers => $raw_headers // '',
                body => $rest };

    return ($res, '') if $res->{code} =~ /^(?:304|101)$/;
    return decode_chunks($block->name, $res)
        if (header($res, 'Transfer-Encoding') // '') eq 'chunked';

    my $length = header($res, 'Content-Length');
    my $left = '';

    if (defined $length && $length =~ /^\d+$/ && length $rest > $length) {
        $left = substr $res->{body}, $length, length $rest, '';
    }

    return ($res, $left);
}


sub decode_chunks {
    my ($name, $res) = @_;
    my $body = '';

    for ($res->{body}) {
        while (/\G[ \t]*([0-9A-Fa-f]+)[ \t]*\r\n/gc) {
            my $size = hex $1;

            if ($size == 0) {
                /\G(?:[^\r\n]+\r\n)*\r\n/gc or last;    # trailers
                my $left = substr $_, pos;
                $res->{body} = $body;
                return ($res, $left);
            }

            my $from = pos;
            last if length $_ < $from + $size + 2;
            $body .= substr $_, $from, $size;
            pos = $from + $size;
            /\G\r\n/gc or last;
        }
    }

    Test::More::fail("$name - bad chunks in the response: $res->{body}");
    return (undef, '');
}


# A header's value, several joined by commas; undef where there is none.

sub header {
    my ($res, $name) = @_;
    my @values = map { $_->[1] } grep { lc $_->[0] eq lc $name }
                 @{ $res->{headers} };
    return @values ? join ', ', @values : undef;
}


1;
