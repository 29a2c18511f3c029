
/*
 * tokens COUNT KIND SEED TOKENS [KEEP]: makes tokens of one organization, and
 * on standard output the commands that write their records (redis-cli --pipe).
 *
 * KIND is active, revoked, expired, or forged: well-formed, but no record.  The
 * file TOKENS gets KEEP of the tokens, evenly spread, a line each; all of them
 * if KEEP is not given.  The same SEED makes the same tokens.
 */


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/sha.h>


#define HASHED  52      /* id and secret */


static const char  digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "abcdefghijklmnopqrstuvwxyz";

static uint32_t  crc_table[256];
static uint64_t  state;


static uint64_t
next(void)
{
    uint64_t  z;

    /* splitmix64 */

    z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;

    return z ^ (z >> 31);
}


static void
number(char *p, uint64_t n, int len)
{
    while (len--) {
        p[len] = digits[n % 62];
        n /= 62;
    }
}


static void
crc_init(void)
{
    int       i, k;
    uint32_t  c;

    for (i = 0; i < 256; i++) {
        c = i;

        for (k = 0; k < 8; k++) {
            c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
        }

        crc_table[i] = c;
    }
}


static uint32_t
crc(const char *p, int len)
{
    uint32_t  c;

    for (c = 0xffffffff; len; len--) {
        c = crc_table[(c ^ (unsigned char) *p++) & 0xff] ^ c >> 8;
    }

    return c ^ 0xffffffff;
}


static void
record(const char *hashed, char status, long expires, long now)
{
    unsigned char  digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *) hashed, HASHED, digest);

    printf("*24\r\n$4\r\nHSET\r\n$32\r\nat:t:{%.4s}:%.20s\r\n"
           "$1\r\nh\r\n$32\r\n", hashed, hashed);
    fwrite(digest, 1, sizeof(digest), stdout);
    printf("\r\n$1\r\no\r\n$4\r\nacme\r\n$1\r\ng\r\n$0\r\n\r\n"
           "$1\r\na\r\n$1\r\n0\r\n$1\r\ns\r\n$1\r\n%c\r\n"
           "$1\r\ne\r\n$10\r\n%ld\r\n$1\r\nu\r\n$19\r\ntu_%.16s\r\n"
           "$1\r\nv\r\n$1\r\n1\r\n$1\r\nn\r\n$11\r\na benchmark\r\n"
           "$1\r\nc\r\n$10\r\n%ld\r\n$1\r\nb\r\n$4\r\nroot\r\n",
           status, expires, hashed + 4, now);
}


int
main(int argc, char **argv)
{
    int            i;
    char           hashed[HASHED + 1], sum[7], status;
    long           n, count, keep, now, expires;
    FILE          *out;
    const char    *kind;
    uint64_t       tag;
    unsigned char  digest[SHA256_DIGEST_LENGTH];

    if (argc < 5 || (out = fopen(argv[4], "w")) == NULL) {
        fprintf(stderr, "usage: tokens COUNT KIND SEED TOKENS [KEEP]\n");
        return 1;
    }

    count = atol(argv[1]);
    kind = argv[2];
    state = strtoull(argv[3], NULL, 10) << 32;
    keep = argc > 5 ? atol(argv[5]) : count;

    now = (long) time(NULL);
    status = strcmp(kind, "revoked") == 0 ? 'r' : 'a';
    expires = strcmp(kind, "expired") == 0 ? now - 3600 : now + 86400;

    crc_init();

    SHA256((const unsigned char *) "acme", 4, digest);

    for (tag = 0, i = 0; i < 8; i++) {
        tag = tag << 8 | digest[i];
    }

    number(hashed, tag % (62 * 62 * 62 * 62), 4);
    hashed[HASHED] = sum[6] = '\0';

    for (n = 0; n < count; n++) {

        for (i = 4; i < HASHED; i += 8) {
            number(hashed + i, next(), 8);
        }

        if (strcmp(kind, "forged") != 0) {
            record(hashed, status, expires, now);
        }

        if (n * keep / count != (n + 1) * keep / count) {
            number(sum, crc(hashed, HASHED), 6);
            fprintf(out, "at_%s%s\n", hashed, sum);
        }
    }

    return fclose(out) == 0 && fflush(stdout) == 0 ? 0 : 1;
}
