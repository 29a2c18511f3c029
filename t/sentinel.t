# The primary is found where Sentinels say, and left when they say another one:
# which Sentinel is believed, which server, and what is logged of the others.

use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(inet_aton);
use Test::More;
use Time::HiRes qw(time sleep);

use lib 't';
use AccessToken;
use FakeSentinel;
use Gateway;
use Sentinels;

my $redis = Sentinels->new(password => 'of-redis',
                           sentinel_password => 'of-sentinel',
                           replicas_to_write => 0);
my ($primary, $replica) = ($redis->primary, grep { $_ != $redis->primary }
                                            $redis->servers);

# Waits for no reader: a port that nobody listens on, and one where nobody
# answers.

my $dead = Gateway::free_port();
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
             or die "no socket: $!\n";

my $primary_is = qr/127\.0\.0\.1:$primary/;

my ($gateway, $token, $revoked);

sub gateway {
    my ($address, %option) = @_;

    $gateway = Gateway->new(address => $address, log_level => 'info',
                            redis => $redis->parameters . ' timeout=5s',
                            %option);

    return $gateway;
}

sub get {
    my ($bearer) = @_;

    return $gateway->call(GET => '/', bearer => $bearer // $token)->{status};
}

# A line that says the one, and at its end the other.

sub logged {
    my ($what, $when, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(scalar(grep { /$what $when/ } split /\n/, $gateway->log), $name)
        or diag($gateway->log =~ s/.*\[debug\].*\n//gr);
}

sub named { return $redis->address(map { ref $_ ? $_->port : $_ } @_) }


# Which Sentinel.

gateway($redis->address);
{
    my $made = $gateway->create('acme', '');
    $token = $made->{token};
    is(get(), 200, 'the primary is found');

    my $other = $gateway->create('acme', '');
    $revoked = $other->{token};
    $gateway->call(POST => "$other->{path}/revoke", bearer => $gateway->root);
    is(get($revoked), 401, 'and what is changed is changed there');
}
logged(qr/\[info\] .* sentinel says that primary "mymaster" is at $primary_is/,
       qr/while asking sentinel "127\.0\.0\.1:\d+"$/, 'the log says who says so');
$gateway->stop;

my ($last) = reverse $redis->sentinels;

for my $bad ([$dead, 'dead'], [$silent->sockport, 'silent']) {
    my ($port, $what) = @$bad;

    gateway(named($port, $port, $last));

    my $since = time;
    is(get(), 200, "a Sentinel is found behind two that are $what");
    cmp_ok(time - $since, '<', 4, 'within connect_timeout');
    $gateway->stop;
}

$redis->stop(($redis->sentinels)[0]);
gateway(named(($redis->sentinels)[0, 1]), redis => 'connect_timeout=300ms '
                                                   . $redis->parameters);
is(get(), 200, 'or one that is stopped');
$redis->cont(($redis->sentinels)[0]);
$gateway->stop;

gateway(named($dead, $dead));
is(get(), 503, 'without any Sentinel nobody is let in');
logged(qr/\[warn\] .* connect\(\) failed \(111: [^)]+\)/,
       qr/while connecting to sentinel "127\.0\.0\.1:$dead"$/,
       'what each of them has done is a warning');
$gateway->stop(qr/no sentinel tells where primary "mymaster" is, commands failed: \d+ while connecting to redis "sentinel=mymaster"/);

gateway(named($silent->sockport));
is(get(), 503, 'nor with one that is silent');
like($gateway->log, qr/\[warn\] .* handshake timed out .*sentinel/,
     'which is logged');
$gateway->stop(qr/no sentinel tells where/);


# What is wrong with the configuration.

sub refuses {
    my ($what, $address, $parameters, $pattern) = @_;

    gateway($address, redis => $parameters);
    is(get(), 503, $what);
    like($gateway->log, $pattern, 'and the log names the mend');
    $gateway->stop(qr/no sentinel tells where primary/);
}

refuses('a name that Sentinels do not know',
        $redis->address =~ s/mymaster/nobody/r, $redis->parameters,
        qr/it knows no primary "nobody": see "sentinel="/);
refuses('a Redis in the place of a Sentinel', named($primary),
        $redis->parameters =~ s/sentinel_\S+/sentinel_password_file=$redis->{dir}\/password/r,
        qr/it is no Sentinel: is the port right\?/);
refuses('no password for Sentinels', $redis->address,
        $redis->parameters =~ s/ sentinel_\S+//r,
        qr/"NOAUTH [^"]*": it wants a password.* asking sentinel/);
refuses('a wrong one', $redis->address,
        $redis->parameters =~ s/(sentinel_password_file)=\S+/$1=$redis->{dir}\/password/r,
        qr/"WRONGPASS [^"]*": the configured user or password .* sentinel/);


# Which server.

my $wrong = FakeSentinel->new('127.0.0.1', $replica);

gateway(named($wrong));
is(get(), 503, 'a replica is not asked, whoever says that it is a primary');
$gateway->stop(qr/it is a replica: it is no primary any more and sentinel does not know yet, or not one so far, commands failed: \d+ while greeting redis "sentinel=mymaster" at 127\.0\.0\.1:$replica/);

gateway(named($wrong, $last), log_level => 'debug');
ok(Gateway::becomes(sub { get() eq '200' }, 3), 'another Sentinel is asked');
ok(Gateway::becomes(sub { get() ne '200' }, 0.3) == 0, 'and no more then');
$gateway->quit;

{
    my $right = FakeSentinel->new('127.0.0.1', $primary);
    my $refused = $redis->ask($primary, 'ACL', 'SETUSER', 'default', '-role');
    is($refused, 'OK', 'a user may not ask for the role');

    gateway(named($right));
    is(get(), 200, 'it has to do without');
    $redis->ask($primary, 'CLIENT', 'KILL', 'TYPE', 'normal');
    ok(Gateway::becomes(sub { get() eq '200' }), 'again and again');
    is(scalar(() = $gateway->log =~ /to ROLE: give its user \+role/g), 1,
       'which is logged once');
    $redis->ask($primary, 'ACL', 'SETUSER', 'default', '+role');
    $gateway->stop;
}


# What Sentinels may say.

my $odd = FakeSentinel->new;

my %garbage = (
    'no array' => "+127.0.0.1\r\n",
    'port 0' => "*2\r\n\$9\r\n127.0.0.1\r\n\$1\r\n0\r\n",
    'no primary' => "*-1\r\n",
);

gateway(named($odd));

for my $what (sort keys %garbage) {
    $odd->replies($garbage{$what});
    my $asked = $odd->asked;
    ok(Gateway::becomes(sub { get() ne '503' || $odd->asked > $asked }, 3)
       && get() eq '503', "$what is no answer");
}

$odd->says('127.0.0.1', $primary);
ok(Gateway::becomes(sub { get() eq '200' }, 3), 'an answer is');
logged(qr/\[warn\] .* bad reply: not what a Sentinel tells/,
       qr/while asking sentinel/, 'what is none is logged');
ok(Gateway::becomes(sub {
       $gateway->log =~ /\[notice\] .* sentinel answers again/
   }), 'and so is its end');


# News.

sub listeners { return $odd->pushes('') }
sub tells { return $odd->tells("mymaster 127.0.0.1 1 127.0.0.1 $_[0]") }

ok(Gateway::becomes(sub { listeners() == 1 }), 'a worker listens');

for my $text ('mymaster 127.0.0.1 1 127.0.0.1', '') {
    my $asked = $odd->asked;
    $odd->tells($text);
    ok(Gateway::becomes(sub { $odd->asked > $asked && listeners() == 1 }, 3),
       "\"$text\" is no news, and it is asked anew");
}

is(get(), 200, 'that changes nothing');
$odd->tells("myslave 127.0.0.1 1 127.0.0.1 $dead");
is(get(), 200, 'nor does news of another primary');

tells($dead);
ok(Gateway::becomes(sub { get() eq '503' }, 2), 'news are believed');
$odd->says('127.0.0.1', $dead);

# Until pauses are long; one begins when it was asked in vain.

sub asks_anew {
    my $asked = $odd->asked;
    Gateway::becomes(sub { get(); $odd->asked > $asked });
}

my $since = time;
asks_anew() while time - $since < 1;
ok(Gateway::becomes(sub { listeners() == 1 }), 'a worker listens');
get();
tells($primary);
ok(Gateway::becomes(sub { get() eq '200' }, 0.3), 'and end the pause');
logged(qr/\[notice\] .* primary "mymaster" is at $primary_is, was at 127.0.0.1:$dead/,
       qr/while listening to sentinel/, 'the log tells from where to where');
$gateway->stop(qr/no sentinel tells/, qr/connect\(\) failed/);


# A Sentinel that is the last one to know is not followed to where it leads.

my @two = map { FakeSentinel->new('127.0.0.1', $primary) } 1 .. 2;

sub asked { return $two[0]->asked + $two[1]->asked }

# The link breaks, which is a reason to ask.

sub make_ask {
    my $before = asked();

    Gateway::becomes(sub {
        $redis->ask($primary, 'CLIENT', 'KILL', 'TYPE', 'pubsub');
        return asked() > $before;
    }, 5);
}

gateway(named(@two), cache => 'lease=300ms');
ok(Gateway::becomes(sub { get() eq '200' }), 'two Sentinels agree');
$two[0]->says('127.0.0.1', $replica);
make_ask() for 1 .. 4;
is(get(), 200, 'one that says otherwise') or diag $gateway->log;
like($gateway->log, qr/is at 127.0.0.1:$replica, and another one is asked/,
     'is heard');
unlike($gateway->log, qr/was at/, 'and not followed');

$two[1]->says('127.0.0.1', $replica);
ok(Gateway::becomes(sub {
       make_ask();
       return $gateway->log =~ /is at 127.0.0.1:$replica, was at/;
   }, 6), 'two are');
$_->says('127.0.0.1', $primary) for @two;
ok(Gateway::becomes(sub { get() eq '200' }, 4), 'and back');
$gateway->quit;


# Names.

my $names = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1')
            or die "no socket: $!\n";

in_child(sub {
    while (defined $names->recv(my $query, 512)) {
        my ($question, $type) = substr($query, 12) =~ /^(.*?\0(..)..)/s or next;
        my $known = $question =~ /^\x07primary/ && unpack('n', $type) == 1;

        $names->send(pack('a2 n n n n n', $query, $known ? 0x8180 : 0x8183, 1,
                          $known, 0, 0) . $question
                     . ($known ? pack('n n n N n/a*', 0xc00c, 1, 1, 0,
                                      inet_aton('127.0.0.1')) : ''));
    }
});

my $resolver = 'resolver 127.0.0.1:' . $names->sockport
               . ' ipv6=off; resolver_timeout 1s;';

$odd->says('Primary.test', $primary);

gateway(named($odd), http => $resolver);
is(get(), 200, 'Sentinels may tell a name');
is($odd->tells("mymaster 127.0.0.1 1 primary.test $primary"), 1, 'and again');
is(get(), 200, 'which changes nothing');
unlike($gateway->log, qr/was at/, 'nothing at all');
$gateway->stop;

$odd->says('no-such-name.test', $primary);

gateway(named($odd), http => $resolver);
is(get(), 503, 'one that is not known is a failure');
$gateway->stop(qr/the name that redis tells could not be resolved/);

gateway(named($odd));
is(get(), 503, 'a name needs a resolver');
$gateway->stop(qr/redis tells a name, and not an address: add a "resolver" to the http block/);


# The default port.

gateway(named($last) =~ s/ .*/ 127.0.0.77/r);
get();
like($gateway->log, qr/sentinel "127\.0\.0\.77" at 127\.0\.0\.77:26379/,
     'Sentinels have a port of their own');
$gateway->quit;


# The user at the Sentinels, as the documentation has it.

my @rights = redis_user('edge', 'CHANGE-ME-THREE');
my $file = "$redis->{dir}/user_password";

Gateway::put($file, "CHANGE-ME-THREE\n");
chmod 0600, $file;

my $as_user = ($redis->parameters
               =~ s/sentinel_\S+/sentinel_user=edge sentinel_password_file=$file/r);

sub allow {
    $redis->ask($last, 'ACL', 'SETUSER', 'edge', 'reset', @_) eq 'OK'
        or die "no user\n";
}

allow(@rights);
gateway(named($last), redis => $as_user);
is(get(), 200, 'with its rights a user finds the primary');
ok(Gateway::becomes(sub {
       $redis->ask($last, 'CLIENT', 'LIST') =~ /\bsub=1\b.* user=edge /
   }), 'and listens');
unlike($gateway->log, qr/ACL SETUSER/, 'nothing is missing');
$gateway->quit;

for my $lacks (grep { /^\+/ } @rights) {
    allow(grep { $_ ne $lacks } @rights);
    gateway(named($last), redis => $as_user);
    my $status = get();
    ok($status eq '503' || $gateway->await_log(qr/\[warn\] .*&\+switch-master/, 1),
       "$lacks is needed ($status)");
    $gateway->quit;
}

allow(@rights, 'resetchannels');
gateway(named($last), redis => $as_user);
is(get(), 200, 'without its channel it still finds the primary');
ok(Gateway::becomes(sub {
       $gateway->log =~ /\[warn\] .* "NOPERM[^"]*": give its user \+subscribe and &\+switch-master/
   }), 'and the log names what is missing');
$gateway->stop;

done_testing();
