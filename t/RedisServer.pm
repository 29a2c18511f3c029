package RedisServer;

# A Redis of a test's own, beside that of the run: a primary, or a replica.
#
#     my $primary = RedisServer->new('primary', port => $port);
#     my $replica = RedisServer->new('replica', of => $port);
#     $primary->await_replicas(1);
#     $replica->stop;
#     $primary->cmd('SET', 'a', 1);
#     $replica->go_on;
#     $primary->kill;

use strict;
use warnings;

use AccessToken ();
use File::Basename qw(dirname);
use Gateway ();
use IO::Socket::UNIX;
use Test::More;


# port: of 127.0.0.1, for replicas; of: the port of its primary.

sub new {
    my ($class, $name, %option) = @_;

    my $self = bless {
        socket => $ENV{TEST_NGINX_REDIS_SOCKET} =~ s/[^\/]*\z/$name.sock/r,
        option => \%option,
    }, $class;

    $self->start;

    return $self;
}


sub start {
    my ($self) = @_;
    my %option = %{ $self->{option} };

    unlink $self->{socket};

    $self->{pid} = AccessToken::in_child(sub {
        open STDOUT, '>', '/dev/null';
        exec 'redis-server', '--port', $option{port} // 0,
             '--unixsocket', $self->{socket}, '--bind', '127.0.0.1',
             '--repl-diskless-sync-delay', 0, '--repl-timeout', 600,
             '--dir', dirname($self->{socket}), '--dbfilename', "$$.rdb",
             '--save', '', '--appendonly', 'no', '--daemonize', 'no',
             $option{of} ? ('--replicaof', '127.0.0.1', $option{of}) : ();
    });

    Gateway::becomes(sub { IO::Socket::UNIX->new(Peer => $self->{socket}) })
        or BAIL_OUT("a Redis did not start at $self->{socket}");
}


sub socket  { return $_[0]{socket} }
sub address { return "unix:$_[0]{socket}" }


# Does something with this one in place of the Redis of the run.

sub at {
    my ($self, $code) = @_;

    local $ENV{TEST_NGINX_REDIS_SOCKET} = $self->{socket};

    return $code->();
}

sub cmd {
    my ($self, @words) = @_;

    return $self->at(sub { AccessToken::redis_cmd(@words) });
}


# Waits until so many replicas have acknowledged all that there is: there is
# something, or one that is said to be online could be loading still.

sub await_replicas {
    my ($self, $n) = @_;

    $self->cmd('PUBLISH', 'a', 'b');

    Gateway::becomes(sub {
        my $info = $self->cmd('INFO', 'replication');
        my ($end) = $info =~ /^master_repl_offset:([1-9]\d*)/m or return 0;
        my @there = $info =~ /^slave\d+:.*state=online,offset=$end,/mg;
        return @there == $n;
    }, 20) or BAIL_OUT("$n replicas do not come: "
                       . $self->cmd('INFO', 'replication'));
}


sub stop  { AccessToken::stop($_[0]{pid}) }
sub go_on { CORE::kill 'CONT', $_[0]{pid} }

sub kill {
    my ($self) = @_;

    CORE::kill('KILL', $self->{pid});
    waitpid $self->{pid}, 0;
}


1;
