package Test::Nginx::Util;

# The settings of a test file and the life of its nginx: a server root made
# anew for every block, a configuration file written from the block's
# sections, one nginx started and stopped, its logs read.
#
# nginx runs in the foreground as our child, so that its end is ours to see: a
# death by a signal, in a worker too, and what a sanitizer or valgrind reports
# become failures of the block that ran.  Nothing sleeps for a fixed time: what
# is expected is awaited in steps of some milliseconds.

use strict;
use warnings;

use Carp qw(croak);
use Cwd ();
use Errno ();
use Exporter 'import';
use File::Path qw(make_path remove_tree);
use File::Spec ();
use IO::Socket::INET ();
use POSIX qw(WNOHANG);
use Test::More ();
use Time::HiRes qw(time);

our @EXPORT_OK = qw(
    add_block_preprocessor add_cleanup_handler add_test_cleanup_handler
    bail_out check_accum_error_log config_preamble env_to_nginx html_dir
    log_level master_off master_on master_process_enabled no_root_location
    no_shuffle repeat_each server_addr server_name server_port
    server_port_for_client server_root timeout use_hup worker_connections
    workers
);

# Names that tests use are those of the original.

our $Verbose            = $ENV{TEST_NGINX_VERBOSE};
our $NginxBinary        = $ENV{TEST_NGINX_BINARY} || 'nginx';
our $LoadModules        = $ENV{TEST_NGINX_LOAD_MODULES} || '';
our $NoShuffle          = $ENV{TEST_NGINX_NO_SHUFFLE};
our $UseValgrind        = $ENV{TEST_NGINX_USE_VALGRIND};
our $Timeout            = $ENV{TEST_NGINX_TIMEOUT} || 3;
our $TestNginxSleep     = $ENV{TEST_NGINX_SLEEP} || 0.015;
our $LogLevel           = $ENV{TEST_NGINX_LOG_LEVEL} || 'debug';
our $ServerAddr         = '127.0.0.1';
our $ServerName         = 'localhost';
our $ServerPort         = $ENV{TEST_NGINX_SERVER_PORT}
                          || $ENV{TEST_NGINX_PORT} || 1984;

$ServerPort = free_port() if $ENV{TEST_NGINX_RANDOMIZE};

our $ServerPortForClient = $ENV{TEST_NGINX_CLIENT_PORT} || $ServerPort;

our $ServRoot = $ENV{TEST_NGINX_RANDOMIZE}
                ? File::Spec->rel2abs("t/servroot_$ServerPort")
                : File::Spec->rel2abs($ENV{TEST_NGINX_SERVROOT}
                                      || 't/servroot');

our $LogDir     = "$ServRoot/logs";
our $ErrLogFile = "$LogDir/error.log";
our $AccLogFile = "$LogDir/access.log";
our $PidFile    = "$LogDir/nginx.pid";
our $HtmlDir    = "$ServRoot/html";
our $ConfFile   = "$ServRoot/conf/nginx.conf";

our $MasterProcessEnabled = $ENV{TEST_NGINX_MASTER_PROCESS} || 'off';
our $Workers              = 1;
our $WorkerConnections    = 64;
our $RepeatEach           = 1;
our $ConfigPreamble       = '';
our ($NoRootLocation, $CheckAccumErrLog, $NginxVersion);

our (@BlockPreprocessors, @CleanupHandlers, @TestCleanupHandlers, @EnvToNginx);

our $RandPorts = {};

# Called with the block and the wait status after its nginx has ended.
our $AfterStop = sub { };

my $StderrFile = "$LogDir/stderr.log";
my $Patience   = 2;       # seconds until an awaited log line is missing
my $NginxPid;             # our child; undefined where none was started
my $NginxStatus;          # how it ended, as $?; undefined while it runs
my $NginxBlock;           # the block it was started for
my $NginxBuild = '';      # what nginx -V says
my %LogPosition;          # how far each log was read, in bytes

$ENV{TEST_NGINX_SERVER_ROOT} = $ServRoot;


# Settings.  A call with an argument sets, without one it gets.

sub setting {
    my $variable = shift;
    $$variable = shift if @_;
    return $$variable;
}

sub repeat_each            { setting(\$RepeatEach, @_) }
sub timeout                { setting(\$Timeout, @_) }
sub workers                { setting(\$Workers, @_) }
sub worker_connections     { setting(\$WorkerConnections, @_) }
sub log_level              { setting(\$LogLevel, @_) }
sub server_addr            { setting(\$ServerAddr, @_) }
sub server_name            { setting(\$ServerName, @_) }
sub server_port            { setting(\$ServerPort, @_) }
sub server_port_for_client { setting(\$ServerPortForClient, @_) }

