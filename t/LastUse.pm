package LastUse;

# What the tests of access_token_last_use share: a gateway's tokens, and what
# Redis was told of their use.
#
#     LastUse::of($gateway);
#     my ($made) = make(1);
#     get($made->{token});
#     ok(is_told($made, time), 'it is told');

use strict;
use warnings;

use AccessToken;
use Exporter 'import';
use Gateway;

our @EXPORT = qw(get last_used used_key score is_told told make is_cached);

my ($gateway, @root);

sub of {
    ($gateway) = @_;
    @root = (bearer => $gateway->root);
}

sub get {
    my ($token, %option) = @_;
    my $response = $gateway->call(GET => '/', bearer => $token, %option);

    return "$response->{status} " . ($response->{headers}{'x-cache'} // '-');
}

sub last_used {
    my ($made) = @_;

    return $gateway->call(GET => $made->{path}, @root)->{json}{last_used_at};
}

# The set of an organization, and a token's time in it: undef if it has none.

sub used_key { my $tag = substr $_[0]{id}, 0, 4; return "at:u:{$tag}" }
sub score { return redis_cmd('ZSCORE', used_key($_[0]), $_[0]{id}) }

sub is_told {
    my ($made, $after) = @_;

    return Gateway::becomes(sub { (score($made) // 0) >= $after }, 5);
}

# How many times Redis was told since the last time; creating a token is one.

my $told = 0;

sub told {
    my ($now) = redis_cmd('INFO', 'commandstats')
                =~ /^cmdstat_zadd:calls=(\d+)/m;
    my $before = $told;

    $told = $now // 0;

    return $told - $before;
}

# Makes as many tokens, and waits until nothing that is of before is to be told.

sub make {
    my ($n) = @_;
    my @made = map { $gateway->create('acme', '') } 1 .. $n;

    told();

    return @made;
}

sub is_cached {
    my ($token) = @_;

    return Gateway::becomes(sub { get($token) eq '200 HIT' });
}


1;
