package Metrics;

# Reads what access_token_status answers: both formats into one form.
#
#     my $numbers = Metrics::of_text($body);
#     my $numbers = Metrics::of_json(decode_json($body));
#     is($numbers->{'access_token_requests_total{verdict="active"}'}, 3);

use strict;
use warnings;

my $prefix = 'access_token_';


# Name and labels, as they are written in the text => number.  Dies of a line
# that is none of the format's.

sub of_text {
    my ($text) = @_;
    my %number;

    for my $line (split /\n/, $text) {
        next if $line =~ /^# (HELP|TYPE) $prefix\w+ \S/;

        my ($name, $value) = $line =~ /^(\w+(?:\{[^}]*(?:\}[^}]*)*\})?) (\S+)\z/
            or die "not a line of Prometheus' format: $line\n";

        die "$name is there twice\n" if exists $number{$name};
        $number{$name} = $value;
    }

    return \%number;
}


my %label = (
    "${prefix}requests_total"       => 'verdict',
    "${prefix}cache_lookups_total"  => 'result',
    "${prefix}cache_flushes_total"  => 'cause',
    "${prefix}lease_seconds"        => 'worker',
    "${prefix}redis_lacks_total"    => 'feature',
);

sub of_json {
    my ($json) = @_;
    my %number;

    for my $name (keys %$json) {
        my $value = $json->{$name};

        if (!ref $value) {
            $number{$name} = $value;

        } elsif ($name eq "${prefix}api_requests_total") {
            for my $route (keys %$value) {
                $number{"$name\{route=\"$route\",status=\"$_\"}"}
                    = $value->{$route}{$_} for keys %{ $value->{$route} };
            }

        } elsif ($value->{buckets}) {
            $number{"${name}_bucket{le=\"$_\"}"} = $value->{buckets}{$_}
                for keys %{ $value->{buckets} };
            $number{"${name}_$_"} = $value->{$_} for qw(count sum);

        } else {
            $number{"$name\{$label{$name}=\"$_\"}"} = $value->{$_}
                for keys %$value;
        }
    }

    return \%number;
}


# Those of one name with one label, by the value of that.

sub only {
    my ($numbers, $name) = @_;

    return { map { /^\Q$name\E\{\w+="(.*)"\}$/ ? ($1 => $numbers->{$_}) : () }
             keys %$numbers };
}


# What a piece of code moves: names without their prefix => by how much.  Of
# gauges and buckets there is no word.

sub moved {
    my ($code, $numbers) = @_;
    my %moved;

    my $before = $numbers->();
    $code->();
    my $after = $numbers->();

    for my $name (grep { /_(total|count)\b/ } keys %$after) {
        my $by = $after->{$name} - ($before->{$name} // 0);
        $moved{$name =~ s/^$prefix//r} = $by if $by;
    }

    return \%moved;
}


1;
