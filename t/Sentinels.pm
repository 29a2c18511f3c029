package Sentinels;

# A primary, two replicas and three Sentinels that watch them, for the tests of
# failover.  All of it is killed when the object goes.
#
#     my $redis = Sentinels->new(down_after => 500);
#     my $gateway = Gateway->new(address => $redis->address);
#     my $old = $redis->primary;
#     $redis->kill9($old);
#     $redis->await_primary(sub { $_[0] ne $old });
#     $redis->restart($old);
#
# A server is named by its port; those are given out once a run.
#
# With far => 1 the first primary is reached through a proxy by all.  cut(): the
# replicas and the Sentinels do not reach it any more, nor does an edge with the
# near_address() reach Sentinels; but such an edge and the test reach it.

use strict;
use warnings;

use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();

use AccessToken ();
use Cut ();
use Gateway ();

# Where servers connect from, so that the cut knows them.

my $FAR = '127.0.0.2';

# Redis 6 connects from the first address that it listens at.

my $SOURCE = AccessToken::redis_is_6() ? '' : "bind-source-addr $FAR";


# down_after, failover_timeout: milliseconds; slow: Sentinels look and tell each
# other as seldom as they do elsewhere, and not some times a second; password,
# sentinel_password;
# user: a line for ACL SETUSER on servers, sentinel_user: on Sentinels;
# replicas_to_write: 1 if it is not given.

sub new {
    my ($class, %option) = @_;

    my $self = bless {
        owner => $$,
        dir => tempdir('/tmp/sentinel-XXXXXX'),
        option => { down_after => 500, failover_timeout => 1500,
                    replicas_to_write => 1, max_lag => 1, %option },
        pid => {}, config => {},
    }, $class;

    $self->{servers} = [ map { Gateway::free_port() } 1 .. 3 ];
    $self->{sentinels} = [ map { Gateway::free_port() } 1 .. 3 ];

    my ($first, @others) = @{ $self->{servers} };

    if ($option{far}) {
        $self->{real} = Gateway::free_port();
        $self->{cuts} = [ Cut->new(['127.0.0.1', $first, $self->{real},
                                    $FAR]) ];
    }

    $self->start_server($first);
    $self->start_server($_, $first) for @others;

    Gateway::becomes(sub { $self->replicas($first) == 2 })
        or die "no replicas\n";

    for my $port ($self->sentinels) {
        $self->start_sentinel($port, $first);
        $self->ask($port, 'SENTINEL', 'DEBUG', 'ping-period', 300,
                   'info-period', 200, 'ask-period', 200,
                   'publish-period', 300) unless $option{slow};
    }

    $self->await_settled;

    return $self;
}


sub servers   { return @{ $_[0]{servers} } }
sub sentinels { return @{ $_[0]{sentinels} } }


# The arguments of access_token_redis; Sentinels other than all of them may be
# named, by port.

sub address {
    my ($self, @ports) = @_;

    @ports = $self->sentinels if !@ports;

    return join ' ', 'sentinel=mymaster', map { "127.0.0.1:$_" } @ports;
}


# And the others that it needs: passwords, in files.

sub parameters {
    my ($self) = @_;
    my %file = (password => 'password_file',
                sentinel_password => 'sentinel_password_file');

    for my $what (keys %file) {
        my $password = $self->{option}{$what} // (delete $file{$what}, next);
        Gateway::put("$self->{dir}/$what", "$password\n");
        chmod 0600, "$self->{dir}/$what";
    }

    return join ' ', map { "$file{$_}=$self->{dir}/$_" } sort keys %file;
}


sub start_server {
    my ($self, $port, $primary) = @_;
    my $option = $self->{option};
    my $real = $self->real($port);

    my @words = ('--port', $real, '--bind', $FAR, '127.0.0.1',
                 '--protected-mode', 'no', '--save', '', '--appendonly', 'no',
                 '--repl-diskless-sync-delay', 0,
                 '--repl-timeout', 5, '--repl-ping-replica-period', 1,
                 '--min-replicas-to-write', $option->{replicas_to_write},
                 '--min-replicas-max-lag', $option->{max_lag},
                 split(' ', $SOURCE && "--$SOURCE"),
                 '--replica-announce-ip', '127.0.0.1',
                 '--replica-announce-port', $port,
                 '--dir', $self->{dir}, '--logfile', "$self->{dir}/$port.log");

    push @words, '--requirepass', $option->{password},
                 '--masterauth', $option->{password}
        if defined $option->{password};
    push @words, '--user', split ' ', $option->{user} if $option->{user};
    push @words, '--replicaof', '127.0.0.1', $primary if $primary;

    $self->run($port, 'redis-server', @words);
    $self->await_answer($real);
}


sub start_sentinel {
    my ($self, $port, $primary) = @_;
    my $option = $self->{option};
    my $file = "$self->{dir}/sentinel-$port.conf";

    if (!-e $file) {
        Gateway::put($file, map { "$_\n" }
            "port $port", "bind $FAR 127.0.0.1", $SOURCE,
            'protected-mode no',
            "dir $self->{dir}", "logfile $self->{dir}/sentinel-$port.log",
            'sentinel announce-ip 127.0.0.1',
            "sentinel announce-port $port",
            "sentinel monitor mymaster 127.0.0.1 $primary 2",
            "sentinel down-after-milliseconds mymaster $option->{down_after}",
            "sentinel failover-timeout mymaster $option->{failover_timeout}",
            'sentinel parallel-syncs mymaster 2',
            defined $option->{password}
                ? "sentinel auth-pass mymaster $option->{password}" : (),
            defined $option->{sentinel_password}
                ? ("requirepass $option->{sentinel_password}",
                   "sentinel sentinel-pass $option->{sentinel_password}") : (),
            $option->{sentinel_user} ? "user $option->{sentinel_user}" : ());
    }

    $self->run($port, 'redis-server', $file, '--sentinel');
    $self->await_answer($port);
}


