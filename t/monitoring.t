# What docs/ has for Prometheus and Grafana: promtool accepts the alert rules,
# each fires when it should, and the dashboard asks in good PromQL.  That what
# they ask for is there is tools/check-docs' to see.

use strict;
use warnings;

use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;

use lib 't';
use Gateway;

# promtool ARGUMENTS: what it says, if it finds a fault.

sub promtool {
    my $said = `promtool @_ 2>&1`;
    return $? == 0 ? '' : $said || "promtool does not run: $!";
}

is(promtool('check rules docs/alerts.yml'), '', 'the alerts are rules');
is(promtool('test rules t/alerts_test.yml'), '',
   'each fires when it should, and not otherwise');

# Each rule tells what happened and what to do.

{
    my (undef, @rules) = split /^ *- alert: /m,
                         Gateway::slurp('docs/alerts.yml');

    cmp_ok(scalar @rules, '>', 10, 'there are rules');

    for my $rule (@rules) {
        my ($name) = $rule =~ /^(\w+)/;
        like($rule, qr/^ +severity: (critical|warning|info)$/m,
             "$name says how urgent it is");
        like($rule, qr/^ +summary: \S.*\n +description: >\n/m,
             "$name says what to do");
    }
}

# The dashboard.

my $dashboard = eval { decode_json(Gateway::slurp('docs/grafana.json')) };
is($@, '', 'the dashboard is JSON');

my ($source) = grep { $_->{type} eq 'datasource' }
               @{ $dashboard->{templating}{list} };
is($source->{query}, 'prometheus', 'whose Prometheus can be chosen');

my (%id, @records);

for my $panel (@{ $dashboard->{panels} }) {
    my $title = $panel->{title};

    ok(!$id{ $panel->{id} }++, "$title: its id is its own");
    next if $panel->{type} eq 'row';

    ok(scalar @{ $panel->{targets} }, "$title: it asks for something");
    ok(length $panel->{description}, "$title: it says what it shows");

    for my $asks ($panel, @{ $panel->{targets} }) {
        is($asks->{datasource}{uid}, "\${$source->{name}}",
           "$title: asks the Prometheus that was chosen");
    }

    my $right = $panel->{gridPos}{x} + $panel->{gridPos}{w};
    cmp_ok($right, '<=', 24, "$title: it is within the page");

    push @records, map { $_->{expr} } @{ $panel->{targets} };
}

# promtool has no check for queries, but for those in rules.

{
    my $dir = tempdir(CLEANUP => 1);
    my $rules = "groups:\n  - name: dashboard\n    rules:\n";

    for my $expr (@records) {
        my $plain = $expr =~ s/\$__rate_interval/5m/gr =~ s/\$instance/.*/gr;
        unlike($plain, qr/\$/, "nothing is left to be filled in: $expr");

        $rules .= '      - record: dashboard:' . ('a' x ++$id{record}) . "\n"
                  . '        expr: ' . encode_json([$plain]) =~ s/^\[|\]$//gr
                  . "\n";
    }

    Gateway::put("$dir/rules.yml", $rules);
    is(promtool("check rules $dir/rules.yml"), '', 'its queries are PromQL');
}

done_testing();
