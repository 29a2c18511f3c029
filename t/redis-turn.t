# Lists take turns at Redis.  Where Redis is slower than they come, one that has
# waited ten timeouts for its turn is told so, and is not sent.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use Gateway;

my $path = tempdir(CLEANUP => 1) . '/turn.sock';
my $id = token_id(token());

# A Redis that gives each list one id, and after some time a page without it:
# its record is gone.

sub serve {
    my ($listening) = @_;

    while (my $socket = $listening->accept) {
        my $asked = '';

        while (sysread $socket, $asked, 4096, length $asked) {
            while ($asked =~ s/.*?(ZREVRANGEBYLEX|EVALSHA)//s) {
                if ($1 eq 'EVALSHA') {
                    sleep 0.25;
                    syswrite $socket, "*1\r\n:1\r\n" or last;
                } else {
                    syswrite $socket, "*1\r\n\$20\r\n$id\r\n";
                }
            }
        }
    }
}

my $listening = IO::Socket::UNIX->new(Local => $path, Listen => 5)
                or die "no socket at $path: $!\n";

in_child(sub { serve($listening) });
close $listening;

my ($gateway, @answers);

# Once more if the machine stood still for so long that a script had no time.

for my $try (1 .. 5) {
    $gateway->quit if $try > 1;
    $gateway = Gateway->new(address => "unix:$path", redis => 'timeout=1s',
                            log_level => 'info');

    my @lists = map { $gateway->connect } 1 .. 60;
    $gateway->send_request($_, GET => '/api/organizations/acme/access-tokens',
                           bearer => $gateway->root) for @lists;
    @answers = map { Gateway::parse(Gateway::read_all($_)) } @lists;

    last if $gateway->log !~ /no reply in time/;
}

my @late = grep { $_->{status} eq '503' } @answers;
my $answered = grep { $_->{status} eq '200' } @answers;

is($answered + @late, 60, 'lists are answered, or have waited too long');
cmp_ok($answered, '>', 10, 'some are answered in their turn');
cmp_ok(scalar(@late), '>', 0, 'some have waited too long');
like($late[0]{json}{detail}, qr/repeat the request/, 'which are told so');
is(scalar(() = $gateway->log =~ /a slow script waited/g), 1,
   'and so is the log, in one line');

$gateway->stop(qr/\[error\] .* a slow script waited \d{5} ms for its turn /);

done_testing();