sub html_dir ()             { return $HtmlDir }
sub server_root ()          { return $ServRoot }
sub config_preamble ($)     { $ConfigPreamble = shift }
sub master_on ()            { $MasterProcessEnabled = 'on' }
sub master_off ()           { $MasterProcessEnabled = 'off' }
sub no_shuffle ()           { $NoShuffle = 1 }
sub no_root_location ()     { $NoRootLocation = 1 }
sub check_accum_error_log () { $CheckAccumErrLog = 1 }
sub use_hup ()              { }    # an nginx per block serves as well

sub master_process_enabled {
    return setting(\$MasterProcessEnabled,
                   @_ ? (shift() ? 'on' : 'off') : ());
}

sub env_to_nginx {
    for my $variable (@_) {
        croak "env_to_nginx: bad value: $variable"
            unless $variable =~ /^[A-Za-z_][^\n]*$/;
        push @EnvToNginx, $variable;
    }
}

# The handler that is added last is the first to be called.

sub add_block_preprocessor (&)   { unshift @BlockPreprocessors, shift }
sub add_cleanup_handler ($)      { unshift @CleanupHandlers, shift }
sub add_test_cleanup_handler ($) { unshift @TestCleanupHandlers, shift }


sub bail_out {
    cleanup();
    Test::More::BAIL_OUT(join '', @_);
}


# Texts and times.

sub pause { select undef, undef, undef, shift }


# Calls $done every 10 ms until it is true or the time is over; its answer.

sub await {
    my ($seconds, $done) = @_;
    my $deadline = time + $seconds;

    while (1) {
        my $answer = $done->();
        return $answer if $answer or time >= $deadline;
        pause(0.01);
    }
}


sub parse_time {
    my ($time) = @_;

    return $time unless defined $time && $time =~ /^([\d.]+)(m?)s\s*$/;
    return $2 ? $1 / 1000 : $1;
}


sub expand_env_in_text {
    my ($text, $name) = @_;

    return $text if !defined $text || ref $text;

    $text =~ s{\$(TEST_NGINX_[_A-Z0-9]+)}{test_variable($1, $name)}eg;

    return $text;
}


sub test_variable {
    my ($variable, $name) = @_;

    if ($variable =~ /^TEST_NGINX_RAND_PORT_\d+$/) {
        $RandPorts->{$variable} = free_port() unless $RandPorts->{$variable};
        return $RandPorts->{$variable};
    }

    return $ENV{$variable} // bail_out("$name - no environment $variable");
}


# Nobody else of the same run of tests is given it, where there is one.

sub free_port {
    my $ports = ($ENV{TEST_DIR} // '') . '/ports';

    for (1 .. 1000) {
        my $port = 10000 + int rand 20000;
        next if grep { $_ == $port } values %$RandPorts;
        next if -d $ports && !mkdir "$ports/$port";
        return $port if IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                              LocalPort => $port,
                                              Listen => 1, ReuseAddr => 1);
    }

    bail_out('no free port found');
}


# A version as a number: 1.22.1 is 1.022001.

sub get_canon_version { return sprintf '%d.%03d%03d', @_ }


sub get_nginx_version {
    $NginxBuild = `$NginxBinary -V 2>&1` // '';
    $NginxBuild =~ m{/(\d+)\.(\d+)\.(\d+)}
        or bail_out("no version in what $NginxBinary -V says: $NginxBuild");
    return get_canon_version($1, $2, $3);
}


# The server root.

sub setup_server_root {
    if (-d $ServRoot) {
        # only what nginx and this file make is removed: a wrong
        # TEST_NGINX_SERVROOT must not cost anyone's data
        remove_tree("$ServRoot/conf", "$ServRoot/cache", $HtmlDir, $LogDir,
                    glob("$ServRoot/*_cache $ServRoot/*_temp"));
        rmdir $ServRoot or bail_out("can't remove $ServRoot: $!");
    }

    make_path($LogDir, $HtmlDir, "$ServRoot/conf");
    %LogPosition = ();

    write_file("$HtmlDir/index.html",
               '<html><head><title>It works!</title></head>'
               . '<body>It works!</body></html>');
}


