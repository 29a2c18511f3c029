# The status: what it counts is what happened, for Prometheus and in JSON, in
# one number for all workers; and a reload does not lose it.

use strict;
use warnings;

use IPC::Open2;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);

use lib 't';
use AccessToken;
use Gateway;
use Metrics;

flush();

my $gateway = Gateway->new(workers => 2, server => <<'END');
        location = /status {
            access_token_status;
            allow 127.0.0.1;
            deny all;
        }

        location = /denied {
            access_token_status;
            deny all;
        }

        location = /guarded {
            access_token on;
            access_token_status;
        }

        location /narrow {
            access_token on;
            access_token_require organization=other;
            root DIR/html;
        }

        location /optional {
            access_token optional;
            root DIR/html;
            log_not_found off;
        }

        location /two {
            access_token on;
            access_token_source bearer header=X-Token;
            root DIR/html;
        }

        location /open {
            root DIR/html;
            log_not_found off;
        }

        location /branch {
            access_token_status;
            if ($arg_x) { set $x 1; }
        }
END

my $text = 'text/plain; version=0.0.4; charset=utf-8';

sub status {
    my ($method, $path, %option) = @_;
    return $gateway->call($method, $path, %option);
}

# The numbers of the text by name and labels, as Prometheus would have them.

sub numbers { return Metrics::of_text(status(GET => '/status')->{body}) }

sub moved { return Metrics::moved(@_, \&numbers) }

# --- the answer ---

my $answer = status(GET => '/status');
is($answer->{status}, '200', 'the status is there');
is($answer->{headers}{'content-type'}, $text, 'it is text for Prometheus');
is($answer->{headers}{'cache-control'}, 'no-store', 'nobody keeps it');
is($answer->{headers}{'content-length'}, length $answer->{body},
   'its length is told');
ok(!defined $answer->{headers}{'www-authenticate'}, 'it asks for no token');

my $head = status(HEAD => '/status');
is($head->{status}, '200', 'HEAD');
is($head->{body}, '', 'has no body');
ok($head->{headers}{'content-length'} > 1000, 'and its length');
is($head->{headers}{'content-type'}, $text, 'and its type');

for my $method (qw(POST PUT DELETE PATCH OPTIONS WHATEVER)) {
    my $refused = status($method => '/status', body => 'a');
    is($refused->{status}, '405', "$method is 405");
    is($refused->{headers}{allow}, 'GET, HEAD', "$method: what is allowed");
}

is(status(GET => '/status', body => 'a body', type => 'text/plain')->{status},
   '200', 'a body is not looked at');
is(status(GET => '/denied')->{status}, '403', 'deny denies');
is(status(GET => '/guarded')->{status}, '401',
   'access_token guards it where it is on');
is(status(GET => '/branch?x=1')->{headers}{'content-type'}, $text,
   'an "if" in its location is the status as well');

# --- what Prometheus says of it ---

{
    my $pid = open2(my $out, my $in, 'promtool check metrics 2>&1');
    print $in $answer->{body};
    close $in;
    my $said = join '', <$out>;
    waitpid $pid, 0;

    is($?, 0, 'promtool finds no fault with the text');
    is($said, '', 'and no lint in it');
}

# --- text or JSON ---

my @accepts = (
    ['application/json'                                => 'application/json'],
    ['APPLICATION/JSON'                                => 'application/json'],
    ['application/json;q=0.9, text/html'               => 'application/json'],
    ['application/json, text/plain, */*'               => 'application/json'],
    ['text/plain;q=0.5 , application/json; q=0.6'      => 'application/json'],
    ['application/json ; charset=utf-8 ; q=1.000'      => 'application/json'],
    ['*/*'                                             => $text],
    [''                                                => $text],
    ['text/plain'                                      => $text],
    ['text/plain, application/json;q=0.9'              => $text],
    ['text/plain;q=0.5, application/json;q=0.45'       => $text],
    ['text/plain;q=0.105, application/json;q=0.06'     => $text],
    ['application/json;q=0'                            => $text],
    ['application/json;q=0.000'                        => $text],
    ['application/json;q='                             => $text],
    ['application/json;q=x'                            => $text],
    ['application/*'                                   => $text],
    ['application/jsonp'                               => $text],
    ['application/json-seq, application/js'            => $text],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
                                                       => $text],
    ['application/openmetrics-text;version=1.0.0,'
     . 'application/openmetrics-text;version=0.0.1;q=0.75,'
     . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1'      => $text],
);

for my $case (@accepts) {
    my ($accept, $type) = @$case;
    is(status(GET => '/status', headers => [Accept => $accept])
           ->{headers}{'content-type'},
       $type, "Accept: $accept");
}

is(status(GET => '/status', headers => [Accept => 'text/plain;q=0.1',
                                        Accept => 'application/json'])
       ->{headers}{'content-type'},
   'application/json', 'two headers are one list');

# --- requests by verdict ---

my $token = put_token();
my $revoked = put_token(status => 'r');
my $expired = put_token(expires => time - 10);
my $before = numbers();

is_deeply(Metrics::only($before, 'access_token_requests_total'),
          { map { $_ => $_ eq 'missing' ? 1 : 0 }
            qw(active missing malformed unknown revoked expired forbidden
               unavailable) },
          'each verdict is there from the beginning');

my @asked = (
    ['/optional' => { bearer => $token },            'active'],
    ['/'         => {},                              'missing'],
    ['/optional' => {},                              'missing'],
    ['/'         => { bearer => 'no_token' },        'malformed'],
    ['/'         => { bearer => token() },           'unknown'],
    ['/'         => { bearer => $revoked },          'revoked'],
    ['/'         => { bearer => $expired },          'expired'],
    ['/narrow'   => { bearer => $token },            'forbidden'],
    ['/two'      => { bearer => $token, headers => ['X-Token' => $token] },
                                                     'malformed'],
);

