# A runner that lets everything pass proves nothing: here wrong expectations
# have to fail, each by the check that is named.  The test files are written
# into a temporary directory and run with the include path of this one, hence
# under the same runner.

use strict;
use warnings;

use File::Spec ();
use File::Temp qw(tempdir);
use Test::More;

my @Include = map { ('-I', File::Spec->rel2abs($_)) } grep { !ref } @INC;
my $Dir = tempdir(CLEANUP => 1);

mkdir "$Dir/t" or die "mkdir: $!";
delete @ENV{qw(TEST_NGINX_SERVROOT TEST_NGINX_LOAD_MODULES
               TEST_NGINX_IGNORE_MISSING_DIRECTIVES TEST_NGINX_NO_SHUFFLE)};

my $Head = <<'END';
use Test::Nginx::Socket 'no_plan';
no_long_string();
run_tests();
__DATA__
END


# The results of a file's checks, by title: an array of "ok" and "not ok".  Then
# its exit status, and the titles in the order of the checks.

sub run_file {
    my ($text) = @_;
    my (%results, @order);

    open my $out, '>', "$Dir/t/x.t" or die "open: $!";
    print $out $text;
    close $out or die "close: $!";

    my $command = join ' ', map { "'$_'" } 'prove', '-v', @Include, 't/x.t';

    for (`cd '$Dir' && $command 2>/dev/null`) {
        my ($result, $title) = /^((?:not )?ok) \d+ (?:-|# skip) (.*)/ or next;
        $title = $1 if $title =~ /TEST \d+: (.*?) - /;
        push @{ $results{$title} }, $result;
        push @order, $title;
    }

    return (\%results, $?, @order);
}


my ($results, $status) = run_file($Head . <<'END');
=== TEST 1: right
--- config
    location = /t { return 200 "ok\n"; }
--- request
GET /t
--- response_body
ok
--- no_error_log
[error]



=== TEST 2: wrong status
--- config
--- request
GET /missing



=== TEST 3: wrong body
--- config
    location = /t { return 200 "ok\n"; }
--- request
GET /t
--- response_body
OK



=== TEST 4: wrong body pattern
--- config
    location = /t { return 200 "ok\n"; }
--- request
GET /t
--- response_body_like: ^OK



=== TEST 5: unwanted body pattern
--- config
    location = /t { return 200 "ok\n"; }
--- request
GET /t
--- response_body_unlike: ok



=== TEST 6: wrong header
--- config
    location = /t { add_header X-A 1; return 200 ""; }
--- request
GET /t
--- response_headers
X-A: 2



=== TEST 7: unwanted header
--- config
    location = /t { add_header X-A 1; return 200 ""; }
--- request
GET /t
--- response_headers
!X-A



=== TEST 8: missing header
--- config
    location = /t { return 200 ""; }
--- request
GET /t
--- response_headers_like
X-A: \d



=== TEST 9: unwanted raw header
--- config
    location = /t { add_header X-A 1; return 200 ""; }
--- request
GET /t
--- raw_response_headers_unlike: X-A: 1



=== TEST 10: missing log line
--- config
    location = /t { return 200 ""; }
--- request
GET /t
--- error_log
never logged



=== TEST 11: unwanted log line
--- config
--- request
GET /missing
--- error_code: 404
--- no_error_log
never logged
[error]



=== TEST 12: wrong log excerpt
--- config
--- request
GET /missing
--- error_code: 404
--- grep_error_log eval: qr/missing" failed/
--- grep_error_log_out
missing" succeeded



=== TEST 13: nginx that lives
--- config
    location = /t { return 200 ""; }
--- must_die



=== TEST 14: nginx that dies with another code
--- config
    no_such_directive;
--- must_die: 7



=== TEST 15: client timeout
--- config
    location = /t { limit_rate 500; root $TEST_NGINX_SERVER_ROOT/html; }
--- user_files eval
">>> t\n" . ("0123456789" x 1000)
--- request
GET /t
--- timeout: 0.2



=== TEST 16: wrong query
--- config
    location = /t { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- request
GET /t
--- tcp_listen: $TEST_NGINX_RAND_PORT_1
--- tcp_reply eval: "HTTP/1.0 200 OK\r\n\r\n"
--- tcp_query: GET /u HTTP/1.0



=== TEST 17: wrong second response
--- config
    location = /t { return 200 "$arg_a\n"; }
--- pipelined_requests eval
["GET /t?a=1", "GET /t?a=2"]
--- response_body eval
["1\n", "3\n"]



=== TEST 18: missing log line at the end
--- config
    location = /t { return 200 ""; }
--- request
GET /t
--- shutdown_error_log
never logged



=== TEST 19: wrong status pattern
--- config
    location = /t { return 200 ""; }
--- request
GET /t
--- error_code_like: ^(?:1|3|20[1-9])



=== TEST 20: missing raw header
--- config
    location = /t { add_header X-A 1; return 200 ""; }
--- request
GET /t
--- raw_response_headers_like: X-A: 2



=== TEST 21: unwanted line that comes late
--- config
    access_log $TEST_NGINX_SERVER_ROOT/logs/access.log combined
               buffer=4k flush=150ms;
    location = /t { return 200 ""; }
--- request
GET /t?late
--- wait: 2
--- no_access_log
GET /t?late



=== TEST 22: right again
--- config
    location = /t { return 200 "ok\n"; }
--- request
GET /t
--- response_body
ok
END

my %expected = (
    'right'                             => ['ok', 'ok', 'ok'],
    'wrong status'                      => ['not ok'],
    'wrong body'                        => ['not ok', 'ok'],
    'wrong body pattern'                => ['not ok', 'ok'],
    'unwanted body pattern'             => ['not ok', 'ok'],
    'wrong header'                      => ['not ok', 'ok'],
    'unwanted header'                   => ['not ok', 'ok'],
    'missing header'                    => ['not ok', 'ok'],
    'unwanted raw header'               => ['not ok', 'ok'],
    'missing log line'                  => ['not ok', 'ok'],
    'unwanted log line'                 => ['not ok', 'ok', 'ok'],
    'wrong log excerpt'                 => ['not ok', 'ok'],
    'nginx that lives'                  => ['not ok'],
    'nginx that dies with another code' => ['not ok'],
    'wrong query'                       => ['not ok', 'ok'],
    'wrong second response'             => ['not ok', 'ok', 'ok', 'ok'],
    'missing log line at the end'       => ['not ok', 'ok'],
    'wrong status pattern'              => ['not ok'],
    'missing raw header'                => ['not ok', 'ok'],
    'unwanted line that comes late'     => ['not ok', 'ok'],
    'right again'                       => ['ok', 'ok'],
);

isnt($status, 0, 'a file with failures fails');

for my $title (sort keys %expected) {
    is_deeply([sort @{ $results->{$title} || [] }], $expected{$title}, $title);
}

ok(scalar(grep { /client socket timed out/ } keys %$results),
   'client timeout');


($results, $status) = run_file($Head . <<'END');
=== TEST 1: not run
--- config
    no_such_directive;



=== TEST 2: run alone
--- config
    location = /t { return 200 "ok\n"; }
--- request
GET /t
--- ONLY
END

is($status, 0, 'ONLY: passes');
is_deeply($results, { 'run alone' => ['ok'] }, 'ONLY: one block ran');


($results, $status) = run_file(<<'END');
use Test::Nginx::Socket;
no_shuffle();
no_root_location();
master_on();
workers(2);
log_level('info');
plan tests => repeat_each() * (blocks() * 2 + 2);
run_tests();
__DATA__
=== TEST 1: settings in the configuration
--- config
    location = /conf { alias $TEST_NGINX_SERVER_ROOT/conf/nginx.conf; }
    location = /pid { alias $TEST_NGINX_SERVER_ROOT/logs/nginx.pid; }
--- request eval
["GET /conf", "GET /conf"]
--- response_body_like eval
[qr/^worker_processes +2;\n.*master_process +on;\n/s, qr/\A(?!.*location \/ )/s]



=== TEST 2: the nginx of the block before
--- request
GET /pid
--- response_body_like: ^\d+$
--- error_code: 200



=== TEST 3: one that is stopped in order
--- config
    location = /t { return 200 ""; }
--- request
GET /t
--- shutdown_error_log
exit
END

is($status, 0, 'settings: passes');
is(scalar(map { @$_ } values %$results), 8, 'settings: the plan holds');

($results, $status) = run_file($Head . <<'END');
=== TEST 1: skipped with its reason
--- config
    no_such_directive;
--- skip_eval: 2: 1



=== TEST 2: right
--- config
    location = /t { return 200 ""; }
--- request
GET /t
END

is($status, 0, 'skip: passes');
is(scalar(map { @$_ } values %$results), 3, 'skip: two checks and one');


($results, $status) = run_file($Head . <<'END');
=== TEST 1: which of them counts?
--- config
    location = /t { return 200 ""; }
--- request
GET /missing
--- request eval
["GET /t", "GET /t"]
END

isnt($status, 0, 'a section given twice: fails');


# A block that only works behind another one is found out by chance: blocks come
# in any order, unless the file says no.  That twelve of them come in the order
# of the file by chance is 1 in 479,001,600.

my @titles = map { "block $_" } 1 .. 12;
my $blocks = join "\n\n\n", map { <<"END" } 1 .. @titles;
=== TEST $_: block $_
--- config
--- skip_eval: 1: 1
END
my @order;

($results, $status, @order) = run_file($Head . $blocks);
is($status, 0, 'shuffled: passes');
isnt("@order", "@titles", 'shuffled: in another order than that of the file');
is(join(' ', sort @order), join(' ', sort @titles), 'shuffled: each of them');

($results, $status, @order) = run_file($Head =~ s/^run_/no_shuffle();\nrun_/mr
                                       . $blocks);
is($status, 0, 'no_shuffle: passes');
is("@order", "@titles", 'no_shuffle: in the order of the file');

done_testing();
