# access_token_root_file: the operator's credentials at the API.

use Test::Nginx::Socket 'no_plan';
use lib 't';
use AccessToken;
use Gateway;
use Digest::SHA 'sha256_hex';

our $One = 'x' x 40;
our $Two = 'another-credential_which.does~not+look/like=a-token==';
our $Token = put_token(organization => 'acme');
our $Files = ">>> root
# who may do all
sha256:" . sha256_hex($One) . " alice, until Monday

sha256:" . uc(sha256_hex($Two)) . '
sha256:' . sha256_hex($Token) . " of a string that is a token too
";

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(user_files => $Files) unless defined $block->user_files;
    $block->set_value(request => 'GET /api/organizations')
        unless defined $block->request;
    Gateway::api_block($block);
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: every credential of the file is root
--- request eval
['GET /api/organizations', 'GET /api/organizations']
--- more_headers eval
["Authorization: Bearer $::One", "Authorization: Bearer $::Two"]
--- error_code eval
[200, 200]



=== TEST 2: what is not in the file is 401
--- request eval
[('GET /api/organizations') x 7]
--- more_headers eval
[map { "Authorization: Bearer$_" }
     ' ' . 'x' x 39, ' ' . 'x' x 41, " ${\uc $::One}", ' ', '',
     ' ' . Digest::SHA::sha256_hex($::One),
     ' sha256:' . Digest::SHA::sha256_hex($::One)]
--- error_code eval
[(401) x 7]
--- response_headers eval
[('WWW-Authenticate: Bearer realm="gateway", error="invalid_token", error_description="The access token is invalid"') x 7]



=== TEST 3: root is root also where its credential has the form of a token
--- more_headers eval
"Authorization: Bearer $::Token"
--- error_code: 200



=== TEST 4: what root makes and revokes is root's
--- request eval
my $day = Gateway::in_days(1);
"POST /api/organizations/acme/access-tokens
{\"name\":\"a\",\"expires_at\":\"$day\"}"
--- more_headers eval
"Authorization: Bearer $::One
Content-Type: application/json"
--- error_code: 201
--- response_body_like chop
"created_by":"root"



=== TEST 5: root needs no Redis to be known
--- http_config
    access_token_redis unix:/nonexistent;
    access_token_cache off;
    access_token_root_file $TEST_NGINX_SERVER_ROOT/html/root;
--- request
GET /api/self
--- more_headers eval
"Authorization: Bearer $::One"
--- error_code: 403
--- response_body_like chop
a request presents



=== TEST 6: a root credential is nobody at the edge
--- config
    location /api/ { access_token_api; }
    location = /t { access_token on; root html; }
--- request
GET /t
--- more_headers eval
"Authorization: Bearer $::One"
--- error_code: 401



=== TEST 7: without a file there is no root
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET timeout=5s;
--- more_headers eval
"Authorization: Bearer $::One"
--- error_code: 401



=== TEST 8: an empty file is no root
--- user_files
>>> root
# nobody
--- more_headers eval
["Authorization: Bearer $::One", 'Authorization: Bearer ']
--- request eval
['GET /api/organizations', 'GET /api/organizations']
--- error_code eval
[401, 401]



=== TEST 9: the credential is in no log
--- more_headers eval
"Authorization: Bearer $::Two"
--- request
GET /api/organizations?limit=0
--- error_code: 422
--- grep_error_log eval
# nginx itself logs the headers of a request at debug level
qr/^(?!.*http header:).*another-credential.*$/m
--- grep_error_log_out
