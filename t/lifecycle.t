# Workers come and go: a reload and a graceful end wait for requests that wait
# for Redis, no connection to Redis is left behind, and a worker that is killed
# takes only its own requests with it.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use Gateway;

flush();

my $gateway = Gateway->new(workers => 2, redis => 'timeout=10s');
my $token = put_token();

sub workers {
    return split ' ', Gateway::slurp(
        '/proc/' . $gateway->pid . '/task/' . $gateway->pid . '/children');
}

# Of those workers, how many there still are; and how many others.

sub left_of { my %old = map { $_ => 1 } @_; return grep { $old{$_} } workers() }
sub new_ones { return workers() - left_of(@_) }

# Waits until the condition holds; whether it does.

sub becomes {
    my ($condition) = @_;

    for (1 .. 1000) {
        return 1 if $condition->();
        sleep 0.01;
    }

    return 0;
}

sub connections {
    return grep { /cmd=(?:hmget|evalsha|eval|NULL|auth)/i }
           split /\n/, redis_cmd('CLIENT', 'LIST');
}

# Requests that nginx has taken and that wait for Redis.

sub waiting {
    my ($n) = @_;
    my $asks = qr/http header done/;

    $gateway->await_log($asks, 0);

    my @sockets = map { $gateway->connect } 1 .. $n;
    $gateway->send_request($_, GET => '/', bearer => $token) for @sockets;
    $gateway->await_log($asks, $n);

    return @sockets;
}

sub statuses {
    return join ' ', map { Gateway::parse(Gateway::read_all($_))->{status}
                           // 'none' } @_;
}

is($gateway->call(GET => '/', bearer => $token)->{status}, '200',
   'a gateway with two workers');

# Reload.

my @old = workers();
redis_stop();
my @sockets = waiting(8);
kill 'HUP', $gateway->pid;

ok(becomes(sub { $gateway->log =~ /gracefully shutting down/ }),
   'a reload, while requests wait for Redis');
ok(becomes(sub { new_ones(@old) == 2 }), 'the new workers start');
ok(scalar(left_of(@old)), 'the old ones wait with their requests');

redis_continue();
is(statuses(@sockets), join(' ', ('200') x 8), 'each gets its answer');
ok(becomes(sub { !left_of(@old) }), 'and then the old workers end');
is($gateway->call(GET => '/', bearer => $token)->{status}, '200',
   'the new ones serve');

ok(becomes(sub { connections() <= 2 }),
   'and no connection to Redis is left behind');

# A reload while nothing waits: a connection that rests is no reason to stay.

@old = workers();
kill 'HUP', $gateway->pid;
ok(becomes(sub { new_ones(@old) == 2 && !left_of(@old) }),
   'a reload while nothing waits');

# A worker that is killed.

is($gateway->call(GET => '/', bearer => $token)->{status}, '200',
   'the gateway serves') for 1 .. 4;
@old = workers();
kill 'KILL', $old[0];
ok(becomes(sub { new_ones(@old) == 1 && left_of(@old) == 1 }),
   'a worker that was killed is replaced');
is($gateway->call(GET => '/', bearer => $token)->{status}, '200',
   'and the gateway serves on') for 1 .. 4;

# The end.

redis_stop();
@sockets = waiting(8);
my $pid = $gateway->pid;
kill 'QUIT', $pid;
ok(becomes(sub { $gateway->log =~ /signal 3 \(SIGQUIT\) received.*shutting/s }),
   'nginx is told to quit, while requests wait for Redis');
redis_continue();
is(statuses(@sockets), join(' ', ('200') x 8), 'each gets its answer');

$gateway->stop(qr/exited on signal 9/);
is(scalar(connections()), 0, 'nobody is connected to Redis any more');

done_testing();
