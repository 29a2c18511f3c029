# Directives: what nginx refuses to start with.  Every directive with wrong,
# duplicate and missing arguments, and in the wrong place; each message names
# the directive and what to write instead.  What it starts with is at the end.

use Test::Nginx::Socket 'no_plan';
use Digest::SHA 'sha256_hex';

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my $block = shift;

    if (!defined $block->error_log && !defined $block->no_error_log) {
        $block->set_value('no_error_log',
                          "[error]\n[alert]\n[crit]\n[emerg]");
    }
});

no_long_string();
run_tests();

__DATA__

=== TEST 1: access_token with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token" directive



=== TEST 2: access_token with two arguments
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token on off;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token" directive



=== TEST 3: access_token is neither on, off nor optional
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token yes;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "yes" in "access_token": it must be "on", "off" or "optional"



=== TEST 4: access_token in capitals
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token ON;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "ON" in "access_token": it must be "on", "off" or "optional"



=== TEST 5: access_token with an empty argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token "";
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token": it must be "on", "off" or "optional"



=== TEST 6: access_token twice on a level
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token on;
    access_token on;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token" directive is duplicate



=== TEST 7: access_token in an if
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location / {
        if ($arg_a) {
            access_token off;
        }
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token" directive is not allowed here



=== TEST 8: access_token without access_token_redis
--- config
    access_token on;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" is missing: name the Redis server in the http block



=== TEST 9: access_token_api without access_token_redis
--- config
    location /api/ {
        access_token_api;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" is missing: name the Redis server in the http block



=== TEST 10: access_token_realm with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_realm;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_realm" directive



=== TEST 11: access_token_realm with two arguments
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_realm a b;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_realm" directive



=== TEST 12: access_token_realm that is empty
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_realm "";
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_realm": it must not be empty



=== TEST 13: access_token_realm twice on a level
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_realm a;
    access_token_realm a;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_realm" directive is duplicate



=== TEST 14: access_token_realm with a variable that nobody knows
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_realm $no_such_variable;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
unknown "no_such_variable" variable



=== TEST 15: access_token_realm in an if
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location / {
        if ($arg_a) {
            access_token_realm a;
        }
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_realm" directive is not allowed here



=== TEST 16: access_token_source with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_source" directive



=== TEST 17: access_token_source of a kind that there is not
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source body;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "body" in "access_token_source": it must be "bearer", "header=Name", "cookie=name" or "query=name"



=== TEST 18: access_token_source of a kind without a name
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source header;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "header" in "access_token_source": it must be "bearer", "header=Name", "cookie=name" or "query=name"



=== TEST 19: access_token_source of a kind with too much of a name
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source bearer=a;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "bearer=a" in "access_token_source": it must be "bearer", "header=Name", "cookie=name" or "query=name"



=== TEST 20: access_token_source with an empty header
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source header=;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "header=" in "access_token_source": the name must be of letters, digits, "-", "_" and "."



=== TEST 21: access_token_source with an empty cookie
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source cookie=;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "cookie=" in "access_token_source": the name must be of letters, digits, "-", "_" and "."



=== TEST 22: access_token_source with an empty argument of the query
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source query=;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "query=" in "access_token_source": the name must be of letters, digits, "-", "_" and "."



=== TEST 23: access_token_source with a header that cannot be one
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source "header=X Token";
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "header=X Token" in "access_token_source": the name must be of letters, digits, "-", "_" and "."



=== TEST 24: access_token_source with a cookie that cannot be one
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source "cookie=a=b";
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "cookie=a=b" in "access_token_source": the name must be of letters, digits, "-", "_" and "."



=== TEST 25: access_token_source with an argument of the query that cannot be one
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source query=a&b;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "query=a&b" in "access_token_source": the name must be of letters, digits, "-", "_" and "."



=== TEST 26: access_token_source that names a place twice
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source bearer bearer;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "bearer" in "access_token_source": that place is named before: name it once



=== TEST 27: access_token_source that names a header twice
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source header=X-Token header=x-token;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "header=x-token" in "access_token_source": that place is named before: name it once



=== TEST 28: access_token_source that names a cookie twice
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source cookie=a cookie=a;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "cookie=a" in "access_token_source": that place is named before: name it once



=== TEST 29: access_token_source that names an argument of the query twice
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source query=a bearer query=a;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "query=a" in "access_token_source": that place is named before: name it once



=== TEST 30: access_token_source that names Authorization in two ways
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source bearer header=Authorization;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "header=authorization" in "access_token_source": that place is named before: name it once



=== TEST 31: access_token_source twice on a level
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_source bearer;
    access_token_source bearer;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_source" directive is duplicate



=== TEST 32: access_token_source in an if
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location / {
        if ($arg_a) {
            access_token_source bearer;
        }
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_source" directive is not allowed here



=== TEST 33: access_token_require with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_require" directive



=== TEST 34: access_token_require of a kind that there is not
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require user=a;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "user=a" in "access_token_require": it must be "organization=", "group=", "role=" or "level="



=== TEST 35: access_token_require without a value
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "organization" in "access_token_require": it must be "organization=", "group=", "role=" or "level="



=== TEST 36: access_token_require with a role that there is not
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require role=owner;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "role=owner" in "access_token_require": no token can meet it



=== TEST 37: access_token_require with an empty role
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require role=;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "role=" in "access_token_require": no token can meet it



=== TEST 38: access_token_require with a level that there is not
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require level=project;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "level=project" in "access_token_require": no token can meet it



=== TEST 39: access_token_require with an empty level
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require level=;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "level=" in "access_token_require": no token can meet it



=== TEST 40: access_token_require with an empty organization
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "organization=" in "access_token_require": no token can meet it



=== TEST 41: access_token_require with an organization that cannot be one
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=a/b;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "organization=a/b" in "access_token_require": no token can meet it



=== TEST 42: access_token_require with an organization that starts with a dot
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=..;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "organization=.." in "access_token_require": no token can meet it



=== TEST 43: access_token_require with an organization that is too long
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=ooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooooo;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
oooo" in "access_token_require": no token can meet it



=== TEST 44: access_token_require with an empty group
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=a group=;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "group=" in "access_token_require": no token can meet it



=== TEST 45: access_token_require with a group that cannot be one
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=a group=b:c;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "group=b:c" in "access_token_require": no token can meet it



=== TEST 46: access_token_require with a group that starts with a dot
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=a group=.b;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "group=.b" in "access_token_require": no token can meet it



=== TEST 47: access_token_require with two organizations
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=a organization=b;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "organization=b" in "access_token_require": it is there twice: write another "access_token_require" if both must hold



=== TEST 48: access_token_require with two groups
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=a group=a group=b;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "group=b" in "access_token_require": it is there twice: write another "access_token_require" if both must hold



=== TEST 49: access_token_require with two roles
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require role=user role=admin;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "role=admin" in "access_token_require": it is there twice: write another "access_token_require" if both must hold



=== TEST 50: access_token_require with two levels
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require level=group level=group;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "level=group" in "access_token_require": it is there twice: write another "access_token_require" if both must hold



=== TEST 51: access_token_require of a group without its organization
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require group=dev;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_require" directive has "group=" without "organization=": name the organization of the group



=== TEST 52: access_token_require with a variable that nobody knows
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_require organization=$no_such_variable;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
unknown "no_such_variable" variable



=== TEST 53: access_token_require in an if
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location / {
        if ($arg_a) {
            access_token_require role=user;
        }
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_require" directive is not allowed here



=== TEST 54: access_token_redis with no argument
--- http_config
    access_token_redis;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_redis" directive



=== TEST 55: access_token_redis with an empty address
--- http_config
    access_token_redis "";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_redis": the address of Redis comes first, as "host:port" or "unix:/path"



=== TEST 56: access_token_redis with a parameter in the place of the address
--- http_config
    access_token_redis db=1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "db=1" in "access_token_redis": the address of Redis comes first, as "host:port" or "unix:/path"



=== TEST 57: access_token_redis with a URL
--- http_config
    access_token_redis redis://127.0.0.1:6379;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "redis://127.0.0.1:6379" in "access_token_redis": the address of Redis comes first, as "host:port" or "unix:/path"



=== TEST 58: access_token_redis with a database behind the address
--- http_config
    access_token_redis 127.0.0.1:6379/1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "127.0.0.1:6379/1" in "access_token_redis": the address of Redis comes first, as "host:port" or "unix:/path"



=== TEST 59: access_token_redis with a port that cannot be one
--- http_config
    access_token_redis 127.0.0.1:70000;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid port in redis address "127.0.0.1:70000"
invalid value "127.0.0.1:70000" in "access_token_redis": the address of Redis comes first, as "host:port" or "unix:/path"



=== TEST 60: access_token_redis with a port and no host
--- http_config
    access_token_redis :6379;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
no host in redis address ":6379"
invalid value ":6379" in "access_token_redis": the address of Redis comes first, as "host:port" or "unix:/path"



=== TEST 61: access_token_redis with no path to a socket
--- http_config
    access_token_redis unix:;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
no path in the unix domain socket in redis address "unix:"
invalid value "unix:" in "access_token_redis": the address of Redis comes first, as "host:port" or "unix:/path"



=== TEST 62: access_token_redis with a host that cannot be found
--- http_config
    access_token_redis no-such-host.invalid;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
host not found in redis address "no-such-host.invalid"



=== TEST 63: access_token_redis with a second address
--- http_config
    access_token_redis 127.0.0.1 127.0.0.2;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "127.0.0.2" in "access_token_redis": it must be "user=", "password_file=", "db=", "prefix=", "connect_timeout=", "timeout=", "wait=", "tls" (once), "tls_...=" or "sentinel_...="



=== TEST 64: access_token_redis with a parameter that there is not
--- http_config
    access_token_redis 127.0.0.1 password=a;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "password=a" in "access_token_redis": it must be "user=", "password_file=", "db=", "prefix=", "connect_timeout=", "timeout=", "wait=", "tls" (once), "tls_...=" or "sentinel_...="



=== TEST 65: access_token_redis with a database that is no number
--- http_config
    access_token_redis 127.0.0.1 db=one;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "db=one" in "access_token_redis": write "db=" once, with a number



=== TEST 66: access_token_redis with an empty database
--- http_config
    access_token_redis 127.0.0.1 db=;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "db=" in "access_token_redis": write "db=" once, with a number



=== TEST 67: access_token_redis with a negative database
--- http_config
    access_token_redis 127.0.0.1 db=-1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "db=-1" in "access_token_redis": write "db=" once, with a number



=== TEST 68: access_token_redis with a database beyond all numbers
--- http_config
    access_token_redis 127.0.0.1 db=99999999999999999999;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "db=99999999999999999999" in "access_token_redis": write "db=" once, with a number



=== TEST 69: access_token_redis with two databases
--- http_config
    access_token_redis 127.0.0.1 db=0 db=0;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "db=0" in "access_token_redis": write "db=" once, with a number



=== TEST 70: access_token_redis with a timeout that is no time
--- http_config
    access_token_redis 127.0.0.1 timeout=soon;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "timeout=soon" in "access_token_redis": write it once, with a time above 0 such as "500ms"



=== TEST 71: access_token_redis with an empty timeout
--- http_config
    access_token_redis 127.0.0.1 timeout=;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "timeout=" in "access_token_redis": write it once, with a time above 0 such as "500ms"



=== TEST 72: access_token_redis with a timeout of 0
--- http_config
    access_token_redis 127.0.0.1 timeout=0;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "timeout=0" in "access_token_redis": write it once, with a time above 0 such as "500ms"



=== TEST 73: access_token_redis with two timeouts
--- http_config
    access_token_redis 127.0.0.1 timeout=1s timeout=2s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "timeout=2s" in "access_token_redis": write it once, with a time above 0 such as "500ms"



=== TEST 74: access_token_redis with a connect_timeout that is no time
--- http_config
    access_token_redis 127.0.0.1 connect_timeout=1x;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "connect_timeout=1x" in "access_token_redis": write it once, with a time above 0 such as "500ms"



=== TEST 75: access_token_redis with an empty connect_timeout
--- http_config
    access_token_redis 127.0.0.1 connect_timeout=;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "connect_timeout=" in "access_token_redis": write it once, with a time above 0 such as "500ms"



=== TEST 76: access_token_redis with a connect_timeout of 0
--- http_config
    access_token_redis 127.0.0.1 connect_timeout=0;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "connect_timeout=0" in "access_token_redis": write it once, with a time above 0 such as "500ms"



=== TEST 77: access_token_redis with two connect_timeouts
--- http_config
    access_token_redis 127.0.0.1 connect_timeout=1s connect_timeout=1s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "connect_timeout=1s" in "access_token_redis": write it once, with a time above 0 such as "500ms"



=== TEST 78: access_token_redis with an empty user
--- http_config
    access_token_redis 127.0.0.1 user=;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "user=" in "access_token_redis": write it once, and not empty



=== TEST 79: access_token_redis with two users
--- http_config
    access_token_redis 127.0.0.1 user=a user=b;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "user=b" in "access_token_redis": write it once, and not empty



=== TEST 80: access_token_redis with an empty password_file
--- http_config
    access_token_redis 127.0.0.1 password_file=;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "password_file=" in "access_token_redis": write it once, and not empty



=== TEST 81: access_token_redis with two password_files
--- http_config
    access_token_redis 127.0.0.1 password_file=a password_file=b;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "password_file=b" in "access_token_redis": write it once, and not empty



=== TEST 82: access_token_redis with a user and no password
--- http_config
    access_token_redis 127.0.0.1 user=edge;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive has "user=" without "password_file=": name the file with the password of that user



=== TEST 83: access_token_redis with braces in the prefix
--- http_config
    access_token_redis "127.0.0.1" "prefix=a{b}";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "a{b}" in "access_token_redis": "prefix=" must hold no braces, spaces or control characters



=== TEST 84: access_token_redis with an opening brace in the prefix
--- http_config
    access_token_redis 127.0.0.1 "prefix=a{";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "a{" in "access_token_redis": "prefix=" must hold no braces, spaces or control characters



=== TEST 85: access_token_redis with a closing brace in the prefix
--- http_config
    access_token_redis 127.0.0.1 "prefix=a}";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "a}" in "access_token_redis": "prefix=" must hold no braces, spaces or control characters



=== TEST 86: access_token_redis with a space in the prefix
--- http_config
    access_token_redis 127.0.0.1 "prefix=a b";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "a b" in "access_token_redis": "prefix=" must hold no braces, spaces or control characters



=== TEST 87: access_token_redis with a line feed in the prefix
--- http_config eval
'access_token_redis 127.0.0.1 "prefix=a\nb";'
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
in "access_token_redis": "prefix=" must hold no braces, spaces or control characters



=== TEST 88: access_token_redis with a control character in the prefix
--- http_config eval
"access_token_redis 127.0.0.1 prefix=a\x1fb;"
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
in "access_token_redis": "prefix=" must hold no braces, spaces or control characters



=== TEST 89: access_token_redis with a DEL in the prefix
--- http_config eval
"access_token_redis 127.0.0.1 prefix=a\x7fb;"
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
in "access_token_redis": "prefix=" must hold no braces, spaces or control characters



=== TEST 90: access_token_redis with a prefix that is too long
--- http_config
    access_token_redis 127.0.0.1 prefix=ppppppppppppppppppppppppppppppppp;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "ppppppppppppppppppppppppppppppppp" in "access_token_redis": "prefix=" must be of 32 characters at most



=== TEST 91: access_token_redis with two prefixes
--- http_config
    access_token_redis 127.0.0.1 prefix=a prefix=b;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "b" in "access_token_redis": write "prefix=" once



=== TEST 92: access_token_redis with a password_file that is not there
--- http_config
    access_token_redis 127.0.0.1 password_file=$TEST_NGINX_HTML_DIR/none;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
html/none" failed (2: No such file or directory)
"access_token_redis" directive cannot be opened: name a file that nginx can read



=== TEST 93: access_token_redis with a password_file that is a directory
--- http_config
    access_token_redis 127.0.0.1 password_file=$TEST_NGINX_HTML_DIR;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive cannot be opened: name a file that nginx can read



=== TEST 94: access_token_redis with an empty password_file
--- http_config
    access_token_redis 127.0.0.1 password_file=$TEST_NGINX_HTML_DIR/password;
--- config
--- user_files eval
">>> password
"
--- must_die
--- suppress_stderr
--- error_log
[emerg]
html/password" in "access_token_redis": the first line of that file must be the password



=== TEST 95: access_token_redis with a password_file that starts with an empty line
--- http_config
    access_token_redis 127.0.0.1 password_file=$TEST_NGINX_HTML_DIR/password;
--- config
--- user_files eval
">>> password\n\nsecret\n"
--- must_die
--- suppress_stderr
--- error_log
[emerg]
the first line of that file must be the password



=== TEST 96: access_token_redis twice on a level
--- http_config
    access_token_redis 127.0.0.1;
    access_token_redis 127.0.0.1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive is duplicate



=== TEST 97: access_token_redis in a server
--- config
    access_token_redis 127.0.0.1;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_redis" directive is not allowed here



=== TEST 98: access_token_prefix with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_prefix;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_prefix" directive



=== TEST 99: access_token_prefix with two arguments
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_prefix at bt;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_prefix" directive



=== TEST 100: access_token_prefix that is empty
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_prefix "";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_prefix": it must be 1 to 16 letters, digits and "_", start with a letter and not end with "_"



=== TEST 101: access_token_prefix that is too long
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_prefix abcdefghijklmnopq;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "abcdefghijklmnopq" in "access_token_prefix": it must be 1 to 16 letters, digits and "_", start with a letter and not end with "_"



=== TEST 102: access_token_prefix that starts with a digit
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_prefix 1at;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "1at" in "access_token_prefix": it must be 1 to 16 letters, digits and "_", start with a letter and not end with "_"



=== TEST 103: access_token_prefix that starts with an underscore
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_prefix _at;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "_at" in "access_token_prefix": it must be 1 to 16 letters, digits and "_", start with a letter and not end with "_"



=== TEST 104: access_token_prefix that ends with an underscore
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_prefix at_;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "at_" in "access_token_prefix": it must be 1 to 16 letters, digits and "_", start with a letter and not end with "_"



=== TEST 105: access_token_prefix with a dash
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_prefix a-t;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "a-t" in "access_token_prefix": it must be 1 to 16 letters, digits and "_", start with a letter and not end with "_"



=== TEST 106: access_token_prefix twice on a level
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_prefix at;
    access_token_prefix at;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_prefix" directive is duplicate



=== TEST 107: access_token_prefix in a server
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_prefix at;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_prefix" directive is not allowed here



=== TEST 108: access_token_max_lifetime with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_max_lifetime;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_max_lifetime" directive



=== TEST 109: access_token_max_lifetime with two arguments
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_max_lifetime 1d 2d;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_max_lifetime" directive



=== TEST 110: access_token_max_lifetime that is no time
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_max_lifetime long;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "long" in "access_token_max_lifetime": it must be a time of at least "60s", or "off"



=== TEST 111: access_token_max_lifetime that is empty
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_max_lifetime "";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_max_lifetime": it must be a time of at least "60s", or "off"



=== TEST 112: access_token_max_lifetime below a minute
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_max_lifetime 59s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "59s" in "access_token_max_lifetime": it must be a time of at least "60s", or "off"



=== TEST 113: access_token_max_lifetime of 0
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_max_lifetime 0;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "0" in "access_token_max_lifetime": it must be a time of at least "60s", or "off"



=== TEST 114: access_token_max_lifetime that is negative
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_max_lifetime -1d;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "-1d" in "access_token_max_lifetime": it must be a time of at least "60s", or "off"



=== TEST 115: access_token_max_lifetime in milliseconds
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_max_lifetime 100000ms;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "100000ms" in "access_token_max_lifetime": it must be a time of at least "60s", or "off"



=== TEST 116: access_token_max_lifetime twice on a level
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_max_lifetime 30d;
    access_token_max_lifetime 30d;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_max_lifetime" directive is duplicate



=== TEST 117: access_token_max_lifetime in a server
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_max_lifetime 30d;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_max_lifetime" directive is not allowed here



=== TEST 118: access_token_root_file with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_root_file" directive



=== TEST 119: access_token_root_file with two arguments
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file a b;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_root_file" directive



=== TEST 120: access_token_root_file without a name
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file "";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_root_file": it must name a file



=== TEST 121: access_token_root_file that is not there
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
html/root" failed (2: No such file or directory)
"access_token_root_file" directive cannot be opened: name a file that nginx can read



=== TEST 122: access_token_root_file with a credential instead of its digest
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files eval
">>> root\n# root\nroot_secret_4711\n"
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid line in "access_token_root_file"
html/root:2: it must be "sha256:" and 64 hexadecimal digits



=== TEST 123: access_token_root_file with a digest that is too short
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files eval
">>> root\nsha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n"
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid line in "access_token_root_file"
html/root:1: it must be "sha256:" and 64 hexadecimal digits



=== TEST 124: access_token_root_file with a digest that is too long
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files eval
">>> root\nsha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0\n"
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid line in "access_token_root_file"
html/root:1: a comment must be set off by a space



=== TEST 125: access_token_root_file with a digest that is not hexadecimal
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files eval
">>> root\n\n\nsha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg\n"
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid line in "access_token_root_file"
html/root:3: 64 hexadecimal digits must follow "sha256:"



=== TEST 126: access_token_root_file with another kind of digest
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files eval
">>> root\nsha512:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid line in "access_token_root_file"
html/root:1: it must be "sha256:" and 64 hexadecimal digits



=== TEST 127: access_token_root_file that is too large
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files eval
">>> root\n" . ("#\n" x 40000)
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_root_file" directive names a file above 64 KiB: it must be a short list



=== TEST 128: access_token_root_file twice on a level
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files
>>> root
# none yet
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_root_file" directive is duplicate



=== TEST 129: access_token_root_file in a server
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_root_file root;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_root_file" directive is not allowed here



=== TEST 130: access_token_api with an argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api on;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_api" directive



=== TEST 131: access_token_api twice
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api" directive is duplicate



=== TEST 132: access_token_api in a server
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_api;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api" directive is not allowed here



=== TEST 133: access_token_api in a location given by a regular expression
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location ~ ^/api/ {
        access_token_api;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api" directive must be in a location given by a prefix, such as "location /api/": its routes lie below it



=== TEST 134: access_token_api in a named location
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location @api {
        access_token_api;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api" directive must be in a location given by a prefix, such as "location /api/": its routes lie below it



=== TEST 135: access_token_api in an exact location
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location = /api {
        access_token_api;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api" directive must be in a location given by a prefix, such as "location /api/": its routes lie below it



=== TEST 136: access_token_api in an if
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        if ($arg_a) {
            access_token_api;
        }
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api" directive is not allowed here



=== TEST 137: access_token_api in a limit_except
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        limit_except GET {
            access_token_api;
        }
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api" directive is not allowed here



=== TEST 138: access_token_api beside another handler
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        proxy_pass http://127.0.0.1:1;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api" in location "/api/" shares it with another handler, such as "proxy_pass": give the API a location of its own



=== TEST 139: access_token_api_identity with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_api_identity" directive



=== TEST 140: access_token_api_identity with one argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity $remote_user;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_api_identity" directive



=== TEST 141: access_token_api_identity with three arguments
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity $remote_user a b;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_api_identity" directive



=== TEST 142: access_token_api_identity twice
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity $remote_user a;
        access_token_api_identity $remote_user a;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api_identity" directive is duplicate



=== TEST 143: access_token_api_identity with a user who is everybody
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity admin organization_admin:acme;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "admin" in "access_token_api_identity": the user must hold a variable that the authentication in front sets, such as "$remote_user"



=== TEST 144: access_token_api_identity with an empty user
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity "" organization_admin:acme;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_api_identity": the user must hold a variable that the authentication in front sets, such as "$remote_user"



=== TEST 145: access_token_api_identity with a user that nobody knows
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity $no_such_variable a;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
unknown "no_such_variable" variable



=== TEST 146: access_token_api_identity without roles
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity $remote_user "";
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_api_identity": the roles must not be empty



=== TEST 147: access_token_api_identity with roles that nobody knows
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api;
        access_token_api_identity $remote_user $no_such_variable;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
unknown "no_such_variable" variable



=== TEST 148: access_token_api_identity without access_token_api
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /api/ {
        access_token_api_identity $remote_user organization_admin:acme;
    }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api_identity" in location "/api/" has no "access_token_api" beside it: it must be in the location of the API itself



=== TEST 149: access_token_api_identity in a server
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_api_identity $remote_user a;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_api_identity" directive is not allowed here



=== TEST 150: every directive as it should be, on every level
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock user=edge
                       password_file=$TEST_NGINX_HTML_DIR/password db=1
                       prefix=gateway: connect_timeout=2s timeout=250ms;
    access_token_zone tokens:2m;
    access_token_cache max_age=30s negative=0 lease=500ms;
    access_token_last_use 5m;
    access_token_prefix acme_at2;
    access_token_max_lifetime 90d;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
    access_token off;
    access_token_realm all;
    access_token_source bearer header=X-Access-Token;
    access_token_require role=user;
--- config
    access_token optional;
    access_token_realm "server $host";
    access_token_source cookie=token query=access_token bearer;
    access_token_require organization=acme;
    access_token_require level=group organization=$arg_o group=$arg_g;

    location /t {
        access_token on;
        access_token_realm "location";
        access_token_source bearer;
        access_token_require organization=acme group=dev role=$arg_r;
        access_token_require level=$arg_l;
    }

    location /api/ {
        access_token_api;
        access_token_api_identity $remote_user "organization_admin:$arg_o";

        if ($arg_a) {
            set $a 1;
        }

        limit_except GET {
            deny all;
        }
    }

    location /open {
        access_token off;
    }
--- user_files eval
">>> password\nsecret\nmore\n"
. ">>> root\n# root credentials\n\n"
. "sha256:0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef\n"
. "  sha256:" . "00" x 32 . " the old one, until June\r\n"
. ">>> open\nopen\n"
--- request
GET /open
--- response_body
open
--- error_log
while connecting the link to redis
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 151: the longest and the least that each takes
--- http_config eval
"    access_token_redis 127.0.0.1 db=0 prefix=" . 'p' x 32 . " timeout=1ms
                       connect_timeout=1ms;
    access_token_prefix abcdefghijklmnop;
    access_token_max_lifetime 60s;
    access_token_source cookie=t query=t header=T cookie=T;
    access_token_require organization=" . 'o' x 64 . " group=" . 'g' x 64 . ";
    access_token_realm a;"
--- config
--- request
GET /



=== TEST 152: a root file without an end of line after its last line
--- http_config
    access_token_redis 127.0.0.1;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files eval
">>> root\nsha256:" . "0" x 64
--- request
GET /



=== TEST 153: a root file without credentials is worth a warning
--- http_config
    access_token_redis 127.0.0.1;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files
>>> root
# none
--- request
GET /
--- error_log
[warn]
names no root credential: add a line "sha256:<hex>"



=== TEST 154: a password that all can read is worth a warning
--- http_config
    access_token_redis 127.0.0.1
                       password_file=$TEST_NGINX_HTML_DIR/password;
--- config
--- user_files
>>> password
secret
--- request
GET /
--- error_log
[warn]
take that right away



=== TEST 155: nothing configured, nothing asked
--- config
    location /t { return 200 "$access_token_verdict:$access_token_id\n"; }
--- request
GET /t
--- response_body
:



=== TEST 156: a credential that was written into the root file is not logged
--- http_config
    access_token_redis 127.0.0.1;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files
>>> root
root_secret_4711
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid line in "access_token_root_file"
--- no_error_log
root_secret_4711



=== TEST 134: access_token_root_file with the digest of an empty credential
--- http_config
    access_token_redis 127.0.0.1;
    access_token_root_file $TEST_NGINX_HTML_DIR/root;
--- config
--- user_files eval
">>> root\n\nsha256:" . uc(main::sha256_hex('')) . " platform team\n"
--- must_die
--- suppress_stderr
--- error_log
[emerg]
html/root:2: it is the digest of nothing: the credential was empty



=== TEST 157: access_token_zone with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_zone" directive



=== TEST 158: access_token_zone with two arguments
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone a:1m b:1m;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_zone" directive



=== TEST 159: access_token_zone without a size
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone tokens;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "tokens" in "access_token_zone": write the zone's name and its size, such as "access_token:10m"



=== TEST 160: access_token_zone without a name
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone :10m;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value ":10m" in "access_token_zone": write the zone's name and its size, such as "access_token:10m"



=== TEST 161: access_token_zone with an empty size
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone tokens:;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "tokens:" in "access_token_zone": the size must be at least "512k"



=== TEST 162: access_token_zone that is too small
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone tokens:511k;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "tokens:511k" in "access_token_zone": the size must be at least "512k"



=== TEST 163: access_token_zone of nothing
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone tokens:0;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "tokens:0" in "access_token_zone": the size must be at least "512k"



=== TEST 164: access_token_zone with a size that is none
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone tokens:many;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "tokens:many" in "access_token_zone": the size must be at least "512k"



=== TEST 165: access_token_zone of a negative size
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone tokens:-1m;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "tokens:-1m" in "access_token_zone": the size must be at least "512k"



=== TEST 166: access_token_zone with a size beyond all
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone tokens:99999999999999999999m;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "tokens:99999999999999999999m" in "access_token_zone": the size must be at least "512k"



=== TEST 167: access_token_zone with two colons
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone a:b:1m;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "a:b:1m" in "access_token_zone": the size must be at least "512k"



=== TEST 168: access_token_zone with an empty argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone "";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_zone": write the zone's name and its size, such as "access_token:10m"



=== TEST 169: access_token_zone twice
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_zone a:1m;
    access_token_zone b:1m;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_zone" directive is duplicate



=== TEST 170: access_token_zone in a server
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_zone a:1m;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_zone" directive is not allowed here



=== TEST 171: access_token_zone of a name that another module uses
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    limit_req_zone $remote_addr zone=tokens:1m rate=1r/s;
    access_token_zone tokens:1m;
--- config
    access_token on;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
the shared memory zone "tokens" is already declared for a different use



=== TEST 172: access_token_cache with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_cache" directive



=== TEST 173: access_token_cache is neither off nor a parameter
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache on;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "on" in "access_token_cache": it must be "off" alone, or "max_age=", "negative=" and "lease="



=== TEST 174: access_token_cache is a time without a name
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache 60s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "60s" in "access_token_cache": it must be "off" alone, or "max_age=", "negative=" and "lease="



=== TEST 175: access_token_cache has a parameter of another name
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache max-age=60s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "max-age=60s" in "access_token_cache": it must be "off" alone, or "max_age=", "negative=" and "lease="



=== TEST 176: access_token_cache in capitals
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache OFF;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "OFF" in "access_token_cache": it must be "off" alone, or "max_age=", "negative=" and "lease="



=== TEST 177: access_token_cache has a parameter without a value
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache lease;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "lease" in "access_token_cache": it must be "off" alone, or "max_age=", "negative=" and "lease="



=== TEST 178: access_token_cache with an empty argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache "";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_cache": it must be "off" alone, or "max_age=", "negative=" and "lease="



=== TEST 179: access_token_cache is off and something else
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache off lease=1s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "off" in "access_token_cache": it must be "off" alone, or "max_age=", "negative=" and "lease="



=== TEST 180: access_token_cache is something else and off
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache lease=1s off;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "off" in "access_token_cache": it must be "off" alone, or "max_age=", "negative=" and "lease="



=== TEST 181: access_token_cache with a lease that is too short
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache lease=99ms;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "lease=99ms" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 182: access_token_cache with a lease that is too long
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache lease=60001ms;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "lease=60001ms" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 183: access_token_cache with no lease
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache lease=0;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "lease=0" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 184: access_token_cache with an empty lease
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache lease=;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "lease=" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 185: access_token_cache with a lease that is no time
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache lease=soon;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "lease=soon" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 186: access_token_cache with a negative lease
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache lease=-1s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "lease=-1s" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 187: access_token_cache that is old at once
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache max_age=0;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "max_age=0" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 188: access_token_cache with an empty max_age
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache max_age=;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "max_age=" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 189: access_token_cache with a max_age of more than a day
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache max_age=86400001ms;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "max_age=86400001ms" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 190: access_token_cache with an empty negative
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache negative=;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "negative=" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 191: access_token_cache with a negative of more than a day
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache negative=86400001ms;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "negative=86400001ms" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 192: access_token_cache with a negative that is no time
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache negative=off;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "negative=off" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 193: access_token_cache with two of lease
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache lease=1s lease=2s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "lease=2s" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 194: access_token_cache with two of max_age
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache max_age=1s max_age=1s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "max_age=1s" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 195: access_token_cache with two of negative
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache negative=0 negative=0;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "negative=0" in "access_token_cache": write it once, with a time: "max_age=" and "negative=" of a day at most, "lease=" from "100ms" to "60s"



=== TEST 196: access_token_cache twice
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_cache off;
    access_token_cache lease=1s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_cache" directive is duplicate



=== TEST 197: access_token_cache in a server
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    access_token_cache off;
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_cache" directive is not allowed here



=== TEST 198: access_token_last_use with no argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_last_use" directive



=== TEST 199: access_token_last_use with two arguments
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use 1s 2s;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid number of arguments in "access_token_last_use" directive



=== TEST 200: access_token_last_use of no time
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use 0;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "0" in "access_token_last_use": it must be a time from "1s" to "1d", or "off"



=== TEST 201: access_token_last_use of less than a second
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use 500ms;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "500ms" in "access_token_last_use": it must be a time from "1s" to "1d", or "off"



=== TEST 202: access_token_last_use of more than a day
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use 86401;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "86401" in "access_token_last_use": it must be a time from "1s" to "1d", or "off"



=== TEST 203: access_token_last_use of a negative time
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use -1;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "-1" in "access_token_last_use": it must be a time from "1s" to "1d", or "off"



=== TEST 204: access_token_last_use is neither off nor a time
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use on;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "on" in "access_token_last_use": it must be a time from "1s" to "1d", or "off"



=== TEST 205: access_token_last_use in capitals
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use OFF;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "OFF" in "access_token_last_use": it must be a time from "1s" to "1d", or "off"



=== TEST 206: access_token_last_use with an empty argument
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use "";
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
invalid value "" in "access_token_last_use": it must be a time from "1s" to "1d", or "off"



=== TEST 207: access_token_last_use twice
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
    access_token_last_use 1m;
    access_token_last_use off;
--- config
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_last_use" directive is duplicate



=== TEST 208: access_token_last_use in a location
--- http_config
    access_token_redis unix:$TEST_NGINX_HTML_DIR/redis.sock;
--- config
    location /t { access_token_last_use 1m; }
--- must_die
--- suppress_stderr
--- error_log
[emerg]
"access_token_last_use" directive is not allowed here



=== TEST 209: the smallest zone and the shortest times
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET;
    access_token_zone a:512k;
    access_token_cache max_age=1ms negative=0 lease=100ms;
    access_token_last_use 1s;
--- config
    access_token on;
--- request
GET /
--- error_code: 401



=== TEST 210: a large zone and the longest times
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET;
    access_token_zone a:64m;
    access_token_cache max_age=1d negative=1d lease=60s;
    access_token_last_use 1d;
--- config
    access_token on;
--- request
GET /
--- error_code: 401



=== TEST 211: no cache, and nothing is told of the last use
--- http_config
    access_token_redis unix:$TEST_NGINX_REDIS_SOCKET;
    access_token_cache off;
    access_token_last_use off;
--- config
    access_token on;
--- request
GET /
--- error_code: 401
