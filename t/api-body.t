# Bodies of requests to the API: their type, their size, and how they come.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Gateway;

our $Path = '/api/organizations/acme/access-tokens';
our $Root = 'Authorization: Bearer ' . Gateway->root;
our $InADay = Gateway::in_days(1);

our $Body = "{\"name\":\"a\",\"expires_at\":\"$InADay\"}";

# a body of so many bytes, of a member that is not known: 422, once it is read
sub body_of {
    my ($size) = @_;
    return '{"x":"' . 'x' x ($size - 8) . '"}';
}

# a body in chunks
sub chunks {
    my ($body, $size) = @_;
    my $chunks = '';

    $chunks .= sprintf("%x\r\n%s\r\n", length $_, $_)
        for $body =~ /.{1,$size}/sg;

    return "${chunks}0\r\n\r\n";
}

sub raw {
    my ($headers, $body) = @_;
    return "POST $Path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
           . "$Root\r\n"
           . join('', map { "$_\r\n" } @$headers) . "\r\n$body";
}

our $Json = 'Content-Type: application/json';
our $Chunked = 'Transfer-Encoding: chunked';

add_block_preprocessor(\&Gateway::api_block);
no_long_string();
run_tests();

__DATA__

=== TEST 1: a body of another type is 415
--- request eval
[("POST $::Path\n" . $::Body) x 9]
--- more_headers eval
[$::Root, map { "$::Root\nContent-Type: $_" }
 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data',
 'application/jsonx', 'application/json2; charset=utf-8', 'text/json',
 'application/merge-patch+json', ';application/json']
--- error_code eval
[(415) x 9]
--- response_body_like eval
[('"title":"Unsupported Media Type","status":415,"detail":"Send the body as JSON') x 9]



=== TEST 2: parameters of the type do not matter, nor does case
--- request eval
[("POST $::Path\n" . $::Body) x 4]
--- more_headers eval
[map { "$::Root\nContent-Type: $_" }
 'application/json;charset=utf-8', 'application/json ; charset=UTF-8',
 'APPLICATION/JSON', 'application/json; x="a;b"']
--- error_code eval
[(201) x 4]



=== TEST 3: a merge patch is for PATCH
--- request eval
"PATCH $::Path/" . 'A' x 20 . "\n{\"name\":\"b\"}"
--- more_headers eval
"$::Root
Content-Type: application/merge-patch+json"
--- error_code: 404
--- response_body_like chop
no such access token



=== TEST 4: a POST that needs no body needs no type either
--- request eval
["POST $::Path/" . 'A' x 20 . '/revoke',
 "POST $::Path/" . 'A' x 20 . '/rotate',
 "POST $::Path/" . 'A' x 20 . "/revoke\n{}",
 "POST $::Path/" . 'A' x 20 . "/revoke\n{}"]
--- more_headers eval
[$::Root, $::Root, $::Root, "$::Root\nContent-Type: application/json"]
--- error_code eval
[404, 404, 415, 404]



=== TEST 5: 64 KiB are the most
--- request eval
["POST $::Path\n" . main::body_of(65536), "POST $::Path\n" . main::body_of(65537),
 "POST $::Path\n" . main::body_of(10_000_000)]
--- error_code eval
[422, 413, 413]
--- response_body_like eval
['"pointer":"/x"', ('"title":"Content Too Large","status":413,"detail":"A body may have at most 64 KiB"') x 2]
--- response_headers eval
['Content-Type: application/problem+json',
 ("Content-Type: application/problem+json\nCache-Control: no-store\nConnection: close") x 2]



=== TEST 6: the limit is the API's own, whatever client_max_body_size allows
--- config
    location /api/ {
        client_max_body_size 0;
        access_token_api;
    }
--- raw_request eval
main::raw([$::Json, $::Chunked], main::chunks(main::body_of(200_000), 5000))
--- error_code: 413
--- response_body_like chop
at most 64 KiB



=== TEST 7: a smaller limit of nginx is kept
--- config
    location /api/ {
        client_max_body_size 1k;
        access_token_api;
    }
--- request eval
"POST $::Path\n" . main::body_of(2000)
--- error_code: 413
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 8: a body may come in chunks of any size
--- raw_request eval
main::raw([$::Json, $::Chunked], main::chunks($::Body, 1))
--- error_code: 201



=== TEST 9: a body of 64 KiB may come in chunks, and be written to a file
--- config
    client_body_buffer_size 1k;
    location /api/ { access_token_api; }
--- raw_request eval
main::raw([$::Json, $::Chunked], main::chunks(main::body_of(65536), 3000))
--- error_code: 422
--- response_body_like chop
"pointer":"/x"
--- no_error_log
[error]
[alert]
[crit]
[emerg]



=== TEST 10: one byte more in chunks is 413
--- raw_request eval
main::raw([$::Json, $::Chunked], main::chunks(main::body_of(65537), 3000))
--- error_code: 413



=== TEST 11: a body may always be written to a file
--- config
    client_body_in_file_only clean;
    location /api/ { access_token_api; }
--- request eval
["POST $::Path\n" . $::Body, "POST $::Path\n" . main::body_of(60000)]
--- error_code eval
[201, 422]



=== TEST 12: chunks that are none are 400
--- raw_request eval
main::raw([$::Json, $::Chunked], "zz\r\n{}\r\n0\r\n\r\n")
--- error_code: 400
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 13: the body of a GET or DELETE is not looked at
--- request eval
["GET $::Path\nrubbish", "DELETE $::Path/" . 'A' x 20 . "\nrubbish"]
--- more_headers eval
$::Root
--- error_code eval
[200, 404]



=== TEST 14: after 413 nobody waits for the rest, so the connection is closed
--- raw_request eval
"POST $::Path HTTP/1.1\r\nHost: localhost\r\n$::Root\r\n$::Json\r\n"
. "Content-Length: 65537\r\n\r\n" . main::body_of(65537)
--- error_code: 413
--- response_headers
Connection: close



=== TEST 15: and so it is where the size was not known before
--- raw_request eval
"POST $::Path HTTP/1.1\r\nHost: localhost\r\n$::Root\r\n$::Json\r\n"
. "$::Chunked\r\n\r\n" . main::chunks(main::body_of(65537), 3000)
--- error_code: 413
--- response_headers
Connection: close
