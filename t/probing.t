# What a Redis is found not to have, when a connection is made to it: one line
# of the log says so, the metrics count it, and what can go on does.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;

use lib 't';
use AccessToken;
use Gateway;

flush();

my $password = tempdir(CLEANUP => 1) . '/password';
Gateway::put($password, "CHANGE-ME\n");
chmod 0600, $password;

# All rights but these.

sub allow {
    redis_cmd('ACL', 'SETUSER', 'probed', 'reset', 'on', '>CHANGE-ME', '~*',
              '&*', '+@all', @_);
}

allow();

my $gateway = Gateway->new(workers => 1, log_level => 'info',
                           redis => "user=probed password_file=$password",
                           cache => 'lease=4s',
                           server => 'location = /status {
                                          access_token_status;
                                      }');
my @root = (bearer => $gateway->root);
my $before = 0;

sub logged { return substr $gateway->log, $before }

sub lacks {
    my $json = $gateway->call(GET => '/status',
                              headers => [Accept => 'application/json'])
                       ->{json}{access_token_redis_lacks_total};

    return join ' ', map { "$_=$json->{$_}" } grep { $json->{$_} } sort keys %$json;
}

sub is_cached {
    my ($token) = @_;

    return Gateway::becomes(sub {
        my $answer = $gateway->call(GET => '/', bearer => $token);
        return "$answer->{status} $answer->{headers}{'x-cache'}" eq '200 HIT';
    });
}

# A reload with other rights; counts are those from then on.

sub without {
    my (@words) = @_;

    allow(@words);
    $before = length $gateway->log;
    $gateway->reload;
}


my $made = $gateway->create('acme', '');

ok(is_cached($made->{token}), 'a Redis that has it all');
like(logged(), qr/\b(?:redis|valkey) [\d.]+ tells of changes, by key tracking and by channels/,
     'is one line of the log');
is(lacks(), '', 'and nothing is counted');


without('-client', '+client|id');

ok(is_cached($made->{token}), 'one that tracks no keys');
like(logged(), qr/tells of changes, by channels alone/, 'has its line');
is(scalar(() = logged() =~ /tracks no keys/g), 1,
   'the mend is named once');
is(lacks(), 'tracking=1', 'and it is counted');


without('-evalsha');

for my $action (qw(revoke activate revoke activate)) {
    my $answer = $gateway->call(POST => "$made->{path}/$action", @root);
    is($answer->{status}, 200, "without EVALSHA: $action");
}

is(scalar(() = logged() =~ /refuses EVALSHA, so each script is sent as a whole/g),
   1, 'which is logged once');
is(lacks(), 'evalsha=1 tracking=1',
   'and tried once: then scripts are sent as a whole');


# That of a command in the script is no reason to send it once more.  (Redis 6 is
# not asked before the first write, so there it is one of those before.)

without(redis_is_6() ? '-type' : '-hset');

is($gateway->call(POST => "$made->{path}/revoke", @root)->{status}, 503,
   'without a right that a script needs');
like(logged(), qr/its user lacks a permission/, 'the log says so');
is(lacks(), 'evalsha=1 tracking=1', 'and EVALSHA is not blamed');


without('-info');

is($gateway->call(GET => '/', bearer => $made->{token})->{status}, 200,
   'one that does not tell who it is');
like(logged(), qr/does not tell which server it is/, 'has its line');
like(lacks(), qr/run_id=[12] /, 'and it is counted');

without();

ok(is_cached($made->{token}), 'with all rights again');

$gateway->stop(qr/its user lacks a permission/);

redis_cmd('ACL', 'DELUSER', 'probed');

done_testing;
