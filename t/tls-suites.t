# Over TLS the same tests pass: some of them, each with a Redis of its own.
# REDIS_TLS=1 tools/test runs the others so.

use strict;
use warnings;

use Test::More;

$ENV{REDIS_TLS} = 1;

for my $test (qw(lifecycle pipeline lease)) {
    my $out = `tools/test-one t/$test.t 2>&1`;

    ok($? == 0, "t/$test.t") or diag(grep { !/^ok / } split /^/, $out);
    like($out, qr/^1\.\.\d+$/m, 'to its end');
}

done_testing();
