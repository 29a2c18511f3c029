
/*
 * send PORT CONNECTIONS REPEAT TOKENS: GET /file once with each token of the
 * file, or REPEAT times in turn, on so many connections that stay.  It prints
 * the requests, how many of them were answered with 200, 401, 503, something
 * else and not at all, and the seconds that it took.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define LINE   62           /* a token and its newline */
#define ROOM   4096


typedef struct {
    int          fd;
    int          len;
    int          times;     /* the token is still to be sent */
    const char  *token;
    char         buf[ROOM];
} conn_t;


static int         epoll, repeat, open_conns;
static const char *at, *last;
static long        sent, answered[4], lost;

static struct sockaddr_in  address;


static void
conn_open(conn_t *c)
{
    struct epoll_event  ev;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    c->len = 0;

    if (c->fd < 0
        || connect(c->fd, (struct sockaddr *) &address, sizeof(address)) != 0)
    {
        perror("send: connect");
        exit(1);
    }

    ev.events = EPOLLIN;
    ev.data.ptr = c;
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev);
}


static void
conn_send(conn_t *c)
{
    int   n;
    char  text[256];

    if (c->times == 0) {
        if (at == last) {
            close(c->fd);
            open_conns--;
            return;
        }

        c->token = at;
        c->times = repeat;
        at += LINE;
    }

    n = snprintf(text, sizeof(text), "GET /file HTTP/1.1\r\nHost: bench\r\n"
                 "Authorization: Bearer %.*s\r\n\r\n", LINE - 1, c->token);

    c->times--;
    sent++;

    if (write(c->fd, text, n) != n) {
        /* the end of the connection is read */
        return;
    }
}


static void
conn_read(conn_t *c)
{
    int          n, status;
    char        *end, *length;

    n = read(c->fd, c->buf + c->len, ROOM - 1 - c->len);

    if (n <= 0) {
        lost++;
        close(c->fd);
        conn_open(c);
        conn_send(c);
        return;
    }

    c->len += n;
    c->buf[c->len] = '\0';

    end = strstr(c->buf, "\r\n\r\n");
    if (end == NULL) {
        return;
    }

    length = strstr(c->buf, "Content-Length: ");
    if (length == NULL
        || c->buf + c->len < end + 4 + atoi(length + sizeof("Content-Length:")))
    {
        return;
    }

    status = atoi(c->buf + sizeof("HTTP/1.1"));
    answered[status == 200 ? 0 : status == 401 ? 1 : status == 503 ? 2 : 3]++;

    c->len = 0;
    conn_send(c);
}


static char *
file_read(const char *name, long *size)
{
    char  *text;
    FILE  *in;

    in = fopen(name, "r");
    if (in == NULL) {
        perror(name);
        exit(1);
    }

    fseek(in, 0, SEEK_END);
    *size = ftell(in);
    rewind(in);

    text = malloc(*size);
    if (text == NULL || fread(text, 1, *size, in) != (size_t) *size) {
        perror(name);
        exit(1);
    }

    fclose(in);

    return text;
}


int
main(int argc, char **argv)
{
    int                 i, n, conns;
    long                size;
    double              seconds;
    conn_t             *c;
    struct timespec     begin, end;
    struct epoll_event  events[64];

    if (argc != 5) {
        fprintf(stderr, "usage: send PORT CONNECTIONS REPEAT TOKENS\n");
        return 1;
    }

    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    conns = atoi(argv[2]);
    repeat = atoi(argv[3]);

    at = file_read(argv[4], &size);
    last = at + size / LINE * LINE;

    epoll = epoll_create1(0);
    c = calloc(conns, sizeof(conn_t));

    if (epoll < 0 || c == NULL) {
        return 1;
    }

    clock_gettime(CLOCK_MONOTONIC, &begin);

    for (i = 0; i < conns; i++) {
        open_conns++;
        conn_open(&c[i]);
        conn_send(&c[i]);
    }

    while (open_conns) {
        n = epoll_wait(epoll, events, 64, 10000);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            lost += open_conns;
            break;
        }

        for (i = 0; i < n; i++) {
            conn_read(events[i].data.ptr);
        }
    }

    clock_gettime(CLOCK_MONOTONIC, &end);
    seconds = end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9;

    printf("%ld %ld %ld %ld %ld %ld %.1f\n", sent, answered[0], answered[1],
           answered[2], answered[3], lost, seconds);

    return 0;
}
