package FakeSentinel;

# A Sentinel that says what the test wants, in a process of its own.
#
#     my $sentinel = FakeSentinel->new('127.0.0.1', 6379);
#     $sentinel->says('127.0.0.1', 6380);     # from now on, to who asks
#     $sentinel->tells('mymaster 127.0.0.1 6379 127.0.0.1 6380');
#     $sentinel->replies("*-1\r\n");          # these bytes, to who asks
#     is($sentinel->asked, 1);

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use Socket;

use AccessToken ();
use FakeRedis ();


sub new {
    my ($class, @address) = @_;

    my $listening = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                          Listen => 64)
                    or die "no socket: $!\n";
    socketpair(my $ours, my $its, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or die "no socketpair: $!\n";
    $_->autoflush for $ours, $its;

    AccessToken::in_child(sub {
        close $ours;
        serve($listening, $its);
    });

    close $its;

    my $self = bless { port => $listening->sockport, control => $ours },
                     $class;
    $self->says(@address) if @address;

    return $self;
}


sub port { return $_[0]{port} }

sub says {
    my ($self, $host, $port) = @_;
    $self->replies("*2\r\n" . join '', map { '$' . length() . "\r\n$_\r\n" }
                                       $host, $port);
}

sub replies { $_[0]->order('replies', $_[1]) }


# Whoever listens is told; how many those are.

sub tells {
    my ($self, $text) = @_;
    return $self->pushes("*3\r\n" . join '', map {
        '$' . length() . "\r\n$_\r\n" } 'message', '+switch-master', $text);
}

sub pushes { return $_[0]->order('pushes', $_[1]) }


# How often it was asked where the primary is.

sub asked { return $_[0]->order('asked', '') }

# All who listen are cut off; how many those were.

sub hangs_up { return $_[0]->order('hangs_up', '') }


sub order {
    my ($self, $word, $bytes) = @_;
    my $control = $self->{control};

    print $control "$word ", unpack('H*', $bytes), "\n";

    return 0 + (<$control> // die "the Sentinel is gone\n");
}


sub serve {
    my ($listening, $control) = @_;

    my $select = IO::Select->new($listening, $control);
    my (%said, %listens, $reply);
    my $asked = 0;

    while (1) {
        for my $socket ($select->can_read) {
            if ($socket == $listening) {
                $select->add($listening->accept // next);
                next;
            }

            if ($socket == $control) {
                my ($word, $hex) = split ' ', <$control> // return;
                my $bytes = pack 'H*', $hex // '';

                $reply = $bytes if $word eq 'replies';
                if ($word eq 'pushes') {
                    syswrite $_, $bytes for values %listens;
                }
                if ($word eq 'hangs_up') {
                    shutdown $_, 2 for values %listens;
                }
                print $control $word eq 'asked' ? $asked : 0 + keys %listens,
                               "\n";
                next;
            }

            $said{$socket} //= '';

            if (!sysread $socket, $said{$socket}, 65536, length $said{$socket})
            {
                $select->remove($socket);
                delete $said{$socket};
                delete $listens{$socket};
                close $socket;
                next;
            }

            while (1) {
                my $before = $said{$socket};
                FakeRedis::take_command(\$said{$socket}) or last;

                if ($before =~ /^\S+\r\n\$8\r\nSENTINEL/) {
                    $asked++;
                    syswrite $socket, $reply;

                } elsif ($before =~ /^\S+\r\n\$9\r\nSUBSCRIBE/) {
                    $listens{$socket} = $socket;
                    syswrite $socket, "*3\r\n\$9\r\nsubscribe\r\n"
                                      . "\$14\r\n+switch-master\r\n:1\r\n";
                } else {
                    syswrite $socket, "+OK\r\n";
                }
            }
        }
    }
}


1;
