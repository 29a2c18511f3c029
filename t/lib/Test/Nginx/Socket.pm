package Test::Nginx::Socket;

# Runs test files written for openresty's Test::Nginx::Socket where that is
# not installed: with core Perl, and without its waiting.  The runner is
# chosen by the include path alone,
#
#     prove -It/lib t/
#
# and a file makes the same number of checks under both, so that its plan
# holds.  Here are a block's run and its checks; Spec reads the file, Util has
# the settings and nginx's life, Client the requests, Mock the TCP server.
#
# A block makes, for every request and repetition: one check of the status,
# one for the body, one for every header named, one for every log pattern.
# What has no number in a plan (nginx died, a client's timeout, a sanitizer's
# report) shows up as a failed check more than planned.
#
# Not here: HUP and benchmark modes, SystemTap, UDP servers, HTTP/3.

use strict;
use warnings;

use Carp qw(carp cluck confess croak);
use Exporter ();
use List::Util qw(shuffle);
use POSIX ();
use Scalar::Util qw(looks_like_number);
use Test::More;
use Test::Nginx::Client ();
use Test::Nginx::Mock ();
use Test::Nginx::Spec qw();
use Test::Nginx::Util @Test::Nginx::Util::EXPORT_OK;

our $VERSION = '0.33';      # of the original, as tests may require it
our @ISA = ('Exporter');

our @EXPORT = (
    @Test::Nginx::Util::EXPORT_OK,
    qw(add_response_body_check blocks is_str no_diff no_long_string run_test
       run_tests
       carp cluck confess croak
       ok is isnt like unlike is_deeply cmp_ok skip todo_skip pass fail
       eq_array eq_hash eq_set plan can_ok isa_ok diag use_ok $TODO)
);

# Sections that the original knows and that would be silently wrong here.

my @Unsupported = qw(
    charset http3 reload_fails response_body_eval response_body_filters
    response_body_json_sort request_eval skip_nginx2 skip_openssl udp_listen
    error_log_file write_resp_body_file
);

my @ResponseBodyChecks;
my $HaveConfig;


sub import {
    my ($class, @plan) = @_;

    croak 'Test::Nginx::Socket -Base is not supported' if grep /^-/, @plan;

    strict->import;
    warnings->import;
    $class->export_to_level(1, $class);
    plan(@plan) if @plan;
}


sub blocks { return Test::Nginx::Spec::blocks() }

sub add_response_body_check ($) { push @ResponseBodyChecks, shift }

# Test::More's own diagnostics serve for long strings too.

sub no_long_string () { }
sub no_diff        () { }


