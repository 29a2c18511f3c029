package Load;

# Clients that ask for tokens all the time, while a test changes these and what
# is below.  Each answer is kept with its times and judged in the end: a token
# may be let in, or refused, as the changes that were confirmed allow at some
# moment from a lease before the request began until it ended.
#
#     my $load = Load->new(gateways => [$gateway], tokens => [@made]);
#     $load->change($made[0], 'revoke');
#     $load->await(100);
#     $load->end;
#     is($load->wrong, '', 'no answer is wrong');
#
# A token is what Gateway::create() gives.

use strict;
use warnings;

use AccessToken ();
use File::Temp ();
use Gateway ();
use IO::Handle ();
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

my $LEASE = 1;
my $MARGIN = 0.1;       # clocks of nginx count in milliseconds, tests are late


# gateways: those that are asked in turn, the first one's API makes changes;
# clients: how many; lease: of the gateways.

sub new {
    my ($class, %option) = @_;

    my $self = bless {
        gateways => $option{gateways},
        tokens => $option{tokens},
        lease => $option{lease} // $LEASE,
        dir => File::Temp->newdir('access-token-load-XXXXXX', TMPDIR => 1),
        clients => [],
        changes => {},
        answers => [],
    }, $class;

    for my $n (1 .. $option{clients} // 2) {
        my $file = "$self->{dir}/$n";
        my $pid = AccessToken::in_child(sub { $self->client($n, $file) });

        push @{ $self->{clients} }, { pid => $pid, file => $file };
    }

    $self->await(1);

    return $self;
}


sub now { return clock_gettime(CLOCK_MONOTONIC) }


# Each begins elsewhere, and asks for one token after the other.

sub client {
    my ($self, $n, $file) = @_;
    my %on;

    open my $out, '>', $file or die "can't write $file: $!\n";
    $out->autoflush;

    my @tokens = @{ $self->{tokens} };
    my @gateways = 0 .. $#{ $self->{gateways} };

    for (my $i = $n * 7; !-e "$self->{dir}/end"; $i++) {
        my $token = $i % @tokens;
        my $gateway = @gateways[($i / @tokens + $n) % @gateways];
        my $begin = now();
        my $response = $self->ask($gateway, \$on{$gateway},
                                  $tokens[$token]{token});

        printf $out "%d %d %.6f %.6f %s %s\n", $gateway, $token, $begin, now(),
               $response->{status} // 'none',
               $response->{headers}{'x-cache'} // '-';
        sleep 0.001;
    }
}

# On a connection that is kept; nginx may close it between two requests, so what
# has no answer is asked once more on a new one.

sub ask {
    my ($self, $gateway, $on, $token) = @_;
    my $response = {};

    for (1 .. 2) {
        eval {
            $$on //= $self->{gateways}[$gateway]->connect;
            $response = $self->{gateways}[$gateway]->call(
                GET => '/', bearer => $token, on => $$on);
        };

        undef $$on if ($response->{headers}{connection} // 'close') eq 'close';
        last if defined $response->{status};
    }

    return $response;
}


# Waits until each client has had so many more answers.

sub await {
    my ($self, $n) = @_;
    my %before = map { $_ => lines($_->{file}) } @{ $self->{clients} };

    for my $client (@{ $self->{clients} }) {
        Gateway::becomes(sub {
            lines($client->{file}) - $before{$client} >= $n }, 30)
            or die "a client has no answers\n";
    }
}

sub lines { return scalar(() = Gateway::slurp($_[0]) =~ /\n/g) }


# Revokes or activates a token; the answer.

sub change {
    my ($self, $made, $action) = @_;
    my $gateway = $self->{gateways}[0];
    my $begin = now();
    my $response = $gateway->call(POST => "$made->{path}/$action",
                                  bearer => $gateway->root);

    push @{ $self->{changes}{$made->{id}} },
         { begin => $begin, end => now(), action => $action,
           to => $action eq 'revoke' ? 'r' : 'a',
           status => $response->{status} // 'none' };

    return $response->{status} // 'none';
}

# All changes so far: how many of each status.

sub changes {
    my ($self) = @_;
    return tally(map { $_->{status} } map { @$_ } values %{ $self->{changes} });
}


# The clients end; their answers are there from then on.

sub end {
    my ($self) = @_;

    Gateway::put("$self->{dir}/end");

    for my $client (splice @{ $self->{clients} }) {
        waitpid $client->{pid}, 0;

        for (split /\n/, Gateway::slurp($client->{file})) {
            my %answer;
            @answer{qw(gateway token begin end status cache)} = split ' ';
            $answer{made} = $self->{tokens}[$answer{token}];
            push @{ $self->{answers} }, \%answer;
        }
    }
}


# The answers for which the condition holds, in the order of their ends; $_ has
# made, gateway (its index), begin, end, status, cache.

sub answers {
    my ($self, $condition) = @_;

    my @answers = sort { $a->{end} <=> $b->{end} }
                  grep { $condition->() } @{ $self->{answers} };
    return @answers;
}

# Those that neither let in nor refuse.

sub failed {
    my ($self) = @_;
    return $self->answers(sub { $_->{status} !~ /^(?:200|401)\z/ });
}


# What was let in, or refused, and could not; and how many could have been
# wrong in either way.

sub wrong {
    my ($self) = @_;
    my $wrong = '';

    for my $answer (@{ $self->{answers} }) {
        my $says = { 200 => 'a', 401 => 'r' }->{$answer->{status}} // next;
        my $may = $self->states($answer);

        next if $may =~ /$says/;
        $wrong .= "$answer->{made}{id} at gateway $answer->{gateway}: "
                  . "$answer->{status} $answer->{cache}"
                  . sprintf(" from %.3f to %.3f; it", @$answer{qw(begin end)})
                  . join(',', map { sprintf " %s %s %.3f to %.3f",
                                    @$_{qw(action status begin end)} }
                         @{ $self->{changes}{$answer->{made}{id}} // [] })
                  . "\n";
    }

    return $wrong;
}

sub judged {
    my ($self) = @_;
    my %judged = (a => 0, r => 0);

    $judged{$self->states($_)}++ for @{ $self->{answers} };

    return @judged{qw(a r)};
}


# The states that the token of an answer may have had: a, r, or both.  A change
# that was not confirmed was made, or was not.

sub states {
    my ($self, $answer) = @_;
    my ($from, $to) = ($answer->{begin} - $self->{lease} - $MARGIN,
                       $answer->{end});
    my %now = (a => 1);
    my %may = %now;

    for my $change (@{ $self->{changes}{$answer->{made}{id}} // [] }) {
        last if $change->{begin} > $to;

        $now{$change->{to}} = 1;
        %now = ($change->{to} => 1)
            if $change->{status} eq '200' && $change->{end} <= $to;
        %may = () if $change->{end} <= $from;
        %may = (%may, %now, $change->{to} => 1);
    }

    return join '', sort keys %may;
}


# "3 of 200, 1 of 503"

sub tally {
    my %times;
    $times{$_}++ for @_;
    return join ', ', map { "$times{$_} of $_" } sort keys %times;
}


1;
