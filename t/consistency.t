# What two gateways answer while things go wrong is what the promises allow:
# the checker of bench/consistency is right about histories made by hand, and
# finds nothing in a minute of random changes and faults, nor in a failover, by
# Sentinels or in a cluster.
#
# CONSISTENCY_SEED=n repeats a run, CONSISTENCY_SECONDS=n makes it shorter or
# longer.

use strict;
use warnings;

use Test::More;

my $dir = 'bench/consistency';
my $seconds = $ENV{CONSISTENCY_SECONDS} // 60;
my $seed = $ENV{CONSISTENCY_SEED} // int rand 1e9;

# Ends with 0; what it printed is told if not.

sub passes {
    my ($title, @command) = @_;

    open my $out, '-|', @command or die "$command[0]: $!\n";
    my @lines = <$out>;
    close $out;

    ok($? == 0, $title) or diag @lines;
    return @lines;
}

passes('the checker judges histories made by hand', "$dir/checker-test");

passes("seed $seed: nor in a failover", "$dir/run", '--seconds', 15, '--seed',
       $seed, '--faults', 'failover', '--max-age', '60s');

passes("seed $seed: nor when Sentinels choose another primary", "$dir/run",
       '--topology', 'sentinel', '--seconds', 10, '--seed', $seed, '--faults',
       ($seed % 2 ? 'kill-primary' : 'partition') . ',cut-link,reload');

passes("seed $seed: nor in a cluster", "$dir/run", '--topology', 'cluster',
       '--seconds', 15, '--seed', $seed, '--faults',
       'migrate,kill-primary,cut-link,reload');

my @lines = passes("seed $seed: no answer was wrong in $seconds s",
                   "$dir/run", '--seconds', $seconds, '--seed', $seed);
note @lines;

done_testing();
