package FakeRedis;

# A Redis that says what the test wants, and counts who asks.  It lives in the
# test's own process and serves while a request waits, so whatever a request
# has caused has happened when its answer is there.
#
#     my $redis = FakeRedis->new;
#     my $gateway = Gateway->new(address => $redis->address);
#     $redis->says("-LOADING Redis is loading\r\n");
#     is($redis->request($gateway, $token), '503');
#     is($redis->connects, 1);
#
# It may be several, as the nodes of a cluster, each at a port of its own.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);


# nodes: how many there are; not given: one, at a Unix socket.

sub new {
    my ($class, %option) = @_;

    my $path = tempdir(CLEANUP => 1) . '/fake.sock';
    my @listening = $option{nodes}
        ? map { IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
                or die "no port: $!\n" } 1 .. $option{nodes}
        : IO::Socket::UNIX->new(Local => $path, Listen => 64)
          || die "no socket at $path: $!\n";

    return bless { path => $path, listening => \@listening, node => {},
                   select => IO::Select->new(@listening), said => {},
                   connected => [], commands => 0 }, $class;
}


sub address  { return "unix:$_[0]{path}" }
sub port     { return $_[0]{listening}[$_[1]]->sockport }
sub connects { return scalar @{ $_[0]{connected} } }
sub commands { return $_[0]{commands} }


# When the n-th connection was made; a negative n counts from the last one.

sub connected { return $_[0]{connected}[$_[1]] }


# What each command is answered from now on; undef: the connection is closed;
# '': nothing; a function: what it says of (number of the node from 0, words).

sub says { $_[0]{reply} = $_[1] }


# What it sends now, to whoever asked last.

sub answers {
    my ($self, $reply) = @_;

    local $SIG{PIPE} = 'IGNORE';
    syswrite $self->{asked}, $reply;
}


# The status of a request with that token, for "/" if no path is given.

sub request {
    my ($self, $gateway, $token, $path) = @_;
    my $client = $gateway->connect;

    $gateway->send_request($client, GET => $path // '/', bearer => $token);

    return $self->answer_to($client);
}


# The status of the answer to what was sent; until it comes, Redis is served.

sub answer_to {
    my ($self, $client) = @_;
    my $select = $self->{select};

    $select->add($client);

    for (my $answered = 0; !$answered; ) {
        my @ready = $select->can_read(15) or die "nginx is silent\n";

        for my $socket (@ready) {
            $answered = 1, next if $socket == $client;
            $self->serve($socket);
        }
    }

    $select->remove($client);

    return Gateway::parse(Gateway::read_all($client))->{status};
}


# Serves Redis until it has got so many commands.

sub await_commands {
    my ($self, $n) = @_;

    while ($self->{commands} < $n) {
        my @ready = $self->{select}->can_read(15) or die "nginx is silent\n";
        $self->serve($_) for @ready;
    }
}


sub serve {
    my ($self, $socket) = @_;

    my ($node) = grep { $self->{listening}[$_] == $socket }
                 0 .. $#{ $self->{listening} };

    if (defined $node) {
        my $accepted = $socket->accept or die "accept: $!\n";
        push @{ $self->{connected} }, time;
        $self->{said}{$accepted} = '';
        $self->{node}{$accepted} = $node;
        $self->{select}->add($accepted);
        return;
    }

    my $said = \$self->{said}{$socket};

    if (!sysread $socket, $$said, 65536, length $$said) {
        $self->hang_up($socket);
        return;
    }

    while (my @words = take_command($said)) {
        $self->{commands}++;
        $self->{asked} = $socket;

        my $reply = $self->{reply};

        $reply = $reply->($self->{node}{$socket}, @words) if ref $reply;

        if (!defined $reply) {
            $self->hang_up($socket);
            return;
        }

        local $SIG{PIPE} = 'IGNORE';
        syswrite $socket, $reply;
    }
}


sub hang_up {
    my ($self, $socket) = @_;

    $self->{select}->remove($socket);
    delete $self->{said}{$socket};
    delete $self->{node}{$socket};
    close $socket;
}


# Takes one whole command off the beginning: its words, none if it is not there
# yet.

sub take_command {
    my ($said) = @_;

    my ($n) = $$said =~ /\G\*(\d+)\r\n/gc or return;
    my @words;

    while (@words < $n) {
        my ($length) = $$said =~ /\G\$(\d+)\r\n/gc or last;
        my $begin = pos $$said;
        my $end = $begin + $length + 2;
        last if $end > length $$said;
        push @words, substr $$said, $begin, $length;
        pos($$said) = $end;
    }

    substr $$said, 0, pos $$said, '' if @words == $n;
    pos($$said) = undef;

    return @words == $n ? @words : ();
}


1;