sub write_file {
    my ($path, $content) = @_;

    make_path($path =~ s{/[^/]*\z}{}r);

    open my $out, '>:raw', $path or bail_out("can't write $path: $!");
    print $out $content;
    close $out or bail_out("can't write $path: $!");
}


sub read_file {
    my ($path, $from) = @_;

    open my $in, '<:raw', $path or return '';
    seek $in, $from // 0, 0;
    local $/;
    return scalar(<$in>) // '';
}


# Each file is ">>> name", optionally a date as touch -t takes it, its content.

sub write_user_files {
    my ($block) = @_;
    my $files = $block->user_files or return;

    unless (ref $files) {
        my (undef, @parts) = split /^.*?>>> (\S+)[ \t]*(.*)\n/m, $files;
        $files = [];
        while (@parts) {
            my ($name, $date, $content) = splice @parts, 0, 3;
            push @$files, [$name, $content, $date];
        }
    }

    for my $file (@$files) {
        my ($name, $content, $date) = @$file;
        my $path = $name =~ m{^/} ? $name : "$HtmlDir/$name";

        write_file($path, expand_env_in_text($content // '', $block->name));

        if ($date) {
            local $ENV{TZ} = 'GMT';
            system('touch', '-t', $date, $path) == 0
                or bail_out("bad date of $name: $date");
        }
    }
}


# The configuration.

sub write_config_file {
    my ($block) = @_;

    my ($main, $post_main, $http, $config) =
        map { expand_env_in_text($block->$_ // '', $block->name) }
            qw(main_config post_main_config http_config config);

    my $level   = $block->log_level || $LogLevel;
    my $modules = join '', map { "load_module $_;\n" } split ' ', $LoadModules;
    my $env     = join '', map { /\s/ ? "env '$_';\n" : "env $_;\n" }
                  @EnvToNginx, qw(LD_PRELOAD LD_LIBRARY_PATH
                                  ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS);
    my $user    = $ENV{TEST_NGINX_WORKER_USER} || ($> == 0 ? 'root' : '');
    my $listen  = listen_address($block, $http);
    my $name    = quoted($block->server_name // $ServerName);
    my $temp    = join "\n    ", map { "${_}_temp_path $ServRoot/${_}_temp;" }
                  grep { $http !~ /\b${_}_temp_path\b/
                         && $NginxBuild !~ /--without-http_${_}_module/ }
                  qw(client_body proxy fastcgi scgi uwsgi);
    my $root    = $NoRootLocation ? ''
                  : "location / { root $HtmlDir; index index.html index.htm; }";

    $user = "user $user;" if $user;

    write_file($ConfFile, <<"END");
worker_processes $Workers;
daemon off;
master_process $MasterProcessEnabled;
error_log $ErrLogFile $level;
pid $PidFile;
$env$user
$modules$main

http {
    access_log $AccLogFile;
    $temp
    default_type text/plain;
    keepalive_timeout 68s;

$http
    server {
        listen $listen;
        server_name '$name';
        client_max_body_size 30M;

$ConfigPreamble
$config

        $root
    }
}

$post_main

events {
    accept_mutex off;
    worker_connections $WorkerConnections;
}
END
}


# 127.0.0.1 alone, unless a test's own server listens on the same port of every
# address: with two addresses its server_name would not be looked at.

sub listen_address {
    my ($block, $http) = @_;

    my $address = $ServerAddr eq '127.0.0.1'
                  && !defined $block->server_addr_for_client
                  && $http !~ /\blisten\s+(?:\*:)?$ServerPort\b/
                  ? "127.0.0.1:$ServerPort" : $ServerPort;

    return $address unless defined $block->http2;
    return $NginxVersion >= 1.025001 ? "$address; http2 on" : "$address http2";
}


sub quoted { return $_[0] =~ s/([\\'])/\\$1/gr }


# Makes the server root and starts nginx for a block.  Returns undef once it
# is running, otherwise the wait status of its end; start_message() then says
# why.

sub start_nginx {
    my ($block) = @_;

    stop_nginx();
    stop_stale_nginx();
    setup_server_root();

    evaluate($block->name, $block->post_setup_server_root // '');
    write_user_files($block);
    write_config_file($block);

    return spawn_nginx($block);
}


# Starts nginx on what is written already.

sub spawn_nginx {
    my ($block) = @_;

    my @command = (valgrind_command(), $NginxBinary, '-p', "$ServRoot/",
                   '-c', $ConfFile, '-e', $ErrLogFile);

    warn "# @command\n" if $Verbose;

    ($NginxBlock, $NginxStatus) = ($block, undef);
    $NginxPid = fork // bail_out("fork failed: $!");

    if ($NginxPid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM);
        setpgrp;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>>', $StderrFile;
        { no warnings 'exec'; exec { $command[0] } @command }
        print STDERR "can't run $command[0]: $!\n";
        POSIX::_exit(127);
    }

    await($UseValgrind ? 60 : 10, sub { -s $PidFile || nginx_has_ended() });

    # the pid file is written after the sockets are open; a process that wrote
    # one has started, whatever became of it then
    return undef unless nginx_has_ended() && !-s $PidFile;

    undef $NginxPid;
    return $NginxStatus;
}


sub start_message {
    return read_file($StderrFile) || read_file($ErrLogFile);
}


# TEST_NGINX_USE_VALGRIND is 1 or options, as --leak-check=full: nginx itself
# frees little at its end.

sub valgrind_command {
    return () unless $UseValgrind;
    return (qw(valgrind -q --num-callers=50 --gen-suppressions=all),
            -f 'valgrind.suppress' ? '--suppressions=valgrind.suppress' : (),
            $UseValgrind eq '1' ? () : split ' ', $UseValgrind);
}


sub nginx_has_ended {
    $NginxStatus //= $? if waitpid($NginxPid, WNOHANG) == $NginxPid;
    return defined $NginxStatus;
}


sub stop_nginx {
    my $pid = $NginxPid // return;
    my $seconds = $UseValgrind ? 60 : $Timeout;

    unless (nginx_has_ended()) {
        kill $ENV{TEST_NGINX_FAST_SHUTDOWN} ? 'TERM' : 'QUIT', $pid;
    }

    unless (await($seconds, \&nginx_has_ended)) {
        warn $NginxBlock->name, " - nginx did not stop in $seconds s, killed\n";
        kill 'KILL', -$pid;
        waitpid $pid, 0;
        $NginxStatus = 0;
    }

    undef $NginxPid;
    $AfterStop->($NginxBlock, $NginxStatus);
}


# An nginx that an earlier run left behind in our server root.

sub stop_stale_nginx {
    my ($pid) = read_file($PidFile) =~ /^(\d+)/ or return;

    return unless read_file("/proc/$pid/cmdline") =~ /\Q$ServRoot\E/;

    kill 'QUIT', $pid;
    await($Timeout, sub { !kill 0, $pid }) or kill 'KILL', $pid;
}


# The logs.

sub rewind_logs { %LogPosition = () }

sub rewind_log { delete $LogPosition{$_[0]} }

# Both what nginx logged and what it said before it had a log.

sub all_log_lines {
    return map { split /^/, read_file($_) } $ErrLogFile, $StderrFile;
}


# The lines a log has got since the last call.  They are read again, for up to
# two seconds, until $complete is true for them.

sub log_lines {
    my ($file, $complete) = @_;
    my $from = $LogPosition{$file} || 0;
    my ($text, @lines);

    await($Patience, sub {
        $text = read_file($file, $from);
        @lines = $text =~ /^(.*\n?)/gm;
        pop @lines if @lines && $lines[-1] eq '';
        return $complete->(@lines);
    });

    $LogPosition{$file} = $from + length $text
        unless $CheckAccumErrLog && $file eq $ErrLogFile;

    return @lines;
}


# nginx logs a request before it closes the connection, but for one with a
# lingering close.  The line in the access log says that it has; where that is
# off we give it the time that the original does.

sub await_log_phase {
    my ($size) = @_;
    await($TestNginxSleep * 3, sub { access_log_size() > $size });
}

sub access_log_size { return -s $AccLogFile || 0 }


# The block's own Perl: "init" and the like.  It sees what is above.

sub evaluate {
    my ($name, $code) = @_;
    my $value = eval $code;
    bail_out("$name - $@ in: $code") if $@;
    return $value;
}


# The end, at which handlers are called twice, as by the original: when the
# last block has run, and when the process ends.

sub cleanup {
    my @handlers = @CleanupHandlers;

    {
        local @CleanupHandlers;    # one of them may bail out
        $_->() for @handlers;
    }

    if ($ENV{TEST_NGINX_NO_CLEAN}) {
        undef $NginxPid;
        return;
    }

    stop_nginx();

    remove_tree($ServRoot) if $ENV{TEST_NGINX_RANDOMIZE} && -d $ServRoot;
}


1;
