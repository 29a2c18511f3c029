package Test::Nginx::Spec;

# The format of the test files: blocks of named sections below __DATA__,
# as Test::Base defines it.
#
#     === TEST 1: a title
#     a description, up to the first section
#     --- request
#     GET /
#     --- response_body eval
#     "a Perl expression"
#     --- error_code: 200
#
# A section's header line may name filters; every section first goes through
# "norm" and "trim".  A block with ONLY runs alone, one with SKIP is left out,
# one with LAST ends the file.  Filters run once, when blocks() is first called
# for a list, so that they see what the file has set up before run_tests().

use strict;
use warnings;

use Carp qw(croak);

# Above this file's variables and in a package of its own: an expression in a
# test sees no names but main's.

sub Test::Nginx::Spec::Eval::run {
    package Test::Nginx::Spec::Eval;
    return eval $_[0];
}

my $Blocks;
my $Filtered;

my %Filters = (
    norm   => sub { local $_ = shift; s/\r\n?/\n/g; $_ },
    trim   => sub { local $_ = shift; s/\A(?:[ \t]*\n)+//;
                    s/(?<=\n)\s*\z//; $_ },
    chomp  => sub { my @v = @_; chomp @v; @v },
    chop   => sub { my @v = @_; chop @v; @v },
    lines  => sub { $_[0] =~ /^(.*\n?)/gm },
    array  => sub { [@_] },
    eval   => \&eval_text,
);


# In scalar context the number of blocks, otherwise the blocks themselves.

sub blocks {
    $Blocks ||= [choose(parse(read_data()))];

    return scalar @$Blocks unless wantarray;

    unless ($Filtered++) {
        filter_block($_) for @$Blocks;
    }

    return @$Blocks;
}


sub read_data {
    no warnings 'once';
    defined fileno main::DATA or croak "no tests below __DATA__";
    local $/;
    return scalar <main::DATA>;
}


sub parse {
    my ($text) = @_;

    return map { parse_block($_) } $text =~ /^(===.*?(?=^===|\z))/msg;
}


sub parse_block {
    my ($text) = @_;

    $text =~ s/\A===[ \t]*(.*)\s+// or croak "a block without a title line";

    my $block = Test::Nginx::Block->new;
    my ($description, @sections) =
        split /^---[ ]+\(?(\w+)\)?[ ]*(.*)\n/m, $text, -1;

    $block->set_value(name => $1);
    $block->set_value(description => $description // '');

    while (@sections) {
        my ($name, $filters, $value) = splice @sections, 0, 3;

        croak "section '$name' twice in '" . $block->name . "'"
            if exists $block->{$name};

        if ($filters =~ /:(?:\s|\z)/) {
            croak "extra lines in section '$name' of '" . $block->name . "'"
                if $value =~ /\S/;
            ($filters, $value) = split /\s*:(?:\s+|\z)/, $filters, 2;
            $value =~ s/^\s+|\s+$//g;
        }

        $block->set_value($name => $value);
        push @{ $block->{_sections} }, [$name, split ' ', $filters];
    }

    return $block;
}


sub choose {
    my @chosen;

    for my $block (@_) {
        if (exists $block->{ONLY}) {
            Test::More::diag("I found ONLY: maybe you're debugging?");
            return $block;
        }
        next if exists $block->{SKIP};
        push @chosen, $block;
        last if exists $block->{LAST};
    }

    return @chosen;
}


sub filter_block {
    my ($block) = @_;

    for my $section (@{ $block->{_sections} || [] }) {
        my ($name, @named) = @$section;

        for my $filter (filter_list(@named)) {
            my $code = $Filters{$filter}
                or croak "no filter '$filter' (section '$name')";
            $block->set_value($name => $code->(@{ $block->{$name} }));
        }
    }
}


# "-name" takes a filter away, "+name" puts it at the end.

sub filter_list {
    my @list = qw(norm trim);
    my @last;

    for my $named (@_) {
        my ($sign, $filter) = $named =~ /^([-+]?)(.*)/;
        if    ($sign eq '-') { @list = grep { $_ ne $filter } @list }
        elsif ($sign eq '+') { push @last, $filter }
        else                 { push @list, $filter }
    }

    return (@list, @last);
}


# The section's value is the expression's, or the text of its error: a block
# that cannot be evaluated fails in its checks and does not stop the file.

sub eval_text {
    my @value = Test::Nginx::Spec::Eval::run($_[0]);
    return $@ ? $@ : @value;
}


package Test::Nginx::Block;

# A block answers to the name of every section: with its value, with the first
# of them in scalar context, with nothing where it has no such section.

our $AUTOLOAD;

sub new { return bless {}, shift }


sub set_value {
    my ($self, $name, @values) = @_;
    $self->{$name} = \@values;
}


sub AUTOLOAD {
    my ($self) = @_;
    my $name = $AUTOLOAD =~ s/.*:://r;
    my @values = @{ $self->{$name} || [] };
    return wantarray ? @values : $values[0];
}


sub DESTROY { }


1;
