package AccessToken;

# Tokens for tests, and the Redis of the run (TEST_NGINX_REDIS_SOCKET).
#
#     my $token = put_token(organization => 'acme', group => 'dev', admin => 1);
#     my $id = token_id($token);
#     redis_cmd('DEL', token_key($token));
#
# put_token() writes the record alone, as the edge reads it; a token that lists
# are to show is made by the API.  The format is told a second time here on
# purpose: a change of it in C breaks the tokens that people hold.

use strict;
use warnings;

use Digest::SHA qw(sha256);
use Exporter 'import';
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes 'sleep';

our @EXPORT = qw(token token_id token_key put_token record_reply redis_cmd flush
                 redis_user redis_is_6 close_connections redis_stop
                 redis_continue in_child);

my @Digits = ('0' .. '9', 'A' .. 'Z', 'a' .. 'z');


# A well-formed token that is not in Redis.  Fields: prefix, organization, id,
# secret.

sub token {
    my (%field) = @_;

    my $id = $field{id}
             // tag($field{organization} // 'acme') . random_digits(16);
    my $hashed = $id . ($field{secret} // random_digits(32));

    return ($field{prefix} // 'at') . "_$hashed" . number(crc32($hashed), 6);
}


sub token_id {
    my ($token) = @_;

    return substr hashed($token), 0, 20;
}


# The key of its record, with the key prefix that access_token_redis has.

sub token_key {
    my ($token, $prefix) = @_;
    my $id = token_id($token);

    return ($prefix // 'at:') . 't:{' . substr($id, 0, 4) . "}:$id";
}


# Writes the record of a token, a new one where none is given, and returns the
# token.  Fields: those of token(), token, key_prefix, group, admin, expires (0
# never), status (a or r), user, name.

sub put_token {
    my (%field) = @_;
    my $token = $field{token} // token(%field);

    redis_cmd('HSET', token_key($token, $field{key_prefix}),
              h => sha256(hashed($token)),
              o => $field{organization} // 'acme',
              g => $field{group} // '',
              a => $field{admin} ? 1 : 0,
              s => $field{status} // 'a',
              e => $field{expires} // time + 3600,
              u => $field{user} // 'tu_0123456789ABCDEF',
              v => 1,
              n => $field{name} // 'a test',
              c => time,
              b => 'root');

    return $token;
}


# What Redis answers an edge that looks for the token.  Fields: group, status.

sub record_reply {
    my ($token, %field) = @_;

    return "*11\r\n" . join '', map { defined $_ ? '$' . length . "\r\n$_\r\n"
                                                 : "\$-1\r\n" }
        sha256(hashed($token)), undef, undef, 'acme', $field{group} // '', 0,
        $field{status} // 'a', 0, 'tu_0123456789ABCDEF', 1, 'a test';
}


# Sends one command and returns the reply: a string, a number, undef for nil,
# or an array.  Dies of an error.

sub redis_cmd {
    my (@words) = @_;

    my $path = $ENV{TEST_NGINX_REDIS_SOCKET}
               // die "TEST_NGINX_REDIS_SOCKET names the Redis of the run\n";

    my $socket = IO::Socket::UNIX->new(Peer => $path)
                 or die "can't connect to Redis at $path: $!\n";

    print $socket join '', '*' . @words . "\r\n",
                           map { '$' . length() . "\r\n$_\r\n" } @words;
    $socket->flush;

    return read_reply($socket);
}


sub flush { return redis_cmd('FLUSHALL') }


# The rights that docs/security.md gives a user with that password, as words,
# for Redis 6 with what it says of that.

sub redis_user {
    my ($user, $password) = @_;

    open my $docs, '<', 'docs/security.md' or die "docs/security.md: $!\n";
    my ($line) = map { /^ *ACL SETUSER $user (on >$password .*)$/ } <$docs>
                 or die "docs/security.md has no user $user\n";

    return map { redis_is_6() ? s/^%[RW]//r : $_ } split ' ', $line;
}


# Of what redis-server starts.

my $is_6;

sub redis_is_6 { return $is_6 //= `redis-server --version` =~ / v=6\./ || 0 }


# Redis closes all connections, and has when this returns.

sub close_connections {
    redis_cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    sleep 0.001 while (() = redis_cmd('CLIENT', 'LIST') =~ /\n/g) > 1;
}


# Between the two Redis takes connections and commands, and is silent.

my $stopped;

sub redis_stop {
    ($stopped) = redis_cmd('INFO', 'server') =~ /^process_id:(\d+)/m;
    stop($stopped);
}

sub redis_continue {
    kill 'CONT', $stopped if $stopped;
    $stopped = undef;
}

END { redis_continue() }


# Stops a process, which takes effect some time after kill() has returned.

sub stop {
    my ($pid) = @_;

    kill 'STOP', $pid or die "can't stop process $pid: $!\n";

    for (1 .. 1000) {
        open my $in, '<', "/proc/$pid/stat" or last;
        return if <$in> =~ /\) T /;
        sleep 0.01;
    }

    die "process $pid does not stop\n";
}


# Runs code in a process of its own, which ends with the test at the latest.

my @children;

sub in_child {
    my ($code) = @_;
    my $pid = fork // die "can't fork: $!\n";

    if ($pid == 0) {
        $SIG{PIPE} = 'IGNORE';
        $code->();
        POSIX::_exit(0);
    }

    push @children, $pid;
    return $pid;
}

END {
    local $?;

    for my $pid (grep { waitpid($_, POSIX::WNOHANG()) == 0 } @children) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
}


sub read_reply {
    my ($socket) = @_;

    my $line = <$socket> // die "Redis closed the connection\n";
    my ($type, $rest) = $line =~ /^(.)(.*)\r\n\z/
                        or die "no reply of Redis: $line\n";

    return $rest if $type eq '+' || $type eq ':';
    die "Redis: $rest\n" if $type eq '-';
    return undef if $rest < 0;
    return [ map { read_reply($socket) } 1 .. $rest ] if $type eq '*';

    my $length = read $socket, my $string, $rest + 2;
    die "Redis closed the connection\n" if $length != $rest + 2;

    return substr $string, 0, $rest;
}


# What the digest and the checksum are of: id and secret.

sub hashed {
    my ($token) = @_;

    $token =~ /_([0-9A-Za-z]{52})[0-9A-Za-z]{6}\z/ or die "no token: $token\n";

    return $1;
}


sub tag {
    my ($organization) = @_;

    return number(unpack('Q>', sha256($organization)) % 62 ** 4, 4);
}


sub number {
    my ($number, $digits) = @_;
    my $text = '';

    for (1 .. $digits) {
        $text = $Digits[$number % 62] . $text;
        $number = int($number / 62);
    }

    return $text;
}


sub random_digits {
    my ($digits) = @_;

    return join '', map { $Digits[rand 62] } 1 .. $digits;
}


sub crc32 {
    my ($text) = @_;
    my $crc = 0xffffffff;

    for my $byte (unpack 'C*', $text) {
        $crc ^= $byte;
        $crc = $crc & 1 ? $crc >> 1 ^ 0xedb88320 : $crc >> 1 for 1 .. 8;
    }

    return $crc ^ 0xffffffff;
}


1;