sub run {
    my ($self, $port, @command) = @_;

    my $pid = fork // die "can't fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        exec @command or POSIX::_exit(127);
    }

    $self->{pid}{$port} = $pid;
}


# The port where a server listens, which only the proxy uses for the first one.

sub real {
    my ($self, $port) = @_;

    return $self->{real} && $port == $self->{servers}[0] ? $self->{real}
                                                         : $port;
}


# --- what can be done to them

sub kill9 {
    my ($self, $port) = @_;
    my $pid = delete $self->{pid}{$port} // die "$port does not run\n";

    kill 'KILL', $pid;
    waitpid $pid, 0;
}

sub stop { AccessToken::stop($_[0]{pid}{$_[1]}) }
sub cont { kill 'CONT', $_[0]{pid}{$_[1]} }


# As it was started: one that was a primary believes that it still is.

sub restart {
    my ($self, $port) = @_;

    $self->start_server($port);
}


sub failover {
    my ($self) = @_;

    $self->ask(($self->sentinels)[0], 'SENTINEL', 'FAILOVER', 'mymaster');
}


# --- what they say

# One command to a server or a Sentinel; the reply, and undef if there is none.

sub ask {
    my ($self, $port, @words) = @_;

    my $password = $self->{option}{grep({ $_ == $port } $self->sentinels)
                                   ? 'sentinel_password' : 'password'};
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                       PeerPort => $self->real($port),
                                       Timeout => 2) or return undef;

    local $SIG{PIPE} = 'IGNORE';
    local $SIG{ALRM} = sub { die "silence\n" };

    my $reply = eval {
        alarm 2;
        my $said;
        for my $command (defined $password ? ['AUTH', $password] : (),
                         \@words)
        {
            print $socket join '', '*' . @$command . "\r\n",
                map { '$' . length() . "\r\n$_\r\n" } @$command;
            $socket->flush;
            $said = AccessToken::read_reply($socket);
        }
        $said;
    };
    my $why = $@;
    alarm 0;

    $self->{error} = $why;
    return $why ? undef : $reply;
}

sub error { return $_[0]{error} }


# The port of the primary, as the majority of the Sentinels says.

sub primary {
    my ($self) = @_;
    my %votes;

    for my $port ($self->sentinels) {
        next if !$self->{pid}{$port};
        my $reply = $self->ask($port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME',
                               'mymaster');
        $votes{$reply->[1]}++ if $reply;
    }

    my ($most) = sort { $votes{$b} <=> $votes{$a} } keys %votes;

    return $most // 0;
}


sub replicas {
    my ($self, $port) = @_;
    my $info = $self->ask($port, 'INFO', 'replication') // return 0;

    return scalar(() = $info =~ /^slave\d+:.*state=online,offset=[1-9]/mg);
}


sub wait_for {
    my ($self, $condition, $seconds) = @_;

    return Gateway::becomes($condition, $seconds);
}

sub await_primary {
    my ($self, $condition, $seconds) = @_;

    Gateway::becomes(sub { $condition->($self->primary) }, $seconds)
        or die 'no other primary: ' . $self->logs;
}

sub await_answer {
    my ($self, $port) = @_;

    Gateway::becomes(sub {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
    }) or die "$port does not start: " . $self->logs;
}


# All servers that run are replicas of the primary, and all Sentinels that run
# know that, and each other.

sub await_settled {
    my ($self) = @_;

    my @servers = grep { $self->{pid}{$_} } $self->servers;
    my @sentinels = grep { $self->{pid}{$_} } $self->sentinels;

    Gateway::becomes(sub {
        my $primary = $self->primary;
        return 0 if $self->replicas($primary) != @servers - 1;

        for my $port (@sentinels) {
            my %is = @{ $self->ask($port, 'SENTINEL', 'MASTER', 'mymaster')
                        // return 0 };
            return 0 if $is{port} != $primary || $is{flags} ne 'master'
                        || $is{'num-other-sentinels'} != @sentinels - 1
                        || $is{'num-slaves'} < @servers - 1;

            my $replicas = $self->ask($port, 'SENTINEL', 'REPLICAS',
                                      'mymaster') // return 0;
            my $good = grep { my %it = @$_;
                              $it{flags} eq 'slave'
                              && $it{'master-link-status'} eq 'ok' } @$replicas;
            return 0 if $good < @servers - 1;
        }

        return 1;
    }, 40) or die 'they do not settle: ' . $self->logs;
}


sub logs {
    my ($self) = @_;

    return join '', map { "\n$_:\n" . join '', (split /^/,
                          Gateway::slurp($_))[-15 .. -1] }
                    grep { -s } glob "$self->{dir}/*.log";
}


# --- the cut

# The arguments of access_token_redis for an edge that is on the side of the
# first primary when the others are cut off.

sub near_address {
    my ($self) = @_;

    my %near = map { (Gateway::free_port() => $_) } $self->sentinels;

    push @{ $self->{cuts} },
        Cut->new(map { ['127.0.0.1', $_, $near{$_}, '*'] } keys %near);

    return $self->address(keys %near);
}

sub cut  { $_->make for @{ $_[0]{cuts} } }
sub heal { $_->heal for @{ $_[0]{cuts} } }


sub DESTROY {
    my ($self) = @_;

    local ($?, $@, $!);
    return if $$ != $self->{owner};

    for my $pid (values %{ $self->{pid} }) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }

    if ($ENV{KEEP}) { print STDERR "# $self->{dir}\n"; return }
    remove_tree($self->{dir});
}


1;
