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

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(time);


sub new {
    my ($class) = @_;

    my $path = tempdir(CLEANUP => 1) . '/fake.sock';
    my $listening = IO::Socket::UNIX->new(Local => $path, Listen => 64)
                    or die "no socket at $path: $!\n";

    return bless { path => $path, listening => $listening,
                   select => IO::Select->new($listening), said => {},
                   connected => [], commands => 0 }, $class;
}


sub address  { return "unix:$_[0]{path}" }
sub connects { return scalar @{ $_[0]{connected} } }
sub commands { return $_[0]{commands} }


# When the n-th connection was made; a negative n counts from the last one.

sub connected { return $_[0]{connected}[$_[1]] }


# What each command is answered from now on; undef: the connection is closed;
# '': nothing.

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

    if ($socket == $self->{listening}) {
        my $accepted = $socket->accept or die "accept: $!\n";
        push @{ $self->{connected} }, time;
        $self->{said}{$accepted} = '';
        $self->{select}->add($accepted);
        return;
    }

    my $said = \$self->{said}{$socket};

    if (!sysread $socket, $$said, 65536, length $$said) {
        $self->hang_up($socket);
        return;
    }

    while (take_command($said)) {
        $self->{commands}++;
        $self->{asked} = $socket;

        if (!defined $self->{reply}) {
            $self->hang_up($socket);
            return;
        }

        local $SIG{PIPE} = 'IGNORE';
        syswrite $socket, $self->{reply};
    }
}


sub hang_up {
    my ($self, $socket) = @_;

    $self->{select}->remove($socket);
    delete $self->{said}{$socket};
    close $socket;
}


# Takes one whole command off the beginning; false if there is none yet.

sub take_command {
    my ($said) = @_;

    my ($n) = $$said =~ /\G\*(\d+)\r\n/gc or return 0;

    while ($n--) {
        my ($length) = $$said =~ /\G\$(\d+)\r\n/gc or last;
        my $end = pos($$said) + $length + 2;
        last if $end > length $$said;
        pos($$said) = $end;
    }

    my $whole = $n < 0;

    substr $$said, 0, pos $$said, '' if $whole;
    pos($$said) = undef;

    return $whole;
}


1;