sub is_str {
    my ($got, $expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ref $expected eq 'Regexp' ? like($got, $expected, $name)
                                     : is($got, $expected, $name);
}


# A run.

sub run_tests () {
    $Test::Nginx::Util::NginxVersion = Test::Nginx::Util::get_nginx_version();
    $Test::Nginx::Util::AfterStop = \&check_after_stop;
    $ENV{TEST_NGINX_SERVER_PORT} //= server_port();
    $SIG{INT} = $SIG{TERM} = \&interrupted;

    my @blocks = blocks();
    @blocks = shuffle @blocks unless $Test::Nginx::Util::NoShuffle;

    for my $block (@blocks) {
        $_->($block) for @Test::Nginx::Util::BlockPreprocessors;
        $block->set_value(name => "$0 " . $block->name);
        run_test($block);
        $_->($block) for @Test::Nginx::Util::TestCleanupHandlers;
    }

    Test::Nginx::Util::cleanup();
}


# Ends by way of END, once.  A child that is ended as soon as it begins has this
# still, and nginx is not its to stop.

my $Owner = $$;

sub interrupted {
    $SIG{$_} = 'IGNORE' for qw(INT TERM);
    POSIX::_exit(1) if $$ != $Owner;
    exit 1;
}


END {
    local $?;
    Test::Nginx::Util::cleanup() if $$ == $Owner;
}


sub run_test {
    my ($block) = @_;

    return if defined $block->SKIP;

    for my $section (grep { exists $block->{$_} } @Unsupported) {
        bail_out($block->name . " - no support for section $section");
    }

    return if skipped($block);

    $Test::Nginx::Util::RandPorts = {};
    Test::Nginx::Util::rewind_logs();

    return run_must_die($block) if defined $block->must_die;
    return unless started($block);

    Test::Nginx::Util::evaluate($block->name, $block->init // '');

    for my $repetition (0 .. repeat_each() - 1) {
        Test::Nginx::Util::write_user_files($block) if $repetition > 0;
        Test::Nginx::Mock::start($block);
        run_requests($block, $repetition);
        Test::Nginx::Mock::check_query($block) if defined $block->tcp_listen;
        Test::Nginx::Mock::stop();
    }
}


# "N: condition" sections: N checks a repetition are skipped.

sub skipped {
    my ($block) = @_;
    my $name = $block->name;
    my ($checks, $reason, $todo);

    if (defined(my $spec = $block->skip_eval)) {
        my ($n, $code) = $spec =~ /^\s*(\d+)\s*:\s*(.*)/s
            or bail_out("$name - bad skip_eval: $spec");
        ($checks, $reason) = ($n, 'skip_eval')
            if Test::Nginx::Util::evaluate($name, $code);
    }

    if (defined(my $spec = $block->skip_nginx)) {
        my ($n, $operator, $version, $why) =
            $spec =~ /^\s*(\d+)\s*:\s*([<>]=?)\s*(\d+\.\d+\.\d+)
                      (?:\s*:\s*(.*?))?\s*$/x
            or bail_out("$name - bad skip_nginx: $spec");
        ($checks, $reason) = ($n, $why || "nginx $operator $version")
            if version_is($operator, $version);
    }

    if (defined(my $spec = $block->todo)) {
        ($checks, $reason) = $spec =~ /^\s*(\d+)\s*:\s*(.*)/s
            or bail_out("$name - bad todo: $spec");
        $todo = 1;
    }

    return 0 unless defined $checks;

    for (1 .. repeat_each()) {
        SKIP: { skip("$name - $reason", $checks) unless $todo }
        TODO: { todo_skip("$name - $reason", $checks) if $todo }
    }

    return 1;
}


sub version_is {
    my ($operator, $version) = @_;
    my $ours = $Test::Nginx::Util::NginxVersion;
    my $other = Test::Nginx::Util::get_canon_version(split /\./, $version);

    return $operator eq '<'  ? $ours < $other
         : $operator eq '<=' ? $ours <= $other
         : $operator eq '>'  ? $ours > $other
         :                     $ours >= $other;
}


# A block without a config goes on with the nginx of the one before.

sub started {
    my ($block) = @_;

    if (!defined $block->config) {
        $HaveConfig or bail_out($block->name . ' - no config section');
        return 1;
    }

    $HaveConfig = 1;
    my $status = Test::Nginx::Util::start_nginx($block) // return 1;

    fail($block->name . ' - nginx starts (wait status ' . $status . ')');
    diag(Test::Nginx::Util::start_message());
    return 0;
}


sub run_must_die {
    my ($block) = @_;
    my $name = $block->name;
    my $expected = $block->must_die;

    for my $repetition (0 .. repeat_each() - 1) {
        my $status = $repetition == 0
                     ? Test::Nginx::Util::start_nginx($block)
                     : Test::Nginx::Util::spawn_nginx($block);
        my $running = !defined $status;
        $status //= 0;

        if ($status & 127 || $status >> 8 == 127) {
            fail("$name - nginx dies as expected (wait status $status)");
        } elsif (looks_like_number($expected)) {
            is($expected, $status >> 8, "$name - die with the exit code");
        } else {
            isnt($status, 0, "$name - die as expected");
        }

        check_error_log($block, $repetition);
        Test::Nginx::Util::stop_nginx() if $running;
    }

    check_health($block);
}


sub run_requests {
    my ($block, $repetition) = @_;
    my $name = $block->name;
    my $pipelined = $block->pipelined_requests;
    my @requests = Test::Nginx::Client::requests_of($block);
    my $responses = $pipelined ? @$pipelined : 1;
    my $many = $pipelined || @requests > 1;
    my $index = 0;

    for my $request (@requests) {
        my $log_size = Test::Nginx::Util::access_log_size();
        my $bytes = Test::Nginx::Client::exchange($block, $request);

        for (1 .. $responses) {
            my $res;

            unless (defined $block->ignore_response) {
                ($res, $bytes) =
                    Test::Nginx::Client::parse_response($block, $bytes);
                check_response($block, $res,
                               expectation($block, $index, $many));
                $_->($block, $res->{body}, $index, $repetition, 0)
                    for @ResponseBodyChecks;
            }

            Test::Nginx::Util::pause($block->wait || 0);
            Test::Nginx::Util::await_log_phase($log_size);
            skip_stap($block) if ++$index == $responses * @requests;
            check_error_log($block, $repetition);
            check_access_log($block, $repetition)
                unless defined $block->ignore_response;
        }

        warn "WARNING: $name - extra bytes after the response: $bytes\n"
            if $bytes ne '' && !defined $block->ignore_response;
    }
}


# There is one check for SystemTap, which counts as skipped without it.

sub skip_stap {
    my ($block) = @_;
    SKIP: { skip($block->name . ' - stap', 1) if $block->stap }
}


# The responses.

# A function from a section's name to what it says for request $index.  With
# several requests it has to say so for each, in an array.

sub expectation {
    my ($block, $index, $many) = @_;

    return sub {
        my ($section) = @_;
        my $value = $block->$section;

        return $value->[$index] if ref $value eq 'ARRAY';
        bail_out($block->name . " - $section must be an array") if $many;
        return $value;
    };
}


sub check_response {
    my ($block, $res, $expected) = @_;

    check_status($block, $res, $expected);
    check_raw_headers($block, $res, $expected);
    check_headers($block, $res, $expected);
    check_body($block, $res, $expected);
}


sub check_status {
    my ($block, $res, $expected) = @_;
    my $name = $block->name . ' - status code ok';
    my $code = $res->{code} || '';

    if (defined $block->error_code_like) {
        my $pattern = $expected->('error_code_like');
        like($code, qr/$pattern/sm, $name);
        return;
    }

    is($code, defined $block->error_code ? $expected->('error_code') : 200,
       $name);
}


sub check_raw_headers {
    my ($block, $res, $expected) = @_;
    my $name = $block->name . ' - raw resp headers';

    if (defined $block->raw_response_headers_like) {
        my $pattern = $expected->('raw_response_headers_like');
        like($res->{raw_headers}, qr/$pattern/s, "$name like");
    }

    if (defined $block->raw_response_headers_unlike) {
        my $pattern = $expected->('raw_response_headers_unlike');
        unlike($res->{raw_headers}, qr/$pattern/s, "$name unlike");
    }
}


sub check_headers {
    my ($block, $res, $expected) = @_;
    my $name = $block->name;

    if (defined $block->response_headers) {
        my $headers = parse_headers($expected->('response_headers'));

        for my $header (sort keys %$headers) {
            my $value = with_ports($headers->{$header});

            if (defined $value) {
                is(Test::Nginx::Client::header($res, $header) // '', $value,
                   "$name - header $header ok");
            } else {
                unlike($res->{raw_headers}, qr/^\s*\Q$header\E\s*:/m,
                       "$name - header $header not present");
            }
        }

    } elsif (defined $block->response_headers_like) {
        my $headers = parse_headers($expected->('response_headers_like'));

        for my $header (sort keys %$headers) {
            like(Test::Nginx::Client::header($res, $header) // '',
                 qr/^$headers->{$header}$/, "$name - header $header like ok");
        }
    }
}


# "Name: value" lines; the value of "!Name" is undef.

sub parse_headers {
    my %headers;

    for my $line (split /\n/, shift // '') {
        $line =~ s/^\s+|\s+$//g;
        my ($name, $value) = $line =~ s/^!\s*// ? ($line)
                             : split /\s*:\s*/, $line, 2;
        $headers{$name // ''} = $value;
    }

    return \%headers;
}


sub check_body {
    my ($block, $res, $expected) = @_;
    my $name = $block->name;
    my $body = $res->{body};

    if (defined $block->response_body) {
        my $wanted = with_ports($expected->('response_body'));
        is_str($body, Test::Nginx::Util::expand_env_in_text($wanted, $name),
               "$name - response_body");

    } elsif (defined $block->response_body_like) {
        my $pattern = with_ports($expected->('response_body_like'));
        like($body, qr/$pattern/s, "$name - response_body_like");

    } elsif (defined $block->response_body_unlike) {
        my $pattern = with_ports($expected->('response_body_unlike'));
        unlike($body, qr/$pattern/s, "$name - response_body_unlike");
    }
}


sub with_ports {
    my ($text) = @_;

    return $text if !defined $text || ref $text;

    my %port = (ServerPort => server_port(),
                ServerPortForClient => server_port_for_client());
    return $text =~ s/\$(ServerPort|ServerPortForClient)\b/$port{$1}/gr;
}


# The logs.

# The list of patterns in a section: a line each, a regex, or an array of both.

sub patterns {
    my ($value) = @_;

    return () unless defined $value;
    return grep { defined } @$value if ref $value eq 'ARRAY';
    return $value if ref $value;
    return split /\n+/, $value;
}


sub matches {
    my ($line, $pattern) = @_;
    return ref $pattern ? $line =~ $pattern : index($line, $pattern) >= 0;
}


sub found {
    my ($pattern, @lines) = @_;
    return grep { matches($_, $pattern) } @lines;
}


sub check_error_log {
    my ($block, $repetition) = @_;
    my $name = $block->name;
    my $grep = grep_of($block, $repetition);
    my @present = patterns(scalar $block->error_log);

    my @lines = Test::Nginx::Util::log_lines($Test::Nginx::Util::ErrLogFile,
        sub {
            my @lines = @_;
            return 0 if grep { !found($_, @lines) } @present;
            return !$grep || grep_matches($grep, @lines);
        });

    if ($grep) {
        is_str(grep_lines($grep->{pattern}, @lines), $grep->{out},
               "$name - grep_error_log_out (req $repetition)");
    }

    check_patterns($block, 'error.log', $repetition, \@lines,
                   \@present, [patterns(scalar $block->no_error_log)]);
    warn_of_levels($block, @lines);

    for my $line (grep { /\bAssertion .*?failed\b/ } @lines) {
        fail("$name - $line");
    }
}


sub check_access_log {
    my ($block, $repetition) = @_;
    my @present = patterns(scalar $block->access_log);
    my @absent = patterns(scalar $block->no_access_log);

    return unless @present || @absent;

    # always the whole file, as the original does
    Test::Nginx::Util::rewind_log($Test::Nginx::Util::AccLogFile);

    my @lines = Test::Nginx::Util::log_lines($Test::Nginx::Util::AccLogFile,
        sub { my @lines = @_; !grep { !found($_, @lines) } @present });

    check_patterns($block, 'access.log', $repetition, \@lines,
                   \@present, \@absent);
}


sub check_patterns {
    my ($block, $log, $repetition, $lines, $present, $absent) = @_;
    my $name = $block->name;

    for my $pattern (@$present) {
        ok(found($pattern, @$lines),
           "$name - pattern \"$pattern\" matches a line in $log"
           . " (req $repetition)");
    }

    for my $pattern (@$absent) {
        my @found = found($pattern, @$lines);
        ok(!@found,
           "$name - pattern \"$pattern\" does not match a line in $log"
           . " (req $repetition)");
        diag("the line is: $found[0]") if @found;
    }
}


# What grep_error_log and grep_error_log_out say for a repetition.

sub grep_of {
    my ($block, $repetition) = @_;
    my $name = $block->name;
    my $pattern = $block->grep_error_log;
    my $out = $block->grep_error_log_out;

    $pattern = $pattern->[$repetition] if ref $pattern eq 'ARRAY';

    return undef if !defined $pattern && !defined $out;
    bail_out("$name - no grep_error_log") unless defined $pattern;
    bail_out("$name - no grep_error_log_out") unless defined $out;

    $out = Test::Nginx::Util::expand_env_in_text($out, $name);
    $out = $out->[$repetition] if ref $out eq 'ARRAY';

    return { pattern => $pattern, out => $out };
}


# The matched part of every line, each on a line of its own.

sub grep_lines {
    my ($pattern, @lines) = @_;
    my $regex = ref $pattern ? $pattern : qr/\Q$pattern\E/;

    return join '', map { "$_\n" } grep { !/\n/ }
           map { /$regex/ ? substr $_, $-[0], $+[0] - $-[0] : () } @lines;
}


sub grep_matches {
    my ($grep, @lines) = @_;
    my $out = grep_lines($grep->{pattern}, @lines);

    return $out =~ $grep->{out} if ref $grep->{out};
    return $out eq ($grep->{out} // '');
}


# Lines of these levels do not fail a block; no_error_log does.

sub warn_of_levels {
    my ($block, @lines) = @_;
    my $patterns = join "\n", map { patterns(scalar $_) }
                   $block->error_log, $block->no_error_log;

    for my $level (qw(alert crit emerg)) {
        next if index($patterns, "[$level") >= 0;
        warn 'WARNING: ', $block->name, " - $_"
            for grep { /\[$level\]/ } @lines;
    }
}


# After nginx has ended.

sub check_after_stop {
    my ($block, $status) = @_;
    my $name = $block->name;

    if (my $signal = $status & 127) {
        fail("$name - nginx died of signal $signal");
    }

    check_health($block);

    my @present = patterns(scalar $block->shutdown_error_log);
    my @absent = patterns(scalar $block->no_shutdown_error_log);

    return unless @present || @absent;

    my @lines = Test::Nginx::Util::log_lines($Test::Nginx::Util::ErrLogFile,
                                             sub { 1 });
    check_patterns($block, 'error.log at shutdown', 0, \@lines,
                   \@present, \@absent);
}


# What must never be in the log, unless the block expects it.

sub check_health {
    my ($block) = @_;
    my $expected = join "\n", patterns(scalar $block->error_log);

    for my $line (Test::Nginx::Util::all_log_lines()) {
        $line =~ /(exited\ on\ signal | (?:Address|Leak|Memory|Thread)Sanitizer
                   | :\ runtime\ error: | ^==\d+==\ \S)/x or next;
        next if index($expected, $1) >= 0;
        chomp $line;
        fail($block->name . " - in nginx's log: $line");
        return;
    }
}


1;
