package Cut;

# A network that a test can cut in two: passes bytes on between ports where it
# listens and servers behind them.
#
#     my $cut = Cut->new([$address, $port, $to, $held], ...);
#     $cut->make;
#     $cut->heal;
#
# Whoever connects to the address and port reaches the port $to of 127.0.0.1.
# While the cut lasts, what comes from the address $held, or from anybody if
# that is "*", is not even read, and nothing is answered; without a $held the
# way stays open.  Nothing is lost: when it is healed, all goes on.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep);


sub new {
    my ($class, @ways) = @_;
    my @listening;

    for my $way (@ways) {
        my ($address, $port) = @$way;

        push @listening, IO::Socket::INET->new(
            LocalAddr => $address, LocalPort => $port, Listen => 64,
            ReuseAddr => 1) // die "no way at $address:$port: $!\n";
    }

    my $pid = fork // die "can't fork: $!\n";

    if ($pid == 0) {
        pass(map { [$listening[$_], @{ $ways[$_] }[2, 3]] } 0 .. $#ways);
        POSIX::_exit(0);
    }

    return bless { pid => $pid, owner => $$ }, $class;
}


sub make { kill 'USR1', $_[0]{pid} }
sub heal { kill 'USR2', $_[0]{pid} }


sub pass {
    my (@ways) = @_;

    my %way = map { $_->[0] => $_ } @ways;
    my $select = IO::Select->new(map { $_->[0] } @ways);
    my ($cut, %peer, %held) = (0);

    local $SIG{USR1} = sub { $cut = 1 };
    local $SIG{USR2} = sub { $cut = 0 };
    local $SIG{PIPE} = 'IGNORE';

    while (1) {
        my @ready = $select->can_read(0.05);

        for my $from ($cut ? grep { !$held{$_} } @ready : @ready) {
            if ($way{$from}) {
                my (undef, $to, $held) = @{ $way{$from} };
                my $client = $from->accept or next;
                my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                                   PeerPort => $to)
                             or next;

                $held //= '';
                @peer{$client, $server} = ($server, $client);
                @held{$client, $server} =
                    ($held eq '*' || $held eq $client->peerhost) x 2;
                $select->add($client, $server);

            } elsif (my $peer = $peer{$from}) {
                if (sysread $from, my $bytes, 65536) {
                    syswrite $peer, $bytes;
                    next;
                }
                $select->remove($from, $peer);
                delete @peer{$from, $peer};
                delete @held{$from, $peer};
                close $from;
                close $peer;
            }
        }

        # what is not read keeps select() awake

        sleep 0.002 if $cut;
    }
}


sub DESTROY {
    my ($self) = @_;

    return if $$ != $self->{owner};

    local ($?, $@, $!);
    kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
}


1;
