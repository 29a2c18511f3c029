package Test::Nginx::Mock;

# The TCP server of "tcp_listen": a child that accepts one connection, reads
# the query, answers with "tcp_reply" and closes.  It starts after nginx, once
# for every repetition, and keeps no second connection: later ones are accepted
# by the kernel and hear nothing until the repetition is over.
#
# The query is what one read returns, or "tcp_query_len" bytes (by default the
# length of "tcp_query").

use strict;
use warnings;

use Carp ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use POSIX ();
use Test::More ();
use Test::Nginx::Util qw(bail_out);

my ($Pid, $Listening, $QueryFile);

push @Test::Nginx::Util::CleanupHandlers, \&stop;


sub start {
    my ($block) = @_;

    return unless defined $block->tcp_listen;

    my $name = $block->name;
    my $target = $block->tcp_listen;
    $target = Test::Nginx::Util::expand_env_in_text($target, $name);

    bail_out("$name - tcp_listen without tcp_reply")
        unless defined $block->tcp_reply || defined $block->tcp_shutdown;

    $Listening = listen_on($target)
        or bail_out("$name - can't listen on $target: $!");

    $QueryFile = Test::Nginx::Util::server_root() . '/logs/tcp_query';
    unlink $QueryFile;

    $Pid = fork // bail_out("fork failed: $!");

    if ($Pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM);
        $SIG{PIPE} = 'IGNORE';
        eval { serve($block); 1 } or warn "$name - TCP server: $@";
        POSIX::_exit(0);
    }
}


sub stop {
    if (defined $Pid) {
        kill 'TERM', $Pid;
        waitpid $Pid, 0;
        undef $Pid;
    }

    undef $Listening;
}


sub check_query {
    my ($block) = @_;
    my $name = $block->name;
    my $length = query_length($block) // return;
    my $query = '';

    Test::Nginx::Util::await(1, sub {
        $query = Test::Nginx::Util::read_file($QueryFile);
        return length $query >= $length;
    });

    Test::More::is($query, $block->tcp_query, "$name - tcp_query ok")
        if defined $block->tcp_query;

    Test::More::is(length $query, $block->tcp_query_len,
                   "$name - TCP query length ok")
        if defined $block->tcp_query_len;
}


# undef where the block does not say.

sub query_length {
    my ($block) = @_;
    return $block->tcp_query_len if defined $block->tcp_query_len;
    return defined $block->tcp_query ? length $block->tcp_query : undef;
}


sub listen_on {
    my ($target) = @_;

    if ($target =~ /^\s*(\d+)\s*$/) {
        return IO::Socket::INET->new(LocalHost => '127.0.0.1', LocalPort => $1,
                                     Listen => 5, ReuseAddr => 1);
    }

    $target =~ s/^\s+|\s+$//g;
    $target =~ /\.sock$/ or Carp::croak("bad tcp_listen: $target");
    unlink $target;
    return IO::Socket::UNIX->new(Local => $target, Listen => 5);
}


sub serve {
    my ($block) = @_;

    my $client = $Listening->accept or die "accept: $!\n";
    my $shutdown = $block->tcp_shutdown;

    if (defined $shutdown) {
        Test::Nginx::Util::pause($block->tcp_shutdown_delay || 0);
        shutdown $client, $shutdown;
    }

    my $query = '';
    $query = read_query($client, query_length($block))
        unless defined $shutdown && $shutdown != 1;

    Test::Nginx::Util::pause(
        Test::Nginx::Util::parse_time(scalar $block->tcp_reply_delay) || 0);

    my $reply = $block->tcp_reply;
    $reply = $reply->($query) if ref $reply eq 'CODE';

    unless (defined $shutdown && $shutdown != 0) {
        for my $part (ref $reply eq 'ARRAY' ? @$reply : $reply // ()) {
            defined syswrite $client, $part or die "write: $!\n";
        }
    }

    sleep 1 while defined $block->tcp_no_close;
    close $client;
}


# What was read so far is always in the file: the block may be checked before
# all of it came.

sub read_query {
    my ($client, $length) = @_;
    my $query = '';

    while (sysread $client, $query, 4096, length $query) {
        Test::Nginx::Util::write_file("$QueryFile.tmp", $query);
        rename "$QueryFile.tmp", $QueryFile;
        last if length $query >= ($length // 0);
    }

    return $query;
}


1;