for my $case (@asked) {
    my ($path, $option, $verdict) = @$case;
    my $moved = moved(sub { status(GET => $path, %$option) });

    is_deeply({ map { /requests_total/ ? ($_ => $moved->{$_}) : () }
                keys %$moved },
              { "requests_total{verdict=\"$verdict\"}" => 1 },
              "a request to $path is $verdict");
}

is(moved(sub { status(GET => '/', bearer => $token) })
       ->{'requests_total{verdict="active"}'}, 2,
   'the index of a folder is an internal redirect, and a check of its own');
is_deeply(moved(sub { status(GET => '/open', bearer => $token) }),
          {}, 'a request that is not checked is not counted');

# --- the API ---

my $api = 'api_requests_total';
my $path = '/organizations/acme/access-tokens';

is_deeply([grep { /_$api/ } keys %{ numbers() }], [],
          'what the API has not answered yet is not there');

my $made = $gateway->create('acme', '');
my @root = (bearer => $gateway->root);

my @calls = (
    [POST    => "/api$path", [@root, json => { name => 'n', expires_at =>
                                               Gateway::in_days(1) }],
     $path, 201],
    [GET     => "/api$path", [@root], $path, 200],
    [GET     => "/api$path", [], $path, 401],
    [GET     => "/api$path", [bearer => $token], $path, 403],
    [GET     => "/api$path?limit=0", [@root], $path, 422],
    [PUT     => "/api$path", [@root], $path, 405],
    [OPTIONS => "/api$path", [], $path, 204],
    [POST    => "/api$path", [@root, body => '{', type => 'application/json'],
     $path, 400],
    [POST    => "/api$path", [@root, body => '{}', type => 'text/plain'],
     $path, 415],
    [POST    => "/api$path", [@root, body => '"' . 'a' x 65536 . '"',
                              type => 'application/json'],
     $path, 413],
    [GET     => "/api$path/$made->{id}", [@root], "$path/{id}", 200],
    [GET     => "/api$path/" . 'A' x 20, [@root], "$path/{id}", 404],
    [POST    => "/api$path/$made->{id}/revoke", [@root], "$path/{id}/revoke",
     200],
    [POST    => "/api$path/$made->{id}/rotate", [@root], "$path/{id}/rotate",
     409],
    [GET     => '/api/organizations/acme/groups', [@root],
     '/organizations/{o}/groups', 200],
    [GET     => '/api/caller', [@root], '/caller', 200],
    [GET     => '/api/caller', [bearer => 'rubbish'], '/caller', 401],
    [GET     => '/api/self', [bearer => $token], '/self', 200],
    [GET     => '/api/no/such/path', [@root], 'unknown', 404],
    [GET     => '/api/%6frganizations', [@root], 'unknown', 404],
    [DELETE  => "/api$path/$made->{id}", [@root], "$path/{id}", 204],
);

for my $call (@calls) {
    my ($method, $target, $option, $route, $status) = @$call;
    my $got;
    my $moved = moved(sub {
        $got = $gateway->call($method => $target, @$option)->{status};
    });
    my $name = $route =~ s/acme/{o}/r;

    is($got, $status, "$method $target is answered with $status");
    is_deeply({ map { $_ => $moved->{$_} } grep { /^$api/ } keys %$moved },
              { "$api\{route=\"$name\",status=\"$status\"}" => 1 },
              'and is counted, once, there');
}

# --- JSON has the same numbers ---

{
    my $json = status(GET => '/status',
                      headers => [Accept => 'application/json']);
    my $decoded = eval { JSON::PP->new->utf8->decode($json->{body}) };

    is($@, '', 'JSON is JSON');

    my $plain = numbers();

    is($json->{headers}{'cache-control'}, 'no-store', 'nobody keeps it either');

    my $flat = Metrics::of_json($decoded);
    delete @$_{grep { /lease_seconds/ } keys %$_} for $flat, $plain;

    is_deeply($flat, $plain, 'and has the numbers of the text');
    is_deeply([sort keys %{ $decoded->{access_token_lease_seconds} }], [0, 1],
              'with a lease for each worker that there is');
}

# --- two workers are one gateway ---

{
    my @pids;

    my $moved = moved(sub {
        for (1 .. 200) {
            status(GET => '/index.html', bearer => $token);
        }
    });
    my %serving = map { $_ => 1 }
                  $gateway->log =~ /\[debug\] (\d+)#\d+: .*http header done/g;

    is($moved->{'requests_total{verdict="active"}'}, 200,
       'what all workers count is in one number');
    is(scalar(keys %serving), 2, 'and both have counted');
}

# --- a reload ---

{
    my $kept = numbers();
    my $children = '/proc/' . $gateway->pid . '/task/' . $gateway->pid
                   . '/children';
    my %old = map { $_ => 1 } split ' ', Gateway::slurp($children);

    kill 'HUP', $gateway->pid;

    for (1 .. 1000) {
        my @now = split ' ', Gateway::slurp($children);
        last if @now == 2 && !grep { $old{$_} } @now;
        sleep 0.01;
    }

    is_deeply(Metrics::only(numbers(), 'access_token_requests_total'),
              Metrics::only($kept, 'access_token_requests_total'),
              'a reload keeps what was counted');
}

$gateway->stop(qr/access forbidden by rule/);

done_testing();
